//! `host.toml` changes while the host serves: whichever way it is replaced and whoever asks, all of it
//! counts in one step, and a file that is wrong changes nothing.

use std::io::{BufRead, Write};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// Three jobs that never fire by themselves within a test.
const THREE: &str = "[jobs.steady]\nplugin = 'bell'\nhandler = 'run'\ntrigger = 'every 1h'\n\
    [jobs.timed]\nplugin = 'bell'\nhandler = 'run'\ntrigger = { type = 'cron', hour = 2 }\n\
    [jobs.gone]\nplugin = 'bell'\nhandler = 'run'\ntrigger = 'every 2h'\n";

/// One job at this hour.
fn at_hour(hour: u32) -> String {
    format!(
        "[jobs.timed]\nplugin = 'bell'\nhandler = 'run'\n\
         trigger = {{ type = 'cron', hour = {hour} }}\n"
    )
}

fn site(config: &str) -> Site {
    let site = Site::new(config);
    site.plugin("noop", "bell");
    site
}

fn hour(host: &Host) -> u64 {
    host.get("/v1/jobs/timed").1["effective"]["trigger"]["hour"].as_u64().unwrap()
}

fn reload(host: &Host) -> Value {
    let (status, answer) = host.post("/v1/reload", &json!({}));
    assert_eq!(status, 200, "{answer}");
    answer
}

