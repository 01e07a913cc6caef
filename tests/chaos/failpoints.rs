//! A host that ends right before and right after each call of its store, one place after the other.
//!
//! The host runs in a process of its own, which is this test binary again: so the shipped program
//! holds none of this, nothing is built twice, and the places are every call there is, since one
//! macro makes them ([`CALLS`]).

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use campanile::config::Config;
use campanile::config::load::load;
use campanile::config::store::StoreAddress;
use campanile::runtime::Host;
use campanile::store::embedded::EmbeddedStore;
use campanile::store::redis::RedisStore;
use campanile::store::redis::settings::Settings;
use campanile::store::{Result, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::checker::check;
use super::collector::{Collector, mono, wall};
use super::fleet::StoreKind;
use super::history::{Disturbance, Grid, History, Job, Micros, Phase, SECOND};
use super::rest::{self, Client};
use super::{run, workload};
use crate::support::hooked::{CALLS, Hook, Hooked};
use crate::support::host::binary;
use crate::support::redis::Redis;
use crate::support::{eventually, guests, ports};
use crate::usage::difference;

/// Names the place where a host ends, as `before.fire`, and at which time it comes there.
const PLACE: &str = "CAMPANILE_FAILPOINT";
/// Calls that a single host does not make by itself, nor at anybody's request; `drop_run` only where
/// no pass of the scheduler has given the run up before.
const UNUSED: [&str; 11] = [
    "drop_run",
    "doc_list",
    "counter_add",
    "export",
    "import",
    "faults",
    "usage",
    "draw",
    "account",
    "holdings",
    "erase",
];
/// These come over and over: the host ends there once more, in the middle of its work.
const BUSY: [&str; 4] = ["due", "fire", "acquire", "finish"];
/// Which time that is.
const LATER: u64 = 4;
/// So many folders with hosts that end, at the same time.
const CHAINS: usize = 4;
/// A host does all it does within this, or does not come to its place.
const LIFE: Duration = Duration::from_secs(20);
/// Between two rounds of requests.
const PAUSE: Duration = Duration::from_millis(20);

/// A fire time that came due so long ago has been fired.
const PATIENCE: Micros = 10 * SECOND;

/// Ends the process at a place.
struct EndsAt {
    place: String,
    time: u64,
    counts: Mutex<HashMap<String, u64>>,
}

impl EndsAt {
    fn pass(&self, place: String) {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(place.clone()).or_default();
        *count += 1;
        if place == self.place && *count == self.time {
            std::process::abort();
        }
    }
}

impl Hook for EndsAt {
    fn before(&self, call: &'static str) -> Result<()> {
        self.pass(format!("before.{call}"));
        Ok(())
    }

    fn after(&self, call: &'static str) -> Result<()> {
        self.pass(format!("after.{call}"));
        Ok(())
    }
}

/// The host of this folder, ending at the place that the variable names.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is the host that the other test here starts"]
async fn host_that_ends() {
    let place = std::env::var(PLACE).expect("the other test here starts it");
    let (place, time) = place.split_once(':').unwrap();
    let here = std::env::current_dir().unwrap();
    let config = load(Some(Path::new("host.toml")), &here).unwrap();
    std::fs::create_dir_all(&config.state_dir).unwrap();
    let hook =
        EndsAt { place: place.to_owned(), time: time.parse().unwrap(), counts: Mutex::default() };
    let store = Hooked::new(opened(&config).await, Arc::new(hook));
    let host = Host::start_on(config, Arc::new(store)).await.unwrap();
    let mut told =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    told.recv().await;
    host.shutdown().await.unwrap();
}

/// The configured store.
async fn opened(config: &Config) -> Arc<dyn Store> {
    match &config.store {
        StoreAddress::Sqlite { path } => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path));
            Arc::new(opened.await.unwrap().unwrap())
        }
        StoreAddress::Redis(server) => {
            let settings = Settings::new(server.clone());
            Arc::new(RedisStore::open(settings).await.unwrap())
        }
        StoreAddress::Memory => panic!("what is in memory ends with its host"),
    }
}

/// A folder in which one host after the other ends.
struct Site {
    dir: tempfile::TempDir,
    /// The store's server, if it has one; it ends with the site.
    _redis: Option<Redis>,
    url: String,
    client: Client,
    collector: Collector,
    jobs: Vec<Job>,
    /// When a host has first said that it knows the jobs.
    known: Option<Micros>,
    ends: Vec<Disturbance>,
    lives: usize,
    marks: u64,
}

