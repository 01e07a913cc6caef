//! Of what is forgotten, when, and of whom first.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::world::{HISTORY, World, at, ended, intent, job, line, new_schedule, range};
use crate::job::History;
use crate::record::step::{
    AttemptEnd, Claim, Conflict, Finished, LiveRuns, NewSchedule, Patch, Retention, Trimmed,
};
use crate::record::{Doc, Session};
use crate::run::id::Uid;
use crate::run::outcome::Outcome;
use crate::run::{Range, Run, RunKey, Verdict, reason};
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey, Effects, Write};
use crate::store::core::papers::{RangeMark, Victims};
use crate::store::core::rounds::MUCH;
use crate::store::core::{Core, Past};
use crate::store::error::StoreError;
use crate::time::Timestamp;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
const ONE_DAY: Duration = Duration::from_hours(24);
const KEEP: Retention = Retention { removed: HISTORY, max_entries: 100_000 };

impl World {
    async fn trim(&self, keep: Retention, budget: usize, now: Timestamp) -> Trimmed {
        self.store.trim(keep, budget, now).await.unwrap()
    }

    /// Fires the job's next second and ends the run at `now`, with a result and a line of log.
    async fn run_once(&self, session: &Session, name: &str, now: Timestamp) -> RunKey {
        let claim = self.fire_and_claim(session, name).await;
        self.end_with_body(session, &claim, now).await;
        claim.run.key()
    }

    async fn end_with_body(&self, session: &Session, claim: &Claim, now: Timestamp) {
        let end = AttemptEnd { result: Some(json!(1)), ..ended(Outcome::Succeeded) };
        let end = AttemptEnd { log: vec![line("said")], ..end };
        let ended = self.store.finish(session, &claim.run.key(), claim.fence, end, now).await;
        assert_eq!(ended, Ok(Finished::Done));
    }

    async fn has(&self, run: &RunKey) -> bool {
        self.store.run(run).await.unwrap().is_some()
    }

    /// A new job with a verdict for a fire time before it was known.
    async fn put_misfired(&self, name: &str, first: i64, now: Timestamp) {
        let ranges = vec![misfired(first)];
        let new = NewSchedule { ranges, ..new_schedule(name, 9) };
        let new = NewSchedule { cursor: None, due_at: None, ..new };
        self.store.put(new, Conflict::Fail, now).await.unwrap();
    }
}

fn misfired(second: i64) -> Range {
    range(Verdict::Misfired, reason::BEFORE_REGISTRATION, second, second)
}

pub(super) async fn i18_trimming_spares_what_is_live_new_or_the_last(world: World) {
    let session = world.attach(at(0)).await;
    let history = History { keep: 0, max_age: Duration::from_secs(1) };
    world.put_with("a", history).await;
    world.put_with("b", history).await;
    let old = world.fire_and_claim(&session, "a").await;
    let last = world.fire_and_claim(&session, "a").await;
    let live = world.fire_and_claim(&session, "a").await;
    let only = world.fire_and_claim(&session, "b").await;
    for claim in [&old, &last, &only] {
        world.finish(&session, claim, Outcome::Succeeded, at(10)).await;
    }
    let keep = Retention { max_entries: 0, ..KEEP };
    for (now, records) in [(at(15), 0), (at(HOUR), 1), (at(9 * HOUR), 0)] {
        assert_eq!(world.trim(keep, 100, now).await.records, records, "at {now}");
    }
    for (claim, is_there) in [(&old, false), (&last, true), (&live, true), (&only, true)] {
        assert_eq!(world.has(&claim.run.key()).await, is_there, "{}", claim.run.fire_time);
    }
    let finished = world.finish(&session, &live, Outcome::Succeeded, at(HOUR)).await;
    assert_eq!(finished, Finished::Done);
}

