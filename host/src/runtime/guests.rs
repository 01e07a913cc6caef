//! The runtime that guests run on: as many threads as processors, one nice level lower.

use anyhow::Context as _;

use crate::engine::nice::lower_priority;

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
        .on_thread_start(|| lower_priority(NICE))
        .enable_all()
        .build()
        .context("the guests' runtime can't start")
}
