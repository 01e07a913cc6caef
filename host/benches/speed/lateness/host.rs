//! A whole host with jobs that ring like bells, and what its store says of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use campanile::config::Config;
use campanile::record::query::{MAX_PAGE, Page, RunFilter};
use campanile::record::step::Conflict;
use campanile::run::Run;
use campanile::runtime::Host;
use campanile::store;
use campanile::time::Timestamp;
use tempfile::TempDir;

use super::{Late, Load};
use crate::jobs;
use crate::rig::{Rig, guest, noop_key};
use crate::sample::Sample;

/// From when jobs are handed in to the first fire.
const AHEAD: Duration = Duration::from_secs(2);
/// From the last fire to a look at the records.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Until hosts have heard of each other.
const ACQUAINTED: Duration = Duration::from_secs(5);
/// Guests that compute for ever take no longer to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the host keeps things.
#[derive(Clone, Copy, Debug)]
pub enum Store {
    Memory,
    Sqlite,
    /// A Redis server on this machine, at this port.
    Redis(u16),
}

/// What runs beside the bells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    None,
    /// So many guests that compute for ever.
    Spin(u64),
}

/// A folder that hosts are started in, one after the other.
pub struct Bells {
    folder: TempDir,
}

impl Bells {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).expect("a folder");
        for name in ["noop", "behave"] {
            std::fs::write(plugins.join(format!("{name}.wasm")), guest(name)).expect("a plugin");
        }
        Self { folder }
    }

    /// The folder of plugins.
    pub fn plugins(&self) -> std::path::PathBuf {
        self.folder.path().join("plugins")
    }

    /// Starts a host with `others`; does `first` beside them, which says what to ring; rings.
    /// Answers with what `first` gave, and how late the bells were.
    pub fn beside<T>(
        &self,
        rig: &Rig,
        store: Store,
        others: Others,
        first: impl FnOnce() -> (T, Load),
    ) -> (T, Late) {
        let config = self.config(store, others);
        let host = rig.runtime.block_on(Host::start(config)).expect("a host");
        if let Others::Spin(guests) = others {
            rig.runtime.block_on(spinning(host.store().as_ref(), guests));
        }
        let (given, load) = first();
        let late = rig.runtime.block_on(ring(host.store(), rig.clock.now(), load));
        rig.runtime.block_on(host.shutdown()).expect("a shutdown");
        (given, late)
    }

    fn config(&self, store: Store, others: Others) -> Config {
        let store = match store {
            Store::Memory => "memory:".to_owned(),
            Store::Sqlite => "sqlite:bench.db".to_owned(),
            Store::Redis(port) => format!("redis://127.0.0.1:{port}/0"),
        };
        let mut text = format!(
            "store = \"{store}\"\nauto_schedule = false\n[api]\nlisten = \"127.0.0.1:0\"\n\
             [executor]\ndrain = \"0s\"\nmax_running = 400\nmemory = \"64GiB\"\n"
        );
        if let Others::Spin(guests) = others {
            for number in 0..guests {
                text.push_str(&format!(
                    "[jobs.spin-{number}]\nplugin = \"behave\"\nhandler = \"spin\"\n\
                     trigger = {{ type = \"interval\", hours = 1, start = \"now\" }}\n\
                     limits = {{ timeout = \"10m\" }}\n"
                ));
            }
        }
        let base: &Path = self.folder.path();
        Config::parse(&text, &base.join("host.toml"), base, 0).expect("a configuration")
    }
}

/// Starts hosts that share a Redis server, one in each folder, and rings.
pub fn together(rig: &Rig, folders: &[Bells], port: u16, load: Load) -> Late {
    let start = |folder: &Bells| {
        let config = folder.config(Store::Redis(port), Others::None);
        rig.runtime.block_on(Host::start(config)).expect("a host")
    };
    let hosts: Vec<Host> = folders.iter().map(start).collect();
    std::thread::sleep(ACQUAINTED);
    let first = hosts.first().expect("a host");
    let late = rig.runtime.block_on(ring(first.store(), rig.clock.now(), load));
    for host in hosts {
        rig.runtime.block_on(host.shutdown()).expect("a shutdown");
    }
    late
}

async fn spinning(store: &dyn store::Store, guests: u64) {
    let all_spin = async {
        while store.health().await.expect("health").live_runs < guests {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_spin).await.expect("guests that compute for ever");
}

/// Fires as `load` says, one job for each fire of a second, and reads how late they were.
async fn ring(store: &Arc<dyn store::Store>, now: Timestamp, load: Load) -> Late {
    let start = now.after(AHEAD);
    let end = start.after(Duration::from_secs(load.seconds.into()));
    let keys = format!(
        "trigger = {{ type = \"interval\", seconds = 1, end_date = \"{}\" }}\n\
         limits = {{ memory = \"4MiB\" }}",
        end.before(Duration::from_micros(1))
    );
    let pattern = jobs::pattern(&keys, start.before(Duration::from_secs(1)));
    let puts = (0..load.fires_a_second).map(|number| {
        let schedule = jobs::copy(&pattern, number as usize, load.gap() * number);
        let store = Arc::clone(store);
        tokio::spawn(async move { store.put(schedule, Conflict::Fail, now).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("a task").expect("a schedule");
    }
    tokio::time::sleep(AHEAD + end.since(start) + AFTERWARDS).await;
    let runs = rung(store.as_ref()).await;
    let late = |end: fn(&Run) -> Option<Timestamp>| {
        Sample::new(runs.iter().filter_map(|run| Some(end(run)?.since(run.due_at))).collect())
    };
    let started = late(|run| run.started_at);
    let ran = started.len() as f64 / f64::from(load.fires()) * 100.0;
    Late { ran, started, over: late(|run| run.finished_at) }
}

/// The runs of the bells.
async fn rung(store: &dyn store::Store) -> Vec<Run> {
    let (mut runs, mut cursor) = (Vec::new(), None);
    loop {
        let page = Page { limit: MAX_PAGE, cursor };
        let paged = store.runs(RunFilter::default(), page).await.expect("runs");
        runs.extend(paged.items.into_iter().filter(|run| run.plugin_key() == noop_key()));
        cursor = paged.next_cursor;
        if cursor.is_none() {
            return runs;
        }
    }
}