pub(super) async fn trimming_bounds_entries_and_bodies(world: World) {
    let session = world.attach(at(0)).await;
    world.put_with("a", History { keep: 2, max_age: ONE_DAY }).await;
    let mut keys: Vec<RunKey> = Vec::new();
    for second in 0..6 {
        keys.push(world.run_once(&session, "a", at(second)).await);
    }
    let keep = Retention { max_entries: 4, ..KEEP };
    let trimmed = world.trim(keep, 100, at(HOUR)).await;
    assert_eq!(trimmed, Trimmed { records: 2, bodies: 2, more: false });
    assert_eq!(world.trim(keep, 100, at(HOUR)).await, Trimmed::default());
    for (index, key) in keys.iter().enumerate() {
        let run = world.store.run(key).await.unwrap();
        assert_eq!(run.is_some(), 2 <= index);
        if let Some(run) = run {
            let lines = world.store.log_read(key, 0, 9).await.unwrap().lines.len();
            assert_eq!((run.result.is_some(), lines == 1), (4 <= index, 4 <= index), "{index}");
            assert_eq!(run.outcome, Some(Outcome::Succeeded));
        }
    }
    let trimmed = world.trim(Retention { max_entries: 1, ..keep }, 1, at(HOUR)).await;
    assert_eq!(trimmed, Trimmed { records: 1, bodies: 0, more: true }, "the budget is 1");
}

pub(super) async fn a_range_ages_from_when_it_was_noted_and_a_run_from_its_end(world: World) {
    let session = world.attach(at(0)).await;
    world.put_misfired("a", -10 * YEAR, at(0)).await;
    world.put_misfired("b", -10 * YEAR, at(0)).await;
    // What grows is as young as its newest part.
    let cursor = Some((Some(at(-9 * YEAR)), Some(at(-9 * YEAR))));
    world.store.patch(&job("b"), None, Patch { cursor, ..Patch::default() }, at(0)).await.unwrap();
    let mut grows = intent(&world.get("b").await, []);
    grows.ranges = vec![misfired(-9 * YEAR)];
    (grows.new_cursor, grows.new_due_at) = (None, None);
    world.fire(&session, grows, at(20 * DAY)).await;
    assert_eq!(world.ledger("b").await[0].count, 2);

    world.put_with("c", HISTORY).await;
    let long = world.fire_and_claim(&session, "c").await;
    let short = world.run_once(&session, "c", at(1)).await;
    world.end_with_body(&session, &long, at(20 * DAY)).await;
    let newest = world.run_once(&session, "c", at(25 * DAY)).await;

    for (now, there) in [
        (at(1), [true, true, true, true]),
        (at(30 * DAY), [true, true, true, true]),
        (at(30 * DAY + 2), [false, true, true, false]),
        (at(50 * DAY), [false, true, true, false]),
        (at(50 * DAY + 1), [false, false, false, false]),
    ] {
        world.trim(KEEP, 100, now).await;
        let (a, b) = (world.ledger("a").await.len(), world.ledger("b").await.len());
        let found = [a == 1, b == 1, world.has(&long.run.key()).await, world.has(&short).await];
        assert_eq!(found, there, "at {now}");
    }
    assert!(world.has(&newest).await, "the last one says how the job is");
}

pub(super) async fn of_too_many_entries_the_oldest_go(world: World) {
    let session = world.attach(at(0)).await;
    world.put_with("a", HISTORY).await;
    let long = world.fire_and_claim(&session, "a").await;
    let short = world.run_once(&session, "a", at(5)).await;
    // Noted in between, for fire times after both.
    let mut missed = intent(&world.get("a").await, []);
    missed.ranges = vec![range(Verdict::Misfired, reason::LATE, 2, 4)];
    (missed.new_cursor, missed.new_due_at) = (Some(at(7)), Some(at(7)));
    world.fire(&session, missed, at(6)).await;
    world.end_with_body(&session, &long, at(7)).await;
    world.run_once(&session, "a", at(8)).await;

    for (max_entries, left) in [(4, [true, true, true]), (3, [false, true, true])] {
        world.trim(Retention { max_entries, ..KEEP }, 100, at(HOUR)).await;
        assert_eq!(there(&world, &short, &long.run.key()).await, left, "{max_entries}");
    }
    world.trim(Retention { max_entries: 2, ..KEEP }, 100, at(HOUR)).await;
    assert_eq!(there(&world, &short, &long.run.key()).await, [false, false, true]);
}

