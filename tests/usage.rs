//! What jobs used: by the real binary, the sums are those of the run records to the last unit.

use std::collections::BTreeMap;
use std::time::Duration;

use campanile::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// By job, then by measure.
type Sums = BTreeMap<String, BTreeMap<String, u64>>;

const JOBS: &str = r#"
[jobs.fine]
plugin = "behave"
handler = "ok"
limits = { fuel = "5G" }

[jobs.fails]
plugin = "behave"
handler = "fail_retryable"
retry = { max_attempts = 3, backoff = "20ms", jitter = false }

[jobs.traps]
plugin = "behave"
handler = "panic"

[jobs.late]
plugin = "behave"
handler = "spin"
limits = { timeout = "200ms", grace = "0s" }

[jobs.writes]
plugin = "behave"
handler = "kv"
args = { key = "k", value = "seven b" }
capabilities = { kv = true }

[jobs.sleeps]
plugin = "behave"
handler = "sleep"
args = { ms = 60000 }
"#;

/// From some days ago until tomorrow, as parameters.
fn span() -> (String, String) {
    let day = Duration::from_hours(24);
    let now = SystemClock.now();
    (now.before(2 * day).to_string(), now.after(day).to_string())
}

/// What a host answers with 200.
type Get<'a> = &'a dyn Fn(&str) -> Value;

fn get(host: &Host) -> impl Fn(&str) -> Value {
    |path| {
        let (status, answer) = host.get(path);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

fn usage(get: Get<'_>, by: &str) -> Value {
    let (from, to) = span();
    get(&format!("/v1/tenants/default/usage?from={from}&to={to}&by={by}"))
}

fn add(sums: &mut BTreeMap<String, u64>, measure: &str, more: &Value) {
    let more = more.as_u64().unwrap_or_else(|| panic!("{measure} is {more}"));
    *sums.entry(measure.to_owned()).or_default() += more;
}

/// All runs, in pages of three.
fn runs(get: Get<'_>) -> Vec<Value> {
    let (mut runs, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("/v1/runs?limit=3{cursor}"));
        runs.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { return runs };
        cursor = format!("&cursor={next}");
    }
}

fn measure(sums: &mut BTreeMap<String, u64>, usage: &Value) {
    add(sums, "attempts", &json!(1));
    for name in ["cpu_ms", "wall_ms", "host_calls"] {
        add(sums, name, &usage[name]);
    }
    add(sums, "fuel", &json!(usage["fuel"].as_u64().unwrap_or(0)));
    let kib = usage["peak_memory_bytes"].as_u64().unwrap().div_ceil(1024);
    add(sums, "memory_kib_ms", &json!(kib * usage["wall_ms"].as_u64().unwrap()));
    for io in usage["io"].as_object().into_iter().flat_map(|io| io.values()) {
        add(sums, "bytes_in", &io["bytes_in"]);
        add(sums, "bytes_out", &io["bytes_out"]);
    }
}

/// What the records say.
fn recorded(get: Get<'_>) -> Sums {
    let mut sums = Sums::new();
    for run in runs(get) {
        let of_job = sums.entry(run["job"].as_str().unwrap().to_owned()).or_default();
        for attempt in run["attempts"].as_array().unwrap() {
            if !attempt["outcome"].is_null() {
                measure(of_job, &attempt["usage"]);
            }
        }
        if let Some(outcome) = run["outcome"].as_str() {
            // Of a run that lost its host over and over, the oldest attempts are not kept. They used
            // nothing.
            let forgotten =
                run["attempt"].as_u64().unwrap() - run["attempts"].as_array().unwrap().len() as u64;
            add(of_job, "attempts", &json!(forgotten));
            add(of_job, outcome, &json!(1));
            add(of_job, "runs", &json!(1));
        }
    }
    for of_job in sums.values_mut() {
        of_job.retain(|_, sum| 0 < *sum);
    }
    sums.retain(|_, of_job| !of_job.is_empty());
    sums
}

/// The numbers of one object of the interface.
fn shown(used: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, value) in used.as_object().unwrap() {
        match value.as_object() {
            Some(outcomes) => outcomes.iter().for_each(|(name, value)| add(&mut sums, name, value)),
            None => add(&mut sums, name, value),
        }
    }
    sums.retain(|_, sum| 0 < *sum);
    sums
}

fn billed(usage: &Value) -> Sums {
    let items = usage["items"].as_array().unwrap();
    let item = |item: &Value| (item["job"].as_str().unwrap().to_owned(), shown(&item["used"]));
    items.iter().map(item).collect()
}

