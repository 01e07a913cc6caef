mod fleet;
mod preview;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::config::definitions::definitions;
use crate::config::resolve::Carried;
use crate::job::PluginKey;
use crate::job::names::{HandlerName, TenantId};
use crate::plugin::Handler;
use crate::record::Pause;
use crate::record::packed::Packed;
use crate::run::Verdict;
use crate::run::id::Uid;

fn utc(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The jobs that a file declares.
fn declared(text: &str) -> Vec<Resolved> {
    let config = Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 5).unwrap();
    let plugin = PluginKey { tenant: TenantId::default_tenant(), plugin: "p".parse().unwrap() };
    let handler = Handler { name: HandlerName::run(), description: String::new(), defaults: None };
    definitions(&config, &[], &[Carried { plugin, handlers: Some(vec![handler]), own: true }]).jobs
}

/// One job with the given keys.
fn job(keys: &str) -> Vec<Resolved> {
    declared(&format!("[jobs.x]\nplugin = 'p'\n{keys}"))
}

fn run(desired: &[Resolved], stored: &[Schedule], now: &str) -> Reconciliation {
    reconcile(desired, stored, &BTreeSet::new(), None, utc(now))
}

/// What the store holds after `new` was put at `now`.
fn kept(new: &NewSchedule, now: &str) -> Schedule {
    Schedule {
        key: new.key.clone(),
        uid: Uid::from_bits(1),
        version: 1,
        source: new.source,
        def: Arc::new(new.def.clone()),
        cursor: new.cursor,
        due_at: new.due_at,
        trigger_state: new.trigger_state.clone(),
        last_fire: new.ranges.last().map(|range| range.last),
        pause: None,
        parked: new.parked.clone(),
        max_instances: new.max_instances,
        history: new.history,
        rules: crate::record::Rules::default(),
        failures: 0,
        begun: None,
        accounted_from: None,
        created_at: utc(now),
        last_run: None,
    }
}

/// What the store holds after `desired` was declared for the first time at `now`.
fn stored(desired: &[Resolved], now: &str) -> Schedule {
    match run(desired, &[], now).steps.as_slice() {
        [Step::Create(new)] => kept(new, now),
        other => panic!("not one creation: {other:?}"),
    }
}

fn replacement(all: &Reconciliation) -> &Replacement {
    match all.steps.as_slice() {
        [Step::Replace(replacement)] => replacement,
        other => panic!("not one replacement: {other:?}"),
    }
}

fn left(all: &Reconciliation) -> Left {
    match all.steps.as_slice() {
        [Step::Leave { why, .. }] => *why,
        other => panic!("not left: {other:?}"),
    }
}

const EIGHT: &str = "2026-01-01T08:00:00Z";
const TEN: &str = "2026-01-01T10:00:00Z";
const HOURLY: &str = "trigger = 'every 1h'";

#[test]
fn a_new_job_begins_at_its_first_fire_time_from_now_on() {
    for (keys, cursor) in [
        ("", None),
        ("trigger = 'every 1h'", Some("2026-01-01T09:00:00Z")),
        ("trigger = { type = 'interval', hours = 1, start = 'now' }", Some(EIGHT)),
        ("trigger = 'cron 0 8 * * *'", Some(EIGHT)),
        ("trigger = 'at 2026-01-01 08:00:00'", Some(EIGHT)),
        ("trigger = 'at 2026-02-01'", Some("2026-02-01T00:00:00Z")),
    ] {
        let all = run(&job(keys), &[], EIGHT);
        let [Step::Create(new)] = all.steps.as_slice() else { panic!("{keys}") };
        assert_eq!(new.cursor, cursor.map(utc), "{keys}");
        assert_eq!((new.due_at, new.trigger_state.anchor), (new.cursor, utc(EIGHT)), "{keys}");
        assert_eq!((new.ranges.len(), all.warnings.len()), (0, 0), "{keys}");
        assert_eq!(state(&kept(new, EIGHT)), JobState::Active, "{keys}");
    }
}

