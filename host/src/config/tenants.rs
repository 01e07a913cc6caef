//! The `[tenants.X]` tables: what jobs of a tenant may be given by those who do not own the machine,
//! the most that any of them gets, and the tenant's own jobs, secrets and folder of plugins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::include::Included;
use super::jobs::{self, Below};
use super::read::job_defaults;
use super::reload::{Reload, Said};
use super::secret::{Named, secrets};
use super::{FILE_NAME, folders, keys};
use crate::job::Source;
use crate::job::capabilities::Allow;
use crate::job::limits::Caps;
use crate::job::merge::Layer;
use crate::job::names::{JobId, TenantId};
use crate::job::parse::{self, Place};
use crate::job::quota::{Allotment, MAX_WEIGHT, Quota, QuotaKey};
use crate::problem::Problem;
use crate::record::tenant::Removal;
use crate::table::value::whole;
use crate::table::{Entries, Table};

/// Tenants that one host serves at most.
const MAX_TENANTS: usize = 10_000;

/// What is configured of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// What its sidecars, plugins, REST and guests may grant.
    pub allow: Allow,
    /// The most that any of its jobs gets.
    pub caps: Caps,
    /// What happens to its plugins' versions.
    pub reload: Reload,
    /// How much it may have, and its share where slots are short.
    pub allotment: Allotment,
    /// The folder of its plugins, absolute, when it is not the usual one.
    pub plugins_dir: Option<PathBuf>,
    /// What is laid over the `job_defaults` of all. Checked.
    pub job_defaults: Entries,
    /// Its jobs as written in its own table. Checked.
    pub jobs: BTreeMap<JobId, Entries>,
    /// The folder where relative paths of its definitions start, absolute: that of the file.
    pub base: PathBuf,
    /// The file that it stands in, for people; `None`: in the one that is not included.
    pub file: Option<String>,
    /// That no file names it: it was made over REST.
    pub given: Option<Given>,
}

/// What is known of a tenant that was made over REST beside its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The version of its document.
    pub version: u64,
    /// That it is being removed: nothing of it begins any more.
    pub removal: Option<Removal>,
}

impl Tenant {
    /// A tenant that no file names.
    fn unnamed(tenant: &TenantId, reload: &Said, base: &Path) -> Self {
        Self {
            allow: Allow::default(),
            caps: Caps::none(&caps_place(tenant)),
            reload: reload.over(Reload::built_in(*tenant == TenantId::default_tenant())),
            allotment: Allotment::default(),
            plugins_dir: None,
            job_defaults: Entries::new(),
            jobs: BTreeMap::new(),
            base: base.to_owned(),
            file: None,
            given: None,
        }
    }
}

/// What holds for all tenants.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The zone of wall times that name none.
    pub zone: Tz,
    /// What no job on this host gets more of.
    pub caps: &'a Caps,
    /// What is laid over the built-in values of every job.
    pub job_defaults: &'a Entries,
}

/// The tenants of all files, as they are read.
pub struct Tenants<'a> {
    ground: Ground<'a>,
    reload: Said,
    /// Those that were read, each with the file that is included.
    found: BTreeMap<TenantId, Option<String>>,
    /// By name; there is always one of the name `default`.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Where the secrets of each stand; one that has none is not there.
    pub secrets: BTreeMap<TenantId, Named>,
}

impl<'a> Tenants<'a> {
    /// Begins with the one that is always there; `top` is the file whose folder is `base`.
    pub fn new(top: &mut Table<'_>, ground: Ground<'a>, base: &Path) -> Self {
        let reload = Said::read(top);
        let default = TenantId::default_tenant();
        let unnamed = Tenant::unnamed(&default, &reload, base);
        no_keys(top, "reload", &unnamed.reload);
        let tenants = BTreeMap::from([(default, unnamed)]);
        let (found, secrets) = (BTreeMap::new(), BTreeMap::new());
        Self { ground, reload, found, tenants, secrets }
    }

    /// Begins with none, to read one more; `reload` is what stands at the top.
    pub fn over(ground: Ground<'a>, reload: Said) -> Self {
        let (tenants, found, secrets) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { ground, reload, found, tenants, secrets }
    }

    /// What stands under `reload` at the top.
    pub fn reload(&self) -> &Said {
        &self.reload
    }

    /// Reads a file that is included. Answers all that is wrong with it.
    pub fn take_included(&mut self, included: &Included) -> Vec<Problem> {
        let problems = match included.entries() {
            Ok(entries) => {
                let mut table = Table::new("", &entries, &keys::INCLUDED);
                self.take(&mut table, included.base(), Some(&included.shown));
                table.finish()
            }
            Err(problem) => vec![problem],
        };
        problems.into_iter().map(|problem| included.problem(problem)).collect()
    }

