//! What calls cost a Redis server, in its own microseconds: for people, who ask for it.
//!
//! `cargo test --lib -- --ignored --nocapture what_calls_cost_a_redis_server`

use std::collections::BTreeSet;
use std::sync::Arc;

use super::server;
use super::world::{at, attach, ended, job, new_run, new_schedule, want};
use crate::job::PluginKey;
use crate::job::names::QueueName;
use crate::record::Session;
use crate::record::room::Room;
use crate::record::step::{Acquire, Claim, Conflict};
use crate::run::outcome::Outcome;
use crate::store::Store;
use crate::store::redis::RedisStore;

/// Runs of each kind of call that is measured.
const CALLS: u64 = 2_000;
/// Tenants of a large host.
const MANY: usize = 1_000;

/// What the server has spent on scripts, and how many calls and bytes it has had.
struct Meter {
    connection: redis::Connection,
    before: (u64, u64, u64),
}

impl Meter {
    fn new(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let mut meter = Self { connection: client.get_connection().unwrap(), before: (0, 0, 0) };
        meter.before = meter.read();
        meter
    }

    fn read(&mut self) -> (u64, u64, u64) {
        let ask = |section, from: &mut redis::Connection| -> String {
            redis::cmd("INFO").arg(section).query(from).unwrap()
        };
        let (calls, bytes) =
            (ask("commandstats", &mut self.connection), ask("stats", &mut self.connection));
        let number = |text: &str, after: &str| {
            let found = text.split_once(after).map_or("0", |(_, rest)| rest);
            found.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap_or(0)
        };
        let scripts = calls.split_once("cmdstat_evalsha:").map_or("", |(_, rest)| rest);
        (number(scripts, "calls="), number(scripts, "usec="), number(&bytes, "net_input_bytes:"))
    }

    fn tell(&mut self, what: &str) {
        let (now, before) = (self.read(), self.before);
        let calls = (now.0 - before.0).max(1);
        let (micros, bytes) =
            ((now.1 - before.1) as f64 / calls as f64, (now.2 - before.2) / calls);
        eprintln!("{what}: {micros:.1} us, {bytes} bytes ({calls} calls)");
        self.before = self.read();
    }
}

fn wanted(slots: usize, tenants: usize) -> Acquire {
    let names = (0..tenants).map(|number| PluginKey {
        tenant: format!("tenant{number}").parse().unwrap(),
        plugin: "report".parse().unwrap(),
    });
    let queues = Arc::new(BTreeSet::from([QueueName::default()]));
    Acquire { room: Room::of_slots(slots), queues, classes: Arc::new(names.collect()) }
}

async fn take(store: &RedisStore, session: &Session, slots: usize) -> Vec<Claim> {
    let report =
        PluginKey { tenant: "default".parse().unwrap(), plugin: "report".parse().unwrap() };
    Store::acquire(store, session, want(slots, [report]), at(1)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "it only measures"]
async fn what_calls_cost_a_redis_server() {
    let settings = server::settings();
    let mut meter = Meter::new(&format!("redis://127.0.0.1:{}", settings.address.port));
    let store = RedisStore::open(settings).await.unwrap();
    let session = attach(&store, at(0)).await.unwrap().session;
    Store::put(&store, new_schedule("a", 100_000), Conflict::Fail, at(0)).await.unwrap();
    for _ in 0..3 {
        for id in 0..CALLS {
            Store::start(
                &store,
                new_run("a", u128::from(id) << 64 | meter.before.2 as u128, at(0)),
                at(0),
            )
            .await
            .unwrap();
        }
        meter.tell("start");
        let mut claims = Vec::new();
        for _ in 0..CALLS {
            claims.extend(take(&store, &session, 1).await);
        }
        meter.tell("acquire of one");
        for claim in &claims {
            let (key, end) = (claim.run.key(), ended(Outcome::Succeeded));
            Store::finish(&store, &session, &key, claim.fence, end, at(2)).await.unwrap();
        }
        meter.tell("finish");
    }
    for tenants in [1, MANY] {
        let want = wanted(64, tenants);
        Store::acquire(&store, &session, want.clone(), at(3)).await.unwrap();
        meter.tell("");
        for _ in 0..CALLS {
            Store::acquire(&store, &session, want.clone(), at(3)).await.unwrap();
        }
        meter.tell(&format!("idle acquire with {tenants} tenants"));
    }
    for number in 0..MANY {
        let name = format!("tenant{number}/a");
        Store::put(&store, new_schedule(&name, 100), Conflict::Fail, at(0)).await.unwrap();
        for id in 0..8 {
            Store::start(&store, new_run(&name, id, at(0)), at(0)).await.unwrap();
        }
    }
    let want = wanted(64, MANY);
    Store::acquire(&store, &session, want.clone(), at(3)).await.unwrap();
    meter.tell("");
    for _ in 0..100 {
        Store::acquire(&store, &session, want.clone(), at(3)).await.unwrap();
    }
    meter.tell("acquire of 64 of 1000 tenants");
    let _ = job("a");
}
