//! A job that is made or changed by a call instead of a file.
//!
//! What is unchanged stays as it is, as with files. The past is another matter (rule A12): a
//! date that has passed is due at once and judged by the grace of its job, and a trigger that has
//! no fire time left is refused, since whoever asks is there to be told.

use super::begin::{Begin, settle};
use super::{Replacement, UNDECLARED, new_schedule};
use crate::config::resolve::Resolved;
use crate::job::{Job, Source};
use crate::record::Schedule;
use crate::record::step::{NewSchedule, Patch};
use crate::time::Timestamp;
use crate::trigger::GaveUp;

/// Why a job has no fire time to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFire {
    /// Its trigger has none left.
    Exhausted,
    /// The members of its `and` do not agree on one.
    GaveUp(GaveUp),
}

/// Whether a job is defined by a file or a plugin, so that calls may steer it and not change it.
/// One that nobody declares any more is free.
pub fn is_declared(schedule: &Schedule) -> bool {
    match schedule.source {
        Source::Api | Source::Guest => false,
        Source::File | Source::Sidecar | Source::Plugin => !is_undeclared(schedule),
    }
}

/// The record of a job that is new at `now`.
///
/// # Errors
///
/// It would never fire.
pub fn create(resolved: &Resolved, now: Timestamp) -> Result<NewSchedule, NoFire> {
    let begin = begin(&resolved.job, now, None, now)?;
    Ok(new_schedule(resolved, begin.cursor, now))
}

