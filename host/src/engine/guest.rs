//! What the host keeps about one running instance: the data of its wasmtime store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::control::Control;
use super::log::Output;
use super::sockets::{Open, Reach};
use crate::job::{Capabilities, DirMode};

/// Random bytes in one call at most.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;
/// What one element of a table weighs on the host.
const TABLE_ELEMENT_BYTES: usize = 16;

/// The data of one instance's store.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) http_hooks: super::deny::NoHttp,
    pub(super) table: ResourceTable,
    pub(super) reach: Arc<Reach>,
    pub(super) open: Open,
    pub(super) memory: MemoryLimiter,
    pub(super) control: Arc<Control>,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) deadline: Option<Instant>,
    pub(super) host_calls: u64,
}

impl Guest {
    /// The state of an instance with nothing around it.
    pub(super) fn bare(wasi: WasiCtx, control: Arc<Control>) -> Self {
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            http_hooks: super::deny::NoHttp { control: Arc::clone(&control) },
            table: ResourceTable::new(),
            reach: Arc::new(Reach::new(Vec::new(), Arc::clone(&control))),
            open: Open::default(),
            memory: MemoryLimiter::new(u64::MAX),
            control,
            config: Arc::default(),
            deadline: None,
            host_calls: 0,
        }
    }

    /// The state of a fresh instance that may use what was granted and nothing else.
    ///
    /// # Errors
    ///
    /// A granted folder that can't be opened, as a message for the operator.
    pub(super) fn new(
        granted: &Capabilities,
        memory_limit: u64,
        config: Arc<BTreeMap<String, String>>,
        control: Arc<Control>,
        deadline: Option<Instant>,
    ) -> Result<Self, String> {
        let mut builder = WasiCtx::builder();
        builder
            .stdout(Output::stdout(control.log()))
            .stderr(Output::stderr(control.log()))
            .max_random_size(MAX_RANDOM_BYTES);
        for dir in &granted.dirs {
            let perms = match dir.mode {
                DirMode::ReadOnly => FsPerms::ReadOnly,
                DirMode::ReadWrite => FsPerms::ReadWrite,
            };
            builder.preopened_dir(&dir.host, &dir.guest, perms).map_err(|error| {
                format!(
                    "the granted folder `{}` can't be opened ({error}); create it, or correct \
                     `capabilities.dirs`",
                    dir.host.display()
                )
            })?;
        }
        let reach = Arc::new(Reach::new(granted.tcp.clone(), Arc::clone(&control)));
        reach.grant(&mut builder);
        Ok(Self {
            reach,
            memory: MemoryLimiter::new(memory_limit),
            config,
            deadline,
            ..Self::bare(builder.build(), control)
        })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http_hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Holds the sum of an instance's memories and tables under its limit, and remembers that it had to.
pub(super) struct MemoryLimiter {
    limit: usize,
    used: usize,
    peak: usize,
    refused: bool,
}

impl MemoryLimiter {
    fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, used: 0, peak: 0, refused: false }
    }

    /// The largest sum there was, in bytes.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak as u64
    }

    /// Whether a growth was refused.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let Some(sum) = self.used.checked_add(desired.saturating_sub(current)) else {
            self.refused = true;
            return false;
        };
        if sum > self.limit {
            self.refused = true;
            return false;
        }
        self.used = sum;
        self.peak = self.peak.max(sum);
        true
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_for_the_sum_and_a_refusal_is_remembered() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.grow(0, 60));
        assert!(limiter.grow(0, 40));
        assert!(!limiter.refused());
        assert!(!limiter.grow(60, 61));
        assert!(limiter.refused());
        assert_eq!(limiter.peak_bytes(), 100);
    }
}
