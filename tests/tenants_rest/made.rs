//! What makes a tenant, who may, and when it counts.

use serde_json::{Value, json};

use super::{gone, names, put, put_job, put_plugin, remove, run};
use crate::access::wire::Wire;
use crate::support::eventually;
use crate::support::host::Site;
use crate::support::redis::Redis;

#[test]
fn a_tenant_is_made_changed_and_used_while_the_host_runs_and_is_there_after_a_restart() {
    let site = Site::new("[tenants.filed]\n");
    site.plugin("noop", "acme/beside");
    std::fs::write(site.path("plugins/acme/beside.toml"), "[jobs.tick]\ntrigger = 'every 1h'\n")
        .unwrap();
    let host = site.start();
    assert_eq!(names(&host), ["default", "filed"]);
    assert_eq!(host.get("/v1/jobs?tenant=acme").0, 404);

    let keys = json!({"caps": {"timeout": "1m"}, "allow": {"kv": true}});
    let (status, made) = put(&host, "acme", &keys);
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["source"], &made["state"], &made["caps"]["timeout"], &made["allow"]["kv"]),
        (&json!("api"), &json!("active"), &json!("1m"), &json!(true)),
        "{made}"
    );
    assert_eq!(host.get("/v1/tenants/filed").1["source"], "file");
    assert_eq!(names(&host), ["acme", "default", "filed"]);
    // What lay in its folder before counts.
    host.item("the job beside its plugin", "/v1/jobs?tenant=acme", |job| job["id"] == "tick");
    assert_eq!(run(&host, "acme", "tick")["outcome"], "succeeded");
    put_plugin(&host, "acme", "noop", "bell");
    let job = json!({"plugin": "bell", "limits": {"timeout": "2m"}});
    let (status, job) = host.send("PUT", "/v1/jobs/ring?tenant=acme", &job);
    assert_eq!((status, &job["effective"]["limits"]["timeout"]), (201, &json!("1m")), "{job}");
    assert_eq!(run(&host, "acme", "ring")["outcome"], "succeeded");

    let (status, same) = put(&host, "acme", &keys);
    assert_eq!((status, &same["caps"]), (200, &made["caps"]));
    let (status, changed) = put(&host, "acme", &json!({"caps": {"timeout": "30s"}}));
    assert_eq!((status, &changed["caps"]["timeout"]), (200, &json!("30s")), "{changed}");
    assert_eq!(changed["allow"]["kv"], json!(false), "what is left out is none: {changed}");

    assert!(host.terminate().0.success());
    // Without a host the store tells the same.
    let shown = site.cli(&["tenants", "show", "acme", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["source"], &shown["caps"]), (&json!("api"), &changed["caps"]));
    let plan = site.cli(&["plan", "--json"]);
    assert!(plan.status.success(), "{plan:?}");
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(!plan.contains("acme"), "its job stays as it is: {plan}");
    let host = site.start();
    assert_eq!(names(&host), ["acme", "default", "filed"]);
    assert_eq!(run(&host, "acme", "ring")["outcome"], "succeeded");
    assert_eq!(run(&host, "acme", "tick")["outcome"], "succeeded");
}

#[test]
fn a_tenant_that_is_made_over_rest_has_quotas_and_they_count_at_once() {
    let site = Site::new("");
    let host = site.start();
    assert_eq!(put(&host, "acme", &json!({"quota": {"jobs": 1, "queued": 1}, "weight": 3})).0, 201);
    let job = json!({"plugin": "nowhere"});
    put_job(&host, "acme", "one", &job);
    let (status, problem) = host.send("PUT", "/v1/jobs/two?tenant=acme", &job);
    assert_eq!((status, &problem["code"]), (409, &json!("quota")), "{problem}");
    assert_eq!(host.post("/v1/jobs/one/run?tenant=acme", &json!({})).0, 202);
    let (status, problem) = host.post("/v1/jobs/one/run?tenant=acme", &json!({}));
    assert_eq!((status, &problem["code"]), (409, &json!("quota")), "{problem}");
    assert_eq!(put(&host, "acme", &json!({"quota": {"jobs": 2}})).0, 200);
    put_job(&host, "acme", "two", &job);
    remove(&host, "acme", "0s");
    gone(&host, "acme");
}

