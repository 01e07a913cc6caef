//! A run asked of the engine alone, without a host.

use std::sync::Arc;

use campanile::engine::run::Request;
use campanile::job::capabilities::Capabilities;
use campanile::job::limits::Limits;
use campanile::run::Cause;
use campanile::time::Timestamp;

/// A run of `handler` by hand, with no arguments, the default limits and nothing granted.
pub fn request(handler: &str) -> Request {
    Request {
        tenant: "default".into(),
        job: "test".into(),
        run: "0".repeat(32),
        handler: handler.into(),
        cause: Cause::Manual,
        fire_time: Timestamp::from_secs(1_000),
        previous_success: None,
        attempt: 1,
        fence: 7,
        covers: 1,
        args: "null".into(),
        limits: Limits::default(),
        capabilities: Capabilities::default(),
        config: Arc::default(),
        secrets: Arc::default(),
        services: None,
    }
}
