//! `host store`: what a store holds moves to another, whole, and the hosts go on there.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// A job that is due each second, and one that runs when it is asked to.
const JOBS: &str = "[jobs.tick]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\n\
                    [jobs.asked]\nplugin = \"behave\"\nhandler = \"logs\"\n";

fn site() -> Site {
    let site = Site::new(JOBS);
    site.plugin("behave", "behave");
    site
}

/// Lets a host run until `tick` ran so often, and stops it. Answers the ids of all runs.
fn work(site: &Site, ticks: usize) -> Vec<String> {
    let host = site.start();
    let (status, run) = host.post("/v1/jobs/asked/run", &json!({"args": {"lines": 3}}));
    assert_eq!(status, 202, "{run}");
    let id = run["id"].as_str().unwrap().to_owned();
    let (_, done) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!(done["state"], "done", "{done}");
    eventually("some ticks", || (ticks <= done_ticks(&host).len()).then_some(()));
    let (code, said) = host.terminate();
    assert!(code.success(), "{said}");
    lines(&site.cli(&["runs", "ls", "--json"]))
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect()
}

fn done_ticks(host: &Host) -> Vec<Value> {
    host.items("/v1/runs?job=tick&state=done&limit=1000")
}

/// What it printed, one value a line; it went well.
fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", err(output));
    out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// That it failed with this exit code, and said why.
#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    assert_eq!(output.status.code(), Some(code), "{}{}", out(output), err(output));
    assert!(err(output).contains(why), "{}", err(output));
}

#[track_caller]
fn sound(site: &Site) {
    let output = site.cli(&["store", "check"]);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains(" is sound: 2 jobs, "), "{}", out(&output));
}

#[test]
fn a_store_in_a_file_moves_to_redis_and_the_host_goes_on_there() {
    let (site, redis) = (site(), Redis::start());
    let before = work(&site, 3);
    sound(&site);
    let asked = lines(&site.cli(&["runs", "ls", "--job", "asked", "--json"]));
    let id = asked[0]["id"].as_str().unwrap();
    let log = out(&site.cli(&["logs", id]));
    assert!(!log.is_empty());

    let copied = site.cli(&["store", "copy", "--to", &redis.url(), "--json"]);
    let told = lines(&copied);
    assert_eq!(told[0]["action"], "copied");
    assert_eq!((&told[0]["counts"]["jobs"], &told[0]["under_way"]), (&json!(2), &json!(0)));
    assert_eq!(told[0]["counts"]["runs"], before.len());
    let next = format!("next: set `store = \"{}\"` in host.toml and start the host", redis.url());
    assert!(err(&copied).contains(&next), "{}", err(&copied));
    refused(&site.cli(&["store", "copy", "--to", &redis.url()]), 1, "it holds 2 jobs, ");

    site.configure(&format!("store = \"{}\"\n{JOBS}", redis.url()));
    sound(&site);
    assert_eq!(out(&site.cli(&["logs", id])), log);
    let host = site.start();
    eventually("ticks after the move", || {
        let new = |run: &Value| !before.iter().any(|id| run["id"] == **id);
        (2 <= done_ticks(&host).iter().filter(|run| new(run)).count()).then_some(())
    });
    for id in &before {
        let (status, run) = host.get(&format!("/v1/runs/{id}"));
        assert_eq!((status, &run["state"]), (200, &json!("done")), "{run}");
    }
    refused(
        &site.cli(&["store", "export", "--out", "x.jsonl"]),
        1,
        "stop them first, so that nothing is left behind",
    );
    assert!(host.terminate().0.success());
    // One verdict for each fire time from before the move until now.
    sound(&site);
}

#[test]
fn what_is_exported_beside_a_host_is_taken_over_by_another_store() {
    let site = site();
    work(&site, 1);
    let host = site.start();
    let exported = site.cli(&["store", "export", "--out", "tower.jsonl"]);
    assert!(exported.status.success(), "{}", err(&exported));
    let next = "next: take it over elsewhere with `host store import tower.jsonl`";
    assert!(err(&exported).contains(next), "{}", err(&exported));
    let copy = site.cli(&["store", "copy", "--to", "sqlite:other.db"]);
    refused(&copy, 1, "stop the host first");
    refused(&site.cli(&["store", "import", "tower.jsonl"]), 1, "stop the host first");
    assert!(host.terminate().0.success());

    let file = std::fs::read_to_string(site.path("tower.jsonl")).unwrap();
    assert!(file.starts_with("{\"campanile\":2,\"from\":\"sqlite\",\"at\":\""), "{file}");
    refused(&site.cli(&["store", "import", "tower.jsonl"]), 1, "it holds 2 jobs");
    site.configure(&format!("store = \"sqlite:other.db\"\n{JOBS}"));
    let imported = lines(&site.cli(&["store", "import", "tower.jsonl", "--json"]));
    assert_eq!(imported[0]["action"], "imported");
    sound(&site);
    work(&site, 2);
    sound(&site);
}

