//! One run: a fleet starts, is disturbed, settles, and is judged.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::checker::{Finding, check};
use super::collector::{Collector, mono, wall};
use super::feed;
use super::fleet::{Fleet, StoreKind};
use super::history::{Answer, Change, Disturbance, History, Micros, Read, SECOND};
use super::nemesis::{Deed, Dice, Event, Reach, plan};
use super::rest::{self, Client};
use super::{report, workload};
use crate::support::{eventually, guests};

/// Starting may take so long without shortening the run.
const HEAD_START: Micros = 10 * SECOND;
/// After the last fault all must be over within this.
const SETTLE: Duration = Duration::from_secs(90);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The pause between two changes over REST.
const CHANGE_EVERY: Duration = Duration::from_millis(250);
/// What a Redis store keeps of runs that are not over, by the ends of its keys' names: the runs, who
/// has a slot, waits for one, may start, waits for a time, is given up, is held; and their indexes.
const LIVE_KEYS: [&str; 9] = ["run", "sl", "bl", "q", "lt", "dl", "own", "lv", "lj"];
/// The pause between two looks at what is changed.
const READ_EVERY: Duration = Duration::from_millis(50);
/// So many jobs are changed over and over.
const CHANGED_JOBS: usize = 8;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub store: StoreKind,
    pub hosts: usize,
    pub length: Duration,
    pub seed: u64,
    /// Of each kind of job.
    pub copies: usize,
    /// Of the hosts' sessions.
    pub ttl: Duration,
    /// Redis syncs its file once a second, not before each answer. On a slow disk it may then lose what
    /// it has acknowledged when it is killed: it keeps up to two seconds to itself. Its file is in
    /// memory here where there is such a place.
    pub everysec: bool,
    /// The kinds of disturbance that are left in the plan; empty: all.
    pub only: Vec<String>,
}

/// What came out.
pub struct Judged {
    pub findings: Vec<Finding>,
    /// Counts and pictures, for people.
    pub report: String,
    /// Where history, report and the hosts' logs are.
    pub evidence: PathBuf,
}

/// Runs it and judges it.
pub fn run(settings: &Settings) -> Judged {
    let evidence = evidence(settings);
    let collector = Collector::start();
    let second = |at: Micros| at - at % SECOND;
    let length = i64::try_from(settings.length.as_micros()).unwrap();
    let start = second(wall());
    // Between two seconds, and two quarters of one, so that no fire time is this instant.
    let until = start + HEAD_START + second(length) + SECOND * 6 / 10;
    let mut jobs = workload::jobs(settings.copies, start, until);
    let tables = workload::tables(&jobs, collector.address());
    let mut fleet = Fleet::new(settings, &tables, &evidence);
    let urls = fleet.urls();
    let client = Client::new();
    fleet.start();
    for url in &urls {
        eventually("a ready host", || client.is_ready(url).then_some(()));
    }
    // Every host knows every job by now: from the next second on each fire time counts.
    let from = second(wall()) + SECOND;
    jobs.iter_mut().for_each(|job| job.from = from);
    let length = Duration::from_micros(u64::try_from(until - from).unwrap_or_default());
    let length = length.min(settings.length);
    assert!(length >= settings.length / 2, "the hosts took too long to start");

    let reach = Reach {
        hosts: settings.hosts,
        ttl: settings.ttl,
        redis: settings.store == StoreKind::Redis,
    };
    let mut events = plan(settings.seed, reach, length);
    events.retain(|event| {
        settings.only.is_empty() || settings.only.iter().any(|kind| kind == event.kind())
    });
    let begin =
        Instant::now() + Duration::from_micros(u64::try_from(from - wall()).unwrap_or_default());
    let over = AtomicBool::new(false);
    let (disturbances, changes, reads) = thread::scope(|scope| {
        let changes = scope.spawn(|| change_jobs(&urls, settings.seed, &over));
        let reads = scope.spawn(|| read_jobs(&urls, settings.seed, &over));
        let disturbances = disturb(&mut fleet, &events, begin);
        supervise_until(&mut fleet, begin + length, || false);
        over.store(true, Ordering::Relaxed);
        (disturbances, changes.join().unwrap(), reads.join().unwrap())
    });
    supervise_until(&mut fleet, Instant::now() + SETTLE, || is_over(&client, &urls, until));
    // One look more: what begins after all is over is a finding too.
    let mut history = History {
        wall_less_mono: wall() - mono(),
        jobs,
        disturbances,
        changes,
        reads,
        ..History::default()
    };
    read(&client, &urls, &mut history);
    history.feed = fleet.redis.as_ref().map(feed::read);
    let keys = fleet.redis_keys();
    std::fs::write(evidence.join("redis-keys.txt"), keys.join("\n")).unwrap();
    let is_live = |line: &String| {
        let key = line.split(' ').next().and_then(|key| key.rsplit(':').next());
        key.is_some_and(|key| LIVE_KEYS.contains(&key))
    };
    history.leftovers = keys.into_iter().filter(is_live).collect();
    fleet.end();
    history.effects = collector.effects();
    history.accidents.clone_from(&fleet.accidents);
    history.gave_up.clone_from(&fleet.gave_up);
    let findings = check(&history);
    let report = report::report(settings, &history, &findings);
    std::fs::write(evidence.join("history.json"), serde_json::to_vec(&history).unwrap()).unwrap();
    std::fs::write(evidence.join("report.txt"), &report).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    std::fs::write(evidence.join("findings.txt"), lines.join("\n")).unwrap();
    Judged { findings, report, evidence }
}

