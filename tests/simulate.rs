//! `host simulate`: the real binary, from a configuration and real plugins to what is printed.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::host::Site;

const JOBS: &str = r#"
timezone = "Europe/Berlin"
[jobs.hourly]
plugin = "gone"
trigger = "cron 0 * * * *"
[jobs.slow]
plugin = "gone"
trigger = "every 10m"
limits = { timeout = "1h" }
"#;

const DAY: [&str; 5] = ["simulate", "--from", "2026-12-01", "--to", "2026-12-02"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    DAY.iter().chain(more).copied().collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// With one blank between columns.
fn columns(bytes: &[u8]) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text(bytes).lines().map(line).collect()
}

fn objects(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_day_of_jobs_is_told_in_verdicts_sums_and_bars() {
    let site = Site::new(JOBS);
    let output = site.cli(&with(&[
        "--run-time",
        "slow=25m",
        "--down",
        "2026-12-01 03:30:00..2026-12-01 06:10:00",
    ]));
    let (said, noted) = (columns(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{noted}");
    let hourly = "hourly 24 22 - 2 - - - - - 10m 1\n";
    assert!(said.contains(hourly), "{said}");
    for part in [
        "2026-12-01T03:00:00Z hourly coalesced latest 2 - -",
        "2026-12-01T05:00:00Z hourly ran catch_up 1, stands for 3 2026-12-01T05:10:00Z 10m",
        "runs started by hour of the day (Europe/Berlin), 3 in the fullest\n",
        "\n0 6 12 18\n",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(noted.contains("plugin `gone` is not here"), "{noted}");
    assert!(!site.path(".campanile").exists(), "a state folder was made");

    let few = site.cli(&["simulate", "--from", "2026-12-01", "--to", "2026-12-03"]);
    assert!(text(&few.stderr).contains("verdicts; --verdicts prints them"));
}

#[test]
fn scripts_get_verdicts_then_summaries_and_the_same_ones_again() {
    let site = Site::new(JOBS);
    let args = with(&["--json", "--run-time", "slow=25m", "--without", "gone"]);
    let lines = objects(&site.cli(&args));
    assert_eq!(lines, objects(&site.cli(&args)));
    let all = lines.last().unwrap();
    assert_eq!((&all["job"], &all["ran"]), (&Value::Null, &json!(0)));
    let summaries: Vec<_> = lines.iter().filter(|line| line.get("fires").is_some()).collect();
    assert_eq!(summaries.len(), 3);
    assert_eq!(summaries[0]["no_plugin"], 24);
    assert_eq!(lines[0]["verdict"], "no_plugin");
    assert_eq!(lines[0]["first"], "2026-11-30T23:00:00Z");
}

#[test]
fn what_plugins_suggest_is_simulated_too() {
    let site = Site::new("");
    site.plugin("hello", "hello");
    let lines = objects(&site.cli(&with(&["--json"])));
    let summary = lines.iter().find(|line| line.get("fires").is_some()).unwrap();
    assert_eq!(summary["job"], "hello");
    assert!(0 < summary["ran"].as_u64().unwrap());
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    let site = Site::new(JOBS);
    for (args, why) in [
        (vec!["simulate", "--from", "2026-12-02", "--to", "2026-12-01"], "must be after --from"),
        (with(&["--run-time", "slwo=1m"]), "did you mean `slow`?"),
        (with(&["--run-time", "slow=1"]), "must be a duration"),
        (with(&["--down", "2026-12-01"]), "with `..` between"),
        (with(&["--without", "gon"]), "did you mean `gone`?"),
        (vec!["simulate", "--from", "2026-12-01", "--to", "2076-12-01"], "is the limit"),
    ] {
        let output = site.cli(&args);
        let noted = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{noted}");
        assert!(noted.contains(why), "{why}\n{noted}");
    }
}