#[test]
fn a_file_that_was_cut_or_changed_is_refused_with_its_line() {
    let site = site();
    work(&site, 1);
    let exported = site.cli(&["store", "export"]);
    let text = out(&exported);
    assert!(exported.status.success() && err(&exported).contains("exported 2 jobs"));
    let lines: Vec<&str> = text.lines().collect();
    let (count, first_run) =
        (lines.len(), lines.iter().position(|line| line.starts_with("{\"run\"")).unwrap() + 1);
    site.configure(&format!("store = \"sqlite:other.db\"\n{JOBS}"));
    let without = |number: usize| {
        let rest = lines.iter().enumerate().filter(|(index, _)| index + 1 != number);
        rest.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let run = lines[first_run - 1];
    let in_run = |from: &str, to: &str| {
        assert!(run.contains(from), "{run}");
        text.replacen(run, &run.replacen(from, to, 1), 1)
    };
    for (file, at, why) in [
        (without(count), count, "its last line is missing: it was cut"),
        (text[..text.len() - 9].to_owned(), count, "the line has no end"),
        (without(first_run), count - 1, "lines are missing or too many"),
        (without(1), 1, "it is not what `host store export` writes"),
        (in_run("\"state\":\"done\"", "\"state\":\"dono\""), first_run, "unknown variant `dono`"),
        (in_run("\"state\":\"done\"", "\"state\":\"queued\""), first_run, "`finished_at`"),
        (format!("{text}{{}}\n"), count + 1, "something stands after the last line"),
        (text.replacen("{\"campanile\":2", "{\"campanile\":3", 1), 1, "use the newer host"),
        (in_run("\"succeeded\"", "\"succ\u{0}eded\""), first_run, "control character"),
    ] {
        std::fs::write(site.path("x.jsonl"), file).unwrap();
        let output = site.cli(&["store", "import", "x.jsonl"]);
        refused(&output, 1, why);
        assert!(err(&output).contains(&format!("`x.jsonl`, line {at}: ")), "{}", err(&output));
        assert!(!site.path("other.db").exists(), "nothing was touched");
    }
}

#[test]
fn a_file_of_an_earlier_host_is_taken_over_without_what_was_used() {
    let site = site();
    work(&site, 1);
    let text = out(&site.cli(&["store", "export"]));
    let older = text.lines().filter(|line| !line.starts_with("{\"used\""));
    let older: String = older.map(|line| format!("{line}\n")).collect();
    let older = older.replacen("{\"campanile\":2", "{\"campanile\":1", 1);
    let (rest, footer) = older.split_once(",\"buckets\":").expect("a count of buckets");
    let (_, end) = footer.split_once('}').unwrap();
    assert_eq!(end, "}\n");
    std::fs::write(site.path("x.jsonl"), format!("{rest}}}{end}")).unwrap();
    site.configure(&format!("store = \"sqlite:other.db\"\n{JOBS}"));
    let imported = lines(&site.cli(&["store", "import", "x.jsonl", "--json"]));
    assert_eq!(imported[0]["action"], "imported");
    sound(&site);
    let usage = lines(&site.cli(&["usage", "--json"]));
    assert_eq!((&usage[0]["total"]["runs"], &usage[0]["items"]), (&json!(0), &json!([])));
}

#[test]
fn a_check_finds_what_is_missing() {
    let (site, redis) = (site(), Redis::start());
    work(&site, 3);
    let url = redis.url();
    assert!(site.cli(&["store", "copy", "--to", &url]).status.success());

    let database = site.path(".campanile/campanile.db");
    let gone = spoil(
        &database,
        "DELETE FROM run WHERE id = (
        SELECT id FROM run WHERE job = 'tick' AND verdict = 'ran' ORDER BY fire_time LIMIT 1)",
    );
    assert_eq!(gone, 1);
    let output = site.cli(&["store", "check"]);
    refused(&output, 1, "1 fault in `");
    assert!(out(&output).contains("job default/tick: the fire time 20"), "{}", out(&output));
    assert!(out(&output).contains(" has no verdict and no run"), "{}", out(&output));
    assert_eq!(spoil(&database, "UPDATE schedule SET version = 77 WHERE job = 'asked'"), 1);
    let output = site.cli(&["store", "check", "--json"]);
    refused(&output, 1, "2 faults in `");
    assert!(out(&output).contains("default/asked: the columns of a job say"), "{}", out(&output));

    site.configure(&format!("store = \"{url}\"\n{JOBS}"));
    sound(&site);
    let runs = lines(&site.cli(&["runs", "ls", "--job", "tick", "--json"]));
    let ran = runs.iter().rfind(|run| run["verdict"] == "ran").unwrap();
    let id = ran["id"].as_str().unwrap();
    assert_eq!(redis.ask(&[&["HDEL", "{camp:0}:hr", &format!("{id}default")]]), "1");
    let output = site.cli(&["store", "check"]);
    refused(&output, 1, "faults in `redis://");
    assert!(out(&output).contains("the list `{camp:0}:jd` has "), "{}", out(&output));
    assert!(out(&output).contains(" has no verdict and no run"), "{}", out(&output));
}