/// An empty folder for what is left of the run.
fn evidence(settings: &Settings) -> PathBuf {
    let name = format!("target/chaos/{:?}-seed-{}", settings.store, settings.seed).to_lowercase();
    let folder = guests::root().join(name);
    // It may not be there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Does what the plan says, and undoes it.
fn disturb(fleet: &mut Fleet, events: &[Event], begin: Instant) -> Vec<Disturbance> {
    let mut deeds: Vec<(Duration, &Deed, usize, bool)> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        deeds.push((event.at, &event.deed, number, true));
        deeds.extend(event.undo.as_ref().map(|undo| (event.until, undo, number, false)));
    }
    deeds.sort_by_key(|(at, ..)| *at);
    let mut done = Vec::new();
    for event in events {
        let (kind, what) = (event.kind().to_owned(), format!("{:?}", event.deed));
        done.push(Disturbance { kind, what, mono: 0, until: 0 });
    }
    for (at, deed, number, begins) in deeds {
        supervise_until(fleet, begin + at, || false);
        let disturbance = &mut done[number];
        if begins {
            disturbance.mono = mono();
        }
        fleet.perform(deed);
        disturbance.until = mono();
    }
    done
}

/// Looks after the fleet until it is done or the time has come.
fn supervise_until(fleet: &mut Fleet, end: Instant, mut is_done: impl FnMut() -> bool) {
    loop {
        fleet.supervise();
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || is_done() {
            return;
        }
        thread::sleep(left.min(LOOK_EVERY));
    }
}

/// Puts and removes jobs, one after the other, through one host or another.
fn change_jobs(urls: &[String], seed: u64, over: &AtomicBool) -> Vec<Change> {
    let (client, mut dice, mut changes) = (Client::new(), Dice(!seed), Vec::new());
    while !over.load(Ordering::Relaxed) {
        let job = format!("changed-{}", dice.below(CHANGED_JOBS));
        let url = format!("{}/v1/jobs/{job}", urls[dice.below(urls.len())]);
        let mark = u64::try_from(changes.len()).unwrap();
        let mark = (dice.below(4) > 0).then_some(mark);
        let asked = mono();
        let reply = match mark {
            Some(mark) => client.send("PUT", &url, Some(&workload::marked(mark))),
            None => client.send("DELETE", &url, None),
        };
        let answer = match reply.map(|(status, _)| status) {
            Some(200..=299) => Answer::Done,
            Some(404) if mark.is_none() => Answer::Done,
            Some(400..=499) => Answer::Refused,
            // A host that is killed has perhaps done it, and one that is frozen may do it yet.
            _ => Answer::Unknown,
        };
        changes.push(Change { job, mark, answer, asked, answered: mono() });
        thread::sleep(CHANGE_EVERY);
    }
    changes
}

