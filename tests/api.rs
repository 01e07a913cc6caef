//! The REST base, over real sockets, against the real binary.

use serde_json::{Value, json};

use crate::support::host::{Host, Site};

const JOBS: &str = r#"
    [jobs.echo]
    plugin = "behave"
    handler = "ok"
    args = { from = "file" }

    [jobs.nap]
    plugin = "behave"
    handler = "sleep"
    args = { ms = 120000 }

    [jobs.daily]
    plugin = "behave"
    handler = "ok"
    trigger = { type = "cron", hour = 3, timezone = "Europe/Berlin" }
"#;

fn site() -> Site {
    let site = Site::new(JOBS);
    site.plugin("behave", "behave");
    site
}

fn run_now(host: &Host, job: &str, body: &Value) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), body);
    assert_eq!(status, 202, "{run}");
    run["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_that_was_asked_for_is_awaited_and_told_whole() {
    let site = site();
    let host = site.start();
    let id = run_now(&host, "echo", &json!({"args": {"from": "rest"}}));
    let (status, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!(status, 200);
    assert_eq!((&run["state"], &run["outcome"]), (&json!("done"), &json!("succeeded")));
    assert_eq!((&run["cause"], &run["verdict"]), (&json!("manual"), &json!("ran")));
    assert_eq!(run["result"], json!({"from": "rest"}));
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1);
    assert!(run["digest"].as_str().unwrap().starts_with("sha256:"));
    for key in ["wall_ms", "cpu_ms", "fuel", "peak_memory_bytes", "host_calls"] {
        assert!(run["usage"].get(key).is_some(), "{key}: {run}");
    }
    let id = run_now(&host, "echo", &json!({}));
    let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!(run["result"], json!({"from": "file"}), "without args the job's own");
    assert!(host.items("/v1/jobs/echo/ledger").is_empty(), "it was no fire time");
}

#[test]
fn a_cancelled_run_ends_as_cancelled() {
    let site = site();
    let host = site.start();
    let id = run_now(&host, "nap", &json!({}));
    host.item("the nap", "/v1/runs?job=nap", |run| run["state"] == "running");
    let (status, _) = host.post(&format!("/v1/runs/{id}/cancel"), &json!({}));
    assert!(status == 200 || status == 202, "{status}");
    let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!((&run["state"], &run["outcome"]), (&json!("done"), &json!("cancelled")));
    let (status, problem) = host.post(&format!("/v1/runs/{id}/cancel"), &json!({}));
    assert_eq!(status, 409, "{problem}");
}

#[test]
fn a_manual_run_waits_for_a_slot_of_its_job_instead_of_being_skipped() {
    let site = site();
    let host = site.start();
    let first = run_now(&host, "nap", &json!({}));
    host.item("the nap", "/v1/runs?job=nap", |run| run["state"] == "running");
    let second = run_now(&host, "nap", &json!({"args": {"ms": 1}}));
    assert_eq!(host.get(&format!("/v1/runs/{second}")).1["state"], "queued");
    host.post(&format!("/v1/runs/{first}/cancel"), &json!({}));
    let (_, run) = host.get(&format!("/v1/runs/{second}?wait=30s"));
    assert_eq!(run["outcome"], "succeeded", "{run}");
}

#[test]
fn jobs_are_listed_with_what_is_in_force() {
    let site = site();
    let host = site.start();
    let (status, job) = host.get("/v1/jobs/daily");
    assert_eq!(status, 200);
    assert_eq!((&job["state"], &job["source"]), (&json!("active"), &json!("file")));
    assert_eq!(job["effective"]["limits"]["timeout"], "5m", "{job}");
    let next = job["next_fire_time"].as_str().unwrap();
    assert!(next.ends_with("T02:00:00Z") || next.ends_with("T01:00:00Z"), "{next}");
    let times = host.items("/v1/jobs/daily/next");
    assert_eq!(times[0], next);
    let names: Vec<_> = host.items("/v1/jobs").iter().map(|job| job["id"].clone()).collect();
    assert_eq!(names, ["daily", "echo", "nap"]);
}

