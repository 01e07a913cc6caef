//! Where one instant stands with a job: what became of it, or why nothing did (rule A8).
//!
//! Decides from what is known and asks nobody; the words for people are made elsewhere.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::Schedule;
use crate::record::query::LedgerItem;
use crate::run::{Run, RunState};
use crate::time::Timestamp;
use crate::trigger::Trigger;

/// A fire time that has been due for so long without a verdict or a run is a fault.
pub const FAULT_AFTER: Duration = Duration::from_secs(5);
/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// Where an instant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The trigger does not ask for it.
    NoFireTime,
    /// It had passed before the job had this trigger.
    BeforeRegistration,
    /// It is still to come.
    NotYetDue,
    /// It has come due and is being decided.
    Due,
    /// The job is paused; it will be counted as paused.
    Paused,
    /// The whole scheduler is paused; it will be judged when that ends.
    SchedulerPaused,
    /// The job is parked.
    Parked,
    /// It passed while the job was not scheduled.
    Unscheduled,
    /// Its run waits.
    Queued,
    /// Its run is under way.
    Running,
    /// Its run failed and is tried again.
    Retrying,
    /// It has its verdict.
    Decided,
    /// It is older than what is kept.
    Forgotten,
    /// It has been due for long and has neither verdict nor run.
    Fault,
}

/// The fire times on both sides of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The last one before it.
    pub previous: Option<Timestamp>,
    /// The first one after it.
    pub next: Option<Timestamp>,
}

impl Nearest {
    /// Those of a trigger with this anchor; also from before it, where the grid has such.
    pub fn of(trigger: &Trigger, anchor: Timestamp, at: Timestamp) -> Self {
        let is_one = |time: &Timestamp| is_on_grid(trigger, anchor, *time);
        let before_anchor = || trigger.prev_before(Timestamp::MIN, at).filter(is_one);
        Self {
            previous: trigger.prev_before(anchor, at).or_else(before_anchor),
            next: trigger.next_after(anchor, at),
        }
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.previous, self.next) {
            (Some(previous), Some(next)) => write!(f, "the nearest are {previous} and {next}"),
            (Some(near), None) | (None, Some(near)) => write!(f, "the nearest is {near}"),
            (None, None) => f.write_str("there is none"),
        }
    }
}

/// Whether a trigger with this anchor asks for `at`.
pub fn is_on_grid(trigger: &Trigger, anchor: Timestamp, at: Timestamp) -> bool {
    trigger.next_after(anchor, at.before(MICRO)) == Some(at)
}

/// All that is known about an instant.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The job as it is kept.
    pub schedule: &'a Schedule,
    /// Its trigger.
    pub trigger: Option<&'a Trigger>,
    /// The ledger's entry that reaches over the instant.
    pub entry: Option<&'a LedgerItem>,
    /// Whether the ledger has older entries.
    pub older: bool,
    /// The run of the schedule for the instant.
    pub run: Option<&'a Run>,
    /// Whether the whole scheduler is paused.
    pub scheduler_paused: bool,
}

