//! Of runs: who holds them, how they end, and what is told of them.

use std::time::Duration;

use super::world::{World, at, ended, intent, job, new_run, plan, run_key, spec};
use crate::job::Delivery;
use crate::record::Session;
use crate::record::step::Pulse;
use crate::record::step::{
    AttemptEnd, CancelReply, Change, Finished, FireIntent, LiveRuns, NewRun, PlannedFire,
    RunProgress, RunSpec,
};
use crate::run::id::{RunId, SessionId};
use crate::run::outcome::Outcome;
use crate::run::{Progress, RunState, Verdict, reason};
use crate::store::error::StoreError;

pub(super) async fn i6_fences_grow(world: World) {
    let mut session = world.attach(at(0)).await;
    world.put("a", 100).await;
    let mut fences = Vec::new();
    for number in 0..6 {
        world.start("a", 1 + number, at(0)).await;
        // The clock goes back; fences do not.
        let now = at(100 - i64::try_from(number).unwrap() * 10);
        fences.extend(world.acquire(&session, now).await.iter().map(|claim| claim.fence));
        if number == 3 {
            session = world.attach(at(0)).await;
        }
    }
    assert!(fences.is_sorted_by(|a, b| a < b) && fences.len() == 10, "{fences:?}");
    assert!(u64::try_from(at(100).micros()).unwrap() <= fences[0]);
}

