use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::*;
use crate::clock::{ManualClock, SharedClock};
use crate::config::Config;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::time::Timestamp;

/// More than any of these tests needs.
const PLENTY: u64 = 1 << 20;

/// Several hosts on one store.
struct World {
    store: Arc<EmbeddedStore>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_000_000)));
        Self { store: Arc::new(EmbeddedStore::memory()), clock }
    }

    fn host(&self) -> Desk {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        Desk::new(store, Arc::clone(&self.clock) as SharedClock, mpsc::channel(1).0)
    }
}

fn bucket(job: &str, name: &str) -> Bucket {
    let job = JobKey { tenant: TenantId::default_tenant(), job: job.parse().unwrap() };
    Bucket::named(&job, name).unwrap()
}

async fn set(
    desk: &Desk,
    bucket: &Bucket,
    key: &str,
    value: &[u8],
    limit: u64,
) -> Result<(), KvError> {
    let decide = |_: Option<&[u8]>| Ok(Change::Set(value.to_vec(), ()));
    bucket.change(desk, key, (limit, &mut true), decide).await
}

async fn delete(desk: &Desk, bucket: &Bucket, key: &str) {
    let decide = |_: Option<&[u8]>| Ok(Change::Delete(()));
    bucket.change(desk, key, (PLENTY, &mut true), decide).await.unwrap();
}

async fn add_one(desk: &Desk, bucket: &Bucket, key: &str) -> u64 {
    let decide = |old: Option<&[u8]>| {
        let old: u64 = old.map_or(0, |old| String::from_utf8_lossy(old).parse().unwrap());
        Ok(Change::Set((old + 1).to_string().into_bytes(), old + 1))
    };
    bucket.change(desk, key, (PLENTY, &mut true), decide).await.unwrap()
}

/// Waits for it on a thread of its own.
fn at_once<T>(what: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(what)
}

async fn get(desk: &Desk, bucket: &Bucket, key: &str) -> Option<Vec<u8>> {
    bucket.get(desk, key).await.unwrap()
}