/// Changes the file behind the host's back. Answers how many rows.
fn spoil(database: &Path, sql: &str) -> usize {
    rusqlite::Connection::open(database).unwrap().execute(sql, ()).unwrap()
}

#[test]
fn a_backup_made_beside_a_host_is_a_store() {
    let site = site();
    let before = work(&site, 2);
    let host = site.start();
    let output = site.cli(&["store", "backup", "kept.db"]);
    assert!(output.status.success(), "{}", err(&output));
    refused(&site.cli(&["store", "backup", "kept.db"]), 1, "there is a file `kept.db` already");
    assert!(host.terminate().0.success());
    site.configure(&format!("store = \"sqlite:kept.db\"\n{JOBS}"));
    sound(&site);
    for id in before {
        assert!(site.cli(&["runs", "show", &id]).status.success(), "{id}");
    }
    work(&site, 2);
    sound(&site);
}

#[test]
fn what_was_under_way_when_its_host_died_goes_on_elsewhere() {
    let config = "[jobs.long]\nplugin = \"behave\"\nhandler = \"spin\"\n\
                  limits = { timeout = \"1s\" }\n";
    let (site, redis) = (Site::new(config), Redis::start());
    site.plugin("behave", "behave");
    let host = site.start();
    let (_, run) = host.post("/v1/jobs/long/run", &json!({}));
    let id = run["id"].as_str().unwrap();
    eventually("a run under way", || {
        (host.get(&format!("/v1/runs/{id}")).1["state"] == "running").then_some(())
    });
    host.kill();
    let table = format!("{{ url = \"{}\", ttl = \"1s\", prefix = \"blue\" }}", redis.url());
    let copied = site.cli(&["store", "copy", "--to", &table]);
    assert!(copied.status.success(), "{}", err(&copied));
    assert!(err(&copied).contains("1 of the runs were under way"), "{}", err(&copied));
    assert!(err(&copied).contains(&format!("set `store = {table}`")), "{}", err(&copied));
    site.configure(&format!("store = {table}\n{config}"));
    let host = site.start();
    let (_, done) = host.get(&format!("/v1/runs/{id}?wait=30s"));
    assert_eq!((&done["outcome"], &done["attempt"]), (&json!("timed_out"), &json!(2)), "{done}");
    assert_eq!(done["attempts"][0]["outcome"], "abandoned", "{done}");
}

#[test]
fn what_was_interrupted_is_closed_to_hosts_until_it_is_made_again() {
    let (site, redis) = (site(), Redis::start());
    let before = work(&site, 1);
    assert!(site.cli(&["store", "export", "--out", "tower.jsonl"]).status.success());
    for store in [redis.url(), "sqlite:other.db".to_owned()] {
        site.configure(&format!("store = \"{store}\"\n{JOBS}"));
        assert!(site.cli(&["store", "import", "tower.jsonl"]).status.success());
        // As it is left when the power goes before the last step.
        if store.starts_with("redis") {
            assert_eq!(redis.ask(&[&["HSET", "{camp:0}:m", "importing", "1"]]), "1");
        } else {
            let sql = "INSERT OR REPLACE INTO meta VALUES ('importing', 1)";
            assert_eq!(spoil(&site.path("other.db"), sql), 1);
        }
        let (status, said) = site.start_in_vain();
        assert!(!status.success(), "{said}");
        assert!(said.contains("an import into it has begun and not ended: repeat it"), "{said}");
        refused(&site.cli(&["store", "check"]), 1, "an import into it has begun and not ended");
        let again = lines(&site.cli(&["store", "import", "tower.jsonl", "--json"]));
        assert_eq!(again[0]["counts"]["runs"], before.len());
        sound(&site);
        assert!(site.start().terminate().0.success());
    }
}

#[test]
fn a_store_that_can_not_be_is_named_with_what_would_be_right() {
    let site = site();
    for (args, code, why) in [
        (vec!["copy"], 2, "--from <URL>"),
        (vec!["copy", "--to", "sqlite:"], 2, "is named twice"),
        (vec!["copy", "--to", "redis://h:0"], 2, "--to: store: port 0 can't be connected to"),
        (vec!["copy", "--to", "memory:"], 1, "there is no store at"),
        (vec!["copy", "--from", "sqlite:gone.db", "--to", "sqlite:b.db"], 1, "gone.db"),
        (vec!["export"], 1, "there is no store at"),
        (vec!["check"], 1, "there is no store at"),
        (vec!["backup", "b.db"], 1, "there is no store at"),
        (vec!["import", "gone.jsonl"], 2, "can't read `gone.jsonl`"),
    ] {
        let args: Vec<&str> = ["store"].into_iter().chain(args).collect();
        refused(&site.cli(&args), code, why);
    }
    assert!(!site.path("b.db").exists());
}
