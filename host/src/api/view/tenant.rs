//! A tenant as JSON: what it may have, and how much it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::config::reload::Reload;
use crate::job::capabilities::Allow;
use crate::job::names::{SecretName, TenantId};
use crate::job::quota::{Measure, QuotaKey};
use crate::record::Schedule;
use crate::record::account::Windows;
use crate::record::tenant::{Removal, Step};
use crate::run::{Run, RunState};
use crate::schedule::reconcile::{JobState, state};
use crate::time::Timestamp;

/// A tenant that the configuration names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantView {
    /// Its name.
    pub name: TenantId,
    /// Who names it.
    pub source: TenantSource,
    /// Whether it is being removed.
    pub state: TenantState,
    /// How far that is.
    pub removal: Option<RemovalView>,
    /// The folder of its plugins, below that of the configuration.
    pub plugins_dir: String,
    /// Plugins that this host holds, refused ones too.
    pub plugins: u64,
    /// Its jobs.
    pub jobs: JobCounts,
    /// Its runs that are not over.
    pub runs: RunCounts,
    /// What its jobs may be given by those who do not own the machine.
    pub allow: AllowView,
    /// The most that any of its jobs gets, as written.
    pub caps: BTreeMap<String, Value>,
    /// Its share where processors are short, against those of the others.
    pub weight: u32,
    /// What is limited of it in the whole fleet, and how much of that it has, in the order of the
    /// documentation.
    pub quota: Vec<QuotaView>,
    /// What happens to the versions of its plugins.
    pub reload: ReloadRules,
    /// The names of its secrets that are written down.
    pub secrets: Vec<SecretName>,
}

/// One quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaView {
    /// The key.
    pub key: QuotaKey,
    /// What its numbers count.
    pub unit: Measure,
    /// How much there may be.
    pub limit: u64,
    /// How much there is; `None`: no host runs that could be asked.
    pub used: Option<u64>,
    /// Of one that is counted by windows of the clock: when the next begins.
    pub frees_at: Option<Timestamp>,
}

impl QuotaView {
    /// A quota of which so much is used at `now`.
    pub fn new(key: QuotaKey, limit: u64, used: Option<u64>, now: Timestamp) -> Self {
        let windows = Windows::default().at(now);
        let frees_at = key.window().map(|_| windows.frees_at(key));
        Self { key, unit: key.measure(), limit, used, frees_at }
    }
}

/// Who names a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantSource {
    /// A file.
    File,
    /// It was made over REST.
    Api,
}

/// Whether a tenant is being removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// It is not.
    Active,
    /// It is: nothing of it begins any more.
    Draining,
}

/// The removal of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalView {
    /// Since when it drains.
    pub since: Timestamp,
    /// From then on its live runs are cancelled.
    pub until: Timestamp,
    /// How far it is.
    pub step: Step,
    /// The file that takes what is deleted, below the folder of state of `host`.
    pub export: String,
    /// The host that carries it out.
    pub host: String,
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounts {
    /// Those that fire, or wait to be asked.
    pub active: u64,
    /// Those that somebody paused.
    pub paused: u64,
    /// Those that the host does not schedule.
    pub parked: u64,
    /// Those with no fire time left.
    pub finished: u64,
    /// Whether there are more, which were not counted.
    pub more: bool,
}

/// Live runs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// Those with an attempt under way.
    pub running: u64,
    /// Those that wait, for a slot or for their next attempt.
    pub queued: u64,
    /// Whether there are more, which were not counted.
    pub more: bool,
}

/// What may be given to jobs of a tenant, in the words of `allow`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowView {
    /// Folders of the host.
    pub dirs: Vec<String>,
    /// Where requests may go.
    pub http: Vec<String>,
    /// Where connections may go.
    pub tcp: Vec<String>,
    /// Names of the host's own variables.
    pub env: Vec<String>,
    /// Names of secrets.
    pub secrets: Vec<SecretName>,
    /// Buckets.
    pub kv: bool,
    /// Jobs.
    pub jobs: bool,
}