impl Site {
    fn new(store: StoreKind) -> Self {
        let redis = (store == StoreKind::Redis).then(Redis::start);
        let (dir, port, collector) =
            (tempfile::tempdir().unwrap(), ports::free(), Collector::start());
        let start = wall() - SECOND;
        let job = |id: &str, step: Micros| Job {
            id: id.to_owned(),
            grid: Grid::Every { start, step },
            from: 0,
            until: start + 3_600 * SECOND,
            max_instances: 1,
        };
        let jobs = vec![job("tick", SECOND / 5), job("each", SECOND / 2), job("long", 2 * SECOND)];
        let keys = ["", "coalesce = \"all\"\noverlap = \"queue\"\nqueue_limit = 20", ""];
        let tables = jobs.iter().zip([20, 20, 1_200]).zip(keys);
        let tables: String = tables
            .map(|((job, work_ms), keys)| workload::table(job, collector.address(), work_ms, keys))
            .collect();
        let gone = "[jobs.gone]\nplugin = \"missing\"\ntrigger = \"every 500ms\"\nplugin_wait = \"100ms\"\n";
        let store = redis.as_ref().map_or_else(String::new, |redis| {
            format!("store = {{ url = \"{}\", ttl = \"1s\" }}\n", redis.url())
        });
        let config = format!("{store}[api]\nlisten = \"127.0.0.1:{port}\"\n{tables}{gone}");
        std::fs::write(dir.path().join("host.toml"), config).unwrap();
        std::fs::create_dir(dir.path().join("plugins")).unwrap();
        for guest in ["effect", "noop"] {
            let file = dir.path().join(format!("plugins/{guest}.wasm"));
            std::fs::write(file, guests::bytes(guest)).unwrap();
        }
        let (url, client) = (format!("http://127.0.0.1:{port}"), Client::new());
        Self {
            dir,
            _redis: redis,
            url,
            client,
            collector,
            jobs,
            known: None,
            ends: Vec::new(),
            lives: 0,
            marks: 0,
        }
    }

