//! How a tenant goes: drained, on disk, deleted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{WASM, exported, gone, names, put, put_job, put_plugin, remove, run};
use crate::support::eventually;
use crate::support::guests;
use crate::support::host::Site;
use crate::support::redis::Redis;

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
    eventually("its versions to be gone", || {
        (!site.path(".campanile/versions/acme").exists()).then_some(())
    });
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

#[test]
fn a_plugin_that_arrives_after_its_tenant_is_gone_is_refused() {
    let site = Site::new("");
    let host = site.start();
    for drained in [false, true] {
        assert_eq!(put(&host, "acme", &json!({})).0, 201);
        if drained {
            put_plugin(&host, "acme", "behave", "behave");
            let endless = json!({"plugin": "behave", "handler": "sleep",
                "args": {"ms": 3_600_000}, "limits": {"timeout": "2h"}});
            put_job(&host, "acme", "endless", &endless);
            host.post("/v1/jobs/endless/run?tenant=acme", &json!({}));
            host.item("a live run", "/v1/runs?tenant=acme", |run| run["state"] == "running");
        }
        let bytes = guests::bytes("noop");
        let address = host.url().replace("http://", "");
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "PUT /v1/plugins/late?tenant=acme HTTP/1.1\r\nHost: {address}\r\nContent-Type: {WASM}\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Its head was found right, and its bytes are waited for.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(go_on, *b"HTTP/1.1 100 Continue\r\n\r\n");
        remove(&host, "acme", if drained { "5s" } else { "0s" });
        let expected = match drained {
            true => ("409", "\"draining\""),
            false => {
                gone(&host, "acme");
                ("404", "\"no_such_tenant\"")
            }
        };
        stream.write_all(&bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {}", expected.0)), "{answer}");
        assert!(answer.contains(expected.1), "{answer}");
    }
    gone(&host, "acme");
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
    eventually("its versions to be gone", || {
        (!other.path(".campanile/versions/acme").exists()).then_some(())
    });
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
