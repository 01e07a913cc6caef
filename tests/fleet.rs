//! Hosts that share a store: what one lacks another serves, hands on, or nobody has; and whose
//! definition of a job counts. The real binary with a real Redis server.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// How long a host may be silent. A job is parked after six times that.
const TTL: &str = "2s";
/// Runs of a job that is due each second, by which the fleet has stood still for longer than that.
const MANY: usize = 16;

/// A site on this store, with these keys before its jobs.
fn site(redis: &Redis, keys: &str, jobs: &str) -> Site {
    let store = format!("store = {{ url = \"{}\", ttl = \"{TTL}\" }}", redis.url());
    Site::new(&format!("{store}\n{keys}\n{jobs}"))
}

/// A job that is due each second.
fn each_second(name: &str) -> String {
    format!("[jobs.{name}]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\n")
}

fn done(host: &Host, job: &str) -> Vec<Value> {
    host.items(&format!("/v1/runs?job={job}&state=done&limit=1000"))
}

fn session(host: &Host) -> Value {
    host.item("the host itself", "/v1/hosts", |host| host["self"] == true)["session"].clone()
}

fn state(host: &Host, job: &str) -> Value {
    host.get(&format!("/v1/jobs/{job}")).1["state"].clone()
}

/// The sessions that ran the job.
fn ran_by(runs: &[Value]) -> BTreeSet<String> {
    let attempts = runs.iter().flat_map(|run| run["attempts"].as_array().unwrap());
    attempts.map(|attempt| attempt["session"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_host_plans_what_another_one_holds_and_all_of_it_runs() {
    let redis = Redis::start();
    let works = site(&redis, "roles = [\"executor\", \"api\"]", "");
    works.plugin("behave", "behave");
    let works = works.start();
    let plans = site(&redis, "roles = [\"scheduler\", \"api\"]", &each_second("plain")).start();
    let runs = eventually("three runs in time", || {
        let all = done(&plans, "plain");
        let in_time = all.iter().filter(|run| run["reason"] == "on_time").count();
        (in_time > 2).then_some(all)
    });
    for run in &runs {
        assert_eq!(
            (&run["outcome"], &run["verdict"]),
            (&json!("succeeded"), &json!("ran")),
            "{run}"
        );
    }
    assert_eq!(ran_by(&runs), BTreeSet::from([session(&works).as_str().unwrap().to_owned()]));
    let taken = plans.item("what the plugin suggests", "/v1/plugins", |it| it["name"] == "behave");
    assert_eq!(taken["found_in"], "store", "{taken}");
    let (_, metrics) = plans.get("/metrics");
    assert!(metrics.as_str().unwrap().contains("\ncampanile_runs_unserved 0\n"), "{metrics}");
}

#[test]
fn a_host_that_lacks_a_file_gets_the_plugin_from_the_store_and_runs_it() {
    let redis = Redis::start();
    let has = site(&redis, "", &each_second("plain"));
    has.plugin("behave", "behave");
    let has = has.start();
    let lacks = site(&redis, "", "").start();
    lacks.says("loaded from the store");
    let theirs = has.get("/v1/plugins/behave").1;
    let own = lacks.get("/v1/plugins/behave").1;
    assert_eq!((&own["state"], &own["digest"]), (&json!("active"), &theirs["digest"]));
    assert_eq!((&own["found_in"], &theirs["found_in"]), (&json!("store"), &json!("folder")));
    assert!(lacks.items("/v1/jobs").iter().all(|job| job["id"] == "plain"), "none by itself");
    assert!(has.terminate().0.success());
    let alone = session(&lacks);
    let run = lacks.item("a run of its own", "/v1/runs?job=plain&state=done", |run| {
        run["attempts"][0]["session"] == alone
    });
    assert_eq!(run["outcome"], "succeeded", "{run}");
}

#[test]
fn the_version_that_was_written_last_runs_on_every_host() {
    let redis = Redis::start();
    let (has, lacks) = (site(&redis, "", &each_second("plain")), site(&redis, "", ""));
    has.plugin("behave", "behave");
    let (host, other) = (has.start(), lacks.start());
    let holds = |host: &Host| {
        let plugin = host.get("/v1/plugins/behave").1;
        (plugin["found_in"].clone(), plugin["digest"].clone())
    };
    eventually("the plugin", || (holds(&other).0 == "store").then_some(()));
    assert!(host.terminate().0.success());
    has.plugin("noop", "behave");
    let host = has.start();
    let newer = (json!("store"), holds(&host).1);
    eventually("the newer one", || (holds(&other) == newer).then_some(()));
    lacks.plugin("duplicate", "behave");
    eventually("that the file is refused", || {
        other.get("/v1/plugins/behave").1["error"].as_str().map(drop)
    });
    assert_eq!(holds(&other), newer, "what is refused changes nothing");
    lacks.plugin("behave", "behave");
    eventually("that its file counts", || (holds(&other).0 == "folder").then_some(()));
    let back = (json!("folder"), holds(&other).1);
    assert_ne!(back.1, newer.1);
    eventually("that it counts everywhere", || (holds(&host).1 == back.1).then_some(()));
}

#[test]
fn what_a_host_declared_is_parked_when_it_is_gone_and_not_while_it_restarts() {
    let redis = Redis::start();
    let (one, two) = (site(&redis, "", &each_second("one")), site(&redis, "", &each_second("two")));
    one.plugin("behave", "behave");
    let (first, second) = (one.start(), two.start());
    for job in ["one", "two"] {
        eventually("many runs", || (done(&second, job).len() >= MANY).then_some(()));
    }
    assert_eq!((state(&second, "one"), state(&second, "two")), (json!("active"), json!("active")));
    assert!(first.terminate().0.success());
    let first = one.start();
    assert_eq!((state(&first, "one"), state(&first, "two")), (json!("active"), json!("active")));
    assert!(!second.said().contains("job parked"), "{}", second.said());
    let plan = String::from_utf8(one.cli(&["plan"]).stdout).unwrap();
    assert!(plan.contains("0 to change, 0 to park"), "{plan}");

    assert!(first.terminate().0.success());
    let parked = eventually("the job of the host that is gone to be parked", || {
        let job = second.get("/v1/jobs/one").1;
        (job["state"] == "parked").then_some(job)
    });
    assert_eq!(parked["reason"], "undeclared", "{parked}");
    eventually("what it had declared to be removed", || {
        let names = redis.ask(&[&["KEYS", "*:dk"]]);
        let docs = redis.ask(&[&["ZRANGE", names.trim(), "0", "-1"]]);
        let of = |kind: &str| docs.lines().filter(|it| it.contains(&format!("\0{kind}\0"))).count();
        ((of("declared"), of("declared-part")) == (1, 1)).then_some(())
    });
    let before = done(&second, "two").len();
    eventually("the other job to go on", || (done(&second, "two").len() > before).then_some(()));
    assert_eq!(state(&second, "two"), "active");

    let first = one.start();
    eventually("it to be declared again", || (state(&first, "one") == "active").then_some(()));
}

#[test]
fn a_host_whose_session_was_ended_declares_its_jobs_anew() {
    let redis = Redis::start();
    let (one, two) = (site(&redis, "", &each_second("one")), site(&redis, "", &each_second("two")));
    two.plugin("behave", "behave");
    let (first, second) = (one.start(), two.start());
    first.signal(Signal::STOP);
    eventually("it to be gone", || (second.items("/v1/hosts").len() == 1).then_some(()));
    first.signal(Signal::CONT);
    first.says("a new session was opened");
    let before = done(&second, "one").len();
    eventually("many runs", || (done(&second, "one").len() >= before + MANY).then_some(()));
    assert_eq!(state(&second, "one"), "active");
    assert!(!second.said().contains("job parked"), "{}", second.said());
}

#[test]
fn the_higher_config_version_counts_whoever_starts_first_and_of_two_equal_ones_the_first() {
    let jobs =
        |hours: u32| format!("[jobs.x]\nplugin = \"behave\"\ntrigger = \"every {hours}h\"\n");
    for (versions, stands, said) in
        [((1, 2), 2, "job changed"), ((2, 1), 1, "which is newer"), ((3, 3), 1, "config_conflict")]
    {
        let redis = Redis::start();
        let at = |version: u32, hours| {
            site(&redis, &format!("config_version = {version}"), &jobs(hours))
        };
        let (one, two) = (at(versions.0, 1), at(versions.1, 2));
        let (first, second) = (one.start(), two.start());
        second.says(said);
        let trigger = |host: &Host| host.get("/v1/jobs/x").1["definition"]["trigger"].clone();
        for host in [&first, &second] {
            assert_eq!(trigger(host), format!("every {stands}h"), "{versions:?}");
        }
        let explained = first.get("/v1/jobs/x/explain").1["otherwise"].clone();
        let otherwise: Vec<&Value> =
            explained.as_array().unwrap().iter().map(|it| &it["config_version"]).collect();
        let theirs = if stands == 1 { versions.1 } else { versions.0 };
        assert_eq!(otherwise, [&json!(theirs)], "{explained}");
        // The other way round it is the same, once both are there.
        assert!(first.terminate().0.success());
        let first = one.start();
        assert_eq!(trigger(&first), format!("every {stands}h"), "{versions:?}");
        if versions == (1, 2) {
            first.says("which is newer");
        }
    }
}

#[test]
fn what_nobody_serves_is_told_at_once_and_given_up_after_plugin_wait() {
    let redis = Redis::start();
    let ghost = |name: &str, wait: &str| {
        format!(
            "[jobs.{name}]\nplugin = \"ghost\"\nplugin_wait = \"{wait}\"\n\
             trigger = {{ type = \"interval\", hours = 1, start = \"now\" }}\n"
        )
    };
    let jobs = format!("{}{}", ghost("patient", "10m"), ghost("hasty", "2s"));
    let host = site(&redis, "", &jobs).start();
    host.says("no host that lives takes runs of this plugin from this queue");
    let hasty = host.item("the end of one", "/v1/runs?job=hasty&state=done", |_| true);
    assert_eq!(
        (&hasty["verdict"], &hasty["reason"], &hasty["outcome"]),
        (&json!("no_plugin"), &json!("no_plugin"), &Value::Null)
    );
    let patient = host.item("the other one", "/v1/runs?job=patient", |_| true);
    assert_eq!((&patient["state"], &patient["reason"]), (&json!("queued"), &json!("no_plugin")));
    let at = patient["fire_time"].as_str().unwrap();
    let (_, why) = host.get(&format!("/v1/jobs/patient/why?at={at}"));
    let says = why["says"][1].as_str().unwrap();
    assert!(
        says.starts_with(
            "its run waits: no host that lives takes runs of plugin `ghost` from queue `default`; \
             it is given up at "
        ),
        "{why}"
    );
    eventually("that it is counted", || {
        let (_, metrics) = host.get("/metrics");
        metrics.as_str().unwrap().contains("\ncampanile_runs_unserved 1\n").then_some(())
    });
    assert_eq!(host.get("/readyz").0, 200);
    assert_eq!(state(&host, "hasty"), "active");
}

/// Hosts that are restarted one after the other.
const ROLLED: usize = 5;

#[test]
fn a_rolling_restart_of_five_hosts_loses_nothing_and_repeats_nothing() {
    let redis = Redis::start();
    let jobs: String = (0..6)
        .map(|number| {
            format!(
                "[jobs.j{number}]\nplugin = \"behave\"\nhandler = \"sleep\"\nargs = {{ ms = 300 }}\n\
                 trigger = \"every 1s\"\ncoalesce = \"all\"\nmax_instances = 4\noverlap = \"queue\"\n\
                 queue_limit = 100\n"
            )
        })
        .collect();
    let sites: Vec<Site> = (0..ROLLED).map(|_| site(&redis, "config_version = 1", &jobs)).collect();
    for site in &sites {
        site.plugin("behave", "behave");
    }
    let mut hosts: Vec<Option<Host>> = sites.iter().map(|site| Some(site.start())).collect();
    let first = hosts[0].as_ref().unwrap();
    eventually("runs of each job", || {
        (0..6).all(|n| done(first, &format!("j{n}")).len() > 1).then_some(())
    });
    for (site, host) in sites.iter().zip(&mut hosts) {
        let (status, said) = host.take().unwrap().terminate();
        assert!(status.success(), "{said}");
        let again = site.start();
        again.says("listens on");
        *host = Some(again);
    }
    let last = hosts[ROLLED - 1].as_ref().unwrap();
    for number in 0..6 {
        let job = format!("j{number}");
        let before = done(last, &job).len();
        eventually("more runs of it", || (before + 2 < done(last, &job).len()).then_some(()));
        let mut items = last.items(&format!("/v1/jobs/{job}/ledger?limit=1000"));
        items.reverse();
        let second = |item: &Value| item["first"].as_str().unwrap().to_owned();
        let times: BTreeSet<String> = items.iter().map(second).collect();
        assert_eq!(times.len(), items.len(), "a fire time of {job} has two verdicts");
        let micros = |item: &Value, key: &str| {
            campanile::time::Timestamp::parse(item[key].as_str().unwrap()).unwrap().micros()
        };
        for pair in items.windows(2) {
            let gap = micros(&pair[1], "first") - micros(&pair[0], "last");
            assert_eq!(gap, 1_000_000, "{job}: {pair:?}");
        }
        for run in done(last, &job) {
            assert_eq!(run["outcome"], "succeeded", "{run}");
            // Only what had not begun was handed back.
            let begun = run["attempts"].as_array().unwrap().iter();
            let begun = begun.filter(|attempt| attempt["outcome"] != "abandoned").count();
            assert_eq!(begun, 1, "{run}");
        }
    }
}
