//! How long a lease lasts, and what its holder may still do when.
//!
//! ```text
//! sent                        rest          stop               ttl
//!  |--- guests run ------------|-- none is ---|-- host calls ----|  from here on an observer
//!  |                           |   polled     |   trap           |  may hand the runs on
//! ```
//!
//! Everything is counted from before the renewing request was sent: the store, and whoever watches
//! its counter, saw it later. What is kept back from the time to live makes up for clocks that don't
//! run alike.

use std::time::Duration;

/// Part of the time to live after which guests rest, in percent.
const REST_PERCENT: u32 = 80;
/// Part of it after which a guest that was caught in the middle of a step is stopped, in percent:
/// only a thread that stood still gets from one to the other.
const STOP_PERCENT: u32 = 90;
/// Beats in a time to live at least.
const BEATS: u32 = 3;
/// The longest pause between two beats: they also bring cancels.
const LONGEST_BEAT: Duration = Duration::from_secs(1);

/// How a host and its store agree on who lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    ttl: Option<Duration>,
}

/// Until when a lease holds, as time since the machine's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Until {
    /// Guests rest from here on.
    pub rest: Duration,
    /// A host call of a guest traps from here on.
    pub stop: Duration,
}

impl Term {
    /// No lease: one process alone schedules on the store, and nobody waits for its end.
    pub const UNBOUNDED: Self = Self { ttl: None };

    /// Others may take over what a host holds when it was silent for `ttl`.
    pub const fn of(ttl: Duration) -> Self {
        Self { ttl: Some(ttl) }
    }

    /// How long a host may be silent; `None`: for ever.
    pub fn ttl(self) -> Option<Duration> {
        self.ttl
    }

    /// Until when a lease holds that was renewed by a request sent at `sent`; `None`: for ever.
    pub fn until(self, sent: Duration) -> Option<Until> {
        let ttl = self.ttl?;
        let part = |percent| sent.saturating_add(ttl * percent / 100);
        Some(Until { rest: part(REST_PERCENT), stop: part(STOP_PERCENT) })
    }

    /// How long an answer is worth waiting for; `None`: for ever.
    pub fn patience(self) -> Option<Duration> {
        self.ttl.map(|ttl| ttl * REST_PERCENT / 100)
    }

    /// The pause between two beats.
    pub fn beat(self) -> Duration {
        self.ttl.map_or(LONGEST_BEAT, |ttl| (ttl / BEATS).min(LONGEST_BEAT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_holder_stops_before_its_time_to_live_counted_from_before_it_asked() {
        let until = Term::of(secs(10)).until(secs(100)).unwrap();
        assert_eq!((until.rest, until.stop), (secs(108), secs(109)));
        assert_eq!(Term::UNBOUNDED.until(secs(100)), None);
    }

    #[test]
    fn a_host_beats_three_times_in_its_time_to_live_and_each_second_at_least() {
        assert_eq!(Term::of(secs(60)).beat(), secs(1));
        assert_eq!(Term::of(Duration::from_millis(600)).beat(), Duration::from_millis(200));
        assert_eq!(Term::UNBOUNDED.beat(), secs(1));
    }
}
