//! `wasi:io/poll`: waiting for whatever a run has open.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll::{Host, HostPollable};

use crate::engine::guest::Guest;
use crate::job::bound::Bound;
use crate::run::usage::Effect;

/// Things that one call waits for at most: all of them are looked at each time that one may be
/// ready.
const MAX_POLLED: usize = 10_000;

impl Host for Guest {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.gate(Effect::Poll)?;
        self.meter.allow(Bound::Resources, pollables.len() as u64)?;
        if pollables.len() > MAX_POLLED {
            return Err(wasmtime::format_err!(
                "it waited for {} things in one call; {MAX_POLLED} are the most",
                pollables.len()
            ));
        }
        self.table.poll(pollables).await
    }
}

impl HostPollable for Guest {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.gate(Effect::Poll)?;
        self.table.block(pollable).await
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.gate(Effect::Poll)?;
        HostPollable::ready(&mut self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        HostPollable::drop(&mut self.table, pollable)
    }
}
