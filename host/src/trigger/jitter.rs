//! Jitter: a delay of the start that spreads jobs which fire at the same time (A10).
//!
//! It is a function of the job's name and of the fire time, so that every host and every restart
//! comes to the same. The fire time itself, and with it the grid, is never touched.

use std::fmt::Display;

use sha2::{Digest, Sha256};

use super::Trigger;
use super::search::Steps;
use crate::time::Timestamp;

/// The longest delay: 366 days, in microseconds.
pub(super) const LONGEST_JITTER: i64 = 366 * 86_400_000_000;

impl Trigger {
    /// When the fire of `job` at `fire_time` is due: then, or later by a part of the jitter that
    /// looks drawn by chance. It is before the next fire time and not past the end date.
    ///
    /// An `or` keeps to the end dates of the members that fire then, an `and` to those of all. An
    /// `and` whose next fire time cannot be found has no delay.
    pub fn due_at(&self, anchor: Timestamp, job: impl Display, fire_time: Timestamp) -> Timestamp {
        let jitter = self.jitter();
        if jitter == 0 {
            return fire_time;
        }
        let Ok(next) = self.try_next_after(anchor, fire_time) else { return fire_time };
        let ends = next.into_iter().chain(self.end_at(anchor, fire_time));
        let room = ends.map(|end| end.micros() - fire_time.micros()).fold(jitter, i64::min);
        let delay = (i128::from(room.max(0)) * i128::from(chance(job, fire_time))) >> 32;
        // It is less than the room, which is no longer than the jitter.
        Timestamp::from_micros(fire_time.micros() + i64::try_from(delay).unwrap_or_default())
    }

    /// The longest delay, in microseconds.
    pub(super) fn jitter(&self) -> i64 {
        match self {
            Self::Date(_) => 0,
            Self::Interval(interval) => interval.jitter,
            Self::Cron(cron) => cron.jitter,
            Self::Or(or) => or.jitter,
            Self::And(and) => and.jitter,
        }
    }

    /// The earliest end date that counts for the fire at `fire_time`.
    fn end_at(&self, anchor: Timestamp, fire_time: Timestamp) -> Option<Timestamp> {
        let end_of = |member: &Self| member.end_at(anchor, fire_time);
        match self {
            Self::Date(_) => None,
            Self::Interval(interval) => interval.end,
            Self::Cron(cron) => cron.end,
            Self::Or(or) => {
                let firing = or.members.iter().filter(|member| {
                    let before = Timestamp::from_micros(fire_time.micros() - 1);
                    let next = member.member_after(anchor, before, &Steps::new());
                    next == Ok(Some(fire_time))
                });
                firing.filter_map(end_of).min()
            }
            Self::And(and) => and.members.iter().filter_map(end_of).min(),
        }
    }
}

/// A number of 32 bits that looks drawn by chance and is the same for the same fire.
fn chance(job: impl Display, fire_time: Timestamp) -> u32 {
    let digest = Sha256::digest(format!("{job}/{}", fire_time.micros()));
    digest.iter().take(4).fold(0, |bits, byte| bits << 8 | u32::from(*byte))
}
