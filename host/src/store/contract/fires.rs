//! Of schedules, their cursors, and what becomes of fire times.

use super::world::{World, at, intent, job, new_schedule, plan, range};
use crate::record::Pause;
use crate::record::query::RunFilter;
use crate::record::step::{
    Conflict, Disposition, FireIntent, Fired, LiveRuns, NewSchedule, Patch, PlannedFire, Put,
};
use crate::run::{RunState, Verdict, reason};
use crate::store::error::StoreError;
use crate::store::run_id_of_fire;
use crate::time::Timestamp;

pub(super) async fn i1_a_fire_has_one_run_however_often_it_is_planned(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 5).await;
    let once = intent(&schedule, [plan(at(0))]);
    let fired = world.fire_all(&session, vec![once.clone(), once.clone()], at(0)).await.unwrap();
    assert!(matches!(fired.as_slice(), [Fired::Done { .. }, Fired::Lost]), "{fired:?}");
    let again = world.fire_all(&session, vec![once], at(0)).await.unwrap();
    assert!(matches!(again.as_slice(), [Fired::Lost]), "{again:?}");

    let runs = world.store.runs(RunFilter::default(), crate::record::query::Page::default()).await;
    let ids: Vec<_> = runs.unwrap().items.iter().map(|run| run.id).collect();
    assert_eq!(ids, [run_id_of_fire(&schedule.key, schedule.uid, at(0))]);
}

pub(super) async fn i2_the_cursor_never_goes_back_to_what_is_accounted_for(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 5).await;
    world.fire(&session, intent(&schedule, [plan(at(0)), plan(at(1))]), at(1)).await;
    assert_eq!(world.get("a").await.cursor, Some(at(2)));

    for (back_to, is_refused) in [(0, true), (1, true), (2, false)] {
        let cursor = Some((Some(at(back_to)), Some(at(back_to))));
        let patch = Patch { cursor, ..Patch::default() };
        let patched = world.store.patch(&job("a"), None, patch, at(1)).await;
        assert_eq!(matches!(patched, Err(StoreError::Invalid(_))), is_refused, "{back_to}");
        let (cursor, due_at) = (Some(at(back_to)), Some(at(back_to)));
        let put = NewSchedule { cursor, due_at, ..new_schedule("a", 5) };
        let put = world.store.put(put, Conflict::Replace, at(1)).await;
        assert_eq!(matches!(put, Err(StoreError::Invalid(_))), is_refused, "{back_to}");
    }
    assert_eq!(world.get("a").await.last_fire, Some(at(1)));
}

pub(super) async fn i3_every_fire_time_passed_is_accounted_for_once(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 5).await;
    let base = intent(&schedule, [plan(at(3))]);
    let into = run_id_of_fire(&schedule.key, schedule.uid, at(3));
    let mut coalesced = range(Verdict::Coalesced, reason::LATEST, 0, 2);
    coalesced.into = Some(into);
    let straddling = range(Verdict::Misfired, reason::LATE, 0, 3);

    for (what, ranges) in [
        ("the cursor's own time is left out", vec![]),
        ("a range holds the time of a run", vec![straddling]),
        ("a range begins before the cursor", vec![range(Verdict::Misfired, reason::LATE, -1, 2)]),
        ("a range is told twice", vec![coalesced.clone(), coalesced.clone()]),
        (
            "a range reaches the new cursor",
            vec![coalesced.clone(), range(Verdict::Misfired, reason::LATE, 4, 5)],
        ),
    ] {
        let refused =
            world.fire_all(&session, vec![FireIntent { ranges, ..base.clone() }], at(9)).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{what}: {refused:?}");
    }
    assert_eq!(world.ledger("a").await, []);

    let sound = FireIntent { ranges: vec![coalesced.clone()], ..base };
    let (_, claimed, _) = world.fire(&session, FireIntent { claim: 1, ..sound }, at(9)).await;
    assert_eq!(claimed.len(), 1);
    let ledger = world.ledger("a").await;
    let told: Vec<_> =
        ledger.iter().map(|item| (item.verdict, item.first, item.last, item.count)).collect();
    assert_eq!(told, [(Verdict::Ran, at(3), at(3), 1), (Verdict::Coalesced, at(0), at(2), 3),]);
    assert_eq!((ledger[0].run, ledger[1].into), (Some(into), Some(into)));
}