/// Whether the run that ended first, the range, and the run that ended last are there.
async fn there(world: &World, short: &RunKey, long: &RunKey) -> [bool; 3] {
    let is_range = |item: &crate::record::query::LedgerItem| item.verdict == Verdict::Misfired;
    let has_range = world.ledger("a").await.iter().any(is_range);
    [world.has(short).await, has_range, world.has(long).await]
}

pub(super) async fn each_job_has_a_history_of_its_own(world: World) {
    let session = world.attach(at(0)).await;
    let histories = [(1, 1), (3, 2), (9, 30)];
    let mut runs = Vec::new();
    for (name, (keep, days)) in ["a", "b", "acme/a"].into_iter().zip(histories) {
        world.put_with(name, History { keep, max_age: days * ONE_DAY }).await;
        for second in 0..4 {
            let run = world.run_once(&session, name, at(second)).await;
            runs.push((name, run));
        }
    }
    let count = async |is_kept: &dyn Fn(&crate::run::Run) -> bool| {
        let mut counts = [0; 3];
        for (name, run) in &runs {
            let index = ["a", "b", "acme/a"].iter().position(|other| other == name).unwrap();
            let run = world.store.run(run).await.unwrap();
            counts[index] += usize::from(run.is_some_and(|run| is_kept(&run)));
        }
        counts
    };
    assert_eq!(world.trim(KEEP, 100, at(HOUR)).await.bodies, 3 + 1);
    assert_eq!(count(&|run| run.result.is_some()).await, [1, 3, 4]);
    for (days, left) in [(0, [4, 4, 4]), (1, [1, 4, 4]), (2, [1, 1, 4]), (30, [1, 1, 1])] {
        world.trim(KEEP, 100, at(days * DAY + HOUR)).await;
        assert_eq!(count(&|_| true).await, left, "after {days} days");
    }
    // Less is kept as soon as the job says so.
    world.run_once(&session, "b", at(30 * DAY)).await;
    world.put_with("b", History { keep: 0, max_age: ONE_DAY }).await;
    let trimmed = world.trim(KEEP, 100, at(30 * DAY)).await;
    assert_eq!((trimmed.records, trimmed.bodies), (1, 1), "the one before is no longer the last");
}

pub(super) async fn of_a_removed_job_all_is_forgotten(world: World) {
    let session = world.attach(at(0)).await;
    world.put_misfired("a", -DAY, at(0)).await;
    world.put_with("b", HISTORY).await;
    let run = world.run_once(&session, "b", at(0)).await;
    let live = world.fire_and_claim(&session, "b").await;
    for name in ["a", "b"] {
        world.store.remove(&job(name), None, LiveRuns::Keep, at(1)).await.unwrap();
    }
    let keep = Retention { removed: History { keep: 0, max_age: ONE_DAY }, ..KEEP };
    assert_eq!(world.trim(keep, 100, at(DAY)).await, Trimmed { bodies: 1, ..Trimmed::default() });
    assert!(world.has(&run).await);
    assert_eq!(world.trim(keep, 100, at(DAY + HOUR)).await.records, 2);
    assert_eq!(world.ledger("a").await, []);
    assert!(!world.has(&run).await && world.has(&live.run.key()).await);
    world.end_with_body(&session, &live, at(DAY + HOUR)).await;
    assert_eq!(world.trim(keep, 100, at(3 * DAY)).await.records, 1);
    assert!(!world.has(&live.run.key()).await);
}

