//! What the executor and a running guest share: the log, the progress, the wish to stop, the lease.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::log::Log;
use crate::lease::Lease;
use crate::run::Progress;

/// The host's handle on one attempt.
pub struct Control {
    log: Log,
    progress: Mutex<Option<Progress>>,
    cancel: watch::Sender<Option<String>>,
    lease: Arc<Lease>,
}

impl Control {
    /// A handle on an attempt that writes into `log`, and that nobody can take over.
    pub fn new(log: Log) -> Self {
        Self::under(Arc::new(Lease::unbounded()), log)
    }

    /// A handle on an attempt that goes on while `lease` holds.
    pub fn under(lease: Arc<Lease>, log: Log) -> Self {
        Self { log, progress: Mutex::new(None), cancel: watch::Sender::new(None), lease }
    }

    /// What lets the attempt go on.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// The attempt's log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Asks that the attempt end; the first reason stands.
    pub fn cancel(&self, why: &str) {
        self.cancel.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(why.to_owned());
            }
            first
        });
    }

    /// Why it is to end, if it is.
    pub fn cancelled(&self) -> Option<String> {
        self.cancel.borrow().clone()
    }

    /// Waits until it is to end, and says why.
    pub async fn wait_cancelled(&self) -> String {
        let mut receiver = self.cancel.subscribe();
        if receiver.wait_for(Option::is_some).await.is_err() {
            // The sender lives in `self`, so this can't be; then nobody will ever cancel.
            std::future::pending::<()>().await;
        }
        self.cancelled().unwrap_or_default()
    }

    /// Notes how far the guest says it is.
    pub fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// How far the guest last said it was.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
