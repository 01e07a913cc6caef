//! A host that can't renew its session lets its guests rest, and one whose session was ended keeps
//! nothing of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use campanile::clock::{Clock, SystemClock};
use campanile::config::Config;
use campanile::config::store::StoreAddress;
use campanile::lease::term::Term;
use campanile::record::HostInfo;
use campanile::record::query::{Page, RunFilter};
use campanile::record::step::Conflict;
use campanile::run::outcome::Outcome;
use campanile::run::{Run, RunState};
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use campanile::store::redis::RedisStore;
use campanile::store::redis::settings::Settings;
use serde_json::Value;

use crate::support::faulty::Faulty;
use crate::support::line::{Line, schedules};
use crate::support::redis::Redis;
use crate::support::{eventually, eventually_async, reports};

/// How long the host may be silent.
const TTL: Duration = Duration::from_secs(4);
/// Between two reports of a guest.
const EVERY_MS: u64 = 20;
/// Nobody reports any more when nothing came for so long: fifty times the pause between two.
const QUIET: Duration = Duration::from_secs(1);

/// A line on a memory store, with one run that reports so often.
async fn reporting(times: u32) -> (Arc<Faulty>, Line, Receiver<Value>) {
    reporting_on(Arc::new(EmbeddedStore::memory()), times).await
}

/// The same on this store.
async fn reporting_on(store: Arc<dyn Store>, times: u32) -> (Arc<Faulty>, Line, Receiver<Value>) {
    let (port, told) = reports::listener();
    let (shared, store) = Faulty::new(store);
    store.broken.store(false, Ordering::Relaxed);
    let now = SystemClock.now();
    let job = format!(
        "[jobs.tells]\nplugin = 'behave'\nhandler = 'report'\n\
         trigger = {{ type = 'interval', hours = 1, start = 'now' }}\n\
         args = {{ address = '127.0.0.1:{port}', times = {times}, every_ms = {EVERY_MS} }}\n\
         capabilities = {{ tcp = ['127.0.0.1:{port}'] }}\n"
    );
    for schedule in schedules(&job, now) {
        shared.put(schedule, Conflict::Fail, now).await.unwrap();
    }
    let line = Line::start(shared, "behave", Term::of(TTL)).await;
    (store, line, told)
}

