//! Tenants of other names: each has a folder of plugins, and jobs and runs that nobody else sees.

use serde_json::{Value, json};

use crate::support::host::Site;

const TENANTS: &str = "[tenants.acme]\n[tenants.zeta]\n";

#[test]
fn what_lies_in_a_tenants_folder_is_that_tenants() {
    let site = Site::new(TENANTS);
    std::fs::create_dir(site.path("plugins/acme")).unwrap();
    site.plugin("noop", "shared");
    site.plugin("noop", "acme/bell");
    let sidecar = "[jobs.tick]\nhandler = 'run'\ntrigger = 'every 1s'\n";
    std::fs::write(site.path("plugins/acme/bell.toml"), sidecar).unwrap();
    let host = site.start();
    host.says("acme/bell");
    let run = host.item("a run", "/v1/runs?tenant=acme&state=done", |run| run["job"] == "tick");
    assert_eq!((&run["tenant"], &run["outcome"]), (&json!("acme"), &json!("succeeded")), "{run}");
    let names = |path: &str| {
        let all = host.items(path);
        all.iter().map(|item| item["name"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(names("/v1/plugins?tenant=acme"), [json!("bell")]);
    assert_eq!(names("/v1/plugins"), [json!("shared")]);
    assert_eq!(names("/v1/plugins?tenant=zeta"), [] as [Value; 0]);
    for path in ["/v1/jobs", "/v1/jobs?tenant=zeta", "/v1/runs", "/v1/runs?tenant=zeta"] {
        assert_eq!(host.items(path), [] as [Value; 0], "{path}");
    }
    let run = run["id"].as_str().unwrap();
    for (path, status) in [
        ("/v1/jobs/tick?tenant=acme".to_owned(), 200),
        ("/v1/jobs/tick".to_owned(), 404),
        ("/v1/jobs/tick?tenant=zeta".to_owned(), 404),
        (format!("/v1/runs/{run}?tenant=acme"), 200),
        (format!("/v1/runs/{run}"), 404),
        (format!("/v1/runs/{run}/logs?tenant=zeta"), 404),
        ("/v1/jobs?tenant=nobody".to_owned(), 404),
    ] {
        assert_eq!(host.get(&path).0, status, "{path}");
    }
    assert!(host.terminate().0.success());
}

#[test]
fn a_job_made_over_rest_uses_its_tenants_plugin_and_nobody_elses() {
    let site = Site::new(TENANTS);
    std::fs::create_dir(site.path("plugins/acme")).unwrap();
    site.plugin("noop", "acme/bell");
    let host = site.start();
    let job = json!({"id": "x", "plugin": "bell"});
    for (tenant, reason) in [("acme", "manual"), ("zeta", "no_plugin")] {
        let (status, made) = host.post(&format!("/v1/jobs?tenant={tenant}"), &job);
        assert_eq!(status, 201, "{made}");
        let (status, run) = host.post(&format!("/v1/jobs/x/run?tenant={tenant}"), &json!({}));
        assert_eq!(status, 202, "{run}");
        host.item("the run", &format!("/v1/runs?tenant={tenant}"), |run| {
            run["reason"] == reason && (run["outcome"] == "succeeded") == (reason == "manual")
        });
    }
}
