//! What tenants and queues may have is never passed, and whoever waits is served in turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::{World, at, ended, intent, job, new_run, new_schedule, plan, range, want};
use crate::job::PluginKey;
use crate::job::names::{QueueName, TenantId};
use crate::job::quota::{Allotment, Quota, QuotaKey};
use crate::job::rate::RateLimit;
use crate::record::account::{Account, Allotments, Draw, Drawn};
use crate::record::query::{LedgerFilter, Page};
use crate::record::room::{Amount, Room};
use crate::record::step::{
    Acquire, AttemptEnd, Change, Claim, Conflict, FireIntent, Fired, LiveRuns, NewRun, NewSchedule,
    PlannedFire, RunSpec, Started,
};
use crate::record::{Rules, Session};
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::run::{Range, Run, RunKey, RunState, Verdict};
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// When the first whole hour begins after the worlds' time 0.
const HOUR: i64 = 800;
const MIB: u64 = 1 << 20;

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn quota(limits: &[(QuotaKey, u64)]) -> Allotment {
    let put = |quota: Quota, (key, limit): &(QuotaKey, u64)| quota.with(*key, *limit);
    Allotment { quota: limits.iter().fold(Quota::default(), put), weight: 1 }
}

impl World {
    async fn allot(&self, tenants: &[(&str, Allotment)]) {
        let tenants = tenants.iter().map(|(name, allotment)| (tenant(name), *allotment));
        let tenants = tenants.collect();
        let allotments = Allotments { version: 1, tenants, queues: BTreeMap::new() };
        assert!(self.store.allot(allotments).await.unwrap());
    }

    async fn account(&self, name: &str, now: Timestamp) -> Account {
        self.store.account(&tenant(name), now).await.unwrap()
    }

    /// Queued runs of a job, numbered from `first` on.
    async fn queue(&self, name: &str, first: u128, count: u128, now: Timestamp) {
        for id in first..first + count {
            self.start(name, id, now).await;
        }
    }

    async fn take(&self, session: &Session, slots: usize, now: Timestamp) -> Vec<Claim> {
        let room = Room::of_slots(slots);
        self.take_into(session, room, now).await
    }

    async fn take_into(&self, session: &Session, room: Room, now: Timestamp) -> Vec<Claim> {
        let class =
            |name: &str| PluginKey { tenant: tenant(name), plugin: "report".parse().unwrap() };
        let want = want(0, ["acme", "default", "zeta"].map(class));
        let queues = Arc::new(["default", "db"].map(|name| name.parse().unwrap()).into());
        let want = Acquire { room, queues, ..want };
        self.store.acquire(session, want, now).await.unwrap()
    }

    async fn end(&self, session: &Session, claim: &Claim, cpu_ms: u64, now: Timestamp) {
        let usage = Usage { cpu_ms, ..Usage::default() };
        let end = AttemptEnd { usage, ..ended(Outcome::Succeeded) };
        let key = claim.run.key();
        self.store.finish(session, &key, claim.fence, end, now).await.unwrap();
    }

    async fn run_of(&self, name: &str, id: u128) -> Run {
        let run = RunKey { tenant: tenant(name), run: new_run("x", id, at(0)).id };
        self.store.run(&run).await.unwrap().unwrap()
    }
}

fn tenants_of(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.run.tenant.as_str()).collect()
}

pub(super) async fn runs_at_once_and_their_memory_wait_within_the_quota(world: World) {
    let session = world.attach(at(0)).await;
    world.put("acme/a", 99).await;
    world.put("default/a", 99).await;
    world.allot(&[("acme", quota(&[(QuotaKey::MaxRunning, 2)]))]).await;
    world.queue("acme/a", 1, 4, at(0)).await;
    world.queue("default/a", 11, 3, at(0)).await;
    let claims = world.take(&session, 99, at(1)).await;
    assert_eq!(tenants_of(&claims).iter().filter(|name| **name == "acme").count(), 2);
    assert_eq!(claims.len(), 5, "others are not held up");
    let account = world.account("acme", at(1)).await;
    assert_eq!((account.running, account.live, account.queued()), (2, 4, 2));
    assert_eq!(account.memory, 128 * MIB);
    assert!(world.take(&session, 99, at(1)).await.is_empty());
    let of_acme = claims.iter().find(|claim| claim.run.tenant.as_str() == "acme").unwrap();
    world.end(&session, of_acme, 1, at(2)).await;
    assert_eq!(world.take(&session, 99, at(2)).await.len(), 1);

    // As much memory as one run and a half may have.
    world.allot(&[("acme", quota(&[(QuotaKey::Memory, 96 * MIB)]))]).await;
    assert!(world.take(&session, 99, at(3)).await.is_empty());
    for claim in &claims {
        world.end(&session, claim, 1, at(3)).await;
    }
    assert!(world.take(&session, 99, at(3)).await.is_empty(), "one runs still");
    assert_eq!(world.account("acme", at(3)).await.running, 1);
}