#[test]
fn a_date_that_passed_before_registration_is_misfired_unless_a_grace_holds() {
    for (grace, now, runs) in [
        ("", TEN, false),
        ("misfire_grace_time = '1h'", TEN, false),
        ("misfire_grace_time = '2h'", TEN, true),
        ("misfire_grace_time = '2h'", "2026-01-01T10:00:00.000001Z", false),
    ] {
        let all = run(&job(&format!("trigger = 'at 2026-01-01 08:00:00'\n{grace}")), &[], now);
        let [Step::Create(new)] = all.steps.as_slice() else { panic!("{grace}") };
        let case = format!("{grace} at {now}");
        if runs {
            assert_eq!((new.cursor, new.ranges.len()), (Some(utc(EIGHT)), 0), "{case}");
            continue;
        }
        let [range] = new.ranges.as_slice() else { panic!("{case}") };
        assert_eq!((new.cursor, new.due_at), (None, None), "{case}");
        assert_eq!(
            (range.verdict, range.reason.as_ref()),
            (Verdict::Misfired, "before_registration")
        );
        assert_eq!((range.first, range.last, range.count), (utc(EIGHT), utc(EIGHT), 1), "{case}");
        assert_eq!(all.warnings[0].concern, Concern::BeforeRegistration(utc(EIGHT)), "{case}");
        assert_eq!(state(&kept(new, now)), JobState::Finished, "{case}");
    }
}

#[test]
fn an_exhausted_trigger_is_finished_with_a_warning_and_no_error() {
    let keys = "trigger = { type = 'cron', hour = 3, end_date = '2025-01-01' }";
    let all = run(&job(keys), &[], EIGHT);
    let [Step::Create(new)] = all.steps.as_slice() else { panic!() };
    assert_eq!((new.cursor, new.ranges.len()), (None, 0));
    assert_eq!(
        all.warnings[0].to_string(),
        "job `x` is finished: its trigger has no fire time left"
    );
}

#[test]
fn a_restart_with_the_same_definition_changes_nothing() {
    for keys in [HOURLY, "trigger = 'at 2026-01-01 09:00:00'", ""] {
        let desired = job(keys);
        let mut schedule = stored(&desired, EIGHT);
        schedule.pause = Some(Pause { by: "ada".into(), why: "later".into(), until: None });
        assert_eq!(left(&run(&desired, &[schedule], TEN)), Left::Unchanged, "{keys}");
    }
}

#[test]
fn another_definition_with_the_same_trigger_keeps_cursor_and_anchor() {
    let mut schedule = stored(&job(HOURLY), EIGHT);
    schedule.parked = Some("gave_up".into());
    schedule.version = 9;
    let all = run(&job(&format!("{HOURLY}\npriority = 5\nmax_instances = 3")), &[schedule], TEN);
    let Replacement { first, schedule: new, expect } = replacement(&all);
    assert!(first.is_none());
    assert_eq!((*expect, new.keep_cursor, new.max_instances), (9, true, 3));
    assert_eq!(new.parked.as_deref(), Some("gave_up"));
    assert_eq!(
        (new.cursor, new.trigger_state.anchor),
        (Some(utc("2026-01-01T09:00:00Z")), utc(EIGHT))
    );
}

#[test]
fn another_trigger_begins_now_and_what_was_overdue_gets_a_verdict() {
    let mut schedule = stored(&job(HOURLY), EIGHT);
    for (paused, verdict, why) in
        [(false, Verdict::Cancelled, "rescheduled"), (true, Verdict::Paused, "paused")]
    {
        schedule.pause = paused.then(|| Pause { by: "a".into(), why: "b".into(), until: None });
        let all =
            run(&job("trigger = 'cron 30 * * * *'"), &[schedule.clone()], "2026-01-01T11:10:00Z");
        let Replacement { first, schedule: new, .. } = replacement(&all);
        assert_eq!(new.cursor, Some(utc("2026-01-01T11:30:00Z")));
        assert_eq!(new.trigger_state.anchor, utc("2026-01-01T11:10:00Z"));
        assert!(!new.keep_cursor);
        let patch = first.as_ref().unwrap();
        assert_eq!(patch.cursor, Some((None, None)));
        let [range] = patch.ranges.as_slice() else { panic!("{patch:?}") };
        assert_eq!((range.verdict, range.reason.as_ref(), range.count), (verdict, why, 3));
        assert_eq!(range.first, utc("2026-01-01T09:00:00Z"));
        assert_eq!(range.last, utc("2026-01-01T11:00:00Z"));
    }
}

