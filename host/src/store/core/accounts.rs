//! What tenants and queues have, what they may have, and whose turn it is.
//!
//! Counts follow the live runs and are made anew of them when a store is opened; what is counted by
//! windows of the clock is kept as a document of each tenant that has such a quota.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use super::Core;
use super::effects::{DocKey, Effects, Write};
use crate::job::names::{QueueName, TenantId};
use crate::job::quota::{Allotment, QuotaKey};
use crate::record::Doc;
use crate::record::account::{Account, Admission, Allotments, Draw, Drawn, Windows};
use crate::record::portable::DocRecord;
use crate::run::admitted::Admitted;
use crate::run::id::Fence;
use crate::run::usage::Usage;
use crate::run::{Run, RunKey};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// The kind of the document that keeps a tenant's windows.
pub const WINDOWS_KIND: &str = "quota";
/// Its key.
const WINDOWS_KEY: &str = "windows";

/// A tenant that waits, by its tag.
pub(super) type Turn = (u64, TenantId);

/// What tenants and queues have.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    allotments: Allotments,
    of: HashMap<TenantId, Account>,
    /// Attempts under way by queue.
    running: HashMap<QueueName, u64>,
    /// Tenants that have runs which may begin.
    waiting: BTreeSet<Turn>,
    /// The largest tag there was.
    largest: u64,
}

impl Accounts {
    /// What was counted by windows before the store was opened.
    pub(super) fn with_windows(windows: Vec<(TenantId, Windows)>) -> Self {
        let account = |windows| Account { windows, ..Account::default() };
        let of = windows.into_iter().map(|(tenant, windows)| (tenant, account(windows)));
        Self { of: of.collect(), ..Self::default() }
    }

    pub(super) fn get(&self, tenant: &TenantId) -> Account {
        self.of.get(tenant).copied().unwrap_or_default()
    }

    pub(super) fn allotment(&self, tenant: &TenantId) -> Allotment {
        self.allotments.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Changes an account, and the place of its tenant among those that wait.
    fn change<T>(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Account) -> T) -> T {
        let account = self.of.entry(tenant.clone()).or_default();
        let before = account.tag;
        let changed = change(account);
        let after = account.tag;
        self.largest = self.largest.max(after);
        if before != after && self.waiting.remove(&(before, tenant.clone())) {
            self.waiting.insert((after, tenant.clone()));
        }
        changed
    }

    /// A tenant has runs that may begin, or none any more. One that comes anew begins where the first
    /// of those is that wait: it has saved nothing by having wanted nothing. When nobody waits, all
    /// begin anew.
    pub(super) fn set_waiting(&mut self, tenant: &TenantId, waits: bool) {
        let first = self.waiting.first().map_or(self.largest, |(tag, _)| *tag);
        let account = self.of.entry(tenant.clone()).or_default();
        if waits {
            if !self.waiting.contains(&(account.tag, tenant.clone())) {
                account.tag = account.tag.max(first);
                self.waiting.insert((account.tag, tenant.clone()));
            }
        } else {
            self.waiting.remove(&(account.tag, tenant.clone()));
        }
    }

    /// Whose turn it is after `turn`.
    pub(super) fn next_turn(&self, turn: Option<&Turn>) -> Option<Turn> {
        let from = turn.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting.range::<Turn, _>((from, Bound::Unbounded)).next().cloned()
    }

    /// Whether as many runs of a queue are under way as there may be.
    pub(super) fn is_full(&self, queue: &QueueName) -> bool {
        let limit = self.allotments.queues.get(queue);
        limit.is_some_and(|limit| *limit <= self.running.get(queue).copied().unwrap_or(0))
    }

    pub(super) fn judge(&self, run: &Run, now: Timestamp) -> Admission {
        let is_first = run.verdict.is_none();
        let allotment = self.allotment(&run.tenant);
        self.get(&run.tenant).judge(&allotment, run.memory, is_first, now)
    }

    /// Whether no run of the tenant may begin, whichever it is, until an attempt has ended.
    pub(super) fn must_wait(&self, tenant: &TenantId, now: Timestamp) -> bool {
        self.get(tenant).must_wait(&self.allotment(tenant), now)
    }

    /// An attempt of the run begins.
    pub(super) fn admit(&mut self, run: &mut Run, now: Timestamp, fx: &mut Effects) {
        let allotment = self.allotment(&run.tenant);
        let (memory, is_first) = (run.memory, run.verdict.is_none());
        let admitted =
            self.change(&run.tenant, |account| account.admit(&allotment, memory, is_first, now));
        run.admitted = Some(admitted);
        *self.running.entry(run.queue.clone()).or_default() += 1;
        self.keep_windows(&run.tenant, &allotment, fx);
    }

