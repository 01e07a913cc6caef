//! How a host knows that it may go on with what it holds, and that another one no longer can.
//!
//! A session is a lease that the holder renews by beating. [`term`] says how long it lasts,
//! [`observer`] who else is dead, both by the clock of [`boot`]; [`cell`] holds the session that is
//! the host's now. A [`Lease`] is what a running guest goes by: while it does not hold, the guest's
//! future is not polled, so that no host call of its begins; it goes on when the lease is renewed.
//! Once the session is over the lease never holds again.

pub mod boot;
pub mod cell;
pub mod observer;
pub mod term;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use term::Until;

/// A host call was made after its time: the thread stood still for longer than the lease lasts.
#[derive(Debug, thiserror::Error)]
#[error("the host stood still for longer than it may hold a run")]
pub struct Lapsed;

/// The lease of one session. All that runs for the session shares it.
#[derive(Debug)]
pub struct Lease {
    /// [`Until`] in nanoseconds; both `u64::MAX` when it holds for ever.
    rest: AtomicU64,
    stop: AtomicU64,
    over: AtomicBool,
    /// Told of each renewal and of the end.
    changed: watch::Sender<()>,
}

impl Lease {
    /// A lease that holds so long; `None`: for ever.
    pub fn new(until: Option<Until>) -> Self {
        let nanos =
            |part: fn(Until) -> Duration| until.map_or(u64::MAX, |until| nanos(part(until)));
        Self {
            rest: AtomicU64::new(nanos(|until| until.rest)),
            stop: AtomicU64::new(nanos(|until| until.stop)),
            over: AtomicBool::new(false),
            changed: watch::Sender::new(()),
        }
    }

    /// A lease that holds for ever: one process alone schedules.
    pub fn unbounded() -> Self {
        Self::new(None)
    }

    /// Whether it ends by itself unless it is renewed.
    pub fn is_bounded(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != u64::MAX
    }

    /// Lets it hold longer. One that is over stays so.
    pub fn renew(&self, until: Until) {
        self.stop.fetch_max(nanos(until.stop), Ordering::AcqRel);
        self.rest.fetch_max(nanos(until.rest), Ordering::AcqRel);
        self.changed.send_replace(());
    }

    /// The session is over, and all that ran for it.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.changed.send_replace(());
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether guests may go on.
    pub fn holds(&self) -> bool {
        !self.is_over() && !is_past(&self.rest)
    }

    /// Whether a host call may still begin, for a guest that is in the middle of a step.
    pub fn allows_calls(&self) -> bool {
        !self.is_over() && !is_past(&self.stop)
    }

    /// Waits until guests may go on.
    pub async fn held(&self) {
        let mut changed = self.changed.subscribe();
        while !self.holds() {
            // The sender lives in `self`.
            let _ = changed.changed().await;
        }
    }

    /// Waits until the session is over.
    pub async fn over(&self) {
        let mut changed = self.changed.subscribe();
        while !self.is_over() {
            // The sender lives in `self`.
            let _ = changed.changed().await;
        }
    }
}

/// Whether the instant lies behind us; no clock is read for one that never comes.
fn is_past(instant: &AtomicU64) -> bool {
    let instant = instant.load(Ordering::Acquire);
    instant != u64::MAX && instant <= nanos(boot::now())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(rest: Duration, stop: Duration) -> Option<Until> {
        Some(Until { rest, stop })
    }

    #[test]
    fn a_lease_holds_until_its_time_and_longer_when_it_is_renewed() {
        let (past, later) = (Duration::ZERO, boot::now() + Duration::from_secs(3_600));
        let lease = Lease::new(until(past, past));
        assert!(lease.is_bounded() && !lease.holds() && !lease.allows_calls());
        lease.renew(Until { rest: past, stop: later });
        assert!(!lease.holds() && lease.allows_calls());
        lease.renew(Until { rest: later, stop: later });
        assert!(lease.holds());
        lease.renew(Until { rest: past, stop: past });
        assert!(lease.holds(), "an answer that comes late takes nothing away");
        lease.end();
        lease.renew(Until { rest: later, stop: later });
        assert!(lease.is_over() && !lease.holds() && !lease.allows_calls());
    }

    #[test]
    fn an_unbounded_lease_holds_until_its_session_is_over() {
        let lease = Lease::unbounded();
        assert!(!lease.is_bounded() && lease.holds() && lease.allows_calls());
        lease.end();
        assert!(!lease.holds() && !lease.allows_calls());
    }

    #[tokio::test]
    async fn who_waits_is_told_of_a_renewal_and_of_the_end() {
        let lease = std::sync::Arc::new(Lease::new(until(Duration::ZERO, Duration::ZERO)));
        let waits = {
            let lease = std::sync::Arc::clone(&lease);
            tokio::spawn(async move {
                lease.held().await;
                lease.over().await;
            })
        };
        tokio::task::yield_now().await;
        let later = boot::now() + Duration::from_secs(3_600);
        lease.renew(Until { rest: later, stop: later });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        lease.end();
        waits.await.unwrap();
    }
}