fn total<'a>(parts: impl IntoIterator<Item = &'a BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut total = BTreeMap::new();
    for (name, sum) in parts.into_iter().flatten() {
        *total.entry(name.clone()).or_default() += sum;
    }
    total
}

/// How what was used differs from the records of runs, of which none is under way; empty when both say
/// the same.
pub fn difference(get: Get<'_>) -> Vec<String> {
    let (recorded, billed) = (recorded(get), billed(&usage(get, "job")));
    let jobs = recorded.keys().chain(billed.keys().filter(|job| !recorded.contains_key(*job)));
    let differs = jobs.filter(|job| recorded.get(*job) != billed.get(*job));
    let told = |job: &String| {
        let sides = (recorded.get(job), billed.get(job));
        format!("job {job} used {:?} by its runs, and {:?} were counted", sides.0, sides.1)
    };
    differs.map(told).collect()
}

/// The usage in each of its forms, against the records. Answers what both say.
fn agrees(host: &Host) -> Sums {
    let get = &get(host);
    let recorded = recorded(get);
    let by_job = usage(get, "job");
    assert_eq!(billed(&by_job), recorded);
    let all = total(recorded.values());
    assert_eq!(shown(&by_job["total"]), all);
    for by in ["day", "hour"] {
        let usage = usage(get, by);
        let rows = usage["items"].as_array().unwrap().iter().map(|item| shown(&item["used"]));
        assert_eq!(total(&rows.collect::<Vec<_>>()), all, "{by}");
        assert_eq!(shown(&usage["total"]), all, "{by}");
    }
    let (from, to) = span();
    for by in ["job", "hour"] {
        let args = ["usage", "--from", &from, "--to", &to, "--by", by, "--csv"];
        let printed = host.cli(&args);
        assert!(printed.status.success(), "{printed:?}");
        let rows = csv(&String::from_utf8(printed.stdout).unwrap());
        assert_eq!(total(rows.iter().map(|(_, row)| row)), all, "{by}");
        if by == "job" {
            assert_eq!(rows.into_iter().collect::<Sums>(), recorded);
        }
    }
    recorded
}

/// Rows of comma-separated values: the job, and what is not 0.
fn csv(text: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    assert_eq!(head[..5], ["tenant", "start", "end", "job", "runs"]);
    lines
        .map(|line| {
            assert_eq!(line.len(), head.len(), "{line:?}");
            let numbers = head.iter().zip(&line).skip(4);
            let mut sums: BTreeMap<String, u64> = numbers
                .map(|(name, number)| (String::from(*name), number.parse().unwrap()))
                .collect();
            sums.retain(|_, sum| 0 < *sum);
            (line[3].to_owned(), sums)
        })
        .collect()
}

fn trigger(host: &Host, job: &str) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{run}");
    run["id"].as_str().unwrap().to_owned()
}

fn all_are_done(host: &Host) {
    eventually("all runs to end", || {
        runs(&get(host)).iter().all(|run| run["state"] == "done").then_some(())
    });
}

fn under_way(host: &Host, run: &str) {
    eventually("a run under way", || {
        (host.get(&format!("/v1/runs/{run}")).1["state"] == "running").then_some(())
    });
}

fn cancel(host: &Host, run: &str) {
    let (status, answer) = host.post(&format!("/v1/runs/{run}/cancel"), &json!({}));
    assert!([200, 202].contains(&status), "{answer}");
}

