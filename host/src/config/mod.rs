//! What people configure: `host.toml` and sidecars in, a checked [`Config`] and the jobs out.
//!
//! ```text
//! host.toml ── parse ──> Config ─┐
//! name.toml ── parse ──> Sidecar ┼─ definitions ──> Resolved jobs ── schedule::reconcile ──> store
//! plugins' handlers ─────────────┘
//! ```
//!
//! Pure but for [`load`], which reads the files. Relative paths start at the file's folder. Does
//! not know what the store holds, and names no plugin's file: whether a plugin exists shows later.

mod api;
pub mod change;
pub mod crontab;
pub mod definitions;
pub mod error;
mod folders;
pub mod given;
pub mod include;
mod jobs;
pub mod keys;
pub mod lint;
pub mod load;
mod read;
pub mod reload;
pub mod resolve;
pub mod secret;
pub mod sidecar;
pub mod store;
pub mod tenants;
pub mod text;

#[cfg(test)]
mod shipped;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use chrono_tz::Tz;

use crate::job::capabilities::Allow;
use crate::job::limits::Caps;
use crate::job::names::{JobId, QueueName, TenantId};
use crate::job::parse::Place;
use crate::job::quota::Allotment;
use crate::problem::join;
use crate::record::Role;
use crate::record::account::Allotments;
use crate::table::{Entries, Table};
use error::ConfigError;
use include::{Included, Pattern};
use reload::{Reload, Said};
use secret::Secrets;
use store::StoreAddress;
use tenants::Tenant;

/// The file that is read when none is named.
pub const FILE_NAME: &str = "host.toml";

/// A checked configuration with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from; `None`: there is none, and these are the defaults.
    pub file: Option<PathBuf>,
    /// The file's folder, absolute: where relative paths start.
    pub base: PathBuf,
    /// The files of further tenants.
    pub include: Vec<Pattern>,
    /// The folder of plugins.
    pub plugins: PathBuf,
    /// The folder of what the host keeps: its store, its compile cache.
    pub state_dir: PathBuf,
    /// Where schedules and runs are kept.
    pub store: StoreAddress,
    /// The zone of wall times that name none.
    pub timezone: Tz,
    /// What this host does; one role at least.
    pub roles: BTreeSet<Role>,
    /// Whether handlers with a trigger become jobs by themselves.
    pub auto_schedule: bool,
    /// Of two hosts' definitions the higher wins.
    pub config_version: i64,
    /// What runs here at once.
    pub executor: Executor,
    /// How it is reached.
    pub api: Api,
    /// What each tenant may have; the one named `default` is always there.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Runs at once in the fleet, of each queue for which that is limited.
    pub queues: BTreeMap<QueueName, u64>,
    /// What `[reload]` says, which the table of a tenant is laid over.
    pub reload_of_all: Said,
    /// Where secrets stand.
    pub secrets: Secrets,
    /// What is laid over the built-in values and plugins' defaults of every job. Checked.
    pub job_defaults: Entries,
    /// The jobs as written in `[jobs]`, which are of the tenant `default`. Checked.
    pub jobs: BTreeMap<JobId, Entries>,
}

/// A job that is written down.
pub struct Written<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Its name.
    pub id: &'a JobId,
    /// What is written.
    pub definition: &'a Entries,
    /// Where it stands in the file, with dots.
    pub path: String,
    /// The file, for people; `None`: the one that is not included.
    pub file: Option<&'a str>,
}

/// What this host runs at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// Runs at once, at least 1.
    pub max_running: usize,
    /// Sum of the memory limits of the runs at once, in bytes.
    pub memory: u64,
    /// The queues that this host takes runs from; one at least.
    pub queues: BTreeSet<QueueName>,
    /// How long runs may go on when the host is told to stop.
    pub drain: Duration,
    /// No job gets more; never more memory than `memory`.
    pub caps: Caps,
}

/// How this host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// A loopback address unless there are tokens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The file of tokens, absolute; `None`: whoever is on this machine may ask.
    pub tokens: Option<PathBuf>,
    /// What it proves itself with; `None`: it speaks plainly.
    pub tls: Option<TlsFiles>,
}

/// Where a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, as PEM; absolute.
    pub cert: PathBuf,
    /// Its private key, as PEM; absolute.
    pub key: PathBuf,
}

impl Api {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl Executor {
    /// The most memory that one run gets, in bytes.
    pub fn most_memory(&self) -> u64 {
        self.caps.get("memory").unwrap_or(self.memory).min(self.memory)
    }
}

impl Config {
    /// Reads the text of `file`, whose folder is `base` (absolute). `config_version` is what
    /// stands when the text gives none: the file's time in seconds.
    ///
    /// # Errors
    ///
    /// All problems of the file at once, those inside its jobs too.
    pub fn parse(
        text: &str,
        file: &Path,
        base: &Path,
        config_version: i64,
    ) -> Result<Self, ConfigError> {
        Self::parse_all(text, file, base, config_version, &[])
    }

    /// The same with the files that it includes, whose times count in `config_version` already.
    ///
    /// # Errors
    ///
    /// All problems of all files at once; those of a file that is included name it.
    pub fn parse_all(
        text: &str,
        file: &Path,
        base: &Path,
        config_version: i64,
        included: &[Included],
    ) -> Result<Self, ConfigError> {
        let failed = |problems| ConfigError { file: file.display().to_string(), problems };
        let entries = text::entries(text).map_err(|problem| failed(vec![problem]))?;
        let table = Table::new("", &entries, &keys::TOP);
        let config = read::config(table, base, config_version, included).map_err(failed)?;
        Ok(Self { file: Some(base.join(file.file_name().unwrap_or(file.as_os_str()))), ..config })
    }

