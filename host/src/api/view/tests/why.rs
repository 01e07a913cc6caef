//! The chain for one instant, and the scheduler's state.

use serde_json::json;

use super::super::scheduler::SchedulerView;
use super::super::why::{Known, WhyView};
use super::{check, rescued_run, schedule, time};
use crate::job::Job;
use crate::record::Schedule;
use crate::record::query::LedgerItem;
use crate::run::id::Id128;
use crate::run::{Run, Verdict};
use crate::schedule::why::Facts;
use crate::status::SchedulerPause;

fn pause() -> SchedulerPause {
    SchedulerPause {
        by: "api".to_owned(),
        why: "the database moves".to_owned(),
        since: time("2026-12-01T00:00:00Z"),
    }
}

struct Told<'a> {
    at: &'a str,
    schedule: &'a Schedule,
    entry: Option<&'a LedgerItem>,
    run: Option<&'a Run>,
    into: Option<&'a Run>,
    pause: Option<&'a SchedulerPause>,
}

fn why(told: &Told<'_>) -> WhyView {
    let effective = json!({"plugin": "report", "trigger": {"type": "cron", "hour": 2}});
    let job = Job::from_effective(told.schedule.key.clone(), &effective).unwrap();
    let facts = Facts {
        schedule: told.schedule,
        trigger: job.trigger.as_ref(),
        entry: told.entry,
        older: true,
        run: told.run,
        scheduler_paused: told.pause.is_some(),
    };
    WhyView::of(&Known {
        served: None,
        at: time(told.at),
        now: time("2026-12-01T12:00:00Z"),
        job: &job,
        facts,
        into: told.into,
        scheduler_pause: told.pause,
        asked_for: &[],
    })
}

#[test]
fn the_chain_of_an_instant_is_told_from_the_trigger_to_the_outcome() {
    let schedule = schedule();
    let (run, pause) = (rescued_run(), pause());
    let ran = LedgerItem {
        verdict: Verdict::Ran,
        reason: "on_time".into(),
        first: run.fire_time,
        last: run.fire_time,
        count: 1,
        into: None,
        run: Some(run.id),
    };
    let coalesced = LedgerItem {
        verdict: Verdict::Coalesced,
        reason: "latest".into(),
        first: time("2026-11-29T02:00:00Z"),
        last: time("2026-11-30T02:00:00Z"),
        count: 2,
        into: Some(Id128::from_bits(0xabc)),
        run: None,
    };
    let nothing =
        Told { at: "", schedule: &schedule, entry: None, run: None, into: None, pause: None };
    let at = "2026-12-01T02:00:00Z";
    check("why-ran", &why(&Told { at, entry: Some(&ran), run: Some(&run), ..nothing }));
    let at = "2026-11-29T02:00:00Z";
    check(
        "why-coalesced",
        &why(&Told { at, entry: Some(&coalesced), into: Some(&run), ..nothing }),
    );
    let at = "2026-12-02T02:00:00Z";
    check("why-not-yet-due", &why(&Told { at, pause: Some(&pause), ..nothing }));
}

#[test]
fn the_scheduler_is_shown_whether_it_is_paused_or_not() {
    check("scheduler-paused", &SchedulerView { paused: Some(pause()) });
    check("scheduler", &SchedulerView { paused: None });
}