pub(super) async fn i4_nothing_fires_early_or_out_of_order(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 5).await;
    let late_due = PlannedFire { due_at: at(5), ..plan(at(0)) };
    let early_due = PlannedFire { due_at: at(-1), ..plan(at(0)) };
    for (what, bad, now) in [
        ("a fire before its time", intent(&schedule, [plan(at(0))]), at(-1)),
        ("a fire before its due time", intent(&schedule, [late_due]), at(4)),
        ("a fire due before itself", intent(&schedule, [early_due]), at(9)),
        ("fires that descend", intent(&schedule, [plan(at(1)), plan(at(0))]), at(9)),
        ("a fire told twice", intent(&schedule, [plan(at(0)), plan(at(0))]), at(9)),
        (
            "a cursor that stays",
            FireIntent { new_cursor: Some(at(0)), ..intent(&schedule, [plan(at(0))]) },
            at(9),
        ),
        (
            "a cursor that is due before itself",
            FireIntent { new_due_at: Some(at(0)), ..intent(&schedule, [plan(at(0))]) },
            at(9),
        ),
    ] {
        let refused = world.fire_all(&session, vec![bad], now).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{what}: {refused:?}");
    }
    assert_eq!(world.get("a").await, schedule);
    let (queued, _, _) = world.fire(&session, intent(&schedule, [plan(at(0))]), at(0)).await;
    assert_eq!(queued.len(), 1);
}

pub(super) async fn at_max_instances_a_fire_is_skipped_or_waits(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let first = world.fire_and_claim(&session, "a").await;

    let waiting = PlannedFire { disposition: Disposition::Wait, ..plan(at(2)) };
    let next = intent(&world.get("a").await, [plan(at(1)), waiting]);
    let (queued, claimed, skipped) =
        world.fire(&session, FireIntent { claim: 9, ..next }, at(2)).await;
    assert_eq!((queued.len(), claimed.len(), skipped), (1, 0, vec![at(1)]));
    assert_eq!(world.run(queued[0]).await.state, RunState::Queued);
    assert!(world.acquire(&session, at(2)).await.is_empty(), "its job has no free slot");

    world.finish(&session, &first, crate::run::outcome::Outcome::Succeeded, at(3)).await;
    let claims = world.acquire(&session, at(3)).await;
    assert_eq!(claims.iter().map(|claim| claim.run.id).collect::<Vec<_>>(), queued);
}

pub(super) async fn adjacent_skips_are_one_open_range(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let first = world.fire_and_claim(&session, "a").await;
    for second in 1..=3 {
        let next = intent(&world.get("a").await, [plan(at(second))]);
        world.fire(&session, next, at(second)).await;
    }
    world.finish(&session, &first, crate::run::outcome::Outcome::Succeeded, at(3)).await;
    let second = world.fire_and_claim(&session, "a").await;
    let next = intent(&world.get("a").await, [plan(at(5))]);
    world.fire(&session, next, at(5)).await;

    let told: Vec<_> =
        world.ledger("a").await.iter().map(|item| (item.first, item.last, item.count)).collect();
    assert_eq!(
        told,
        [(at(5), at(5), 1), (second.run.fire_time, at(4), 1), (at(1), at(3), 3), (at(0), at(0), 1),]
    );
}

pub(super) async fn what_was_coalesced_into_a_skipped_run_is_skipped(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    world.fire_and_claim(&session, "a").await;
    let schedule = world.get("a").await;
    let mut coalesced = range(Verdict::Coalesced, reason::LATEST, 1, 3);
    coalesced.into = Some(run_id_of_fire(&schedule.key, schedule.uid, at(4)));
    let next = FireIntent { ranges: vec![coalesced], ..intent(&schedule, [plan(at(4))]) };
    assert_eq!(world.fire(&session, next, at(4)).await.2, [at(4)]);

    let newest = world.ledger("a").await.swap_remove(0);
    assert_eq!(
        (newest.verdict, newest.reason.as_ref(), newest.first, newest.last, newest.count),
        (Verdict::Skipped, reason::MAX_INSTANCES, at(1), at(4), 4)
    );
    assert_eq!(newest.into, None);
}

pub(super) async fn due_jobs_come_earliest_first(world: World) {
    let session = world.attach(at(0)).await;
    for (name, due) in [("b", 2), ("a", 3), ("c", 1), ("d", 9)] {
        let (cursor, due_at) = (Some(at(0)), Some(at(due)));
        let new = NewSchedule { cursor, due_at, ..new_schedule(name, 1) };
        world.store.put(new, Conflict::Fail, at(0)).await.unwrap();
    }
    for (now, max, names, next_due) in [
        (0, 9, vec![], Some(at(1))),
        (3, 9, vec!["c", "b", "a"], Some(at(9))),
        (3, 2, vec!["c", "b"], Some(at(3))),
        (9, 9, vec!["c", "b", "a", "d"], None),
    ] {
        let due = world.store.due(&session, at(now), max).await.unwrap();
        let found: Vec<_> = due.schedules.iter().map(|s| s.key.job.as_str()).collect();
        assert_eq!((found, due.next_due), (names, next_due), "at {now}");
    }
}

