//! A plugin's file is replaced while the host serves: the new version takes its place in one step, or
//! the old one goes on.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};

const JOBS: &str = "[jobs.tick]\nplugin = 'bell'\nhandler = 'run'\ntrigger = 'every 200ms'\n\
    coalesce = 'all'\nmax_instances = 1000\nhistory = { keep = 1000 }\n\
    [jobs.long]\nplugin = 'bell'\nhandler = 'sleep'\nargs = { ms = 1500 }\n";

fn digest_of(bytes: &[u8]) -> String {
    campanile::engine::plugin::Digest::of(bytes).to_string()
}

/// Every fire so far has one run, which succeeded, with one of these versions.
fn check(host: &Host, versions: &[String]) {
    for item in host.items("/v1/jobs/tick/ledger?limit=1000") {
        assert_eq!((&item["verdict"], &item["count"]), (&json!("ran"), &json!(1)), "{item}");
    }
    for run in host.items("/v1/runs?job=tick&state=done&limit=1000") {
        assert_eq!((&run["outcome"], &run["attempt"]), (&json!("succeeded"), &json!(1)), "{run}");
        let digest = run["digest"].as_str().unwrap();
        assert!(versions.iter().any(|version| version == digest), "{run}");
    }
}

#[test]
fn a_run_under_way_ends_with_its_version_and_the_next_one_has_the_new_one() {
    let site = Site::new(JOBS);
    site.plugin("behave", "bell");
    let host = site.start();
    let (status, run) = host.post("/v1/jobs/long/run", &json!({}));
    assert_eq!(status, 202, "{run}");
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    eventually("it to run", || (host.get(&path).1["state"] == "running").then_some(()));
    site.plugin("noop", "bell");
    host.says("runs under way end with the version that they began with");
    let (_, run) = host.get(&format!("{path}?wait=30s"));
    assert_eq!(run["outcome"], "succeeded", "{run}");
    assert_eq!(run["digest"], digest_of(&guests::bytes("behave")));
    host.item("a run of the new one", "/v1/runs?job=tick&state=done", |run| {
        run["outcome"] == "succeeded" && run["digest"] == digest_of(&guests::bytes("noop"))
    });
}

#[test]
fn a_plugin_whose_file_is_gone_is_waited_for_and_no_fire_is_lost() {
    let site = Site::new(JOBS);
    site.plugin("noop", "bell");
    let host = site.start();
    host.item("a run", "/v1/runs?job=tick&state=done", |run| run["outcome"] == "succeeded");
    let file = site.path("plugins/bell.wasm");
    std::fs::remove_file(&file).unwrap();
    host.says("its file is gone; runs under way end, and fires wait for it to come back");
    assert_eq!(host.items("/v1/plugins"), [] as [Value; 0]);
    let waiting = host.item("a fire that waits", "/v1/runs?job=tick&state=queued", |run| {
        run["reason"] == "no_plugin"
    });
    site.plugin("noop", "bell");
    let path = format!("/v1/runs/{}?wait=30s", waiting["id"].as_str().unwrap());
    assert_eq!(host.get(&path).1["outcome"], "succeeded");
    for item in host.items("/v1/jobs/tick/ledger?limit=1000") {
        assert_eq!(item["verdict"], "ran", "{item}");
    }
}

#[test]
fn a_sidecar_takes_effect_by_itself_and_one_that_is_wrong_changes_nothing() {
    let site = Site::new("");
    site.plugin("noop", "bell");
    let host = site.start();
    let write = |text: &str| std::fs::write(site.path("plugins/bell.toml"), text).unwrap();
    let job = |args: u64| format!("[jobs.extra]\nhandler = 'run'\nargs = {args}\n");
    write(&job(1));
    host.item("the job", "/v1/jobs", |job| job["id"] == "extra" && job["source"] == "sidecar");
    write(&job(2));
    host.item("its change", "/v1/jobs", |job| job["definition"]["args"] == 2);
    write("[jobs.extra]\nhandler = 'run'\nargz = 3\n");
    host.says("unknown key `argz`; did you mean `args`?");
    let (_, job_now) = host.get("/v1/jobs/extra");
    assert_eq!((&job_now["state"], &job_now["definition"]["args"]), (&json!("active"), &json!(2)));
    write(&job(4));
    host.item("its next change", "/v1/jobs", |job| job["definition"]["args"] == 4);
    std::fs::remove_file(site.path("plugins/bell.toml")).unwrap();
    host.item("it to be parked", "/v1/jobs", |job| {
        job["state"] == "parked" && job["reason"] == "undeclared"
    });
}

#[test]
fn a_version_that_is_refused_changes_nothing_but_what_is_told() {
    let site = Site::new(JOBS);
    site.plugin("noop", "bell");
    let host = site.start();
    let good = digest_of(&guests::bytes("noop"));
    for (bad, says) in [
        (b"not a plugin".to_vec(), "not WebAssembly"),
        (guests::bytes("other_world"), "another world"),
        (guests::bytes("behave")[..5_000].to_vec(), "truncated"),
    ] {
        site.plugin_bytes(&bad, "bell");
        let plugin = host.item("the reason", "/v1/plugins", |plugin| {
            plugin["error"].as_str().is_some_and(|error| error.contains(says))
        });
        assert_eq!((&plugin["state"], &plugin["digest"]), (&json!("active"), &json!(good)));
    }
    let listed = String::from_utf8(host.cli(&["plugins", "ls"]).stdout).unwrap();
    assert!(listed.contains("; new file refused: "), "{listed}");
    for handler in host.items("/v1/plugins")[0]["handlers"].as_array().unwrap() {
        let name = handler["name"].as_str().unwrap();
        assert!(listed.contains(name), "{name} is missing in {listed}");
    }
    let shown = String::from_utf8(host.cli(&["plugins", "show", "bell"]).stdout).unwrap();
    assert!(shown.contains("new file refused") && shown.contains("truncated"), "{shown}");
    let runs = host.items("/v1/runs?job=tick&state=done&limit=1000").len();
    eventually("more runs", || {
        (host.items("/v1/runs?job=tick&state=done&limit=1000").len() > runs + 3).then_some(())
    });
    site.plugin("noop", "bell");
    host.item("no more of it", "/v1/plugins", |plugin| plugin["error"] == Value::Null);
    check(&host, &[good]);
}

#[test]
fn a_file_that_is_renamed_is_another_plugin() {
    let site = Site::new("[jobs.gong]\nplugin = 'gong'\ntrigger = 'every 200ms'\n");
    site.plugin("noop", "bell");
    let host = site.start();
    host.item("the plugin", "/v1/plugins", |plugin| plugin["name"] == "bell");
    let file = |name: &str| site.path(&format!("plugins/{name}.wasm"));
    std::fs::rename(file("bell"), file("gong")).unwrap();
    host.item("a run", "/v1/runs?job=gong&state=done", |run| run["outcome"] == "succeeded");
    eventually("the old name to be gone", || {
        host.items("/v1/plugins").iter().all(|plugin| plugin["name"] == "gong").then_some(())
    });
}
