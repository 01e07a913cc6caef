//! Of what a store does by itself: deadlines, overlaps, pauses after failures.

use super::world::{World, at, intent, new_run, new_schedule, plan, range};
use crate::job::Overlap;
use crate::record::step::Pulse;
use crate::record::step::{
    Conflict, Disposition, FireIntent, NewRun, NewSchedule, Patch, PlannedFire,
};
use crate::record::{Pause, Rules};
use crate::run::outcome::Outcome;
use crate::run::{RunState, StartBy, Verdict, reason};

fn too_long(second: i64) -> Option<StartBy> {
    Some(StartBy {
        at: at(second),
        verdict: Verdict::Misfired,
        reason: reason::QUEUED_TOO_LONG.into(),
    })
}

async fn put_with(world: &World, max_instances: u32, rules: Rules) {
    let new = NewSchedule { rules, ..new_schedule("a", max_instances) };
    world.store.put(new, Conflict::Fail, at(0)).await.unwrap();
}

/// Fires the job's next second. Answers the fire times that were skipped.
async fn fire(world: &World, session: &crate::record::Session) -> usize {
    let schedule = world.get("a").await;
    let second = schedule.cursor.unwrap();
    world.fire(session, intent(&schedule, [plan(second)]), second).await.2.len()
}

pub(super) async fn a_run_that_waited_too_long_has_its_verdict_and_never_starts(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 9).await;
    let late = PlannedFire { start_by: too_long(5), ..plan(at(0)) };
    let (queued, ..) = world.fire(&session, intent(&schedule, [late]), at(0)).await;
    let asked = NewRun {
        start_by: Some(StartBy {
            at: at(7),
            verdict: Verdict::Expired,
            reason: reason::EXPIRES.into(),
        }),
        ..new_run("a", 1, at(0))
    };
    world.store.start(asked, at(0)).await.unwrap();
    world.store.due(&session, at(5), 9).await.unwrap();
    assert_eq!(world.run(queued[0]).await.state, RunState::Queued, "exactly then it may start");
    world.store.due(&session, at(6), 9).await.unwrap();
    let run = world.run(queued[0]).await;
    assert_eq!((run.state, run.verdict), (RunState::Done, Some(Verdict::Misfired)));
    assert_eq!(run.reason.as_deref(), Some(reason::QUEUED_TOO_LONG));
    assert_eq!(world.ledger("a").await[0].verdict, Verdict::Misfired);
    assert!(world.acquire(&session, at(8)).await.is_empty(), "the other one has expired");
    let live = world.store.health().await.unwrap().live_runs;
    assert_eq!(live, 0);
}

pub(super) async fn a_run_that_started_in_time_has_no_deadline_any_more(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 9).await;
    let fire = PlannedFire { start_by: too_long(5), ..plan(at(0)) };
    world.fire(&session, intent(&schedule, [fire]), at(0)).await;
    let claim = world.acquire(&session, at(5)).await.pop().unwrap();
    world.store.due(&session, at(100), 9).await.unwrap();
    assert_eq!(world.run(claim.run.id).await.state, RunState::Running);
    // Its host dies: it is rescued, however late.
    let (session, _) = world.attach_after(at(200)).await;
    assert_eq!(world.acquire(&session, at(200)).await[0].run.attempt, 2);
}

pub(super) async fn with_overlap_queue_a_fire_waits_up_to_the_limit(world: World) {
    let session = world.attach(at(0)).await;
    let rules = Rules { overlap: Overlap::Queue, queue_limit: 2, ..Rules::default() };
    put_with(&world, 1, rules).await;
    let first = world.fire_and_claim(&session, "a").await;
    assert_eq!(fire(&world, &session).await, 0);
    assert_eq!(fire(&world, &session).await, 0);
    assert_eq!(fire(&world, &session).await, 1, "two wait already");
    let skipped = &world.ledger("a").await[0];
    assert_eq!((skipped.verdict, skipped.reason.as_ref()), (Verdict::Skipped, "queue_limit"));
    assert!(world.acquire(&session, at(4)).await.is_empty());
    world.finish(&session, &first, Outcome::Succeeded, at(4)).await;
    let next = world.acquire(&session, at(4)).await;
    assert_eq!(next.len(), 1, "one slot, one run");
    assert_eq!(next[0].run.fire_time, at(1), "the oldest of those that wait");
}

