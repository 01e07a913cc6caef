//! The host as a library, under a clock moved by hand: what a stepped clock does to fires.

use std::path::Path;
use std::sync::Arc;

use campanile::clock::{Clock, ManualClock};
use campanile::config::Config;
use campanile::job::JobKey;
use campanile::record::query::{LedgerFilter, LedgerItem, Page, RunFilter};
use campanile::run::{RunState, Verdict};
use campanile::runtime::Host;
use campanile::time::Timestamp;

use crate::support::{eventually, eventually_async, guests};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A host with one job, `j`, at noon.
async fn host(dir: &Path, clock: &Arc<ManualClock>, keys: &str) -> Host {
    let plugins = dir.join("plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::fs::copy(guests::path("behave"), plugins.join("behave.wasm")).unwrap();
    let text = format!(
        "store = \"memory:\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [jobs.j]\nplugin = \"behave\"\nhandler = \"ok\"\n{keys}\n"
    );
    let config = Config::parse(&text, Path::new("host.toml"), dir, 0).unwrap();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Host::start_with_clock(config, clock).await.unwrap()
}

/// Waits until the job has this many runs that are done, and gives its ledger, oldest first.
async fn ledger_after(host: &Host, runs: usize) -> Vec<LedgerItem> {
    let done = RunFilter { states: vec![RunState::Done], ..RunFilter::default() };
    eventually_async(&format!("{runs} runs"), async || {
        let found = host.store().runs(done.clone(), Page::default()).await.unwrap();
        (found.items.len() >= runs).then_some(())
    })
    .await;
    let job = JobKey { tenant: "default".parse().unwrap(), job: "j".parse().unwrap() };
    let ledger = host.store().ledger(&job, LedgerFilter::default(), Page::default()).await.unwrap();
    ledger.items.into_iter().rev().collect()
}

fn shape(ledger: &[LedgerItem]) -> Vec<(Verdict, String, u64)> {
    ledger.iter().map(|item| (item.verdict, item.first.to_string(), item.count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_stepped_forward_is_lateness_and_stepped_back_fires_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at("2026-01-01T12:00:00Z")));
    let host = host(dir.path(), &clock, "trigger = \"every 10s\"").await;

    clock.set(at("2026-01-01T12:00:10Z"));
    let first = vec![(Verdict::Ran, "2026-01-01T12:00:10Z".to_owned(), 1)];
    assert_eq!(shape(&ledger_after(&host, 1).await), first);

    clock.set(at("2026-01-01T13:00:05Z"));
    let ledger = ledger_after(&host, 2).await;
    let hour = [
        first,
        vec![
            (Verdict::Coalesced, "2026-01-01T12:00:20Z".to_owned(), 358),
            (Verdict::Ran, "2026-01-01T13:00:00Z".to_owned(), 1),
        ],
    ]
    .concat();
    assert_eq!(shape(&ledger), hour);
    assert_eq!(ledger[1].into, ledger[2].run);

    clock.set(at("2026-01-01T12:30:00Z"));
    eventually("a look of the scheduler", || {
        (host.status().last_pass() == at("2026-01-01T12:30:00Z")).then_some(())
    });
    assert_eq!(shape(&ledger_after(&host, 2).await), hour, "a step back fires nothing");

    clock.set(at("2026-01-01T13:00:10Z"));
    let ledger = shape(&ledger_after(&host, 3).await);
    assert_eq!(ledger[..3], hour);
    assert_eq!(ledger[3], (Verdict::Ran, "2026-01-01T13:00:10Z".to_owned(), 1));
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_past_its_grace_is_misfired_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at("2026-01-01T12:00:00Z")));
    let keys = "trigger = { type = \"cron\", hour = 13 }\nmisfire_grace_time = \"1h\"";
    let host = host(dir.path(), &clock, keys).await;
    clock.set(at("2026-01-01T15:00:01Z"));
    let job = JobKey { tenant: "default".parse().unwrap(), job: "j".parse().unwrap() };
    let item = eventually_async("a verdict", async || {
        let filter = LedgerFilter::default();
        let ledger = host.store().ledger(&job, filter, Page::default()).await.unwrap();
        ledger.items.into_iter().next()
    })
    .await;
    assert_eq!((item.verdict, item.reason.as_ref()), (Verdict::Misfired, "late"));
    let next = host.store().get(&job).await.unwrap().unwrap().cursor;
    assert_eq!(next, Some(at("2026-01-02T13:00:00Z")));
    host.shutdown().await.unwrap();
}

#[test]
fn the_example_of_embedding_runs() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::copy(guests::path("hello"), plugins.join("hello.wasm")).unwrap();
    let file = dir.path().join("host.toml");
    let text = "[api]\nlisten = \"127.0.0.1:0\"\n\
                [jobs.greet]\nplugin = \"hello\"\ntrigger = { type = \"interval\", hours = 1, start = \"now\" }\n";
    std::fs::write(&file, text).unwrap();
    let example = Path::new(env!("CARGO_BIN_EXE_host")).with_file_name("examples").join("embed");
    let output = std::process::Command::new(&example).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("greet ran and returned"), "{said}");
}