pub(super) async fn who_waits_is_told_of_another_quota(world: World) {
    let session = world.attach(at(0)).await;
    world.put("acme/a", 99).await;
    world.allot(&[("acme", quota(&[(QuotaKey::MaxRunning, 1)]))]).await;
    world.queue("acme/a", 1, 2, at(0)).await;
    assert_eq!(world.take(&session, 99, at(1)).await.len(), 1);
    assert!(world.take(&session, 99, at(1)).await.is_empty());
    let mut news = world.store.watch();
    world.allot(&[("acme", quota(&[(QuotaKey::MaxRunning, 2)]))]).await;
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while news.recv().await.unwrap() != Change::Queued {}
    });
    told.await.unwrap();
    assert_eq!(world.take(&session, 99, at(1)).await.len(), 1);
}

pub(super) async fn a_queue_of_the_fleet_has_so_many_runs_at_once(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["acme/a", "zeta/a"] {
        world.put(name, 99).await;
    }
    let db: QueueName = "db".parse().unwrap();
    let queues = BTreeMap::from([(db.clone(), 2)]);
    world.store.allot(Allotments { version: 1, queues, ..Allotments::default() }).await.unwrap();
    for (name, id) in [("acme/a", 1), ("zeta/a", 2), ("acme/a", 3), ("zeta/a", 4)] {
        let run = new_run(name, id, at(0));
        let spec = RunSpec { queue: db.clone(), ..run.spec };
        world.store.start(NewRun { spec, ..run }, at(0)).await.unwrap();
    }
    world.queue("acme/a", 9, 1, at(0)).await;
    let claims = world.take(&session, 99, at(1)).await;
    let of_db = claims.iter().filter(|claim| claim.run.queue == db);
    assert_eq!((of_db.count(), claims.len()), (2, 3), "another queue goes on");
    let first = claims.iter().find(|claim| claim.run.queue == db).unwrap();
    world.end(&session, first, 1, at(2)).await;
    assert_eq!(world.take(&session, 99, at(2)).await.len(), 1);
    assert!(world.take(&session, 99, at(2)).await.is_empty());
}

pub(super) async fn what_one_tenant_piled_up_holds_nobody_else_up(world: World) {
    let session = world.attach(at(HOUR)).await;
    for name in ["acme/a", "zeta/a"] {
        world.put(name, 999).await;
    }
    let db: QueueName = "db".parse().unwrap();
    let allotments = Allotments {
        version: 1,
        tenants: BTreeMap::from([(tenant("acme"), quota(&[(QuotaKey::RunsPerMinute, 1)]))]),
        queues: BTreeMap::from([(db.clone(), 1)]),
    };
    world.store.allot(allotments).await.unwrap();
    // All but one of these get another verdict, a few at a time.
    world.queue("acme/a", 1, 300, at(HOUR)).await;
    world.queue("zeta/a", 1_001, 1, at(HOUR + 1)).await;
    let claims = world.take(&session, 9, at(HOUR + 2)).await;
    assert_eq!(tenants_of(&claims), ["acme", "zeta"]);
    // Runs of a queue that is full do not stand before those of another.
    for id in 2_001..2_100 {
        let run = new_run("zeta/a", id, at(HOUR));
        let spec = RunSpec { queue: db.clone(), ..run.spec };
        world.store.start(NewRun { spec, ..run }, at(HOUR + 2)).await.unwrap();
    }
    world.queue("zeta/a", 3_001, 1, at(HOUR + 3)).await;
    let first = world.take(&session, 1, at(HOUR + 3)).await;
    assert_eq!(first[0].run.queue, db);
    let next = world.take(&session, 1, at(HOUR + 3)).await;
    assert_eq!(next.iter().filter(|claim| claim.run.queue != db).count(), 1);
}