#[tokio::test]
async fn a_bucket_is_its_jobs_own_or_its_tenants_and_no_name_leads_to_another() {
    let world = World::new();
    let desk = world.host();
    let other_tenant = JobKey { tenant: "acme".parse().unwrap(), job: "a".parse().unwrap() };
    let buckets = [
        bucket("a", ""),
        bucket("b", ""),
        bucket("a", "a"),
        bucket("a", "b"),
        bucket("a", "job.a"),
        Bucket::named(&other_tenant, "").unwrap(),
        Bucket::named(&other_tenant, "a").unwrap(),
    ];
    for (number, bucket) in buckets.iter().enumerate() {
        set(&desk, bucket, "k", number.to_string().as_bytes(), PLENTY).await.unwrap();
    }
    for (number, bucket) in buckets.iter().enumerate() {
        assert_eq!(get(&desk, bucket, "k").await, Some(number.to_string().into_bytes()));
    }
    assert_eq!(bucket("a", "shared"), bucket("b", "shared"));
    for name in ["..", "a/b", " ", "-a", "a\0", &"x".repeat(129)] {
        let refused = Bucket::named(&other_tenant, name).unwrap_err();
        assert!(refused.contains("is no bucket name"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_of_several_hosts_are_all_counted() {
    let world = World::new();
    let tasks = (0..4).map(|_| {
        let desk = world.host();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..50 {
                seen.push(add_one(&desk, &bucket("a", "n"), "k").await);
            }
            seen
        })
    });
    let mut seen = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        seen.extend(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<u64>>(), "no two were answered the same");
    assert_eq!(get(&world.host(), &bucket("a", "n"), "k").await, Some(b"200".to_vec()));
}

#[tokio::test]
async fn a_write_of_the_same_bytes_at_the_same_time_is_still_another_write() {
    let world = World::new();
    let (one, other) = (world.host(), world.host());
    let own = bucket("a", "");
    let (mut first, mut recount) = (true, true);
    let done = own.change(&one, "k", (PLENTY, &mut recount), |old: Option<&[u8]>| {
        if std::mem::take(&mut first) {
            // Another host writes the very same value between reading and writing.
            let other = &other;
            let written = std::thread::scope(|scope| {
                scope.spawn(|| at_once(add_one(other, &bucket("a", ""), "k"))).join()
            });
            assert_eq!(written.unwrap(), 1);
        }
        let old: u64 = old.map_or(0, |old| String::from_utf8_lossy(old).parse().unwrap());
        Ok(Change::Set((old + 1).to_string().into_bytes(), old + 1))
    });
    assert_eq!(done.await, Ok(2));
}

#[tokio::test]
async fn a_key_that_was_deleted_and_came_back_is_not_taken_for_the_old_one() {
    let world = World::new();
    let desk = world.host();
    let own = bucket("a", "");
    set(&desk, &own, "k", b"old", PLENTY).await.unwrap();
    let before = world.store.doc_get(&own.tenant, &own.kind, ".k").await.unwrap().unwrap();
    delete(&desk, &own, "k").await;
    assert_eq!(get(&desk, &own, "k").await, None);
    assert!(own.keys(&desk, None).await.unwrap().keys.is_empty());
    set(&desk, &own, "k", b"new", PLENTY).await.unwrap();
    let after = world.store.doc_get(&own.tenant, &own.kind, ".k").await.unwrap().unwrap();
    assert!(before.version < after.version, "whoever read the old one can't overwrite the new");
}

#[tokio::test]
async fn a_bucket_holds_so_much_and_what_was_deleted_makes_room() {
    let world = World::new();
    let desk = world.host();
    let own = bucket("a", "");
    // A key of two letters and 30 bytes weighs 64 + 3 + 30.
    for key in ["k0", "k1", "k2"] {
        set(&desk, &own, key, &[7; 30], 300).await.unwrap();
    }
    assert_eq!(set(&desk, &own, "k3", &[7; 30], 300).await, Err(KvError::Full(4 * 97)));
    assert_eq!(set(&desk, &own, "k2", &[7; 39], 300).await, Ok(()), "to the last byte");
    assert_eq!(set(&desk, &own, "k2", &[7; 40], 300).await, Err(KvError::Full(301)));
    delete(&desk, &own, "k0").await;
    delete(&desk, &own, "k1").await;
    // A deleted key leaves a mark for a while.
    assert_eq!(set(&desk, &own, "k3", &[7; 30], 300).await, Err(KvError::Full(67 + 67 + 106 + 97)));
    set(&desk, &own, "k0", &[7; 30], 300).await.unwrap();
    world.clock.set(Timestamp::from_secs(1_001_000));
    set(&desk, &own, "k4", &[7; 30], 300).await.unwrap();
    assert_eq!(own.keys(&desk, None).await.unwrap().keys, ["k0", "k2", "k4"]);
}

#[tokio::test]
async fn bytes_that_a_dead_host_had_reserved_are_found_by_counting_anew() {
    let world = World::new();
    let desk = world.host();
    let own = bucket("a", "");
    set(&desk, &own, "k", &[7; 30], 300).await.unwrap();
    own.reserve(&desk, 150, 300, &mut true).await.unwrap();
    let no_recount = &mut false;
    let decide = |_: Option<&[u8]>| Ok(Change::Set(vec![7; 30], ()));
    let full = own.change(&desk, "l", (300, no_recount), decide).await;
    assert_eq!(full, Err(KvError::Full(96 + 150 + 96)));
    let recount = &mut true;
    own.change(&desk, "l", (300, recount), decide).await.unwrap();
    assert!(!*recount, "a run does that once");
}

#[tokio::test]
async fn bytes_that_a_recount_missed_are_added_by_who_wrote_them() {
    let world = World::new();
    let desk = world.host();
    let own = bucket("a", "");
    set(&desk, &own, "k", &[7; 30], 300).await.unwrap();
    let counted = own.reserve(&desk, 97, 300, &mut true).await.unwrap();
    // Somebody counts anew before the write is there.
    let full = set(&desk, &own, "l", &[7; 150], 300).await;
    assert_eq!(full, Err(KvError::Full(96 + 216)), "it counted what is there");
    own.confirm(&desk, 97, counted).await.unwrap();
    own.give_back(&desk, 97, counted).await.unwrap();
    let decide = |_: Option<&[u8]>| Ok(Change::Set(vec![7; 140], ()));
    let full = own.change(&desk, "m", (300, &mut false), decide).await;
    assert_eq!(full, Err(KvError::Full(96 + 97 + 206)), "what was written since is counted too");
    let full = own.change(&desk, "m", (300, &mut true), decide).await;
    assert_eq!(full, Err(KvError::Full(96 + 206)));
}

#[tokio::test]
async fn keys_are_listed_in_parts() {
    let world = World::new();
    let desk = world.host();
    let own = bucket("a", "");
    let names: Vec<String> = (0..250).map(|number| format!("k{number:03}")).collect();
    for name in &names {
        set(&desk, &own, name, b"v", PLENTY).await.unwrap();
    }
    let (mut keys, mut parts, mut from) = (Vec::new(), 0, None);
    loop {
        let found = own.keys(&desk, from).await.unwrap();
        keys.extend(found.keys);
        parts += 1;
        from = found.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!((keys, parts), (names, 3));
}

#[tokio::test]
async fn a_tenant_has_so_many_buckets_with_names_and_each_job_its_own() {
    let world = World::new();
    let desk = world.host();
    for number in 0..count::MAX_BUCKETS {
        set(&desk, &bucket("a", &format!("b{number}")), "k", b"", PLENTY).await.unwrap();
    }
    let more = set(&desk, &bucket("a", "more"), "k", b"", PLENTY).await;
    assert_eq!(more, Err(KvError::TooMany));
    set(&desk, &bucket("a", "b7"), "l", b"", PLENTY).await.unwrap();
    set(&desk, &bucket("z", ""), "k", b"", PLENTY).await.unwrap();
}

#[tokio::test]
async fn all_buckets_of_a_tenant_hold_no_more_than_its_quota() {
    let world = World::new();
    let (_changed, config) = watch::channel(config("{ storage = 1000 }"));
    // What was kept before there was a quota counts too.
    let free = world.host();
    set(&free, &bucket("a", ""), "k", &[0; 400], PLENTY).await.unwrap();
    let used = kv_bytes(&world).await;
    assert!((400..500).contains(&used), "{used}");
    let desk = world.host().with_quotas(config.clone());
    let other = bucket("b", "shared");
    let refused = set(&desk, &other, "k", &[0; 600], PLENTY).await;
    assert_eq!(refused, Err(KvError::TenantFull(1_000)));
    assert_eq!(kv_bytes(&world).await, used, "nothing is left of what was refused");
    set(&desk, &other, "k", &[0; 400], PLENTY).await.unwrap();
    // A host that begins counts what is there.
    let next = world.host().with_quotas(config);
    assert!(set(&next, &bucket("c", ""), "k", &[0; 40], PLENTY).await.is_err());
    delete(&next, &other, "k").await;
    set(&next, &bucket("c", ""), "k", &[0; 300], PLENTY).await.unwrap();
    let of_another = JobKey { tenant: "acme".parse().unwrap(), job: "a".parse().unwrap() };
    let of_another = Bucket::named(&of_another, "").unwrap();
    set(&next, &of_another, "k", &[0; 2_000], PLENTY).await.unwrap();
}

async fn kv_bytes(world: &World) -> u64 {
    let tenant = TenantId::default_tenant();
    storage::kv_bytes(world.store.as_ref(), &tenant).await.unwrap()
}

/// A configuration in which the default tenant has this quota.
fn config(quota: &str) -> Arc<Config> {
    let text = format!("[tenants.default]\nquota = {quota}");
    let base = std::path::Path::new("/srv");
    Arc::new(Config::parse(&text, "host.toml".as_ref(), base, 1).unwrap())
}

/// What is counted for the quota.
async fn counted(world: &World) -> u64 {
    let tenant = TenantId::default_tenant();
    let (kind, key) = storage::DOC;
    let doc = world.store.doc_get(&tenant, kind, key).await.unwrap().unwrap();
    let counted: serde_json::Value = serde_json::from_slice(&doc.value).unwrap();
    counted["bytes"].as_u64().unwrap()
}

#[tokio::test]
async fn what_was_kept_while_there_was_no_quota_counts_when_there_is_one_again() {
    let world = World::new();
    let (changed, receiver) = watch::channel(config("{ storage = 1000 }"));
    let (desk, bucket) = (world.host().with_quotas(receiver), bucket("a", ""));
    set(&desk, &bucket, "k", &[0; 300], PLENTY).await.unwrap();
    changed.send_replace(config("{}"));
    set(&desk, &bucket, "l", &[0; 600], PLENTY).await.unwrap();
    changed.send_replace(config("{ storage = 1000 }"));
    let refused = set(&desk, &bucket, "m", &[0; 100], PLENTY).await;
    assert_eq!(refused, Err(KvError::TenantFull(1_000)));
    assert_eq!(counted(&world).await, kv_bytes(&world).await);
    delete(&desk, &bucket, "k").await;
    set(&desk, &bucket, "m", &[0; 100], PLENTY).await.unwrap();
}

#[tokio::test]
async fn who_asks_for_more_over_and_over_does_not_have_all_buckets_read_each_time() {
    let world = World::new();
    let (_changed, receiver) = watch::channel(config("{ storage = 1000 }"));
    let desk = world.host().with_quotas(receiver.clone());
    set(&desk, &bucket("a", ""), "k", &[0; 800], PLENTY).await.unwrap();
    // The bucket goes away, as with its job.
    let tenant = TenantId::default_tenant();
    world.store.doc_put(&tenant, "kv-bytes.job", "a", None, None).await.unwrap();
    assert_eq!(kv_bytes(&world).await, 0);
    for _ in 0..3 {
        let refused = set(&desk, &bucket("b", ""), "k", &[0; 800], PLENTY).await;
        assert_eq!(refused, Err(KvError::TenantFull(1_000)));
    }
    let next = world.host().with_quotas(receiver);
    set(&next, &bucket("b", ""), "k", &[0; 800], PLENTY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hosts_that_count_at_once_leave_no_less_than_there_is() {
    let world = World::new();
    let (_changed, receiver) = watch::channel(config("{ storage = 100000 }"));
    for round in 0..20 {
        let tenant = TenantId::default_tenant();
        let surplus = br#"{"bytes":99999,"nonce":""}"#.to_vec();
        let (kind, key) = storage::DOC;
        world.store.doc_put(&tenant, kind, key, None, Some(surplus)).await.unwrap();
        let hosts = (0..8).map(|host| {
            let desk = world.host().with_quotas(receiver.clone());
            tokio::spawn(async move {
                let bucket = bucket(&format!("j{host}"), "");
                set(&desk, &bucket, &format!("k{round}"), &[0; 100], PLENTY).await
            })
        });
        for host in hosts.collect::<Vec<_>>() {
            let _full = host.await.unwrap();
        }
        let (counted, there) = (counted(&world).await, kv_bytes(&world).await);
        assert!(there <= counted, "{there} bytes, and {counted} are counted");
    }
}
