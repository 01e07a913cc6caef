//! Of what jobs used: added once, with the end of an attempt or a run, and kept when these are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::moving::import;
use super::world::{self, HISTORY, World, ended, job, run_key};
use crate::job::names::JobId;
use crate::record::portable::Record;
use crate::record::query::{Page, RunFilter, UsageFilter, UsageItem};
use crate::record::step::{AttemptEnd, CancelReply, Finished, LiveRuns, Retention};
use crate::record::used::{BUCKETS_PER_HOUR, Bucket, KEPT, Used};
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::run::{Verdict, reason};
use crate::time::Timestamp;

const HOUR: i64 = 3_600;
/// When the first whole hour begins after the worlds' time 0.
const FIRST_HOUR: i64 = 800;
const KEEP: Retention = Retention { removed: HISTORY, max_entries: 100_000 };

impl World {
    /// All buckets that `filter` wants, in pages of so many.
    async fn usage(&self, filter: UsageFilter, limit: usize) -> Vec<UsageItem> {
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.store.usage(filter.clone(), Page { limit, cursor }).await.unwrap();
            assert!(page.items.len() <= limit);
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return items;
            }
        }
    }

    async fn all_usage(&self) -> BTreeMap<Bucket, Used> {
        let items = self.usage(UsageFilter::default(), 100).await.into_iter();
        items.map(|item| (item.bucket, item.used)).collect()
    }

    /// The same, as the runs that are kept say it.
    async fn by_the_records(&self) -> BTreeMap<Bucket, Used> {
        let page = Page { limit: 1_000, cursor: None };
        let runs = self.store.runs(RunFilter::default(), page).await.unwrap().items;
        let mut sums: BTreeMap<Bucket, Used> = BTreeMap::new();
        for run in runs {
            let mut book = |at, used| {
                sums.entry(Bucket::at(&run.job_key(), at)).or_default().book(&used);
            };
            for attempt in &run.attempts {
                if let Some(finished_at) = attempt.finished_at {
                    book(finished_at, Used::by_attempt(&attempt.usage));
                }
            }
            if let (Some(outcome), Some(finished_at)) = (run.outcome, run.finished_at) {
                book(finished_at, Used::by_run(outcome));
            }
        }
        sums
    }
}

/// So many seconds after an hour began.
fn at(seconds: i64) -> Timestamp {
    world::at(FIRST_HOUR + seconds)
}

fn bucket(name: &str, hour: i64) -> Bucket {
    Bucket::at(&job(name), at(hour * HOUR))
}

pub(super) async fn what_ends_is_added_once_to_the_hour_of_its_end(world: World) {
    let session = world.attach(at(0)).await;
    for name in ["a", "acme/a"] {
        world.put(name, 9).await;
    }
    // Two attempts in two hours; the answer of each end is lost once.
    world.start("a", 1, at(0)).await;
    let first = world.acquire(&session, at(1)).await.pop().unwrap();
    let again = AttemptEnd { retry_at: Some(at(HOUR)), ..ended(Outcome::Failed) };
    for expected in [Finished::Done, Finished::Already] {
        let key = first.run.key();
        let end = world.store.finish(&session, &key, first.fence, again.clone(), at(HOUR - 1));
        assert_eq!(end.await, Ok(expected));
    }
    let second = world.acquire(&session, at(HOUR)).await.pop().unwrap();
    assert_eq!(world.finish(&session, &first, Outcome::Failed, at(HOUR)).await, Finished::Already);
    for expected in [Finished::Done, Finished::Already] {
        let end = world.finish(&session, &second, Outcome::Succeeded, at(HOUR + 1)).await;
        assert_eq!(end, expected);
    }
    let one = Used::by_attempt(&ended(Outcome::Failed).usage);
    assert!(one.numbers()[9..].iter().all(|sum| 0 < *sum), "each is measured: {one:?}");
    let mut with_run = one.clone();
    with_run.add(&Used::by_run(Outcome::Succeeded));
    let expected = BTreeMap::from([(bucket("a", 0), one), (bucket("a", 1), with_run)]);
    assert_eq!(world.all_usage().await, expected);

    // One that is cancelled while it waits for another attempt, one that never starts.
    for (id, retry_at) in [(2, Some(at(9 * HOUR))), (3, None)] {
        world.start("acme/a", id, at(HOUR)).await;
        let claim = world.acquire(&session, at(HOUR)).await.pop().unwrap();
        let end = AttemptEnd { retry_at, ..ended(Outcome::Trapped) };
        let key = claim.run.key();
        world.store.finish(&session, &key, claim.fence, end, at(HOUR)).await.unwrap();
    }
    let waits = world.start("acme/a", 2, at(HOUR)).await.key();
    for expected in [CancelReply::Ended, CancelReply::AlreadyDone] {
        assert_eq!(world.store.cancel(&waits, "enough", at(2 * HOUR)).await, Ok(expected));
    }
    world.start("a", 4, at(2 * HOUR)).await;
    let verdict = (Verdict::NoPlugin, reason::NO_PLUGIN.into());
    let dropped = run_key(RunId::from_bits(4));
    let dropped = world.store.drop_run(&dropped, verdict.0, verdict.1, at(2 * HOUR)).await;
    assert_eq!(dropped, Ok(true));
    // One whose host dies: what it used until then nobody knows.
    world.start("a", 5, at(2 * HOUR)).await;
    world.acquire(&session, at(2 * HOUR)).await;
    world.attach(at(3 * HOUR)).await;

    let usage = world.all_usage().await;
    assert_eq!(usage, world.by_the_records().await);
    assert_eq!(usage[&bucket("acme/a", 2)], Used::by_run(Outcome::Cancelled));
    let lost = Used { attempts: 1, ..Used::default() };
    assert_eq!(usage[&bucket("a", 3)], lost, "it is queued again");
    assert!(!usage.contains_key(&bucket("a", 2)));

    world.store.remove(&job("a"), None, LiveRuns::Keep, at(3 * HOUR)).await.unwrap();
    assert_eq!(world.all_usage().await, usage);
    assert_eq!(world.store.faults().await, Ok(Vec::new()));
}