impl Facts<'_> {
    /// Whether `at` is or was a fire time. The past knows it even when the trigger has changed.
    pub fn is_fire_time(&self, at: Timestamp) -> bool {
        let ends = |entry: &LedgerItem| entry.first == at || entry.last == at;
        self.run.is_some() || self.entry.is_some_and(ends) || self.on_grid(at)
    }

    fn on_grid(&self, at: Timestamp) -> bool {
        let anchor = self.schedule.trigger_state.anchor;
        self.trigger.is_some_and(|trigger| is_on_grid(trigger, anchor, at))
    }

    /// Where `at` stands at `now`.
    pub fn standing(&self, at: Timestamp, now: Timestamp) -> Standing {
        if let Some(run) = self.run {
            return match run.state {
                RunState::Queued => Standing::Queued,
                RunState::Running => Standing::Running,
                RunState::Retrying => Standing::Retrying,
                RunState::Done => Standing::Decided,
            };
        }
        if !self.is_fire_time(at) {
            Standing::NoFireTime
        } else if self.entry.is_some() {
            Standing::Decided
        } else if now < at {
            Standing::NotYetDue
        } else if self.schedule.cursor.is_some_and(|cursor| cursor <= at) {
            self.undecided(at, now)
        } else {
            self.passed_over(at, now)
        }
    }

    /// Of a fire time that has come due and that the cursor has not passed.
    fn undecided(&self, at: Timestamp, now: Timestamp) -> Standing {
        if self.schedule.parked.is_some() {
            Standing::Parked
        } else if self.schedule.pause.is_some() {
            Standing::Paused
        } else if self.scheduler_paused {
            Standing::SchedulerPaused
        } else if now.since(at) <= FAULT_AFTER {
            Standing::Due
        } else {
            Standing::Fault
        }
    }

    /// Of a fire time behind the cursor that is in no ledger.
    fn passed_over(&self, at: Timestamp, now: Timestamp) -> Standing {
        let schedule = self.schedule;
        let anchor = schedule.trigger_state.anchor;
        let is_first = || self.trigger.is_some_and(|it| it.prev_before(anchor, at).is_none());
        if at < anchor {
            Standing::BeforeRegistration
        } else if at.after(schedule.history.max_age) < now {
            Standing::Forgotten
        } else if schedule.accounted_from.map_or(schedule.last_fire < Some(at), |from| at < from) {
            if schedule.parked.is_some() { Standing::Parked } else { Standing::Unscheduled }
        } else if self.older || is_first() {
            Standing::Fault
        } else {
            // The oldest go first when there are too many of them.
            Standing::Forgotten
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::job::names::TenantId;
    use crate::job::{History, JobKey, Source};
    use crate::record::packed::{Effective, Packed};
    use crate::record::{Definition, Pause, Rules, TriggerState};
    use crate::run::Verdict;
    use crate::run::id::Uid;

    fn utc(text: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-01-01T{text}Z")).unwrap()
    }

    /// Hourly since 10:00, fired until 12:00, next at 13:00.
    fn schedule() -> Schedule {
        let effective = json!({"plugin": "p", "trigger": "every 1h"});
        Schedule {
            key: JobKey { tenant: TenantId::default_tenant(), job: "x".parse().unwrap() },
            uid: Uid::from_bits(1),
            version: 1,
            source: Source::Api,
            def: Arc::new(Definition {
                definition: Packed::default(),
                effective: Effective::of(&effective),
                digest: String::new(),
                config_version: 0,
                origin: "api".into(),
                origins: Default::default(),
            }),
            cursor: Some(utc("13:00:00")),
            due_at: Some(utc("13:00:00")),
            trigger_state: TriggerState { anchor: utc("10:00:00") },
            last_fire: Some(utc("12:00:00")),
            pause: None,
            parked: None,
            max_instances: 1,
            rules: Rules::default(),
            failures: 0,
            begun: None,
            accounted_from: None,
            history: History { keep: 1, max_age: Duration::from_hours(3) },
            created_at: utc("10:00:00"),
            last_run: None,
        }
    }

    fn standing(schedule: &Schedule, at: &str, now: &str) -> Standing {
        known(schedule, at, now, None, true)
    }

    fn known(
        schedule: &Schedule,
        at: &str,
        now: &str,
        entry: Option<&LedgerItem>,
        older: bool,
    ) -> Standing {
        let job = schedule.def.effective.job(schedule.key.clone()).unwrap();
        let trigger = job.trigger.as_ref();
        let facts = Facts { schedule, trigger, entry, older, run: None, scheduler_paused: false };
        facts.standing(utc(at), utc(now))
    }

    #[test]
    fn each_instant_has_one_standing() {
        let pause = Some(Pause { by: "x".into(), why: String::new(), until: None });
        let paused = Schedule { pause, ..schedule() };
        let parked = Schedule { parked: Some("why".into()), ..schedule() };
        let gone = Schedule { cursor: None, ..parked.clone() };
        let back = Schedule { cursor: Some(utc("15:00:00")), ..schedule() };
        for (job, at, now, expected) in [
            (&schedule(), "12:30:00", "12:40:00", Standing::NoFireTime),
            (&schedule(), "13:00:00", "12:40:00", Standing::NotYetDue),
            (&schedule(), "13:00:00", "13:00:00", Standing::Due),
            (&schedule(), "13:00:00", "13:00:05", Standing::Due),
            (&schedule(), "13:00:00", "13:00:06", Standing::Fault),
            (&schedule(), "12:00:00", "12:00:06", Standing::Fault),
            (&paused, "13:00:00", "13:30:00", Standing::Paused),
            (&parked, "13:00:00", "13:30:00", Standing::Parked),
            (&gone, "13:00:00", "13:30:00", Standing::Parked),
            (&back, "14:00:00", "14:30:00", Standing::Unscheduled),
            (&schedule(), "11:00:00", "14:00:01", Standing::Forgotten),
        ] {
            assert_eq!(standing(job, at, now), expected, "{at} at {now}");
        }
    }

    #[test]
    fn the_nearest_fire_times_may_lie_before_the_registration() {
        let start = "2026-01-01T00:30:00Z";
        for (keys, previous, next) in [
            (json!("every 1h"), None, Some("2026-01-01T11:00:00Z")),
            (
                json!({"type": "interval", "hours": 1, "start_date": start}),
                Some("2026-01-01T09:30:00Z"),
                Some("2026-01-01T10:30:00Z"),
            ),
            (
                json!({"type": "interval", "hours": 1, "start_date": "2027-01-01"}),
                None,
                Some("2027-01-01T00:00:00Z"),
            ),
            (
                json!({"type": "cron", "month": 2, "day": 29}),
                Some("2024-02-29T00:00:00Z"),
                Some("2028-02-29T00:00:00Z"),
            ),
            (json!({"type": "cron", "year": 2030}), None, Some("2030-01-01T00:00:00Z")),
            (json!("at 2026-01-01 09:00:00"), Some("2026-01-01T09:00:00Z"), None),
        ] {
            let mut problems = Vec::new();
            let trigger = Trigger::parse(&keys, "", chrono_tz::Tz::UTC, &mut problems).unwrap();
            let near = Nearest::of(&trigger, utc("10:00:00"), utc("10:00:00"));
            let time = |text: Option<&str>| text.map(|text| Timestamp::parse(text).unwrap());
            assert_eq!((near.previous, near.next), (time(previous), time(next)), "{keys}");
        }
    }

    #[test]
    fn the_ledger_knows_fire_times_that_the_trigger_no_longer_has() {
        let entry = LedgerItem {
            verdict: Verdict::Coalesced,
            reason: "latest".into(),
            first: utc("10:15:00"),
            last: utc("11:45:00"),
            count: 7,
            into: None,
            run: None,
        };
        for (at, expected) in [
            ("10:15:00", Standing::Decided),
            ("11:00:00", Standing::Decided),
            ("11:45:00", Standing::Decided),
            ("11:20:00", Standing::NoFireTime),
        ] {
            assert_eq!(known(&schedule(), at, "12:10:00", Some(&entry), false), expected, "{at}");
        }
    }

    #[test]
    fn what_is_gone_because_there_was_too_much_is_no_fault() {
        assert_eq!(known(&schedule(), "12:00:00", "12:10:00", None, false), Standing::Forgotten);
        assert_eq!(known(&schedule(), "11:00:00", "12:10:00", None, false), Standing::Fault);
    }
}
