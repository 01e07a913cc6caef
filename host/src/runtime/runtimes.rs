//! The runtimes of one host.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::guests;

/// How long each may take to end.
const END: Duration = Duration::from_secs(2);

/// Dropped without waiting, wherever that happens.
pub(super) struct Runtimes {
    /// Where runs are.
    pub(super) guests: Option<Runtime>,
    /// Where the API is.
    pub(super) api: Option<Runtime>,
}

impl Runtimes {
    /// Builds them.
    ///
    /// # Errors
    ///
    /// The machine gives no threads.
    pub(super) fn new() -> anyhow::Result<Self> {
        let api = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("api")
            .enable_all()
            .build()
            .context("the API's runtime can't start")?;
        Ok(Self { guests: Some(guests::runtime()?), api: Some(api) })
    }
}

impl Runtimes {
    /// Ends them, and what still holds the store with them, so that another host may open it at once.
    pub(super) async fn end(mut self) {
        let all = [self.guests.take(), self.api.take()];
        let ended = tokio::task::spawn_blocking(move || {
            for runtime in all.into_iter().flatten() {
                runtime.shutdown_timeout(END);
            }
        });
        // What did not end in time is left behind.
        let _ = ended.await;
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in [self.guests.take(), self.api.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
