//! Whether a run that failed is tried again, and when (rule A15).
//!
//! A machine of its own: it counts attempts of one run and knows nothing of fire times. Attempts
//! that ended because their host died are not counted here; they have `max_rescues`.

use std::time::Duration;

use crate::job::Retry;
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::time::Timestamp;

/// How an attempt ended, as far as a retry cares.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Which run it belongs to.
    pub run: RunId,
    /// How many attempts of the run have ended by themselves, this one included.
    pub attempts: u32,
    /// How this one did.
    pub outcome: Outcome,
    /// Whether the guest thinks that another try may help.
    pub retryable: bool,
}

/// When the next attempt may start; `None`: there is none.
pub fn next_attempt(retry: &Retry, ended: Ended, now: Timestamp) -> Option<Timestamp> {
    let worth_it = match ended.outcome {
        Outcome::Failed => ended.retryable,
        Outcome::Trapped | Outcome::TimedOut => true,
        Outcome::Succeeded
        | Outcome::OutOfFuel
        | Outcome::OutOfMemory
        | Outcome::LimitExceeded
        | Outcome::Cancelled
        | Outcome::Abandoned => false,
    };
    (worth_it && ended.attempts < retry.max_attempts.get())
        .then(|| now.after(pause(retry, ended.run, ended.attempts)))
}

/// The pause after so many attempts: `backoff`, `factor` times longer after each further one, at
/// most `max_backoff`. With jitter it is shortened by up to a half, the same for the same attempt.
fn pause(retry: &Retry, run: RunId, attempts: u32) -> Duration {
    let growth = retry.factor.powi(i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX));
    let secs = (retry.backoff.as_secs_f64() * growth).min(retry.max_backoff.as_secs_f64());
    let kept = if retry.jitter { 1.0 - fraction(run, attempts) / 2.0 } else { 1.0 };
    Duration::try_from_secs_f64(secs * kept).unwrap_or(retry.max_backoff)
}

/// A number from 0 to 1 that looks drawn by chance and is the same for the same attempt.
fn fraction(run: RunId, attempt: u32) -> f64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{run}/{attempt}"));
    let bits = digest.iter().take(4).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rule(max_attempts: u32, jitter: bool) -> Retry {
        Retry {
            max_attempts: NonZeroU32::new(max_attempts).unwrap(),
            backoff: Duration::from_secs(30),
            factor: 2.0,
            max_backoff: Duration::from_secs(100),
            jitter,
        }
    }

    fn ended(outcome: Outcome, attempts: u32) -> Ended {
        Ended { run: RunId::from_bits(7), attempts, outcome, retryable: true }
    }

    #[test]
    fn pauses_grow_by_the_factor_up_to_the_longest() {
        let now = Timestamp::from_secs(1_000);
        for (attempts, pause) in [(1, 30), (2, 60), (3, 100), (900, 100)] {
            let next = next_attempt(&rule(1_000, false), ended(Outcome::TimedOut, attempts), now);
            assert_eq!(next, Some(Timestamp::from_secs(1_000 + pause)), "{attempts}");
        }
    }

    #[test]
    fn jitter_takes_up_to_half_of_a_pause_and_is_the_same_again() {
        let now = Timestamp::from_secs(0);
        let next = |run| {
            let ended = Ended { run: RunId::from_bits(run), ..ended(Outcome::Trapped, 1) };
            next_attempt(&rule(2, true), ended, now).unwrap()
        };
        let pauses: Vec<_> = (0..100).map(next).collect();
        assert!(pauses.iter().all(|next| (15..=30).contains(&(next.micros() / 1_000_000))));
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(next(5), next(5));
    }

    #[test]
    fn only_what_another_try_may_mend_is_tried_again() {
        let now = Timestamp::from_secs(0);
        for (outcome, again) in [
            (Outcome::Failed, true),
            (Outcome::Trapped, true),
            (Outcome::TimedOut, true),
            (Outcome::Succeeded, false),
            (Outcome::OutOfFuel, false),
            (Outcome::OutOfMemory, false),
            (Outcome::LimitExceeded, false),
            (Outcome::Cancelled, false),
            (Outcome::Abandoned, false),
        ] {
            let next = next_attempt(&rule(3, false), ended(outcome, 1), now);
            assert_eq!(next.is_some(), again, "{outcome:?}");
        }
        let permanent = Ended { retryable: false, ..ended(Outcome::Failed, 1) };
        assert_eq!(next_attempt(&rule(3, false), permanent, now), None);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        let now = Timestamp::from_secs(0);
        assert!(next_attempt(&rule(3, false), ended(Outcome::Failed, 2), now).is_some());
        assert!(next_attempt(&rule(3, false), ended(Outcome::Failed, 3), now).is_none());
        assert!(next_attempt(&rule(1, false), ended(Outcome::Failed, 1), now).is_none());
    }
}
