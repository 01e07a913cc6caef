//! The command line: the real binary, its exit codes, what it prints.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::guests;
use crate::support::host::Site;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn guest(name: &str) -> String {
    guests::path(name).to_str().unwrap().to_owned()
}

#[test]
fn run_prints_the_result_and_says_by_its_code_how_it_ended() {
    let site = Site::new("");
    let behave = guest("behave");
    let dir = format!("{}:/data", site.path(".").display());
    std::fs::write(site.path("five.txt"), "12345").unwrap();
    for (args, exit, printed, told) in [
        (vec!["--handler", "ok", "--args", "{\"a\":1}"], 0, "{\"a\":1}", ""),
        (vec!["--handler", "fail_permanent", "--args", "{\"message\":\"no\"}"], 1, "", "no"),
        (vec!["--handler", "panic"], 1, "", "unreachable"),
        (vec!["--handler", "spin", "--timeout", "200ms"], 3, "", "limits.timeout"),
        (vec!["--handler", "spin", "--fuel", "2M"], 3, "", "limits.fuel"),
        (vec!["--handler", "grow", "--memory", "8MiB"], 3, "", "limits.memory"),
        (
            vec!["--handler", "read", "--args", "{\"path\":\"/data/five.txt\"}", "--dir", &dir],
            0,
            "5",
            "",
        ),
        (vec!["--handler", "nonesuch"], 2, "", "nonesuch"),
        (vec!["--handler", "ok", "--args", "{"], 2, "", "JSON"),
    ] {
        let all = [vec!["run", &behave], args.clone()].concat();
        let output = site.cli(&all);
        let said = err(&output);
        assert_eq!(code(&output), exit, "{args:?}: {said}");
        assert!(out(&output).contains(printed), "{args:?}: {}", out(&output));
        assert!(said.contains(told), "{args:?}: {said}");
    }
}

