//! What is kept of changes: who, from where, what was before and after.

use serde_json::{Value, json};

use super::wire::Wire;
use super::{printed, said, site, token};
use crate::support::host::Site;
use crate::support::{eventually, guests};

/// A change in short.
fn short(line: &Value) -> [&str; 3] {
    ["who", "action", "target"].map(|key| line[key].as_str().unwrap())
}

#[test]
fn every_change_is_told_newest_first_with_before_and_after() {
    let site = site();
    let admin = token(&site, &["--role", "admin", "--id", "root"]);
    let acme = token(&site, &["--role", "admin", "--tenant", "acme", "--id", "boss"]);
    let host = site.start();
    let [admin, acme] = [admin, acme].map(|token| Wire::to(&host).with(&token));
    let job = |every: &str| json!({"plugin": "none", "trigger": every});
    for (wire, method, path, body, status) in [
        (&admin, "PUT", "/v1/jobs/x", job("every 1h"), 201),
        (&admin, "PUT", "/v1/jobs/x", job("every 1h"), 200),
        (&admin, "PUT", "/v1/jobs/x", job("every 2h"), 200),
        (&admin, "POST", "/v1/jobs/x/pause", json!({"why": "moving"}), 200),
        (&admin, "POST", "/v1/jobs/x/resume", json!({}), 200),
        (&admin, "POST", "/v1/scheduler/pause", json!({}), 200),
        (&admin, "POST", "/v1/scheduler/resume", json!({}), 200),
        (&acme, "PUT", "/v1/jobs/own", job("every 1d"), 201),
        (&acme, "POST", "/v1/runs", json!({"job": "own", "countdown": "1h"}), 202),
        (&admin, "DELETE", "/v1/jobs/x", Value::Null, 204),
        (&admin, "DELETE", "/v1/jobs/x", Value::Null, 404),
    ] {
        let answer = wire.send(method, path, &body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let all = admin.get("/v1/audit").body["items"].as_array().unwrap().clone();
    let told: Vec<_> = all.iter().map(short).collect();
    let expected = [
        ["token root", "job.removed", "x"],
        ["token root", "scheduler.resumed", "scheduler"],
        ["token root", "scheduler.paused", "scheduler"],
        ["token root", "job.resumed", "x"],
        ["token root", "job.paused", "x"],
        ["token root", "job.replaced", "x"],
        ["token root", "job.created", "x"],
    ];
    assert_eq!(told, expected);
    assert!(all.iter().all(|line| line["from"] == "127.0.0.1"), "{all:?}");
    let replaced = &all[5];
    assert_eq!((&replaced["before"], &replaced["after"]), (&job("every 1h"), &job("every 2h")));
    assert_eq!(all[4]["after"]["why"], "moving");
    assert_eq!((&all[0]["after"], &all[6]["before"]), (&Value::Null, &Value::Null));

    // A tenant sees its own, and nothing of the host.
    let own = acme.get("/v1/audit").body["items"].as_array().unwrap().clone();
    let told: Vec<_> = own.iter().map(short).collect();
    assert_eq!(told, [["token boss", "run.asked", "own"], ["token boss", "job.created", "own"]]);
    assert_eq!(admin.get("/v1/audit?tenant=acme").body["items"], json!(own));
    for (query, count) in [
        ("action=job.paused", 1),
        ("target=scheduler", 2),
        ("since=2999-01-01T00:00:00Z", 0),
        ("since=2020-01-01T00:00:00Z", 7),
    ] {
        let found = admin.get(&format!("/v1/audit?{query}"));
        assert_eq!(found.body["items"].as_array().unwrap().len(), count, "{query}: {found:?}");
    }
    let page = admin.get("/v1/audit?limit=4");
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = admin.get(&format!("/v1/audit?limit=4&cursor={cursor}"));
    assert_eq!(rest.body["items"].as_array().unwrap()[..], all[4..]);
    assert_eq!(admin.get("/v1/audit?action=job.exploded").status, 422);

    // Tokens that come and go are changes too; no hash is told.
    token(&site, &["--role", "viewer", "--id", "late"]);
    let added = eventually("the token in the audit", || {
        let found = admin.get("/v1/audit?action=token.added");
        found.body["items"].as_array().unwrap().first().cloned()
    });
    assert_eq!(short(&added), ["file", "token.added", "late"]);
    assert_eq!((&added["after"]["role"], &added["from"]), (&json!("viewer"), &Value::Null));
    assert!(!added.to_string().contains("hash"), "{added}");
}

#[test]
fn a_host_without_tokens_tells_who_was_local_and_its_store_tells_it_too() {
    let site = Site::new("");
    let host = site.start();
    assert_eq!(host.post("/v1/jobs", &json!({"id": "x", "plugin": "none"})).0, 201);
    let run = host.post("/v1/jobs/x/run", &json!({})).1;
    let run = run["id"].as_str().unwrap();
    assert_eq!(host.post(&format!("/v1/runs/{run}/cancel"), &json!({})).0, 200);
    let told = printed(&host.cli(&["audit", "--json"]));
    let expected = [
        ["local", "run.cancelled", run],
        ["local", "run.asked", "x"],
        ["local", "job.created", "x"],
    ];
    assert_eq!(told.iter().map(short).collect::<Vec<_>>(), expected);
    assert!(host.terminate().0.success());
    let kept = site.cli(&["audit", "--limit", "1", "--json"]);
    assert_eq!(printed(&kept), told[..1]);
}

#[test]
fn what_becomes_of_a_plugin_is_told_and_each_step_asks_for_its_role() {
    let site = site();
    let boss = token(&site, &["--role", "admin", "--tenant", "acme", "--id", "boss"]);
    let operator = token(&site, &["--role", "operator", "--tenant", "acme", "--id", "ops"]);
    let host = site.start();
    let url = host.url();
    for number in [1, 2] {
        let bytes = guests::version(&guests::bytes("noop"), number);
        std::fs::write(site.path(&format!("{number}.wasm")), bytes).unwrap();
    }
    let run =
        |token: &str, args: &[&str]| site.cli(&[args, &["--url", &url, "--token", token]].concat());
    let put = ["plugins", "put", "1.wasm", "--name", "bell"];
    let refused = run(&operator, &put);
    assert!(said(&refused).contains("needs the role `admin`"), "{refused:?}");
    for (token, args) in [
        (&boss, &put[..]),
        (&boss, &["plugins", "put", "2.wasm", "--name", "bell"]),
        (&operator, &["plugins", "rollback", "bell"]),
        (&operator, &["plugins", "pin", "bell"]),
        (&operator, &["plugins", "unpin", "bell"]),
        (&boss, &["plugins", "rm", "bell"]),
    ] {
        let done = run(token, args);
        assert!(done.status.success(), "{args:?}: {done:?}");
    }
    let told = printed(&run(&boss, &["audit", "--target", "bell", "--json"]));
    let expected = [
        ["token boss", "plugin.removed", "bell"],
        ["token ops", "plugin.unpinned", "bell"],
        ["token ops", "plugin.pinned", "bell"],
        ["token ops", "plugin.rolled_back", "bell"],
        ["token boss", "plugin.put", "bell"],
        ["token boss", "plugin.put", "bell"],
    ];
    assert_eq!(told.iter().map(short).collect::<Vec<_>>(), expected);
    let digests = |side: &str| told[3][side]["digest"].clone();
    assert_eq!(
        (digests("before"), digests("after")),
        (told[4]["after"]["digest"].clone(), told[5]["after"]["digest"].clone())
    );
    assert_eq!(told[2]["after"]["pinned"], digests("after"));
}
