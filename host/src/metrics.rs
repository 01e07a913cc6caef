//! What a host counts, and how that is written for Prometheus.
//!
//! Everything here counts from the start of the host and is of this host alone. Names begin with
//! `campanile_` and end with their unit; a label has a fixed set of values or names a tenant, of which
//! there are as many as the configuration declares; it never is the name of a job.
//! `docs/metrics.md` lists them.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::job::names::TenantId;
use crate::run::Verdict;
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::time::Timestamp;

/// What the text is, for an answer's head.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of lateness, seconds.
const LATENESS_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of the buckets of a store call's time, seconds.
const CALL_BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// A label's value that is a word of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVerdict {
    verdict: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReload {
    result: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMethod {
    method: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    method: Word,
    result: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEffect {
    tenant: String,
    kind: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfChange {
    tenant: String,
    change: Word,
}

/// What became of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginChange {
    /// It is here now and was not.
    Loaded,
    /// Another version runs.
    Replaced,
    /// It is here no more.
    Removed,
    /// What was to be loaded is no plugin, or not one that may be here.
    Refused,
    /// A version waits for approval.
    Held,
    /// The version before came back by itself.
    RolledBack,
}

impl PluginChange {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// What the runs of each tenant used.
#[derive(Default)]
struct Used {
    wall_millis: Family<OfTenant, Counter>,
    cpu_millis: Family<OfTenant, Counter>,
    fuel: Family<OfTenant, Counter>,
    calls: Family<OfEffect, Counter>,
    bytes_in: Family<OfEffect, Counter>,
    bytes_out: Family<OfEffect, Counter>,
}

impl Used {
    fn add(&self, tenant: &TenantId, usage: &Usage) {
        let of = OfTenant { tenant: tenant.to_string() };
        self.wall_millis.get_or_create(&of).inc_by(usage.wall_ms);
        self.cpu_millis.get_or_create(&of).inc_by(usage.cpu_ms);
        self.fuel.get_or_create(&of).inc_by(usage.fuel.unwrap_or(0));
        for (effect, io) in &usage.io {
            let of = OfEffect { tenant: tenant.to_string(), kind: Word(effect.as_str()) };
            self.calls.get_or_create(&of).inc_by(io.calls);
            self.bytes_in.get_or_create(&of).inc_by(io.bytes_in);
            self.bytes_out.get_or_create(&of).inc_by(io.bytes_out);
        }
    }

    fn register(&self, all: &mut Registry) {
        let help = "Time that runs of the tenant took, milliseconds";
        all.register("tenant_wall_milliseconds", help, self.wall_millis.clone());
        let help = "Processor time that runs of the tenant took, milliseconds";
        all.register("tenant_cpu_milliseconds", help, self.cpu_millis.clone());
        all.register("tenant_fuel", "Fuel that runs of the tenant used", self.fuel.clone());
        let help = "Calls to the host by runs of the tenant";
        all.register("tenant_host_calls", help, self.calls.clone());
        let help = "Bytes that runs of the tenant got from the host";
        all.register("tenant_bytes_in", help, self.bytes_in.clone());
        let help = "Bytes that runs of the tenant gave to the host";
        all.register("tenant_bytes_out", help, self.bytes_out.clone());
    }
}

/// What became of a configuration that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It counts now.
    Applied,
    /// It is what it was.
    Unchanged,
    /// Something in it is wrong.
    Refused,
    /// The store did not take its jobs yet.
    Failed,
}

impl Reload {
    /// All of them.
    const ALL: [Self; 4] = [Self::Applied, Self::Unchanged, Self::Refused, Self::Failed];

    /// What became of one of which these keys count now.
    pub fn of(live: &[&str]) -> Self {
        if live.is_empty() { Self::Unchanged } else { Self::Applied }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What is counted as it happens. Cheap to count from any thread.
pub struct Metrics {
    fires: Family<OfVerdict, Counter>,
    runs: Family<OfOutcome, Counter>,
    lateness: Histogram,
    used: Used,
    plugins: Family<OfChange, Counter>,
    reloads: Family<OfReload, Counter>,
    calls: Family<OfCall, Counter>,
    call_seconds: Family<OfMethod, Histogram, fn() -> Histogram>,
    store_up: AtomicBool,
    /// When the session was renewed last, micros; 0: never.
    beat_at: AtomicI64,
}

/// What is looked up when somebody asks.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// When.
    pub now: Timestamp,
    /// Runs under way on this host.
    pub running: u64,
    /// Runs of the store that wait: for a host, a time or a slot; `None`: it did not say.
    pub waiting: Option<u64>,
    /// Runs of the store that wait for a plugin that no live host serves; `None`: others look.
    pub unserved: Option<u64>,
    /// Jobs whose ledger is not sound.
    pub ledger_alarms: u64,
    /// Looks of the scheduler.
    pub passes: u64,
    /// Whether the configuration on disk can't be used.
    pub config_refused: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            fires: Family::default(),
            runs: Family::default(),
            lateness: Histogram::new(LATENESS_BUCKETS),
            used: Used::default(),
            plugins: Family::default(),
            reloads: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS)),
            store_up: AtomicBool::new(true),
            beat_at: AtomicI64::new(0),
        };
        // What has not happened yet is told as 0, so that its first time is seen as a rise.
        for verdict in Verdict::ALL {
            metrics.fires(verdict, 0);
        }
        for outcome in Outcome::ALL {
            metrics.runs(outcome, 0);
        }
        for reload in Reload::ALL {
            metrics.reloads(reload, 0);
        }
        metrics
    }
}