pub(super) async fn many_plugins_that_nobody_has_hide_none_that_somebody_has(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["acme/a", "zeta/a"] {
        world.put(name, 9_999).await;
    }
    for id in 1..=200 {
        let run = new_run("acme/a", id, at(0));
        let plugin = format!("nowhere-{id}").parse().unwrap();
        let spec = RunSpec { plugin, ..run.spec };
        world.store.start(NewRun { spec, ..run }, at(0)).await.unwrap();
    }
    world.queue("acme/a", 1_001, 9, at(1)).await;
    world.queue("zeta/a", 2_001, 1, at(1)).await;
    let first = world.take(&session, 2, at(2)).await;
    assert_eq!(tenants_of(&first), ["acme", "zeta"]);
    let rest = world.take(&session, 99, at(2)).await;
    let ids: Vec<_> = first.iter().chain(&rest).map(|claim| claim.run.id).collect();
    let of_acme: Vec<_> = (1_001..=1_009).map(|id| new_run("acme/a", id, at(0)).id).collect();
    assert!(of_acme.iter().all(|id| ids.contains(id)), "{} were taken", ids.len());
    assert_eq!(ids.len(), 10);
}

pub(super) async fn a_minute_has_so_many_runs_and_the_rest_have_their_verdict(world: World) {
    let session = world.attach(at(HOUR)).await;
    world.put("acme/a", 99).await;
    world.put("acme/fires", 99).await;
    world.allot(&[("acme", quota(&[(QuotaKey::RunsPerMinute, 3)]))]).await;
    world.queue("acme/a", 1, 2, at(HOUR)).await;
    assert_eq!(world.take(&session, 99, at(HOUR)).await.len(), 2);
    // A fire that may be claimed at once is the third, and the next one is over.
    let schedule = world.store.get(&job("acme/fires")).await.unwrap().unwrap();
    let both = FireIntent { claim: 9, ..intent(&schedule, [plan(at(0)), plan(at(1))]) };
    let fired = world.fire_all(&session, vec![both], at(HOUR + 1)).await.unwrap();
    let Fired::Done { queued, claimed, over_quota, .. } = &fired[0] else { panic!("{fired:?}") };
    assert_eq!((queued.len(), claimed.len(), over_quota.len()), (1, 1, 0));
    assert!(world.take(&session, 99, at(HOUR + 1)).await.is_empty());
    let over = RunKey { tenant: tenant("acme"), run: queued[0] };
    let over = world.store.run(&over).await.unwrap().unwrap();
    assert_eq!(
        (over.state, over.verdict, over.outcome),
        (RunState::Done, Some(Verdict::Quota), None)
    );
    assert_eq!(over.reason.as_deref(), Some("runs_per_minute"));
    let said = "the tenant has used up `quota.runs_per_minute` = 3; more is free from \
                2001-09-09T02:01:00Z on";
    assert_eq!(over.error.unwrap().message, said);

    // From now on fires that come due are refused as they come, in one range.
    let mut schedule = world.store.get(&job("acme/fires")).await.unwrap().unwrap();
    for second in 2..5 {
        let next = intent(&schedule, [plan(at(second))]);
        let fired = world.fire_all(&session, vec![next], at(HOUR + 2)).await.unwrap();
        let Fired::Done { over_quota, queued, .. } = &fired[0] else { panic!("{fired:?}") };
        assert_eq!((over_quota.as_slice(), queued.len()), ([at(second)].as_slice(), 0));
        schedule = world.store.get(&job("acme/fires")).await.unwrap().unwrap();
    }
    let (of, all) = (job("acme/fires"), LedgerFilter::default());
    let ledger = world.store.ledger(&of, all, Page::default()).await.unwrap().items;
    let of_quota: Vec<_> = ledger.iter().filter(|item| item.run.is_none()).collect();
    assert_eq!(of_quota.len(), 1, "{ledger:?}");
    assert_eq!((of_quota[0].verdict, of_quota[0].count), (Verdict::Quota, 3));
    assert_eq!(of_quota[0].reason, "runs_per_minute");

    // The next minute has its own.
    world.queue("acme/a", 5, 1, at(HOUR + 60)).await;
    assert_eq!(world.take(&session, 99, at(HOUR + 60)).await.len(), 1);
    assert_eq!(world.account("acme", at(HOUR + 60)).await.windows.runs, 1);
}