/// Hears reports until they cease. Answers with them.
fn until_quiet(told: &Receiver<Value>) -> Vec<Value> {
    let mut heard = Vec::new();
    eventually("the reports to cease", || match told.recv_timeout(QUIET) {
        Ok(report) => {
            heard.push(report);
            None
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Some(()),
    });
    heard
}

async fn the_run(store: &Faulty) -> Run {
    let page = Page { limit: 10, cursor: None };
    let runs = store.inner.runs(RunFilter::default(), page).await.unwrap().items;
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.into_iter().next().unwrap()
}

async fn done(store: &Faulty) -> Run {
    eventually_async("the run to end", async || {
        Some(the_run(store).await).filter(|run| run.state == RunState::Done)
    })
    .await
}

fn numbers(reports: &[Value]) -> Vec<u64> {
    reports.iter().map(|report| report["told"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_rests_while_its_host_is_not_heard_and_goes_on_afterwards() {
    const TIMES: u32 = 300;
    let (store, line, told) = reporting(TIMES).await;
    let mut heard = vec![told.recv().unwrap()];
    store.silent.store(true, Ordering::Relaxed);
    heard.extend(tokio::task::block_in_place(|| until_quiet(&told)));
    let before = heard.len();
    assert!(before < TIMES as usize, "it ended before its host had been silent for long enough");
    assert_eq!(the_run(&store).await.state, RunState::Running);
    store.silent.store(false, Ordering::Relaxed);
    heard.push(told.recv().unwrap());

    let run = done(&store).await;
    heard.extend(told.try_iter());
    assert_eq!((run.outcome, run.attempt), (Some(Outcome::Succeeded), 1), "{run:?}");
    assert_eq!(numbers(&heard), (0..u64::from(TIMES)).collect::<Vec<_>>(), "each was made once");
    line.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_session_was_ended_stops_and_begins_anew() {
    const TIMES: u32 = 300;
    let (store, line, told) = reporting(TIMES).await;
    told.recv().unwrap();
    let old = line.session.current();
    store.silent.store(true, Ordering::Relaxed);
    let first = tokio::task::block_in_place(|| until_quiet(&told));
    assert!(first.iter().all(|report| report["attempt"] == 1));

    // On this store whoever opens a session ends the others'.
    let now = SystemClock.now();
    let other = store.inner.attach(HostInfo::named("other"), now).await.unwrap();
    assert_eq!(other.reaped.rescued.len(), 1);
    assert!(told.try_recv().is_err(), "it rests still");
    store.silent.store(false, Ordering::Relaxed);

    let run = done(&store).await;
    let second: Vec<Value> = told.try_iter().collect();
    assert_eq!((run.outcome, run.attempt), (Some(Outcome::Succeeded), 2), "{run:?}");
    let ends: Vec<_> = run.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(ends, [Some(Outcome::Abandoned), Some(Outcome::Succeeded)]);
    assert!(second.iter().all(|report| report["attempt"] == 2), "nothing of the old one went on");
    assert_eq!(numbers(&second), (0..u64::from(TIMES)).collect::<Vec<_>>());
    assert!(old.lease.is_over());
    assert_ne!(line.session.current().session.id, old.session.id);
    line.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_leaves_keeps_its_runs_until_they_have_ended() {
    const TIMES: u32 = 300;
    let (store, line, told) = reporting(TIMES).await;
    told.recv().unwrap();
    let session = line.session.current().session.id;
    assert!(TTL < Duration::from_millis(EVERY_MS) * TIMES, "it outlasts the time to live");
    line.drain().await;
    let run = the_run(&store).await;
    assert_eq!((run.outcome, run.attempt), (Some(Outcome::Succeeded), 1), "{run:?}");
    assert_eq!(run.attempts[0].session, session);
    assert_eq!(told.try_iter().count() + 1, TIMES as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_says_what_it_holds_and_how_much_runs() {
    let (store, line, told) = reporting(100).await;
    let said = async || {
        let hosts = store.inner.hosts().await.unwrap();
        assert_eq!(hosts.len(), 1);
        hosts.into_iter().next().unwrap().info
    };
    eventually_async("one run", async || (said().await.running == 1).then_some(())).await;
    let plugins = said().await.plugins;
    assert_eq!(plugins.len(), 1);
    assert!(plugins["default/behave"].starts_with("sha256:"), "{plugins:?}");
    done(&store).await;
    eventually_async("no run", async || (said().await.running == 0).then_some(())).await;
    drop(told);
    line.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silent_host_held_goes_on_at_another_one_and_never_at_both() {
    const TIMES: u32 = 300;
    let redis = Redis::start();
    let (store, line, told) = reporting_on(open(&redis).await, TIMES).await;
    let mut heard = vec![told.recv().unwrap()];
    let old = line.session.current().session.clone();
    let other = Line::start(open(&redis).await, "behave", Term::of(TTL)).await;
    store.silent.store(true, Ordering::Relaxed);

    let run = done(&store).await;
    heard.extend(told.try_iter());
    assert_eq!((run.outcome, run.attempt), (Some(Outcome::Succeeded), 2), "{run:?}");
    let sessions: Vec<_> = run.attempts.iter().map(|attempt| attempt.session).collect();
    assert_eq!(sessions, [old.id, other.session.current().session.id]);
    let (first, second): (Vec<Value>, Vec<Value>) =
        heard.iter().cloned().partition(|report| report["attempt"] == 1);
    assert_eq!(heard, [&first[..], &second[..]].concat(), "one after the other");
    assert!(first.len() < TIMES as usize);
    assert_eq!(numbers(&second), (0..u64::from(TIMES)).collect::<Vec<_>>());

    store.silent.store(false, Ordering::Relaxed);
    eventually_async("two hosts, one with a new session", async || {
        let hosts = store.inner.hosts().await.unwrap();
        let known = hosts.iter().any(|host| host.session.id == old.id);
        (hosts.len() == 2 && !known).then_some(())
    })
    .await;
    line.drain().await;
    other.drain().await;
}

/// The store of a host of its own on this server.
async fn open(redis: &Redis) -> Arc<dyn Store> {
    let text = format!("store = '{}'\n", redis.url());
    let here = Path::new("/");
    let config = Config::parse(&text, &here.join("host.toml"), here, 0).unwrap();
    let StoreAddress::Redis(server) = config.store else { panic!("it is a Redis server") };
    Arc::new(RedisStore::open(Settings::new(server)).await.unwrap())
}