pub(super) async fn what_was_used_comes_in_pages_by_tenant_hour_and_job(world: World) {
    let session = world.attach(at(0)).await;
    for (id, (name, hour)) in
        (1..).zip([("b", 0), ("a", 0), ("a", 2), ("acme/a", 1), ("acme/a", 2), ("ab", 1)])
    {
        world.put(name, 9).await;
        world.start(name, id, at(hour * HOUR)).await;
        let claim = world.acquire(&session, at(hour * HOUR)).await.pop().unwrap();
        world.finish(&session, &claim, Outcome::Succeeded, at(hour * HOUR + 1)).await;
    }
    let names = async |filter: UsageFilter, limit| {
        let items = world.usage(filter, limit).await.into_iter();
        items.map(|item| item.bucket).collect::<Vec<_>>()
    };
    let acme = [bucket("acme/a", 1), bucket("acme/a", 2)];
    let own = [bucket("a", 0), bucket("b", 0), bucket("ab", 1), bucket("a", 2)];
    for limit in [1, 2, 100] {
        let all: Vec<Bucket> = acme.iter().chain(&own).cloned().collect();
        assert_eq!(names(UsageFilter::default(), limit).await, all);
        let tenant = Some(own[0].tenant.clone());
        let of_tenant = UsageFilter { tenant, ..UsageFilter::default() };
        assert_eq!(names(of_tenant.clone(), limit).await, own);
        let of_job = UsageFilter { job: Some("a".parse().unwrap()), ..of_tenant.clone() };
        assert_eq!(names(of_job, limit).await, [own[0].clone(), own[3].clone()]);
        let (from, to) = (Some(at(HOUR)), Some(at(2 * HOUR)));
        let of_hour = UsageFilter { from, to, ..UsageFilter::default() };
        assert_eq!(names(of_hour.clone(), limit).await, [acme[0].clone(), own[2].clone()]);
        let both = UsageFilter { from, to, ..of_tenant };
        assert_eq!(names(both, limit).await, [own[2].clone()]);
    }
}

pub(super) async fn what_was_used_is_kept_for_13_months(world: World) {
    let session = world.attach(at(0)).await;
    world.put("a", 9).await;
    for (id, hour) in (1..).zip([0, 1, 2]) {
        world.start("a", id, at(hour * HOUR)).await;
        let claim = world.acquire(&session, at(hour * HOUR)).await.pop().unwrap();
        world.finish(&session, &claim, Outcome::Succeeded, at(hour * HOUR)).await;
    }
    let later = |hours: i64| at(hours * HOUR).after(KEPT);
    let trim = async |budget, now| {
        let mut steps = 1;
        while world.store.trim(KEEP, budget, now).await.unwrap().more {
            steps += 1;
        }
        steps
    };
    trim(100, later(0)).await;
    assert_eq!(world.all_usage().await.len(), 3);
    // The runs are gone long ago; the first of two steps has room for one bucket.
    trim(100, later(0).after(Duration::from_micros(1))).await;
    assert_eq!(world.all_usage().await.into_keys().next(), Some(bucket("a", 1)));
    assert!(1 < trim(1, later(9)).await);
    assert_eq!(world.all_usage().await, BTreeMap::new());
    assert_eq!(world.store.faults().await, Ok(Vec::new()));
}

pub(super) async fn of_too_many_jobs_in_an_hour_the_rest_have_one_bucket(world: World) {
    let mut world = world;
    world.let_imports_in().await;
    let full = BUCKETS_PER_HOUR - 1;
    let records: Vec<Record> = (0..full)
        .map(|number| {
            let used = Used { attempts: 1, ..Used::default() };
            let bucket = bucket(&format!("job-{number}"), 0);
            Record::Used(UsageItem { bucket, used })
        })
        .collect();
    import(world.store.as_ref(), &records).await;
    let session = world.attach(at(0)).await;
    for (id, name) in (1..).zip(["a", "b", "c", "a", "b", "job-7", "acme/a"]) {
        world.put(name, 9).await;
        world.start(name, id, at(0)).await;
        let claim = world.acquire(&session, at(0)).await.pop().unwrap();
        world.finish(&session, &claim, Outcome::Succeeded, at(1)).await;
    }
    let usage = world.all_usage().await;
    let attempts = |bucket: Bucket| usage.get(&bucket).map(|used| used.attempts);
    assert_eq!(attempts(bucket("a", 0)), Some(2));
    assert_eq!((attempts(bucket("b", 0)), attempts(bucket("c", 0))), (None, None));
    assert_eq!(attempts(bucket("a", 0).of_others()), Some(3));
    assert_eq!(attempts(bucket("job-7", 0)), Some(2));
    assert_eq!(attempts(bucket("acme/a", 0)), Some(1), "each tenant has its own");
    let jobs: BTreeSet<Option<JobId>> =
        usage.keys().filter(|of| of.tenant == job("a").tenant).map(|of| of.job.clone()).collect();
    assert_eq!(jobs.len() as u64, BUCKETS_PER_HOUR + 1);
    assert_eq!(world.store.faults().await, Ok(Vec::new()));
}
