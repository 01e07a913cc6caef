//! What becomes of a configuration that is read again while the host serves: most of it takes effect
//! at once, and what the host was built on stays as it was until the next start.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::store::{SQLITE_FILE, StoreAddress};
use super::tenants::Tenant;
use super::{Api, Config, Executor};
use crate::job::capabilities::Allow;
use crate::job::limits::Caps;
use crate::job::names::TenantId;
use crate::job::quota::Allotment;
use crate::table::unit::show_size;

/// What was decided about a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// What is in force from now on.
    pub config: Config,
    /// The keys that take effect now, with dots.
    pub live: Vec<&'static str>,
    /// The keys that wait for the next start and keep the value of the last one, with dots.
    pub needs_restart: Vec<&'static str>,
}

/// Decides which keys of `new` take effect on a host that was built from `started` and for which
/// `in_force` counts now.
pub fn between(started: &Config, in_force: &Config, new: Config) -> Changes {
    let mut keys = Keys::default();
    // All fields by name: one that is added can't be forgotten here.
    let Config {
        file,
        base,
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
    } = new;
    let store = match is_usual(started) && is_own(&store, &state_dir) {
        // It only follows `state_dir`.
        true => started.store.clone(),
        false => keys.fixed("store", &started.store, store),
    };
    let config = Config {
        file,
        base,
        include: keys.live("include", &in_force.include, include),
        plugins: keys.live("plugins", &in_force.plugins, plugins),
        state_dir: keys.fixed("state_dir", &started.state_dir, state_dir),
        store,
        timezone: keys.live("timezone", &in_force.timezone, timezone),
        roles: keys.fixed("roles", &started.roles, roles),
        auto_schedule: keys.live("auto_schedule", &in_force.auto_schedule, auto_schedule),
        config_version: keys.live("config_version", &in_force.config_version, config_version),
        executor: keys.executor(started, &in_force.executor, executor),
        api: keys.api(&started.api, api),
        queues: keys.live("queues", &in_force.queues, queues),
        // What it changes is told of each tenant.
        reload_of_all,
        secrets: keys.live("secrets", &in_force.secrets, secrets),
        job_defaults: keys.live("job_defaults", &in_force.job_defaults, job_defaults),
        jobs: keys.live("jobs", &in_force.jobs, jobs),
        tenants: keys.tenants(&in_force.tenants, tenants),
    };
    Changes { config, live: keys.live, needs_restart: keys.needs_restart }
}

type Tenants = BTreeMap<TenantId, Tenant>;

/// What of a tenant is told under `tenants`; the rest is told under a key of its own.
fn rights(tenant: &Tenant) -> (&Allow, &Caps, &Allotment, bool) {
    // Where it stands is no matter: what that changes is found in what it says.
    let Tenant {
        allow,
        caps,
        allotment,
        reload: _,
        plugins_dir: _,
        job_defaults: _,
        jobs: _,
        base: _,
        file: _,
        given,
    } = tenant;
    let is_removed = given.as_ref().is_some_and(|given| given.removal.is_some());
    (allow, caps, allotment, is_removed)
}