/// Looks at those jobs meanwhile, through one host or another.
fn read_jobs(urls: &[String], seed: u64, over: &AtomicBool) -> Vec<Read> {
    let (client, mut dice, mut reads) = (Client::new(), Dice(seed.rotate_left(32)), Vec::new());
    while !over.load(Ordering::Relaxed) {
        let job = format!("changed-{}", dice.below(CHANGED_JOBS));
        let url = format!("{}/v1/jobs/{job}", urls[dice.below(urls.len())]);
        let asked = mono();
        let mark = match client.send("GET", &url, None) {
            Some((200, job)) => rest::definition(&job).map(|seen| seen.marks.first().copied()),
            Some((404, _)) => Some(None),
            // Who got no answer has seen nothing.
            Some(_) | None => None,
        };
        reads.extend(mark.map(|mark| Read { job, mark, asked, answered: mono() }));
        thread::sleep(READ_EVERY);
    }
    reads
}

/// Whether every host works, every job is finished and no run is under way.
fn is_over(client: &Client, urls: &[String], until: Micros) -> bool {
    wall() > until
        && urls.iter().all(|url| client.is_ready(url))
        && client.list(&urls[0], "/v1/jobs").is_some_and(|jobs| {
            let mut collected = jobs.iter().filter(|job| job["definition"]["plugin"] == "effect");
            collected.all(|job| job["state"] == "finished")
        })
        && client
            .list(&urls[0], "/v1/runs")
            .is_some_and(|runs| runs.iter().all(|run| run["state"] == "done"))
}

/// Reads what the first host that answers says.
pub fn read(client: &Client, urls: &[String], history: &mut History) {
    let list = |path: &str| -> Vec<Value> {
        eventually(path, || urls.iter().find_map(|url| client.list(url, path)))
    };
    history.runs = list("/v1/runs").iter().map(rest::run).collect();
    history.definitions = list("/v1/jobs").iter().filter_map(rest::definition).collect();
    for job in &history.jobs {
        let items = list(&format!("/v1/jobs/{}/ledger", job.id));
        history.ledger.extend(items.iter().map(|item| rest::ledger_item(&job.id, item)));
    }
}

impl Judged {
    /// Shows it, and fails when there is a finding.
    #[track_caller]
    fn holds(&self) {
        println!("{}\nevidence: {}", self.report, self.evidence.display());
        assert!(self.findings.is_empty(), "{} findings", self.findings.len());
    }
}

/// What stands in a variable, or this.
fn setting(name: &str, default: u64) -> u64 {
    let name = format!("CAMPANILE_CHAOS_{name}");
    match std::env::var(&name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not `{text}`")),
        Err(_) => default,
    }
}

#[test]
#[ignore = "`cargo xtask chaos` runs it, for as long as it is told"]
fn chaos() {
    let store = match std::env::var("CAMPANILE_CHAOS_STORE").as_deref() {
        Ok("redis") => StoreKind::Redis,
        Ok("sqlite") | Err(_) => StoreKind::Sqlite,
        Ok(other) => panic!("CAMPANILE_CHAOS_STORE is `redis` or `sqlite`, not `{other}`"),
    };
    let only = std::env::var("CAMPANILE_CHAOS_ONLY").unwrap_or_default();
    let settings = Settings {
        store,
        hosts: usize::try_from(setting("HOSTS", 1)).unwrap(),
        length: Duration::from_secs(setting("SECONDS", 60)),
        seed: setting("SEED", 1),
        copies: usize::try_from(setting("COPIES", 3)).unwrap(),
        ttl: Duration::from_millis(setting("TTL_MS", 3_000)),
        everysec: setting("EVERYSEC", 1) == 1,
        only: only.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect(),
    };
    run(&settings).holds();
}

#[test]
#[ignore = "it judges a `history.json` again that CAMPANILE_CHAOS_HISTORY names"]
fn judge_again() {
    let file = std::env::var_os("CAMPANILE_CHAOS_HISTORY");
    let file = file.expect("CAMPANILE_CHAOS_HISTORY names a history.json");
    let history: History = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let findings: Vec<String> = check(&history).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

/// A short run with a fixed seed.
fn short(store: StoreKind, hosts: usize, seconds: u64) -> Settings {
    Settings {
        store,
        hosts,
        length: Duration::from_secs(seconds),
        seed: 20_261_120,
        copies: 2,
        ttl: Duration::from_secs(3),
        everysec: true,
        only: Vec::new(),
    }
}

#[test]
fn a_host_that_is_killed_and_frozen_loses_nothing() {
    run(&short(StoreKind::Sqlite, 1, 20)).holds();
}

#[test]
fn a_fleet_that_is_killed_frozen_and_cut_off_loses_nothing_and_repeats_nothing() {
    run(&short(StoreKind::Redis, 3, 90)).holds();
}
