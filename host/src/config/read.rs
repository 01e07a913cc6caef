//! From the keys of `host.toml` to a [`Config`]: defaults, bounds, and every problem at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use serde_json::Value;

use super::include::{self, Included, within};
use super::jobs::{self, Below, MAX_JOBS};
use super::secret::{self, Named, Secrets, secrets_dir};
use super::store;
use super::tenants::{Ground, Tenant, Tenants, caps};
use super::{Config, Executor, api, folders, keys};
use crate::job::Source;
use crate::job::capabilities::Allow;
use crate::job::limits::{Caps, amount};
use crate::job::merge::Layer;
use crate::job::names::{JobId, QueueName, TenantId};
use crate::job::parse::{self, Place};
use crate::problem::{Problem, join, nearest};
use crate::record::Role;
use crate::table::value::{flag, list, name, shown, text, texts, whole};
use crate::table::{Entries, Table, unit};
use crate::trigger;

/// Runs at once at most.
pub const MAX_RUNNING: u64 = 100_000;

/// What a host may do.
const ROLES: [Role; 3] = [Role::Scheduler, Role::Executor, Role::Api];
/// Queues of the fleet at most for which something is said.
const MAX_FLEET_QUEUES: usize = 1_000;
/// Queues that one host serves at most.
const MAX_QUEUES: usize = 100;

/// Reads all keys; what can't be understood is replaced by its default so that reading goes on.
pub fn config(
    mut top: Table<'_>,
    base: &Path,
    config_version: i64,
    included: &[Included],
) -> Result<Config, Vec<Problem>> {
    let include = include::patterns(&mut top, base);
    let plugins = folder(&mut top, "plugins", "plugins", base);
    let state_dir = folder(&mut top, "state_dir", ".campanile", base);
    let store = store::store(&mut top, base, &state_dir);
    let timezone = top.read("timezone", zone).unwrap_or(Tz::UTC);
    let roles = top.read("roles", roles).unwrap_or_else(all_roles);
    let auto_schedule = top.read("auto_schedule", flag).unwrap_or(true);
    let config_version = top
        .read("config_version", whole(0..=i64::MAX.unsigned_abs()))
        .and_then(|version| i64::try_from(version).ok())
        .unwrap_or(config_version);
    let executor = executor(&mut top);
    let api = api::api(&mut top, base);
    // They grant nothing.
    let place = Place { base_dir: base, zone: timezone, tenant: None, allow: Allow::nothing() };
    let job_defaults = job_defaults(&mut top, Layer::JobDefaults, place);
    let ground = Ground { zone: timezone, caps: &executor.caps, job_defaults: &job_defaults };
    let mut all = Tenants::new(&mut top, ground, base);
    all.take(&mut top, base, None);
    included.iter().for_each(|included| top.absorb(all.take_included(included)));
    let reload_of_all = all.reload().clone();
    let Tenants { tenants, secrets: named, .. } = all;
    let queues = fleet_queues(&mut top);
    top.absorb(folders::shared(&plugins, &tenants, folders::by_text));
    let file = tenants.get(&TenantId::default_tenant()).and_then(|own| own.file.as_deref());
    let secrets = all_secrets(&mut top, named, file, base);
    let jobs = default_jobs(&mut top, &tenants, ground, base);
    match (store, top.finish()) {
        (Some(store), problems) if problems.is_empty() => Ok(Config {
            file: None,
            base: base.to_owned(),
            include,
            plugins,
            state_dir,
            store,
            timezone,
            roles,
            auto_schedule,
            config_version,
            executor,
            api,
            tenants,
            queues,
            reload_of_all,
            secrets,
            job_defaults,
            jobs,
        }),
        (_, problems) => Err(problems),
    }
}

/// Reads the `[queues.X]` tables.
fn fleet_queues(top: &mut Table<'_>) -> BTreeMap<QueueName, u64> {
    let named = top.named::<QueueName>("queues");
    if MAX_FLEET_QUEUES < named.len() {
        let message = format!("are {} queues, more than {MAX_FLEET_QUEUES}", named.len());
        top.problem("queues", message);
        return BTreeMap::new();
    }
    let mut queues = BTreeMap::new();
    for (queue, path, entries) in named {
        let mut table = Table::new(&path, entries, &keys::QUEUE);
        if let Some(most) = table.read("max_running", whole(1..=MAX_RUNNING)) {
            queues.insert(queue, most);
        }
        top.absorb(table.finish());
    }
    queues
}

/// A folder, relative to the file's own.
fn folder(top: &mut Table<'_>, key: &str, default: &str, base: &Path) -> PathBuf {
    let path = top.read(key, |value| match text(value)? {
        path if path.contains('\0') => Err("must not contain the character NUL".to_owned()),
        path => Ok(path.to_owned()),
    });
    base.join(path.as_deref().unwrap_or(default)).components().collect()
}

fn zone(value: &Value) -> Result<Tz, String> {
    trigger::parse_zone(text(value)?)
}

fn all_roles() -> BTreeSet<Role> {
    BTreeSet::from(ROLES)
}

/// Some of the roles, in any order.
fn roles(value: &Value) -> Result<BTreeSet<Role>, String> {
    let names = ROLES.map(Role::word);
    let mut roles = BTreeSet::new();
    for given in texts(value)? {
        let Some(role) = ROLES.iter().find(|role| role.word() == given) else {
            return Err(match nearest(&given, &names) {
                Some(near) => format!("unknown role `{given}`; did you mean `{near}`?"),
                None => format!("unknown role `{given}`; there are {}", names.join(", ")),
            });
        };
        roles.insert(*role);
    }
    if roles.is_empty() {
        return Err(format!("must name one role at least: {}", names.join(", ")));
    }
    Ok(roles)
}

