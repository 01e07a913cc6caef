//! What the executor and a running guest share: the log, the progress, the wish to stop, the lease.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::log::Log;
use super::tab::Tab;
use crate::lease::Lease;
use crate::plugin::wants::Want;
use crate::run::{LogLevel, Progress};

/// The host's handle on one attempt.
pub struct Control {
    log: Log,
    /// What it was denied.
    denied: Mutex<BTreeSet<Want>>,
    progress: Mutex<Option<Progress>>,
    cancel: watch::Sender<Option<String>>,
    /// Whether the guest is told that it should end.
    asked: AtomicBool,
    /// Whether it gets no time to end by itself.
    forced: watch::Sender<bool>,
    lease: Arc<Lease>,
    /// Where it draws of its tenant's quotas; `None`: there is nothing to draw.
    tab: Option<Arc<Tab>>,
}

impl Control {
    /// A handle on an attempt that writes into `log`, and that nobody can take over.
    pub fn new(log: Log) -> Self {
        Self::under(Arc::new(Lease::unbounded()), log)
    }

    /// A handle on an attempt that goes on while `lease` holds.
    pub fn under(lease: Arc<Lease>, log: Log) -> Self {
        Self {
            log,
            denied: Mutex::default(),
            progress: Mutex::new(None),
            cancel: watch::Sender::new(None),
            asked: AtomicBool::new(false),
            forced: watch::Sender::new(false),
            lease,
            tab: None,
        }
    }

    /// The same for an attempt that draws of its tenant's quotas.
    #[must_use]
    pub fn drawing(self, tab: Option<Arc<Tab>>) -> Self {
        Self { tab, ..self }
    }

    /// Where it draws of its tenant's quotas.
    pub(super) fn tab(&self) -> Option<&Arc<Tab>> {
        self.tab.as_ref()
    }

    /// What lets the attempt go on.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// The attempt's log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Tells in the log that the guest was denied something.
    pub(super) fn deny(&self, want: Option<Want>, message: String) {
        if let Some(want) = want {
            self.denied.lock().unwrap_or_else(PoisonError::into_inner).insert(want);
        }
        self.log.remark(LogLevel::Warn, message);
    }

    /// What it was denied so far.
    pub fn denied(&self) -> BTreeSet<Want> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    /// Whether the guest is to end: somebody wants it, or its time is up.
    pub fn should_end(&self) -> bool {
        self.asked.load(Ordering::Acquire) || self.cancel.borrow().is_some()
    }

    /// Tells the guest that it should end.
    pub(super) fn ask_to_end(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Asks that the attempt end at once, without its grace.
    pub fn force(&self, why: &str) {
        self.cancel(why);
        self.forced.send_replace(true);
    }

    /// Waits until the attempt gets no more time.
    pub(super) async fn wait_forced(&self) {
        let mut receiver = self.forced.subscribe();
        if receiver.wait_for(|forced| *forced).await.is_err() {
            // The sender lives in `self`, so this can't be; then nobody will ever force it.
            std::future::pending::<()>().await;
        }
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
