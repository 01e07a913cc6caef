//! What hosts that share a server say of tenants, and of themselves.

use std::collections::BTreeMap;

use super::server;
use super::world::{World, at, attach, new_run, new_schedule, want};
use crate::job::PluginKey;
use crate::job::names::QueueName;
use crate::job::quota::{Allotment, Quota, QuotaKey};
use crate::record::HostInfo;
use crate::record::account::Allotments;
use crate::record::step::Conflict;
use crate::run::RunKey;
use crate::store::Store;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::Settings;
use crate::time::Timestamp;

fn report_of(tenant: &str) -> PluginKey {
    PluginKey { tenant: tenant.parse().unwrap(), plugin: "report".parse().unwrap() }
}

fn only(version: i64, key: QuotaKey, limit: u64) -> Allotments {
    let allotment = Allotment { quota: Quota::default().with(key, limit), weight: 1 };
    let tenants = BTreeMap::from([("acme".parse().unwrap(), allotment)]);
    Allotments { version, tenants, queues: BTreeMap::new() }
}

async fn host(settings: &Settings, name: &str) -> RedisStore {
    RedisStore::open(settings.clone().of_host(name)).await.unwrap()
}

/// Every kind of store tells the same date.
pub(super) async fn the_end_of_a_window_is_told_as_a_date(world: World) {
    let session = world.attach(at(0)).await;
    world.put("acme/a", 99).await;
    let mut id = 0;
    for (key, now, end) in [
        (QuotaKey::RunsPerMinute, "1999-12-31T23:59:59.999999Z", "2000-01-01T00:00:00Z"),
        (QuotaKey::RunsPerMinute, "2000-02-28T23:59:00Z", "2000-02-29T00:00:00Z"),
        (QuotaKey::CpuPerHour, "2026-09-30T23:00:00Z", "2026-10-01T00:00:00Z"),
        (QuotaKey::HttpPerHour, "2028-02-29T23:30:00Z", "2028-03-01T00:00:00Z"),
        (QuotaKey::FuelPerHour, "2100-02-28T23:59:59Z", "2100-03-01T00:00:00Z"),
        (QuotaKey::RunsPerMinute, "2399-12-31T12:34:56Z", "2399-12-31T12:35:00Z"),
    ] {
        let (now, end) = (Timestamp::parse(now).unwrap(), Timestamp::parse(end).unwrap());
        assert!(world.store.allot(only(1, key, 0)).await.unwrap());
        id += 1;
        let new = new_run("acme/a", id, now);
        let run = RunKey { tenant: new.job.tenant.clone(), run: new.id };
        world.store.start(new, now).await.unwrap();
        let want = want(9, [report_of("acme")]);
        assert!(world.store.acquire(&session, want, now).await.unwrap().is_empty());
        let error = world.store.run(&run).await.unwrap().unwrap().error.unwrap();
        let shown = key.show(0);
        let expected =
            format!("the tenant has used up `quota.{key}` = {shown}; more is free from {end} on");
        assert_eq!((error.message, error.retryable), (expected, false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_two_hosts_the_one_with_the_newer_configuration_counts() {
    let settings = server::settings();
    let (one, other) = (host(&settings, "one").await, host(&settings, "other").await);
    let session = Store::attach(&one, HostInfo::named("one"), at(0)).await.unwrap().session;
    Store::attach(&other, HostInfo::named("other"), at(0)).await.unwrap();
    let put = async |name: &str| {
        Store::put(&one, new_schedule(name, 1), Conflict::Fail, at(0)).await.map(drop)
    };
    assert_eq!(Store::allot(&one, only(2, QuotaKey::Jobs, 1)).await, Ok(true));
    assert_eq!(put("acme/a").await, Ok(()));
    assert!(put("acme/b").await.is_err());
    assert_eq!(Store::allot(&other, only(1, QuotaKey::Jobs, 9)).await, Ok(false));
    assert!(put("acme/b").await.is_err());
    assert_eq!(Store::allot(&other, only(2, QuotaKey::Jobs, 2)).await, Ok(true), "as new");
    assert_eq!(put("acme/b").await, Ok(()));
    assert_eq!(Store::allot(&one, only(1, QuotaKey::Jobs, 9)).await, Ok(false));
    // Whoever said it last may go back, also after a restart.
    let again = host(&settings, "other").await;
    assert_eq!(
        Store::allot(&again, Allotments { version: 1, ..Allotments::default() }).await,
        Ok(true)
    );
    assert_eq!(put("acme/c").await, Ok(()), "nothing is limited any more");
    // Who is gone says nothing any more.
    assert_eq!(Store::allot(&one, only(2, QuotaKey::Jobs, 1)).await, Ok(true));
    assert_eq!(Store::allot(&other, only(1, QuotaKey::Jobs, 9)).await, Ok(false));
    Store::detach(&one, &session, at(1)).await.unwrap();
    assert_eq!(Store::allot(&other, only(1, QuotaKey::Jobs, 9)).await, Ok(true));
    assert_eq!(put("acme/d").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_takes_what_it_serves_now_and_not_what_it_served_before() {
    let settings = server::settings();
    let store = host(&settings, "one").await;
    let session = attach(&store, at(0)).await.unwrap().session;
    let take = async |classes: &[&str]| {
        let queues = std::sync::Arc::new([QueueName::default()].into());
        let classes = classes.iter().map(|name| report_of(name)).collect();
        let classes = std::sync::Arc::new(classes);
        let want = crate::record::step::Acquire { queues, classes, ..want(1, []) };
        Store::acquire(&store, &session, want, at(1)).await.unwrap().len()
    };
    for (name, id) in [("acme/a", 1), ("zeta/a", 2), ("zeta/a", 3), ("acme/a", 4)] {
        if id < 3 {
            Store::put(&store, new_schedule(name, 9), Conflict::Fail, at(0)).await.unwrap();
        }
        Store::start(&store, new_run(name, id, at(0)), at(0)).await.unwrap();
    }
    assert_eq!(take(&["acme"]).await, 1);
    assert_eq!(take(&["zeta"]).await, 1);
    assert_eq!(take(&[]).await, 0);
    // A server that has forgotten it is told again.
    assert_eq!(take(&["zeta"]).await, 1);
    ask(&settings, &["DEL", "sv"]);
    assert_eq!(take(&["zeta"]).await, 0, "there is none left");
    assert_eq!(take(&["acme", "zeta"]).await, 1);
    Store::detach(&store, &session, at(2)).await.unwrap();
    assert_eq!(ask(&settings, &["EXISTS", "sv"]), 0, "what a session served goes with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn accounts_that_do_not_say_what_the_runs_have_are_faults() {
    let settings = server::settings();
    let store = host(&settings, "one").await;
    let session = attach(&store, at(0)).await.unwrap().session;
    Store::put(&store, new_schedule("acme/a", 9), Conflict::Fail, at(0)).await.unwrap();
    for id in 0..3 {
        Store::start(&store, new_run("acme/a", id, at(0)), at(0)).await.unwrap();
    }
    let want = want(1, [report_of("acme")]);
    assert_eq!(Store::acquire(&store, &session, want, at(1)).await.unwrap().len(), 1);
    let faults = async || Store::faults(&store).await.unwrap().join("; ");
    assert_eq!(faults().await, "");

    ask(&settings, &["HINCRBY", "qr", "default", "1"]);
    assert!(
        faults().await.contains("queue default: 2 attempts are said to be under way, and 1 are")
    );
    ask(&settings, &["HINCRBY", "qr", "default", "-1"]);
    ask(&settings, &["ZADD", "wt", "0", "0000000000000007zeta"]);
    assert!(faults().await.contains("wt` has 2 entries"));
    ask(&settings, &["ZREM", "wt", "0000000000000007zeta"]);
    assert_eq!(faults().await, "");
    // One run fewer than there are, and another tag.
    ask(&settings, &["HSET", "ac", "acme", "\u{1}\u{0}\u{2}\u{2}\u{7}\u{7}"]);
    let said = faults().await;
    assert!(said.contains("its account says `live` is 2, and its runs have 3"), "{said}");
    assert!(said.contains("its account says `memory` is 0, and its runs have 67108864"), "{said}");
    assert!(said.contains("tenant acme: it is missing in the list WAITING"), "{said}");
    ask(&settings, &["DEL", "ac"]);
    assert!(faults().await.contains("its account says `running` is 0, and its runs have 1"));
}

/// Sends a command; the second word is the short name of a key.
fn ask(settings: &Settings, words: &[&str]) -> i64 {
    let address = &settings.address;
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", address.port)).unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(format!("{{{}:0}}:{}", address.prefix, words[1])).arg(&words[2..]);
    command.query(&mut client.get_connection().unwrap()).unwrap()
}
