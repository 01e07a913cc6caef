//! What the host keeps about one running instance: the data of its wasmtime store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::control::Control;
use super::gate::Rate;
use super::http::{Net, Requests};
use super::limiter::Limiter;
use super::log::Output;
use super::meter::Meter;
use super::sockets::Reach;
use crate::job::bound::{Bound, Bounds};
use crate::job::capabilities::{Capabilities, DirMode};
use crate::job::limits::Limits;

/// Random bytes in one call at most.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;

/// The data of one instance's store.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) requests: Requests,
    pub(super) table: ResourceTable,
    pub(super) reach: Arc<Reach>,
    /// The name that each look-up is for.
    pub(super) lookups: BTreeMap<u32, String>,
    pub(super) limiter: Limiter,
    pub(super) meter: Arc<Meter>,
    pub(super) rate: Rate,
    pub(super) control: Arc<Control>,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) deadline: Option<Instant>,
}

impl Guest {
    /// The state of an instance with nothing around it.
    pub(super) fn bare(wasi: WasiCtx, control: Arc<Control>) -> Self {
        let (net, meter) = (Arc::default(), Arc::new(Meter::new(Bounds::default())));
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            requests: Requests::new(&[], Arc::clone(&meter), Arc::clone(&control), net),
            table: ResourceTable::new(),
            reach: Arc::new(Reach::new(Vec::new(), Arc::clone(&control))),
            lookups: BTreeMap::new(),
            limiter: Limiter::unbounded(),
            meter,
            rate: Rate::new(),
            control,
            config: Arc::default(),
            deadline: None,
        }
    }

    /// The state of a fresh instance that may use what was granted and nothing else.
    ///
    /// # Errors
    ///
    /// A granted folder that can't be opened, as a message for the operator.
    pub(super) fn new(
        granted: &Capabilities,
        limits: &Limits,
        config: Arc<BTreeMap<String, String>>,
        control: Arc<Control>,
        net: &Arc<Net>,
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
        let mut table = ResourceTable::new();
        let resources = limits.bounds[Bound::Resources];
        table.set_max_capacity(usize::try_from(resources).unwrap_or(usize::MAX));
        let reach = Arc::new(Reach::new(granted.tcp.clone(), Arc::clone(&control)));
        reach.grant(&mut builder);
        let meter = Arc::new(Meter::new(limits.bounds.clone()));
        let (own, net) = (Arc::clone(&control), Arc::clone(net));
        let mut http = WasiHttpCtx::new();
        let headers = limits.bounds[Bound::HttpHeaders];
        http.set_field_size_limit(usize::try_from(headers).unwrap_or(usize::MAX));
        Ok(Self {
            http,
            requests: Requests::new(&granted.http, Arc::clone(&meter), own, net),
            reach,
            limiter: Limiter::new(limits),
            meter,
            table,
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
        WasiHttpCtxView { hooks: &mut self.requests, table: &mut self.table, ctx: &mut self.http }
    }
}
