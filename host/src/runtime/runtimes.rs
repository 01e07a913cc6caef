//! The runtimes of one host.

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::guests;

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

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in [self.guests.take(), self.api.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
