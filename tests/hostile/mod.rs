//! Guests that are broken, greedy or hostile, through the real binary and its configuration file:
//! each ends as it must, with a message that says what would help; the job of another tenant beside them
//! keeps every fire, and the host lives on.

mod files;
mod module;
mod mutations;
mod runs;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use runs::{Guest, HANDLERS, Row, TEXTS};

/// Rounds of all guests that run.
const ROUNDS: usize = 50;
/// After so many the host has what it needs.
const WARM: usize = 10;
/// What it may hold more after the last round, in bytes.
const GROWTH: u64 = 10 << 20;

/// The tenant of all these guests, and another one with a job that does nothing wrong, each second; each
/// fire gets a run of its own, however late.
const TENANTS: &str = "[tenants.hostile]\nquota = { max_running = 7, queued = 1000, storage = '256MiB', \
    plugins = 200, jobs = 200, http_per_hour = 100000 }\n\
    [tenants.good.jobs.beside]\nplugin = 'behave'\nhandler = 'ok'\nargs = { n = 1 }\n\
    trigger = 'every 1s'\ncoalesce = 'all'\nmax_instances = 1000\n";

/// All guests that run.
fn rows() -> impl Iterator<Item = &'static Row> {
    TEXTS.iter().chain(HANDLERS)
}

/// A host with all guests that run, and the job beside them.
fn site() -> Site {
    // Few places for instances, so that each has met all guests soon.
    let mut config = format!("[executor]\nmax_running = 8\n{TENANTS}");
    for row in rows() {
        let (plugin, handler) = match &row.guest {
            Guest::Text(_) => (row.name, "run"),
            Guest::Behave(handler) => ("behave", *handler),
        };
        config += &format!(
            "[tenants.hostile.jobs.{}]\nplugin = '{plugin}'\nhandler = '{handler}'\nmax_instances = 1000\n\
             limits = {{ {} }}\n{}\n",
            row.name, row.limits, row.more
        );
    }
    let site = Site::new(&config);
    site.plugin("behave", "hostile/behave");
    site.plugin("behave", "good/behave");
    std::fs::create_dir(site.path("data")).unwrap();
    for row in rows() {
        if let Guest::Text(module) = &row.guest {
            site.plugin_bytes(&module.bytes(), &format!("hostile/{}", row.name));
        }
    }
    site
}

/// Starts a run of each row, all at once, and answers with how each ended.
fn round(host: &Host) -> Vec<(&'static Row, Value)> {
    let start = |row: &'static Row| {
        let (status, run) =
            host.post(&format!("/v1/jobs/{}/run?tenant=hostile", row.name), &json!({}));
        assert_eq!(status, 202, "{}: {run}", row.name);
        (row, run["id"].as_str().unwrap().to_owned())
    };
    let started: Vec<_> = rows().map(start).collect();
    let ended = |(row, id): (&'static Row, String)| {
        let run = eventually(&format!("{} to end", row.name), || {
            let (_, run) = host.get(&format!("/v1/runs/{id}?tenant=hostile&wait=10s"));
            (run["state"] == "done").then_some(run)
        });
        (row, run)
    };
    started.into_iter().map(ended).collect()
}

/// What is wrong with how a row ended.
fn fault(row: &Row, run: &Value) -> Option<String> {
    let said = run["error"]["message"].as_str().unwrap_or_default();
    let right = run["outcome"] == row.outcome && said.contains(row.says);
    (!right).then(|| {
        let Row { name, outcome, says, .. } = row;
        format!("{name}: {} `{said}`, not {outcome} `{says}`", run["outcome"])
    })
}

/// Every fire time of the job beside the others has a run that succeeded.
fn check_beside(host: &Host, at_least: usize) {
    host.item("fires beside", "/v1/jobs/beside/ledger?tenant=good&limit=1000", |_| {
        host.items("/v1/jobs/beside/ledger?tenant=good&limit=1000").len() >= at_least
    });
    for item in host.items("/v1/jobs/beside/ledger?tenant=good&limit=1000") {
        assert_eq!((&item["verdict"], &item["count"]), (&json!("ran"), &json!(1)), "{item}");
    }
    for run in host.items("/v1/runs?tenant=good&job=beside&state=done&limit=1000") {
        assert_eq!(run["outcome"], "succeeded", "{run}");
    }
}

/// What the host holds in memory, in bytes.
fn resident(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_hostile_guest_ends_as_it_must_and_harms_nobody() {
    let site = site();
    let host = site.start();
    let refused: Vec<_> = host
        .items("/v1/plugins?tenant=hostile&limit=1000")
        .into_iter()
        .filter(|plugin| plugin["state"] != "active")
        .map(|plugin| format!("{}: {}", plugin["name"], plugin["error"]))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    let faults: Vec<_> = round(&host).iter().filter_map(|(row, run)| fault(row, run)).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    check_beside(&host, 2);
    let (_, log) = host.get("/v1/runs?tenant=hostile&job=log-flood&state=done");
    let id = log["items"][0]["id"].as_str().unwrap();
    let lines = host.items(&format!("/v1/runs/{id}/logs?tenant=hostile&limit=1000"));
    assert!(
        lines
            .iter()
            .any(|line| { line["message"].as_str().unwrap().contains("`limits.log` raises it") })
    );
    assert!(host.terminate().0.success());
}

#[test]
fn rounds_of_hostile_guests_leave_nothing_behind_in_memory() {
    let site = site();
    let host = site.start();
    let mut warm = 0;
    for number in 1..=ROUNDS {
        let faults: Vec<_> = round(&host).iter().filter_map(|(row, run)| fault(row, run)).collect();
        assert!(faults.is_empty(), "round {number}\n{}", faults.join("\n"));
        if number == WARM {
            warm = resident(&host);
        }
    }
    let grown = resident(&host).saturating_sub(warm);
    assert!(grown < GROWTH, "{grown} bytes more after round {ROUNDS} than after round {WARM}");
    check_beside(&host, ROUNDS);
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_the_reason() {
    let rows = files::rows();
    let site = Site::new(TENANTS);
    site.plugin("behave", "hostile/behave");
    site.plugin("behave", "good/behave");
    for row in &rows {
        site.plugin_bytes(&row.bytes, &format!("hostile/{}", row.name));
    }
    let host = site.start();
    let plugins: BTreeMap<String, Value> = host
        .items("/v1/plugins?tenant=hostile&limit=1000")
        .into_iter()
        .map(|plugin| (plugin["name"].as_str().unwrap().to_owned(), plugin))
        .collect();
    let mut faults = Vec::new();
    for row in &rows {
        let plugin = &plugins[row.name];
        let said = plugin["error"].as_str().unwrap_or_default();
        if plugin["state"] != "refused" || !said.contains(row.says) || said.len() > 2_000 {
            faults.push(format!("{}: {} `{said}`, not `{}`", row.name, plugin["state"], row.says));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    check_beside(&host, 2);
    assert!(host.terminate().0.success());
}

#[test]
fn no_two_rows_test_the_same() {
    let mut seen = std::collections::BTreeSet::new();
    for row in rows() {
        assert!(seen.insert(row.name), "{} is there twice", row.name);
    }
    for row in files::rows() {
        assert!(seen.insert(row.name), "{} is there twice", row.name);
    }
    assert!(seen.len() >= 40, "{} rows", seen.len());
}
