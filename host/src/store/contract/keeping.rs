//! Of what is kept, what is not, and for whom.

use serde_json::json;

use super::world::{
    World, at, ended, intent, job, line, new_run, new_schedule, plan, range, run_key,
};
use crate::record::query::{JobFilter, Page, RunFilter};
use crate::record::step::{AttemptEnd, Conflict, FireIntent, NewRun, NewSchedule, Put, Started};
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::run::{RunKey, RunState, Verdict, reason};
use crate::store::error::StoreError;

pub(super) async fn i13_what_was_acknowledged_is_kept(world: World) {
    let session = world.attach(at(0)).await;
    let tenant = job("a").tenant;
    world.put("a", 1).await;
    let done = world.fire_and_claim(&session, "a").await;
    let end = AttemptEnd { result: Some(json!({ "n": 1 })), ..ended(Outcome::Succeeded) };
    world.store.log_append(&done.run.key(), done.fence, vec![line("one")]).await.unwrap();
    world.store.finish(&session, &done.run.key(), done.fence, end, at(1)).await.unwrap();
    let held = world.fire_and_claim(&session, "a").await;
    let waiting = world.start("a", 5, at(1)).await;
    let next = intent(&world.get("a").await, [plan(at(2))]);
    world.fire(&session, next, at(2)).await;
    world.store.doc_put(&tenant, "kv", "k", Some(0), Some(b"v".to_vec())).await.unwrap();
    world.store.counter_add(&tenant, "c", 3, None).await.unwrap();
    let (schedule, ledger) = (world.get("a").await, world.ledger("a").await);
    let runs = [done.run.id, held.run.id, waiting.id];
    let before = [world.run(runs[0]).await, world.run(runs[1]).await, world.run(runs[2]).await];

    // Nobody detached: the process is gone.
    let Some(world) = world.reopen().await else { return };
    assert_eq!(world.get("a").await, schedule);
    assert_eq!(world.ledger("a").await, ledger);
    for (id, run) in runs.into_iter().zip(before) {
        assert_eq!(world.run(id).await, run);
    }
    let log = world.store.log_read(&done.run.key(), 0, 9).await.unwrap();
    assert_eq!((log.lines, log.complete), (vec![line("one")], true));
    assert_eq!(world.store.doc_get(&tenant, "kv", "k").await.unwrap().unwrap().value, b"v");
    assert_eq!(world.store.counter_add(&tenant, "c", 1, None).await, Ok(Some(4)));

    let (session, reaped) = world.attach_after(at(9)).await;
    assert_eq!(reaped.rescued, [held.run.key()]);
    let again = world.acquire(&session, at(9)).await;
    assert_eq!(again.len(), 1, "the other run still waits for its job's slot");
    assert_eq!((again[0].run.id, again[0].run.attempt), (held.run.id, 2));
    assert!(held.fence < again[0].fence);
    let next = intent(&world.get("a").await, [plan(at(3))]);
    world.fire(&session, next, at(9)).await;
    assert_eq!(world.ledger("a").await[0].count, 2, "the open range goes on");
    world.finish(&session, &again[0], Outcome::Succeeded, at(9)).await;
    assert_eq!(world.acquire(&session, at(9)).await[0].run.id, waiting.id);
}

pub(super) async fn i14_a_refused_call_leaves_nothing_behind(world: World) {
    let session = world.attach(at(0)).await;
    let (a, b) = (world.put("a", 1).await, world.put("b", 1).await);
    let good = intent(&a, [plan(at(0))]);
    let early = intent(&b, [plan(at(0)), plan(at(50))]);
    let refused = world.fire_all(&session, vec![good.clone(), early], at(1)).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    let stale = FireIntent { version: 7, ..intent(&b, [plan(at(0))]) };
    world.fire_all(&session, vec![stale], at(1)).await.unwrap();

    let bad_range = NewSchedule {
        ranges: vec![range(Verdict::Misfired, reason::BEFORE_REGISTRATION, -9, 3)],
        ..new_schedule("c", 1)
    };
    let refused = world.store.put(bad_range, Conflict::Fail, at(1)).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    let nobody = world.store.start(new_run("c", 1, at(1)), at(1)).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");

    assert_eq!((world.get("a").await, world.get("b").await), (a, b));
    let runs = world.store.runs(RunFilter::default(), Page::default()).await.unwrap();
    assert_eq!(runs.items, []);
    assert!(world.acquire(&session, at(9)).await.is_empty());
    let health = world.store.health().await.unwrap();
    assert_eq!((health.ok, health.schedules, health.live_runs, health.done_runs), (true, 2, 0, 0));
}

pub(super) async fn i20_a_tenant_sees_only_its_own(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["a", "acme/a"] {
        assert!(matches!(
            world.store.put(new_schedule(name, 1), Conflict::Fail, at(0)).await,
            Ok(Put::Created(_))
        ));
        let started = world.store.start(new_run(name, 1, at(0)), at(0)).await;
        assert!(matches!(started, Ok(Started::Made(_))), "one id, two tenants: two runs");
        world.store.doc_put(&job(name).tenant, "kv", "k", Some(0), Some(vec![1])).await.unwrap();
    }
    let theirs = RunKey { tenant: job("acme/a").tenant, run: RunId::from_bits(1) };
    world.store.cancel(&theirs, "no", at(1)).await.unwrap();
    assert_eq!(world.run(RunId::from_bits(1)).await.state, RunState::Queued);
    assert_eq!(world.acquire(&session, at(1)).await.len(), 1);

    let tenant = Some(job("acme/a").tenant);
    let jobs = world.store.list(JobFilter { tenant: tenant.clone() }, Page::default()).await;
    assert_eq!(jobs.unwrap().items.len(), 1);
    let runs = RunFilter { tenant, ..RunFilter::default() };
    let runs = world.store.runs(runs, Page::default()).await.unwrap().items;
    assert_eq!(runs.iter().map(crate::run::Run::key).collect::<Vec<_>>(), [theirs]);
    assert_eq!(world.store.run(&run_key(RunId::from_bits(2))).await, Ok(None));
    let twice = world.store.start(NewRun { args: Some(json!(1)), ..new_run("a", 1, at(2)) }, at(2));
    assert!(matches!(twice.await, Ok(Started::Exists(run)) if run.args.is_none()));
}
