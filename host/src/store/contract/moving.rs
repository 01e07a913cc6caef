//! Of contents that move from one store to another, of whichever kinds.

use serde_json::json;

use super::world::{
    World, at, ended, intent, job, line, new_run, new_schedule, plan, range, run_key,
};
use crate::record::HostInfo;
use crate::record::Pause;
use crate::record::portable::{Counts, Import, Line, Record};
use crate::record::query::{JobFilter, LedgerFilter, Page, RunFilter, UsageFilter};
use crate::record::step::{
    AttemptEnd, Conflict, FireIntent, LiveRuns, NewRun, NewSchedule, Patch, Put,
};
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::run::{Run, StartBy, Verdict, reason};
use crate::store::Store;
use crate::store::error::StoreError;

/// One of each that a store can hold. The process that filled it dies.
async fn fill(world: &World) {
    let session = world.attach(at(0)).await;
    let tenant = job("a").tenant;
    let early = range(Verdict::Misfired, reason::BEFORE_REGISTRATION, -9, -5);
    let a = NewSchedule { ranges: vec![early], ..new_schedule("a", 1) };
    assert!(matches!(world.store.put(a, Conflict::Fail, at(0)).await, Ok(Put::Created(_))));
    world.put("acme/b", 2).await;
    world.put("gone", 1).await;
    let end = AttemptEnd { result: Some(json!({ "n": 1.5 })), ..ended(Outcome::Succeeded) };
    let done = world.fire_and_claim(&session, "a").await;
    world.store.log_append(&done.run.key(), done.fence, vec![line("one")]).await.unwrap();
    let end = AttemptEnd { log: vec![line("two\n"), line("three")], ..end };
    world.store.finish(&session, &done.run.key(), done.fence, end, at(1)).await.unwrap();
    let held = world.fire_and_claim(&session, "a").await;
    world.store.log_append(&held.run.key(), held.fence, vec![line("half")]).await.unwrap();
    let args = Some(json!({"deep": [null, "x"]}));
    let waits = NewRun { args, ..new_run("a", 5, at(1)) };
    world.store.start(waits, at(1)).await.unwrap();
    let next = intent(&world.get("a").await, [plan(at(2))]);
    world.fire(&session, next, at(2)).await;

    let again = world.fire_and_claim(&session, "acme/b").await;
    let end = AttemptEnd { retry_at: Some(at(50)), ..ended(Outcome::Failed) };
    world.store.finish(&session, &again.run.key(), again.fence, end, at(3)).await.unwrap();
    let coalesced = range(Verdict::Coalesced, reason::LATEST, 1, 2);
    let b = world.get("acme/b").await;
    let next = FireIntent { ranges: vec![coalesced], ..intent(&b, [plan(at(3))]) };
    world.fire(&session, next, at(3)).await;
    let eta = NewRun { not_before: Some(at(60)), ..new_run("acme/b", 6, at(3)) };
    world.store.start(eta, at(3)).await.unwrap();
    let verdict = (Verdict::Expired, reason::EXPIRES.into());
    let start_by = Some(StartBy { at: at(8), verdict: verdict.0, reason: verdict.1 });
    let expires = NewRun { start_by, ..new_run("a", 7, at(4)) };
    world.store.start(expires, at(4)).await.unwrap();
    let pause = Pause { by: "ann".into(), why: "rain".into(), until: Some(at(99)) };
    let patch = Patch { pause: Some(Some(pause)), ..Patch::default() };
    world.store.patch(&job("acme/b"), None, patch, at(4)).await.unwrap();

    let failed = world.fire_and_claim(&session, "gone").await;
    world.finish(&session, &failed, Outcome::Failed, at(1)).await;
    world.start("gone", 8, at(2)).await;
    world.store.remove(&job("gone"), None, LiveRuns::Keep, at(5)).await.unwrap();
    for (kind, key, value) in [("kv", "k", &b"\xff\0\n1"[..]), ("kv", "", b""), ("pin", "k", b"v")]
    {
        world.store.doc_put(&tenant, kind, key, None, Some(value.to_vec())).await.unwrap();
    }
    world.store.doc_put(&tenant, "kv", "k", Some(1), Some(b"\xff2".to_vec())).await.unwrap();
    world.store.counter_add(&tenant, "c", -3, None).await.unwrap();
    world.store.counter_add(&job("acme/b").tenant, "c", i64::MAX, None).await.unwrap();
}

async fn exported(store: &dyn Store) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.export(cursor).await.unwrap();
        records.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return records;
        }
    }
}

/// Moves everything from one to the other, which is empty.
pub(super) async fn copy(from: &dyn Store, to: &dyn Store) {
    import(to, &exported(from).await).await;
}

pub(super) async fn import(store: &dyn Store, records: &[Record]) {
    store.import(Import::Begin).await.unwrap();
    for some in records.chunks(3) {
        // The first answer was lost.
        for _ in 0..2 {
            store.import(Import::Records(some.to_vec())).await.unwrap();
        }
    }
    for _ in 0..2 {
        store.import(Import::End).await.unwrap();
    }
}

