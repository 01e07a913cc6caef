//! Three hosts on one Redis server: what a tenant may have, all of them together never pass.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// Runs that are asked for of each job.
const RUNS: usize = 60;
const CPU_MS: u64 = 1_500;

fn site(redis: &Redis) -> Site {
    let site = Site::new(&format!(
        "store = {{ url = \"{}\", ttl = \"2s\" }}\nconfig_version = 1\n\
         [executor]\nmax_running = 4\nqueues = [\"default\", \"db\"]\n\
         [queues.db]\nmax_running = 2\n\
         [tenants.acme]\nquota = {{ max_running = 3 }}\n\
         [tenants.acme.jobs.hold]\nplugin = \"behave\"\nhandler = \"sleep\"\nargs = {{ ms = 20 }}\n\
         max_instances = 1000\n\
         [tenants.db.jobs.hold]\nplugin = \"behave\"\nhandler = \"sleep\"\nargs = {{ ms = 20 }}\n\
         queue = \"db\"\nmax_instances = 1000\n\
         [tenants.burns]\nquota = {{ cpu_per_hour = \"{CPU_MS}ms\" }}\n\
         [tenants.burns.jobs.spin]\nplugin = \"behave\"\nhandler = \"spin\"\n\
         limits = {{ timeout = \"200ms\" }}\nmax_instances = 1000\n",
        redis.url()
    ));
    for tenant in ["acme", "db", "burns"] {
        site.plugin("behave", &format!("{tenant}/behave"));
    }
    site
}

/// All runs of a tenant, when none of them is under way any more.
fn done(host: &Host, tenant: &str) -> Vec<Value> {
    eventually(&format!("the runs of {tenant}"), || {
        let runs = host.items(&format!("/v1/runs?tenant={tenant}&state=done&limit=1000"));
        (runs.len() == RUNS).then_some(runs)
    })
}

/// How many attempts were under way at once at most, by the server's clock.
fn most_at_once(runs: &[Value]) -> i32 {
    let attempts = runs.iter().flat_map(|run| run["attempts"].as_array().unwrap());
    let mut changes: Vec<(String, i32)> = attempts
        .flat_map(|attempt| {
            let at = |key: &str| attempt[key].as_str().unwrap().to_owned();
            // Of one instant the end comes first.
            [(at("finished_at"), -1), (at("started_at"), 1)]
        })
        .collect();
    changes.sort();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    most
}

#[test]
fn three_hosts_together_stay_within_what_a_tenant_and_a_queue_may_have() {
    let redis = Redis::start();
    let sites = [site(&redis), site(&redis), site(&redis)];
    let hosts: Vec<Host> = sites.iter().map(Site::start).collect();
    for number in 0..RUNS {
        let host = &hosts[number % hosts.len()];
        for (tenant, job) in [("acme", "hold"), ("db", "hold"), ("burns", "spin")] {
            let path = format!("/v1/jobs/{job}/run?tenant={tenant}");
            let (status, run) = host.post(&path, &json!({}));
            assert_eq!(status, 202, "{run}");
        }
    }
    for (tenant, most) in [("acme", 3), ("db", 2)] {
        let runs = done(&hosts[0], tenant);
        assert!(runs.iter().all(|run| run["outcome"] == "succeeded"), "{tenant}");
        assert_eq!(most_at_once(&runs), most, "{tenant}: never more, and no fewer than it may");
        let by: std::collections::BTreeSet<_> =
            runs.iter().map(|run| run["attempts"][0]["session"].to_string()).collect();
        assert!(1 < by.len(), "{tenant}: one host ran all of them");
    }
    let burnt = done(&hosts[1], "burns");
    let used: u64 = burnt.iter().map(|run| run["usage"]["cpu_ms"].as_u64().unwrap()).sum();
    let refused = burnt.iter().filter(|run| run["verdict"] == "quota").count();
    let hours = |run: &Value| run["queued_at"].as_str().unwrap()[..13].to_owned();
    let windows: std::collections::BTreeSet<_> = burnt
        .iter()
        .flat_map(|run| [hours(run), run["finished_at"].as_str().unwrap()[..13].to_owned()])
        .collect();
    assert!(used <= CPU_MS * windows.len() as u64, "{used} ms in {windows:?}");
    assert!(used > CPU_MS / 2 && 0 < refused, "{used} ms, {refused} refused");
    for run in burnt.iter().filter(|run| run["verdict"] == "quota") {
        assert_eq!(run["reason"], "cpu_per_hour", "{run}");
    }
}
