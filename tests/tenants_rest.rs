//! Tenants that an admin makes, changes and removes while hosts run.

use serde_json::{Value, json};

use crate::access::wire::Wire;
use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

const WASM: &str = "application/wasm";

/// Makes a tenant, or gives it other keys.
fn put(host: &Host, name: &str, keys: &Value) -> (u16, Value) {
    host.send("PUT", &format!("/v1/tenants/{name}"), keys)
}

/// The names of the tenants that a host has.
fn names(host: &Host) -> Vec<String> {
    host.items("/v1/tenants").iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

/// Puts a guest under a name of a tenant.
fn put_plugin(host: &Host, tenant: &str, guest: &str, name: &str) {
    let path = format!("/v1/plugins/{name}?tenant={tenant}");
    let (status, plugin) = host.put_bytes(&path, &guests::bytes(guest), &[("content-type", WASM)]);
    assert_eq!(status, 201, "{plugin}");
}

/// Runs a job of a tenant to its end.
fn run(host: &Host, tenant: &str, job: &str) -> Value {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run?tenant={tenant}"), &json!({}));
    assert_eq!(status, 202, "{run}");
    let id = run["id"].as_str().unwrap();
    eventually("the run's end", || {
        let (_, run) = host.get(&format!("/v1/runs/{id}?tenant={tenant}&wait=30s"));
        (run["state"] == "done").then_some(run)
    })
}

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

/// Makes a job of a tenant over REST.
fn put_job(host: &Host, tenant: &str, id: &str, body: &Value) {
    let (status, job) = host.send("PUT", &format!("/v1/jobs/{id}?tenant={tenant}"), body);
    assert_eq!(status, 201, "{job}");
}

/// Asks for a tenant to be removed; answers what is shown of it.
fn remove(host: &Host, tenant: &str, drain: &str) -> Value {
    let path = format!("/v1/tenants/{tenant}?confirm={tenant}&drain={drain}");
    let (status, shown) = host.send("DELETE", &path, &Value::Null);
    assert_eq!(status, 202, "{shown}");
    assert_eq!(shown["state"], "draining", "{shown}");
    shown
}

fn gone(host: &Host, tenant: &str) {
    eventually("the tenant to be gone", || {
        (host.get(&format!("/v1/tenants/{tenant}")).0 == 404).then_some(())
    });
}

/// The records of a file by their kind, after its first line.
fn exported(site: &Site, name: &str) -> Vec<(String, Value)> {
    let path = site.path(&format!(".campanile/{name}"));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line.as_object().unwrap().clone().into_iter().next().unwrap()).collect()
}

