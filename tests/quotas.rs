//! Tenants' quotas and their fair shares: by the real binary, and where windows of the clock matter by
//! the host as a library under a clock that is moved by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::{Clock, ManualClock, SystemClock};
use campanile::config::Config;
use campanile::job::JobKey;
use campanile::record::query::{LedgerFilter, Page, RunFilter};
use campanile::record::step::NewRun;
use campanile::run::id::RunId;
use campanile::run::outcome::Outcome;
use campanile::run::{Cause, Run, RunState, Verdict};
use campanile::runtime::Host as Library;
use campanile::time::Timestamp;
use serde_json::{Value, json};

use crate::support::host::{Host, Site};
use crate::support::web::Web;
use crate::support::{eventually, eventually_async, guests};

/// A table of a job of the guest `behave`.
fn job(place: &str, handler: &str, keys: &str) -> String {
    format!("[{place}]\nplugin = \"behave\"\nhandler = \"{handler}\"\n{keys}\n")
}

fn site(config: &str, tenants: &[&str]) -> Site {
    let site = Site::new(config);
    if tenants.is_empty() {
        site.plugin("behave", "behave");
    }
    tenants.iter().for_each(|tenant| site.plugin("behave", &format!("{tenant}/behave")));
    site
}

fn begin(host: &Host, tenant: &str, job: &str) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run?tenant={tenant}"), &json!({}));
    assert_eq!(status, 202, "{job}: {run}");
    run["id"].as_str().unwrap().to_owned()
}

fn ended(host: &Host, tenant: &str, id: &str) -> Value {
    let (_, run) = host.get(&format!("/v1/runs/{id}?tenant={tenant}&wait=30s"));
    assert_eq!(run["state"], "done", "{run}");
    run
}

/// How many attempts were under way at once.
fn most_at_once(runs: &[Value]) -> i64 {
    let mut steps = Vec::new();
    for run in runs {
        for attempt in run["attempts"].as_array().unwrap() {
            steps.push((attempt["started_at"].as_str().unwrap().to_owned(), 1));
            steps.push((attempt["finished_at"].as_str().unwrap().to_owned(), -1));
        }
    }
    // Of one instant the end comes first.
    steps.sort();
    let mut now = 0;
    steps.iter().map(|(_, step)| (now += step, now).1).max().unwrap_or(0)
}

/// What a tenant used of one measure since yesterday.
fn used(host: &Host, tenant: &str, measure: &str) -> u64 {
    let day = Duration::from_hours(24);
    let (from, to) = (SystemClock.now().before(day), SystemClock.now().after(day));
    let usage = host.get(&format!("/v1/tenants/{tenant}/usage?from={from}&to={to}&by=job")).1;
    let items = usage["items"].as_array().unwrap_or_else(|| panic!("{usage}"));
    items.iter().map(|item| item["used"][measure].as_u64().unwrap_or(0)).sum()
}

/// Windows of an hour that there were since `start`.
fn hours_since(start: Timestamp) -> u64 {
    let hour = |time: Timestamp| time.micros().div_euclid(3_600_000_000);
    u64::try_from(hour(SystemClock.now()) - hour(start)).unwrap() + 1
}

#[test]
fn runs_beyond_what_may_be_at_once_wait_and_all_run_in_the_end() {
    let sleeps = "args = { ms = 200 }\nmax_instances = 100\nlimits = { memory = \"64MiB\" }\n";
    for (what, table, keys) in [
        ("max_running", "[tenants.default]\nquota = { max_running = 2 }\n", ""),
        ("memory", "[tenants.default]\nquota = { memory = \"130MiB\" }\n", ""),
        (
            "a queue's",
            "[queues.db]\nmax_running = 2\n[executor]\nqueues = [\"db\"]\n",
            "queue = \"db\"",
        ),
        ("a host's memory", "[executor]\nmemory = \"130MiB\"\n", ""),
    ] {
        let config = format!("{table}{}", job("jobs.j", "sleep", &format!("{sleeps}{keys}")));
        let site = site(&config, &[]);
        let host = site.start();
        let ids: Vec<_> = (0..7).map(|_| begin(&host, "default", "j")).collect();
        let runs: Vec<_> = ids.iter().map(|id| ended(&host, "default", id)).collect();
        assert!(runs.iter().all(|run| run["outcome"] == "succeeded"), "{what}: {runs:?}");
        assert_eq!(most_at_once(&runs), 2, "{what}");
    }
}