pub(super) async fn an_hour_has_so_much_processor_time_also_after_a_restart(world: World) {
    let session = world.attach(at(HOUR)).await;
    world.put("acme/a", 99).await;
    let allotment = quota(&[(QuotaKey::CpuPerHour, 50), (QuotaKey::FuelPerHour, 1 << 40)]);
    world.allot(&[("acme", allotment)]).await;
    world.queue("acme/a", 1, 4, at(HOUR)).await;
    // 20 + 20 + 10 are set aside, so that the fourth waits.
    let claims = world.take(&session, 99, at(HOUR)).await;
    let aside: Vec<u64> = claims.iter().map(|claim| claim.run.admitted.unwrap().cpu_ms).collect();
    assert_eq!(aside, [20, 20, 10]);
    let draw = Draw { cpu: true, ..Draw::default() };
    let more = async |claim: &Claim, now| {
        world.store.draw(&session, &claim.run.key(), claim.fence, draw, now).await
    };
    assert!(matches!(more(&claims[0], at(HOUR)).await, Ok(Drawn::UsedUp(_))));
    world.end(&session, &claims[1], 3, at(HOUR + 1)).await;
    let Ok(Drawn::Given(given)) = more(&claims[0], at(HOUR + 1)).await else { panic!() };
    assert_eq!(given.cpu_ms, 37);
    let (of, fence) = (claims[0].run.key(), claims[0].fence - 1);
    let stale = world.store.draw(&session, &of, fence, draw, at(HOUR)).await;
    assert_eq!(stale, Err(StoreError::Fenced));
    world.end(&session, &claims[0], 37, at(HOUR + 1)).await;
    assert_eq!(world.account("acme", at(HOUR + 1)).await.windows.cpu_ms, 40);

    // The host dies: what the third had set aside counts as used, and its next attempt waits for
    // the next hour, while a run that has not begun gets its verdict.
    let Some(world) = world.reopen().await else { return };
    world.allot(&[("acme", allotment)]).await;
    let (session, reaped) = world.attach_after(at(HOUR + 2)).await;
    assert_eq!(reaped.rescued.len(), 1);
    let account = world.account("acme", at(HOUR + 2)).await;
    assert_eq!((account.windows.cpu_ms, account.cpu_aside_ms), (50, 0));
    assert_eq!((account.running, account.live), (0, 2));
    assert!(world.take(&session, 99, at(HOUR + 3)).await.is_empty());
    let waits = world.run_of("acme", 3).await;
    assert_eq!((waits.verdict, waits.not_before), (Some(Verdict::Ran), Some(at(HOUR + 3_600))));
    let refused = world.run_of("acme", 4).await;
    assert_eq!(
        (refused.verdict, refused.reason.as_deref()),
        (Some(Verdict::Quota), Some("cpu_per_hour"))
    );
    let claims = world.take(&session, 99, at(HOUR + 3_600)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].run.attempt, 2);
}

pub(super) async fn requests_are_counted_before_they_are_made(world: World) {
    let session = world.attach(at(HOUR)).await;
    world.put("acme/a", 99).await;
    let limits = [(QuotaKey::HttpPerHour, 3), (QuotaKey::HttpBytesPerHour, 100)];
    world.allot(&[("acme", quota(&limits))]).await;
    world.queue("acme/a", 1, 1, at(HOUR)).await;
    let claim = world.take(&session, 1, at(HOUR)).await.pop().unwrap();
    let draw = async |http, http_bytes, now| {
        let draw = Draw { http, http_bytes, ..Draw::default() };
        world.store.draw(&session, &claim.run.key(), claim.fence, draw, now).await.unwrap()
    };
    assert!(matches!(draw(1, 60, at(HOUR)).await, Drawn::Given(_)));
    let Drawn::UsedUp(refused) = draw(1, 60, at(HOUR)).await else { panic!() };
    assert_eq!((refused.key, refused.limit), (QuotaKey::HttpBytesPerHour, 100));
    assert_eq!(refused.frees_at, at(HOUR + 3_600));
    assert!(matches!(draw(2, 40, at(HOUR)).await, Drawn::Given(_)));
    assert!(matches!(draw(1, 0, at(HOUR)).await, Drawn::UsedUp(_)));
    world.end(&session, &claim, 0, at(HOUR + 1)).await;
    let windows = world.account("acme", at(HOUR + 1)).await.windows;
    assert_eq!((windows.http, windows.http_bytes), (3, 100));
    world.queue("acme/a", 2, 1, at(HOUR + 2)).await;
    assert!(world.take(&session, 1, at(HOUR + 2)).await.is_empty());
    assert_eq!(world.run_of("acme", 2).await.reason.as_deref(), Some("http_per_hour"));
}

