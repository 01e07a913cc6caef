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

use super::module::good;
use crate::support::guests;
use crate::support::mutants::mutants;

/// Mutations of each component.
const MUTATIONS: usize = 150;

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
        secrets: Arc::default(),
        services: None,
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
        for mutant in mutants(&bytes).take(MUTATIONS) {
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