#[test]
fn what_runs_use_of_a_processor_never_sums_over_the_quota() {
    let config = format!(
        "[tenants.default]\nquota = {{ cpu_per_hour = \"400ms\" }}\n{}",
        job(
            "jobs.burns",
            "spin",
            "max_instances = 9\nlimits = { timeout = \"20s\", grace = \"0s\" }"
        )
    );
    let (site, start) = (site(&config, &[]), SystemClock.now());
    let host = site.start();
    let ids: Vec<_> = (0..3).map(|_| begin(&host, "default", "burns")).collect();
    let runs: Vec<_> = ids.iter().map(|id| ended(&host, "default", id)).collect();
    let cpu = used(&host, "default", "cpu_ms");
    assert!((200..=400 * hours_since(start)).contains(&cpu), "{cpu} ms: {runs:?}");
    if hours_since(start) == 1 {
        for run in &runs {
            let message = run["error"]["message"].as_str().unwrap_or_default();
            let told = message.contains("`quota.cpu_per_hour` = 400ms");
            assert!(run["outcome"] == "limit_exceeded" && told, "{run}");
        }
        let next = ended(&host, "default", &begin(&host, "default", "burns"));
        let is_refused = next["verdict"] == "quota" && next["reason"] == "cpu_per_hour";
        assert!(is_refused || next["outcome"] == "limit_exceeded", "{next}");
    }
    assert!(used(&host, "default", "cpu_ms") <= 400 * hours_since(start));
}

#[test]
fn fuel_is_metered_for_jobs_that_do_not_ask_and_never_sums_over_the_quota() {
    const FUEL: u64 = 300_000_000;
    let config = format!(
        "[tenants.default]\nquota = {{ fuel_per_hour = \"300M\" }}\n{}{}",
        job("jobs.fine", "ok", ""),
        job(
            "jobs.burns",
            "spin",
            "max_instances = 9\nlimits = { timeout = \"20s\", grace = \"0s\" }"
        )
    );
    let (site, start) = (site(&config, &[]), SystemClock.now());
    let host = site.start();
    let fine = ended(&host, "default", &begin(&host, "default", "fine"));
    assert!(fine["attempts"][0]["usage"]["fuel"].as_u64().is_some_and(|fuel| 0 < fuel), "{fine}");
    let ids: Vec<_> = (0..2).map(|_| begin(&host, "default", "burns")).collect();
    let runs: Vec<_> = ids.iter().map(|id| ended(&host, "default", id)).collect();
    let fuel = used(&host, "default", "fuel");
    assert!((FUEL / 2..=FUEL * hours_since(start)).contains(&fuel), "{fuel}: {runs:?}");
    if hours_since(start) == 1 {
        assert!(runs.iter().all(|run| run["outcome"] == "limit_exceeded"), "{runs:?}");
    }
}

/// Jobs that ask `web`: once, thrice in one run, and for an answer without end.
fn asking(web: &Web, quota: &str) -> Site {
    let origin = web.origin();
    let thrice = format!("{origin}/redirect?to={origin}/redirect?to={origin}/x");
    let mut config = format!("[tenants.default]\nquota = {{ {quota} }}\n");
    for (name, url) in [
        ("once", format!("{origin}/x")),
        ("thrice", thrice),
        ("endless", format!("{origin}/endless")),
    ] {
        let keys = format!(
            "args = {{ url = \"{url}\", follow = true }}\ncapabilities = {{ http = [\"{origin}\"] }}"
        );
        write!(config, "{}", job(&format!("jobs.{name}"), "fetch", &keys)).unwrap();
    }
    site(&config, &[])
}