#[test]
fn a_new_cursor_is_never_at_or_before_the_last_fire() {
    let mut schedule = stored(&job(HOURLY), EIGHT);
    schedule.cursor = Some(utc("2026-01-01T11:00:00Z"));
    schedule.last_fire = Some(utc(TEN));
    // The clock stands where the last fire was.
    let all = run(&job("trigger = 'cron 0 * * * *'"), &[schedule.clone()], TEN);
    assert_eq!(replacement(&all).schedule.cursor, Some(utc("2026-01-01T11:00:00Z")));
    // A date that has been decided does not come back.
    let all = run(&job("trigger = 'at 2026-01-01 10:00:00'"), &[schedule], TEN);
    assert_eq!(replacement(&all).schedule.cursor, None);
    assert!(replacement(&all).first.is_none());
}

#[test]
fn a_fire_time_that_both_triggers_have_now_is_left_to_the_new_one() {
    let schedule = stored(&job("trigger = 'cron 0 9 * * *'"), EIGHT);
    let nine = "2026-01-01T09:00:00Z";
    let all = run(&job("trigger = 'cron 0 9,10 * * *'"), &[schedule], nine);
    assert_eq!(replacement(&all).schedule.cursor, Some(utc(nine)));
    assert!(replacement(&all).first.is_none());
}

#[test]
fn a_date_that_is_rewritten_while_it_is_overdue_stays_due() {
    let schedule = stored(&job("trigger = 'at 2026-01-01 09:00:00'"), EIGHT);
    let rewritten = job("trigger = { type = 'date', run_date = '2026-01-01T09:00:00Z' }");
    let all = run(&rewritten, std::slice::from_ref(&schedule), TEN);
    assert_eq!(replacement(&all).schedule.cursor, Some(utc("2026-01-01T09:00:00Z")));
    assert!(replacement(&all).first.is_none() && all.warnings.is_empty());

    // Another date that has passed has a verdict of its own.
    let other = job("trigger = 'at 2026-01-01 09:30:00'");
    let all = run(&other, &[schedule], TEN);
    let ranges = &replacement(&all).first.as_ref().unwrap().ranges;
    let verdicts: Vec<(Verdict, Timestamp)> =
        ranges.iter().map(|range| (range.verdict, range.first)).collect();
    assert_eq!(
        verdicts,
        [
            (Verdict::Cancelled, utc("2026-01-01T09:00:00Z")),
            (Verdict::Misfired, utc("2026-01-01T09:30:00Z")),
        ]
    );
}

#[test]
fn what_is_declared_no_more_is_parked_and_comes_back_on_its_grid() {
    let desired = job(HOURLY);
    let mut schedule = stored(&desired, EIGHT);
    let all = run(&[], &[schedule.clone()], "2026-01-01T10:30:00Z");
    let [Step::Park { expect: 1, patch, .. }] = all.steps.as_slice() else { panic!("{all:?}") };
    assert_eq!(patch.parked, Some(Some("undeclared".into())));
    assert_eq!((patch.cursor, patch.ranges[0].count), (Some((None, None)), 2));
    assert_eq!(patch.ranges[0].reason, "undeclared");

    (schedule.cursor, schedule.due_at) = (None, None);
    schedule.parked = Some("undeclared".into());
    schedule.last_fire = Some(utc(TEN));
    assert_eq!(left(&run(&[], &[schedule.clone()], TEN)), Left::Unchanged);
    assert_eq!(state(&schedule), JobState::Parked);

    let all = run(&desired, &[schedule.clone()], "2026-01-01T13:45:00Z");
    let new = &replacement(&all).schedule;
    assert_eq!((new.parked.as_ref(), new.keep_cursor), (None, false));
    assert_eq!(new.trigger_state.anchor, utc(EIGHT));
    assert_eq!(new.cursor, Some(utc("2026-01-01T14:00:00Z")));
    assert!(replacement(&all).first.is_none());
}

#[test]
fn what_a_broken_file_declared_is_left_alone() {
    let schedule = stored(&job(HOURLY), EIGHT);
    let broken = BTreeSet::from(["host.toml".to_owned()]);
    let all = reconcile(&[], std::slice::from_ref(&schedule), &broken, None, utc(TEN));
    assert_eq!(left(&all), Left::Broken);
    // A job whose plugin can't be asked keeps what the plugin gave it, until it is rewritten.
    let mut desired = job("");
    desired[0].incomplete = true;
    let mut schedule = schedule;
    let mut def = Definition::clone(&schedule.def);
    def.definition = Packed::of(&desired[0].definition);
    schedule.def = Arc::new(def);
    assert_eq!(left(&run(&desired, &[schedule.clone()], TEN)), Left::Broken);
    let mut rewritten = job("priority = 1");
    rewritten[0].incomplete = true;
    assert!(replacement(&run(&rewritten, &[schedule], TEN)).schedule.cursor.is_none());
}