pub(super) async fn what_is_exported_is_found_in_every_kind_of_store_and_goes_on(world: World) {
    fill(&world).await;
    let records = exported(world.store.as_ref()).await;
    let mut counts = Counts::default();
    for record in &records {
        counts.add(record);
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(Line::read(&text), Ok(Line::Record(record.clone())), "{text}");
    }
    let expected =
        Counts { jobs: 2, runs: 9, log_lines: 4, ranges: 3, documents: 3, counters: 2, buckets: 3 };
    assert_eq!(counts, expected);
    assert_eq!(world.store.faults().await, Ok(Vec::new()));

    let mut worlds = vec![World::memory().await, World::sqlite().await, World::redis().await];
    for target in &mut worlds {
        target.let_imports_in().await;
        import(target.store.as_ref(), &records).await;
        let name = target.store.caps().name;
        assert_eq!(
            sorted(exported(target.store.as_ref()).await),
            sorted(records.clone()),
            "{name}"
        );
        assert_eq!(target.store.faults().await, Ok(Vec::new()), "{name}");
        assert_eq!(seen(target).await, seen(&world).await, "{name}");
    }
    let story = go_on(&world).await;
    for target in &worlds {
        assert_eq!(go_on(target).await, story, "{}", target.store.caps().name);
        assert_eq!(target.store.faults().await, Ok(Vec::new()));
    }
}

fn sorted(records: Vec<Record>) -> Vec<String> {
    let mut lines: Vec<String> =
        records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    lines.sort_unstable();
    lines
}

/// What readers see.
async fn seen(world: &World) -> String {
    let store = &world.store;
    let jobs = store.list(JobFilter::default(), Page::default()).await.unwrap();
    let runs = store.runs(RunFilter::default(), Page::default()).await.unwrap();
    let mut seen = format!("{jobs:?}\n{runs:?}\n");
    for name in ["a", "acme/b", "gone"] {
        let ledger = store.ledger(&job(name), LedgerFilter::default(), Page::default()).await;
        seen.push_str(&format!("{:?}\n", ledger.unwrap()));
    }
    for run in &runs.items {
        seen.push_str(&format!("{:?}\n", store.log_read(&run.key(), 0, 99).await.unwrap()));
    }
    let docs = store.doc_list(&job("a").tenant, "kv", Page::default()).await.unwrap();
    let used = store.usage(UsageFilter::default(), Page::default()).await.unwrap();
    seen.push_str(&format!("{used:?}\n"));
    let health = store.health().await.unwrap();
    seen.push_str(&format!("{docs:?}\n{health:?}"));
    seen
}

/// What comes of the contents when a host takes them up.
async fn go_on(world: &World) -> String {
    let (session, reaped) = world.attach_after(at(9)).await;
    let mut story = format!("rescued {:?}\n", reaped.rescued);
    for second in [9, 50, 60, 70, 80] {
        world.store.due(&session, at(second), 9).await.unwrap();
        let claims = world.acquire(&session, at(second)).await;
        for claim in &claims {
            let run = &claim.run;
            let fence = claim.fence;
            story.push_str(&format!("{second}: {} {} {fence}\n", run.job, run.attempt));
            world.finish(&session, claim, Outcome::Succeeded, at(second)).await;
        }
    }
    let a = world.get("a").await;
    let skips = range(Verdict::Skipped, reason::MAX_INSTANCES, 3, 4);
    let next = FireIntent { ranges: vec![skips], claim: 1, ..intent(&a, [plan(at(5))]) };
    let (queued, claimed, skipped) = world.fire(&session, next, at(90)).await;
    story.push_str(&format!("{} {} {}\n", queued.len(), claimed.len(), skipped.len()));
    let ledger = world.ledger("a").await;
    assert!(ledger.iter().any(|item| item.count == 3), "the open range went on: {ledger:?}");
    let runs = world.store.runs(RunFilter::default(), Page::default()).await.unwrap().items;
    let told = |run: &Run| (run.id, run.state, run.verdict, run.outcome, run.attempt, run.rescues);
    let runs: Vec<_> = runs.iter().map(told).collect();
    let tenant = job("a").tenant;
    let counter = world.store.counter_add(&tenant, "c", 1, None).await;
    let stale = world.store.doc_put(&tenant, "kv", "k", Some(1), Some(vec![3])).await;
    story.push_str(&format!("{ledger:?}\n{runs:?}\n{:?}\n", world.get("a").await));
    story.push_str(&format!("{:?}\n{counter:?} {stale:?}", world.get("acme/b").await));
    story
}

pub(super) async fn an_import_needs_an_empty_store_and_counts_when_it_has_ended(world: World) {
    let source = World::memory().await;
    fill(&source).await;
    let records = exported(source.store.as_ref()).await;

    let mut world = world;
    world.let_imports_in().await;
    let store = world.store.clone();
    let early = store.import(Import::Records(records.clone())).await;
    assert!(matches!(early, Err(StoreError::Unfit(_))), "{early:?}");
    store.import(Import::Begin).await.unwrap();
    store.import(Import::Records(records[..4].to_vec())).await.unwrap();
    let half = store.export(None).await;
    assert!(matches!(&half, Err(StoreError::Unfit(why)) if why.contains("not ended")), "{half:?}");
    for refused in world.attach_as_a_host_would(HostInfo::named("tower")).await {
        let StoreError::Unfit(why) = refused else { panic!("{refused:?}") };
        assert!(why.contains("an import into it has begun and not ended"), "{why}");
    }
    // Begun again, it takes over something else: nothing of the first is left.
    let docs = records.iter().filter(|record| matches!(record, Record::Document(_)));
    let others: Vec<Record> = docs.cloned().collect();
    import(store.as_ref(), &others).await;
    let fence_and_others = 1 + others.len();
    assert_eq!(exported(store.as_ref()).await.len(), fence_and_others);
    assert_eq!(store.run(&run_key(RunId::from_bits(5))).await, Ok(None));

    let full = store.import(Import::Begin).await;
    let Err(StoreError::Unfit(why)) = full else { panic!("{full:?}") };
    assert!(why.contains("it holds 3 documents"), "{why}");
    world.attach(at(9)).await;
    assert_eq!(store.faults().await, Ok(Vec::new()));
}
