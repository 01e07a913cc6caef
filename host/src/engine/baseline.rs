//! The yardstick of the bench: what wasmtime alone takes for one cycle.
//!
//! The same engine, component and linked imports as a run; a fresh store with a plain WASI context,
//! an instance, the call, and the drop. No limits, no log, no control, no usage.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::exports::campanile::job::guest::Failure;
use super::control::Control;
use super::guest::Guest;
use super::plugin::Plugin;
use super::run::{Request, invocation};
use super::{Engine, Metering};

/// Epoch ticks that no bench lives to see.
const NEVER: u64 = u64::MAX / 2;

impl Engine {
    /// One bare cycle.
    ///
    /// # Errors
    ///
    /// The guest failed, which a bench's guest does not.
    pub async fn bare_cycle(
        &self,
        plugin: &Plugin,
        request: Request,
        control: &Arc<Control>,
    ) -> anyhow::Result<String> {
        let guest = Guest::bare(wasmtime_wasi::WasiCtx::builder().build(), Arc::clone(control));
        let mut store = Store::new(&self.variant(Metering::Off)?.engine, guest);
        store.set_epoch_deadline(NEVER);
        match plugin.entry.call(&mut store, &invocation(request)).await? {
            Ok(result) => Ok(result),
            Err(Failure::Retryable(message) | Failure::Permanent(message)) => {
                Err(anyhow::anyhow!(message))
            }
        }
    }
}
