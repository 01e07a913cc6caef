//! Real host processes, each with a folder, a port and a wire of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::nemesis::Deed;
use super::run::Settings;
use crate::support::host::binary;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::{guests, ports};

/// A host that has ended by itself is started again after this, as a supervisor does.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// Which store the hosts use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One host, its own file.
    Sqlite,
    /// A Redis server of the run, over a wire for each host.
    Redis,
}

/// The hosts of a run, and the store that they share.
pub struct Fleet {
    members: Vec<Member>,
    pub redis: Option<Redis>,
    /// Where logs are kept.
    evidence: PathBuf,
    /// What hosts did unasked.
    pub accidents: Vec<String>,
    /// Which hosts ended in order because they could not start.
    pub gave_up: Vec<String>,
}

/// One host, up or down.
struct Member {
    number: usize,
    dir: tempfile::TempDir,
    port: u16,
    wire: Option<Proxy>,
    child: Option<Child>,
    starts: u32,
    /// It ended by itself and is to be started then.
    again: Option<Instant>,
}

impl Fleet {
    /// Prepares hosts that have these tables of jobs, and starts the store.
    pub fn new(settings: &Settings, jobs: &str, evidence: &Path) -> Self {
        let fsync = if settings.everysec { "everysec" } else { "always" };
        let redis = || Redis::start_with(&["--appendfsync", fsync]);
        let redis = (settings.store == StoreKind::Redis).then(redis);
        let member = |number: usize| {
            let (dir, port) = (tempfile::tempdir().unwrap(), ports::free());
            let wire = redis.as_ref().map(|redis| Proxy::before(redis.address()));
            let store = wire.as_ref().map_or_else(String::new, |wire| {
                let (address, ttl) = (wire.address(), settings.ttl.as_millis());
                format!("store = {{ url = \"redis://{address}/0\", ttl = \"{ttl}ms\" }}\n")
            });
            // All have the same jobs, and none of them is newer.
            let config =
                format!("config_version = 1\n{store}[api]\nlisten = \"127.0.0.1:{port}\"\n{jobs}");
            std::fs::write(dir.path().join("host.toml"), config).unwrap();
            let plugins = dir.path().join("plugins");
            std::fs::create_dir(&plugins).unwrap();
            for guest in ["effect", "noop"] {
                let file = plugins.join(format!("{guest}.wasm"));
                std::fs::write(file, guests::bytes(guest)).unwrap();
            }
            Member { number, dir, port, wire, child: None, starts: 0, again: None }
        };
        let members = (0..settings.hosts).map(member).collect();
        Self {
            members,
            redis,
            evidence: evidence.to_owned(),
            accidents: Vec::new(),
            gave_up: Vec::new(),
        }
    }

    /// Where the hosts' interfaces are, up or down.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("http://127.0.0.1:{}", member.port)).collect()
    }

    /// Starts every host.
    pub fn start(&mut self) {
        for host in 0..self.members.len() {
            self.perform(&Deed::Start(host));
        }
    }

    /// Does something to it.
    pub fn perform(&mut self, deed: &Deed) {
        match *deed {
            Deed::Start(host) => self.members[host].start(&self.evidence),
            Deed::Kill(host) => self.members[host].kill(),
            Deed::Freeze(host) => self.members[host].signal(Signal::STOP),
            Deed::Thaw(host) => self.members[host].signal(Signal::CONT),
            Deed::KillRedis => self.redis().kill(),
            Deed::StartRedis => self.redis().launch(),
            Deed::FreezeRedis => self.redis().freeze(),
            Deed::ThawRedis => self.redis().thaw(),
            Deed::Wire(host, faults) => self.wire(host).set(faults),
            Deed::Cut(host) => drop(self.wire(host).cut()),
            Deed::HalfOpen(host) => drop(self.wire(host).half_open()),
        }
    }

    /// Notes hosts that have ended unasked, and starts them again in a while.
    pub fn supervise(&mut self) {
        for member in &mut self.members {
            if let Some((status, what)) = member.ended() {
                // A host whose store is away when it starts says so and ends: that is its right.
                match status.code() {
                    Some(1) => self.gave_up.push(what),
                    _ => self.accidents.push(what),
                }
                member.again = Some(Instant::now() + RESTART_AFTER);
            }
            if member.again.is_some_and(|again| again <= Instant::now()) {
                member.start(&self.evidence);
            }
        }
    }

    /// Ends every host, and looks for panics in what they said.
    pub fn end(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        let logs = self.redis.as_ref().map(Redis::logs).unwrap_or_default();
        for log in logs {
            std::fs::copy(&log, self.evidence.join(log.file_name().unwrap())).unwrap();
        }
        for entry in std::fs::read_dir(&self.evidence).unwrap() {
            let file = entry.unwrap().path();
            let Ok(said) = std::fs::read_to_string(&file) else { continue };
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let panics = said.lines().filter(|line| line.contains("panicked at"));
            self.accidents.extend(panics.map(|line| format!("{name}: {line}")));
        }
    }

    /// What the store's server holds, a line for each key: its type, and how many entries.
    pub fn redis_keys(&self) -> Vec<String> {
        let Some(redis) = &self.redis else { return Vec::new() };
        let mut lines = Vec::new();
        for key in redis.ask(&[&["KEYS", "*"]]).lines() {
            let kind = redis.ask(&[&["TYPE", key]]);
            let count = match kind.as_str() {
                "hash" => redis.ask(&[&["HLEN", key]]),
                "zset" => redis.ask(&[&["ZCARD", key]]),
                "stream" => redis.ask(&[&["XLEN", key]]),
                _ => String::new(),
            };
            lines.push(format!("{key} {kind} {count}"));
        }
        lines.sort();
        lines
    }

    fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("the plan leaves out what is not there")
    }

    fn wire(&self, host: usize) -> &Proxy {
        self.members[host].wire.as_ref().expect("the plan leaves out what is not there")
    }
}

impl Member {
    fn start(&mut self, evidence: &Path) {
        self.again = None;
        if self.child.is_some() {
            return;
        }
        self.starts += 1;
        let log = evidence.join(format!("host-{}-{}.log", self.number, self.starts));
        let child = Command::new(binary())
            .args(["--config", "host.toml", "--log-format", "human"])
            .current_dir(self.dir.path())
            .env_remove("CAMPANILE_URL")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).unwrap())
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn kill(&mut self) {
        self.again = None;
        // It may have ended already, or be down.
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // It may have ended already.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// How it ended, and what is to be said of that, when it has ended by itself.
    fn ended(&mut self) -> Option<(ExitStatus, String)> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        let what =
            format!("host-{}-{}.log: it ended by itself, {status}", self.number, self.starts);
        Some((status, what))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }
}
