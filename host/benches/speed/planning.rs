//! What planning costs with many jobs, of which few are due, and what an idle job weighs.
//!
//! The scheduler's own pass on a memory store, driven by a clock that is moved by hand; claimed runs
//! are ended between two passes. In each second a thousand jobs are due, however many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use campanile::catalog::Catalog;
use campanile::catalog::fleet::Fleet;
use campanile::catalog::jobs::JobCache;
use campanile::clock::{ManualClock, SharedClock};
use campanile::executor::Claimed;
use campanile::executor::slots::Slots;
use campanile::job::names::QueueName;
use campanile::job::{JobKey, PluginKey};
use campanile::lease::cell::SessionCell;
use campanile::record::Schedule;
use campanile::record::packed::{Effective, Packed};
use campanile::record::query::{JobFilter, Page};
use campanile::record::step::{AttemptEnd, NewSchedule};
use campanile::run::outcome::Outcome;
use campanile::run::usage::Usage;
use campanile::scheduler::Scheduler;
use campanile::scheduler::wake::Wake;
use campanile::status::Status;
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use campanile::time::Timestamp;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::findings::{Aim, Findings, NO_SLACK, RATIO_SLACK};
use crate::heap::bytes_kept;
use crate::jobs;
use crate::rig::{noop_key, thread_time};
use crate::sample::{Sample, micros};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Jobs due in each pass.
const DUE: usize = 1_000;
/// Passes that are measured.
const PASSES: usize = 100;
const SECOND: Duration = Duration::from_secs(1);
/// The start of 2026.
pub const START: Timestamp = Timestamp::from_secs(1_767_225_600);
/// The slowest size may take so many times what the fastest takes.
const FLAT: Aim = Aim::AtMost(1.5);
const IDLE_BYTES: Aim = Aim::AtMost(500.0);
/// Of the memory that is free this much may be used.
const MEMORY_SHARE: f64 = 0.7;

pub fn measure(findings: &mut Findings) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut times = Vec::new();
    let mut weight = 0.0;
    for size in SIZES {
        let needed = weight * size as f64;
        if available_bytes().is_some_and(|free| free * MEMORY_SHARE < needed) {
            findings.note(&format!("{size} jobs: not measured, they need {needed:.0} bytes"));
            continue;
        }
        let world = World::new(&runtime, size, 1);
        weight = world.bytes as f64 / size as f64;
        let time = world.time_for_one(&runtime);
        let bare = bare_heap(size);
        findings.figure(
            &format!("{size:>9} jobs: one that is due; a bare heap: {:.3} us", micros(bare)),
            micros(time),
            "us",
        );
        times.push(time.as_secs_f64());
    }
    let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
    let slowest = times.iter().copied().fold(0.0, f64::max);
    findings.aim("the slowest size to the fastest", slowest / fastest, "times", FLAT, RATIO_SLACK);
    findings.aim("an idle job in the memory store", weight, "bytes", IDLE_BYTES, NO_SLACK);
    weigh_parts(&runtime, findings, weight);
}

/// A memory store with jobs, and a scheduler that nobody starts.
pub struct World {
    size: usize,
    clock: Arc<ManualClock>,
    scheduler: Scheduler,
    claims: mpsc::Receiver<Claimed>,
    /// What the jobs have left allocated.
    pub bytes: i64,
}

impl World {
    /// So many jobs of so many tenants.
    pub fn new(runtime: &Runtime, size: usize, tenants: usize) -> Self {
        let store = Arc::new(EmbeddedStore::memory());
        let ((), bytes) = bytes_kept(|| runtime.block_on(fill(store.as_ref(), size, tenants)));
        let clock = Arc::new(ManualClock::at(START));
        let hello = campanile::record::HostInfo::named("bench");
        let attached = runtime.block_on(store.attach(hello, START)).expect("a session");
        let (claims_sender, claims) = mpsc::channel(2 * DUE);
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let classes = (0..tenants)
            .map(|number| PluginKey { tenant: jobs::tenant(number), ..noop_key() })
            .collect::<Vec<_>>();
        let scheduler = Scheduler {
            store,
            session: Arc::new(SessionCell::unbounded(attached.session)),
            clock: shared,
            jobs: Arc::new(JobCache::default()),
            fleet: Fleet::alone(watch::channel(Arc::new(Catalog::of_classes(classes))).1),
            slots: Slots::new(2 * DUE, 0),
            queues: Arc::new([QueueName::default()].into()),
            claims: claims_sender,
            status: Arc::new(Status::default()),
            wake: Arc::new(Wake::default()),
            stop: Arc::new(AtomicBool::new(false)),
        };
        Self { size, clock, scheduler, claims, bytes }
    }

