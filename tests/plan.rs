//! What is told before anything is done: plan, explain, lints, import. The real binary throughout.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::host::Site;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Each line of standard output as JSON.
fn objects(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const FIRST: &str = r#"
[jobs.steady]
plugin = "behave"
handler = "ok"
[jobs.timed]
plugin = "behave"
handler = "ok"
trigger = { type = "cron", hour = 2 }
[jobs.gone]
plugin = "behave"
handler = "ok"
trigger = "every 1h"
"#;

const SECOND: &str = r#"
[jobs.steady]
plugin = "behave"
handler = "ok"
[jobs.timed]
plugin = "behave"
handler = "ok"
trigger = { type = "cron", hour = 3 }
priority = 4
[jobs.new]
plugin = "behave"
handler = "ok"
[jobs.over]
plugin = "behave"
handler = "ok"
trigger = "at 2020-01-01"
"#;

#[test]
fn a_plan_tells_what_a_start_would_do_and_touches_nothing() {
    let site = Site::new(FIRST);
    site.plugin("behave", "behave");
    site.plugin_bytes(b"", "empty");

    let output = site.cli(&["plan", "--detailed-exitcode"]);
    let said = out(&output);
    assert_eq!(code(&output), 4, "{said}{}", err(&output));
    for line in
        ["+ gone    from host.toml, fires first at ", "+ steady  from host.toml, has no fire time"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("! plugin `empty` is refused: it is empty"), "{said}");
    assert!(said.ends_with("3 to add, 0 to change, 0 to park, 0 unchanged, 1 warning\n"), "{said}");
    assert!(!site.path(".campanile").exists(), "a state folder was made");

    let host = site.start();
    let kept: Vec<_> = std::fs::read_dir(site.path(".campanile/cache")).unwrap().collect();
    let output = site.cli(&["plan", "--detailed-exitcode"]);
    assert_eq!(code(&output), 0, "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("0 to add, 0 to change, 0 to park, 3 unchanged"));

    // Beside the host that runs.
    site.configure(SECOND);
    let output = site.cli(&["plan"]);
    let said = out(&output);
    assert_eq!(code(&output), 0, "{said}{}", err(&output));
    for line in [
        "- gone   is no longer declared by host.toml",
        "+ new    from host.toml",
        "+ over   from host.toml, has no fire time",
        "~ timed  priority 0 -> 4, trigger.hour 2 -> 3\n",
        "! job `over` is finished: 2020-01-01T00:00:00Z had passed",
        "2 to add, 1 to change, 1 to park, 1 unchanged, 2 warnings\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let lines = objects(&site.cli(&["plan", "--json"]));
    let actions: Vec<&str> = lines.iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["park", "add", "add", "change", "warn", "warn", "total"]);
    let changes = json!([
        {"key": "priority", "old": 0, "new": 4}, {"key": "trigger.hour", "old": 2, "new": 3},
    ]);
    assert_eq!(lines[3]["changes"], changes);
    assert_eq!(lines[6]["unchanged"], 1);

    assert_eq!(host.items("/v1/jobs").len(), 3, "the plan was taken");
    let cached: Vec<_> = std::fs::read_dir(site.path(".campanile/cache")).unwrap().collect();
    assert_eq!(cached.len(), kept.len());

    // What was planned is what a start does.
    assert!(host.terminate().0.success());
    let host = site.start();
    let state = |job: &Value| job["state"].as_str().unwrap().to_owned();
    host.item("the parked job", "/v1/jobs", |job| job["id"] == "gone" && state(job) == "parked");
    assert_eq!(host.get("/v1/jobs/timed").1["effective"]["trigger"]["hour"], 3);
    assert_eq!(code(&site.cli(&["plan", "--detailed-exitcode"])), 0);
}

#[test]
fn a_plan_of_a_wrong_configuration_is_refused() {
    let site = Site::new("[jobs.x]\nplugin = \"p\"\ntriger = \"every 5s\"\n");
    let output = site.cli(&["plan"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("jobs.x.triger: unknown key"), "{}", err(&output));
}

const EXPLAINED: &str = r#"
[executor]
caps = { timeout = "1m" }
[job_defaults]
max_rescues = 7
[jobs.nightly]
plugin = "behave"
handler = "ok"
trigger = { type = "cron", hour = 2 }
limits = { timeout = "90m" }
"#;

#[test]
fn every_value_of_a_job_is_explained_with_and_without_a_host() {
    let site = Site::new(EXPLAINED);
    site.plugin("behave", "behave");
    let sidecar = "[jobs.nightly]\npriority = 3\n";
    std::fs::write(site.path("plugins/behave.toml"), sidecar).unwrap();
    let host = site.start();
    let (status, explained) = host.get("/v1/jobs/nightly/explain");
    assert_eq!((status, &explained["id"]), (200, &json!("nightly")), "{explained}");
    for (key, value, origin) in [
        ("max_rescues", json!(7), "job_defaults"),
        ("priority", json!(3), "sidecar"),
        ("trigger.timezone", json!("UTC"), "timezone"),
        ("limits.timeout", json!("1m"), "executor.caps.timeout (file wanted \"90m\")"),
        ("limits.memory", json!("64MiB"), "built in"),
        ("handler", json!("ok"), "file"),
        ("config", json!({}), "built in"),
    ] {
        let items = explained["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["key"] == key).unwrap();
        assert_eq!(item, &json!({"key": key, "value": value, "origin": origin}));
    }
    let output = host.cli(&["explain", "nightly", "--json"]);
    assert_eq!(objects(&output), std::slice::from_ref(&explained));
    assert_eq!(host.get("/v1/jobs/nightle/explain").0, 404);
    assert!(host.terminate().0.success());

    let output = site.cli(&["explain", "nightly"]);
    let said = out(&output);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(err(&output).contains("no host is running"), "{}", err(&output));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("KEY") && lines[0].ends_with("FROM"), "{said}");
    let place = |what: &str| lines.iter().position(|line| line.contains(what)).unwrap();
    assert!(place("executor.caps.timeout (file wanted") < place("built in"), "{said}");
    assert_eq!(objects(&site.cli(&["explain", "nightly", "--json"])), [explained]);
    assert_ne!(code(&site.cli(&["explain", "nonesuch"])), 0);
}

#[test]
fn a_change_of_layers_alone_is_explained_after_the_next_start() {
    let site = Site::new(FIRST);
    site.plugin("behave", "behave");
    assert!(site.start().terminate().0.success());
    site.configure(&format!("[job_defaults]\nmax_rescues = 3\n{FIRST}"));
    assert_eq!(code(&site.cli(&["plan", "--detailed-exitcode"])), 0);
    let host = site.start();
    let (_, explained) = host.get("/v1/jobs/timed/explain");
    let wanted = json!({"key": "max_rescues", "value": 3, "origin": "job_defaults"});
    assert!(explained["items"].as_array().unwrap().contains(&wanted), "{explained}");
}

#[test]
fn validate_warns_of_what_is_likely_not_meant() {
    let site = Site::new(
        r#"
        [jobs.a]
        plugin = "x"
        trigger = { type = "cron", day = 31, minute = "*/7" }
        [jobs.b]
        plugin = "x"
        trigger = { type = "cron", hour = 2, minute = 30, dst = "wall", timezone = "Europe/Berlin" }
        misfire_grace_time = "250ms"
        "#,
    );
    let output = site.cli(&["validate"]);
    let said = err(&output);
    assert_eq!((code(&output), out(&output).as_str()), (0, "ok: 2 jobs\n"), "{said}");
    for line in [
        "warning: job `a`, trigger.day: `31` skips Feb, Apr, Jun, Sep, Nov;",
        "warning: job `a`, trigger.minute: `*/7` is not every 7 minutes",
        "warning: job `b`, misfire_grace_time: ",
        "warning: job `b`, trigger.dst: `wall` has no fire for ",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let validated = objects(&site.cli(&["validate", "--json"]));
    assert_eq!((validated.len(), &validated[0]["ok"]), (1, &json!(true)));
    let warnings = validated[0]["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().any(|it| it["job"] == "b" && it["key"] == "trigger.dst"),
        "{warnings:?}"
    );
}

const CRONTAB: &str = "\
# nightly work
SHELL=/bin/sh
CRON_TZ=Europe/Berlin
30 2 * * * /usr/local/bin/backup.sh --full > /var/log/backup 2>&1
*/5 8-18 * * mon-fri cd /srv/shop && ./bin/poll
@reboot /usr/bin/warm-up
0 0 1,15 * 5 mail -s \"half time\" ops % all well
@daily /usr/local/bin/backup.sh --incremental
";

#[test]
fn a_crontab_that_is_imported_validates() {
    let site = Site::new("");
    std::fs::write(site.path("crontab"), CRONTAB).unwrap();
    let output = site.cli(&["import", "crontab", "crontab"]);
    let toml = out(&output);
    assert_eq!((code(&output), err(&output).as_str()), (0, ""), "{toml}");
    for text in [
        "# command: cd /srv/shop && ./bin/poll\n[jobs.poll]\n",
        "[jobs.backup-2]\n",
        "crontab = \"30 2 * * *\", timezone = \"Europe/Berlin\" }\n",
        "`@reboot` runs when the machine starts",
    ] {
        assert!(toml.contains(text), "{text}\n{toml}");
    }
    site.configure(&toml);
    let output = site.cli(&["validate"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(out(&output), "ok: 4 jobs\n");
    let jobs = objects(&site.cli(&["import", "crontab", "crontab", "--json"]));
    assert_eq!((jobs.len(), &jobs[0]["trigger"]["timezone"]), (4, &json!("Europe/Berlin")));
}

#[test]
fn lines_that_can_not_be_taken_are_told_and_the_others_are() {
    let site = Site::new("");
    let lines = "0 25 * * *\troot\t/bin/a\n0 3 * * *\troot\t/bin/b\n0 4 * * *\n";
    std::fs::write(site.path("crontab"), lines).unwrap();
    let output = site.cli(&["import", "crontab", "crontab", "--system"]);
    let said = err(&output);
    assert_eq!(code(&output), 1, "{said}");
    assert!(said.contains("crontab:1: hour: `25` is out of range"), "{said}");
    assert!(said.contains("crontab:3: has no user and command after the time"), "{said}");
    site.configure(&out(&output));
    assert_eq!(out(&site.cli(&["validate"])), "ok: 1 jobs\n");
    assert_eq!(code(&site.cli(&["import", "crontab", "nonesuch"])), 2);
}
