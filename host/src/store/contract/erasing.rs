//! Of a tenant of which all is forgotten at once.

use serde_json::json;

use super::world::{World, at, ended, job, line, range};
use crate::record::query::Page;
use crate::record::query::UsageFilter;
use crate::record::step::{AttemptEnd, Conflict, LiveRuns};
use crate::record::tenant::Holdings;
use crate::run::outcome::Outcome;
use crate::run::{RunKey, Verdict, reason};

/// Records forgotten in one step: fewer than there are.
const BUDGET: usize = 3;

async fn holdings(world: &World, name: &str) -> Holdings {
    world.store.holdings(&job(name).tenant).await.unwrap()
}

pub(super) async fn all_of_a_tenant_is_forgotten_but_what_lives_and_what_it_used(world: World) {
    let session = world.attach(at(0)).await;
    let mut runs: Vec<RunKey> = Vec::new();
    for name in ["acme/0", "acme/b", "acm/a", "acme.x/a", "zeta/a"] {
        world.put(name, 9).await;
        for second in 0..2 {
            let claim = world.fire_and_claim(&session, name).await;
            let end = AttemptEnd {
                result: Some(json!(1)),
                log: vec![line("said")],
                ..ended(Outcome::Succeeded)
            };
            let key = claim.run.key();
            world.store.finish(&session, &key, claim.fence, end, at(second)).await.unwrap();
            runs.push(key);
        }
        let mut missed = super::world::intent(&world.get(name).await, []);
        missed.ranges = vec![range(Verdict::Misfired, reason::LATE, 2, 4)];
        (missed.new_cursor, missed.new_due_at) = (Some(at(7)), Some(at(7)));
        world.fire(&session, missed, at(6)).await;
        let tenant = job(name).tenant;
        for (kind, key) in [("kv.tenant.a", "k"), ("kv.tenant.b", "k"), ("audit", "1")] {
            let value = Some(b"v".to_vec());
            world.store.doc_put(&tenant, kind, key, None, value).await.unwrap();
        }
        world.store.counter_add(&tenant, "c", 7, None).await.unwrap();
    }
    let live = world.fire_and_claim(&session, "acme/b").await;
    let before = holdings(&world, "acme/0").await;
    assert_eq!((before.records, before.counters), (2 * 3 + 1, 1));
    let kinds: Vec<_> =
        before.documents.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(kinds, [("audit", 1), ("kv.tenant.a", 1), ("kv.tenant.b", 1)]);
    let others = [holdings(&world, "acm/a").await, holdings(&world, "acme.x/a").await];
    let mark = world.store.doc_mark().await.unwrap();

    let tenant = job("acme/0").tenant;
    let (mut steps, mut records) = (0, 0);
    loop {
        let trimmed = world.store.erase(&tenant, BUDGET, at(9)).await.unwrap();
        assert!(trimmed.records <= BUDGET as u64, "{trimmed:?}");
        (steps, records) = (steps + 1, records + trimmed.records);
        if !trimmed.more {
            break;
        }
        assert!(steps < 20, "{trimmed:?}");
    }
    assert_eq!(records, 2 * 3 + 2 + 1);
    assert_ne!(world.store.doc_mark().await.unwrap(), mark);
    let left = holdings(&world, "acme/0").await;
    let audit = [("audit".to_owned(), 1)].into();
    assert_eq!(left, Holdings { records: 1, documents: audit, counters: 0 });
    assert_eq!([holdings(&world, "acm/a").await, holdings(&world, "acme.x/a").await], others);
    for key in &runs {
        let is_there = world.store.run(key).await.unwrap().is_some();
        assert_eq!(is_there, key.tenant != tenant, "{key}");
        assert_eq!(world.store.log_read(key, 0, 9).await.is_ok(), is_there);
    }
    assert_eq!(world.ledger("acme/0").await, []);
    // What lives goes on to its end, and what was used is kept.
    world.finish(&session, &live, Outcome::Succeeded, at(10)).await;
    assert_eq!(world.store.erase(&tenant, 100, at(11)).await.unwrap().records, 1);
    let filter = UsageFilter { tenant: Some(tenant.clone()), ..UsageFilter::default() };
    let used = world.store.usage(filter, Page { limit: 9, cursor: None }).await.unwrap();
    assert!(!used.items.is_empty());
    for name in ["acme/0", "acme/b"] {
        assert_eq!(world.store.remove(&job(name), None, LiveRuns::Keep, at(12)).await, Ok(true));
    }
    assert_eq!(world.store.counter_add(&tenant, "c", 1, None).await, Ok(Some(1)), "it began anew");
    assert_eq!(world.store.faults().await, Ok(vec![]));
    let again = super::world::new_schedule("acme/b", 9);
    world.store.put(again, Conflict::Fail, at(13)).await.unwrap();
    assert_eq!(world.ledger("acme/b").await, []);
}