pub(super) async fn a_paused_or_parked_job_is_not_due_and_makes_no_runs(world: World) {
    let session = world.attach(at(0)).await;
    let pause = Pause { by: "ann".to_owned(), why: "holidays".to_owned(), until: None };
    let paused = Patch { pause: Some(Some(pause)), ..Patch::default() };
    let parked = Patch { parked: Some(Some("undeclared".to_owned())), ..Patch::default() };
    for (name, stop) in [("a", paused), ("b", parked)] {
        world.put(name, 1).await;
        world.store.patch(&job(name), None, stop, at(0)).await.unwrap();
        let is_due = async || {
            let due = world.store.due(&session, at(5), 9).await.unwrap();
            due.schedules.iter().any(|schedule| schedule.key == job(name))
        };
        assert!(!is_due().await, "{name}");
        let fire = intent(&world.get(name).await, [plan(at(0))]);
        let fired = world.fire_all(&session, vec![fire], at(9)).await.unwrap();
        assert!(matches!(fired.as_slice(), [Fired::Lost]), "{name}");

        let go_on = Patch {
            pause: Some(None),
            parked: Some(None),
            cursor: Some((Some(at(5)), Some(at(5)))),
            ranges: vec![range(Verdict::Paused, "paused", 0, 4)],
        };
        world.store.patch(&job(name), None, go_on, at(5)).await.unwrap();
        assert_eq!(world.ledger(name).await.len(), 1);
        assert!(is_due().await, "{name}");
        world.fire_and_claim(&session, name).await;
    }
}

pub(super) async fn a_put_follows_its_conflict_policy(world: World) {
    let session = world.attach(at(0)).await;
    let first = world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    let put = async |on, keep_cursor, max_instances, now: i64| {
        let (cursor, due_at) = (Some(at(7)), Some(at(8)));
        let mut new = NewSchedule { cursor, due_at, ..new_schedule("a", max_instances) };
        new.def.digest = format!("{max_instances}");
        new.keep_cursor = keep_cursor;
        world.store.put(new, on, at(now)).await
    };
    let conflict = |current| Err(StoreError::Conflict { current });
    assert_eq!(put(Conflict::Fail, true, 2, 1).await, conflict(1));
    assert_eq!(put(Conflict::ReplaceIf(7), true, 2, 1).await, conflict(1));
    assert!(
        matches!(put(Conflict::Keep, true, 2, 1).await, Ok(Put::Kept(kept)) if kept.version == 1)
    );

    for (on, keep_cursor, version, cursor) in [
        (Conflict::ReplaceIf(1), true, 2, at(1)),
        (Conflict::ReplaceIf(1), true, 2, at(1)),
        (Conflict::Replace, false, 3, at(7)),
    ] {
        let Ok(Put::Replaced(now)) = put(on, keep_cursor, 2, 1).await else { unreachable!() };
        assert_eq!((now.uid, now.version, now.cursor), (first.uid, version, Some(cursor)));
        assert_eq!((now.created_at, now.last_fire), (at(0), Some(at(0))));
        assert_eq!(now.last_run.map(|last| last.run), Some(claim.run.id));
    }
}

pub(super) async fn a_patch_is_compared_and_repeatable(world: World) {
    world.put("a", 1).await;
    let pause = Pause { by: "ann".to_owned(), why: "holidays".to_owned(), until: Some(at(9)) };
    let patch = Patch { pause: Some(Some(pause.clone())), ..Patch::default() };
    let apply = async |expect, patch: &Patch| {
        world.store.patch(&job("a"), expect, patch.clone(), at(0)).await
    };
    assert_eq!(apply(Some(5), &patch).await, Err(StoreError::Conflict { current: 1 }));
    assert_eq!(apply(Some(1), &patch).await, Ok(2));
    assert_eq!(apply(Some(1), &patch).await, Ok(2), "its answer was lost");
    let resume = Patch { pause: Some(None), ..Patch::default() };
    assert_eq!(apply(Some(1), &resume).await, Err(StoreError::Conflict { current: 2 }));
    assert_eq!(world.get("a").await.pause, Some(pause));
    assert_eq!(apply(None, &resume).await, Ok(3));
    assert_eq!(world.get("a").await.pause, None);
    let gone = world.store.patch(&job("z"), None, resume, at(0)).await;
    assert!(matches!(gone, Err(StoreError::NotFound(_))));
}

pub(super) async fn a_job_made_again_has_a_fresh_uid_and_keeps_its_past(world: World) {
    let session = world.attach(at(0)).await;
    let first = world.put("a", 1).await;
    world.fire_and_claim(&session, "a").await;
    let remove = async |expect| world.store.remove(&job("a"), expect, LiveRuns::Keep, at(1)).await;
    assert_eq!(remove(Some(7)).await, Err(StoreError::Conflict { current: 1 }));
    assert_eq!(remove(Some(1)).await, Ok(true));
    assert_eq!(remove(None).await, Ok(false));
    assert_eq!(world.store.get(&job("a")).await, Ok(None));
    assert_eq!(world.store.due(&session, Timestamp::MAX, 9).await.unwrap().next_due, None);

    let second = world.put("a", 1).await;
    assert_ne!(first.uid, second.uid);
    assert_eq!((second.version, second.last_fire, second.last_run.clone()), (1, None, None));
    world.fire_and_claim(&session, "a").await;
    assert_eq!(world.ledger("a").await.len(), 2, "one of each creation");
}
