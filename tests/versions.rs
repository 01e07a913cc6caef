//! Versions of a plugin: going back, pinning, trying, holding, and the way back that nobody asks for.

use std::collections::BTreeMap;

use campanile::engine::plugin::Digest;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};

const TICK: &str = "[jobs.tick]\nplugin = 'bell'\ntrigger = 'every 200ms'\nargs = { work_ms = 0 }\n\
    coalesce = 'all'\nmax_instances = 1000\nhistory = { keep = 1000 }\n";

fn digest_of(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// So many versions of a plugin whose runs end well.
fn good(count: u32) -> Vec<Vec<u8>> {
    (1..=count).map(|number| guests::version(&guests::bytes("noop"), number)).collect()
}

/// One whose runs fail: its job lacks what it needs.
fn sour(number: u32) -> Vec<u8> {
    guests::version(&guests::bytes("effect"), number)
}

fn bell(host: &Host) -> Value {
    host.get("/v1/plugins/bell").1
}

fn runs(host: &Host, digest: &str) -> Vec<Value> {
    let all = host.items("/v1/runs?job=tick&state=done&limit=1000");
    all.into_iter().filter(|run| run["digest"] == *digest).collect()
}

fn until_it_runs(host: &Host, bytes: &[u8]) {
    let digest = digest_of(bytes);
    eventually("the version", || (bell(host)["digest"] == *digest).then_some(()));
    eventually("a run of it", || (!runs(host, &digest).is_empty()).then_some(()));
}

fn command(host: &Host, args: &[&str]) -> String {
    let output = host.cli(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

#[test]
fn going_back_is_one_command_and_stays_over_a_restart() {
    let site = Site::new(TICK);
    let all = good(3);
    site.plugin_bytes(&all[0], "bell");
    let host = site.start();
    for version in &all[1..] {
        site.plugin_bytes(version, "bell");
        until_it_runs(&host, version);
    }
    let said = command(&host, &["plugins", "rollback", "bell"]);
    assert!(said.contains("plugin bell runs sha256:"), "{said}");
    until_it_runs(&host, &all[1]);
    let shown = bell(&host);
    let states: Vec<_> =
        shown["versions"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, [&json!("kept"), &json!("running"), &json!("kept")], "{shown}");
    let note = shown["versions"][0]["note"].as_str().unwrap();
    assert!(note.starts_with("rolled back by hand at "), "{note}");
    assert!(host.terminate().0.success());

    let host = site.start();
    assert_eq!(bell(&host)["digest"], *digest_of(&all[1]), "the newer file lies there still");
    let oldest = digest_of(&all[0]);
    command(&host, &["plugins", "rollback", "bell", &oldest["sha256:".len()..][..8]]);
    until_it_runs(&host, &all[0]);
    let (status, problem) = host.post("/v1/plugins/bell/rollback", &json!({}));
    assert_eq!((status, &problem["code"]), (409, &json!("not_that_version")), "{problem}");
    let (status, problem) = host.post("/v1/plugins/bell/rollback", &json!({"digest": "00000000"}));
    assert!(
        status == 409 && problem["detail"].as_str().unwrap().contains("there are"),
        "{problem}"
    );
    assert_eq!(host.post("/v1/plugins/bel/rollback", &json!({})).0, 404);
    // What comes later counts again.
    let next = guests::version(&guests::bytes("noop"), 9);
    site.plugin_bytes(&next, "bell");
    until_it_runs(&host, &next);
    for run in host.items("/v1/runs?job=tick&state=done&limit=1000") {
        assert_eq!(run["outcome"], "succeeded", "{run}");
    }
}

#[test]
fn a_pinned_version_runs_whatever_comes_until_it_is_unpinned() {
    let site = Site::new(&format!("{TICK}[reload]\nkeep_versions = 2\n"));
    let all = good(5);
    site.plugin_bytes(&all[0], "bell");
    let host = site.start();
    command(&host, &["plugins", "pin", "bell"]);
    for version in &all[1..] {
        site.plugin_bytes(version, "bell");
        let digest = digest_of(version);
        eventually("it to be known", || {
            let versions = bell(&host)["versions"].clone();
            versions.as_array()?.iter().any(|it| it["digest"] == *digest).then_some(())
        });
    }
    assert_eq!(bell(&host)["digest"], *digest_of(&all[0]));
    assert_eq!(bell(&host)["versions"].as_array().unwrap().len(), 3, "two, and the pinned one");
    assert!(host.terminate().0.success());
    let host = site.start();
    assert_eq!(bell(&host)["digest"], *digest_of(&all[0]), "the file is another one");
    let shown = String::from_utf8(host.cli(&["plugins", "show", "bell"]).stdout).unwrap();
    assert!(shown.contains("pinned"), "{shown}");
    command(&host, &["plugins", "unpin", "bell"]);
    until_it_runs(&host, &all[4]);
}

#[test]
fn a_share_of_the_runs_is_given_to_a_version_that_is_tried() {
    let site = Site::new(TICK);
    let all = good(2);
    site.plugin_bytes(&all[0], "bell");
    let host = site.start();
    command(&host, &["plugins", "pin", "bell"]);
    site.plugin_bytes(&all[1], "bell");
    let new = digest_of(&all[1]);
    let trying = ["plugins", "canary", "bell", &new, "--share", "50%"];
    eventually("it to be known", || host.cli(&trying).status.success().then_some(()));
    assert_eq!(bell(&host)["canary"], json!({"digest": new, "share": "50%"}));
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(host.post("/v1/jobs/tick/run", &json!({})).1["id"].as_str().unwrap().to_owned());
    }
    let mut given: BTreeMap<String, usize> = BTreeMap::new();
    for id in ids {
        let run = host.get(&format!("/v1/runs/{id}?wait=30s")).1;
        assert_eq!(run["outcome"], "succeeded", "{run}");
        *given.entry(run["digest"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    // Of 60 runs each gets 10 at least but once in 10^8.
    assert!(given[&new] >= 10 && given[&digest_of(&all[0])] >= 10, "{given:?}");
    command(&host, &["plugins", "canary", "bell", &new, "--share", "0%"]);
    assert_eq!(bell(&host)["canary"], Value::Null);
    let (status, problem) = host.post("/v1/plugins/bell/canary", &json!({"share": "200%"}));
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (422, 2), "{problem}");
}

#[test]
fn a_version_whose_first_runs_fail_is_gone_back_from_if_the_one_before_was_better() {
    let site = Site::new(TICK);
    let (old, new) = (good(1).remove(0), sour(1));
    site.plugin_bytes(&old, "bell");
    let host = site.start();
    until_it_runs(&host, &old);
    site.plugin_bytes(&new, "bell");
    host.says("its first 3 runs failed and those of the version before did not: that one is back");
    eventually("the version before", || (bell(&host)["digest"] == *digest_of(&old)).then_some(()));
    let failed = runs(&host, &digest_of(&new)).len();
    assert!(failed >= 3, "{failed}");
    let versions = bell(&host)["versions"].clone();
    let note = versions[0]["note"].as_str().unwrap();
    assert!(note.starts_with("rolled back by itself at "), "{note}");
    let before = runs(&host, &digest_of(&old)).len();
    eventually("more good runs", || {
        (runs(&host, &digest_of(&old)).len() > before + 5).then_some(())
    });
    assert!(runs(&host, &digest_of(&old)).iter().all(|run| run["outcome"] == "succeeded"));
    assert!(host.terminate().0.success());
    let host = site.start();
    assert_eq!(bell(&host)["digest"], *digest_of(&old), "the sour file lies there still");
}

#[test]
fn a_version_that_is_no_worse_than_the_one_before_stays() {
    let site = Site::new(TICK);
    let (old, new) = (sour(1), sour(2));
    site.plugin_bytes(&old, "bell");
    let host = site.start();
    until_it_runs(&host, &old);
    site.plugin_bytes(&new, "bell");
    host.says("the version before did no better");
    assert_eq!(bell(&host)["digest"], *digest_of(&new));
}

const TENANT: &str = "[tenants.acme]\n";
const SIDECAR: &str = "[jobs.tick]\ntrigger = 'every 200ms'\nargs = { work_ms = 0 }\n\
    config = { collector = '127.0.0.1:9' }\n";

fn of_acme(host: &Host) -> Value {
    host.get("/v1/plugins/bell?tenant=acme").1
}

/// A tenant's site whose plugin is `bytes`.
fn tenants_site(bytes: &[u8]) -> Site {
    let site = Site::new(TENANT);
    std::fs::create_dir(site.path("plugins/acme")).unwrap();
    std::fs::write(site.path("plugins/acme/bell.toml"), SIDECAR).unwrap();
    site.plugin_bytes(bytes, "acme/bell");
    site
}

#[test]
fn a_tenants_version_that_wants_more_waits_for_approval() {
    let (old, new) = (guests::core_bytes("noop"), sour(1));
    let site = tenants_site(&old);
    let host = site.start();
    site.plugin_bytes(&new, "acme/bell");
    host.says("it is held until somebody approves it");
    let plugin = of_acme(&host);
    assert_eq!((&plugin["state"], &plugin["digest"]), (&json!("active"), &json!(digest_of(&old))));
    assert_eq!(plugin["held"]["digest"], *digest_of(&new), "{plugin}");
    let wanted = plugin["held"]["new"].as_array().unwrap();
    assert!(wanted.contains(&json!("sockets")), "{plugin}");
    let listed = host.cli(&["plugins", "ls", "--tenant", "acme"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("new version held") && listed.contains("approve bell"), "{listed}");
    let (status, problem) =
        host.post("/v1/plugins/bell/pin?tenant=acme", &json!({"digest": digest_of(&new)}));
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("held"), "{problem}");
    command(&host, &["plugins", "approve", "bell", "--tenant", "acme"]);
    assert_eq!(of_acme(&host)["digest"], *digest_of(&new));
    let (status, problem) = host.post("/v1/plugins/bell/approve?tenant=acme", &json!({}));
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("no version is held"));
}

#[test]
fn one_with_an_interpreter_is_held_for_what_it_reaches_for_when_it_runs() {
    let old = guests::interpreter(&guests::bytes("noop"));
    let new = guests::interpreter(&guests::bytes("effect"));
    let site = tenants_site(&old);
    let host = site.start();
    host.item("a run", "/v1/runs?tenant=acme&state=done", |run| run["digest"] == digest_of(&old));
    site.plugin_bytes(&new, "acme/bell");
    host.says("reached for sockets when it ran, which the version before did not");
    eventually("the version before", || {
        (of_acme(&host)["digest"] == *digest_of(&old)).then_some(())
    });
    let held = of_acme(&host)["held"].clone();
    assert_eq!(held, json!({"digest": digest_of(&new), "new": ["sockets"], "ran": true}));
    command(&host, &["plugins", "approve", "bell", "--tenant", "acme"]);
    assert_eq!(of_acme(&host)["digest"], *digest_of(&new));
}

#[test]
fn a_version_that_fails_its_smoke_run_does_not_take_the_place_of_the_one_before() {
    let site = Site::new(&format!("{TICK}smoke = true\n"));
    let (old, new) = (good(1).remove(0), sour(1));
    site.plugin_bytes(&old, "bell");
    let host = site.start();
    until_it_runs(&host, &old);
    site.plugin_bytes(&new, "bell");
    host.says("the new version is refused: its smoke run of job `tick` ended as `failed`");
    let plugin = bell(&host);
    assert_eq!((&plugin["state"], &plugin["digest"]), (&json!("active"), &json!(digest_of(&old))));
    assert_eq!(runs(&host, &digest_of(&new)), [] as [Value; 0], "a smoke run is no run of the job");
    let (status, problem) = host.put_bytes(
        "/v1/plugins/bell",
        &guests::version(&new, 2),
        &[("content-type", "application/wasm")],
    );
    assert!(
        status == 422 && problem["detail"].as_str().unwrap().contains("smoke run"),
        "{problem}"
    );
    // With other arguments it would do.
    let body = json!({"id": "x", "plugin": "bell", "smoke": true});
    let (status, problem) = host.post("/v1/jobs", &body);
    assert!(status == 422 && problem["detail"].as_str().unwrap().contains("stands in files only"));
}