#[test]
fn what_jobs_used_is_what_their_runs_say_also_after_a_crash() {
    let site = Site::new(JOBS);
    site.plugin("behave", "behave");
    let host = site.start();
    for job in ["fine", "fails", "traps", "late", "writes"] {
        for _ in 0..2 {
            trigger(&host, job);
        }
    }
    let stopped = trigger(&host, "sleeps");
    under_way(&host, &stopped);
    cancel(&host, &stopped);
    all_are_done(&host);
    let sums = agrees(&host);
    for (job, measure, sum) in [
        ("fine", "succeeded", 2),
        ("fails", "failed", 2),
        ("fails", "attempts", 6),
        ("traps", "trapped", 2),
        ("late", "timed_out", 2),
        ("sleeps", "cancelled", 1),
    ] {
        assert_eq!(sums[job].get(measure), Some(&sum), "{job}: {measure}: {:?}", sums[job]);
    }
    assert!(sums["fine"].contains_key("fuel") && sums["writes"].contains_key("bytes_in"));
    assert!(400 <= sums["late"]["wall_ms"] && 0 < sums["late"]["memory_kib_ms"]);

    // One is under way when its host dies, and is tried again by the next.
    let lost = trigger(&host, "sleeps");
    under_way(&host, &lost);
    host.kill();
    let host = site.start();
    under_way(&host, &lost);
    assert_eq!(agrees(&host)["sleeps"]["attempts"], 2);
    cancel(&host, &lost);
    all_are_done(&host);
    let sums = agrees(&host);
    assert_eq!((sums["sleeps"]["attempts"], sums["sleeps"]["cancelled"]), (3, 2));
    let before = usage(&get(&host), "job");
    assert!(host.terminate().0.success());

    // Without a host the file says the same; of a job that is removed, too.
    let (from, to) = span();
    let printed = site.cli(&["usage", "--from", &from, "--to", &to, "--json"]);
    let alone: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!((&alone["items"], &alone["total"]), (&before["items"], &before["total"]));
    let table = site.cli(&["usage"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("JOB ") && table.contains("\ntotal "), "{table}");
}

#[test]
fn hosts_that_share_a_store_add_up_each_end_once() {
    let redis = Redis::start();
    let config = format!("store = {{ url = \"{}\", ttl = \"2s\" }}\n{JOBS}", redis.url());
    let sites = [Site::new(&config), Site::new(&config)];
    sites.iter().for_each(|site| site.plugin("behave", "behave"));
    let [one, other] = [sites[0].start(), sites[1].start()];
    for _ in 0..3 {
        for host in [&one, &other] {
            for job in ["fine", "fails", "traps", "writes"] {
                trigger(host, job);
            }
        }
    }
    all_are_done(&one);
    let sums = agrees(&one);
    assert_eq!(agrees(&other), sums);
    assert_eq!((sums["fine"]["succeeded"], sums["fails"]["attempts"]), (6, 18));

    let lost = trigger(&one, "sleeps");
    under_way(&one, &lost);
    let holder = one.get(&format!("/v1/runs/{lost}")).1["attempts"][0]["session"].clone();
    let is_one =
        one.items("/v1/hosts").iter().any(|host| host["session"] == holder && host["self"] == true);
    let (dies, lives) = if is_one { (one, other) } else { (other, one) };
    dies.kill();
    eventually("another attempt", || {
        let run = lives.get(&format!("/v1/runs/{lost}")).1;
        (run["attempt"] == 2 && run["state"] == "running").then_some(())
    });
    cancel(&lives, &lost);
    all_are_done(&lives);
    let sums = agrees(&lives);
    assert_eq!((sums["sleeps"]["attempts"], sums["sleeps"]["cancelled"]), (2, 1));
}

#[test]
fn what_is_asked_wrongly_is_refused_with_what_would_be_right() {
    let site = Site::new("[tenants.acme]\n");
    let host = site.start();
    for (path, status, part) in [
        ("default/usage?by=week", 422, "expected one of `job`, `day`, `hour`"),
        ("default/usage?from=yesterday", 422, "write it like `2026-12-01T09:00:00Z`"),
        ("default/usage?form=2026-12-01T09:00:00Z", 422, "did you mean `from`?"),
        ("default/usage?tenant=acme", 422, "unknown parameter `tenant`"),
        (
            "default/usage?from=2026-12-02T00:00:00Z&to=2026-12-01T00:00:00Z",
            422,
            "is not before 2026-12-01T00:00:00Z",
        ),
        (
            "default/usage?from=2024-01-01T00:00:00Z&to=2026-12-01T00:00:00Z",
            422,
            "more than 400 days before",
        ),
        ("nobody/usage", 404, "there is no tenant `nobody`"),
        ("No%20body/usage", 404, "there is no tenant `No body`"),
    ] {
        let (answered, problem) = host.get(&format!("/v1/tenants/{path}"));
        assert_eq!(answered, status, "{path}: {problem}");
        let text = problem.to_string().replace("\\\"", "\"");
        assert!(text.contains(part), "{path}: {problem}");
    }
    let own = host.get("/v1/tenants/-/usage");
    assert_eq!((own.0, &own.1["tenant"], &own.1["by"]), (200, &json!("default"), &json!("job")));
    let acme = host.get("/v1/tenants/acme/usage");
    assert_eq!((acme.0, &acme.1["items"], &acme.1["total"]["runs"]), (200, &json!([]), &json!(0)));
    let both = site.cli(&["usage", "--csv", "--json"]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}