pub(super) async fn i7_only_the_current_attempt_writes(world: World) {
    let zombie = world.attach(at(0)).await;
    world.put("a", 1).await;
    let old = world.fire_and_claim(&zombie, "a").await;
    let key = old.run.key();
    let (session, reaped) = world.attach_after(at(1)).await;
    assert_eq!(reaped.rescued, std::slice::from_ref(&key));
    let new = world.acquire(&session, at(1)).await.pop().unwrap();
    assert_eq!((new.run.id, new.run.attempt, new.run.rescues), (old.run.id, 2, 1));
    assert!(old.fence < new.fence);
    let before = world.run(key.run).await;

    let stranger = Session { id: SessionId::from_bits(1), ..session.clone() };
    for (who, fence) in [(&zombie, old.fence), (&session, old.fence), (&stranger, new.fence)] {
        let end = ended(Outcome::Succeeded);
        let answer = world.store.finish(who, &key, fence, end, at(2)).await;
        assert_eq!(answer, Ok(Finished::Fenced), "{fence}");
    }
    let line = vec![super::world::line("late")];
    assert_eq!(world.store.log_append(&key, old.fence, line).await, Err(StoreError::Fenced));
    assert!(matches!(
        world.store.beat(&zombie, Pulse::default(), at(2)).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(world.store.due(&zombie, at(2), 1).await, Err(StoreError::Fenced)));
    let progress = Progress { done: 1, total: None, message: String::new() };
    let stale = RunProgress { run: key.clone(), fence: old.fence, progress };
    world.store.beat(&session, Pulse { progress: vec![stale], info: None }, at(2)).await.unwrap();
    assert_eq!(world.run(key.run).await, before);

    assert_eq!(world.finish(&session, &new, Outcome::Failed, at(3)).await, Finished::Done);
    let run = world.run(key.run).await;
    let attempts: Vec<_> = run.attempts.iter().map(|a| (a.attempt, a.outcome)).collect();
    assert_eq!(attempts, [(1, Some(Outcome::Abandoned)), (2, Some(Outcome::Failed))]);
    assert_eq!((run.verdict, run.outcome), (Some(Verdict::Ran), Some(Outcome::Failed)));
}

pub(super) async fn i8_what_is_done_stays_done(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    assert_eq!(world.finish(&session, &claim, Outcome::Succeeded, at(1)).await, Finished::Done);
    let done = world.run(claim.run.id).await;
    assert_eq!((done.state, done.finished_at), (RunState::Done, Some(at(1))));
    assert_eq!(done.usage.wall_ms, 7);

    assert_eq!(world.finish(&session, &claim, Outcome::Succeeded, at(2)).await, Finished::Already);
    assert_eq!(world.finish(&session, &claim, Outcome::Failed, at(2)).await, Finished::Fenced);
    let key = claim.run.key();
    assert_eq!(world.store.cancel(&key, "too late", at(2)).await, Ok(CancelReply::AlreadyDone));
    let late = world.store.drop_run(&key, Verdict::Expired, "late".into(), at(2)).await;
    assert_eq!(late, Ok(false));
    assert!(world.acquire(&session, at(9)).await.is_empty());
    assert_eq!(world.run(claim.run.id).await, done);
}

pub(super) async fn i9_rescues_are_bounded(world: World) {
    for (delivery, max_rescues, rescues) in
        [(Delivery::AtLeastOnce, 2, 2), (Delivery::AtLeastOnce, 0, 0), (Delivery::AtMostOnce, 2, 0)]
    {
        let name = format!("{max_rescues}-{rescues}");
        let mut session = world.attach(at(0)).await;
        let schedule = world.put(&name, 1).await;
        let spec = RunSpec { delivery, max_rescues, ..spec() };
        let fire = PlannedFire { spec, ..plan(at(0)) };
        let (queued, _, _) = world.fire(&session, intent(&schedule, [fire]), at(0)).await;
        let key = run_key(queued[0]);
        for rescue in 0..=rescues {
            assert_eq!(world.acquire(&session, at(1)).await.len(), 1, "{name}");
            let reaped;
            (session, reaped) = world.attach_after(at(2)).await;
            let is_last = rescue == rescues;
            assert_eq!(reaped.rescued.contains(&key), !is_last, "{name}");
            assert_eq!(reaped.abandoned.contains(&key), is_last, "{name}");
        }
        let run = world.run(key.run).await;
        assert_eq!((run.state, run.outcome), (RunState::Done, Some(Outcome::Abandoned)));
        assert_eq!((run.attempt, run.rescues), (rescues + 1, rescues), "{name}");
        assert!(world.acquire(&session, at(3)).await.is_empty());
    }
}

pub(super) async fn i16_a_cancelled_run_never_starts(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let waits = world.start("a", 1, at(0)).await;
    let backlog = world.start("a", 2, at(0)).await;
    let later = NewRun { not_before: Some(at(9)), ..new_run("a", 3, at(0)) };
    world.store.start(later, at(0)).await.unwrap();
    for id in [waits.id, backlog.id, RunId::from_bits(3)] {
        let reply = world.store.cancel(&run_key(id), "ann: not needed", at(1)).await;
        assert_eq!(reply, Ok(CancelReply::Ended));
        let run = world.run(id).await;
        assert_eq!((run.state, run.verdict), (RunState::Done, Some(Verdict::Cancelled)));
        assert_eq!(run.reason.as_deref(), Some(reason::BY_REQUEST));
        assert_eq!((run.cancel.as_deref(), run.outcome), (Some("ann: not needed"), None));
    }
    assert!(world.acquire(&session, at(99)).await.is_empty());

    // Asked for while it ran, then its host died: it is not started again.
    let claim = world.fire_and_claim(&session, "a").await;
    let key = claim.run.key();
    assert_eq!(world.store.cancel(&key, "stop", at(1)).await, Ok(CancelReply::Asked));
    let (session, reaped) = world.attach_after(at(2)).await;
    assert_eq!(reaped.cancelled, std::slice::from_ref(&key));
    assert!(world.acquire(&session, at(99)).await.is_empty());
    assert_eq!(world.run(key.run).await.outcome, Some(Outcome::Cancelled));
    let unknown = world.store.cancel(&run_key(RunId::from_bits(77)), "", at(1)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
}

pub(super) async fn a_cancelled_run_that_is_held_ends_in_what_it_reached(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    let key = claim.run.key();
    for why in ["first", "second"] {
        assert_eq!(world.store.cancel(&key, why, at(1)).await, Ok(CancelReply::Asked));
    }
    let beat = world.store.beat(&session, Pulse::default(), at(1)).await.unwrap();
    assert_eq!(beat.cancels, [(key.clone(), "first".to_owned())]);

    let end = AttemptEnd { retry_at: Some(at(5)), ..ended(Outcome::Failed) };
    world.store.finish(&session, &key, claim.fence, end, at(2)).await.unwrap();
    let run = world.run(key.run).await;
    assert_eq!((run.state, run.outcome), (RunState::Done, Some(Outcome::Failed)));
    assert!(world.store.beat(&session, Pulse::default(), at(3)).await.unwrap().cancels.is_empty());
}

pub(super) async fn higher_priority_goes_first_then_the_older_fire(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 100).await;
    for (id, priority, fire_time) in [(1, 5, 3), (2, 5, 1), (3, 9, 8), (4, 0, 0), (5, 5, 2)] {
        let spec = RunSpec { priority, ..spec() };
        let run = NewRun { spec, fire_time: at(fire_time), ..new_run("a", id, at(0)) };
        world.store.start(run, at(8)).await.unwrap();
    }
    let order: Vec<_> =
        world.acquire(&session, at(9)).await.iter().map(|claim| claim.run.id).collect();
    assert_eq!(order, [3, 2, 5, 1, 4].map(RunId::from_bits));
}

pub(super) async fn a_retry_waits_for_its_time_and_keeps_its_slot(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    let key = claim.run.key();
    let end = AttemptEnd { retry_at: Some(at(5)), ..ended(Outcome::Failed) };
    for answer in [Finished::Done, Finished::Already] {
        let finished = world.store.finish(&session, &key, claim.fence, end.clone(), at(1)).await;
        assert_eq!(finished, Ok(answer));
    }
    let run = world.run(key.run).await;
    assert_eq!((run.state, run.not_before), (RunState::Retrying, Some(at(5))));
    assert_eq!((run.outcome, run.finished_at), (None, None));
    let next = intent(&world.get("a").await, [plan(at(1))]);
    assert_eq!(world.fire(&session, next, at(1)).await.2, [at(1)], "the retry has the slot");

    assert!(world.acquire(&session, at(4)).await.is_empty());
    let again = world.acquire(&session, at(5)).await.pop().unwrap();
    assert_eq!((again.run.id, again.run.attempt, again.run.not_before), (key.run, 2, None));
    assert!(claim.fence < again.fence);
    let late = world.store.finish(&session, &key, claim.fence, end, at(6)).await;
    assert_eq!(late, Ok(Finished::Already), "the end of attempt 1 was noted");
    world.finish(&session, &again, Outcome::Succeeded, at(6)).await;
    assert_eq!(world.run(key.run).await.usage.wall_ms, 14, "the sum of both");
}

pub(super) async fn a_run_with_a_time_waits_for_it_without_a_slot(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let later = NewRun { not_before: Some(at(5)), ..new_run("a", 1, at(0)) };
    world.store.start(later, at(0)).await.unwrap();
    let claim = world.fire_and_claim(&session, "a").await;
    assert!(world.acquire(&session, at(5)).await.is_empty(), "now it waits for a slot");
    world.finish(&session, &claim, Outcome::Succeeded, at(6)).await;
    assert_eq!(world.acquire(&session, at(6)).await.len(), 1);
}

pub(super) async fn a_claim_in_a_fire_is_held_at_once_unless_its_plugin_is_missing(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 9).await;
    let missing = PlannedFire { reason: reason::NO_PLUGIN.into(), ..plan(at(1)) };
    let fires = [plan(at(0)), missing, plan(at(2)), plan(at(3))];
    let next = FireIntent { claim: 2, ..intent(&schedule, fires) };
    let (queued, claimed, _) = world.fire(&session, next, at(3)).await;
    let times: Vec<_> = claimed.iter().map(|claim| claim.run.fire_time).collect();
    assert_eq!((times, queued.len()), (vec![at(0), at(2)], 2));
    for claim in &claimed {
        assert_eq!((claim.run.state, claim.run.attempt), (RunState::Running, 1));
        assert_eq!(claim.run.verdict, Some(Verdict::Ran));
        assert_eq!(claim.schedule.as_deref(), Some(&world.get("a").await));
    }
    let rest = world.acquire(&session, at(4)).await;
    let reasons: Vec<_> = rest.iter().map(|claim| claim.run.reason.as_deref()).collect();
    assert_eq!(reasons, [Some(reason::LATE), Some(reason::ON_TIME)]);
}