    fn spawn(&mut self, command: &mut Command) -> Child {
        self.lives += 1;
        let said = File::create(self.dir.path().join(format!("life-{}.log", self.lives))).unwrap();
        command.current_dir(self.dir.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    /// One life of a host that ends at a place, and does all that hosts do until then.
    fn live_until(&mut self, place: &str) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "chaos::failpoints::host_that_ends", "--nocapture"]);
        let mut child = self.spawn(command.env(PLACE, place));
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let what = format!("{place}: {status}");
                let kind = "kill".to_owned();
                self.ends.push(Disturbance { kind, what, mono: mono(), until: mono() });
                return status;
            }
            if self.client.is_ready(&self.url) {
                self.known.get_or_insert(wall());
                self.exercise();
                if place.contains("detach") || begun.elapsed() > LIFE {
                    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ended_effects(&self) -> usize {
        let effects = self.collector.effects();
        effects.iter().filter(|effect| effect.told.phase == Phase::End).count()
    }

    /// Asks for everything that a host does only when it is asked. It may end in the middle.
    fn exercise(&mut self) {
        self.marks += 1;
        let send = |method: &str, path: &str, body: serde_json::Value| {
            let body = (!body.is_null()).then_some(&body);
            self.client.send(method, &format!("{}{path}", self.url), body).map(|(_, body)| body)
        };
        let none = serde_json::Value::Null;
        send("PUT", "/v1/jobs/changed", workload::marked(self.marks));
        send("POST", "/v1/jobs/changed/pause", json!({"why": "a test"}));
        send("POST", "/v1/jobs/changed/resume", json!({}));
        let key = format!("mark-{}", self.marks);
        let later = json!({"job": "changed", "countdown": "1s", "idempotency_key": key});
        if let Some(run) = send("POST", "/v1/runs", later) {
            let id = run["id"].as_str().unwrap_or_default();
            send("POST", &format!("/v1/runs/{id}/cancel"), json!({}));
            send("GET", &format!("/v1/runs/{id}/logs"), none.clone());
        }
        send("GET", "/v1/jobs/tick/ledger", none.clone());
        send("GET", "/v1/hosts", none.clone());
        send("POST", "/v1/scheduler/pause", json!({"why": "a test"}));
        send("POST", "/v1/scheduler/resume", json!({}));
        send("DELETE", "/v1/jobs/changed", none);
    }

    /// The last life, in the program itself: the jobs go on, are paused, and all is judged.
    fn judge(mut self) -> Vec<String> {
        let mut command = Command::new(binary());
        command.args(["--config", "host.toml", "--log-format", "human"]);
        let mut child = self.spawn(&mut command);
        eventually("a ready host", || self.client.is_ready(&self.url).then_some(()));
        self.known.get_or_insert(wall());
        // It may have ended while the scheduler was paused.
        self.client.send("POST", &format!("{}/v1/scheduler/resume", self.url), Some(&json!({})));
        let before = self.ended_effects();
        eventually("runs that end", || (self.ended_effects() >= before + 12).then_some(()));
        for job in &mut self.jobs {
            let url = format!("{}/v1/jobs/{}", self.url, job.id);
            let (_, kept) = self.client.send("GET", &url, None).unwrap();
            // What comes next, or is due just now, is not accounted for yet.
            job.until = rest::time(&kept["next_fire_time"]) - 1;
            job.from = self.known.unwrap();
            assert!(wall() - job.until < PATIENCE, "{}: nothing was fired for long", job.id);
        }
        for job in ["tick", "each", "long", "gone"] {
            let url = format!("{}/v1/jobs/{job}/pause", self.url);
            let paused = self.client.send("POST", &url, Some(&json!({})));
            assert_eq!(paused.map(|(status, _)| status), Some(200), "{job}");
        }
        eventually("all runs to end", || {
            let runs = self.client.list(&self.url, "/v1/runs")?;
            runs.iter().all(|run| run["state"] == "done").then_some(())
        });
        let mut history = History {
            wall_less_mono: wall() - mono(),
            jobs: self.jobs.clone(),
            disturbances: self.ends.clone(),
            ..History::default()
        };
        run::read(&self.client, std::slice::from_ref(&self.url), &mut history);
        history.effects = self.collector.effects();
        let get = |path: &str| {
            let answer = self.client.send("GET", &format!("{}{path}", self.url), None);
            answer.map(|(_, body)| body).expect("an answer")
        };
        let miscounted = difference(&get);
        child.kill().unwrap();
        child.wait().unwrap();
        let findings = check(&history);
        assert!(history.runs.len() > 10, "{} runs", history.runs.len());
        findings.iter().map(ToString::to_string).chain(miscounted).collect()
    }
}

/// Every place, each with the time at which the host ends there.
fn places(store: StoreKind) -> Vec<String> {
    let mut places = Vec::new();
    let made = |call: &&&str| {
        // Whoever opens a file has it alone: what was left behind is reaped as it is opened.
        !UNUSED.contains(call) && (**call != "reap" || store == StoreKind::Redis)
    };
    for call in CALLS.iter().filter(made) {
        for side in ["before", "after"] {
            places.push(format!("{side}.{call}:1"));
            if BUSY.contains(call) {
                places.push(format!("{side}.{call}:{LATER}"));
            }
        }
    }
    places
}

/// Ends a host at every place, and answers with all that is wrong then.
fn faults(store: StoreKind) -> Vec<String> {
    let places = places(store);
    std::thread::scope(|scope| {
        let chain = |number: usize| {
            let own: Vec<&String> = places.iter().skip(number).step_by(CHAINS).collect();
            scope.spawn(move || {
                let (mut site, mut faults) = (Site::new(store), Vec::new());
                for place in &own {
                    let status = site.live_until(place);
                    if status.signal() != Some(Signal::ABORT.as_raw()) {
                        faults.push(format!("{place}: the host did not come there: {status}"));
                    }
                }
                faults.extend(site.judge().into_iter().map(|found| format!("{own:?}: {found}")));
                faults
            })
        };
        let chains: Vec<_> = (0..CHAINS).map(chain).collect();
        chains.into_iter().flat_map(|chain| chain.join().unwrap()).collect()
    })
}

#[test]
fn a_host_may_end_at_every_call_of_a_file() {
    let faults = faults(StoreKind::Sqlite);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_host_may_end_at_every_call_of_a_server() {
    let faults = faults(StoreKind::Redis);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