    /// Processor time that a pass takes for each job that is due; the median pass.
    pub fn time_for_one(mut self, runtime: &Runtime) -> Duration {
        let period = period(self.size);
        // Until each job was due once: the first fire of a job makes a place for its past.
        let warm_up = usize::try_from(period).expect("small");
        let first = START.after(SECOND * period);
        let mut times = Vec::with_capacity(PASSES);
        for pass in 0..warm_up + PASSES {
            let now = first.after(SECOND * u32::try_from(pass).expect("small"));
            self.clock.set(now);
            let start = thread_time();
            runtime.block_on(self.scheduler.pass()).expect("a pass");
            if warm_up <= pass {
                times.push(thread_time().saturating_sub(start));
            }
            let ended = runtime.block_on(self.end_claimed(now));
            assert_eq!(ended, DUE, "runs in pass {pass}");
        }
        Sample::new(times).median() / u32::try_from(DUE).expect("small")
    }

    async fn end_claimed(&mut self, now: Timestamp) -> usize {
        let mut ended = 0;
        while let Ok(Claimed { claim, .. }) = self.claims.try_recv() {
            let (store, held) = (&self.scheduler.store, self.scheduler.session.current());
            let run = claim.run.key();
            let finished = store.finish(&held.session, &run, claim.fence, success(), now).await;
            finished.expect("the end of a run");
            ended += 1;
        }
        ended
    }
}

/// Seconds after which a job is due again.
fn period(size: usize) -> u32 {
    u32::try_from(size / DUE).expect("small")
}

async fn fill(store: &dyn Store, size: usize, tenants: usize) {
    let of_each = size / tenants;
    let pattern = pattern(size);
    let named = copies(&pattern, size).enumerate().map(|(number, job)| {
        let key = JobKey { tenant: jobs::tenant(number / of_each), ..job.key };
        NewSchedule { key, ..job }
    });
    jobs::put(store, named, START).await;
}

fn pattern(size: usize) -> NewSchedule {
    jobs::pattern(&format!("trigger = \"every {}s\"", period(size)), START)
}

/// So many jobs, of which [`DUE`] are due in each second.
fn copies(pattern: &NewSchedule, size: usize) -> impl Iterator<Item = NewSchedule> {
    let period = period(size);
    let later = move |number: usize| SECOND * (u32::try_from(number).expect("small") % period);
    (0..size).map(move |number| jobs::copy(pattern, number, later(number)))
}

fn success() -> AttemptEnd {
    AttemptEnd {
        outcome: Outcome::Succeeded,
        result: None,
        error: None,
        usage: Usage::default(),
        digest: None,
        progress: None,
        log: Vec::new(),
        retry_at: None,
    }
}

/// The least there is to do: a heap of that many due times, from which each is taken and put back.
fn bare_heap(size: usize) -> Duration {
    let period = i64::from(period(size));
    let mut heap: BinaryHeap<_> =
        (0..size as i64).map(|number| Reverse((number % period, number))).collect();
    let start = thread_time();
    let rounds = PASSES * DUE;
    for _ in 0..rounds {
        if let Some(mut first) = heap.peek_mut() {
            first.0.0 += period;
        }
    }
    thread_time().saturating_sub(start) / u32::try_from(rounds).expect("small")
}

/// Says what the weight of a job consists of, and what one weighs that is defined as no other.
fn weigh_parts(runtime: &Runtime, findings: &Findings, whole: f64) {
    let record = size_of::<Schedule>() as f64;
    findings.figure("  its schedule: cursor, policy, last run", record, "bytes");
    findings.figure("  its name, and its places in indexes", whole - record, "bytes");
    let store = EmbeddedStore::memory();
    let pattern = pattern(SIZES[1]);
    let with_args = copies(&pattern, SIZES[1]).enumerate().map(|(number, mut new)| {
        let with_args = |value: Value| {
            let Value::Object(mut entries) = value else { unreachable!("a job is a table") };
            entries.insert("args".to_owned(), number.into());
            Value::Object(entries)
        };
        new.def.definition = Packed::of(&with_args(new.def.definition.get()));
        new.def.effective = Effective::of(&with_args(new.def.effective.get()));
        new.def.digest = format!("sha256:{number:064x}");
        new
    });
    let ((), bytes) = bytes_kept(|| runtime.block_on(jobs::put(&store, with_args, START)));
    let own = bytes as f64 / SIZES[1] as f64;
    findings.figure("the same with arguments that no other job has", own, "bytes");
    let page = Page { limit: DUE, cursor: None };
    let listed = runtime.block_on(store.list(JobFilter::default(), page)).expect("a list");
    let cache = JobCache::default();
    let ((), parsed) = bytes_kept(|| {
        for schedule in &listed.items {
            cache.get(schedule).expect("a job");
        }
    });
    let parsed = parsed as f64 / listed.items.len() as f64;
    findings.figure("  beside the store, once it was due: what is parsed", parsed, "bytes");
}

/// What the system says is free, in bytes.
fn available_bytes() -> Option<f64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}