/// The queues that a host serves.
fn queues(value: &Value) -> Result<BTreeSet<QueueName>, String> {
    let queues: BTreeSet<QueueName> = list(value)?.iter().map(name).collect::<Result<_, _>>()?;
    match queues.len() {
        0 => Err("must name one queue at least; a host that takes no runs has no role `executor`"
            .to_owned()),
        many if MAX_QUEUES < many => Err(format!("are {many} queues, more than {MAX_QUEUES}")),
        _ => Ok(queues),
    }
}

fn executor(top: &mut Table<'_>) -> Executor {
    let mut executor = Executor {
        max_running: 64,
        memory: 4 << 30,
        queues: BTreeSet::from([QueueName::default()]),
        drain: Duration::from_secs(30),
        caps: built_in_caps(),
    };
    if let Some(mut table) = top.table("executor", &keys::EXECUTOR) {
        let max_running = table.read("max_running", whole(1..=MAX_RUNNING));
        if let Some(max_running) = max_running.and_then(|number| usize::try_from(number).ok()) {
            executor.max_running = max_running;
        }
        if let Some(memory) = table.read("memory", |value| amount("memory", value)) {
            executor.memory = memory;
        }
        if let Some(queues) = table.read("queues", queues) {
            executor.queues = queues;
        }
        if let Some(drain) = table.read("drain", unit::duration) {
            executor.drain = drain;
        }
        executor.caps = caps(&mut table, executor.caps);
        top.absorb(table.finish());
    }
    // A run that wants more than there is could never start.
    if executor.caps.get("memory").is_none_or(|cap| cap > executor.memory) {
        hold(&mut executor.caps, "memory", &unit::show_size(executor.memory));
    }
    executor
}

/// What no job gets more of when nothing is written.
fn built_in_caps() -> Caps {
    let mut caps = Caps::none("executor.caps");
    hold(&mut caps, "timeout", "6h");
    hold(&mut caps, "memory", "1GiB");
    caps
}

/// Sets a cap that is known to be right.
fn hold(caps: &mut Caps, key: &str, most: &str) {
    let set = caps.set(key, &Value::from(most));
    debug_assert_eq!(set, Ok(()), "{key}");
}

/// The secrets of all tenants: `[secrets]` and `secrets_dir` are those of the tenant `default`.
fn all_secrets(
    top: &mut Table<'_>,
    mut named: BTreeMap<TenantId, Named>,
    file: Option<&str>,
    base: &Path,
) -> Secrets {
    let dir = secrets_dir(top, base);
    let own = secret::secrets(top, base);
    if !own.is_empty() {
        let default = named.entry(TenantId::default_tenant()).or_default();
        for (name, place) in own {
            if default.insert(name.clone(), place).is_some() {
                let path = join("tenants.default.secrets", name.as_str());
                top.absorb(vec![twice(path, "secrets", file)]);
            }
        }
    }
    Secrets { named, dir }
}

/// `[jobs]`, which are jobs of the tenant `default`.
fn default_jobs(
    top: &mut Table<'_>,
    tenants: &BTreeMap<TenantId, Tenant>,
    ground: Ground<'_>,
    base: &Path,
) -> BTreeMap<JobId, Entries> {
    let Some(default) = tenants.get(&TenantId::default_tenant()) else { return BTreeMap::new() };
    let below = Below {
        job_defaults: ground.job_defaults,
        tenant_defaults: &default.job_defaults,
        caps: [&default.caps, ground.caps],
        place: Place { base_dir: base, zone: ground.zone, tenant: None, allow: &default.allow },
    };
    let jobs = jobs::jobs(top, Layer::Job(Source::File), None, below);
    for id in jobs.keys().filter(|id| default.jobs.contains_key(*id)) {
        let path = join("tenants.default.jobs", id.as_str());
        top.absorb(vec![twice(path, "jobs", default.file.as_deref())]);
    }
    let all = jobs.len() + tenants.values().map(|tenant| tenant.jobs.len()).sum::<usize>();
    if MAX_JOBS < all {
        top.problem("", format!("{all} jobs of all tenants are more than {MAX_JOBS}"));
    }
    jobs
}

/// What is said of a thing that stands in two tables of the tenant `default`.
fn twice(path: String, table: &str, file: Option<&str>) -> Problem {
    let message =
        format!("stands in `[{table}]` too, which is the same tenant's; keep one of the two");
    let problem = Problem::new(path, message);
    match file {
        Some(file) => within(file, problem),
        None => problem,
    }
}

/// `job_defaults` of a table, or none when something is wrong with them.
pub fn job_defaults(top: &mut Table<'_>, layer: Layer, place: Place<'_>) -> Entries {
    let Some(Value::Object(entries)) = top.raw("job_defaults") else {
        if let Some(other) = top.raw("job_defaults") {
            top.problem("job_defaults", format!("must be a table of keys, not {}", shown(other)));
        }
        return Entries::new();
    };
    let problems = parse::check(entries, layer, &top.path_of("job_defaults"), place);
    if problems.is_empty() {
        return entries.clone();
    }
    top.absorb(problems);
    Entries::new()
}
