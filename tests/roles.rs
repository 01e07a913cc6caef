//! Hosts that do a part of the work: the real binary with some roles, with some queues.

use campanile::clock::{Clock, SystemClock};
use campanile::time::Timestamp;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};

/// Two jobs that are due each second, one of them for hosts of the queue `gpu`.
const JOBS: &str = "[jobs.plain]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\n\
                    [jobs.shiny]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\n\
                    queue = \"gpu\"\n";

fn site(keys: &str) -> Site {
    let site = Site::new(&format!("{keys}\n{JOBS}"));
    site.plugin("behave", "behave");
    site
}

fn runs(host: &Host, job: &str, state: &str) -> Vec<Value> {
    host.items(&format!("/v1/runs?job={job}&state={state}&limit=1000"))
}

/// Waits until a fire of the job was skipped because its one instance has not ended. What is queued
/// by then, one run or, where the machine was slow, those of a backlog too, nobody has taken.
fn nobody_takes(host: &Host, job: &str) {
    host.item("a skipped fire", &format!("/v1/jobs/{job}/ledger"), |item| {
        item["reason"] == "max_instances"
    });
    let queued = runs(host, job, "queued");
    assert!(!queued.is_empty(), "{job}");
    assert!(queued.iter().all(|run| run["attempt"] == 0), "{queued:?}");
    assert_eq!(runs(host, job, "running").len() + runs(host, job, "retrying").len(), 0, "{job}");
    let done = runs(host, job, "done");
    assert!(done.iter().all(|run| run["attempt"] == 0), "{done:?}");
}

#[test]
fn a_host_that_is_no_executor_plans_and_leaves_runs_queued() {
    let site = site("roles = [\"scheduler\", \"api\"]");
    let host = site.start();
    host.says("roles      fires what is due; serves people");
    for job in ["plain", "shiny"] {
        nobody_takes(&host, job);
    }
    let (status, asked) = host.post("/v1/jobs/plain/run", &json!({}));
    assert_eq!((status, &asked["state"]), (202, &json!("queued")), "{asked}");
    let queued = runs(&host, "plain", "queued");
    assert!(host.terminate().0.success());

    site.configure(JOBS);
    let host = site.start();
    for run in queued {
        let id = run["id"].as_str().unwrap();
        let done = eventually("the run's end", || {
            let run = host.get(&format!("/v1/runs/{id}")).1;
            (run["state"] == "done").then_some(run)
        });
        assert_eq!((&done["outcome"], &done["attempt"]), (&json!("succeeded"), &json!(1)));
    }
}

#[test]
fn a_host_takes_runs_of_its_own_queues_alone() {
    let site = site("executor = { queues = [\"gpu\"] }");
    let host = site.start();
    host.says("roles      fires what is due; takes runs from gpu; serves people");
    eventually("three runs", || (runs(&host, "shiny", "done").len() >= 3).then_some(()));
    // Asked for, too: those come from the queue and not from the scheduler's hand.
    let (_, asked) = host.post("/v1/jobs/shiny/run", &json!({}));
    let id = asked["id"].as_str().unwrap();
    let (_, asked) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!(asked["outcome"], "succeeded", "{asked}");
    nobody_takes(&host, "plain");
}

#[test]
fn a_host_that_is_no_scheduler_is_ready_fires_nothing_and_takes_what_is_queued() {
    let site = site("roles = [\"executor\", \"api\"]");
    let host = site.start();
    let (_, asked) = host.post("/v1/jobs/plain/run", &json!({}));
    let id = asked["id"].as_str().unwrap();
    let (_, asked) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!((&asked["outcome"], &asked["cause"]), (&json!("succeeded"), &json!("manual")));
    let due = |job: &str| host.get(&format!("/v1/jobs/{job}")).1["next_fire_time"].clone();
    let before = due("plain");
    eventually("that fire time to pass", || {
        (Timestamp::parse(before.as_str().unwrap()).unwrap() < SystemClock.now()).then_some(())
    });
    assert_eq!(due("plain"), before, "nobody moved it");
    assert_eq!(host.items("/v1/jobs/plain/ledger"), [Value::Null; 0]);
    assert_eq!(host.get("/readyz").0, 200);
}

#[test]
fn a_host_without_an_api_listens_nowhere_and_works() {
    let site = site("roles = [\"scheduler\", \"executor\"]");
    let host = site.start_unseen();
    host.says("serves nobody: it has no role `api`");
    assert!(!host.said().contains("http://"), "{}", host.said());
    eventually("a run that is done", || {
        let output = site.cli(&["runs", "ls", "--job", "plain", "--state", "done", "--json"]);
        let line = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)?;
        let run: Value = serde_json::from_str(&line).unwrap();
        (run["outcome"] == "succeeded").then_some(())
    });
    assert!(host.terminate().0.success());
}

#[test]
fn a_queue_that_nobody_serves_is_warned_of() {
    let site = site("executor = { queues = [\"gpu\"] }");
    let output = site.cli(&["validate"]);
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{warned}");
    assert!(
        warned.contains("job `plain`, queue: no host of this file takes runs from `default`"),
        "{warned}"
    );
    assert!(!warned.contains("job `shiny`, queue"), "{warned}");
}

#[test]
fn a_host_lists_itself_with_what_it_does() {
    let site =
        site("roles = [\"scheduler\", \"executor\", \"api\"]\nexecutor = { queues = [\"gpu\"] }");
    let host = site.start();
    let [own]: [Value; 1] = host.items("/v1/hosts").try_into().unwrap();
    assert_eq!((&own["self"], &own["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(own["roles"], json!(["scheduler", "executor", "api"]));
    assert_eq!((&own["queues"], &own["clock_offset_ms"]), (&json!(["gpu"]), &json!(0.0)));
    let (_, plugin) = host.get("/v1/plugins/behave");
    assert_eq!(own["plugins"], json!({"default/behave": plugin["digest"]}));

    let run =
        host.item("a run", "/v1/runs?job=shiny&state=done", |run| run["outcome"] == "succeeded");
    assert_eq!(run["attempts"][0]["session"], own["session"]);
    assert_eq!(run["attempts"][0]["host"], own["host"]);

    let text = |args: &[&str]| String::from_utf8(host.cli(args).stdout).unwrap();
    let table = text(&["hosts"]);
    assert!(table.starts_with("HOST"), "{table}");
    let name = own["host"].as_str().unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with(&format!("{name} *")), "{table}");
    let said: Value = serde_json::from_str(&text(&["hosts", "--json"])).unwrap();
    assert_eq!((&said["session"], &said["self"]), (&own["session"], &json!(true)));
    let shown = text(&["runs", "show", run["id"].as_str().unwrap()]);
    assert!(shown.contains(own["session"].as_str().unwrap()), "{shown}");
    assert!(shown.contains(&run["fence"].to_string()), "{shown}");
}
