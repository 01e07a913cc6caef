#![no_main]

#[expect(dead_code, reason = "each target calls one body")]
#[path = "../../tests/fuzz/bodies.rs"]
mod bodies;

use std::sync::{Arc, LazyLock};

use campanile::clock::SystemClock;
use campanile::engine::{Engine, Settings};
use tokio::runtime::Runtime;

static ENGINE: LazyLock<(Arc<Engine>, Runtime)> = LazyLock::new(|| {
    let settings = Settings {
        max_instances: 8,
        max_memory: 64 << 20,
        cache_dir: None,
        clock: Arc::new(SystemClock),
    };
    (Engine::new(settings).expect("a sandbox"), Runtime::new().expect("a runtime"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (engine, runtime) = &*ENGINE;
    bodies::plugin_bytes(engine, runtime, bytes);
});
