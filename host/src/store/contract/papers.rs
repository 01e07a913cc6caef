//! Of lists, logs, documents and counters.

use super::world::{World, at, ended, intent, job, line, new_run, plan, range, run_key};
use crate::record::query::{JobFilter, LedgerFilter, Page, Paged, RunFilter};
use crate::record::step::{AttemptEnd, FireIntent};
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::run::{Cause, RunState, Verdict, reason};
use crate::store::error::StoreError;
use crate::store::{Result, run_id_of_fire};

/// All items of a list, fetched in pages of two.
async fn in_pages<T>(fetch: impl AsyncFn(Page) -> Result<Paged<T>>) -> Vec<T> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = fetch(Page { limit: 2, cursor }).await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return all;
        }
    }
}

pub(super) async fn lists_come_in_pages_that_neither_repeat_nor_leave_out(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["c", "a", "acme/z", "b", "d"] {
        world.put(name, 9).await;
    }
    let jobs = in_pages(async |page| world.store.list(JobFilter::default(), page).await).await;
    let names: Vec<_> = jobs.iter().map(|schedule| schedule.key.to_string()).collect();
    assert_eq!(names, ["acme/z", "default/a", "default/b", "default/c", "default/d"]);

    for id in [7, 3, 9, 1] {
        world.start("a", id, at(1)).await;
    }
    world.start("b", 5, at(0)).await;
    let claim = world.fire_and_claim(&session, "c").await;
    let mine = async |filter: RunFilter| {
        let runs = in_pages(async |page| world.store.runs(filter.clone(), page).await).await;
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let ids = |bits: &[u128]| bits.iter().map(|bits| RunId::from_bits(*bits)).collect::<Vec<_>>();
    let all = mine(RunFilter::default()).await;
    assert_eq!((all[..4].to_vec(), all.len()), (ids(&[9, 7, 3, 1]), 6), "newest first, then by id");
    let tenant = Some(job("a").tenant);
    for (filter, found) in [
        (RunFilter { tenant, job: Some(job("a").job), ..RunFilter::default() }, ids(&[9, 7, 3, 1])),
        (RunFilter { job: Some(job("b").job), ..RunFilter::default() }, ids(&[5])),
        (RunFilter { states: vec![RunState::Running], ..RunFilter::default() }, vec![claim.run.id]),
        (RunFilter { states: vec![RunState::Done], ..RunFilter::default() }, vec![]),
        (RunFilter { verdict: Some(Verdict::Ran), ..RunFilter::default() }, vec![claim.run.id]),
        (RunFilter { cause: Some(Cause::Schedule), ..RunFilter::default() }, vec![claim.run.id]),
        (RunFilter { from: Some(at(1)), ..RunFilter::default() }, ids(&[9, 7, 3, 1])),
        (RunFilter { to: Some(at(0)), ..RunFilter::default() }, vec![]),
    ] {
        assert_eq!(mine(filter.clone()).await, found, "{filter:?}");
    }
    let nonsense = Page { limit: 1, cursor: Some("nonsense".to_owned()) };
    let refused = world.store.runs(RunFilter::default(), nonsense).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
}

/// More than a store reads at once, many of one age, in pages that end within what it reads at once.
pub(super) async fn a_long_list_comes_whole(world: World) {
    const RUNS: u128 = 1_200;
    const PAGE: usize = 600;
    world.put("a", 9).await;
    let mut made = tokio::task::JoinSet::new();
    for id in 1..=RUNS {
        let store = std::sync::Arc::clone(&world.store);
        let now = at(i64::try_from(id / 3).unwrap());
        made.spawn(async move { store.start(new_run("a", id, now), now).await.unwrap() });
    }
    made.join_all().await;
    let tenant = Some(job("a").tenant);
    for filter in [
        RunFilter::default(),
        RunFilter { tenant, job: Some(job("a").job), ..RunFilter::default() },
        RunFilter { states: vec![RunState::Queued], ..RunFilter::default() },
    ] {
        let (mut found, mut cursor) = (std::collections::BTreeSet::new(), None);
        loop {
            let page = Page { limit: PAGE, cursor };
            let page = world.store.runs(filter.clone(), page).await.unwrap();
            found.extend(page.items.iter().map(|run| run.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), usize::try_from(RUNS).unwrap(), "{filter:?}");
    }
}

pub(super) async fn a_ledger_holds_runs_and_ranges_newest_first(world: World) {
    let session = world.attach(at(0)).await;
    let schedule = world.put("a", 1).await;
    let mut coalesced = range(Verdict::Coalesced, reason::LATEST, 3, 5);
    coalesced.into = Some(run_id_of_fire(&schedule.key, schedule.uid, at(6)));
    let next = FireIntent {
        ranges: vec![
            range(Verdict::Misfired, reason::LATE, 0, 1),
            range(Verdict::Misfired, reason::LATE, 2, 2),
            coalesced,
        ],
        claim: 1,
        ..intent(&schedule, [plan(at(6))])
    };
    world.fire(&session, next, at(6)).await;
    world.fire(&session, intent(&world.get("a").await, [plan(at(7))]), at(7)).await;
    world.start("a", 1, at(7)).await;

    let ask = async |filter: LedgerFilter| {
        let key = job("a");
        let items =
            in_pages(async |page| world.store.ledger(&key, filter.clone(), page).await).await;
        items.iter().map(|item| (item.verdict, item.count)).collect::<Vec<_>>()
    };
    let all =
        [(Verdict::Skipped, 1), (Verdict::Ran, 1), (Verdict::Coalesced, 3), (Verdict::Misfired, 3)];
    assert_eq!(ask(LedgerFilter::default()).await, all);
    for (filter, found) in [
        (LedgerFilter { verdict: Some(Verdict::Ran), ..LedgerFilter::default() }, &all[1..2]),
        (LedgerFilter { verdict: Some(Verdict::Paused), ..LedgerFilter::default() }, &[]),
        (LedgerFilter { from: Some(at(5)), ..LedgerFilter::default() }, &all[..3]),
        (LedgerFilter { to: Some(at(6)), ..LedgerFilter::default() }, &all[2..]),
    ] {
        assert_eq!(ask(filter.clone()).await, found, "{filter:?}");
    }
}

pub(super) async fn a_log_is_read_by_line_and_is_complete_when_the_run_is_done(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 1).await;
    let claim = world.fire_and_claim(&session, "a").await;
    let key = claim.run.key();
    let read = async |from, max| {
        let page = world.store.log_read(&key, from, max).await.unwrap();
        let lines: Vec<_> = page.lines.into_iter().map(|line| line.message).collect();
        (lines.join(" "), page.next, page.complete)
    };
    assert_eq!(read(0, 9).await, (String::new(), 0, false));
    for lines in [vec![line("a"), line("b")], vec![], vec![line("c")]] {
        world.store.log_append(&key, claim.fence, lines).await.unwrap();
    }
    assert_eq!(read(0, 9).await, ("a b c".to_owned(), 3, false));
    let end = AttemptEnd { log: vec![line("d")], ..ended(Outcome::Succeeded) };
    world.store.finish(&session, &key, claim.fence, end, at(1)).await.unwrap();
    for (from, max, text, next, complete) in [
        (0, 9, "a b c d", 4, true),
        (0, 2, "a b", 2, false),
        (2, 2, "c d", 4, true),
        (4, 9, "", 4, true),
        (9, 9, "", 9, true),
    ] {
        assert_eq!(read(from, max).await, (text.to_owned(), next, complete), "{from}, {max}");
    }
    let late = world.store.log_append(&key, claim.fence, vec![line("e")]).await;
    assert_eq!(late, Err(StoreError::Fenced));
    let unknown = world.store.log_read(&run_key(RunId::from_bits(9)), 0, 9).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
}

pub(super) async fn documents_are_compared_and_set(world: World) {
    let tenant = job("a").tenant;
    let put = async |expect, value: Option<&str>| {
        let value = value.map(|text| text.as_bytes().to_vec());
        world.store.doc_put(&tenant, "kv", "k", expect, value).await
    };
    let conflict = |current| Err(StoreError::Conflict { current });
    for (expect, value, answer) in [
        (Some(1), Some("a"), conflict(0)),
        (Some(0), Some("a"), Ok(1)),
        (Some(0), Some("a"), Ok(1)),
        (Some(0), Some("b"), conflict(1)),
        (Some(1), Some("b"), Ok(2)),
        (None, Some("c"), Ok(3)),
        (Some(1), None, conflict(3)),
        (Some(3), None, Ok(0)),
        (Some(3), None, Ok(0)),
        (None, Some("d"), Ok(1)),
    ] {
        assert_eq!(put(expect, value).await, answer, "{expect:?} {value:?}");
    }
    let doc = world.store.doc_get(&tenant, "kv", "k").await.unwrap().unwrap();
    assert_eq!((doc.version, doc.value.as_slice()), (1, b"d".as_slice()));
    assert_eq!(world.store.doc_get(&tenant, "pin", "k").await, Ok(None));

    for key in ["b", "a", "c"] {
        world.store.doc_put(&tenant, "pin", key, None, Some(vec![1])).await.unwrap();
    }
    let pins = in_pages(async |page| world.store.doc_list(&tenant, "pin", page).await).await;
    assert_eq!(pins.iter().map(|doc| doc.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

pub(super) async fn a_write_of_a_document_that_hosts_follow_is_a_new_mark(world: World) {
    let tenant = job("acme/a").tenant;
    let mark = async || world.store.doc_mark().await.unwrap();
    let put = async |kind: &str, expect, value: Option<&str>| {
        let value = value.map(|text| text.as_bytes().to_vec());
        world.store.doc_put(&tenant, kind, "k", expect, value).await.is_ok()
    };
    let mut last = mark().await;
    for (kind, expect, value, is_followed) in [
        ("kv", None, Some("a"), false),
        ("plugin", None, Some("a"), true),
        ("plugin", Some(1), Some("b"), true),
        ("tenant", None, Some("a"), true),
        ("audit", None, Some("a"), false),
        ("plugin", Some(2), None, true),
    ] {
        assert!(put(kind, expect, value).await);
        let now = mark().await;
        assert_eq!(now != last, is_followed, "{kind} {value:?}");
        last = now;
    }
}

pub(super) async fn counters_stop_at_their_limit(world: World) {
    let tenant = job("a").tenant;
    for (by, limit, answer) in [
        (2, Some(3), Ok(Some(2))),
        (2, Some(3), Ok(None)),
        (1, Some(3), Ok(Some(3))),
        (-5, Some(-9), Ok(Some(-2))),
        (0, None, Ok(Some(-2))),
    ] {
        let added = world.store.counter_add(&tenant, "c", by, limit).await;
        assert_eq!(added, answer, "{by} {limit:?}");
    }
    world.store.counter_add(&tenant, "big", i64::MAX, None).await.unwrap();
    let over = world.store.counter_add(&tenant, "big", 1, None).await;
    assert!(matches!(over, Err(StoreError::Invalid(_))));
}