#[test]
fn a_tenant_is_removed_after_all_of_it_is_on_disk_and_comes_back_from_there() {
    let site = Site::new("[tenants.filed]\n");
    let host = site.start();
    assert_eq!(put(&host, "acme", &json!({"allow": {"kv": true}})).0, 201);
    assert_eq!(put(&host, "zeta", &json!({"caps": {"timeout": "1m"}})).0, 201);
    for tenant in ["acme", "zeta"] {
        put_plugin(&host, tenant, "behave", "behave");
        let kv = json!({"kv": true});
        let counts = json!({"plugin": "behave", "handler": "kv", "trigger": "every 1h",
            "args": {"key": "k", "value": "v"}, "capabilities": kv});
        let counts =
            if tenant == "acme" { counts } else { json!({"plugin": "behave", "handler": "ok"}) };
        put_job(&host, tenant, "counts", &counts);
        run(&host, tenant, "counts");
        put_job(
            &host,
            tenant,
            "slow",
            &json!({"plugin": "behave", "handler": "sleep", "args": {"ms": 3_000}}),
        );
    }
    let (_, slow) = host.post("/v1/jobs/slow/run?tenant=acme", &json!({}));
    let slow = slow["id"].as_str().unwrap().to_owned();
    host.item("the slow run", "/v1/runs?tenant=acme", |run| run["state"] == "running");

    // What it would delete is told and nothing is done.
    let (status, told) = host.send("DELETE", "/v1/tenants/acme", &Value::Null);
    assert_eq!((status, &told["code"]), (409, &json!("confirm")), "{told}");
    for (path, message) in [
        ("jobs", "2 jobs"),
        ("live_runs", "1 live run"),
        ("runs", "1 run or verdict that is kept"),
        ("plugins", "1 plugin in 1 version of "),
        ("counters", " counters"),
    ] {
        let errors = told["errors"].as_array().unwrap();
        let part = errors.iter().find(|error| error["path"] == path).unwrap();
        assert!(part["message"].as_str().unwrap().contains(message), "{message}: {told}");
        assert!(told["detail"].as_str().unwrap().contains(message), "{message}: {told}");
    }
    assert_eq!(host.get("/v1/tenants/acme").1["state"], "active");
    for (path, status, code) in [
        ("/v1/tenants/acme?confirm=zeta", 422, "invalid"),
        ("/v1/tenants/acme?confirm=acme&drain=7", 422, "invalid"),
        ("/v1/tenants/filed?confirm=filed", 409, "managed_by_file"),
        ("/v1/tenants/default?confirm=default", 409, "managed_by_file"),
        ("/v1/tenants/nobody?confirm=nobody", 404, "no_such_tenant"),
    ] {
        let (found, problem) = host.send("DELETE", path, &Value::Null);
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{path}: {problem}");
    }

    let shown = remove(&host, "acme", "30s");
    let export = shown["removal"]["export"].as_str().unwrap().to_owned();
    assert!(export.starts_with("exports/acme-") && export.ends_with(".jsonl"), "{shown}");
    // Nothing new begins while the run goes on to its end.
    for (method, path) in [
        ("PUT", "/v1/tenants/acme"),
        ("PUT", "/v1/jobs/new?tenant=acme"),
        ("POST", "/v1/jobs/counts/run?tenant=acme"),
        ("POST", "/v1/jobs/counts/resume?tenant=acme"),
        ("POST", "/v1/runs?tenant=acme"),
    ] {
        let (status, problem) = host.send(method, path, &json!({"plugin": "behave"}));
        assert_eq!((status, &problem["code"]), (409, &json!("draining")), "{path}: {problem}");
    }
    let bytes = guests::bytes("noop");
    let (status, problem) =
        host.put_bytes("/v1/plugins/new?tenant=acme", &bytes, &[("content-type", WASM)]);
    assert_eq!((status, &problem["code"]), (409, &json!("draining")), "{problem}");
    host.item("its jobs to be parked", "/v1/jobs?tenant=acme", |job| job["reason"] == "draining");
    assert_eq!(host.get(&format!("/v1/runs/{slow}?tenant=acme")).1["state"], "running");
    gone(&host, "acme");

    let records = exported(&site, &export);
    let of = |kind: &str| -> Vec<&Value> {
        records.iter().filter(|(found, _)| found == kind).map(|(_, record)| record).collect()
    };
    let all: String = records.iter().map(|(_, record)| record.to_string()).collect();
    assert!(!all.contains("zeta") && !all.contains("filed"), "{all}");
    assert_eq!((of("job").len(), of("run").len()), (2, 2));
    assert!(of("job").iter().all(|job| job["parked"].is_null()), "{:?}", of("job"));
    let slow = of("run").into_iter().find(|it| it["run"]["id"] == json!(slow)).unwrap();
    assert_eq!(slow["run"]["outcome"], "succeeded", "it went on to its end: {slow}");
    assert!(!of("used").is_empty());

    // All that is named to it is not there.
    for path in ["jobs", "jobs/counts", "runs", "plugins", "plugins/behave", "audit", "events"] {
        assert_eq!(host.get(&format!("/v1/{path}?tenant=acme")).0, 404, "{path}");
    }
    assert_eq!(host.get("/v1/tenants/acme/usage").0, 200, "the bill is there");
    assert_eq!(host.get("/v1/tenants/nobody/usage").0, 404);
    assert!(!site.path(".campanile/versions/acme").exists());
    assert!(site.path(".campanile/versions/zeta").exists());
    assert_eq!(run(&host, "zeta", "counts")["state"], "done");
    assert_eq!(names(&host), ["default", "filed", "zeta"]);
    let audit = host.items("/v1/audit");
    let actions: Vec<&str> = audit.iter().map(|line| line["action"].as_str().unwrap()).collect();
    let done = ["tenant.removed", "tenant.draining", "tenant.changed", "tenant.changed"];
    let told: Vec<&&str> = actions.iter().filter(|action| action.starts_with("tenant.")).collect();
    assert_eq!(told, done.iter().collect::<Vec<_>>());
    assert_eq!(audit[0]["after"]["export"], json!(export), "{}", audit[0]);
    // The name is free.
    assert_eq!(put(&host, "acme", &json!({})).0, 201);
    assert_eq!(host.items("/v1/runs?tenant=acme"), [] as [Value; 0]);
    assert_eq!(host.items("/v1/plugins?tenant=acme"), [] as [Value; 0]);
    assert!(host.terminate().0.success());
    assert!(site.cli(&["store", "check"]).status.success());

    // In another store it is what it was, plugins too.
    let other = Site::new("");
    let file = site.path(&format!(".campanile/{export}"));
    let import = other.cli(&["store", "import", file.to_str().unwrap()]);
    assert!(import.status.success(), "{import:?}");
    let host = other.start();
    assert_eq!(names(&host), ["acme", "default"]);
    assert_eq!(host.get("/v1/tenants/acme").1["allow"]["kv"], true);
    assert_eq!(host.items("/v1/runs?tenant=acme").len(), 2);
    host.item("its plugin", "/v1/plugins?tenant=acme", |plugin| plugin["state"] == "active");
    assert_eq!(run(&host, "acme", "slow")["outcome"], "succeeded");
    let (_, job) = host.get("/v1/jobs/counts?tenant=acme");
    assert_eq!(
        (&job["state"], job["next_fire_time"].is_string()),
        (&json!("active"), true),
        "{job}"
    );
}

