//! Nothing that guests or clients do delays the loop: beside more guests than the executor has
//! threads, which compute and write for ever, and clients that ask for the most that there is, a
//! fire time each second gets a run of its own.
//!
//! A loop that stands still for longer than a second finds two fire times due at once and makes one
//! run for both of them (`covers`). What the machine does now and then, a disk that takes a breath,
//! is allowed; what the crowd does all the time leaves no stretch without.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use campanile::clock::{Clock, SystemClock};
use campanile::record::query::{Page, RunFilter};
use campanile::run::{Cause, Run};
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use campanile::time::Timestamp;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};

/// Jobs that fire each second, each with a phase of its own: a loop that stands still for little
/// more than a second passes two fire times of one of them.
const WATCHED: usize = 4;
/// Fires in a row that each have a run of their own.
const STRETCH: usize = 8;
/// Guests that compute, beyond one for each thread of the executor; as many flood their logs.
const MORE_GUESTS: usize = 2;
/// Connections that are held open, of each kind.
const HELD_OPEN: usize = 8;
/// Bytes of the arguments that clients send along with a job.
const ARGS_BYTES: usize = 200_000;

const JOBS: &str = r#"
    [executor]
    max_running = 40

    [jobs.spin]
    plugin = "behave"
    handler = "spin"
    max_instances = 40
    limits = { timeout = "1h" }

    [jobs.flood]
    plugin = "behave"
    handler = "logs"
    args = { lines = 4000000000, bytes = 1000 }
    max_instances = 40
    limits = { timeout = "1h", log = "16MiB" }

    [jobs.rare]
    plugin = "noop"
    trigger = { type = "and", threshold = 0, triggers = [
        { type = "interval", seconds = 0.997, start_date = "2026-01-01T00:00:00Z" },
        { type = "interval", seconds = 1.009, start_date = "2026-01-01T00:00:00.003Z" },
    ] }

    [jobs.idle]
    plugin = "noop"
"#;

fn watched(number: usize) -> String {
    let phase = 1_000 / WATCHED * number;
    format!(
        "[jobs.watched-{number}]\nplugin = \"noop\"\nmax_instances = 1000\n\
         history = {{ keep = 1000 }}\ntrigger = {{ type = \"interval\", seconds = 1, \
         start_date = \"2026-01-01T00:00:00.{phase:03}Z\" }}\n"
    )
}

#[test]
fn neither_guests_nor_clients_delay_the_loop() {
    let site = Site::new(&(0..WATCHED).map(watched).fold(JOBS.to_owned(), |all, job| all + &job));
    for guest in ["behave", "noop"] {
        site.plugin(guest, guest);
    }
    let host = site.start();
    let guests = available_parallelism().unwrap().get() + MORE_GUESTS;
    for job in ["spin", "flood"] {
        for _ in 0..guests {
            assert_eq!(host.post(&format!("/v1/jobs/{job}/run"), &json!({})).0, 202);
        }
        let path = format!("/v1/runs?job={job}&state=running");
        eventually("the guests", || (host.items(&path).len() == guests).then_some(()));
    }
    // Beside the host's API, which has its hands full.
    let store = EmbeddedStore::open_read_only(&site.path(".campanile/campanile.db")).unwrap();
    let crowd = Crowd::default();
    let from = std::thread::scope(|scope| {
        let _ends = Ends(&crowd.is_over);
        for number in 0..CLIENTS.len() {
            let (crowd, host) = (&crowd, &host);
            scope.spawn(move || crowd.ask(host, number));
        }
        let _held = hold_open(&host);
        let from = SystemClock.now();
        for number in 0..WATCHED {
            eventually(&format!("a stretch of fires of job {number}, each with its run"), || {
                has_stretch(&fires(&store, number, from)).then_some(())
            });
        }
        eventually("answers to all clients", || crowd.is_answered().then_some(()));
        from
    });
    for number in 0..WATCHED {
        let fires = fires(&store, number, from);
        for pair in fires.windows(2) {
            let passed = pair[1].fire_time.since(pair[0].fire_time);
            assert_eq!(passed, Duration::from_secs(pair[1].covers), "each once: {pair:?}");
        }
    }
    for job in ["spin", "flood"] {
        let runs = host.items(&format!("/v1/runs?job={job}&state=running"));
        assert_eq!(runs.len(), guests, "they are there to the end");
    }
}

