//! Under load, many times, without a store, in a fleet.

use super::*;

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
