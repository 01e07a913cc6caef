//! A host whose store is on a real Redis server: what it refuses, what it needs, and how it bears a
//! server that is away, full, read-only, or changes its password.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// A job that is due each second.
const JOB: &str = "[jobs.tick]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\noverlap = \"queue\"\n";

/// A host's folder, its store a table with these keys beside `ttl`.
fn site(store: &str) -> Site {
    let site = Site::new("");
    configure(&site, store);
    site.plugin("behave", "behave");
    site
}

fn configure(site: &Site, store: &str) {
    site.configure(&format!("store = {{ {store}, ttl = \"2s\" }}\n{JOB}"));
}

fn url(redis: &Redis) -> String {
    format!("url = \"{}\"", redis.url())
}

/// Waits until a run that was queued after now has succeeded.
fn runs_on(host: &Host) {
    let newest = |host: &Host| host.items("/v1/runs?job=tick&state=done").first().cloned();
    let before = newest(host).map(|run| run["queued_at"].as_str().unwrap().to_owned());
    eventually("another run's end", || {
        let run = newest(host)?;
        let is_new = before.as_deref() < run["queued_at"].as_str();
        (is_new && run["outcome"] == "succeeded").then_some(())
    });
}

fn is_ready(host: &Host) -> bool {
    host.get("/readyz").0 == 200
}

/// Waits until the host is not ready, and says why.
fn is_red(host: &Host) -> String {
    eventually("a host that is not ready", || {
        let (status, body) = host.get("/readyz");
        (status == 503).then(|| body["detail"].as_str().unwrap().to_owned())
    })
}

/// Each fire time since the first has exactly one verdict: neighbours in the ledger are a second
/// apart.
fn nothing_is_missing(host: &Host) {
    let mut items = host.items("/v1/jobs/tick/ledger?limit=1000");
    items.reverse();
    let micros = |item: &Value, key: &str| {
        campanile::time::Timestamp::parse(item[key].as_str().unwrap()).unwrap().micros()
    };
    for pair in items.windows(2) {
        assert_eq!(micros(&pair[1], "first") - micros(&pair[0], "last"), 1_000_000, "{pair:?}");
    }
    for item in &items {
        let span = micros(item, "last") - micros(item, "first");
        assert_eq!(span / 1_000_000 + 1, item["count"].as_i64().unwrap(), "{item}");
    }
}

#[test]
fn a_server_that_would_lose_jobs_is_refused_with_what_to_do() {
    let volatile = Redis::start_with(&["--appendonly", "no"]);
    let (status, said) = site(&url(&volatile)).start_in_vain();
    assert!(!status.success());
    assert!(said.contains("allow_volatile = true") && said.contains("appendonly"), "{said}");
    let allowed = site(&format!("{}, allow_volatile = true", url(&volatile)));
    let host = allowed.start();
    host.says("volatile: gone when the server ends");
    runs_on(&host);

    let evicting = Redis::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let (status, said) = site(&url(&evicting)).start_in_vain();
    assert!(!status.success() && said.contains("`noeviction`"), "{said}");

    for (format, says) in [("99", "newer host"), ("1", "give `prefix` another name")] {
        let other = Redis::start();
        other.ask(&[&["HSET", "{camp:0}:m", "schema", format, "gen", "1"]]);
        let (status, said) = site(&url(&other)).start_in_vain();
        assert!(!status.success(), "{said}");
        assert!(said.contains(&format!("format {format}")) && said.contains(says), "{said}");
        let counts: [(&[&str], _); 2] = [(&["DBSIZE"], "1"), (&["HLEN", "{camp:0}:m"], "2")];
        for (counted, expected) in counts {
            let kept = other.ask(&[counted]);
            let kept = kept.trim().trim_start_matches(':');
            assert_eq!(kept, expected, "nothing was written beside what was there");
        }
    }

    let nobody = format!("url = \"redis://127.0.0.1:{}/0\"", crate::support::ports::free());
    let (status, said) = site(&nobody).start_in_vain();
    assert!(!status.success() && said.contains("can't be reached"), "{said}");
}

#[test]
fn a_password_is_read_anew_and_shown_nowhere() {
    let redis = Redis::start_with(&["--requirepass", "hush-one"]);
    let site = site(&url(&redis));
    let (status, said) = site.start_in_vain();
    assert!(!status.success() && said.contains("`password`"), "{said}");

    std::fs::write(site.path("secret"), "hush-one\n").unwrap();
    configure(&site, &format!("{}, password = {{ file = \"secret\" }}", url(&redis)));
    let host = site.start();
    runs_on(&host);

    redis.ask(&[
        &["AUTH", "hush-one"],
        &["CONFIG", "SET", "requirepass", "hush-two"],
        &["CLIENT", "KILL", "TYPE", "normal"],
    ]);
    eventually("a host that says what it lacks", || {
        is_red(&host).contains("`password`").then_some(())
    });
    std::fs::write(site.path("secret"), "hush-two").unwrap();
    eventually("a host that is ready again", || is_ready(&host).then_some(()));
    runs_on(&host);
    nothing_is_missing(&host);
    let (status, said) = host.terminate();
    assert!(status.success());
    assert!(!said.contains("hush"), "a password was logged");
}

