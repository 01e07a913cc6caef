//! What counts without a start, and what waits for one.

use super::*;

#[test]
fn what_a_host_was_built_on_waits_for_a_start_and_the_rest_counts() {
    let before = at_hour(1);
    let site = site(&before);
    let host = site.start();
    let rest = at_hour(2);
    let wants = format!(
        "store = 'memory:'\nstate_dir = 'other'\nroles = ['api']\n{rest}[executor]\n\
         max_running = 2\nmemory = '8GiB'\nqueues = ['gpu']\ndrain = '1s'\n"
    );
    site.configure(&wants);
    let expected = [
        "store",
        "state_dir",
        "roles",
        "executor.max_running",
        "executor.memory",
        "executor.queues",
    ];
    let answer = reload(&host);
    assert_eq!(answer["needs_restart"], json!(expected), "{answer}");
    assert_eq!(hour(&host), 2);
    host.says("these keep their values until the host starts anew");
    assert_eq!(run(&host, "timed")["outcome"], "succeeded");
    assert!(!site.path("other").exists());
    // As long as the host is the old one.
    let output = host.cli(&["reload"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("! `store` stays as it was until the host starts anew\n"), "{said}");
    let lines = String::from_utf8(host.cli(&["reload", "--json"]).stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    let restart: Vec<_> = lines.filter(|line: &Value| line["action"] == "restart").collect();
    assert_eq!(restart[0], json!({"action": "restart", "key": "store"}));
    assert_eq!(restart.len(), expected.len());
    assert_eq!(host.said().matches("these keep their values").count(), 1);
    let text = std::fs::read_to_string(site.path("host.toml")).unwrap();
    let listens = text.replace("127.0.0.1:0", "127.0.0.1:1");
    std::fs::write(site.path("host.toml"), listens).unwrap();
    let waits = reload(&host)["needs_restart"].clone();
    assert!(waits.as_array().unwrap().contains(&json!("api.listen")), "{waits}");
    site.configure(&rest);
    assert_eq!(reload(&host)["needs_restart"], json!([]));
}

#[test]
fn jobs_are_added_changed_and_parked_and_the_others_are_let_be() {
    let site = site(THREE);
    let host = site.start();
    let ran = run(&host, "gone");
    run(&host, "steady");
    assert_eq!(host.post("/v1/jobs/steady/pause", &json!({"why": "a test"})).0, 200);
    let before = host.get("/v1/jobs/steady").1;
    let changed = THREE.replace("hour = 2", "hour = 3").replace("[jobs.gone]", "[jobs.new]");
    site.configure(&changed);
    let answer = reload(&host);
    let items = answer["items"].as_array().unwrap();
    let items: Vec<_> = items
        .iter()
        .map(|it| (it["action"].as_str().unwrap(), it["job"].as_str().unwrap()))
        .collect();
    assert_eq!(items, [("park", "gone"), ("add", "new"), ("change", "timed")]);
    assert_eq!(host.get("/v1/jobs/steady").1, before);
    let gone = host.get("/v1/jobs/gone").1;
    assert_eq!((&gone["state"], &gone["reason"]), (&json!("parked"), &json!("undeclared")));
    assert_eq!(host.items("/v1/runs?job=gone")[0]["id"], ran["id"]);
    // What is written otherwise only keeps its next fire time.
    let next = host.get("/v1/jobs/new").1["next_fire_time"].clone();
    site.configure(&(changed + "priority = 3\n"));
    assert_eq!(reload(&host)["items"][0]["changes"][0]["key"], "priority");
    assert_eq!(host.get("/v1/jobs/new").1["next_fire_time"], next);
    // And what is declared again goes on.
    site.configure(THREE);
    reload(&host);
    assert_eq!(host.get("/v1/jobs/gone").1["state"], "active");
    assert_eq!(host.items("/v1/runs?job=gone")[0]["id"], ran["id"]);
    assert_eq!(host.get("/v1/jobs/steady").1["paused"]["why"], "a test");
}

#[test]
fn a_tenant_comes_with_its_plugins_and_leaves_with_them() {
    let site = site("");
    std::fs::create_dir(site.path("plugins/acme")).unwrap();
    site.plugin("noop", "acme/chime");
    let sidecar = "[jobs.daily]\nhandler = 'run'\ntrigger = 'every 24h'\n";
    std::fs::write(site.path("plugins/acme/chime.toml"), sidecar).unwrap();
    let host = site.start();
    assert_eq!(host.get("/v1/jobs?tenant=acme").0, 404);
    site.configure("[tenants.acme]\n");
    host.says("acme/chime");
    eventually("its job", || (host.get("/v1/jobs/daily?tenant=acme").0 == 200).then_some(()));
    // Its folder is watched now, or looked at: what is dropped later is found as well.
    site.plugin("noop", "acme/late");
    host.item("the next plugin", "/v1/plugins?tenant=acme", |plugin| plugin["name"] == "late");
    site.configure("");
    let answer = reload(&host);
    assert_eq!(answer["items"][0]["action"], "park", "{answer}");
    let item = &answer["items"][0];
    assert_eq!((&item["tenant"], &item["job"]), (&json!("acme"), &json!("daily")));
    assert_eq!(host.get("/v1/plugins?tenant=acme").0, 404);
    assert_eq!(host.items("/v1/plugins").len(), 1);
    site.configure("[tenants.acme]\n");
    reload(&host);
    assert_eq!(host.items("/v1/plugins?tenant=acme").len(), 2);
    assert_eq!(host.get("/v1/jobs/daily?tenant=acme").1["state"], "active");
}

#[test]
fn another_folder_of_plugins_counts_at_once() {
    let site = site(&at_hour(1));
    site.plugin("noop", "only-here");
    std::fs::create_dir(site.path("next")).unwrap();
    std::fs::copy(site.path("plugins/bell.wasm"), site.path("next/bell.wasm")).unwrap();
    std::fs::copy(site.path("plugins/bell.wasm"), site.path("next/only-there.wasm")).unwrap();
    let host = site.start();
    let loaded_at = host.get("/v1/plugins/bell").1["loaded_at"].clone();
    site.configure(&format!("plugins = 'next'\n{}", at_hour(1)));
    reload(&host);
    let names: Vec<_> = host.items("/v1/plugins").iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["bell", "only-there"]);
    // The same bytes are the same plugin, and the file that counts is the new one.
    assert_eq!(host.get("/v1/plugins/bell").1["loaded_at"], loaded_at);
    assert_eq!(run(&host, "timed")["outcome"], "succeeded");
    std::fs::remove_file(site.path("next/bell.wasm")).unwrap();
    reload(&host);
    assert_eq!(host.get("/v1/plugins/bell").0, 404);
}

#[test]
fn caps_grants_and_secrets_count_for_the_next_run() {
    let jobs = "[jobs.long]\nplugin = 'behave'\nhandler = 'sleep'\nargs = { ms = 3000 }\n\
        [jobs.tells]\nplugin = 'behave'\nhandler = 'tell'\nargs = { name = 'TOKEN' }\n\
        capabilities = { secrets = ['TOKEN'] }\n";
    let granted = "[tenants.default]\nallow = { kv = true }\n";
    let secret = |file: &str| format!("[secrets]\nTOKEN = {{ file = '{file}' }}\n");
    let site = Site::new(&format!("{jobs}{granted}{}", secret("one")));
    site.plugin("behave", "behave");
    std::fs::write(site.path("one"), "seven77").unwrap();
    std::fs::write(site.path("two"), "twelve121212").unwrap();
    let host = site.start();
    let keeps =
        json!({"id": "keeps", "plugin": "behave", "handler": "ok", "capabilities": {"kv": true}});
    let (status, made) = host.post("/v1/jobs", &keeps);
    assert_eq!(status, 201, "{made}");
    let slow = json!({"id": "slow", "plugin": "behave", "handler": "sleep", "args": {"ms": 3000}});
    let (status, made) = host.post("/v1/jobs", &slow);
    assert_eq!(status, 201, "{made}");
    assert_eq!(run(&host, "tells")["result"][0], 7);
    assert_eq!(run(&host, "keeps")["outcome"], "succeeded");

    let caps = "[executor]\ncaps = { timeout = '200ms' }\n";
    site.configure(&format!("{jobs}{}{caps}", secret("two")));
    let answer = reload(&host);
    for key in ["tenants", "secrets", "executor.caps"] {
        assert!(answer["changed"].as_array().unwrap().contains(&json!(key)), "{answer}");
    }
    assert_eq!(run(&host, "tells")["result"][0], 12);
    for job in ["long", "slow"] {
        assert_eq!(run(&host, job)["outcome"], "timed_out", "{job}");
    }
    let kept = run(&host, "keeps");
    assert_eq!(kept["outcome"], "failed", "{kept}");
    assert!(kept["error"]["message"].as_str().unwrap().contains("allow"), "{kept}");
    let said = String::from_utf8(host.cli(&["reload"]).stdout).unwrap();
    assert!(!said.contains("counts now"), "{said}");

    site.configure(&format!("{jobs}{granted}{}", secret("one")));
    reload(&host);
    assert_eq!(run(&host, "keeps")["outcome"], "succeeded");
    assert_eq!(run(&host, "long")["outcome"], "succeeded");
}
