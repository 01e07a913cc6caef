//! Secrets and the environment: a guest gets what it was granted, and nothing that the host keeps or
//! says holds a secret.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};

const SECRET: &str = "hush-\"7f3a\"/quiet";

/// Runs a job to its end.
fn run(host: &Host, job: &str) -> Value {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{run}");
    let id = run["id"].as_str().unwrap();
    eventually("the run's end", || {
        let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
        (run["state"] == "done").then_some(run)
    })
}

/// Whether a secret stands in these bytes, as it is or as JSON has it.
fn tells(bytes: &[u8]) -> bool {
    let quoted = Value::from(SECRET).to_string();
    let forms = [SECRET, "hush-", "quiet", quoted.trim_matches('"')];
    forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_guest_gets_its_secret_and_nobody_else_sees_it() {
    let tell = |name: &str, args: &str| {
        format!(
            "[jobs.{name}]\nplugin = 'behave'\nhandler = 'tell'\nargs = {{ {args} }}\n\
             config = {{ TOKEN = 'a setting' }}\ncapabilities = {{ secrets = ['TOKEN', 'other'] }}\n"
        )
    };
    let site = Site::new(&format!(
        "secrets_dir = 'vault'\n{}{}[secrets]\nTOKEN = {{ file = 'token' }}\n",
        tell("tells", "name = 'TOKEN'"),
        tell("fails", "name = 'TOKEN', fail = true"),
    ));
    site.plugin("behave", "behave");
    std::fs::write(site.path("token"), format!("{SECRET}\n")).unwrap();
    std::fs::create_dir(site.path("vault")).unwrap();
    std::fs::write(site.path("vault/other"), "another one").unwrap();
    let checked = site.cli(&["validate"]);
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("config.TOKEN: is never seen"), "{said}");

    let host = site.start();
    let events = ureq::get(format!("{}/v1/events", host.url())).config();
    let patience = std::time::Duration::from_secs(60);
    let events = events.timeout_global(Some(patience)).build().call().unwrap();
    let mut seen = Vec::new();
    let told = run(&host, "tells");
    assert_eq!(told["result"], json!([SECRET.len(), "[secret TOKEN]"]), "{told}");
    assert_eq!(told["progress"]["message"], "progress: [secret TOKEN]");
    let failed = run(&host, "fails");
    assert_eq!(failed["error"]["message"], "failed: [secret TOKEN]");
    let id = told["id"].as_str().unwrap();
    let log = host.items(&format!("/v1/runs/{id}/logs"));
    let lines: Vec<_> = log.iter().map(|line| line["message"].as_str().unwrap()).collect();
    for line in ["log: [secret TOKEN]", "stdout: [secret TOKEN]", "stderr: [secret TOKEN]"] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    assert!(lines.concat().ends_with("y[secret TOKEN]"), "a line that was broken off");

    for run in [id, failed["id"].as_str().unwrap()] {
        seen.push(host.cli(&["logs", run]).stdout);
        seen.push(host.cli(&["runs", "show", run, "--json"]).stdout);
        seen.push(host.get(&format!("/v1/runs/{run}")).1.to_string().into_bytes());
    }
    for path in ["/v1/runs", "/v1/jobs", "/v1/jobs/tells", "/v1/jobs/tells/explain", "/metrics"] {
        seen.push(host.get(path).1.to_string().into_bytes());
    }
    let mut events = std::io::BufReader::new(events.into_body().into_reader());
    let mut ended = 0;
    while ended < 2 {
        let mut line = String::new();
        assert_ne!(std::io::BufRead::read_line(&mut events, &mut line).unwrap(), 0);
        ended +=
            usize::from(["event: run.succeeded", "event: run.failed"].contains(&line.trim_end()));
        seen.push(line.into_bytes());
    }

    // What changes counts from the next run on.
    std::fs::write(site.path("token"), "abcd-efgh").unwrap();
    assert_eq!(run(&host, "tells")["result"], json!([9, "[secret TOKEN]"]));

    let (status, said) = host.terminate();
    assert!(status.success());
    seen.push(said.into_bytes());
    seen.extend(files(&site.path(".campanile")).iter().map(|file| std::fs::read(file).unwrap()));
    for bytes in &seen {
        assert!(!tells(bytes), "{}", String::from_utf8_lossy(bytes));
    }
    assert!(seen.len() > 15);
}