#[test]
fn what_is_wrong_with_a_tenant_is_told_at_once_and_changes_nothing() {
    let site = Site::new("[tenants.filed]\n[tenants.zeta]\nplugins_dir = 'shared'\n");
    let host = site.start();
    let (status, problem) = put(
        &host,
        "acme",
        &json!({"caps": {"timeout": 7, "tiemout": "1m"}, "jobs": {"x": {"plugin": "p"}},
            "job_defaults": {"priority": 99}, "alow": {}}),
    );
    assert_eq!((status, &problem["code"]), (422, &json!("invalid")), "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    for (path, message) in [
        ("caps.timeout", ""),
        ("caps.tiemout", "did you mean `timeout`?"),
        ("jobs", "PUT /v1/jobs/{id}?tenant=X"),
        ("job_defaults.priority", ""),
        ("alow", "did you mean `allow`?"),
    ] {
        let has = |error: &Value| {
            error["path"] == path && error["message"].as_str().unwrap().contains(message)
        };
        assert!(errors.iter().any(has), "{path}: {message} in {problem}");
    }
    assert_eq!(errors.len(), 5, "{problem}");
    for (path, keys) in [
        ("allow.dirs", json!({"allow": {"dirs": ["/etc"]}})),
        ("allow.env", json!({"allow": {"env": ["HOME"]}})),
        ("allow.secrets", json!({"allow": {"secrets": ["X"]}})),
        ("secrets", json!({"secrets": {"X": {"file": "/etc/passwd"}}})),
        ("plugins_dir", json!({"plugins_dir": "theirs"})),
        ("reload.require_signature", json!({"reload": {"require_signature": false}})),
    ] {
        let (status, problem) = put(&host, "acme", &keys);
        assert_eq!((status, &problem["errors"][0]["path"]), (422, &json!(path)), "{problem}");
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains("without a token"), "{message}");
    }
    assert_eq!(put(&host, "acme", &json!({"allow": {"dirs": []}, "plugins_dir": null})).0, 422);
    for (name, status, code) in [
        ("filed", 409, "managed_by_file"),
        ("default", 409, "managed_by_file"),
        ("Acme", 422, "invalid"),
    ] {
        let (found, problem) = put(&host, name, &json!({}));
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    assert_eq!(names(&host), ["default", "filed", "zeta"]);
}

/// A site on this store, with tokens, and an admin's token.
fn site_with_tokens(store: &str) -> (Site, String) {
    let site = Site::new("");
    let config = format!("{store}\n[tenants.filed]\n");
    site.configure_api(&config, "tokens = \"tokens.toml\"");
    let token = token(&site, &["--role", "admin", "--id", "root"]);
    (site, token)
}