#[test]
fn run_of_hello_needs_nothing() {
    let site = Site::new("");
    let output = site.cli(&["run", &guest("hello")]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(out(&output).to_lowercase().contains("hello"), "{}", out(&output));
}

#[test]
fn inspect_tells_handlers_and_what_a_plugin_may_use() {
    let site = Site::new("");
    let output = site.cli(&["inspect", &guest("behave")]);
    let said = out(&output);
    assert_eq!(code(&output), 0, "{}", err(&output));
    for word in ["sha256:", "fail_retryable", "capabilities.http"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let output = site.cli(&["inspect", &guest("other_world")]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("another world"), "{}", err(&output));
}

#[test]
fn next_answers_every_line_of_a_batch_as_the_vectors_have_it() {
    let site = Site::new("");
    let vectors = guests::root().join("tests/data/triggers/triggers.jsonl");
    let output = site.cli(&["next", "--batch", vectors.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let wanted = std::fs::read_to_string(&vectors).unwrap();
    let answers = out(&output);
    assert_eq!(answers.lines().count(), wanted.lines().count());
    for (wanted, answer) in wanted.lines().zip(answers.lines()) {
        let wanted: Value = serde_json::from_str(wanted).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer["id"], wanted["id"]);
        assert_eq!(answer["fires"], wanted["expect"], "{wanted}");
    }
    let hand = guests::root().join("tests/data/triggers/hand.jsonl");
    let output = site.cli(&["next", "--batch", hand.to_str().unwrap()]);
    let wanted = std::fs::read_to_string(&hand).unwrap();
    assert_eq!(out(&output).lines().count(), wanted.lines().count());
    for (wanted, answer) in wanted.lines().zip(out(&output).lines()) {
        let wanted: Value = serde_json::from_str(wanted).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        let refused = answer.get("error").is_some();
        assert_eq!(json!(refused), json!(wanted["refuse"] == true), "{wanted}: {answer}");
        if let (Some(expected), Some(fires)) =
            (wanted["expect"].as_array(), answer["fires"].as_array())
        {
            // The others that are printed come after those that were worked out.
            assert!(fires.starts_with(expected), "{wanted}: {answer}");
            assert!(wanted["ends"] != true || fires.len() == expected.len(), "{wanted}: {answer}");
        }
    }
    let invalid = guests::root().join("tests/data/triggers/invalid.jsonl");
    let output = site.cli(&["next", "--batch", invalid.to_str().unwrap()]);
    let wanted = std::fs::read_to_string(&invalid).unwrap();
    for (wanted, answer) in wanted.lines().zip(out(&output).lines()) {
        let wanted: Value = serde_json::from_str(wanted).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(json!(answer.get("error").is_none()), wanted["accept"], "{wanted}: {answer}");
    }
}

#[test]
fn next_prints_one_time_a_line() {
    let site = Site::new("");
    let trigger = r#"{"type":"cron","hour":3,"timezone":"Europe/Berlin"}"#;
    let after = ["--after", "2026-03-28T12:00:00Z", "-n", "2"];
    let output = site.cli(&[&["next", "--trigger", trigger][..], &after].concat());
    assert_eq!(out(&output), "2026-03-29T01:00:00Z\n2026-03-30T01:00:00Z\n");
    let output = site.cli(&["next", "--trigger", "every 90 parsecs"]);
    assert_eq!(code(&output), 2, "{}", err(&output));
}

#[test]
fn validate_lists_every_problem_at_once_with_its_key() {
    let site = Site::new(
        r#"
        plugin = "plugins"
        [jobs.a]
        plugin = "x"
        trigger = { type = "cron", hour = 25, timezone = "Europe/Berln" }
        max_instances = 0
        [jobs."b c"]
        plugin = "x"
        [jobs.c]
        plugin = "x"
        limits = { timeout = "5 parsecs", memori = "1MiB" }
        result = "stdout"
        "#,
    );
    let output = site.cli(&["validate"]);
    let said = err(&output) + &out(&output);
    assert_eq!(code(&output), 2, "{said}");
    for word in [
        "did you mean `plugins`",
        "jobs.a.trigger.hour",
        "Europe/Berlin",
        "jobs.a.max_instances",
        "b c",
        "jobs.c.limits.timeout",
        "did you mean `memory`",
        "not built yet",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let (status, said) = site.start_in_vain();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("jobs.c.limits.timeout"), "{said}");
    site.configure("[jobs.fine]\nplugin = \"x\"\n");
    assert_eq!(code(&site.cli(&["validate"])), 0);
}

#[test]
fn init_writes_a_configuration_that_validates_and_overwrites_none() {
    let site = Site::new("");
    std::fs::remove_file(site.path("host.toml")).unwrap();
    let output = site.cli(&["init"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(code(&site.cli(&["validate"])), 0);
    assert_ne!(code(&site.cli(&["init"])), 0);
}

#[test]
fn trigger_waits_shows_the_log_and_says_how_it_ended() {
    let site = Site::new(
        "[jobs.chat]\nplugin = \"behave\"\nhandler = \"logs\"\nargs = { lines = 2 }\n\
         [jobs.bad]\nplugin = \"behave\"\nhandler = \"fail_permanent\"\n\
         [jobs.slow]\nplugin = \"behave\"\nhandler = \"spin\"\nlimits = { timeout = \"200ms\" }\n",
    );
    site.plugin("behave", "behave");
    let host = site.start();
    for (job, exit) in [("chat", 0), ("bad", 1), ("slow", 3)] {
        let output = host.cli(&["trigger", job, "--wait"]);
        assert_eq!(code(&output), exit, "{job}: {}{}", out(&output), err(&output));
    }
    let output = host.cli(&["runs", "ls", "--json"]);
    let runs: Vec<Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(runs.len(), 3);
    let chat = runs.iter().find(|run| run["job"] == "chat").unwrap();
    let logs = host.cli(&["logs", chat["id"].as_str().unwrap()]);
    assert_eq!(out(&logs).lines().count(), 6, "{}", out(&logs));
    for command in [vec!["jobs", "ls"], vec!["jobs", "show", "chat"], vec!["plugins", "ls"]] {
        let output = host.cli(&command);
        assert_eq!(code(&output), 0, "{command:?}: {}", err(&output));
        assert!(out(&output).contains("chat") || out(&output).contains("behave"), "{command:?}");
    }
}

#[test]
fn without_a_host_the_store_itself_is_read() {
    let site = Site::new("[jobs.once]\nplugin = \"behave\"\nhandler = \"ok\"\n");
    site.plugin("behave", "behave");
    let host = site.start();
    assert_eq!(code(&host.cli(&["trigger", "once", "--wait"])), 0);
    assert!(host.terminate().0.success());
    for command in [vec!["jobs", "ls"], vec!["runs", "ls"], vec!["jobs", "show", "once"]] {
        let output = site.cli(&command);
        assert_eq!(code(&output), 0, "{command:?}: {}", err(&output));
        assert!(out(&output).contains("once"), "{command:?}: {}", out(&output));
        assert!(err(&output).contains("no host"), "{command:?}: {}", err(&output));
    }
    assert_ne!(code(&site.cli(&["trigger", "once"])), 0);
}

#[test]
fn usage_errors_exit_with_2() {
    let site = Site::new("");
    for args in
        [vec!["nonesuch"], vec!["jobs"], vec!["run"], vec!["--config", "gone.toml", "validate"]]
    {
        assert_eq!(code(&site.cli(&args)), 2, "{args:?}");
    }
}

#[test]
fn events_are_printed_as_they_come() {
    use std::io::{BufRead, BufReader};

    let site = Site::new("[jobs.once]\nplugin = \"behave\"\nhandler = \"ok\"\n");
    site.plugin("behave", "behave");
    let host = site.start();
    let mut events = std::process::Command::new(crate::support::host::binary())
        .args(["events", "-f", "--json", "--url", &host.url()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(events.stdout.take().unwrap());
    std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let mut heard = String::new();
    crate::support::eventually("the end of a run among the events", || {
        assert_eq!(code(&host.cli(&["trigger", "once"])), 0);
        heard.extend(lines.try_iter());
        heard.contains("run.succeeded").then_some(())
    });
    events.kill().unwrap();
    events.wait().unwrap();
}
