//! What is done with bytes of strangers, as plain functions: nothing may panic, hang or grow without
//! bounds, whatever the bytes are. Tests and `fuzz/` call them.

use std::path::Path;
use std::sync::Arc;

use campanile::config::Config;
use campanile::config::definitions::definitions;
use campanile::engine::Engine;
use campanile::time::Timestamp;
use campanile::trigger::Trigger;
use chrono_tz::Tz;

/// Fire times that are asked of a trigger.
const FIRES: usize = 5;

/// A file in the plugins folder. Answers whether it is a plugin.
pub fn plugin_bytes(engine: &Arc<Engine>, runtime: &tokio::runtime::Runtime, bytes: &[u8]) -> bool {
    runtime.block_on(engine.load(bytes.into())).is_ok()
}

/// A `host.toml`. Answers whether it can be used.
pub fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1) {
        Ok(config) => {
            let _ = definitions(&config, &[], &[]);
            true
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a reason");
            false
        }
    }
}

/// A trigger as JSON. Answers whether it is one.
pub fn trigger(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice(bytes) else { return false };
    let mut problems = Vec::new();
    let Some(trigger) = Trigger::parse(&value, "trigger", Tz::UTC, &mut problems) else {
        assert!(!problems.is_empty(), "refused without a reason: {value}");
        return false;
    };
    let anchor = Timestamp::from_secs(1_767_225_600);
    let mut fire = trigger.first(anchor);
    for _ in 0..FIRES {
        let Some(this) = fire else { break };
        fire = trigger.next_after(anchor, this);
        assert!(fire.is_none_or(|next| next > this), "{value} fires at {this} and does not go on");
    }
    true
}
