//! How a task that dies makes itself heard.

use tokio::sync::watch;

/// Tells that a task ended, unless that was expected.
pub(super) struct FailureGuard {
    /// The task.
    pub(super) what: &'static str,
    /// Who listens.
    pub(super) failed: watch::Sender<Option<String>>,
}

impl FailureGuard {
    /// The task ended as it should.
    pub(super) fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for FailureGuard {
    fn drop(&mut self) {
        self.failed.send_replace(Some(self.what.to_owned()));
    }
}
