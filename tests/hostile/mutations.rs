//! Good components with bytes changed, from one seed: whatever comes out is refused, or runs and
//! ends; the engine goes on.

use std::sync::Arc;
use std::time::Duration;

use campanile::clock::SystemClock;
use campanile::engine::control::Control;
use campanile::engine::log::Log;
use campanile::engine::run::Request;
use campanile::engine::{Engine, Settings};
use campanile::job::limits::Limits;
use campanile::run::outcome::Outcome;

use super::module::good;
use crate::support::mutants::mutants;
use crate::support::{guests, requests};

/// Mutations of each component.
const MUTATIONS: usize = 150;

fn request(handler: &str) -> Request {
    let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    Request { limits, ..requests::request(handler) }
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