pub(super) async fn a_dropped_run_has_its_verdict_and_never_starts(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 2).await;
    let next = FireIntent { claim: 1, ..intent(&schedule, [plan(at(0)), plan(at(1))]) };
    let (queued, claimed, _) = world.fire(&session, next, at(1)).await;
    let drop_it = async |id, verdict| {
        let too_long = reason::QUEUED_TOO_LONG.into();
        world.store.drop_run(&run_key(id), verdict, too_long, at(2)).await
    };
    assert_eq!(drop_it(queued[0], Verdict::Misfired).await, Ok(true));
    assert_eq!(drop_it(queued[0], Verdict::Misfired).await, Ok(true), "its answer was lost");
    assert_eq!(drop_it(queued[0], Verdict::Expired).await, Ok(false));
    assert_eq!(drop_it(claimed[0].run.id, Verdict::Misfired).await, Ok(false), "it runs");
    assert!(matches!(drop_it(queued[0], Verdict::Ran).await, Err(StoreError::Invalid(_))));
    let run = world.run(queued[0]).await;
    assert_eq!((run.verdict, run.state), (Some(Verdict::Misfired), RunState::Done));
    assert!(world.acquire(&session, at(3)).await.is_empty());
}

pub(super) async fn the_schedule_knows_its_last_run_and_success(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 2).await;
    let last = async || {
        let last = world.get("a").await.last_run.unwrap();
        (last.run, last.at, last.state, last.outcome, last.previous_success)
    };
    let first = world.fire_and_claim(&session, "a").await;
    assert_eq!(last().await, (first.run.id, at(0), RunState::Running, None, None));
    let second = world.fire_and_claim(&session, "a").await;
    assert_eq!(last().await, (second.run.id, at(1), RunState::Running, None, None));
    world.finish(&session, &first, Outcome::Succeeded, at(2)).await;
    assert_eq!(last().await, (second.run.id, at(1), RunState::Running, None, Some(at(0))));
    world.finish(&session, &second, Outcome::Failed, at(3)).await;
    let failed = Some(Outcome::Failed);
    assert_eq!(last().await, (second.run.id, at(3), RunState::Done, failed, Some(at(0))));
    let manual = world.start("a", 1, at(4)).await;
    assert_eq!(last().await, (manual.id, at(4), RunState::Queued, None, Some(at(0))));
}

