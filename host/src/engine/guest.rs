//! What the host keeps about one running instance: the data of its wasmtime store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::call::Start;
use super::control::Control;
use super::files::Files;
use super::gate::Rate;
use super::host::random::MAX_CALL_BYTES;
use super::http::{Net, Requests};
use super::limiter::Limiter;
use super::log::Output;
use super::meter::Meter;
use super::services::Services;
use super::sockets::Reach;
use crate::job::bound::{Bound, Bounds};
use crate::job::capabilities::{Capabilities, EnvGrant};
use crate::job::limits::Limits;
use crate::secrets::Secrets;

/// The data of one instance's store.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) requests: Requests,
    pub(super) table: ResourceTable,
    pub(super) files: Files,
    pub(super) reach: Arc<Reach>,
    pub(super) limiter: Limiter,
    pub(super) meter: Arc<Meter>,
    pub(super) rate: Rate,
    pub(super) control: Arc<Control>,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) deadline: Option<Instant>,
    pub(super) granted: Granted,
    pub(super) secrets: Arc<Secrets>,
    pub(super) services: Option<Services>,
    /// Calls of `campanile:job/jobs` so far.
    pub(super) job_calls: u32,
    /// Whether a bucket that seems full may be counted anew.
    pub(super) may_recount: bool,
    /// Limits of which the log says already that they were gone over.
    pub(super) told: BTreeSet<Bound>,
}

/// What was granted as a whole.
#[derive(Clone, Copy, Default)]
pub(super) struct Granted {
    pub(super) kv: bool,
    pub(super) jobs: bool,
}

/// What surrounds a fresh instance.
pub(super) struct Surroundings<'a> {
    /// What it may touch.
    pub(super) granted: &'a Capabilities,
    /// The folders of that, opened.
    pub(super) files: Files,
    /// What it may use.
    pub(super) limits: &'a Limits,
    /// What `wasi:config` answers.
    pub(super) config: Arc<BTreeMap<String, String>>,
    /// What a program is started with.
    pub(super) start: Option<&'a Start>,
    /// How the host reaches others.
    pub(super) net: &'a Arc<Net>,
    /// When its time is up.
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
            files: Files::default(),
            reach: Arc::new(Reach::new(Vec::new(), Arc::clone(&control))),
            limiter: Limiter::unbounded(),
            meter,
            rate: Rate::new(),
            control,
            config: Arc::default(),
            deadline: None,
            granted: Granted::default(),
            secrets: Arc::default(),
            services: None,
            job_calls: 0,
            may_recount: true,
            told: BTreeSet::new(),
        }
    }

    /// The state of a fresh instance that may use what was granted and nothing else.
    pub(super) fn new(around: Surroundings<'_>, control: Arc<Control>) -> Self {
        let Surroundings { granted, files, limits, config, start, net, deadline } = around;
        let meter = Arc::new(Meter::new(limits.bounds.clone()));
        let mut builder = WasiCtx::builder();
        builder
            .stdout(Output::stdout(control.log(), &meter))
            .stderr(Output::stderr(control.log(), &meter))
            .max_random_size(MAX_CALL_BYTES);
        for EnvGrant { name, value } in &granted.env {
            let own = || std::env::var(name).ok();
            if let Some(value) = value.clone().or_else(own) {
                builder.env(name, value);
            }
        }
        if let Some(Start { argv, stdin, env }) = start {
            builder.args(argv).envs(env).stdin(MemoryInputPipe::new(stdin.clone()));
        }
        let mut table = ResourceTable::new();
        let resources = limits.bounds[Bound::Resources];
        table.set_max_capacity(usize::try_from(resources).unwrap_or(usize::MAX));
        let reach = Arc::new(Reach::new(granted.tcp.clone(), Arc::clone(&control)));
        reach.grant(&mut builder);
        let (own, net) = (Arc::clone(&control), Arc::clone(net));
        let mut http = WasiHttpCtx::new();
        let headers = limits.bounds[Bound::HttpHeaders];
        http.set_field_size_limit(usize::try_from(headers).unwrap_or(usize::MAX));
        Self {
            http,
            requests: Requests::new(&granted.http, Arc::clone(&meter), own, net),
            reach,
            limiter: Limiter::new(limits),
            files,
            meter,
            table,
            config,
            deadline,
            granted: Granted { kv: granted.kv, jobs: granted.jobs },
            ..Self::bare(builder.build(), control)
        }
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