pub(super) async fn whoever_asks_for_more_than_the_quota_is_refused(world: World) {
    world.put("acme/a", 1).await;
    world.put("zeta/a", 1).await;
    let limits = [(QuotaKey::Queued, 2), (QuotaKey::Jobs, 2)];
    world.allot(&[("acme", quota(&limits))]).await;
    world.queue("acme/a", 1, 2, at(0)).await;
    let third = world.store.start(new_run("acme/a", 3, at(0)), at(0)).await;
    assert_eq!(third, Err(StoreError::Quota { key: QuotaKey::Queued, limit: 2 }));
    let repeated = world.store.start(new_run("acme/a", 2, at(0)), at(0)).await.unwrap();
    assert!(matches!(repeated, Started::Exists(_)));
    world.queue("zeta/a", 1, 3, at(0)).await;
    // A run that has begun waits no longer.
    let session = world.attach(at(1)).await;
    assert_eq!(world.take(&session, 1, at(1)).await.len(), 1);
    assert_eq!(world.account("acme", at(1)).await.queued(), 1);
    world.queue("acme/a", 3, 1, at(1)).await;

    world.put("acme/b", 1).await;
    let put =
        async |name: &str, on| world.store.put(new_schedule(name, 1), on, at(0)).await.map(drop);
    let refused = Err(StoreError::Quota { key: QuotaKey::Jobs, limit: 2 });
    assert_eq!(put("acme/c", Conflict::Fail).await, refused);
    assert_eq!(put("acme/b", Conflict::Replace).await, Ok(()), "it is there");
    assert_eq!(put("zeta/c", Conflict::Fail).await, Ok(()));
    let gone = job("acme/b");
    assert!(world.store.remove(&gone, None, LiveRuns::Keep, at(1)).await.unwrap());
    assert_eq!(put("acme/c", Conflict::Fail).await, Ok(()));
}

pub(super) async fn runs_over_a_jobs_rate_wait_for_the_next_window_with_their_slot(world: World) {
    let session = world.attach(at(HOUR)).await;
    let rate = RateLimit::read(&serde_json::json!("2/m")).unwrap();
    let rules = Rules { rate_limit: Some(rate), ..Rules::default() };
    let new = NewSchedule { rules, ..new_schedule("acme/a", 3) };
    world.store.put(new, Conflict::Fail, at(0)).await.unwrap();
    world.queue("acme/a", 1, 4, at(HOUR)).await;
    let claims = world.take(&session, 99, at(HOUR)).await;
    assert_eq!(claims.len(), 2);
    let waits = world.run_of("acme", 3).await;
    assert_eq!((waits.state, waits.not_before), (RunState::Queued, Some(at(HOUR + 60))));
    assert_eq!(waits.shown_reason().map(AsRef::as_ref), Some("rate_limit"));
    // It has its slot still, so that the fourth waits for one.
    world.end(&session, &claims[0], 1, at(HOUR + 1)).await;
    assert!(world.take(&session, 99, at(HOUR + 59)).await.is_empty());
    let Some(world) = world.reopen().await else { return };
    let session = world.attach(at(HOUR + 59)).await;
    let claims = world.take(&session, 99, at(HOUR + 59)).await;
    assert_eq!(claims.len(), 1, "an attempt after the first is no new run");
    assert_eq!(claims[0].run.attempt, 2);
    let claims = world.take(&session, 99, at(HOUR + 60)).await;
    let begun: Vec<_> = claims.iter().map(|claim| claim.run.reason.as_deref()).collect();
    assert_eq!(begun, [Some("late"), Some("late")]);
    assert_eq!(world.store.get(&job("acme/a")).await.unwrap().unwrap().begun.unwrap().runs, 2);
}