#[test]
fn requests_are_counted_to_the_last_and_a_restart_forgets_none() {
    let web = Web::start();
    let site = asking(&web, "http_per_hour = 3");
    let (host, start) = (site.start(), SystemClock.now());
    let one = ended(&host, "default", &begin(&host, "default", "once"));
    assert_eq!(one["result"]["ok"]["status"], 200, "{one}");
    assert!(host.terminate().0.success());

    let host = site.start();
    let id = begin(&host, "default", "thrice");
    let run = ended(&host, "default", &id);
    let log = host.items(&format!("/v1/runs/{id}/logs"));
    let next = ended(&host, "default", &begin(&host, "default", "once"));
    if hours_since(start) == 1 {
        assert!(
            run["result"]["error"].as_str().is_some_and(|it| it.contains("http_per_hour")),
            "{run}"
        );
        let told = |line: &&Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("`quota.http_per_hour` = 3; more is free from ")
        };
        assert_eq!(log.iter().filter(told).count(), 1, "{log:?}");
        assert_eq!((&next["verdict"], &next["reason"]), (&json!("quota"), &json!("http_per_hour")));
        assert_eq!(web.heads().len(), 3);
    }
    assert!(web.heads().len() as u64 <= 3 * hours_since(start));
}

#[test]
fn bytes_of_bodies_never_sum_over_the_quota() {
    let web = Web::start();
    let site = asking(&web, "http_bytes_per_hour = \"100000B\"");
    let host = site.start();
    let start = SystemClock.now();
    let ids: Vec<_> = (0..2).map(|_| begin(&host, "default", "endless")).collect();
    let runs: Vec<_> = ids.iter().map(|id| ended(&host, "default", id)).collect();
    let of = |run: &Value| run["attempts"][0]["usage"]["io"]["http"]["bytes_in"].as_u64();
    let bytes: u64 = runs.iter().filter_map(of).sum();
    assert!((30_000..=100_000 * hours_since(start)).contains(&bytes), "{bytes}: {runs:?}");
}

#[test]
fn who_floods_a_host_takes_no_fire_from_another() {
    let config = format!(
        "store = \"memory:\"\n[executor]\nmax_running = 4\n[tenants.greedy]\n[tenants.good]\n{}{}",
        job(
            "tenants.greedy.jobs.flood",
            "sleep",
            "args = { ms = 600000 }\nmax_instances = 10000\nlimits = { timeout = \"1h\" }"
        ),
        job(
            "tenants.good.jobs.tick",
            "ok",
            "trigger = \"every 1s\"\ncoalesce = \"all\"\nmax_instances = 100"
        )
    );
    let site = site(&config, &["greedy", "good"]);
    let host = site.start();
    for _ in 0..2_000 {
        begin(&host, "greedy", "flood");
    }
    let path = "/v1/runs?tenant=greedy&state=running";
    eventually("the flood to run", || (3 <= host.items(path).len()).then_some(()));
    let ledger = || host.items("/v1/jobs/tick/ledger?tenant=good&limit=1000");
    let before = ledger().len();
    let ledger =
        eventually("ten fires more", || Some(ledger()).filter(|it| before + 10 < it.len()));
    assert!(ledger.iter().all(|item| item["verdict"] == "ran"), "{ledger:?}");
    let second = |item: &Value| Timestamp::parse(item["first"].as_str().unwrap()).unwrap().micros();
    for pair in ledger.windows(2) {
        assert_eq!(second(&pair[0]) - second(&pair[1]), 1_000_000, "{pair:?}");
    }
    assert_eq!(host.items(path).len(), 3, "one slot is the other's");
}

#[test]
fn two_floods_get_as_much_of_a_processor_however_long_their_runs_are() {
    let burns = |tenant: &str, fuel: &str| {
        let keys =
            format!("max_instances = 10000\nlimits = {{ timeout = \"1m\", fuel = \"{fuel}\" }}");
        job(&format!("tenants.{tenant}.jobs.burns"), "spin", &keys)
    };
    let config = format!(
        "store = \"memory:\"\n[executor]\nmax_running = 4\n[tenants.long]\n[tenants.short]\n{}{}",
        burns("long", "800M"),
        burns("short", "200M")
    );
    let site = site(&config, &["long", "short"]);
    let host = site.start();
    for number in 0..1_200 {
        begin(&host, if number % 4 == 0 { "long" } else { "short" }, "burns");
    }
    let cpu = || ["long", "short"].map(|tenant| used(&host, tenant, "cpu_ms"));
    let before = cpu();
    let [long, short] = eventually("both to have used a processor for a while", || {
        let now = cpu();
        let since = [now[0] - before[0], now[1] - before[1]];
        (4_000 < since[0].min(since[1])).then_some(since)
    });
    let (less, more) = (long.min(short), long.max(short));
    assert!(more * 10 <= less * 11, "long {long} ms, short {short} ms");
    let waits = |tenant: &str| {
        !host.items(&format!("/v1/runs?tenant={tenant}&state=queued&limit=1")).is_empty()
    };
    assert!(waits("long") && waits("short"), "both flooded all the time");
}

