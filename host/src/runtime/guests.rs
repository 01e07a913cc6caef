//! The runtime that guests run on: as many threads as processors, one nice level lower.

use anyhow::Context as _;

/// So much nicer than the rest of the host are the threads of guests.
const NICE: i32 = 1;
/// After so many polls of its own tasks a thread looks for those that others woke: the store's
/// answers, the scheduler's claims. Guests that compute are a thread's own tasks and take a
/// millisecond for each poll.
const LOOK_FOR_OTHERS_EVERY: u32 = 1;

/// Builds it.
///
/// # Errors
///
/// The machine gives no threads.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("guests")
        .global_queue_interval(LOOK_FOR_OTHERS_EVERY)
        .on_thread_start(lower_priority)
        .enable_all()
        .build()
        .context("the guests' runtime can't start")
}

/// On Linux a thread has a priority of its own; elsewhere guests share the host's.
#[cfg(target_os = "linux")]
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!(%error, "a guests' thread keeps the host's priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}