/// What happens to the versions of plugins, in the words of `reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRules {
    /// Versions that are kept.
    pub keep_versions: usize,
    /// Failures after which the version before comes back; 0: never.
    pub auto_rollback: u32,
    /// Whether a version that wants more waits for approval.
    pub hold_new_capabilities: bool,
    /// Whether only signed plugins are taken.
    pub require_signature: bool,
    /// Who may sign them.
    pub signature_keys: Vec<String>,
}

/// How much a tenant has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What of its quota is used.
    pub quota: Vec<QuotaView>,
    /// Its plugins.
    pub plugins: u64,
    /// Its jobs.
    pub jobs: JobCounts,
    /// Its live runs.
    pub runs: RunCounts,
}

impl TenantView {
    /// What is shown of a tenant of a configuration.
    pub fn of(config: &Config, name: &TenantId, counts: Counts) -> Self {
        let [caps, _] = config.caps(name);
        let own = config.tenants.get(name).map(|_| caps);
        let own = own.into_iter().flat_map(|caps| caps.iter());
        let given = config.tenants.get(name).and_then(|tenant| tenant.given.as_ref());
        let removal = given.and_then(|given| given.removal.as_ref());
        Self {
            name: name.clone(),
            source: given.map_or(TenantSource::File, |_| TenantSource::Api),
            state: removal.map_or(TenantState::Active, |_| TenantState::Draining),
            removal: removal.map(RemovalView::of),
            plugins_dir: config.short(&config.plugins_of(name)),
            plugins: counts.plugins,
            jobs: counts.jobs,
            runs: counts.runs,
            allow: AllowView::of(config.allow(name)),
            caps: own.map(|(key, written, _)| (key.to_owned(), written.clone())).collect(),
            weight: config.allotment(name).weight,
            quota: counts.quota,
            reload: ReloadRules::of(&config.reload(name)),
            secrets: config.secrets.names(name),
        }
    }
}

impl RemovalView {
    /// What is shown of a removal.
    pub fn of(removal: &Removal) -> Self {
        Self {
            since: removal.since,
            until: removal.until,
            step: removal.step,
            export: removal.export.clone(),
            host: removal.host.clone(),
        }
    }
}

impl JobCounts {
    /// Counts some of a tenant's jobs; `more`: there are others.
    pub fn of(jobs: &[Schedule], more: bool) -> Self {
        let mut counts = Self { more, ..Self::default() };
        for job in jobs {
            *match state(job) {
                JobState::Active => &mut counts.active,
                JobState::Paused => &mut counts.paused,
                JobState::Parked => &mut counts.parked,
                JobState::Finished => &mut counts.finished,
            } += 1;
        }
        counts
    }
}

impl RunCounts {
    /// Counts some of a tenant's live runs; `more`: there are others.
    pub fn of(runs: &[Run], more: bool) -> Self {
        let running = runs.iter().filter(|run| run.state == RunState::Running).count() as u64;
        Self { running, queued: runs.len() as u64 - running, more }
    }
}

impl AllowView {
    fn of(allow: &Allow) -> Self {
        Self {
            dirs: allow.dirs.iter().map(|dir| dir.display().to_string()).collect(),
            http: allow.http.iter().map(ToString::to_string).collect(),
            tcp: allow.tcp.iter().map(ToString::to_string).collect(),
            env: allow.env.clone(),
            secrets: allow.secrets.clone(),
            kv: allow.kv,
            jobs: allow.jobs,
        }
    }
}

impl ReloadRules {
    fn of(reload: &Reload) -> Self {
        Self {
            keep_versions: reload.keep_versions,
            auto_rollback: reload.auto_rollback,
            hold_new_capabilities: reload.hold_new_capabilities,
            require_signature: reload.require_signature,
            signature_keys: reload.signature_keys.iter().map(ToString::to_string).collect(),
        }
    }
}