/// A key, and whether two tenants are the same under it.
type Part = (&'static str, fn(&Tenant, &Tenant) -> bool);

/// What of a tenant is told under a key of its own: that of the same thing for all.
const PARTS: [Part; 4] = [
    ("reload", |old, new| old.reload == new.reload),
    ("plugins", |old, new| old.plugins_dir == new.plugins_dir),
    ("job_defaults", |old, new| old.job_defaults == new.job_defaults),
    ("jobs", |old, new| old.jobs == new.jobs),
];

/// The keys that differ, as they are found.
#[derive(Default)]
struct Keys {
    live: Vec<&'static str>,
    needs_restart: Vec<&'static str>,
}

impl Keys {
    fn live<T: PartialEq>(&mut self, key: &'static str, old: &T, new: T) -> T {
        if *old != new {
            self.live.push(key);
        }
        new
    }

    fn fixed<T: PartialEq + Clone>(&mut self, key: &'static str, started: &T, new: T) -> T {
        if *started != new {
            self.needs_restart.push(key);
        }
        started.clone()
    }

    fn executor(&mut self, started: &Config, in_force: &Executor, new: Executor) -> Executor {
        let most = started.executor.most_memory();
        let is_more = new.most_memory() > most;
        let Executor { max_running, memory, queues, drain, caps } = new;
        let started = &started.executor;
        let has_other_memory = memory != started.memory;
        let caps = match is_more {
            // The sandbox has room for so much; a run that was let have more could not start.
            true if has_other_memory => held(caps, most),
            true => {
                self.needs_restart.push("executor.caps.memory");
                held(caps, most)
            }
            false => caps,
        };
        Executor {
            max_running: self.fixed("executor.max_running", &started.max_running, max_running),
            memory: self.fixed("executor.memory", &started.memory, memory),
            queues: self.fixed("executor.queues", &started.queues, queues),
            drain: self.live("executor.drain", &in_force.drain, drain),
            caps: self.live("executor.caps", &in_force.caps, caps),
        }
    }

    fn tenants(&mut self, old: &Tenants, new: Tenants) -> Tenants {
        let differ = |is_same: fn(&Tenant, &Tenant) -> bool| {
            let both = old.iter().filter_map(|(id, old)| Some((old, new.get(id)?)));
            both.into_iter().any(|(old, new)| !is_same(old, new))
        };
        if !old.keys().eq(new.keys()) || differ(|old, new| rights(old) == rights(new)) {
            self.live.push("tenants");
        }
        for (key, is_same) in PARTS {
            if differ(is_same) && !self.live.contains(&key) {
                self.live.push(key);
            }
        }
        new
    }

    fn api(&mut self, started: &Api, new: Api) -> Api {
        let Api { listen, tokens, tls } = new;
        Api {
            listen: self.fixed("api.listen", &started.listen, listen),
            // What stands in the files is read again when it changes; which files they are is not.
            tokens: self.fixed("api.tokens", &started.tokens, tokens),
            tls: self.fixed("api.tls", &started.tls, tls),
        }
    }
}

/// Whether the store is the file that stands in `state_dir` when nothing else is said.
fn is_usual(config: &Config) -> bool {
    is_own(&config.store, &config.state_dir)
}

fn is_own(store: &StoreAddress, state_dir: &Path) -> bool {
    *store == StoreAddress::Sqlite { path: state_dir.join(SQLITE_FILE) }
}

/// These caps, with `most` bytes of memory.
fn held(mut caps: Caps, most: u64) -> Caps {
    let set = caps.set("memory", &Value::from(show_size(most)));
    debug_assert_eq!(set, Ok(()), "a size is a cap");
    caps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1).unwrap()
    }

    fn keys(old: &str, new: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let old = config(old);
        let changes = between(&old, &old, config(new));
        (changes.live, changes.needs_restart)
    }

    #[test]
    fn what_takes_effect_and_what_waits_for_a_restart() {
        for (text, live, restart) in [
            ("", None, None),
            ("plugins = 'other'", Some("plugins"), None),
            ("timezone = 'Europe/Berlin'", Some("timezone"), None),
            ("auto_schedule = false", Some("auto_schedule"), None),
            ("config_version = 7", Some("config_version"), None),
            ("[executor]\ndrain = '5s'", Some("executor.drain"), None),
            ("[executor]\ncaps = { timeout = '1m' }", Some("executor.caps"), None),
            ("[executor]\ncaps = { memory = '64MiB' }", Some("executor.caps"), None),
            ("include = ['*.toml']", Some("include"), None),
            ("[tenants.acme]", Some("tenants"), None),
            ("[tenants.default]\nallow = { kv = true }", Some("tenants"), None),
            ("[tenants.default]\ncaps = { timeout = '1m' }", Some("tenants"), None),
            ("[tenants.default]\njob_defaults = { priority = 3 }", Some("job_defaults"), None),
            ("[tenants.default]\nquota = { jobs = 3 }", Some("tenants"), None),
            ("[tenants.default]\nweight = 3", Some("tenants"), None),
            ("[queues.db]\nmax_running = 3", Some("queues"), None),
            ("[tenants.default.jobs.x]\nplugin = 'p'", Some("jobs"), None),
            ("[tenants.default.secrets]\nX = { env = 'X' }", Some("secrets"), None),
            ("[reload]\nkeep_versions = 2", Some("reload"), None),
            ("[secrets]\nX = { env = 'X' }", Some("secrets"), None),
            ("secrets_dir = 's'", Some("secrets"), None),
            ("[job_defaults]\npriority = 3", Some("job_defaults"), None),
            ("[jobs.x]\nplugin = 'p'", Some("jobs"), None),
            ("store = 'memory:'", None, Some("store")),
            ("state_dir = 'elsewhere'", None, Some("state_dir")),
            ("roles = ['api']", None, Some("roles")),
            ("[api]\nlisten = '127.0.0.1:7601'", None, Some("api.listen")),
            ("[executor]\nqueues = ['gpu']", None, Some("executor.queues")),
            ("[executor]\nmax_running = 3", None, Some("executor.max_running")),
            ("[executor]\nmemory = '8GiB'", None, Some("executor.memory")),
            ("[executor]\ncaps = { memory = '2GiB' }", None, Some("executor.caps.memory")),
        ] {
            let expected = (Vec::from_iter(live), Vec::from_iter(restart));
            assert_eq!(keys("", text), expected, "{text}");
        }
    }

    #[test]
    fn what_waits_keeps_its_value_while_the_rest_takes_effect() {
        let old = config("");
        let new = "store = 'memory:'\nroles = ['api']\ntimezone = 'Europe/Berlin'\n\
                   [executor]\nmax_running = 3\ndrain = '5s'\n[api]\nlisten = '127.0.0.1:7601'\n";
        let changes = between(&old, &old, config(new));
        let expected = config("timezone = 'Europe/Berlin'\n[executor]\ndrain = '5s'\n");
        assert_eq!(changes.config, expected);
        // It is told again until the host starts anew.
        let again = between(&old, &changes.config, config(new));
        assert_eq!((again.live, &again.needs_restart), (vec![], &changes.needs_restart));
        assert_eq!(between(&old, &again.config, config("")).config, old);
    }

    #[test]
    fn no_cap_lets_a_run_have_more_memory_than_the_sandbox_was_built_for() {
        let most = |text: &str| config(text).executor.most_memory();
        let caps = |memory: &str| format!("[executor]\ncaps = {{ memory = '{memory}' }}");
        let started = config(&caps("512MiB"));
        let lower = between(&started, &started, config(&caps("64MiB")));
        assert_eq!(lower.config.executor.most_memory(), most(&caps("64MiB")));
        for (text, live, restart) in [
            (caps("512MiB"), vec!["executor.caps"], vec![]),
            (caps("2GiB"), vec!["executor.caps"], vec!["executor.caps.memory"]),
            (
                "[executor]\nmemory = '8GiB'".to_owned(),
                vec!["executor.caps"],
                vec!["executor.memory"],
            ),
        ] {
            let changes = between(&started, &lower.config, config(&text));
            assert_eq!((changes.live, changes.needs_restart), (live, restart), "{text}");
            assert_eq!(changes.config.executor.most_memory(), 512 << 20, "{text}");
        }
    }
}