#[test]
fn a_removal_cancels_what_does_not_end_and_goes_on_after_a_crash() {
    let site = Site::new("");
    let host = site.start();
    assert_eq!(put(&host, "acme", &json!({})).0, 201);
    put_plugin(&host, "acme", "behave", "behave");
    let each_second = json!({"plugin": "behave", "handler": "ok", "trigger": "every 1s"});
    put_job(&host, "acme", "tick", &each_second);
    let endless = json!({"plugin": "behave", "handler": "sleep", "args": {"ms": 3_600_000},
        "limits": {"timeout": "2h"}});
    put_job(&host, "acme", "endless", &endless);
    host.item("a tick", "/v1/runs?tenant=acme", |run| run["job"] == "tick");
    host.post("/v1/jobs/endless/run?tenant=acme", &json!({}));
    host.item("a live run", "/v1/runs?tenant=acme", |run| run["state"] == "running");
    let shown = remove(&host, "acme", "4s");
    host.item("its job to be parked", "/v1/jobs?tenant=acme", |job| {
        job["id"] == "tick" && job["reason"] == "draining"
    });
    let export = shown["removal"]["export"].as_str().unwrap().to_owned();
    host.kill();
    assert!(!site.path(&format!(".campanile/{export}")).exists());

    let host = site.start();
    let shown = host.get("/v1/tenants/acme").1;
    assert_eq!(shown["state"], "draining", "{shown}");
    gone(&host, "acme");
    let records = exported(&site, &export);
    let runs: Vec<&Value> =
        records.iter().filter(|(kind, _)| kind == "run").map(|(_, run)| &run["run"]).collect();
    let endless = runs.iter().find(|run| run["job"] == "endless").unwrap();
    assert_eq!(endless["state"], "done", "{endless}");
    assert!(records.iter().all(|(kind, job)| kind != "job" || job["parked"].is_null()));
    assert_eq!(host.items("/v1/runs"), [] as [Value; 0]);
}