/// A host under a clock that stands at half past noon, with a job `j`.
async fn library(dir: &Path, config: &str, keys: &str) -> (Library, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(noon(0)));
    let plugins = dir.join("plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::fs::copy(guests::path("behave"), plugins.join("behave.wasm")).unwrap();
    let api = "store = \"memory:\"\n[api]\nlisten = \"127.0.0.1:0\"\n";
    let text = format!("{api}{config}\n{}", job("jobs.j", "ok", keys));
    let config = Config::parse(&text, Path::new("host.toml"), dir, 0).unwrap();
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    (Library::start_with_clock(config, shared).await.unwrap(), clock)
}

fn noon(seconds: i64) -> Timestamp {
    let noon = Timestamp::parse("2026-01-01T12:30:00Z").unwrap();
    Timestamp::from_micros(noon.micros() + seconds * 1_000_000)
}

fn j() -> JobKey {
    JobKey { tenant: "default".parse().unwrap(), job: "j".parse().unwrap() }
}

async fn runs(host: &Library) -> Vec<Run> {
    host.store().runs(RunFilter::default(), Page::default()).await.unwrap().items
}

/// Waits until there are so many runs with this state.
async fn until(host: &Library, state: RunState, count: usize) -> Vec<Run> {
    eventually_async(&format!("{count} runs {state:?}"), async || {
        let runs = runs(host).await;
        (runs.iter().filter(|run| run.state == state).count() == count).then_some(runs)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fires_beyond_the_runs_of_a_minute_have_the_verdict_quota_and_the_next_minute_has_its_own()
{
    let dir = tempfile::tempdir().unwrap();
    let quota = "[tenants.default]\nquota = { runs_per_minute = 2 }";
    let (host, clock) = library(dir.path(), quota, "trigger = \"every 10s\"").await;
    let mut decided = Vec::new();
    for step in 1..=8 {
        clock.set(noon(10 * step));
        decided = eventually_async("a verdict", async || {
            let filter = LedgerFilter::default();
            let items = host.store().ledger(&j(), filter, Page::default()).await.unwrap().items;
            let last = items.first()?;
            (last.last == noon(10 * step)).then_some(items)
        })
        .await;
    }
    let mut counts = BTreeMap::<(Verdict, String), u64>::new();
    for item in &decided {
        *counts.entry((item.verdict, item.reason.to_string())).or_default() += item.count;
    }
    let quota = counts.remove(&(Verdict::Quota, "runs_per_minute".to_owned()));
    // At 10 and 20 s, then at 60 and 70 s.
    assert_eq!((quota, counts.values().sum::<u64>()), (Some(4), 4), "{decided:?}");
    assert!(counts.keys().all(|(verdict, _)| *verdict == Verdict::Ran), "{counts:?}");
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_a_rate_limit_wait_for_the_next_minute() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "rate_limit = \"2/m\"\nmax_instances = 9";
    let (host, clock) = library(dir.path(), "", keys).await;
    let job = host.store().get(&j()).await.unwrap().unwrap();
    for id in 1..=5_u128 {
        let run = NewRun {
            job: job.key.clone(),
            id: RunId::from_bits(id),
            cause: Cause::Manual,
            fire_time: noon(0),
            not_before: None,
            start_by: None,
            args: None,
            spec: campanile::record::step::RunSpec::of(&host.jobs().get(&job).unwrap()),
            reason: "manual".into(),
        };
        host.store().start(run, noon(0)).await.unwrap();
    }
    for (minute, done) in [(0, 2), (1, 4), (2, 5)] {
        clock.set(noon(60 * minute));
        let runs = until(&host, RunState::Done, done).await;
        assert!(runs.iter().all(|run| run.outcome.is_none_or(|it| it == Outcome::Succeeded)));
        let waiting = runs.iter().filter(|run| run.state == RunState::Queued);
        for run in waiting {
            assert_eq!(run.shown_reason().map(AsRef::as_ref), Some("rate_limit"), "{run:?}");
        }
    }
    host.shutdown().await.unwrap();
}