    /// Reads `tenants` of a file; relative paths start at `base`. `file` is the name of one that is
    /// included.
    pub fn take(&mut self, top: &mut Table<'_>, base: &Path, file: Option<&str>) {
        let named = top.named::<TenantId>("tenants");
        let count = self.tenants.len() + named.len();
        if MAX_TENANTS < count {
            return top.problem("tenants", format!("are {count} tenants, more than {MAX_TENANTS}"));
        }
        for (tenant, path, entries) in named {
            if let Some(other) = self.found.get(&tenant) {
                let other = other.as_deref().unwrap_or(FILE_NAME);
                top.problem(&path, format!("stands in `{other}` too; keep one of the two tables"));
                continue;
            }
            let mut table = Table::new(&path, entries, &keys::TENANT);
            let read = self.read(&tenant, &mut table, base);
            self.found.insert(tenant.clone(), file.map(str::to_owned));
            self.tenants.insert(tenant, Tenant { file: file.map(str::to_owned), ..read });
            top.absorb(table.finish());
        }
    }

    /// Reads one tenant.
    pub fn read(&mut self, tenant: &TenantId, table: &mut Table<'_>, base: &Path) -> Tenant {
        let Ground { zone, caps: host_caps, job_defaults: all } = self.ground;
        let unnamed = Tenant::unnamed(tenant, &self.reload, base);
        let allow = parse::allow(table, base);
        let caps = caps(table, unnamed.caps.clone());
        let reload = Said::read(table).over(unnamed.reload.clone());
        no_keys(table, "reload", &reload);
        let allotment = allotment(table);
        let plugins_dir = folders::plugins_dir(table, tenant, base);
        let place = Place { base_dir: base, zone, tenant: Some(tenant), allow: &allow };
        let own = job_defaults(table, Layer::TenantDefaults, place);
        let below =
            Below { job_defaults: all, tenant_defaults: &own, caps: [&caps, host_caps], place };
        let jobs = jobs::jobs(table, Layer::Job(Source::File), None, below);
        let secrets = secrets(table, base);
        if !secrets.is_empty() {
            self.secrets.insert(tenant.clone(), secrets);
        }
        too_many_jobs(table, allotment.quota, jobs.len());
        Tenant { allow, caps, reload, allotment, plugins_dir, job_defaults: own, jobs, ..unnamed }
    }
}

/// Reads `quota` and `weight` of a tenant.
fn allotment(table: &mut Table<'_>) -> Allotment {
    let mut quota = Quota::default();
    if let Some(mut written) = table.table("quota", &keys::QUOTA) {
        for key in QuotaKey::ALL {
            if let Some(limit) = written.read(key.as_str(), |value| key.read(value)) {
                quota = quota.with(key, limit);
            }
        }
        table.absorb(written.finish());
    }
    let weight = table.read("weight", whole(1..=MAX_WEIGHT.into()));
    Allotment { quota, weight: weight.and_then(|it| u32::try_from(it).ok()).unwrap_or(1) }
}

/// Notes that a tenant's own table has more jobs than its quota lets it have.
fn too_many_jobs(table: &mut Table<'_>, quota: Quota, jobs: usize) {
    if let Some(limit) = quota.get(QuotaKey::Jobs).filter(|limit| *limit < jobs as u64) {
        let message =
            format!("are {jobs}, more than `quota.jobs` = {limit}; raise it or drop some");
        table.problem("jobs", message);
    }
}

/// Notes that nothing could ever be taken: signatures are required, and no key is named.
fn no_keys(table: &mut Table<'_>, key: &str, reload: &Reload) {
    if reload.require_signature && reload.signature_keys.is_empty() {
        let message = "`require_signature` needs `signature_keys = [\"RW...\"]`, the public keys \
                       of minisign that plugins may be signed with";
        table.problem(key, message);
    }
}

/// Reads `caps` of `table` over those of `caps`.
pub fn caps(table: &mut Table<'_>, mut caps: Caps) -> Caps {
    if let Some(mut written) = table.table("caps", &keys::CAPS) {
        for key in keys::CAPS.built {
            written.read(key, |value| caps.set(key, value));
        }
        table.absorb(written.finish());
    }
    caps
}

fn caps_place(tenant: &TenantId) -> String {
    format!("tenants.{tenant}.caps")
}