#[test]
fn what_a_tenant_left_behind_that_no_file_names_any_more_can_be_removed() {
    let site = Site::new("[tenants.acme.jobs.x]\nplugin = 'noop'\n");
    site.plugin("noop", "acme/noop");
    let host = site.start();
    assert_eq!(run(&host, "acme", "x")["outcome"], "succeeded");
    let (status, problem) = host.send("DELETE", "/v1/tenants/acme?confirm=acme", &Value::Null);
    assert_eq!((status, &problem["code"]), (409, &json!("managed_by_file")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("take it out of the file"), "{problem}");
    site.configure("");
    eventually("no such tenant", || (host.get("/v1/tenants/acme").0 == 404).then_some(()));
    let (status, told) = host.send("DELETE", "/v1/tenants/acme", &Value::Null);
    assert_eq!((status, &told["code"]), (409, &json!("confirm")), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("1 job, "), "{told}");
    let shown = remove(&host, "acme", "0s");
    gone(&host, "acme");
    let records = exported(&site, shown["removal"]["export"].as_str().unwrap());
    assert_eq!(records.iter().filter(|(kind, _)| kind == "run").count(), 1);
    assert!(site.path("plugins/acme/noop.wasm").exists(), "the folder is left as it is");
    let (status, problem) = host.send("DELETE", "/v1/tenants/acme", &Value::Null);
    assert_eq!((status, &problem["code"]), (404, &json!("no_such_tenant")), "{problem}");
}

/// The names of acme's documents.
fn kept(redis: &Redis) -> String {
    redis.ask(&[&["ZRANGEBYLEX", "{camp:0}:dk", "[acme", "(acme\u{1}"]])
}

#[test]
fn every_host_of_a_fleet_sees_a_tenant_drain_and_go_and_one_goes_on_for_another() {
    let redis = Redis::start();
    let store = format!("store = {{ url = \"{}\", ttl = \"2s\" }}\n", redis.url());
    let (sites, other) = (Site::new(&store), Site::new(&store));
    let (one, two) = (sites.start(), other.start());
    assert_eq!(put(&one, "acme", &json!({})).0, 201);
    put_plugin(&one, "acme", "noop", "bell");
    put_job(&one, "acme", "x", &json!({"plugin": "bell"}));
    eventually("the other host", || (names(&two) == ["acme", "default"]).then_some(()));
    two.item("its plugin", "/v1/plugins?tenant=acme", |plugin| plugin["state"] == "active");
    assert_eq!(run(&two, "acme", "x")["outcome"], "succeeded");
    assert!(kept(&redis).contains("bell"), "{}", kept(&redis));
    let shown = remove(&one, "acme", "0s");
    let first = shown["removal"]["export"].as_str().unwrap();
    // Before others have seen it, nothing is exported.
    one.kill();
    assert!(!sites.path(&format!(".campanile/{first}")).exists());
    eventually("a draining tenant", || {
        (two.get("/v1/tenants/acme").1["state"] == "draining").then_some(())
    });
    assert_eq!(two.post("/v1/jobs/x/run?tenant=acme", &json!({})).1["code"], "draining");
    two.says("goes on with the removal");
    gone(&two, "acme");
    assert!(exported(&other, first).iter().any(|(kind, _)| kind == "run"));
    assert!(!kept(&redis).contains("bell"), "{}", kept(&redis));
    let again = sites.start();
    assert_eq!(names(&again), ["default"]);
    assert!(!other.path(".campanile/versions/acme").exists());
}

#[test]
fn the_command_line_makes_exports_and_removes_a_tenant() {
    let site = Site::new("[tenants.filed]\n");
    let host = site.start();
    std::fs::write(site.path("acme.toml"), "caps = { timeout = '1m' }\n").unwrap();
    let file = site.path("acme.toml");
    let made = host.cli(&["tenants", "put", "acme", "--file", file.to_str().unwrap(), "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["source"], &made["caps"]["timeout"]), (&json!("api"), &json!("1m")));
    std::fs::write(site.path("wrong.json"), "{\"capz\": {}}").unwrap();
    let file = site.path("wrong.json");
    let wrong = host.cli(&["tenants", "put", "acme", "--file", file.to_str().unwrap()]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    assert!(said.contains("capz") && said.contains("did you mean `caps`?"), "{said}");
    put_plugin(&host, "acme", "noop", "bell");
    put_job(&host, "acme", "x", &json!({"plugin": "bell"}));
    run(&host, "acme", "x");

    // Beside the host, which goes on.
    let out = site.path("acme.jsonl");
    let export = site.cli(&["tenants", "export", "acme", "--to", out.to_str().unwrap(), "--json"]);
    let told: Value = serde_json::from_slice(&export.stdout).unwrap();
    assert_eq!(
        (&told["counts"]["jobs"], &told["counts"]["runs"]),
        (&json!(1), &json!(1)),
        "{told}"
    );
    let nobody = site.cli(&["tenants", "export", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert_eq!(host.get("/v1/tenants/acme").1["state"], "active");
    let other = Site::new("");
    assert!(other.cli(&["store", "import", out.to_str().unwrap()]).status.success());
    let second = other.start();
    assert_eq!(run(&second, "acme", "x")["outcome"], "succeeded");

    for (args, code, says) in [
        (&["rm", "acme"][..], 2, "1 plugin in 1 version"),
        (&["rm", "filed", "--yes"], 1, "is defined in `host.toml`"),
        (&["rm", "nobody", "--yes"], 1, "there is no tenant `nobody`"),
        (&["rm", "Acme", "--yes"], 2, "Acme"),
    ] {
        let output = host.cli(&[&["tenants"], args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
    let removed = host.cli(&["tenants", "rm", "acme", "--yes", "--json", "--drain", "0s"]);
    let shown: Value = serde_json::from_slice(&removed.stdout).unwrap();
    assert_eq!(shown["state"], "draining", "{shown}");
    gone(&host, "acme");
    assert!(!exported(&site, shown["removal"]["export"].as_str().unwrap()).is_empty());
    // What it used can still be asked for, and its name is free.
    assert!(host.cli(&["usage", "--tenant", "acme"]).status.success());
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