impl Metrics {
    /// So many fire times got this verdict.
    pub fn fires(&self, verdict: Verdict, count: u64) {
        self.fires.get_or_create(&OfVerdict { verdict: Word(verdict.word()) }).inc_by(count);
    }

    /// So many runs ended like this.
    pub fn runs(&self, outcome: Outcome, count: u64) {
        self.runs.get_or_create(&OfOutcome { outcome: Word(outcome.as_str()) }).inc_by(count);
    }

    /// The configuration was read again.
    pub fn reloaded(&self, reload: Reload) {
        self.reloads(reload, 1);
    }

    fn reloads(&self, reload: Reload, count: u64) {
        self.reloads.get_or_create(&OfReload { result: Word(reload.word()) }).inc_by(count);
    }

    /// An attempt of a run of this tenant used so much.
    pub fn used(&self, tenant: &TenantId, usage: &Usage) {
        self.used.add(tenant, usage);
    }

    /// Something became of a plugin of this tenant.
    pub fn plugin(&self, tenant: &TenantId, change: PluginChange) {
        let of = OfChange { tenant: tenant.to_string(), change: Word(change.as_str()) };
        self.plugins.get_or_create(&of).inc();
    }

    /// A run started so long after it was due.
    pub fn started(&self, late: Duration) {
        self.lateness.observe(late.as_secs_f64());
    }

    /// A call of a store took so long and ended with `result`.
    pub fn call(&self, method: &'static str, result: &'static str, took: Duration) {
        let method = Word(method);
        self.calls.get_or_create(&OfCall { method, result: Word(result) }).inc();
        self.call_seconds.get_or_create(&OfMethod { method }).observe(took.as_secs_f64());
    }

    /// The store answers, or does not.
    pub fn store_answers(&self, answers: bool) {
        self.store_up.store(answers, Ordering::Relaxed);
    }

    /// The host's session was opened or renewed.
    pub fn beat(&self, now: Timestamp) {
        self.beat_at.store(now.micros(), Ordering::Relaxed);
    }

    /// All of it as OpenMetrics text.
    ///
    /// # Errors
    ///
    /// A value can't be written.
    pub fn text(&self, now: &Snapshot) -> Result<String, std::fmt::Error> {
        let mut all = Registry::with_prefix("campanile");
        all.register("fires", "Fire times that got this verdict", self.fires.clone());
        all.register("runs", "Runs that ended like this", self.runs.clone());
        all.register_with_unit(
            "start_lateness",
            "From when a scheduled run was due to the start of its first attempt",
            Unit::Seconds,
            self.lateness.clone(),
        );
        let help = "What became of plugins of the tenant";
        all.register("plugin_changes", help, self.plugins.clone());
        all.register("runs_running", "Runs under way on this host", gauge(now.running));
        if let Some(waiting) = now.waiting {
            let help = "Runs of the store that wait: for a host, a time or a slot of their job";
            all.register("runs_waiting", help, gauge(waiting));
        }
        if let Some(unserved) = now.unserved {
            let help = "Runs of the store that wait for a plugin that no host serves";
            all.register("runs_unserved", help, gauge(unserved));
        }
        self.used.register(&mut all);
        all.register("store_calls", "Calls of the store", self.calls.clone());
        all.register_with_unit(
            "store_call",
            "What a call of the store took",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        let up = u64::from(self.store_up.load(Ordering::Relaxed));
        all.register("store_up", "Whether the store answers", gauge(up));
        let beat_at = self.beat_at.load(Ordering::Relaxed);
        if beat_at != 0 {
            let age = now.now.since(Timestamp::from_micros(beat_at));
            all.register_with_unit(
                "session_beat_age",
                "Since this host's session was renewed last",
                Unit::Seconds,
                ConstGauge::new(age.as_secs_f64()),
            );
        }
        let alarms = gauge(now.ledger_alarms);
        all.register("ledger_alarms", "Jobs whose ledger is not sound", alarms);
        let passes = ConstCounter::new(now.passes);
        all.register("scheduler_passes", "Looks of the scheduler at what is due", passes);
        let help = "Times that the configuration was read again, by what became of it";
        all.register("config_reloads", help, self.reloads.clone());
        let help = "Whether the configuration on disk can't be used and an older one counts";
        all.register("config_reload_failed", help, gauge(u64::from(now.config_refused)));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        all.register("build", "What this host is", build);
        let mut text = String::new();
        encode(&mut text, &all)?;
        Ok(text)
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
