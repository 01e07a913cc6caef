//! Situations in which somebody does something meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{key, scenario, secs, shown};
use crate::config::Config;
use crate::job::names::JobId;
use crate::record::query::{Page, RunFilter};
use crate::record::step::{Conflict, LiveRuns, NewRun, NewSchedule, Patch, Put, RunSpec};
use crate::record::{Pause, Schedule};
use crate::run::id::Id128;
use crate::run::{Cause, Run, RunState, reason};
use crate::schedule::pause::{CatchUp, resume};
use crate::schedule::reconcile::{JobState, Step, reconcile, state};
use crate::simulate::drive::World;
use crate::simulate::report::decisions;
use crate::simulate::{Scenario, register, store};
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Ids with blanks between, and the proof.
pub(super) const CHECKS: &[(&str, fn())] = &[
    ("C6", grace_and_instances_are_positive_and_have_units),
    ("q-a", an_unknown_key_of_a_trigger_is_refused),
    ("q-j", ids_are_words),
    ("C66", what_is_due_starts_by_time_then_name),
    ("C67 C67b C67c", jitter_delays_the_start_and_leaves_the_grid),
    ("T4", an_and_whose_members_disagree_holds_up_nobody),
    ("D9 D10", an_or_has_the_fires_of_all_its_members),
    ("C68", a_clock_that_is_set_back_fires_nothing_twice),
    ("C21", a_run_by_hand_leaves_the_grid_alone),
    ("C22b", a_backlog_waits_for_the_run_before_it),
    ("C24", a_one_shot_job_waits_for_a_slot),
    ("C27", a_job_of_the_same_name_has_slots_of_its_own),
    ("C32", a_name_that_is_taken_is_refused_or_replaced),
    ("C33", a_new_definition_keeps_what_is_overdue),
    ("C33b C47", a_paused_job_stays_paused_whatever_is_rewritten),
    ("C48", another_trigger_counts_at_once),
    ("C51", another_trigger_that_is_over_finishes_the_job),
    ("C39", a_job_goes_on_after_its_pause_and_what_passed_is_counted),
    ("C40", a_job_whose_end_passed_in_its_pause_is_finished),
    ("C41", a_date_that_passed_in_a_pause_is_paused_or_caught_up_with),
    ("C28 q-e", what_runs_goes_on_when_its_job_is_paused_or_removed),
    ("C29", what_is_not_there_is_not_removed),
    ("C54", a_memory_store_is_gone_with_its_host),
    ("C59", a_store_that_fails_loses_nothing),
];

const EVERY_10S: &str = "trigger = 'every 10s'";

/// A host that is moved by hand, with one job `j` of these keys.
struct Stage<'a> {
    world: World<'a>,
    store: Arc<EmbeddedStore>,
}