#[test]
fn a_secret_that_is_missing_fails_the_run_with_its_place_and_is_tried_again() {
    let site = Site::new(
        "[secrets]\nTOKEN = { file = 'token' }\nUNSET = { env = 'CAMPANILE_TEST_UNSET' }\n\
         [jobs.late]\nplugin = 'behave'\nhandler = 'tell'\nargs = { name = 'TOKEN' }\n\
         retry = { max_attempts = 1000, backoff = '10ms', max_backoff = '50ms' }\n\
         capabilities = { secrets = ['TOKEN'] }\n\
         [jobs.unset]\nplugin = 'behave'\nhandler = 'ok'\ncapabilities = { secrets = ['UNSET'] }\n\
         [jobs.nowhere]\nplugin = 'behave'\nhandler = 'ok'\ncapabilities = { secrets = ['GONE'] }\n",
    );
    site.plugin("behave", "behave");
    let host = site.start();
    for (job, parts) in [
        ("unset", ["`UNSET`", "the environment variable `CAMPANILE_TEST_UNSET`"]),
        ("nowhere", ["`GONE`", "`[secrets] GONE ="]),
    ] {
        let failed = run(&host, job);
        assert_eq!(failed["outcome"], "failed");
        assert_eq!(failed["error"]["retryable"], true);
        let message = failed["error"]["message"].as_str().unwrap();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let (_, begun) = host.post("/v1/jobs/late/run", &json!({}));
    let path = format!("/v1/runs/{}", begun["id"].as_str().unwrap());
    eventually("an attempt without the secret", || {
        let (_, run) = host.get(&path);
        let first = run["attempts"][0]["error"]["message"].as_str()?.to_owned();
        assert!(first.contains("the secret `TOKEN` stands in the file `"), "{first}");
        Some(())
    });
    std::fs::write(site.path("token"), SECRET).unwrap();
    let done = eventually("an attempt with it", || {
        let (_, run) = host.get(&path);
        (run["state"] == "done").then_some(run)
    });
    assert_eq!(done["outcome"], "succeeded", "{done}");
}

#[test]
fn a_secret_is_not_handed_on_in_what_is_kept_of_a_job() {
    let site = Site::new(
        "[secrets]\nTOKEN = { file = 'token' }\n\
         [jobs.leaks]\nplugin = 'behave'\nhandler = 'enqueue'\n\
         capabilities = { secrets = ['TOKEN'], jobs = true }\n\
         [jobs.next]\nplugin = 'behave'\nhandler = 'ok'\n",
    );
    site.plugin("behave", "behave");
    // What the test itself tells the host stands for what the guest has read.
    std::fs::write(site.path("token"), "next-secret").unwrap();
    let host = site.start();
    let args = json!({"args": {"job": "next", "args": {"token": "next-secret"}}});
    let (_, begun) = host.post("/v1/jobs/leaks/run", &args);
    let path = format!("/v1/runs/{}?wait=30s", begun["id"].as_str().unwrap());
    let refused = eventually("the run's end", || {
        let (_, run) = host.get(&path);
        (run["state"] == "done").then(|| run["result"]["error"].to_string())
    });
    assert!(refused.contains("a secret stands in it"), "{refused}");
    assert!(host.items("/v1/runs?job=next").is_empty());
}

#[test]
fn a_guest_has_the_environment_that_it_was_granted() {
    let site = Site::new(
        "[jobs.some]\nplugin = 'behave'\nhandler = 'env'\n\
         capabilities = { env = ['PATH', 'MODE=fast', 'CAMPANILE_TEST_UNSET', 'EMPTY='] }\n\
         [jobs.none]\nplugin = 'behave'\nhandler = 'env'\n",
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let path = std::env::var("PATH").unwrap();
    assert_eq!(run(&host, "some")["result"], json!({"PATH": path, "MODE": "fast", "EMPTY": ""}));
    assert_eq!(run(&host, "none")["result"], json!({}));

    let plugin = guests::path("behave");
    let plugin = plugin.to_str().unwrap();
    let once =
        site.cli(&["run", plugin, "--handler", "env", "--env", "MODE=slow", "--env", "PATH"]);
    let result: Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!(result, json!({"PATH": path, "MODE": "slow"}));
    let kv = site.cli(&["run", plugin, "--handler", "kv", "--args", "{\"key\": \"k\"}"]);
    let said = String::from_utf8_lossy(&kv.stdout);
    assert!(said.contains("`host run` has neither buckets nor other jobs"), "{said}");
}
