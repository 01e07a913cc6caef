//! Counts what a run's host calls move, and holds it to its limits.
//!
//! Shared with streams, which outlive the call that made them. A limit that a call can refuse with
//! an error of its own is noted here too: a run that then fails is told why.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::job::bound::{Bound, Bounds, Exceeded};
use crate::run::usage::{Effect, IoUse};

/// The counters of one run.
pub(super) struct Meter {
    bounds: Bounds,
    uses: [Counter; Effect::ALL.len()],
    totals: [AtomicU64; Bound::ALL.len()],
    exceeded: OnceLock<Exceeded>,
}

/// An [`IoUse`] that grows.
#[derive(Default)]
struct Counter {
    calls: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Meter {
    /// All at zero.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            uses: std::array::from_fn(|_| Counter::default()),
            totals: std::array::from_fn(|_| AtomicU64::new(0)),
            exceeded: OnceLock::new(),
        }
    }

    /// What a limit is.
    pub(super) fn limit(&self, bound: Bound) -> u64 {
        self.bounds[bound]
    }

    /// One more call.
    pub(super) fn call(&self, effect: Effect) {
        self.uses[effect as usize].calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that the guest got.
    pub(super) fn bytes_in(&self, effect: Effect, bytes: usize) {
        self.uses[effect as usize].bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that the guest gave.
    pub(super) fn bytes_out(&self, effect: Effect, bytes: usize) {
        self.uses[effect as usize].bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether so much is within a limit; if not, it is noted.
    pub(super) fn allow(&self, bound: Bound, wanted: u64) -> Result<(), Exceeded> {
        let limit = self.bounds[bound];
        if wanted <= limit {
            return Ok(());
        }
        Err(self.note(Exceeded { bound, wanted: Some(wanted), limit }))
    }

    /// Adds to what the run has used of a limit altogether, unless that would go over it.
    pub(super) fn spend(&self, bound: Bound, more: u64) -> Result<(), Exceeded> {
        let total = &self.totals[bound as usize];
        let limit = self.bounds[bound];
        let spend = |spent: u64| spent.checked_add(more).filter(|sum| *sum <= limit);
        match total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Ok(()),
            Err(spent) => {
                let wanted = Some(spent.saturating_add(more));
                Err(self.note(Exceeded { bound, wanted, limit }))
            }
        }
    }

    /// Gives back what [`Self::spend`] took: something was closed.
    pub(super) fn give_back(&self, bound: Bound, amount: u64) {
        let less = |spent: u64| Some(spent.saturating_sub(amount));
        let total = &self.totals[bound as usize];
        // The closure always answers, so there is no failure to look at.
        let _ = total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// The first limit that was gone over.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.get().copied()
    }

    /// Calls of all kinds.
    pub(super) fn calls(&self) -> u64 {
        self.uses.iter().map(|counter| counter.calls.load(Ordering::Relaxed)).sum()
    }

    /// What was counted, without the kinds that were not used.
    pub(super) fn uses(&self) -> BTreeMap<Effect, IoUse> {
        let read = |effect: Effect| {
            let counter = &self.uses[effect as usize];
            let used = IoUse {
                calls: counter.calls.load(Ordering::Relaxed),
                bytes_in: counter.bytes_in.load(Ordering::Relaxed),
                bytes_out: counter.bytes_out.load(Ordering::Relaxed),
            };
            (used != IoUse::default()).then_some((effect, used))
        };
        Effect::ALL.into_iter().filter_map(read).collect()
    }

    fn note(&self, exceeded: Exceeded) -> Exceeded {
        // The first one stands: what comes after it is likely its consequence.
        let _ = self.exceeded.set(exceeded);
        exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        Meter::new(Bounds::default().with(Bound::OpenFiles, 2).with(Bound::KvValue, 10))
    }

    #[test]
    fn what_is_spent_adds_up_to_the_limit_and_comes_back_when_given_back() {
        let meter = meter();
        assert_eq!(meter.spend(Bound::OpenFiles, 1), Ok(()));
        assert_eq!(meter.spend(Bound::OpenFiles, 1), Ok(()));
        assert_eq!(meter.exceeded(), None);
        let over = Exceeded { bound: Bound::OpenFiles, wanted: Some(3), limit: 2 };
        assert_eq!(meter.spend(Bound::OpenFiles, 1), Err(over));
        meter.give_back(Bound::OpenFiles, 1);
        assert_eq!(meter.spend(Bound::OpenFiles, 1), Ok(()));
        assert_eq!(meter.exceeded(), Some(over));
    }

    #[test]
    fn the_first_limit_that_was_gone_over_is_remembered() {
        let meter = meter();
        assert_eq!(meter.allow(Bound::KvValue, 10), Ok(()));
        assert!(meter.allow(Bound::KvValue, 11).is_err());
        assert!(meter.spend(Bound::OpenFiles, 3).is_err());
        assert_eq!(meter.exceeded().map(|over| over.bound), Some(Bound::KvValue));
    }

    #[test]
    fn only_kinds_that_were_used_are_told() {
        let meter = meter();
        meter.call(Effect::Http);
        meter.bytes_in(Effect::Http, 7);
        meter.bytes_out(Effect::Stdio, 3);
        let uses = meter.uses();
        assert_eq!(uses.keys().copied().collect::<Vec<_>>(), [Effect::Stdio, Effect::Http]);
        assert_eq!(uses[&Effect::Http], IoUse { calls: 1, bytes_in: 7, bytes_out: 0 });
        assert_eq!(meter.calls(), 1);
    }
}