/// A metric without labels, or with these.
fn metric(host: &Host, name: &str) -> u64 {
    let text = host.get("/metrics").1;
    let line =
        text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Runs a job once, to its end.
fn run(host: &Host, job: &str) -> Value {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{run}");
    let path = format!("/v1/runs/{}?wait=30s", run["id"].as_str().unwrap());
    eventually("the run's end", || {
        let run = host.get(&path).1;
        (run["state"] == "done").then_some(run)
    })
}

/// A way in which the file comes to have another text.
type Way = (&'static str, fn(&Path, &str));

fn ways() -> [Way; 4] {
    [
        ("written over", |file, text| std::fs::write(file, text).unwrap()),
        ("written beside and renamed", |file, text| {
            let beside = file.with_extension("toml.part");
            std::fs::write(&beside, text).unwrap();
            std::fs::rename(beside, file).unwrap();
        }),
        ("written in pieces", |file, text| {
            let mut file = std::fs::File::create(file).unwrap();
            for piece in text.as_bytes().chunks(16) {
                file.write_all(piece).unwrap();
                file.sync_all().unwrap();
            }
        }),
        ("a link that is swapped", |file, text| {
            let version = file.with_extension(format!("v{}", text.len()));
            std::fs::write(&version, text).unwrap();
            let link = file.with_extension("link");
            std::os::unix::fs::symlink(&version, &link).unwrap();
            std::fs::rename(link, file).unwrap();
        }),
    ]
}

#[test]
fn whichever_way_it_is_replaced_it_counts_by_itself() {
    let site = site(&at_hour(0));
    let host = site.start();
    let mut now = 0;
    for (way, replace) in ways() {
        for _ in 0..2 {
            now += 1;
            let padding = "#".repeat(now as usize);
            replace(&site.path("host.toml"), &Site::text(&(at_hour(now) + &padding)));
            eventually(way, || (hour(&host) == u64::from(now)).then_some(()));
        }
    }
    // Nothing of it was taken while it was half written.
    assert_eq!(metric(&host, "campanile_config_reloads_total{result=\"refused\"}"), 0);
    assert!(host.terminate().0.success());
}

/// A way to ask for it.
type Asking = (&'static str, fn(&Host));

#[test]
fn a_signal_a_command_and_a_request_take_it_at_once() {
    let site = site(&at_hour(0));
    let host = site.start();
    let ask: [Asking; 3] = [
        ("SIGHUP", |host| host.signal(Signal::HUP)),
        ("host reload", |host| {
            let output = host.cli(&["reload"]);
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{said}");
            assert!(said.contains("~ timed  trigger.hour 1 -> 2\n"), "{said}");
            let last = "0 to add, 1 to change, 0 to park, 0 unchanged, 0 warnings\n";
            assert!(said.ends_with(last), "{said}");
        }),
        ("POST /v1/reload", |host| {
            let answer = reload(host);
            let change = json!([{"key": "trigger.hour", "old": 2, "new": 3}]);
            assert_eq!(answer["items"][0]["changes"], change, "{answer}");
            assert_eq!(answer["total"]["change"], 1);
        }),
    ];
    for (now, (who, ask)) in (1..).zip(ask) {
        site.configure(&at_hour(now));
        ask(&host);
        if now == 1 {
            host.says("told by SIGHUP to look at everything");
            // Whoever asks next is not told of this.
            assert_eq!(metric(&host, "campanile_config_reloads_total{result=\"refused\"}"), 0);
        }
        assert_eq!(hour(&host), u64::from(now), "{who}");
    }
    // It looks at plugins and at the files beside them, too, and waits for nothing.
    site.plugin("noop", "late");
    let sidecar = "[jobs.beside]\nhandler = 'run'\n";
    std::fs::write(site.path("plugins/late.toml"), sidecar).unwrap();
    let answer = reload(&host);
    assert_eq!(answer["items"][0]["job"], "beside", "{answer}");
    assert_eq!(run(&host, "beside")["outcome"], "succeeded");
    std::fs::remove_file(site.path("plugins/late.wasm")).unwrap();
    reload(&host);
    assert_eq!(host.get("/v1/plugins/late").0, 404);
    let again = reload(&host);
    assert_eq!((&again["items"], &again["changed"]), (&json!([]), &json!([])), "{again}");
}

#[test]
fn a_reload_prints_what_the_plan_of_it_does() {
    let site = site(THREE);
    let host = site.start();
    let changed = THREE.replace("hour = 2", "hour = 3").replace("[jobs.gone]", "[jobs.new]");
    // The host takes its file by itself, and then there is no plan left: it is made with another.
    std::fs::write(site.path("next.toml"), Site::text(&changed)).unwrap();
    let planned = site.cli(&["plan", "--config", "next.toml"]);
    site.configure(&changed);
    let reloaded = host.cli(&["reload"]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let masked = |bytes: &[u8]| {
        let lines = text(bytes);
        let plain = |line: &str| {
            line.split(" fires first").next().unwrap().replace("next.toml", "host.toml")
        };
        lines.lines().map(plain).collect()
    };
    let (planned, reloaded): (Vec<String>, Vec<String>) =
        (masked(&planned.stdout), masked(&reloaded.stdout));
    assert_eq!(planned[0], "- gone   is no longer declared by host.toml; its history stays");
    assert_eq!(
        planned.last().unwrap(),
        "1 to add, 1 to change, 1 to park, 1 unchanged, 0 warnings"
    );
    assert_eq!(planned, reloaded);
    let lines = text(&host.cli(&["reload", "--json"]).stdout);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["action"], &last["unchanged"]), (&json!("total"), &json!(4)), "{lines}");
}

#[test]
fn what_the_host_took_by_itself_is_told_to_who_asks_next_and_once() {
    let site = site(&at_hour(1));
    let host = site.start();
    for now in [2, 3] {
        site.configure(&at_hour(now));
        eventually("the new hour", || (hour(&host) == u64::from(now)).then_some(()));
    }
    let answer = reload(&host);
    assert_eq!(answer["items"][0]["job"], "timed", "{answer}");
    assert!(answer["changed"].as_array().unwrap().contains(&json!("jobs")), "{answer}");
    assert_eq!(answer["total"]["unchanged"], 0, "{answer}");
    assert_eq!(reload(&host)["items"], json!([]));
    // The audit has each change of the file once, and who brought it about.
    site.configure(&at_hour(4));
    reload(&host);
    let kept = || {
        let all = host.items("/v1/audit");
        let own = all.into_iter().filter(|note| note["target"] == "host.toml");
        own.map(|note| (note["who"].clone(), note["after"]["changed"].clone())).collect::<Vec<_>>()
    };
    let kept = kept();
    assert_eq!(kept.len(), 3, "{kept:?}");
    for (who, changed) in &kept {
        assert!(["file", "local"].contains(&who.as_str().unwrap()), "{kept:?}");
        assert!(changed.as_array().unwrap().contains(&json!("jobs")), "{kept:?}");
    }
    assert!(kept.iter().filter(|(who, _)| who == "file").count() >= 2, "{kept:?}");
}

#[test]
fn a_file_with_errors_changes_nothing_and_all_of_them_are_told_once() {
    let site = site(&at_hour(1));
    let host = site.start();
    let wrong = format!("timezon = 'UTC'\n{}priorty = 3\nplugin_wait = 'long'\n", at_hour(2));
    let problems =
        ["timezon: unknown key", "jobs.timed.priorty: unknown key", "jobs.timed.plugin_wait:"];
    site.configure(&wrong);
    host.says("cannot use configuration `host.toml`");
    for problem in problems {
        host.says(problem);
    }
    let output = host.cli(&["reload"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for problem in problems {
        assert!(said.contains(problem), "{said}");
    }
    let (status, answer) = host.post("/v1/reload", &json!({}));
    assert_eq!((status, &answer["code"]), (422, &json!("config_refused")), "{answer}");
    let mut paths: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["jobs.timed.plugin_wait", "jobs.timed.priorty", "timezon"], "{answer}");
    assert_eq!(hour(&host), 1);
    assert_eq!(host.get("/readyz").0, 200);
    assert_eq!(metric(&host, "campanile_config_reload_failed"), 1);
    assert!(metric(&host, "campanile_config_reloads_total{result=\"refused\"}") >= 3);
    let shown = host.cli(&["hosts"]);
    assert!(String::from_utf8(shown.stderr).unwrap().contains("timezon: unknown key"));
    // Asked for twice and looked at many times, it was told once.
    let told = host.said().matches("nothing was changed").count();
    assert_eq!(told, 1, "{}", host.said());

    site.configure(&at_hour(4));
    eventually("the right one", || (hour(&host) == 4).then_some(()));
    assert_eq!(metric(&host, "campanile_config_reload_failed"), 0);
    assert_eq!(host.items("/v1/hosts")[0]["config_refused"], Value::Null);
    host.says("is understood again");
}

#[test]
fn events_tell_that_it_counts_and_why_it_does_not() {
    let site = site(&format!("{}[tenants.acme]\n", at_hour(1)));
    let host = site.start();
    let events = |tenant: &str| {
        let events = ureq::get(format!("{}/v1/events?tenant={tenant}", host.url())).config();
        let patience = std::time::Duration::from_secs(60);
        let body = events.timeout_global(Some(patience)).build().call().unwrap().into_body();
        let mut lines = std::io::BufReader::new(body.into_reader()).lines();
        // From now on all of it is heard.
        lines.next().unwrap().unwrap();
        lines
    };
    let (own, others) = (events("default"), events("acme"));
    site.configure("timezon = 'UTC'\n");
    assert_eq!(host.post("/v1/reload", &json!({})).0, 422);
    site.configure(&format!("{}[tenants.acme]\n", at_hour(2)));
    reload(&host);
    let mut told = own.map_while(Result::ok).filter_map(|line| {
        let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).unwrap();
        event["type"].as_str()?.starts_with("config.").then_some(event)
    });
    let refused = told.next().unwrap();
    assert_eq!(refused["type"], "config.refused", "{refused}");
    assert!(refused["data"]["error"].as_str().unwrap().contains("timezon"), "{refused}");
    let reloaded = told.next().unwrap();
    assert_eq!(reloaded["type"], "config.reloaded", "{reloaded}");
    assert_eq!(reloaded["data"]["file"], "host.toml");
    assert!(host.terminate().0.success());
    let others = others.map_while(Result::ok).collect::<Vec<_>>().concat();
    assert!(!others.contains("config."), "{others}");
}

#[test]
fn a_folder_of_plugins_that_can_not_be_is_an_error_of_the_file() {
    let site = site(&at_hour(1));
    let host = site.start();
    site.configure(&format!("plugins = 'host.toml/below'\n{}", at_hour(2)));
    let (status, answer) = host.post("/v1/reload", &json!({}));
    assert_eq!((status, &answer["errors"][0]["path"]), (422, &json!("plugins")), "{answer}");
    assert_eq!(hour(&host), 1);
    assert_eq!(run(&host, "timed")["outcome"], "succeeded");
}

#[test]
fn a_file_that_is_gone_changes_nothing_and_counts_again_when_it_is_back() {
    let site = site(&at_hour(1));
    let host = site.start();
    std::fs::remove_file(site.path("host.toml")).unwrap();
    host.says("`host.toml` is gone; what was read before counts");
    assert_eq!(metric(&host, "campanile_config_reload_failed"), 1);
    assert_eq!(host.cli(&["reload"]).status.code(), Some(2));
    assert_eq!((hour(&host), host.get("/readyz").0), (1, 200));
    std::fs::create_dir(site.path("host.toml")).unwrap();
    let (status, answer) = host.post("/v1/reload", &json!({}));
    assert_eq!(status, 422, "{answer}");
    std::fs::remove_dir(site.path("host.toml")).unwrap();
    site.configure(&at_hour(5));
    eventually("the new one", || (hour(&host) == 5).then_some(()));
    assert_eq!(metric(&host, "campanile_config_reload_failed"), 0);
    assert_eq!(host.said().matches("is gone; what was read").count(), 1);
}

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

/// Reloads beside a job that is always about to fire.
const RELOADS: u32 = 50;

#[test]
fn under_load_no_fire_is_lost_and_no_run_fails() {
    let tick = "[jobs.tick]\nplugin = 'bell'\nhandler = 'run'\ntrigger = 'every 200ms'\n\
        coalesce = 'all'\nmax_instances = 1000\nhistory = { keep = 1000 }\n";
    let text = |now: u32| format!("{tick}priority = {}\n{}", now % 10, at_hour(now % 24));
    let site = site(&text(0));
    let host = site.start();
    let ran = || host.items("/v1/runs?job=tick&state=done&limit=1000").len();
    eventually("a run", || (ran() > 0).then_some(()));
    for now in 1..=RELOADS {
        site.configure(&text(now));
        match now % 3 {
            0 => host.signal(Signal::HUP),
            1 => assert!(host.cli(&["reload"]).status.success()),
            _ => drop(reload(&host)),
        }
        eventually("the change", || {
            let job = host.get("/v1/jobs/tick").1;
            (job["effective"]["priority"] == now % 10).then_some(())
        });
    }
    let so_far = ran();
    eventually("more runs", || (ran() > so_far + 3).then_some(()));
    let ledger = host.items("/v1/jobs/tick/ledger?limit=1000");
    assert!(ledger.len() > so_far, "{}", ledger.len());
    for item in ledger {
        assert_eq!((&item["verdict"], &item["count"]), (&json!("ran"), &json!(1)), "{item}");
    }
    for run in host.items("/v1/runs?job=tick&state=done&limit=1000") {
        assert_eq!((&run["outcome"], &run["attempt"]), (&json!("succeeded"), &json!(1)), "{run}");
    }
    assert_eq!(metric(&host, "campanile_ledger_alarms"), 0);
    assert!(host.terminate().0.success());
}

/// Requests after which nothing may have grown.
const REQUESTS: u32 = 300;

#[test]
fn many_reloads_leave_nothing_behind() {
    let site = site(&at_hour(0));
    let host = site.start();
    let proc = format!("/proc/{}", host.pid());
    let count = |what: &str| std::fs::read_dir(format!("{proc}/{what}")).unwrap().count();
    let resident = || {
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let ask = |times: u32| {
        for now in 1..=times {
            site.configure(&format!("{}[tenants.t{}]\n", at_hour(now % 24), now % 7));
            reload(&host);
        }
    };
    // Whatever is made once is made by then.
    ask(30);
    let (files, threads, kib) = (count("fd"), count("task"), resident());
    ask(REQUESTS);
    let (more_files, more_threads, more_kib) = (count("fd"), count("task"), resident());
    assert!(more_files <= files + 5, "{files} files, then {more_files}");
    assert!(more_threads <= threads + 5, "{threads} threads, then {more_threads}");
    assert!(more_kib < kib * 3 / 2, "{kib} KiB, then {more_kib}");
    assert!(
        metric(&host, "campanile_config_reloads_total{result=\"applied\"}") >= u64::from(REQUESTS)
    );
}

/// A site on a store that hosts share.
fn shared(redis: &Redis, jobs: &str) -> Site {
    site(&format!("store = {{ url = '{}', ttl = '1s' }}\n{jobs}", redis.url()))
}

#[test]
fn a_store_that_is_away_has_the_jobs_when_it_is_back() {
    let redis = Redis::start();
    let text =
        |hour: u32| format!("store = {{ url = '{}', ttl = '1s' }}\n{}", redis.url(), at_hour(hour));
    let site = shared(&redis, &at_hour(1));
    let host = site.start();
    redis.freeze();
    site.configure(&text(2));
    let (status, answer) = host.post("/v1/reload", &json!({}));
    assert_eq!((status, &answer["code"]), (503, &json!("store_unavailable")), "{answer}");
    redis.thaw();
    eventually("the jobs", || {
        let job = host.get("/v1/jobs/timed").1;
        (job["effective"]["trigger"]["hour"] == 2).then_some(())
    });
    let answer = reload(&host);
    assert_eq!(answer["items"][0]["changes"][0]["new"], 2, "who asks next is told of it: {answer}");
    assert!(answer["changed"].as_array().unwrap().contains(&json!("jobs")), "{answer}");
    assert_eq!(reload(&host)["items"], json!([]));
}

#[test]
fn in_a_fleet_a_job_is_parked_once_no_host_declares_it() {
    let redis = Redis::start();
    let both = [shared(&redis, THREE), shared(&redis, THREE)];
    let hosts = both.each_ref().map(Site::start);
    let state = || hosts[0].get("/v1/jobs/gone").1["state"].clone();
    let without = |site: &Site| {
        let store = format!("store = {{ url = '{}', ttl = '1s' }}\n", redis.url());
        site.configure(&(store + THREE.split("[jobs.gone]").next().unwrap()));
    };
    eventually("both to know of each other", || {
        (hosts[0].items("/v1/hosts").len() == 2).then_some(())
    });
    without(&both[0]);
    let answer = reload(&hosts[0]);
    assert_eq!((&answer["items"], &answer["total"]["park"]), (&json!([]), &json!(0)), "{answer}");
    without(&both[1]);
    // Told now, done once the fleet has stood still.
    eventually("it to be told", || (reload(&hosts[1])["total"]["park"] == 1).then_some(()));
    assert_eq!(state(), "active");
    eventually("it to be parked", || (state() == "parked").then_some(()));
}

/// A host inside a program, that was started where there is no file.
#[tokio::test]
async fn a_file_that_comes_later_counts_and_a_program_may_ask_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("bell.wasm"), crate::support::guests::bytes("noop")).unwrap();
    let mut config = campanile::config::load::load(None, dir.path()).unwrap();
    config.api.listen = "127.0.0.1:0".parse().unwrap();
    let host = campanile::runtime::Host::start(config).await.unwrap();
    assert_eq!(host.reload().await.unwrap().live, [""; 0]);
    let file = dir.path().join("host.toml");
    std::fs::write(&file, Site::text(&at_hour(1))).unwrap();
    let jobs = async |count: usize| {
        crate::support::eventually_async("the jobs", async || {
            let page = campanile::record::query::Page::default();
            let found = host.store().list(Default::default(), page).await.unwrap();
            (found.items.len() == count).then_some(())
        })
        .await;
    };
    jobs(1).await;
    assert_eq!(host.config().file, Some(file.clone()));
    std::fs::write(&file, Site::text(THREE)).unwrap();
    let reloaded = host.reload().await.unwrap();
    assert_eq!(reloaded.preview.total().park, 0);
    jobs(3).await;
    std::fs::write(&file, "plugin = 3").unwrap();
    let refused = host.reload().await.unwrap_err().to_string();
    assert!(refused.contains("plugin: unknown key `plugin`"), "{refused}");
    assert!(refused.ends_with("nothing was changed"), "{refused}");
    let reloads = host.reloads();
    host.shutdown().await.unwrap();
    assert_eq!(reloads.reload().await.unwrap_err().to_string(), "the host is stopping");
}
