//! What else is seen of tenants: reads of an idle host, events, folders, warnings.

use serde_json::{Value, json};

use super::{gone, put, put_plugin, remove, run};
use crate::support::eventually;
use crate::support::host::{Host, Site};

/// How often a host called a method of its store.
fn calls(host: &Host, method: &str) -> u64 {
    let (_, text) = host.get("/metrics");
    let start = format!("campanile_store_calls_total{{method=\"{method}\"");
    let counts = text.as_str().unwrap().lines().filter(|line| line.starts_with(&start));
    counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_host_that_nothing_happens_to_asks_once_for_all_tenants() {
    let tenants: String = (0..60).map(|number| format!("[tenants.t{number}]\n")).collect();
    let site = Site::new(&tenants);
    let host = site.start();
    for number in 0..3 {
        assert_eq!(put(&host, &format!("made{number}"), &json!({})).0, 201);
    }
    // Until what was read because of them has been read.
    let still = eventually("a look without a list", || {
        let (looks, lists) = (calls(&host, "doc_mark"), calls(&host, "doc_list"));
        eventually("another look", || (looks < calls(&host, "doc_mark")).then_some(()));
        (calls(&host, "doc_list") == lists).then_some((looks, lists))
    });
    let (looks, lists) = still;
    eventually("three more looks", || (looks + 4 <= calls(&host, "doc_mark")).then_some(()));
    assert_eq!(calls(&host, "doc_list"), lists);
    // And still sees what comes.
    put_plugin(&host, "t7", "noop", "bell");
    assert!(lists < calls(&host, "doc_list"));
}

#[test]
fn a_folder_of_plugins_that_cant_be_read_holds_nobody_else_back() {
    let site = Site::new("[tenants.acme]\n[tenants.zeta]\n");
    let sidecar = "[jobs.tick]\ntrigger = 'every 1h'\n";
    site.plugin("noop", "zeta/bell");
    std::fs::write(site.path("plugins/zeta/bell.toml"), sidecar).unwrap();
    // A file is read as a folder by nobody, whoever they are.
    std::fs::write(site.path("plugins/acme"), "").unwrap();
    let host = site.start();
    let said = host.says("a folder of plugins can't be read");
    assert!(said.contains("plugins/acme"), "{said}");
    assert_eq!(run(&host, "zeta", "tick")["outcome"], "succeeded");
    // It is found when it can be read, and stays as it was when it can't.
    std::fs::remove_file(site.path("plugins/acme")).unwrap();
    site.plugin("noop", "acme/gong");
    std::fs::write(site.path("plugins/acme/gong.toml"), sidecar).unwrap();
    host.item("its job", "/v1/jobs?tenant=acme", |job| job["id"] == "tick");
    host.item("its plugin", "/v1/plugins?tenant=acme", |plugin| plugin["state"] == "active");
    host.says("can be read again");
    std::fs::rename(site.path("plugins/acme"), site.path("aside")).unwrap();
    std::fs::write(site.path("plugins/acme"), "").unwrap();
    eventually("both warnings", || {
        (host.said().matches("a folder of plugins can't be read").count() == 2).then_some(())
    });
    for _ in 0..2 {
        let reload = host.cli(&["reload"]);
        assert!(reload.status.success(), "{reload:?}");
    }
    assert_eq!(host.get("/v1/jobs/tick?tenant=acme").1["state"], "active");
    let (_, plugin) = host.get("/v1/plugins/gong?tenant=acme");
    assert_eq!(plugin["state"], "active", "{plugin}");
    assert_eq!(run(&host, "acme", "tick")["outcome"], "succeeded");
    assert_eq!(host.said().matches("a folder of plugins can't be read").count(), 2);
}

#[test]
fn a_warning_about_a_job_names_its_tenant() {
    let job = "plugin = 'p'\ntrigger = { type = 'cron', day = 31, hour = 1 }\n";
    let site = Site::new(&format!("[jobs.a]\n{job}[tenants.acme.jobs.a]\n{job}"));
    let output = site.cli(&["validate"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in ["warning: job `a`, trigger.day: ", "warning: job `acme/a`, trigger.day: "] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let output = site.cli(&["validate", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let whose: Vec<&Value> =
        told["warnings"].as_array().unwrap().iter().map(|lint| &lint["tenant"]).collect();
    assert!(whose.contains(&&json!("acme")) && whose.contains(&&json!("default")), "{told}");
}

/// What a stream of events tells of tenants from now on, once it has told of `last`.
fn hears(host: &Host, query: &str, last: &'static str) -> impl FnOnce() -> Vec<(String, Value)> {
    use std::io::BufRead as _;
    let request = ureq::get(format!("{}/v1/events{query}", host.url())).config();
    let patience = std::time::Duration::from_secs(60);
    let answer = request.timeout_global(Some(patience)).build().call().unwrap();
    let mut lines = std::io::BufReader::new(answer.into_body().into_reader()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with(':'));
    move || {
        let mut told = Vec::new();
        loop {
            let line = lines.next().expect("the stream goes on").unwrap();
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data).unwrap();
            let kind = event["type"].as_str().unwrap().to_owned();
            if kind.starts_with("tenant.") || kind.starts_with("config.") {
                told.push((kind.clone(), event["data"]["tenant"].clone()));
            }
            if kind == last {
                return told;
            }
        }
    }
}

#[test]
fn events_tell_of_tenants_that_come_change_drain_and_go() {
    let site = Site::new("");
    let host = site.start();
    let of_host = hears(&host, "", "config.reloaded");
    assert_eq!(put(&host, "acme", &json!({})).0, 201);
    let of_acme = hears(&host, "?tenant=acme", "tenant.removed");
    assert_eq!(put(&host, "zeta", &json!({})).0, 201);
    assert_eq!(put(&host, "acme", &json!({"caps": {"timeout": "1m"}})).0, 200);
    remove(&host, "acme", "0s");
    gone(&host, "acme");
    site.configure("timezone = 'Europe/Berlin'");
    let told = |events: Vec<(String, Value)>| -> Vec<String> {
        events
            .iter()
            .map(|(kind, tenant)| format!("{kind} {}", tenant.as_str().unwrap_or("-")))
            .collect()
    };
    let changed = ["tenant.changed acme", "tenant.draining acme", "tenant.removed acme"];
    assert_eq!(told(of_acme()), changed);
    let all =
        [&["tenant.changed acme", "tenant.changed zeta"], &changed[..], &["config.reloaded -"]];
    assert_eq!(told(of_host()), all.concat(), "a tenant is no news of the file");
}