    /// The attempt that the run was admitted for is over; `usage` is what it used, if that is known.
    pub(super) fn release(
        &mut self,
        run: &mut Run,
        usage: Option<&Usage>,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let Some(admitted) = run.admitted.take() else { return };
        let allotment = self.allotment(&run.tenant);
        let used = usage.map(|usage| (usage.cpu_ms, usage.fuel.unwrap_or(0)));
        self.change(&run.tenant, |account| account.release(&allotment, admitted, used, now));
        let is_limited = allotment != Allotment::default() || self.is_full(&run.queue);
        if let Some(running) = self.running.get_mut(&run.queue) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(&run.queue);
            }
        }
        self.keep_windows(&run.tenant, &allotment, fx);
        if is_limited && !self.waiting.is_empty() {
            // Another host may have room for what waited.
            fx.tell_queued();
        }
    }

    /// Counts what a store finds when it is opened.
    pub(super) fn restore(&mut self, tenant: &TenantId, queue: &QueueName, admitted: Admitted) {
        self.change(tenant, |account| {
            account.running += 1;
            account.memory += admitted.memory;
            account.cpu_aside_ms += admitted.cpu_ms;
            account.fuel_aside += admitted.fuel;
        });
        *self.running.entry(queue.clone()).or_default() += 1;
    }

    pub(super) fn set_windows(&mut self, tenant: &TenantId, windows: Windows) {
        self.change(tenant, |account| account.windows = windows);
    }

    pub(super) fn count_live(&mut self, tenant: &TenantId, more: bool) {
        self.change(tenant, |account| {
            account.live = if more { account.live + 1 } else { account.live.saturating_sub(1) };
        });
    }

    fn keep_windows(&self, tenant: &TenantId, allotment: &Allotment, fx: &mut Effects) {
        if !allotment.quota.has_windows() {
            return;
        }
        let DocRecord { tenant, kind, key, version, value } =
            windows_document(tenant.clone(), &self.get(tenant).windows);
        let doc = Doc { key: key.clone(), version, value };
        fx.write(Write::Doc(DocKey { tenant, kind, key }, Some(doc)));
    }

    /// Takes over what was said, and the order of tenants, from before the file was read again.
    pub(super) fn carry(&mut self, before: &Self) {
        self.allotments.clone_from(&before.allotments);
        self.largest = before.largest;
        for (tenant, old) in &before.of {
            self.change(tenant, |account| {
                (account.tag, account.mean_us) = (old.tag, old.mean_us);
            });
        }
    }
}

/// The windows that a document of this kind and key keeps, if it is one.
pub fn windows_of(kind: &str, key: &str, value: &[u8]) -> Option<Windows> {
    let is_one = (kind, key) == (WINDOWS_KIND, WINDOWS_KEY);
    is_one.then(|| serde_json::from_slice(value).ok()).flatten()
}

/// The document that keeps a tenant's windows.
pub fn windows_document(tenant: TenantId, windows: &Windows) -> DocRecord {
    let (kind, key) = (WINDOWS_KIND.to_owned(), WINDOWS_KEY.to_owned());
    // Numbers always become text.
    let value = serde_json::to_vec(windows).unwrap_or_default();
    DocRecord { tenant, kind, key, version: 1, value }
}

impl Core {
    /// Says what tenants and queues may have: there is no other host that could have said otherwise.
    /// What waited for a quota may begin.
    pub fn allot(&mut self, allotments: Allotments, fx: &mut Effects) {
        self.accounts.allotments = allotments;
        fx.tell_queued();
    }

    /// What a tenant has at `now`.
    pub fn account(&self, tenant: &TenantId, now: Timestamp) -> Account {
        let account = self.accounts.get(tenant);
        Account { windows: account.windows.at(now), ..account }
    }

    /// Takes more for an attempt under way.
    ///
    /// # Errors
    ///
    /// `Fenced` when it is not the current one.
    pub fn draw(
        &mut self,
        attempt: &super::runs::Holding,
        draw: Draw,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Drawn> {
        let mut run = self.held_run(&attempt.run, attempt.fence)?;
        let allotment = self.accounts.allotment(&run.tenant);
        let mut admitted = run.admitted.unwrap_or_default();
        let tenant = run.tenant.clone();
        let refused = self
            .accounts
            .change(&tenant, |account| account.draw(&allotment, &mut admitted, draw, now));
        if let Some(used_up) = refused {
            return Ok(Drawn::UsedUp(used_up));
        }
        self.accounts.keep_windows(&tenant, &allotment, fx);
        if run.admitted != Some(admitted) {
            run.admitted = Some(admitted);
            self.keep_held(run, fx);
        }
        Ok(Drawn::Given(admitted))
    }

    /// Refuses one more waiting run of a tenant that has as many as it may.
    ///
    /// # Errors
    ///
    /// `Quota`.
    pub(super) fn may_queue(&self, tenant: &TenantId) -> Result<()> {
        let limit = self.accounts.allotment(tenant).quota.get(QuotaKey::Queued);
        let queued = self.accounts.get(tenant).queued();
        refuse(QuotaKey::Queued, limit, queued)
    }

    /// Refuses one more job of a tenant that has as many as it may.
    ///
    /// # Errors
    ///
    /// `Quota`.
    pub(super) fn may_have_job(&self, tenant: &TenantId) -> Result<()> {
        let limit = self.accounts.allotment(tenant).quota.get(QuotaKey::Jobs);
        if limit.is_none() {
            return Ok(());
        }
        refuse(QuotaKey::Jobs, limit, self.schedules.of_tenant(tenant))
    }

    fn held_run(&self, key: &RunKey, fence: Fence) -> Result<Run> {
        let held = self.live.get(key).filter(|live| {
            matches!(live.place, super::Place::Held(_))
                && super::runs::current_fence(&live.run) == Some(fence)
        });
        held.map(|live| Run::clone(&live.run)).ok_or(StoreError::Fenced)
    }

    /// Keeps the record of a held run that nobody need hear of.
    fn keep_held(&mut self, run: Run, fx: &mut Effects) {
        let key = run.key();
        let run = std::sync::Arc::new(run);
        if let Some(live) = self.live.get_mut(&key) {
            live.run = std::sync::Arc::clone(&run);
        }
        fx.write(Write::Run(run));
    }
}

fn refuse(key: QuotaKey, limit: Option<u64>, there_are: u64) -> Result<()> {
    match limit {
        Some(limit) if limit <= there_are => Err(StoreError::Quota { key, limit }),
        Some(_) | None => Ok(()),
    }
}
