//! Good components with bytes changed, from one seed: whatever comes out is refused, or runs and
//! ends; the engine goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::SystemClock;
use campanile::engine::control::Control;
use campanile::engine::log::Log;
use campanile::engine::run::Request;
use campanile::engine::{Engine, Settings};
use campanile::job::capabilities::Capabilities;
use campanile::job::limits::Limits;
use campanile::run::Cause;
use campanile::run::outcome::Outcome;
use campanile::time::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::module::good;
use crate::support::guests;

/// Mutations of each component.
const MUTATIONS: u32 = 150;

/// One change of a file's bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Take(prop::sample::Index, prop::sample::Index),
    Double(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Change::Cut),
        1 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(from, to)| Change::Take(from, to)),
        1 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(from, to)| Change::Double(from, to)),
    ]
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        let range = |a: &prop::sample::Index, b: &prop::sample::Index| {
            let (a, b) = (a.index(length), b.index(length));
            a.min(b)..a.max(b).min(a.min(b) + 4_096)
        };
        match change {
            Change::Set(at, byte) => bytes[at.index(length)] = *byte,
            Change::Cut(at) => bytes.truncate(at.index(length)),
            Change::Take(a, b) => drop(bytes.drain(range(a, b))),
            Change::Double(a, b) => {
                let range = range(a, b);
                let piece = bytes[range.clone()].to_vec();
                bytes.splice(range.start..range.start, piece);
            }
        }
    }
    bytes
}

fn request(handler: &str) -> Request {
    Request {
        tenant: "default".into(),
        job: "mutant".into(),
        run: "0".repeat(32),
        handler: handler.into(),
        cause: Cause::Manual,
        fire_time: Timestamp::from_secs(1_000),
        previous_success: None,
        attempt: 1,
        fence: 7,
        covers: 1,
        args: "null".into(),
        limits: Limits { timeout: Duration::from_millis(200), ..Limits::default() },
        capabilities: Capabilities::default(),
        config: Arc::new(BTreeMap::new()),
    }
}

async fn run(engine: &Engine, bytes: Vec<u8>) -> Option<Outcome> {
    let plugin = engine.load(bytes.into()).await.ok()?;
    let handler = plugin.about.handlers[0].name.to_string();
    let control = Arc::new(Control::new(Log::new(64 * 1024, Arc::new(SystemClock))));
    Some(engine.run(&plugin, request(&handler), &control).await.unwrap().outcome)
}

#[test]
fn changed_components_are_refused_or_run_and_the_engine_goes_on() {
    let settings = Settings {
        max_instances: 8,
        max_memory: 64 << 20,
        cache_dir: None,
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::new(settings).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut refused, mut ran) = (0, 0);
    for bytes in [good(), guests::bytes("noop")] {
        let config = Config { cases: MUTATIONS, failure_persistence: None, ..Config::default() };
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, random);
        for _ in 0..MUTATIONS {
            let changes = prop::collection::vec(change(), 1..4).new_tree(&mut runner).unwrap();
            let mutant = changed(&bytes, &changes.current());
            match runtime.block_on(run(&engine, mutant)) {
                None => refused += 1,
                Some(_) => ran += 1,
            }
        }
        let outcome = runtime.block_on(run(&engine, bytes));
        assert_eq!(outcome, Some(Outcome::Succeeded), "the engine does not go on");
    }
    assert!(refused > 0 && ran > 0, "{refused} refused, {ran} ran");
}