pub(super) async fn with_overlap_replace_the_oldest_makes_room(world: World) {
    let session = world.attach(at(0)).await;
    put_with(&world, 1, Rules { overlap: Overlap::Replace, ..Rules::default() }).await;
    let first = world.fire_and_claim(&session, "a").await;
    assert_eq!(fire(&world, &session).await, 0);
    let beat = world.store.beat(&session, Pulse::default(), at(2)).await.unwrap();
    assert_eq!(beat.cancels.len(), 1, "the one that runs is asked to stop");
    assert_eq!(fire(&world, &session).await, 0, "and what waits is replaced in turn");
    let waiting = &world.ledger("a").await;
    let replaced = waiting.iter().find(|item| item.first == at(1)).unwrap();
    assert_eq!((replaced.verdict, replaced.reason.as_ref()), (Verdict::Cancelled, "replaced"));
    assert!(world.acquire(&session, at(3)).await.is_empty());
    world.finish(&session, &first, Outcome::Cancelled, at(3)).await;
    let next = world.acquire(&session, at(3)).await;
    assert_eq!(next.iter().map(|claim| claim.run.fire_time).collect::<Vec<_>>(), [at(2)]);
}

pub(super) async fn a_job_that_fails_too_often_in_a_row_is_paused(world: World) {
    let session = world.attach(at(0)).await;
    let rules = Rules { pause_after_failures: Some(2), ..Rules::default() };
    put_with(&world, 1, rules).await;
    for (outcome, failures, paused) in [
        (Outcome::Failed, 1, false),
        (Outcome::Succeeded, 0, false),
        (Outcome::Trapped, 1, false),
        (Outcome::Cancelled, 1, false),
        (Outcome::TimedOut, 2, true),
    ] {
        let claim = world.fire_and_claim(&session, "a").await;
        let now = claim.run.fire_time;
        world.finish(&session, &claim, outcome, now).await;
        let schedule = world.get("a").await;
        assert_eq!(
            (schedule.failures, schedule.pause.is_some()),
            (failures, paused),
            "{outcome:?}"
        );
    }
    let schedule = world.get("a").await;
    assert_eq!(schedule.pause.unwrap().by, "pause_after_failures");
    assert!(world.store.due(&session, at(60), 9).await.unwrap().schedules.is_empty());
}

pub(super) async fn a_pause_is_looked_at_when_it_ends_and_is_one_range(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 1).await;
    let pause = |until| Pause { by: "me".into(), why: "night".into(), until };
    let patch = Patch { pause: Some(Some(pause(Some(at(30))))), ..Patch::default() };
    world.store.patch(&schedule.key, None, patch, at(1)).await.unwrap();
    let due = world.store.due(&session, at(29), 9).await.unwrap();
    assert_eq!((due.schedules.len(), due.next_due), (0, Some(at(30))));
    assert_eq!(world.store.due(&session, at(30), 9).await.unwrap().schedules.len(), 1);
    let patch = Patch { pause: Some(Some(pause(None))), ..Patch::default() };
    world.store.patch(&schedule.key, None, patch, at(31)).await.unwrap();
    let due = world.store.due(&session, at(99_999), 9).await.unwrap();
    assert_eq!((due.schedules.len(), due.next_due), (0, None), "it has no end of its own");
    let resumed = Patch {
        pause: Some(None),
        cursor: Some((Some(at(50)), Some(at(50)))),
        ranges: vec![range(Verdict::Paused, reason::PAUSED, 0, 49)],
        ..Patch::default()
    };
    world.store.patch(&schedule.key, None, resumed, at(49)).await.unwrap();
    let ledger = world.ledger("a").await;
    assert_eq!((ledger.len(), ledger[0].count), (1, 50), "a pause is one range: {ledger:?}");
}

pub(super) async fn what_waits_by_itself_is_not_bound_by_the_queue_limit(world: World) {
    let session = world.attach(at(0)).await;
    let rules = Rules { overlap: Overlap::Queue, queue_limit: 1, ..Rules::default() };
    put_with(&world, 1, rules).await;
    let schedule = world.get("a").await;
    let waits = |second| PlannedFire { disposition: Disposition::Wait, ..plan(at(second)) };
    let backlog = FireIntent { claim: 0, ..intent(&schedule, [waits(0), waits(1), waits(2)]) };
    let (queued, _, skipped) = world.fire(&session, backlog, at(2)).await;
    assert_eq!((queued.len(), skipped.len()), (3, 0));
}
