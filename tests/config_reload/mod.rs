//! `host.toml` changes while the host serves: whichever way it is replaced and whoever asks, all of it
//! counts in one step, and a file that is wrong changes nothing.

mod counts;
mod lasting;

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