fn token(site: &Site, args: &[&str]) -> String {
    let made = site.cli(&[&["token", "create"], args].concat());
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[test]
fn only_an_admin_of_the_host_makes_tenants_and_those_may_grant_what_files_may() {
    let (site, admin) = site_with_tokens("");
    let others = [("viewer", None, 403), ("operator", None, 403), ("admin", Some("filed"), 404)];
    let others = others.map(|(role, tenant, status)| {
        let mut args = vec!["--role", role];
        args.extend(tenant.into_iter().flat_map(|tenant| ["--tenant", tenant]));
        (token(&site, &args), status)
    });
    let host = site.start();
    let wire = Wire::to(&host);
    let keys = json!({"allow": {"dirs": ["data"], "env": ["LANG"], "secrets": ["KEY"]},
        "secrets": {"KEY": {"file": "key"}}, "plugins_dir": "theirs/acme"});
    for (token, status) in &others {
        let refused = wire.with(token).send("PUT", "/v1/tenants/acme", &keys);
        assert_eq!(refused.status, *status, "{refused:?}");
    }
    let admin = wire.with(&admin);
    for dir in ["/srv", "..", ".", "a/../..", "outside/x"] {
        if dir == "outside/x" {
            std::os::unix::fs::symlink("/tmp", site.path("outside")).unwrap();
        }
        let refused = admin.send("PUT", "/v1/tenants/acme", &json!({"plugins_dir": dir}));
        assert_eq!((refused.status, refused.code()), (422, "invalid"), "{dir}: {refused:?}");
        assert_eq!(refused.body["errors"][0]["path"], "plugins_dir", "{dir}");
    }
    let refused = admin.send("PUT", "/v1/tenants/acme", &json!({"plugins_dir": "plugins/filed"}));
    assert!(refused.detail().contains("is the folder of the tenant `filed`"), "{refused:?}");
    let made = admin.send("PUT", "/v1/tenants/acme", &keys);
    assert_eq!((made.status, &made.body["secrets"]), (201, &json!(["KEY"])), "{made:?}");
    assert_eq!(made.body["plugins_dir"], "theirs/acme");
    let tag = made.header("etag").unwrap().to_owned();
    assert_eq!(admin.get("/v1/tenants/acme").header("etag"), Some(tag.as_str()));
    // Its own token finds it now, and may not change it.
    let own = wire.with(&token(&site, &["--role", "admin", "--tenant", "acme"]));
    host.says("the file of tokens was read again");
    assert_eq!(own.get("/v1/tenants/acme").status, 200);
    assert_eq!(own.send("PUT", "/v1/tenants/acme", &keys).status, 404);
    let foreign = wire.with(&others[2].0);
    assert_eq!(foreign.get("/v1/tenants/acme").status, 404);
    let audit = admin.get("/v1/audit?action=tenant.changed");
    let lines = audit.body["items"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{audit:?}");
    let told = (&lines[0]["who"], &lines[0]["target"], &lines[0]["before"], &lines[0]["after"]);
    assert_eq!(told, (&json!("token root"), &json!("acme"), &Value::Null, &keys));
}

#[test]
fn every_host_of_a_fleet_sees_a_tenant_come_and_change() {
    let redis = Redis::start();
    let store = format!("store = {{ url = \"{}\", ttl = \"2s\" }}\n", redis.url());
    let (one, two) = (Site::new(&store), Site::new(&store));
    let (one, other) = (one.start(), two.start());
    assert_eq!(put(&one, "acme", &json!({"caps": {"timeout": "1m"}})).0, 201);
    eventually("the other host", || (names(&other) == ["acme", "default"]).then_some(()));
    put_plugin(&one, "acme", "noop", "bell");
    let (status, job) = one.post("/v1/jobs?tenant=acme", &json!({"id": "x", "plugin": "bell"}));
    assert_eq!(status, 201, "{job}");
    other.item("its plugin", "/v1/plugins?tenant=acme", |plugin| plugin["state"] == "active");
    assert_eq!(run(&other, "acme", "x")["outcome"], "succeeded");
    assert_eq!(put(&other, "acme", &json!({"caps": {"timeout": "7s"}})).0, 200);
    eventually("the other keys", || {
        (one.get("/v1/tenants/acme").1["caps"]["timeout"] == "7s").then_some(())
    });
    // A file that names it counts more, and the host says so.
    two.configure(&format!("{store}[tenants.acme]\ncaps = {{ timeout = '9s' }}\n"));
    eventually("the file", || {
        let tenant = other.get("/v1/tenants/acme").1;
        (tenant["source"] == "file" && tenant["caps"]["timeout"] == "9s").then_some(())
    });
    other.says("`host.toml` names this tenant, and that counts");
    assert_eq!(put(&other, "acme", &json!({})).1["code"], "managed_by_file");
    two.configure(&store);
    eventually("REST again", || {
        (other.get("/v1/tenants/acme").1["caps"]["timeout"] == "7s").then_some(())
    });
}

#[test]
fn a_tenant_is_changed_and_removed_in_the_version_that_was_read_only() {
    let site = Site::new("");
    let host = site.start();
    assert_eq!(put(&host, "acme", &json!({})).0, 201);
    let url = format!("{}/v1/tenants/acme", host.url());
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let tag = |answer: &ureq::http::Response<ureq::Body>| {
        answer.headers().get("etag").unwrap().to_str().unwrap().to_owned()
    };
    let first = tag(&agent.get(&url).call().unwrap());
    let keys = json!({"caps": {"timeout": "1m"}});
    let write = |tag: &str| agent.put(&url).header("if-match", tag).send_json(&keys).unwrap();
    let done = write(&first);
    assert_eq!(done.status(), 200);
    let second = tag(&done);
    assert_ne!(first, second);
    assert_eq!(write(&first).status(), 412);
    let confirmed = format!("{url}?confirm=acme&drain=0s");
    let stale = agent.delete(&confirmed).header("if-match", &first).call().unwrap();
    assert_eq!(stale.status(), 412);
    let done = agent.delete(&confirmed).header("if-match", &second).call().unwrap();
    assert_eq!(done.status(), 202);
    gone(&host, "acme");
}
