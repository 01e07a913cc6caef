//! What the store on Redis takes: a server of its own (append-only file, synced each second), beside
//! SQLite and memory in `throughput`.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile::config::store::RedisAddress;
use campanile::record::step::NewSchedule;
use campanile::store::Store;
use campanile::store::redis::RedisStore;
use campanile::store::redis::settings::Settings;

use crate::findings::{Aim, Findings, MACHINE_SLACK};
use crate::jobs;
use crate::rig::Rig;
use crate::throughput;

/// Jobs that are only kept.
const IDLE: usize = 20_000;
/// Jobs added at once.
const AT_ONCE: usize = 64;
/// Runs a second through scheduler, store and executor.
const RATE: Aim = Aim::AtLeast(15_000.0);
/// Jobs added a second.
const ADDED: Aim = Aim::AtLeast(15_000.0);
/// Bytes of a job that is only kept, in the server.
const BYTES: Aim = Aim::AtMost(700.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let server = match Server::start() {
        Ok(server) => server,
        Err(error) => {
            findings.note(&format!("left out: redis-server does not start ({error})"));
            return;
        }
    };
    let store = server.store(rig, "camp");
    let before = server.info();
    let drained = throughput::drained(rig, Arc::clone(&store));
    let after = server.info();
    findings.aim(
        "scheduler, Redis store, executor",
        drained.rate(),
        "a second",
        RATE,
        MACHINE_SLACK,
    );
    findings.figure("  processor time of the host for one", drained.processor_micros(), "us");
    let spent = |key: &str| after.number(key) - before.number(key);
    let server_time = spent("used_cpu_user_main_thread") + spent("used_cpu_sys_main_thread");
    findings.figure(
        "  processor time of the server for one",
        server_time * 1e6 / drained.runs,
        "us",
    );
    findings.figure(
        "  calls for one",
        spent("total_commands_processed") / drained.runs,
        "commands",
    );
    let sent = spent("total_net_input_bytes") + spent("total_net_output_bytes");
    findings.figure("  bytes on the wire for one", sent / drained.runs, "bytes");

    let store = server.store(rig, "idle");
    let before = server.info();
    let pattern = jobs::pattern("trigger = \"every 1d\"", rig.clock.now());
    let took = add(rig, &store, &pattern, IDLE);
    let after = server.info();
    let rate = IDLE as f64 / took.as_secs_f64();
    findings.aim("jobs added", rate, "a second", ADDED, MACHINE_SLACK);
    let bytes =
        (after.number("used_memory_dataset") - before.number("used_memory_dataset")) / IDLE as f64;
    findings.aim("a job that is only kept, in the server", bytes, "bytes", BYTES, 1.0);
}

/// Adds copies of a job, many at once.
pub fn add(rig: &Rig, store: &Arc<dyn Store>, pattern: &NewSchedule, count: usize) -> Duration {
    let now = rig.clock.now();
    let start = Instant::now();
    rig.runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for first in 0..AT_ONCE {
            let (store, pattern) = (Arc::clone(store), pattern.clone());
            tasks.spawn(async move {
                let mine = (first..count).step_by(AT_ONCE);
                let copies = mine.map(|number| jobs::copy(&pattern, number, Duration::ZERO));
                jobs::put(store.as_ref(), copies, now).await;
            });
        }
        while tasks.join_next().await.is_some() {}
    });
    start.elapsed()
}

/// A server; gone with its folder.
pub struct Server {
    child: Child,
    pub port: u16,
    _dir: tempfile::TempDir,
}

impl Server {
    pub fn start() -> std::io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let port = free.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "everysec"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { child, port: free, _dir: dir };
        let patience = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", free)).is_err() {
            if patience < Instant::now() {
                return Err(std::io::Error::other("it does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub fn store(&self, rig: &Rig, prefix: &str) -> Arc<dyn Store> {
        Self::store_at(rig, self.port, prefix)
    }

    /// The store on whatever listens there.
    pub fn store_at(rig: &Rig, port: u16, prefix: &str) -> Arc<dyn Store> {
        let url = format!("redis://127.0.0.1:{port}");
        let address = RedisAddress::parse(&url).expect("an address");
        let address = RedisAddress { prefix: prefix.to_owned(), ..address };
        let store = rig.runtime.block_on(RedisStore::open(Settings::new(address)));
        Arc::new(store.expect("a store"))
    }

    pub fn info(&self) -> Info {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("a server");
        stream.write_all(b"INFO everything\r\nQUIT\r\n").expect("a question");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        Info(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server says of itself.
pub struct Info(String);

impl Info {
    pub fn number(&self, key: &str) -> f64 {
        let found =
            self.0.lines().find_map(|line| line.trim_end().strip_prefix(key)?.strip_prefix(':'));
        found.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
    }
}