#[test]
fn jobs_of_rest_and_guests_are_never_touched() {
    for source in [Source::Api, Source::Guest] {
        let desired = job(HOURLY);
        let mut schedule = stored(&job("trigger = 'every 2h'"), EIGHT);
        schedule.source = source;
        assert!(run(&[], &[schedule.clone()], TEN).steps.is_empty());
        let all = run(&desired, &[schedule], TEN);
        assert_eq!(left(&all), Left::NotOurs);
        assert_eq!(all.warnings[0].concern, Concern::NameTaken(source));
    }
}

#[test]
fn a_job_that_moves_from_one_file_to_another_keeps_its_place() {
    let desired = job(HOURLY);
    let mut schedule = stored(&desired, EIGHT);
    schedule.source = Source::Sidecar;
    let all = run(&desired, &[schedule], TEN);
    assert!(replacement(&all).schedule.keep_cursor);
    assert_eq!(replacement(&all).schedule.source, Source::File);
}

#[test]
fn steps_stand_in_order_of_the_jobs_names() {
    let desired =
        declared("[jobs.b]\nplugin = 'p'\n[jobs.a]\nplugin = 'p'\n[jobs.c]\nplugin = 'p'");
    let names: Vec<String> = run(&desired, &[], TEN)
        .steps
        .iter()
        .map(|step| match step {
            Step::Create(new) => new.key.job.to_string(),
            Step::Replace(_) | Step::Park { .. } | Step::Leave { .. } => panic!("{step:?}"),
        })
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn a_past_date_of_an_or_is_misfired_and_the_others_go_on() {
    let keys = "trigger = { type = 'or', triggers = \
                ['at 2026-01-01 08:00:00', 'at 2026-01-01 09:00:00', 'cron 0 */4 * * *'] }";
    for (grace, cursor, misfired) in [
        ("", "2026-01-01T12:00:00Z", 2),
        ("misfire_grace_time = '90m'", "2026-01-01T09:00:00Z", 1),
        ("misfire_grace_time = '2h'", "2026-01-01T08:00:00Z", 0),
    ] {
        let all = run(&job(&format!("{keys}\n{grace}")), &[], TEN);
        let [Step::Create(new)] = all.steps.as_slice() else { panic!("{all:?}") };
        assert_eq!((new.cursor, all.warnings.len()), (Some(utc(cursor)), 0), "{grace}");
        let counted: u64 = new.ranges.iter().map(|range| range.count).sum();
        assert_eq!(counted, misfired, "{grace}");
    }
}

#[test]
fn a_trigger_that_gives_up_parks_its_job_with_a_warning() {
    let keys = "trigger = { type = 'and', triggers = ['cron 0 * * * *', 'cron 30 * * * *'] }";
    let all = run(&job(keys), &[], TEN);
    let [Step::Create(new)] = all.steps.as_slice() else { panic!("{all:?}") };
    assert_eq!((new.cursor, state(&kept(new, TEN))), (None, JobState::Parked));
    assert!(all.warnings[0].to_string().starts_with("job `x` is parked: the members"));
    // So does one that is rewritten to it; what was overdue has its verdict.
    let all = run(&job(keys), &[stored(&job(HOURLY), EIGHT)], TEN);
    assert!(replacement(&all).schedule.parked.is_some());
    assert_eq!(replacement(&all).first.as_ref().unwrap().ranges[0].count, 2);
}

#[test]
fn with_jitter_a_job_is_due_after_its_first_fire_time() {
    let desired = job("trigger = { type = 'interval', hours = 1, jitter = 600 }");
    let schedule = stored(&desired, EIGHT);
    let (cursor, due_at) = (schedule.cursor.unwrap(), schedule.due_at.unwrap());
    assert_eq!(cursor, utc("2026-01-01T09:00:00Z"));
    assert!(cursor < due_at && due_at < utc("2026-01-01T09:10:00Z"), "{due_at}");
}
