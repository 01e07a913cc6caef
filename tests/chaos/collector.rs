//! Where guests tell what they do: outlives every host, and never breaks.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::history::{Effect, Micros};
use crate::support::ports;

/// A guest that is frozen in the middle of its line gets so long.
const LINE_TIMEOUT: Duration = Duration::from_secs(120);

/// Microseconds of the machine's monotonic clock, the same in every process.
pub fn mono() -> Micros {
    micros(ClockId::Monotonic)
}

/// Microseconds of wall time.
pub fn wall() -> Micros {
    micros(ClockId::Realtime)
}

fn micros(clock: ClockId) -> Micros {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// A server that notes effects in the order in which they reach it.
pub struct Collector {
    address: SocketAddr,
    effects: Arc<Mutex<Vec<Effect>>>,
}

impl Collector {
    pub fn start() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let listener = TcpListener::bind(address).unwrap();
        let effects = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&effects);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = Arc::clone(&noted);
                // A guest that is killed meanwhile has told nothing.
                thread::spawn(move || note(stream, &noted).unwrap_or_default());
            }
        });
        Self { address, effects }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it was told so far.
    pub fn effects(&self) -> Vec<Effect> {
        self.effects.lock().unwrap().clone()
    }
}

/// Reads one line, notes it and says so.
fn note(stream: TcpStream, noted: &Mutex<Vec<Effect>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LINE_TIMEOUT))?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let told = serde_json::from_str(&line)?;
    let mut effects = noted.lock().unwrap();
    effects.push(Effect { told, mono: mono(), wall: wall() });
    drop(effects);
    stream.get_mut().write_all(b"ok\n")
}

#[test]
fn a_line_is_noted_before_it_is_answered() {
    let collector = Collector::start();
    let before = mono();
    let mut stream = TcpStream::connect(collector.address()).unwrap();
    let line = r#"{"job":"j","run":"r","fire_time_us":7,"attempt":1,"fence":9,"phase":"begin"}"#;
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "ok\n");
    let effects = collector.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!((effects[0].told.fence, effects[0].told.run.as_str()), (9, "r"));
    assert!(before <= effects[0].mono && effects[0].mono <= mono());
}

#[test]
fn what_is_no_effect_is_not_noted() {
    let collector = Collector::start();
    let mut stream = TcpStream::connect(collector.address()).unwrap();
    stream.write_all(b"{\"job\":\"j\"}\n").unwrap();
    let mut answer = String::new();
    // It may be closed or reset.
    let _ = BufReader::new(stream).read_line(&mut answer);
    assert_eq!((answer.as_str(), collector.effects().len()), ("", 0));
}
