//! The gate: every host call with an effect begins here.
//!
//! wasmtime-wasi's linker offers no hook, so its interfaces are linked one by one with `Host`
//! implementations of our own that pass [`Guest::gate`] and then delegate. It counts the call and
//! holds the run to its calls a second. Whether the host may still hold the run is asked by the
//! hook that [`hold`](super::hold) puts before each call, gated or not.

use std::time::{Duration, Instant};

use super::guest::Guest;
use crate::job::bound::{Bound, Exceeded};
use crate::plugin::wants::Want;
use crate::run::LogLevel;
use crate::run::usage::Effect;

/// Over what time calls are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts calls in windows of a second. Looks at the clock once in as many calls as there may be.
pub(super) struct Rate {
    began: Instant,
    calls: u64,
}

impl Rate {
    /// A window that begins now.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), calls: 0 }
    }

    /// One more call. Answers whether it is one too many for this second.
    fn is_over(&mut self, limit: u64, now: impl FnOnce() -> Instant) -> bool {
        self.calls += 1;
        if self.calls <= limit {
            return false;
        }
        let now = now();
        if now.saturating_duration_since(self.began) < WINDOW {
            return true;
        }
        *self = Self { began: now, calls: 1 };
        false
    }
}

impl Guest {
    /// Lets a call with an effect pass, or ends the run.
    ///
    /// # Errors
    ///
    /// The run has gone over its host calls in one second; the guest traps.
    pub(super) fn gate(&mut self, effect: Effect) -> wasmtime::Result<()> {
        self.meter.call(effect);
        if self.rate.is_over(self.meter.limit(Bound::HostCalls), Instant::now) {
            self.meter.allow(Bound::HostCalls, self.rate.calls)?;
        }
        Ok(())
    }

    /// Tells in the run's log that a limit was gone over, once of each.
    pub(super) fn tell(&mut self, exceeded: Exceeded) {
        if self.told.insert(exceeded.bound) {
            self.control.log().remark(LogLevel::Warn, exceeded.to_string());
        }
    }

    /// Refuses `what`, which `capabilities.KEY` would grant: in the run's log, and as the text for
    /// the guest.
    pub(super) fn deny(&self, what: &str, key: &str) -> String {
        let message = format!("denied: {what}; it needs `capabilities.{key}`");
        let want = match key.split_whitespace().next() {
            Some("kv") => Some(Want::Keyvalue),
            Some("jobs") => Some(Want::Jobs),
            Some("dirs") => Some(Want::Filesystem),
            _ => None,
        };
        self.control.deny(want, message.clone());
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_held_to_so_many_in_each_second() {
        let mut rate = Rate::new();
        let began = rate.began;
        let at = |millis| move || began + Duration::from_millis(millis);
        for _ in 0..3 {
            assert!(!rate.is_over(3, at(10)));
        }
        assert!(rate.is_over(3, at(999)));
        assert!(!rate.is_over(3, at(1_000)), "a new second");
        for _ in 0..2 {
            assert!(!rate.is_over(3, at(1_500)));
        }
        assert!(rate.is_over(3, at(1_999)));
    }
}