pub(super) async fn removing_a_job_cancels_or_leaves_its_runs(world: World) {
    let session = world.attach(at(0)).await;
    for (name, base, live) in [("a", 10, LiveRuns::Keep), ("b", 20, LiveRuns::Cancel)] {
        world.put(name, 1).await;
        let held = world.fire_and_claim(&session, name).await;
        let waiting = world.start(name, base, at(0)).await;
        world.store.remove(&job(name), None, live, at(1)).await.unwrap();
        let (held_now, waiting_now) = (world.run(held.run.id).await, world.run(waiting.id).await);
        match live {
            LiveRuns::Keep => {
                assert_eq!((held_now.cancel, waiting_now.verdict), (None, None));
                world.finish(&session, &held, Outcome::Succeeded, at(2)).await;
                let claim = world.acquire(&session, at(2)).await.pop().unwrap();
                assert_eq!((claim.run.id, &claim.schedule), (waiting.id, &None));
                world.finish(&session, &claim, Outcome::Succeeded, at(2)).await;
            }
            LiveRuns::Cancel => {
                assert!(held_now.cancel.is_some(), "its host is asked");
                assert_eq!(waiting_now.verdict, Some(Verdict::Cancelled));
                assert_eq!(waiting_now.reason.as_deref(), Some(reason::JOB_REMOVED));
            }
        }
    }
}

pub(super) async fn changes_are_told_after_they_are_kept(world: World) {
    let session = world.attach(at(0)).await;
    let mut changes = world.store.feed();
    let schedule = world.put("a", 1).await;
    let (queued, _, _) = world.fire(&session, intent(&schedule, [plan(at(0))]), at(0)).await;
    let key = run_key(queued[0]);
    world.acquire(&session, at(0)).await;
    world.store.cancel(&key, "stop", at(1)).await.unwrap();
    let mut told = Vec::new();
    while let Ok(Ok(change)) =
        tokio::time::timeout(Duration::from_millis(200), changes.recv()).await
    {
        told.push(change);
    }
    let run = Change::Run(key.clone());
    let (put, fired) = (Change::Job(schedule.key.clone()), Change::Fired(schedule.key));
    let expected = [put, run.clone(), fired, Change::Queued, run.clone(), run, Change::Cancel(key)];
    assert_eq!(told, expected);
}
