//! A real Redis server for the tests of this process: one for all of them, each with a prefix of its
//! own.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::config::store::RedisAddress;
use crate::store::redis::settings::{ScriptClock, Settings};

static SERVER: OnceLock<Server> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Ends with this process, and its folder with it: its shell waits for the end of its input.
struct Server {
    port: u16,
    _shell: Child,
    _dir: tempfile::TempDir,
}

/// A store of its own on the one server.
pub(super) fn settings() -> Settings {
    let server = SERVER.get_or_init(start);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let url = format!("redis://127.0.0.1:{}", server.port);
    let address = RedisAddress::parse(&url).unwrap();
    let address = RedisAddress { prefix: format!("test{number}"), ..address };
    Settings { clock: ScriptClock::Caller, ..Settings::new(address) }
}

/// On a memory disk where there is one: nothing here loses power, and real disks stall.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn start() -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = quick_dir();
    let script = "redis-server \"$@\" >redis.log 2>&1 & server=$!; read -r _; \
                  kill \"$server\"; wait \"$server\"; cd / && rm -rf \"$DIR\"";
    let port_text = port.to_string();
    let options = ["--port", &port_text, "--bind", "127.0.0.1", "--appendonly", "yes"];
    let shell = Command::new("sh")
        .args(["-c", script, "redis-server"])
        .args(options)
        .args(["--appendfsync", "everysec", "--save", ""])
        .current_dir(dir.path())
        .env("DIR", dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while !answers(port) {
        let log = std::fs::read_to_string(dir.path().join("redis.log")).unwrap_or_default();
        assert!(
            !log.contains("not found") && Instant::now() < patience,
            "redis-server does not start; install it with `apt-get install --no-install-recommends \
             redis-server`: {log}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Server { port, _shell: shell, _dir: dir }
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|mut to| to.write_all(b"PING\r\n").is_ok())
}