#[test]
fn the_rights_that_the_manual_names_are_enough_and_needed() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fleet.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let line = manual.lines().find(|line| line.starts_with("user campanile ")).unwrap();
    let rights = line.replace(">PASSWORD", ">hush");
    let redis = Redis::prepared(&["--aclfile", "{dir}/users.acl"], |dir| {
        std::fs::write(
            dir.join("users.acl"),
            format!("user default off\nuser root on >root +@all\n{rights}\n"),
        )
        .unwrap();
    });
    let store =
        format!("{}, username = \"campanile\", password = {{ file = \"secret\" }}", url(&redis));
    let allowed = site(&store);
    std::fs::write(allowed.path("secret"), "hush").unwrap();
    let host = allowed.start();
    runs_on(&host);
    let events = host.items("/v1/hosts");
    assert_eq!(events.len(), 1, "{events:?}");
    // Each connection says whose it is.
    let clients = redis.ask(&[&["AUTH", "root", "root"], &["CLIENT", "LIST"]]);
    let own: Vec<&str> = clients.lines().filter(|line| line.contains("user=campanile")).collect();
    let name = format!(" name=campanile/{}:", env!("CARGO_PKG_VERSION"));
    assert!(3 <= own.len() && own.iter().all(|line| line.contains(&name)), "{clients}");
    assert!(host.terminate().0.success());

    // Another prefix is another fleet's.
    configure(&allowed, &format!("{store}, prefix = \"other\""));
    let (status, said) = allowed.start_in_vain();
    assert!(!status.success() && said.contains("access list"), "{said}");
}

#[test]
fn a_server_speaks_tls_with_an_authority_of_its_own() {
    let named = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (own, other) = (named(), named());
    let options = [
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        "{dir}/cert.pem",
        "--tls-key-file",
        "{dir}/key.pem",
        "--tls-auth-clients",
        "no",
    ];
    let redis = Redis::prepared(&options, |dir: &Path| {
        std::fs::write(dir.join("cert.pem"), own.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), own.signing_key.serialize_pem()).unwrap();
    });
    let tls = url(&redis).replace("redis://", "rediss://");
    let site = site(&format!("{tls}, ca_file = \"ca.pem\""));
    std::fs::write(site.path("ca.pem"), other.cert.pem()).unwrap();
    let (status, said) = site.start_in_vain();
    assert!(!status.success() && said.contains("ertificate"), "{said}");

    std::fs::write(site.path("ca.pem"), own.cert.pem()).unwrap();
    let host = site.start();
    host.says("rediss://127.0.0.1");
    runs_on(&host);
}

#[test]
fn a_server_that_is_away_is_said_once_and_work_goes_on_when_it_is_back() {
    let mut redis = Redis::start();
    let site = site(&url(&redis));
    let host = site.start();
    runs_on(&host);
    redis.kill();
    let why = is_red(&host);
    assert!(why.contains("can't be reached") || why.contains("did not answer"), "{why}");
    let metrics = eventually("a metric that says so", || {
        let (_, text) = host.get("/metrics");
        let text = text.as_str().unwrap_or_default().to_owned();
        text.contains("campanile_store_up 0").then_some(text)
    });
    assert!(!metrics.is_empty());
    // While it is away time passes, which the count of looks in vain shows.
    let looks = || {
        let (_, text) = host.get("/metrics");
        let text = text.as_str().unwrap_or_default().to_owned();
        let failed = text.lines().filter(|line| {
            line.starts_with("campanile_store_calls_total{")
                && line.contains("\"due\"")
                && line.contains("\"unavailable\"")
        });
        failed.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    eventually("looks in vain", || (3.0 < looks()).then_some(()));
    redis.restart();
    eventually("a host that is ready again", || is_ready(&host).then_some(()));
    runs_on(&host);
    nothing_is_missing(&host);
    let (status, said) = host.terminate();
    assert!(status.success());
    assert_eq!(said.matches("the store is away").count(), 1, "{said}");
}

#[test]
fn a_full_server_refuses_whole_and_goes_on_when_there_is_room() {
    let redis = Redis::start();
    let site = site(&url(&redis));
    let host = site.start();
    runs_on(&host);
    redis.ask(&[&["CONFIG", "SET", "maxmemory", "1"]]);
    let why = is_red(&host);
    assert!(why.contains("maxmemory"), "{why}");
    let job = json!({ "id": "late", "plugin": "behave", "handler": "ok" });
    let (status, refused) = host.post("/v1/jobs", &job);
    assert!(status >= 500 && refused.to_string().contains("maxmemory"), "{status} {refused}");
    redis.ask(&[&["CONFIG", "SET", "maxmemory", "0"]]);
    eventually("a host that is ready again", || is_ready(&host).then_some(()));
    assert_eq!(host.get("/v1/jobs/late").0, 404, "nothing of it was kept");
    runs_on(&host);
    nothing_is_missing(&host);
}

#[test]
fn a_server_that_was_demoted_is_not_written_to() {
    let redis = Redis::start();
    let site = site(&url(&redis));
    let host = site.start();
    runs_on(&host);
    // Of a primary that never answers, so that what is there stays.
    let port = crate::support::ports::free().to_string();
    redis.ask(&[&["REPLICAOF", "127.0.0.1", &port]]);
    let why = is_red(&host);
    assert!(why.contains("replica"), "{why}");
    redis.ask(&[&["REPLICAOF", "NO", "ONE"]]);
    eventually("a host that is ready again", || is_ready(&host).then_some(()));
    runs_on(&host);
    nothing_is_missing(&host);
}
