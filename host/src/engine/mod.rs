//! The sandbox: compiles plugins and runs each job in a fresh instance under its limits.
//!
//! The only module that names wasmtime. How a guest ends is a value ([`run::Report`]); an error of
//! this module means that the host is in trouble. Does not know schedules, stores or files'
//! folders.

mod baseline;
mod bindings;
mod budget;
mod cache;
mod call;
mod compile;
pub mod control;
mod counted;
mod cpu;
pub mod ending;
mod files;
pub mod form;
mod gate;
mod guest;
mod hold;
mod host;
mod http;
mod kv;
mod limiter;
pub mod link;
pub mod load;
pub mod log;
mod meter;
pub mod nice;
pub mod plugin;
pub mod run;
pub mod services;
mod sockets;
pub mod tab;
mod ticker;

pub use kv::storage::kv_bytes;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
};

use crate::clock::SharedClock;
use cache::{Cache, Keeping};
use compile::Compiler;
use files::blocking::Lanes;
use guest::Guest;
use http::Net;
use ticker::Ticker;

/// Epoch ticks: how long a guest computes before it lets others run and looks whether to stop.
const TICK: std::time::Duration = std::time::Duration::from_millis(1);
/// Stack that a guest may use, in bytes. What one has used stays with the instance's place in the
/// pool: giving it back after each run would take half of all runs a second.
const MAX_WASM_STACK_BYTES: usize = 1 << 20;
/// Stack of the fibre that a guest runs on; what is over its own is for host calls.
const ASYNC_STACK_BYTES: usize = 2 << 20;
/// Memory of an instance that is zeroed in place rather than given back, in bytes.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 64 * 1024;
/// The same for its tables.
const TABLE_KEEP_RESIDENT_BYTES: usize = 16 * 1024;
/// Core instances that one component may have: what `limits.core_instances` can be set to.
const MAX_CORE_INSTANCES: u32 = 256;
/// Memories and tables that one component may have.
const MAX_PARTS_PER_COMPONENT: u32 = 20;
/// Memories and tables that one of its core modules may have.
const MAX_PARTS_PER_MODULE: u32 = 8;
/// Elements that one table may have: what `limits.table_elements` can be set to.
const MAX_TABLE_ELEMENTS: usize = 1_000_000;

/// How an engine is set up.
#[derive(Clone)]
pub struct Settings {
    /// Instances at once, describing calls included.
    pub max_instances: u32,
    /// The largest memory that any limit allows, in bytes.
    pub max_memory: u64,
    /// Where compiled plugins are kept; `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// What tells log lines the time.
    pub clock: SharedClock,
}

/// The sandbox of one host.
pub struct Engine {
    plain: Variant,
    /// Made on first need: fuel makes code two to four times slower.
    metered: OnceLock<Result<Variant, String>>,
    settings: Settings,
    cache: Arc<Cache>,
    compiler: Compiler,
    /// Told whenever a run gives its instance back.
    freed: Notify,
    net: Arc<Net>,
    pooled: bool,
    /// Where runs wait for the disks of their folders.
    lanes: Lanes,
    /// Ends with the engine.
    ticker: Ticker,
}

/// One of the two engines, with its linker.
struct Variant {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
}

/// Whether a guest's fuel is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metering {
    Off,
    On,
}

impl Engine {
    /// Sets up the sandbox.
    ///
    /// # Errors
    ///
    /// The machine can't run one at all.
    pub fn new(settings: Settings) -> anyhow::Result<Arc<Self>> {
        Self::keeping(settings, Keeping::Write)
    }

    /// As [`Self::new`], but nothing is written into the cache: for a look that must leave no trace.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn read_only(settings: Settings) -> anyhow::Result<Arc<Self>> {
        Self::keeping(settings, Keeping::ReadOnly)
    }

    fn keeping(settings: Settings, keeping: Keeping) -> anyhow::Result<Arc<Self>> {
        let (plain, pooled) = match Variant::new(&settings, Metering::Off, true) {
            Ok(variant) => (variant, true),
            Err(error) => {
                tracing::warn!(
                    "this machine refuses to reserve memory for a pool of instances ({error:#}); \
                     runs work, but start more slowly"
                );
                (Variant::new(&settings, Metering::Off, false)?, false)
            }
        };
        let ticker = Ticker::start(TICK);
        ticker.add(&plain.engine);
        let cache = Arc::new(Cache::new(settings.cache_dir.clone(), keeping));
        Ok(Arc::new(Self {
            plain,
            metered: OnceLock::new(),
            settings,
            cache,
            compiler: Compiler::new(),
            freed: Notify::new(),
            net: Arc::default(),
            pooled,
            lanes: Lanes::default(),
            ticker,
        }))
    }

    /// The engine whose guests' fuel is counted, or not.
    fn variant(&self, metering: Metering) -> anyhow::Result<&Variant> {
        match metering {
            Metering::Off => Ok(&self.plain),
            Metering::On => {
                let made = self.metered.get_or_init(|| {
                    let variant = Variant::new(&self.settings, Metering::On, self.pooled);
                    let variant = variant.map_err(|error| format!("{error:#}"))?;
                    self.ticker.add(&variant.engine);
                    Ok(variant)
                });
                made.as_ref().map_err(|error| anyhow::anyhow!("no engine that meters: {error}"))
            }
        }
    }
}

impl Variant {
    fn new(settings: &Settings, metering: Metering, pooled: bool) -> anyhow::Result<Self> {
        let engine = wasmtime::Engine::new(&config(settings, metering, pooled))?;
        let linker = link::linker(&engine)?;
        Ok(Self { engine, linker })
    }
}

fn config(settings: &Settings, metering: Metering, pooled: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(metering == Metering::On)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .wasm_features(WasmFeatures::all() - form::features(), false)
        .memory_init_cow(true);
    if pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    }
    config
}

fn pool(settings: &Settings) -> PoolingAllocationConfig {
    let instances = settings.max_instances;
    // One component of the largest kind fits, so that whoever waits for room gets it some time.
    let parts = instances.saturating_mul(4).max(MAX_PARTS_PER_COMPONENT);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(8).max(MAX_CORE_INSTANCES))
        .total_memories(parts)
        .total_tables(parts)
        .total_stacks(instances)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_PARTS_PER_COMPONENT)
        .max_tables_per_component(MAX_PARTS_PER_COMPONENT)
        .max_memories_per_module(MAX_PARTS_PER_MODULE)
        .max_tables_per_module(MAX_PARTS_PER_MODULE)
        .max_memory_size(usize::try_from(settings.max_memory).unwrap_or(usize::MAX).min(4 << 30))
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}
