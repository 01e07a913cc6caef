//! A real Redis server in a folder of its own, that can be broken.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{eventually, ports};

/// What installs the server.
const INSTALL: &str = "cargo xtask test --no-run (as root on Debian or Ubuntu), or: \
                       sudo apt-get install -y --no-install-recommends redis-server";
/// What the server prints once it serves.
const READY: &str = "Ready to accept connections";
/// An answer may take so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// On a memory disk where there is one: nothing here loses power, and real disks stall.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A server; gone with its folder when it is dropped.
pub struct Redis {
    dir: tempfile::TempDir,
    port: u16,
    options: Vec<String>,
    starts: u32,
    child: Option<Child>,
}

impl Redis {
    /// A server that keeps an append-only file, flushed each second.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options, as on its command line. `{dir}` in one stands for the
    /// server's folder, `{port}` for its port; with `--tls-port {port} --port 0` it speaks TLS.
    pub fn start_with(options: &[&str]) -> Self {
        Self::prepared(options, |_| ())
    }

    /// The same, after `prepare` has put files into the server's folder: certificates, ACL files.
    pub fn prepared(options: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let (dir, port) = (quick_dir(), ports::free());
        prepare(dir.path());
        let mut redis = Self { dir, port, options, starts: 0, child: None };
        redis.restart();
        redis
    }

    /// Where it listens, up or down.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its database 0, for a host's `store`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it again after [`Redis::kill`] or [`Redis::stop`]: same port, same data. Returns once
    /// it serves.
    pub fn restart(&mut self) {
        self.launch();
        let log = self.log_file();
        eventually("a Redis server that serves", || {
            let said = std::fs::read_to_string(&log).unwrap();
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "redis-server ended ({ended:?}):\n{said}");
            said.contains(READY).then_some(())
        });
    }

    /// The same, without waiting until it serves.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs");
        self.starts += 1;
        let log = std::fs::File::create(self.log_file()).unwrap();
        let (dir, port) = (self.dir.path().to_str().unwrap(), self.port.to_string());
        let mut command = Command::new(program());
        command.args(["--port", &port, "--bind", "127.0.0.1", "--dir", dir]);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]);
        let options = self.options.iter();
        command.args(options.map(|text| text.replace("{dir}", dir).replace("{port}", &port)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                panic!("this test needs the program `redis-server`: {error}\nrun: {INSTALL}")
            }
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Tells it to end, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        eventually("the Redis server to end", || child.try_wait().unwrap())
    }

    /// It stands still: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What it has printed since it was started last.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    /// Asks it something, as `redis-cli` does without TLS; a password or name comes as a first
    /// `AUTH`. Answers the last command's reply, lists one item a line.
    pub fn ask(&self, commands: &[&[&str]]) -> String {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
        let mut stream = BufReader::new(stream);
        let mut last = String::new();
        for words in commands {
            let mut request = format!("*{}\r\n", words.len());
            for word in *words {
                request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
            }
            stream.get_mut().write_all(request.as_bytes()).unwrap();
            last = reply(&mut stream);
        }
        last
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// What it printed, one file for each start.
    pub fn logs(&self) -> Vec<PathBuf> {
        (1..=self.starts).map(|start| self.path(&format!("redis-{start}.log"))).collect()
    }

    fn log_file(&self) -> PathBuf {
        self.path(&format!("redis-{}.log", self.starts))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `REDIS_SERVER` names another one, as for `cargo xtask`.
fn program() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// Reads one reply of the Redis protocol, version 2.
fn reply(from: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    let (kind, rest) = line.trim_end().split_at_checked(1).expect("a reply");
    match kind {
        "$" if rest == "-1" => String::new(),
        "$" => {
            let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
            from.read_exact(&mut bytes).unwrap();
            bytes.truncate(bytes.len() - 2);
            String::from_utf8_lossy(&bytes).into_owned()
        }
        "*" => {
            let count = rest.parse::<usize>().unwrap_or(0);
            (0..count).map(|_| reply(from)).collect::<Vec<_>>().join("\n")
        }
        _ => rest.to_owned(),
    }
}

#[test]
fn what_was_written_outlives_a_kill() {
    let mut redis = Redis::start();
    assert_eq!(redis.ask(&[&["SET", "bell", "rings"]]), "OK");
    let first = redis.address();
    redis.kill();
    assert!(TcpStream::connect(first).is_err(), "nobody listens");
    redis.restart();
    assert_eq!(redis.address(), first);
    assert_eq!(redis.ask(&[&["GET", "bell"]]), "rings");
    assert!(redis.stop().success());
    redis.restart();
    assert_eq!(redis.ask(&[&["MGET", "bell", "none"]]), "rings\n");
}

#[test]
fn what_is_frozen_answers_later() {
    let redis = Redis::start();
    redis.freeze();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| redis.ask(&[&["PING"]]));
        redis.thaw();
        assert_eq!(asked.join().unwrap(), "PONG");
    });
}

#[test]
fn options_reach_it() {
    let acl = |dir: &Path| {
        std::fs::write(dir.join("users.acl"), "user default off\nuser bell on >tower ~* +@all\n")
            .unwrap();
    };
    let redis = Redis::prepared(&["--aclfile", "{dir}/users.acl", "--maxmemory", "64mb"], acl);
    assert!(redis.ask(&[&["PING"]]).starts_with("NOAUTH"));
    let limit = redis.ask(&[&["AUTH", "bell", "tower"], &["CONFIG", "GET", "maxmemory"]]);
    assert_eq!(limit, "maxmemory\n67108864");
    assert!(redis.said().contains(READY));
    assert!(redis.url().starts_with("redis://127.0.0.1:"), "{}", redis.url());
}