    /// What definitions of a tenant's jobs mean: where their folders start, which zone they are in.
    pub fn place(&self, tenant: &TenantId) -> Place<'_> {
        let allow = self.allow(tenant);
        let named = self.tenants.get_key_value(tenant).map(|(name, _)| name);
        let base_dir = self.tenants.get(tenant).map_or(&self.base, |tenant| &tenant.base);
        Place { base_dir, zone: self.timezone, tenant: named, allow }
    }

    /// What those may grant to jobs of a tenant who do not own the machine.
    pub fn allow(&self, tenant: &TenantId) -> &Allow {
        match self.tenants.get(tenant) {
            Some(tenant) => &tenant.allow,
            None => Allow::nothing(),
        }
    }

    /// The most that any job of a tenant gets: the tenant's caps, then the host's.
    pub fn caps(&self, tenant: &TenantId) -> [&Caps; 2] {
        let host = &self.executor.caps;
        [self.tenants.get(tenant).map_or(host, |tenant| &tenant.caps), host]
    }

    /// What is laid over `job_defaults` for jobs of a tenant.
    pub fn defaults_of(&self, tenant: &TenantId) -> &Entries {
        static NOTHING: LazyLock<Entries> = LazyLock::new(Entries::new);
        self.tenants.get(tenant).map_or(&NOTHING, |tenant| &tenant.job_defaults)
    }

    /// The jobs of all tenants that are written down.
    pub fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let default = self.tenants.get_key_value(&TenantId::default_tenant());
        let top = default.into_iter().flat_map(|(tenant, _)| {
            self.jobs.iter().map(move |(id, definition)| {
                let path = join("jobs", id.as_str());
                Written { tenant, id, definition, path, file: None }
            })
        });
        let own = self.tenants.iter().flat_map(|(tenant, own)| {
            own.jobs.iter().map(move |(id, definition)| {
                let path = format!("tenants.{tenant}.jobs.{id}");
                Written { tenant, id, definition, path, file: own.file.as_deref() }
            })
        });
        top.chain(own)
    }

    /// What all tenants may have, and all queues, as the store is told of it.
    pub fn allotments(&self) -> Allotments {
        let of = |(name, tenant): (&TenantId, &Tenant)| {
            (tenant.allotment != Allotment::default()).then(|| (name.clone(), tenant.allotment))
        };
        Allotments {
            version: self.config_version,
            tenants: self.tenants.iter().filter_map(of).collect(),
            queues: self.queues.clone(),
        }
    }

    /// How much a tenant may have.
    pub fn allotment(&self, tenant: &TenantId) -> Allotment {
        self.tenants.get(tenant).map(|tenant| tenant.allotment).unwrap_or_default()
    }

    /// Whether a tenant is being removed: nothing of it begins any more.
    pub fn is_draining(&self, tenant: &TenantId) -> bool {
        let given = self.tenants.get(tenant).and_then(|tenant| tenant.given.as_ref());
        given.is_some_and(|given| given.removal.is_some())
    }

    /// What happens to the versions of a tenant's plugins.
    pub fn reload(&self, tenant: &TenantId) -> Reload {
        let built_in = || Reload::built_in(*tenant == TenantId::default_tenant());
        self.tenants.get(tenant).map_or_else(built_in, |tenant| tenant.reload.clone())
    }

    /// The queues that this host takes runs from; none when it is no executor.
    pub fn served(&self) -> BTreeSet<QueueName> {
        match self.roles.contains(&Role::Executor) {
            true => self.executor.queues.clone(),
            false => BTreeSet::new(),
        }
    }

    /// The file as people are told of it: below its folder.
    pub fn origin(&self) -> String {
        self.file.as_deref().map_or_else(|| "defaults".to_owned(), |file| self.short(file))
    }

    /// The folder of compiled plugins.
    pub fn cache_dir(&self) -> PathBuf {
        self.state_dir.join("cache")
    }

    /// The folder of the versions of plugins.
    pub fn versions_dir(&self) -> PathBuf {
        self.state_dir.join("versions")
    }

    /// The folder of a tenant's plugins.
    pub fn plugins_of(&self, tenant: &TenantId) -> PathBuf {
        folders::of(&self.plugins, tenant, self.tenants.get(tenant))
    }

    /// Whose plugins lie in a folder; `None`: it is no folder of plugins.
    pub fn tenant_of(&self, folder: &Path) -> Option<TenantId> {
        if folder == self.plugins {
            return Some(TenantId::default_tenant());
        }
        let usual: Option<TenantId> = folder.file_name()?.to_str().and_then(|it| it.parse().ok());
        let is_its = |tenant: &TenantId| {
            self.tenants.contains_key(tenant) && self.plugins_of(tenant) == folder
        };
        usual.filter(is_its).or_else(|| {
            let own = |tenant: &Tenant| tenant.plugins_dir.as_deref() == Some(folder);
            self.tenants.iter().find(|(_, tenant)| own(tenant)).map(|(id, _)| id.clone())
        })
    }

    /// A path without the folder of the configuration.
    pub fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).display().to_string()
    }
}