/// Acts on a host that started at noon, whose runs take so many seconds.
fn on_stage(keys: &str, run_secs: u64, act: impl AsyncFnOnce(&mut Stage<'_>)) {
    let mut scenario = with_keys(keys);
    scenario.run_times.insert(key("j"), Duration::from_secs(run_secs));
    acting(&scenario, act);
}

fn acting(scenario: &Scenario, act: impl AsyncFnOnce(&mut Stage<'_>)) {
    super::super::runtime().block_on(async {
        let store = store();
        let world = World::begin(scenario, Arc::clone(&store)).await.unwrap();
        register(scenario, store.as_ref()).await.unwrap();
        act(&mut Stage { world, store }).await;
    });
}

fn with_keys(keys: &str) -> Scenario {
    scenario(&format!("[jobs.j]\nplugin = 'p'\n{keys}\n"), secs(0.0), secs(9_999.0))
}

impl Stage<'_> {
    /// Jumps there. Answers when the next thing happens.
    async fn at(&mut self, second: f64) -> Option<Timestamp> {
        self.world.instant(secs(second)).await.unwrap()
    }

    async fn ledger(&self) -> Vec<String> {
        decisions(self.store.as_ref()).await.unwrap().iter().map(shown).collect()
    }

    async fn schedule(&self) -> Schedule {
        self.store.get(&key("j")).await.unwrap().unwrap()
    }

    async fn runs(&self) -> Vec<Run> {
        let page = Page { limit: 100, cursor: None };
        self.store.runs(RunFilter::default(), page).await.unwrap().items
    }

    /// Somebody wants a run now.
    async fn start(&self, second: f64) {
        let now = secs(second);
        let run = NewRun {
            job: key("j"),
            id: Id128::from_bits(99),
            cause: Cause::Manual,
            fire_time: now,
            not_before: None,
            start_by: None,
            args: None,
            spec: RunSpec::of(&with_keys("").jobs[0].job),
            reason: reason::MANUAL.into(),
        };
        self.store.start(run, now).await.unwrap();
    }

    /// The file was rewritten, and the host reads it.
    async fn declare(&self, keys: &str, second: f64) {
        let (now, stored) = (secs(second), [self.schedule().await]);
        let all = reconcile(&with_keys(keys).jobs, &stored, &BTreeSet::new(), None, now);
        for step in all.steps {
            let Step::Replace(replacement) = step else { panic!("{step:?}") };
            let mut expect = replacement.expect;
            if let Some(first) = replacement.first {
                expect = self.store.patch(&key("j"), Some(expect), first, now).await.unwrap();
            }
            let on = Conflict::ReplaceIf(expect);
            self.store.put(replacement.schedule, on, now).await.unwrap();
        }
    }

    async fn pause(&self, second: f64) {
        let pause = Pause { by: "a test".into(), why: String::new(), until: None };
        let patch = Patch { pause: Some(Some(pause)), ..Patch::default() };
        self.store.patch(&key("j"), None, patch, secs(second)).await.unwrap();
    }

    async fn resume(&self, catch_up: CatchUp, second: f64) {
        let schedule = self.schedule().await;
        let job = schedule.def.effective.job(key("j")).unwrap();
        let patch = resume(&schedule, &job, catch_up, secs(second));
        self.store.patch(&key("j"), Some(schedule.version), patch, secs(second)).await.unwrap();
    }
}

fn refused(text: &str) -> String {
    let (file, base) = (std::path::Path::new("host.toml"), std::path::Path::new("/srv"));
    Config::parse(text, file, base, 1).unwrap_err().to_string()
}

fn grace_and_instances_are_positive_and_have_units() {
    for (name, values) in [
        ("misfire_grace_time", ["0", "'0s'", "'-1s'", "1.5", "'5'", "true"]),
        ("max_instances", ["0", "-1", "1.5", "'none'", "'1'", "true"]),
    ] {
        for value in values {
            let error = refused(&format!("[jobs.j]\nplugin = 'p'\n{name} = {value}"));
            assert!(error.contains(&format!("jobs.j.{name}: must be ")), "{value}: {error}");
        }
    }
}

fn an_unknown_key_of_a_trigger_is_refused() {
    let trigger = "{ type = 'interval', seconds = 3, bogus = 1, second = 4 }";
    let error = refused(&format!("[jobs.j]\nplugin = 'p'\ntrigger = {trigger}"));
    assert!(error.contains("jobs.j.trigger.bogus: unknown key"), "{error}");
    assert!(error.contains("did you mean `seconds`?"), "{error}");
}

fn ids_are_words() {
    for (id, is_good) in [("", false), ("中文/ id", false), ("a b", false), ("A.b-c_9", true)] {
        assert_eq!(id.parse::<JobId>().is_ok(), is_good, "{id}");
    }
}

fn what_is_due_starts_by_time_then_name() {
    let date = |job: &str, second: u32| {
        format!("[jobs.{job}]\nplugin = 'p'\ntrigger = 'at 2026-01-01 12:00:{second:02}'\n")
    };
    let text = [date("b", 5), date("a", 5), date("c", 3)].concat();
    acting(&scenario(&text, secs(0.0), secs(60.0)), async |stage| {
        stage.at(0.0).await;
        stage.at(6.0).await;
        let mut runs = stage.runs().await;
        runs.sort_by_key(|run| run.attempts[0].fence);
        let order: Vec<_> = runs.iter().map(|run| run.job.as_str()).collect();
        assert_eq!(order, ["c", "a", "b"]);
    });
}

fn a_clock_that_is_set_back_fires_nothing_twice() {
    on_stage(EVERY_10S, 1, async |stage| {
        stage.at(10.0).await;
        stage.at(11.0).await;
        let next = stage.at(-3_590.0).await;
        assert_eq!(next, Some(secs(20.0)), "it waits for an hour and ten seconds");
        stage.at(10.0).await;
        assert_eq!(stage.ledger().await, ["j ran +10 on_time @+10"]);
    });
}

fn a_run_by_hand_leaves_the_grid_alone() {
    on_stage(EVERY_10S, 1, async |stage| {
        stage.start(4.0).await;
        stage.at(4.0).await;
        assert_eq!(stage.runs().await[0].state, RunState::Running);
        assert_eq!(stage.schedule().await.cursor, Some(secs(10.0)));
        stage.at(10.0).await;
        assert_eq!(stage.ledger().await, ["j ran +10 on_time @+10"]);
    });
}

fn a_backlog_waits_for_the_run_before_it() {
    let keys = "trigger = { type = 'interval', seconds = 10, start_date = '2026-01-01 12:00:00', \
                end_date = '2026-01-01 12:00:30' }\ncoalesce = 'all'";
    on_stage(keys, 100, async |stage| {
        for second in [0.0, 35.0, 100.0, 200.0, 300.0] {
            stage.at(second).await;
        }
        let expected = [
            "j ran +0 on_time @+0",
            "j ran +10 catch_up @+100",
            "j ran +20 catch_up @+200",
            "j ran +30 catch_up @+300",
        ];
        assert_eq!(stage.ledger().await, expected);
    });
}

fn a_one_shot_job_waits_for_a_slot() {
    on_stage("trigger = 'at 2026-01-01 12:00:05'", 10, async |stage| {
        stage.start(0.0).await;
        stage.at(0.0).await;
        stage.at(5.0).await;
        assert_eq!(stage.ledger().await, ["j waiting +5 -"]);
        stage.at(10.0).await;
        assert_eq!(stage.ledger().await, ["j ran +5 late @+10"]);
    });
}

fn a_job_of_the_same_name_has_slots_of_its_own() {
    let keys = "trigger = { type = 'interval', seconds = 10, start = 'now' }";
    on_stage(keys, 100, async |stage| {
        stage.at(0.0).await;
        let now = secs(5.0);
        assert!(stage.store.remove(&key("j"), None, LiveRuns::Keep, now).await.unwrap());
        stage.store.put(created(keys, 5.0), Conflict::Fail, now).await.unwrap();
        stage.at(5.0).await;
        let expected = ["j ran +0 on_time @+0", "j ran +5 on_time @+5"];
        assert_eq!(stage.ledger().await, expected);
    });
}

fn created(keys: &str, second: f64) -> NewSchedule {
    let all = reconcile(&with_keys(keys).jobs, &[], &BTreeSet::new(), None, secs(second));
    match all.steps.into_iter().next() {
        Some(Step::Create(schedule)) => schedule,
        step => panic!("{step:?}"),
    }
}

fn jitter_delays_the_start_and_leaves_the_grid() {
    for (keys, ends) in [
        ("{ type = 'interval', seconds = 10, jitter = 4 }", false),
        (
            "{ type = 'cron', second = '*/10', jitter = 25, start_date = '2026-01-01 12:00:10' }",
            false,
        ),
        ("{ type = 'interval', seconds = 10, jitter = 8, end_date = '2026-01-01 12:00:15' }", true),
    ] {
        on_stage(&format!("trigger = {keys}"), 0, async |stage| {
            let due = stage.schedule().await.due_at.unwrap();
            assert!(secs(10.0) < due && due < secs(if ends { 15.0 } else { 20.0 }), "{due}");
            assert_eq!(stage.at(10.0).await, Some(due), "it has passed and is not due");
            assert!(stage.ledger().await.is_empty());
            let after = due.micros() - secs(0.0).micros();
            stage.at(after as f64 / 1e6).await;
            let schedule = stage.schedule().await;
            assert_eq!((schedule.last_fire, schedule.cursor.is_none()), (Some(secs(10.0)), ends));
            let runs = stage.runs().await;
            assert_eq!((runs[0].fire_time, runs[0].due_at), (secs(10.0), due));
            assert!(ends || schedule.cursor == Some(secs(20.0)), "{keys}: the grid stays");
        });
    }
}

fn an_and_whose_members_disagree_holds_up_nobody() {
    let every =
        "trigger = { type = 'and', triggers = ['cron */2 * * * * *', 'cron */3 * * * * *'] }";
    on_stage(every, 0, async |stage| {
        for second in [0.0, 2.0, 6.0] {
            assert_eq!(stage.schedule().await.cursor, Some(secs(second)));
            stage.at(second).await;
        }
    });
    // They meet once. Then the job is parked and says why.
    let once = |minute: u32| {
        format!("{{ type = 'or', triggers = ['at 2026-01-01 12:00:10', 'cron {minute} * * * *'] }}")
    };
    let keys = format!("trigger = {{ type = 'and', triggers = [{}, {}] }}", once(0), once(30));
    on_stage(&keys, 0, async |stage| {
        assert_eq!(stage.at(10.0).await, None);
        assert_eq!(stage.ledger().await, ["j ran +10 on_time @+10"]);
        let schedule = stage.schedule().await;
        assert_eq!((state(&schedule), schedule.cursor), (JobState::Parked, None));
        assert!(schedule.parked.unwrap().contains("did not agree on a fire time"));
        // Another trigger takes it out again.
        stage.declare("trigger = 'every 10s'", 15.0).await;
        assert_eq!(state(&stage.schedule().await), JobState::Active);
    });
    let never = "trigger = { type = 'and', triggers = ['cron 0 * * * *', 'cron 30 * * * *'] }";
    on_stage(never, 0, async |stage| {
        assert_eq!(state(&stage.schedule().await), JobState::Parked);
        assert_eq!(stage.at(9_000.0).await, None);
    });
}

fn an_or_has_the_fires_of_all_its_members() {
    let keys = "trigger = { type = 'or', triggers = \
                ['at 2026-01-01 12:00:05', 'cron */20 * * * * *', 'every 15s'] }";
    on_stage(keys, 0, async |stage| {
        let mut found = Vec::new();
        while let Some(cursor) = stage.schedule().await.cursor.filter(|it| *it < secs(61.0)) {
            found.push((cursor.micros() - secs(0.0).micros()) / 1_000_000);
            stage.at((cursor.micros() - secs(0.0).micros()) as f64 / 1e6).await;
        }
        assert_eq!(found, [0, 5, 15, 20, 30, 40, 45, 60]);
    });
}

fn a_name_that_is_taken_is_refused_or_replaced() {
    on_stage(EVERY_10S, 1, async |stage| {
        let again = created("trigger = 'every 20s'", 1.0);
        let refused = stage.store.put(again.clone(), Conflict::Fail, secs(1.0)).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
        let replaced = stage.store.put(again, Conflict::Replace, secs(1.0)).await.unwrap();
        assert!(matches!(replaced, Put::Replaced(_)), "{replaced:?}");
    });
}

fn a_new_definition_keeps_what_is_overdue() {
    on_stage(EVERY_10S, 1, async |stage| {
        stage.declare("trigger = 'every 10s'\npriority = 7", 15.0).await;
        stage.at(15.0).await;
        assert_eq!(stage.ledger().await, ["j ran +10 catch_up @+15"]);
        assert_eq!(stage.schedule().await.cursor, Some(secs(20.0)), "the grid is the same");
    });
}

fn a_paused_job_stays_paused_whatever_is_rewritten() {
    for keys in ["trigger = 'every 10s'\npriority = 7", "trigger = 'every 7s'"] {
        on_stage(EVERY_10S, 1, async |stage| {
            stage.pause(1.0).await;
            stage.declare(keys, 15.0).await;
            stage.at(100.0).await;
            assert!(stage.schedule().await.pause.is_some());
            assert!(stage.runs().await.is_empty());
        });
    }
}

fn another_trigger_counts_at_once() {
    on_stage(EVERY_10S, 1, async |stage| {
        stage.declare("trigger = 'every 7s'", 5.0).await;
        stage.at(10.0).await;
        stage.at(12.0).await;
        assert_eq!(stage.ledger().await, ["j ran +12 on_time @+12"]);
    });
}

fn another_trigger_that_is_over_finishes_the_job() {
    let over = "trigger = { type = 'interval', seconds = 7, end_date = '2025-12-31 00:00:00' }";
    on_stage(EVERY_10S, 1, async |stage| {
        stage.declare(over, 5.0).await;
        assert_eq!(stage.at(60.0).await, None);
        assert_eq!(state(&stage.schedule().await), JobState::Finished);
        assert!(stage.ledger().await.is_empty());
    });
}

fn a_job_goes_on_after_its_pause_and_what_passed_is_counted() {
    on_stage(EVERY_10S, 1, async |stage| {
        stage.pause(1.0).await;
        stage.at(10.0).await;
        stage.resume(CatchUp::No, 35.0).await;
        assert_eq!(stage.at(35.0).await, Some(secs(40.0)));
        stage.at(40.0).await;
        let expected = ["j paused +10..+30 x3 paused", "j ran +40 on_time @+40"];
        assert_eq!(stage.ledger().await, expected);
    });
}

const UP_TO_20: &str =
    "trigger = { type = 'interval', seconds = 10, end_date = '2026-01-01 12:00:20' }";

fn a_job_whose_end_passed_in_its_pause_is_finished() {
    on_stage(UP_TO_20, 1, async |stage| {
        stage.pause(1.0).await;
        stage.resume(CatchUp::No, 60.0).await;
        assert_eq!(stage.at(60.0).await, None);
        assert_eq!(state(&stage.schedule().await), JobState::Finished);
        assert_eq!(stage.ledger().await, ["j paused +10..+20 x2 paused"]);
    });
}

fn a_date_that_passed_in_a_pause_is_paused_or_caught_up_with() {
    for (catch_up, expected) in
        [(CatchUp::No, "j paused +5 paused"), (CatchUp::Yes, "j ran +5 catch_up @+60")]
    {
        on_stage("trigger = 'at 2026-01-01 12:00:05'", 1, async |stage| {
            stage.pause(1.0).await;
            stage.resume(catch_up, 60.0).await;
            stage.at(60.0).await;
            assert_eq!(stage.ledger().await, [expected]);
            assert_eq!(state(&stage.schedule().await), JobState::Finished);
        });
    }
}

fn what_runs_goes_on_when_its_job_is_paused_or_removed() {
    for is_removed in [false, true] {
        on_stage(EVERY_10S, 20, async |stage| {
            stage.at(10.0).await;
            if is_removed {
                stage.store.remove(&key("j"), None, LiveRuns::Keep, secs(15.0)).await.unwrap();
            } else {
                stage.pause(15.0).await;
            }
            stage.at(30.0).await;
            let runs = stage.runs().await;
            let outcome = runs[0].outcome.map(|outcome| outcome.as_str());
            assert_eq!((runs.len(), outcome), (1, Some("succeeded")));
        });
    }
}

fn what_is_not_there_is_not_removed() {
    on_stage(EVERY_10S, 1, async |stage| {
        let removed = stage.store.remove(&key("other"), None, LiveRuns::Keep, secs(1.0)).await;
        assert_eq!(removed, Ok(false));
    });
}

fn a_memory_store_is_gone_with_its_host() {
    on_stage(EVERY_10S, 1, async |stage| {
        assert_eq!(stage.store.health().await.unwrap().schedules, 1);
        assert_eq!(store().health().await.unwrap().schedules, 0);
    });
}

fn a_store_that_fails_loses_nothing() {
    on_stage(EVERY_10S, 1, async |stage| {
        stage.at(0.0).await;
        // It refuses every step of the session that it has lost.
        let other = crate::record::HostInfo::named("x");
        stage.store.attach(other, secs(5.0)).await.unwrap();
        assert_eq!(stage.world.instant(secs(10.0)).await, Err(StoreError::Fenced));
        stage.world.restart(secs(20.0)).await.unwrap();
        stage.at(20.0).await;
        let expected = ["j coalesced +10 latest", "j ran +20 catch_up @+20"];
        assert_eq!(stage.ledger().await, expected);
    });
}
