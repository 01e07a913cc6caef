//! Proof of the simulation: that it decides as a host does, and what a host decides.

mod cases;
mod lockstep;

use std::path::Path;

use super::report::Decision;
use super::{Down, Scenario, Simulated, simulate};
use crate::config::Config;
use crate::config::definitions::definitions;
use crate::job::JobKey;
use crate::time::Timestamp;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A scenario with the jobs of a configuration, from when to when.
fn scenario(text: &str, from: Timestamp, to: Timestamp) -> Scenario {
    let config = Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
    let declared = definitions(&config, &[], &[]);
    assert!(declared.problems.is_empty(), "{:?}", declared.problems);
    Scenario {
        jobs: declared.jobs,
        from,
        to,
        down: Vec::new(),
        run_times: Default::default(),
        max_running: config.executor.max_running,
        allotments: config.allotments(),
        absent: Default::default(),
        zone: config.timezone,
    }
}

fn key(job: &str) -> JobKey {
    JobKey { tenant: "default".parse().unwrap(), job: job.parse().unwrap() }
}

fn simulated(scenario: &Scenario) -> Simulated {
    runtime().block_on(simulate(scenario)).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const HOURLY: &str = "[jobs.a]\nplugin = \"p\"\ntrigger = \"every 1h\"\n";

#[test]
fn two_simulations_of_one_scenario_come_out_the_same() {
    let text = "[executor]\nmax_running = 1\n[jobs.a]\nplugin = \"p\"\ntrigger = \"every 10s\"\n\
                coalesce = \"all\"\n[jobs.b]\nplugin = \"p\"\ntrigger = \"every 10s\"\n";
    let mut scenario = scenario(text, at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z"));
    let down = Down { from: at("2026-01-01T00:10:00Z"), to: at("2026-01-01T00:12:03Z") };
    scenario.down = vec![down];
    let (once, again) = (simulated(&scenario), simulated(&scenario));
    assert_eq!(once.decisions, again.decisions);
    assert_eq!(once.summaries, again.summaries);
}

#[test]
fn what_comes_due_at_the_start_counts_and_what_comes_due_at_the_end_does_not() {
    let text = "[jobs.a]\nplugin = \"p\"\ntrigger = \"cron 0 * * * *\"\n";
    let scenario = scenario(text, at("2026-01-01T00:00:00Z"), at("2026-01-01T03:00:00Z"));
    let simulated = simulated(&scenario);
    let hours: Vec<_> = simulated.decisions.iter().map(|item| item.first.to_string()).collect();
    assert_eq!(hours, ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]);
    assert_eq!(scenario.fires(), 3);
    assert_eq!(simulated.summaries[0].started_by_hour[..4], [1, 1, 1, 0]);
}

#[test]
fn the_summary_of_all_is_the_sum_of_its_jobs() {
    let text = format!(
        "[executor]\nmax_running = 1\n{HOURLY}[jobs.b]\nplugin = \"q\"\ntrigger = \"every 1h\"\n"
    );
    let mut scenario = scenario(&text, at("2026-01-01T00:00:00Z"), at("2026-01-01T09:00:01Z"));
    scenario.run_times.insert(key("a"), std::time::Duration::from_secs(90 * 60));
    let [a, b, all] = &simulated(&scenario).summaries[..] else { panic!("three") };
    assert_eq!((a.fires, b.fires, all.fires), (9, 9, 18));
    assert_eq!((a.failed, a.most_at_once), (8, 1), "past the timeout of five minutes");
    assert_eq!((b.ran, b.waiting, b.longest_lateness_ms), (8, 1, Some(300_000)));
    assert_eq!((all.ran, all.most_at_once), (17, 1));
    assert_eq!(all.job, None);
}

#[test]
fn quotas_by_runs_and_rate_limits_show() {
    let text = "[tenants.default]\nquota = { runs_per_minute = 1 }\n[jobs.j]\nplugin = \"p\"\n\
                trigger = \"every 20s\"\nmisfire_grace_time = \"5s\"\n";
    let (from, to) = (at("2026-01-01T12:00:00Z"), at("2026-01-01T12:01:30Z"));
    let shown_of = |text| -> Vec<_> {
        simulated(&scenario(text, from, to)).decisions.iter().map(shown).collect()
    };
    assert_eq!(
        shown_of(text),
        [
            "j ran +20 on_time @+20",
            "j quota +40 runs_per_minute",
            "j ran +60 on_time @+60",
            "j quota +80 runs_per_minute",
        ]
    );
    let text = "[jobs.j]\nplugin = \"p\"\ntrigger = \"every 25s\"\nrate_limit = \"1/m\"\n\
                max_instances = 9\n";
    assert_eq!(
        shown_of(text),
        ["j ran +25 on_time @+25", "j ran +50 late @+60", "j waiting +75 rate_limit",]
    );
}

/// A decision in few words: `j ran +10 on_time @+10.9`, with seconds after noon of the first of
/// January 2026, or `j coalesced +10..+40 x4 latest`.
fn shown(decision: &Decision) -> String {
    let verdict = serde_json::to_value(decision.verdict).unwrap();
    let verdict = verdict.as_str().unwrap_or("waiting");
    let mut text = format!("{} {verdict} {}", decision.job, when(decision.first));
    if decision.first != decision.last {
        text.push_str(&format!("..{} x{}", when(decision.last), decision.count));
    }
    text.push_str(&format!(" {}", decision.reason.as_deref().unwrap_or("-")));
    if let Some(started_at) = decision.started_at {
        text.push_str(&format!(" @{}", when(started_at)));
    }
    match (decision.outcome.map(|outcome| outcome.as_str()), decision.attempt) {
        (None | Some("succeeded"), None | Some(0 | 1)) => (),
        (outcome, attempts) => {
            text.push_str(&format!(" {} x{}", outcome.unwrap_or("-"), attempts.unwrap_or(0)));
        }
    }
    text
}

/// Seconds after noon, when that is near.
fn when(time: Timestamp) -> String {
    let micros = time.micros() - at("2026-01-01T12:00:00Z").micros();
    if micros.abs() > 10 * 86_400_000_000 {
        return time.to_string();
    }
    let secs = format!("{:+.6}", micros as f64 / 1e6);
    secs.trim_end_matches('0').trim_end_matches('.').to_owned()
}