#[test]
fn logs_of_a_run_are_lines_with_level_and_stream() {
    let site = Site::new(
        "[jobs.chatty]\nplugin = \"behave\"\nhandler = \"logs\"\nargs = { lines = 3, bytes = 5 }\n",
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let id = run_now(&host, "chatty", &json!({}));
    host.get(&format!("/v1/runs/{id}?wait=30s"));
    let lines = host.items(&format!("/v1/runs/{id}/logs"));
    for stream in ["log", "stdout", "stderr"] {
        let count = lines.iter().filter(|line| line["stream"] == stream).count();
        assert_eq!(count, 3, "{stream}: {lines:?}");
    }
}

#[test]
fn a_log_that_is_stored_in_many_pieces_is_whole_and_in_order() {
    const LINES: usize = 900;
    let site = Site::new(&format!(
        "[jobs.chatty]\nplugin = \"behave\"\nhandler = \"logs\"\nlimits = {{ log = \"16MiB\" }}\n\
         args = {{ lines = {LINES}, bytes = 2000 }}\n"
    ));
    site.plugin("behave", "behave");
    let host = site.start();
    let id = run_now(&host, "chatty", &json!({}));
    assert_eq!(host.get(&format!("/v1/runs/{id}?wait=30s")).1["outcome"], "succeeded");
    let (mut lines, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let (_, page) = host.get(&format!("/v1/runs/{id}/logs?limit=1000&cursor={cursor}"));
        lines.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    let numbers = lines.iter().filter(|line| line["stream"] == "log").map(|line| {
        line["message"].as_str().unwrap().split('-').next().unwrap().parse::<usize>().unwrap()
    });
    assert!(numbers.eq(0..LINES), "{} lines", lines.len());
}

#[test]
fn what_is_unknown_or_wrong_is_a_problem_that_helps() {
    let site = site();
    let host = site.start();
    for (path, status, code) in [
        ("/v1/jobs/eco", 404, "no_such_job"),
        ("/v1/runs/0123456789abcdef0123456789abcdef", 404, "no_such_run"),
        ("/v1/plugins/nonesuch", 404, "no_such_plugin"),
        ("/v1/nonesuch", 404, "no_such_route"),
    ] {
        let (got, problem) = host.get(path);
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{path}: {problem}");
        assert_eq!(problem["status"], status);
    }
    assert!(host.get("/v1/jobs/eco").1["detail"].as_str().unwrap().contains("echo"));
    assert_eq!(host.get("/v1/runs?nonesuch=1").0, 422);
    assert_eq!(host.post("/v1/jobs/echo/run", &json!({"arg": 1})).0, 422);
    assert_eq!(host.post("/v1/jobs/eco/run", &json!({})).0, 404);
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let site = site();
    let host = site.start();
    for (header, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let answer = ureq::get(format!("{}/v1/jobs", host.url())).header(header, value);
        let status = answer.config().http_status_as_error(false).build().call().unwrap().status();
        assert_eq!(status.as_u16(), 403, "{header}");
    }
}

#[test]
fn the_events_of_a_fire_come_in_order_and_a_range_has_two() {
    use std::io::BufRead;

    let site = Site::new("");
    site.plugin("behave", "behave");
    let host = site.start();
    let request = ureq::get(format!("{}/v1/events", host.url())).config();
    let patience = std::time::Duration::from_secs(60);
    let answer = request.timeout_global(Some(patience)).build().call().unwrap();
    let mut lines = std::io::BufReader::new(answer.into_body().into_reader()).lines();
    let heard = lines.next().unwrap().unwrap();
    assert!(heard.starts_with(':'), "{heard}");
    let soon = |seconds: u64| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        campanile::time::Timestamp::from_secs(i64::try_from(now + seconds).unwrap())
    };
    let once = json!({
        "id": "once", "plugin": "behave", "handler": "ok",
        "trigger": {"type": "date", "run_date": soon(2).to_string()},
    });
    let busy = json!({
        "id": "busy", "plugin": "behave", "handler": "sleep", "args": {"ms": 2500},
        "trigger": {"type": "interval", "seconds": 1, "end_date": soon(7).to_string()},
    });
    for job in [&once, &busy] {
        let (status, answer) = host.post("/v1/jobs", job);
        assert_eq!(status, 201, "{answer}");
    }
    let mut of_once = Vec::new();
    let mut of_busy = Vec::new();
    while !(of_once.ends_with(&["job.finished".to_owned()])
        && of_busy.contains(&"range.closed".to_owned()))
    {
        let line = lines.next().expect("the stream goes on").unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(data).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        match event["job"].as_str() {
            Some("once") => of_once.push(kind),
            Some("busy") => of_busy.push(kind),
            _ => (),
        }
    }
    let order = ["job.due", "run.queued", "run.started", "run.succeeded", "job.finished"];
    assert_eq!(of_once, order);
    let first = |kind: &str| of_busy.iter().position(|other| other == kind).unwrap();
    assert!(first("range.opened") < first("range.closed"), "{of_busy:?}");
}