pub(super) async fn what_a_rate_put_off_goes_before_what_fires_now(world: World) {
    let session = world.attach(at(HOUR)).await;
    let rate = RateLimit::read(&serde_json::json!("1/m")).unwrap();
    let rules = Rules { rate_limit: Some(rate), ..Rules::default() };
    let new = NewSchedule { rules, ..new_schedule("acme/a", 9) };
    world.store.put(new, Conflict::Fail, at(0)).await.unwrap();
    world.queue("acme/a", 1, 2, at(HOUR)).await;
    assert_eq!(world.take(&session, 99, at(HOUR)).await.len(), 1);
    let schedule = world.store.get(&job("acme/a")).await.unwrap().unwrap();
    let late = PlannedFire { fire_time: at(HOUR + 60), due_at: at(HOUR + 60), ..plan(at(0)) };
    let range = Range { last: at(HOUR + 59), ..range(Verdict::Misfired, "late", 0, 0) };
    let fire = FireIntent { claim: 1, ranges: vec![range], ..intent(&schedule, [late]) };
    let fired = world.fire_all(&session, vec![fire], at(HOUR + 60)).await.unwrap();
    let Fired::Done { queued, claimed, .. } = &fired[0] else { panic!("{fired:?}") };
    assert_eq!((queued.len(), claimed.len()), (1, 0));
    let first = world.take(&session, 99, at(HOUR + 60)).await;
    let ids: Vec<_> = first.iter().map(|claim| claim.run.id).collect();
    assert_eq!(ids, [new_run("acme/a", 2, at(0)).id]);
}

pub(super) async fn tenants_that_wait_are_served_in_turn_by_what_they_used(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["acme/a", "zeta/a"] {
        world.put(name, 999).await;
    }
    // Whoever came first has no more of it.
    world.queue("acme/a", 1, 30, at(0)).await;
    world.queue("zeta/a", 101, 30, at(1)).await;
    let claims = world.take(&session, 6, at(1)).await;
    assert_eq!(tenants_of(&claims), ["acme", "zeta", "acme", "zeta", "acme", "zeta"]);
    // What acme's runs used is three times as much.
    for claim in &claims {
        let cpu_ms = if claim.run.tenant.as_str() == "acme" { 30 } else { 10 };
        world.end(&session, claim, cpu_ms, at(2)).await;
    }
    let of_zeta = async |slots| {
        let mut served = 0;
        for _ in 0..slots {
            let claim = world.take(&session, 1, at(3)).await.pop().unwrap();
            let is_zeta = claim.run.tenant.as_str() == "zeta";
            world.end(&session, &claim, if is_zeta { 10 } else { 30 }, at(3)).await;
            served += u32::from(is_zeta);
        }
        served
    };
    assert!((14..=16).contains(&of_zeta(20).await), "three of four");
    // With three times the weight it is even again.
    world.allot(&[("acme", Allotment { weight: 3, ..Allotment::default() })]).await;
    let served = of_zeta(8).await;
    assert!((3..=5).contains(&served), "{served}");
}

pub(super) async fn who_waited_for_nothing_has_saved_nothing(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["acme/a", "zeta/a"] {
        world.put(name, 999).await;
    }
    world.queue("acme/a", 1, 20, at(0)).await;
    for claim in world.take(&session, 10, at(1)).await {
        world.end(&session, &claim, 50, at(1)).await;
    }
    world.queue("zeta/a", 101, 20, at(2)).await;
    let claims = world.take(&session, 8, at(2)).await;
    let of_zeta = tenants_of(&claims).iter().filter(|name| **name == "zeta").count();
    assert!((1..8).contains(&of_zeta), "it comes in turn: {of_zeta} of 8");
}

pub(super) async fn room_that_is_kept_for_others_is_not_taken(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["acme/a", "zeta/a"] {
        world.put(name, 999).await;
    }
    world.queue("acme/a", 1, 20, at(0)).await;
    let total = Amount { slots: 8, memory: 8 * 64 * MIB };
    let room = || Room::new(total, u64::MAX, 2, BTreeMap::new());
    let claims = world.take_into(&session, room(), at(1)).await;
    assert_eq!(claims.len(), 6, "two are zeta's");
    world.queue("zeta/a", 101, 9, at(1)).await;
    let held = BTreeMap::from([(tenant("acme"), Amount { slots: 6, memory: 6 * 64 * MIB })]);
    let claims = world.take_into(&session, Room::new(total, u64::MAX, 2, held), at(1)).await;
    assert_eq!(tenants_of(&claims), ["zeta", "zeta"]);
    // Memory is as short as slots are.
    let narrow = Room { free: Amount { slots: 99, memory: 100 * MIB }, ..Room::of_slots(0) };
    let narrow = Room { most_memory: u64::MAX, ..narrow };
    assert_eq!(world.take_into(&session, narrow, at(2)).await.len(), 1);
}