pub(super) async fn a_body_that_is_gone_is_an_empty_log(world: World) {
    let session = world.attach(at(0)).await;
    world.put_with("a", History { keep: 0, max_age: ONE_DAY }).await;
    let claim = world.fire_and_claim(&session, "a").await;
    let key = claim.run.key();
    world.store.log_append(&key, claim.fence, vec![line("early")]).await.unwrap();
    assert_eq!(world.trim(KEEP, 100, at(9 * DAY)).await, Trimmed::default(), "it is under way");
    world.end_with_body(&session, &claim, at(1)).await;
    assert_eq!(world.trim(KEEP, 100, at(2)).await.bodies, 1);

    let late = world.store.log_append(&key, claim.fence, vec![line("late")]).await;
    assert_eq!(late, Err(StoreError::Fenced));
    let log = world.store.log_read(&key, 0, 9).await.unwrap();
    assert_eq!((log.lines, log.next, log.complete), (Vec::new(), 0, true));
    let log = world.store.log_read(&key, 2, 9).await.unwrap();
    assert_eq!((log.lines, log.next, log.complete), (Vec::new(), 2, true));
    let again = world.finish(&session, &claim, Outcome::Succeeded, at(3)).await;
    assert_eq!(again, Finished::Already);
    assert_eq!(world.trim(KEEP, 100, at(4)).await, Trimmed::default());
}

pub(super) async fn a_round_goes_on_where_the_step_before_it_ended(world: World) {
    for number in 0..100 {
        world.put_misfired(&format!("a-{number:03}"), -YEAR, at(30 * DAY)).await;
        world.put_misfired(&format!("b-{number:03}"), -YEAR, at(0)).await;
    }
    let (mut left, mut steps) = (100, 0);
    while 0 < left {
        let trimmed = world.trim(KEEP, 50, at(31 * DAY)).await;
        assert!(trimmed.records < 50 || trimmed.records == 50 && trimmed.more, "{trimmed:?}");
        left -= trimmed.records;
        steps += 1;
        assert!(steps < 30, "{left} are left");
    }
    // Then from the top again.
    world.put_misfired("a", -YEAR, at(0)).await;
    while world.trim(KEEP, 50, at(31 * DAY)).await.records == 0 {
        steps += 1;
        assert!(steps < 30, "the next round does not begin");
    }
}

pub(super) async fn a_job_that_grew_much_is_looked_at_out_of_turn(world: World) {
    let session = world.attach(at(0)).await;
    for number in 0..200 {
        world.put_misfired(&format!("job-{number:03}"), -YEAR, at(0)).await;
    }
    world.put_with("last", History { keep: 1, max_age: ONE_DAY }).await;
    for second in 0..i64::from(MUCH) {
        world.run_once(&session, "last", at(second)).await;
    }
    let trimmed = world.trim(KEEP, 20, at(HOUR)).await;
    assert_eq!(trimmed, Trimmed { records: 0, bodies: 20, more: true });
    let trimmed = world.trim(KEEP, 20, at(HOUR)).await;
    assert_eq!(trimmed, Trimmed { records: 0, bodies: u64::from(MUCH) - 21, more: false });
}

/// Nothing is done but what is live.
struct NoPast;

impl Past for NoPast {
    fn run(&self, _: &RunKey) -> Result<Option<Arc<Run>>> {
        Ok(None)
    }

    fn doc(&self, _: &DocKey) -> Result<Option<Doc>> {
        Ok(None)
    }

    fn counter(&self, _: &CounterKey) -> Result<i64> {
        Ok(0)
    }
}

#[test]
fn a_range_that_has_grown_since_it_was_found_stays_and_goes_on_growing() {
    let (mut core, mut fx) = (Core::default(), Effects::default());
    let uid = Uid::from_bits(1);
    let new = NewSchedule { ranges: vec![misfired(-9)], ..new_schedule("a", 1) };
    core.put(new, Conflict::Fail, uid, at(0), &mut fx).unwrap();
    let mut forget = |last| {
        let mut fx = Effects::default();
        let ranges = vec![RangeMark { id: 1, uid, last }];
        let victims = Victims { ranges, ..Victims::default() };
        let trimmed = core.forget(&NoPast, victims, &mut fx).unwrap();
        (trimmed.records, fx.writes.iter().any(|write| matches!(write, Write::RangeGone(..))))
    };
    assert_eq!(forget(at(-10)), (0, false), "it ends later by now");
    assert_eq!(forget(at(-9)), (1, true));
}
