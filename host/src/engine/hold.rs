//! What keeps a guest from going on while its host may not hold its run.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wasmtime::{CallHook, Store};

use super::guest::Guest;
use crate::lease::{Lapsed, Lease};

/// A call that is polled only while its lease holds. What it waits for may come meanwhile: it is
/// polled for that when the lease is renewed.
pub(super) struct Hold<F> {
    call: Pin<Box<F>>,
    lease: Arc<Lease>,
    held: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<F: Future> Hold<F> {
    /// Holds `call` back whenever `lease` does not hold.
    pub(super) fn new(call: F, lease: &Arc<Lease>) -> Self {
        Self { call: Box::pin(call), lease: Arc::clone(lease), held: None }
    }
}

impl<F: Future> Future for Hold<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        while !self.lease.holds() {
            let lease = Arc::clone(&self.lease);
            let held = self.held.get_or_insert_with(|| Box::pin(async move { lease.held().await }));
            ready!(held.as_mut().poll(context));
            self.held = None;
        }
        self.call.as_mut().poll(context)
    }
}

/// Makes host calls trap that begin after the lease's time, in the middle of a poll: the thread
/// stood still. Costs a clock for each host call, so only where there is a lease.
pub(super) fn guard(store: &mut Store<Guest>, lease: &Arc<Lease>) {
    if !lease.is_bounded() {
        return;
    }
    let lease = Arc::clone(lease);
    store.call_hook(move |_, step| match step {
        CallHook::CallingHost if !lease.allows_calls() => Err(Lapsed.into()),
        CallHook::CallingHost
        | CallHook::CallingWasm
        | CallHook::ReturningFromHost
        | CallHook::ReturningFromWasm => Ok(()),
    });
}