/// What puts a job in the place of `schedule`. With the same trigger it keeps its next fire time
/// and its grid; with another one it begins at `now`, after what has a verdict.
///
/// # Errors
///
/// It would never fire again.
pub fn replace(
    resolved: &Resolved,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<Replacement, NoFire> {
    let expect = schedule.version;
    let same_trigger = schedule.def.effective.trigger() == resolved.effective["trigger"];
    if same_trigger && !is_undeclared(schedule) {
        let schedule = NewSchedule {
            due_at: schedule.due_at,
            keep_cursor: true,
            ..new_schedule(resolved, schedule.cursor, schedule.trigger_state.anchor)
        };
        return Ok(Replacement { first: None, schedule, expect });
    }
    let anchor = if same_trigger { schedule.trigger_state.anchor } else { now };
    let begin = begin(&resolved.job, anchor, schedule.last_fire, now)?;
    let first = settle(schedule, &begin, now).map(|patch| going_on(schedule, patch));
    Ok(Replacement { first, schedule: new_schedule(resolved, begin.cursor, anchor), expect })
}

fn is_undeclared(schedule: &Schedule) -> bool {
    schedule.parked.as_deref() == Some(UNDECLARED)
}

/// Where the job begins; its date too when that has passed.
fn begin(
    job: &Job,
    anchor: Timestamp,
    last_fire: Option<Timestamp>,
    now: Timestamp,
) -> Result<Begin, NoFire> {
    let Begin { cursor, misfired, gave_up } = Begin::new(job, anchor, last_fire, now);
    let cursor = misfired.map(|range| range.first).or(cursor);
    if job.trigger.is_some() && cursor.is_none() {
        return Err(gave_up.map_or(NoFire::Exhausted, NoFire::GaveUp));
    }
    Ok(Begin::at(cursor))
}

/// The patch with the cursor on the next fire time of the trigger that goes: when nothing follows
/// it, since the host dies in between, the job is what it was.
fn going_on(schedule: &Schedule, patch: Patch) -> Patch {
    let job = schedule.def.effective.job(schedule.key.clone()).ok();
    let anchor = schedule.trigger_state.anchor;
    let after = job.as_ref().and_then(|job| job.trigger.as_ref()).zip(patch.ranges.last());
    let next = after.and_then(|(trigger, range)| trigger.next_after(anchor, range.last));
    let due_at = job.zip(next).map(|(job, next)| job.due_at(anchor, next));
    Patch { cursor: Some((next, due_at)), ..patch }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;
    use crate::config::resolve::{Wanted, resolve};
    use crate::job::JobKey;
    use crate::job::names::TenantId;
    use crate::record::Pause;
    use crate::run::Verdict;
    use crate::run::id::Uid;

    const TEN: &str = "2026-01-01T10:00:00Z";

    fn utc(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn asked(keys: Value) -> Resolved {
        let Value::Object(mut definition) = keys else { panic!("not a table") };
        definition.insert("plugin".to_owned(), json!("p"));
        let config = Config::parse("", Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
        let wanted = Wanted {
            key: JobKey { tenant: TenantId::default_tenant(), job: "x".parse().unwrap() },
            source: Source::Api,
            definition: &definition,
            sidecar: None,
            origin: "api".to_owned(),
            config_version: 0,
            path: String::new(),
        };
        resolve(&config, wanted, &[]).unwrap()
    }

    /// What the store holds after `new` was put at ten.
    fn kept(new: NewSchedule) -> Schedule {
        Schedule {
            key: new.key,
            uid: Uid::from_bits(1),
            version: 1,
            source: new.source,
            def: Arc::new(new.def),
            cursor: new.cursor,
            due_at: new.due_at,
            trigger_state: new.trigger_state,
            last_fire: None,
            pause: None,
            parked: None,
            max_instances: new.max_instances,
            rules: new.rules,
            failures: 0,
            begun: None,
            accounted_from: None,
            history: new.history,
            created_at: utc(TEN),
            last_run: None,
        }
    }

    fn at(text: &str) -> Value {
        json!({"trigger": format!("at {text}")})
    }

    fn hourly() -> Schedule {
        kept(create(&asked(json!({"trigger": "every 1h"})), utc(TEN)).unwrap())
    }

    #[test]
    fn a_date_that_has_passed_is_due_at_once_and_what_never_fires_is_refused() {
        for (keys, cursor) in [
            (json!({"trigger": "every 1h"}), Ok(Some("2026-01-01T11:00:00Z"))),
            (at("2026-01-01 12:00:00"), Ok(Some("2026-01-01T12:00:00Z"))),
            (at("2020-01-01 12:00:00"), Ok(Some("2020-01-01T12:00:00Z"))),
            (json!({}), Ok(None)),
            (
                json!({"trigger": {"type": "interval", "hours": 1, "end_date": "2025-01-01"}}),
                Err(NoFire::Exhausted),
            ),
        ] {
            let new = create(&asked(keys.clone()), utc(TEN));
            let expected = cursor.map(|cursor: Option<&str>| cursor.map(utc));
            assert_eq!(new.map(|new| new.cursor), expected, "{keys}");
        }
    }

    #[test]
    fn the_same_trigger_keeps_its_grid_even_when_it_has_ended() {
        let asked = asked(json!({"trigger": "every 1h", "priority": 5}));
        for cursor in [Some(utc("2026-01-01T11:00:00Z")), None] {
            let stored = Schedule { cursor, ..hourly() };
            let replacement = replace(&asked, &stored, utc("2026-01-01T11:30:00Z")).unwrap();
            assert!(replacement.schedule.keep_cursor && replacement.first.is_none());
            assert_eq!(replacement.schedule.trigger_state.anchor, utc(TEN));
        }
    }

    #[test]
    fn another_trigger_begins_now_and_what_was_overdue_has_a_verdict() {
        let now = utc("2026-01-01T12:30:00Z");
        let asked = asked(json!({"trigger": "every 2h"}));
        let pause = Pause { by: "x".into(), why: String::new(), until: None };
        for (pause, verdict) in [(None, Verdict::Cancelled), (Some(pause), Verdict::Paused)] {
            let stored = Schedule { pause, ..hourly() };
            let replacement = replace(&asked, &stored, now).unwrap();
            assert_eq!(replacement.schedule.cursor, Some(utc("2026-01-01T14:30:00Z")));
            assert_eq!(replacement.schedule.trigger_state.anchor, now);
            let first = replacement.first.unwrap();
            let next = Some(utc("2026-01-01T13:00:00Z"));
            assert_eq!(first.cursor, Some((next, next)), "the old trigger could go on");
            assert_eq!((first.ranges[0].verdict, first.ranges[0].count), (verdict, 2));
        }
    }

    #[test]
    fn no_fire_time_that_has_a_verdict_comes_again() {
        let now = utc("2026-01-01T12:30:00Z");
        let stored = Schedule { last_fire: Some(utc("2026-01-01T12:00:00Z")), ..hourly() };
        for date in ["2026-01-01 11:30:00", "2026-01-01 12:00:00"] {
            assert_eq!(
                replace(&asked(at(date)), &stored, now).err(),
                Some(NoFire::Exhausted),
                "{date}"
            );
        }
        let later = replace(&asked(at("2026-01-01 12:15:00")), &stored, now).unwrap();
        assert_eq!(later.schedule.cursor, Some(utc("2026-01-01T12:15:00Z")));
    }

    #[test]
    fn what_nobody_declares_is_free_and_begins_again() {
        let parked = Some(UNDECLARED.to_owned());
        let stored = Schedule { source: Source::File, cursor: None, ..hourly() };
        assert!(is_declared(&stored));
        let stored = Schedule { parked, ..stored };
        assert!(!is_declared(&stored));
        let now = utc("2026-01-01T12:30:00Z");
        let again = replace(&asked(json!({"trigger": "every 1h"})), &stored, now).unwrap();
        assert_eq!(again.schedule.cursor, Some(utc("2026-01-01T13:00:00Z")));
    }
}
