//! What a tenant may have of things that stay: one too many is refused, in words that say which quota,
//! and another tenant is told nothing of it.

use serde_json::{Value, json};

use crate::support::host::{Host, Site};
use crate::support::{eventually, guests};

/// What a plugin is sent as.
const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

/// One quota as `GET /v1/tenants/{t}` shows it.
fn quota(host: &Host, tenant: &str, key: &str) -> Value {
    let (status, shown) = host.get(&format!("/v1/tenants/{tenant}"));
    assert_eq!(status, 200, "{shown}");
    let quotas = shown["quota"].as_array().unwrap().clone();
    quotas.into_iter().find(|quota| quota["key"] == key).unwrap()
}

fn refused(answer: &(u16, Value), key: &str) {
    let (status, problem) = answer;
    assert_eq!((*status, &problem["code"]), (409, &json!("quota")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(key), "{problem}");
}

#[test]
fn jobs_and_waiting_runs_are_refused_one_over_and_welcome_again_when_there_are_fewer() {
    let site = Site::new(
        "[tenants.acme]\nquota = { jobs = 3, queued = 2 }\n[tenants.zeta]\n\
         [tenants.acme.jobs.own]\nplugin = 'bell'\n",
    );
    let host = site.start();
    let job = |name: &str| json!({ "id": name, "plugin": "bell" });
    for name in ["a", "b"] {
        assert_eq!(host.post("/v1/jobs?tenant=acme", &job(name)).0, 201);
    }
    refused(&host.post("/v1/jobs?tenant=acme", &job("c")), "jobs");
    refused(&host.send("PUT", "/v1/jobs/c?tenant=acme", &job("c")), "jobs");
    assert_eq!(host.send("PUT", "/v1/jobs/b?tenant=acme", &job("b")).0, 200);
    assert_eq!(host.get("/v1/jobs/c?tenant=acme").0, 404);
    assert_eq!(quota(&host, "acme", "jobs")["used"], 3);
    let said = host.cli(&["tenants", "show", "acme"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("jobs    3 of 3"), "{said}");

    // Nobody has the plugin, so that runs wait.
    let run = |job: &str, tenant: &str| {
        host.post(&format!("/v1/jobs/{job}/run?tenant={tenant}"), &json!({}))
    };
    assert_eq!((run("a", "acme").0, run("b", "acme").0), (202, 202));
    refused(&run("own", "acme"), "queued");
    let enqueued = host.post("/v1/runs?tenant=acme", &json!({ "job": "a" }));
    refused(&enqueued, "queued");
    let said = host.cli(&["trigger", "a", "--tenant", "acme"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("queued"), "{said:?}");
    assert_eq!(quota(&host, "acme", "queued")["used"], 2);
    assert_eq!(host.post("/v1/jobs?tenant=zeta", &job("c")).0, 201);
    for _ in 0..3 {
        assert_eq!(run("c", "zeta").0, 202, "it is another tenant's quota");
    }

    assert_eq!(host.send("DELETE", "/v1/jobs/b?tenant=acme", &Value::Null).0, 204);
    assert_eq!(host.post("/v1/jobs?tenant=acme", &job("c")).0, 201);
    // With the plugin the first goes on, and there is room in the queue.
    site.plugin("noop", "acme/bell");
    eventually("the queue to be empty", || {
        (quota(&host, "acme", "queued")["used"] == 0).then_some(())
    });
    assert_eq!(run("a", "acme").0, 202);
}

#[test]
fn a_plugin_over_the_quota_is_refused_over_rest_and_in_the_folder() {
    let bytes = guests::bytes("noop");
    let size = bytes.len();
    let site = Site::new(&format!(
        "[tenants.acme]\nquota = {{ plugins = 2, plugin_bytes = {} }}\n[tenants.zeta]\n",
        3 * size + 100
    ));
    let host = site.start();
    let put = |name: &str, bytes: &[u8]| {
        host.put_bytes(&format!("/v1/plugins/{name}?tenant=acme"), bytes, &WASM)
    };
    assert_eq!(put("a", &bytes).0, 201);
    site.plugin("noop", "acme/b");
    host.item("the plugin", "/v1/plugins?tenant=acme", |plugin| plugin["name"] == "b");
    refused(&put("c", &bytes), "plugins");
    site.plugin("noop", "acme/d");
    let seen = host.item("the refusal", "/v1/plugins?tenant=acme", |plugin| plugin["name"] == "d");
    assert_eq!(seen["state"], "refused", "{seen}");
    assert!(seen["error"].as_str().unwrap().contains("quota.plugins"), "{seen}");
    assert_eq!(quota(&host, "acme", "plugins")["used"], 2);
    // Versions that are kept to go back to count too.
    assert_eq!(put("a", &guests::version(&bytes, 1)).0, 200);
    refused(&put("a", &guests::version(&bytes, 2)), "plugin_bytes");
    let (_, a) = host.get("/v1/plugins/a?tenant=acme");
    assert_eq!(a["state"], "active", "what ran runs on: {a}");
    // Whoever removes one makes room.
    std::fs::remove_file(site.path("plugins/acme/b.wasm")).unwrap();
    assert_eq!(host.put_bytes("/v1/plugins/c?tenant=zeta", &bytes, &WASM).0, 201);
    assert_eq!(host.send("DELETE", "/v1/plugins/a?tenant=acme", &Value::Null).0, 204);
    eventually("room for another", || (put("c", &bytes).0 == 201).then_some(()));
}

#[test]
fn a_version_that_is_kept_beyond_so_many_counts_too() {
    let bytes = guests::bytes("noop");
    let config = |reload: &str| {
        format!("quota = {{ plugin_bytes = {} }}\nreload = {{ {reload} }}\n", bytes.len() + 100)
    };
    let site = Site::new(&format!(
        "[tenants.acme]\n{}[tenants.zeta]\n{}",
        config("keep_versions = 1"),
        config("keep_versions = 1, auto_rollback = 0")
    ));
    let host = site.start();
    let put = |tenant: &str, bytes: &[u8]| {
        host.put_bytes(&format!("/v1/plugins/a?tenant={tenant}"), bytes, &WASM)
    };
    for tenant in ["acme", "zeta"] {
        assert_eq!(put(tenant, &bytes).0, 201);
    }
    let next = guests::version(&bytes, 1);
    // It would stay to go back to while the new one is on trial.
    refused(&put("acme", &next), "plugin_bytes");
    assert_eq!(put("zeta", &next).0, 200);
}

#[test]
fn keys_and_values_of_all_jobs_of_a_tenant_share_its_storage() {
    let grant = "plugin = 'behave'\nhandler = 'kv'\ncapabilities = { kv = true }\n";
    let site = Site::new(&format!(
        "[tenants.acme]\nquota = {{ storage = '4KiB' }}\n\
         [tenants.acme.jobs.a]\n{grant}[tenants.acme.jobs.b]\n{grant}\
         [tenants.zeta.jobs.a]\n{grant}"
    ));
    for tenant in ["acme", "zeta"] {
        site.plugin("behave", &format!("{tenant}/behave"));
    }
    let host = site.start();
    let set = |tenant: &str, job: &str, bytes: usize| {
        let args = json!({ "args": { "key": "k", "value": "x".repeat(bytes) } });
        let (status, run) = host.post(&format!("/v1/jobs/{job}/run?tenant={tenant}"), &args);
        assert_eq!(status, 202, "{run}");
        let id = run["id"].as_str().unwrap().to_owned();
        eventually("the run's end", || {
            let (_, run) = host.get(&format!("/v1/runs/{id}?tenant={tenant}&wait=30s"));
            (run["state"] == "done").then_some(run)
        })
    };
    assert_eq!(set("acme", "a", 2_500)["outcome"], "succeeded");
    let over = set("acme", "b", 2_500);
    let said = format!("{}{}", over["result"], over["error"]);
    assert!(said.contains("quota.storage"), "{over}");
    assert_eq!(set("zeta", "a", 5_000)["outcome"], "succeeded");
    assert_eq!(set("acme", "b", 500)["outcome"], "succeeded");
    let used = quota(&host, "acme", "storage")["used"].as_u64().unwrap();
    assert!((3_000..=4_096).contains(&used), "{used}");
    // A smaller value makes room for others.
    assert_eq!(set("acme", "a", 10)["outcome"], "succeeded");
    let after = set("acme", "b", 2_500);
    assert!(!format!("{}{}", after["result"], after["error"]).contains("quota"), "{after}");
}

#[test]
fn what_a_file_declares_over_the_quota_is_told_and_the_rest_goes_on() {
    let site = Site::new("[tenants.acme]\nquota = { jobs = 1 }\n");
    site.plugin("noop", "acme/bell");
    let beside = "[jobs.a]\nhandler = 'run'\n[jobs.b]\nhandler = 'run'\n";
    std::fs::write(site.path("plugins/acme/bell.toml"), beside).unwrap();
    let host = site.start();
    host.says("`quota.jobs` = 1");
    assert_eq!(host.items("/v1/jobs?tenant=acme").len(), 1);
    site.configure("[tenants.acme]\nquota = { jobs = 2 }\n");
    eventually("both jobs", || (host.items("/v1/jobs?tenant=acme").len() == 2).then_some(()));
}