/// Runs that a watched job's fire times from `from` on became, oldest first.
fn fires(store: &EmbeddedStore, number: usize, from: Timestamp) -> Vec<Run> {
    let filter = RunFilter {
        tenant: Some("default".parse().unwrap()),
        job: Some(format!("watched-{number}").parse().unwrap()),
        cause: Some(Cause::Schedule),
        from: Some(from),
        ..RunFilter::default()
    };
    let page = Page { limit: 1_000, cursor: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runs = runtime.block_on(store.runs(filter, page)).unwrap().items;
    runs.sort_by_key(|run| run.fire_time);
    runs
}

fn has_stretch(fires: &[Run]) -> bool {
    fires.windows(STRETCH).any(|stretch| stretch.iter().all(|run| run.covers == 1))
}

/// What a client asks over and over: methods and paths.
const CLIENTS: [&[(&str, &str)]; 6] = [
    &[("GET", "/v1/runs?limit=1000"), ("GET", "/v1/jobs?limit=1000")],
    &[("GET", "/v1/runs?limit=1000&verdict=no_plugin"), ("GET", "/v1/plugins/behave")],
    &[("GET", "/v1/jobs/rare/next?n=300"), ("GET", "/v1/jobs/rare/explain")],
    &[("GET", "/v1/jobs/watched-0/why?at=2026-06-01T00:00:00Z")],
    &[("PUT", "/v1/jobs/large"), ("PATCH", "/v1/jobs/large"), ("DELETE", "/v1/jobs/large")],
    &[("POST", "/v1/runs")],
];

fn body(method: &str) -> Value {
    match method {
        "PUT" => json!({"plugin": "noop", "trigger": "every 1s", "args": "x".repeat(ARGS_BYTES)}),
        "PATCH" => json!({"args": "y".repeat(ARGS_BYTES)}),
        "POST" => json!({"job": "idle", "countdown": "1h", "args": "z".repeat(ARGS_BYTES / 200)}),
        _ => Value::Null,
    }
}

/// The clients' common state.
#[derive(Default)]
struct Crowd {
    is_over: AtomicBool,
    /// Answers that each client has had.
    answers: [AtomicUsize; CLIENTS.len()],
}

impl Crowd {
    /// Makes a client's requests until the crowd is over.
    fn ask(&self, host: &Host, number: usize) {
        while !self.is_over.load(Ordering::Relaxed) {
            for (method, path) in CLIENTS[number] {
                let (status, answer) = host.send(method, path, &body(method));
                // It may have to wait for so long that it is told to come again.
                assert!(status < 500, "{method} {path}: {status} {answer}");
                let is_answered = (200..300).contains(&status);
                self.answers[number].fetch_add(usize::from(is_answered), Ordering::Relaxed);
            }
        }
    }

    /// Whether each client has had as many answers as it asks for at a time.
    fn is_answered(&self) -> bool {
        let mut clients = self.answers.iter().zip(CLIENTS);
        clients.all(|(answers, asked)| asked.len() <= answers.load(Ordering::Relaxed))
    }
}

/// Ends the crowd when it is dropped, so that a test that fails ends too.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients that never read what they asked for, and some that never finish asking.
fn hold_open(host: &Host) -> Vec<TcpStream> {
    let address = host.url().replace("http://", "");
    let asks = |request: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let events = format!("GET /v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let unread = (0..HELD_OPEN).map(|_| asks(&events));
    unread.chain((0..HELD_OPEN).map(|_| asks("GET /v1/runs HTTP/1.1\r\nHo"))).collect()
}
