mod include;
mod tenants;

use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 7)
}

/// What is wrong with `text`, one line each.
fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = parse("").unwrap();
    assert_eq!(config.file, Some(PathBuf::from("/srv/host.toml")));
    assert_eq!(config.plugins, Path::new("/srv/plugins"));
    assert_eq!(config.state_dir, Path::new("/srv/.campanile"));
    let path = PathBuf::from("/srv/.campanile/campanile.db");
    assert_eq!(config.store, StoreAddress::Sqlite { path });
    assert_eq!((config.timezone, config.config_version), (Tz::UTC, 7));
    assert!(config.auto_schedule);
    assert_eq!(config.roles.len(), 3);
    assert_eq!(config.executor.queues, BTreeSet::from([QueueName::default()]));
    assert_eq!(config.executor.max_running, 64);
    assert_eq!(config.executor.memory, 4 << 30);
    assert_eq!(config.executor.drain, Duration::from_secs(30));
    let caps = config.executor.caps.iter().map(|(key, value, _)| (key, value.clone()));
    assert_eq!(caps.collect::<Vec<_>>(), [("memory", json!("1GiB")), ("timeout", json!("6h"))]);
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:7600");
}

#[test]
fn everything_that_is_written_is_read() {
    let config = parse(
        r#"
        plugins = "p"
        state_dir = "/var/lib/campanile"
        store = { url = "sqlite:db/x.db", durability = "power" }
        timezone = "Europe/Berlin"
        roles = ["executor", "scheduler", "executor"]
        auto_schedule = false
        config_version = 42
        [executor]
        max_running = 2
        queues = ["gpu", "default"]
        memory = "512MiB"
        drain = "0s"
        caps = { timeout = "1h" }
        [api]
        listen = "[::1]:0"
        [job_defaults]
        max_instances = 2
        [jobs.nightly]
        plugin = "report"
        trigger = { type = "date", run_date = 2026-12-01T09:00:00 }
        "#,
    )
    .unwrap();
    assert_eq!(config.plugins, Path::new("/srv/p"));
    assert_eq!(config.state_dir, Path::new("/var/lib/campanile"));
    assert_eq!(config.store, StoreAddress::Sqlite { path: PathBuf::from("/srv/db/x.db") });
    assert_eq!((config.timezone, config.config_version), (Tz::Europe__Berlin, 42));
    assert!(!config.auto_schedule);
    assert_eq!((config.executor.max_running, config.executor.drain), (2, Duration::ZERO));
    assert_eq!(config.roles, BTreeSet::from([Role::Scheduler, Role::Executor]));
    let queues: Vec<&str> = config.executor.queues.iter().map(QueueName::as_str).collect();
    assert_eq!(queues, ["default", "gpu"]);
    assert_eq!(config.served(), config.executor.queues);
    assert_eq!(config.executor.most_memory(), 512 << 20, "no run gets more than all together");
    assert_eq!(config.api.listen.to_string(), "[::1]:0");
    assert_eq!(config.job_defaults["max_instances"], 2);
    let job = &config.jobs[&"nightly".parse().unwrap()];
    assert_eq!(job["trigger"], json!({"type": "date", "run_date": "2026-12-01T09:00:00"}));
}

#[test]
fn each_wrong_key_is_named_with_what_would_be_right() {
    for (text, problem) in [
        ("plugin = 'x'", "plugin: unknown key `plugin`; did you mean `plugins`?"),
        ("plugins = 5", "plugins: must be text, not `5`"),
        (
            "timezone = 'Europe/Berln'",
            "timezone: unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?",
        ),
        (
            "store = 'redis+sentinel://:secret@h/0'",
            "store: `redis+sentinel:` is not built yet; leave it out",
        ),
        ("store = 'sqllite:'", "store: unknown store `sqllite:`; did you mean `sqlite:`?"),
        ("store = 'memory:x'", "store: `memory:` takes nothing after the colon"),
        ("store = 'x.db'", "store: must be a store like `sqlite:` or `memory:`, not `x.db`"),
        (
            "store = { url = 'sqlite:', path = 'x' }",
            "store.path: unknown key `path`; known here: url, username, password, ca_file, durability, allow_volatile, ttl, prefix",
        ),
        (
            "store = { url = 'memory:', durability = 'power' }",
            "store.durability: a store in memory survives no loss of power",
        ),
        (
            "store = { url = 'sqlite:', durability = 'process' }",
            "store.durability: must be `power`, not `process`",
        ),
        (
            "store = { url = 'sqlite:', ttl = '5s' }",
            "store.ttl: is for a store that hosts share, not for `sqlite:`",
        ),
        ("roles = []", "roles: must name one role at least: scheduler, executor, api"),
        ("roles = 'api'", "roles: must be a list, not `api`"),
        ("roles = ['apis']", "roles: unknown role `apis`; did you mean `api`?"),
        (
            "config_version = -1",
            "config_version: must be a whole number from 0 to 9223372036854775807, not `-1`",
        ),
        ("auto_schedule = 'no'", "auto_schedule: must be `true` or `false`, not `no`"),
        (
            "[secrets]\nA = { env = '' }",
            "secrets.A.env: must be the name of an environment variable",
        ),
        (
            "[tenants.Acme]",
            "tenants.Acme: `Acme` is no tenant name (lower case): use letters, digits, `.`, `_`, `-`, \
             starting with a letter or digit, at most 128 of them",
        ),
        (
            "[tenants.default]\nquota = { job = 1 }",
            "tenants.default.quota.job: unknown key `job`; did you mean `jobs`?",
        ),
        (
            "[tenants.acme]\nquota = { cpu_per_hour = 5 }",
            "tenants.acme.quota.cpu_per_hour: must be a duration like `250ms`, `30s`, `5m`, `2h` or \
             `1d`, not `5`",
        ),
        (
            "[tenants.acme]\nweight = 0",
            "tenants.acme.weight: must be a whole number from 1 to 1000, not `0`",
        ),
        (
            "[tenants.acme]\nquota = { jobs = 1 }\njobs = { a = { plugin = 'p' }, b = { plugin = 'p' } }",
            "tenants.acme.jobs: are 2, more than `quota.jobs` = 1; raise it or drop some",
        ),
        (
            "[jobs.x]\nplugin = 'p'\nrate_limit = '10/d'",
            "jobs.x.rate_limit: must be runs in a second, minute or hour like `10/s`, `10/m` or \
             `10/h`, at most 1000000, not `10/d`; or `none`",
        ),
        (
            "[tenants.default.allow]\nhttp = ['x']",
            "tenants.default.allow.http: must be an origin like `https://api.example.com` or \
             `http://10.0.0.5:8080`, without a path, not `x`",
        ),
        (
            "[tenants.default.caps]\nopen_files = 'x'",
            "tenants.default.caps.open_files: must be a whole number from 0 to 10000, not `x`",
        ),
        (
            "[jobs.x]\nplugin = 'p'\n[tenants.default]\ncaps = { timeout = '0s' }",
            "tenants.default.caps.timeout: must be longer than zero, not `0s`",
        ),
        (
            "[reload]\nkeep_versions = 0",
            "reload.keep_versions: must be a whole number from 1 to 100, not `0`",
        ),
        (
            "[tenants.acme.reload]\nrequire_signature = true",
            "tenants.acme.reload: `require_signature` needs `signature_keys = [\"RW...\"]`, the \
             public keys of minisign that plugins may be signed with",
        ),
        (
            "[reload]\nsignature_keys = ['x']",
            "reload.signature_keys: `x` is no public key of minisign: write the second line of \
             `minisign.pub`",
        ),
        ("queues = 3", "queues: must be tables `[queues.X]`, not `3`"),
        (
            "[queues.gpu]\nmax_runing = 2",
            "queues.gpu.max_runing: unknown key `max_runing`; did you mean `max_running`?",
        ),
        (
            "[executor]\nmax_running = 0",
            "executor.max_running: must be a whole number from 1 to 100000, not `0`",
        ),
        (
            "[executor]\nqueues = []",
            "executor.queues: must name one queue at least; a host that takes no runs has no role `executor`",
        ),
        (
            "[executor]\nqueues = ['g p u']",
            "executor.queues: `g p u` is no queue name: use letters, digits, `.`, `_`, `-`, starting with a letter or digit, at most 128 of them",
        ),
        (
            "[executor]\ndrain = 30",
            "executor.drain: must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `30`",
        ),
        (
            "[executor]\ncaps = { memory = '4GB' }",
            "executor.caps.memory: must be a size like `64KiB`, `1MiB` or `4GiB`, not `4GB`",
        ),
        (
            "[executor.caps]\ntiemout = '1h'",
            "executor.caps.tiemout: unknown key `tiemout`; did you mean `timeout`?",
        ),
        (
            "[api]\nlisten = '0.0.0.0:7600'",
            "api.listen: `0.0.0.0:7600` can be reached from other machines, and there are no tokens: use a loopback address like `127.0.0.1:7600`, or write `tokens = \"tokens.toml\"` below `[api]` and make one with `host token create --role admin`",
        ),
        (
            "[api]\nlisten = 'localhost'",
            "api.listen: must be an address and a port like `127.0.0.1:7600`, not `localhost`",
        ),
        (
            "[job_defaults]\ntrigger = 'every 5s'",
            "job_defaults.trigger: `trigger` belongs to one job, not to `job_defaults`",
        ),
        (
            "[job_defaults]\nmax_instance = 1",
            "job_defaults.max_instance: unknown key `max_instance`; did you mean `max_instances`?",
        ),
        (
            "[jobs.'a b']\nplugin = 'p'",
            "jobs.a b: `a b` is no job name: use letters, digits, `.`, `_`, `-`, starting with a letter or digit, at most 128 of them",
        ),
        ("[jobs]\nplugin = 'p'", "jobs.plugin: must be a table of a job's keys, not `p`"),
        ("[jobs.x]\nmax_instances = 2", "jobs.x: `plugin` is missing: name the plugin that is run"),
        (
            "[jobs.x]\nplugin = 'p'\non_success = 'y'",
            "jobs.x.on_success: `on_success` is reserved for later; leave it out",
        ),
        (
            "[jobs.x]\nplugin = 'p'\nargs = '12345678'\n[job_defaults]\nlimits = { args = 5 }",
            "jobs.x.args: are 10 bytes of JSON, more than `limits.args` = 5B",
        ),
    ] {
        assert_eq!(problems(text), [problem], "{text}");
    }
}

#[test]
fn all_problems_of_all_jobs_are_listed_at_once() {
    let text = "timezon = 'UTC'\n[executor]\nmax_running = 0\n[job_defaults]\npriority = 11\n\
                [jobs.nightly]\nplugin = 'report'\nmax_instances = 0\n\
                trigger = { type = 'cron', hour = 2, timezone = 'Europe/Berln' }\n\
                [jobs.weekly]\nplugin = 'report'\nlimits = { timeout = '5' }\n";
    assert_eq!(
        parse(text).unwrap_err().to_string(),
        "cannot use configuration `host.toml`\n  \
         timezon: unknown key `timezon`; did you mean `timezone`?\n  \
         executor.max_running: must be a whole number from 1 to 100000, not `0`\n  \
         job_defaults.priority: must be a whole number from 0 to 9, not `11`\n  \
         jobs.nightly.trigger.timezone: unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?\n  \
         jobs.nightly.max_instances: must be a whole number from 1 to 10000, not `0`\n  \
         jobs.weekly.limits.timeout: must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `5`"
    );
}

#[test]
fn what_is_no_toml_is_named_by_line() {
    let error = parse("plugins = 'x'\nstore = \n").unwrap_err().to_string();
    assert!(
        error.starts_with("cannot use configuration `host.toml`\n  line 2, column 9: "),
        "{error}"
    );
}

mod jobs_of_all_sources {
    use super::*;
    use crate::config::definitions::{Definitions, definitions};
    use crate::config::resolve::Carried;
    use crate::config::sidecar::{BrokenSidecar, Sidecar};
    use crate::job::PluginKey;
    use crate::job::names::TenantId;
    use crate::plugin::Handler;
    use serde_json::Value;

    fn sidecar(plugin: &str, text: &str) -> Result<Sidecar, BrokenSidecar> {
        let file = PathBuf::from(format!("/srv/plugins/{plugin}.toml"));
        let tenant = TenantId::default_tenant();
        let plugin = PluginKey { tenant, plugin: plugin.parse().unwrap() };
        Sidecar::parse(text, plugin, &file, &parse("").unwrap(), 3)
    }

    fn carried(plugin: &str, handlers: &[(&str, Value)]) -> Carried {
        let plugin =
            PluginKey { tenant: TenantId::default_tenant(), plugin: plugin.parse().unwrap() };
        let handler = |(name, defaults): &(&str, Value)| Handler {
            name: name.parse().unwrap(),
            description: String::new(),
            defaults: Some(defaults.clone()),
        };
        Carried { plugin, handlers: Some(handlers.iter().map(handler).collect()), own: true }
    }

    /// `id source origin` of each job.
    fn found(all: &Definitions) -> Vec<String> {
        let line = |resolved: &crate::config::resolve::Resolved| {
            format!("{} {:?} {}", resolved.job.key.job, resolved.source, resolved.origin)
        };
        all.jobs.iter().map(line).collect()
    }

    fn noted(all: &Definitions) -> Vec<String> {
        let lines = |(origin, problems): (&String, &Vec<crate::problem::Problem>)| {
            problems.iter().map(|problem| format!("{origin}: {problem}")).collect::<Vec<_>>()
        };
        all.problems.iter().flat_map(lines).collect()
    }

    #[test]
    fn handlers_with_a_trigger_that_nobody_names_become_jobs() {
        let every = json!({"trigger": "every 5s"});
        let plugins = [
            carried(
                "hello",
                &[("run", every.clone()), ("late", every.clone()), ("quiet", json!({}))],
            ),
            carried("report", &[("run", every.clone())]),
            carried("manual", &[("work", json!({}))]),
        ];
        let config = parse("[jobs.sales]\nplugin = 'report'").unwrap();
        let all = definitions(&config, &[], &plugins);
        assert_eq!(
            found(&all),
            ["hello Plugin plugin hello", "hello.late Plugin plugin hello", "sales File host.toml"]
        );
        assert_eq!(all.jobs[0].effective["trigger"], "every 5s");
        assert_eq!(all.unscheduled.len(), 1);
        assert_eq!(
            all.unscheduled[0].write,
            "[jobs.\"manual\"]\nplugin = \"manual\"\nhandler = \"work\"\ntrigger = \"every 1h\"\n"
        );

        let off = parse("auto_schedule = false\n[jobs.sales]\nplugin = 'report'").unwrap();
        let all = definitions(&off, &[], &plugins);
        assert_eq!(found(&all), ["sales File host.toml"]);
        assert_eq!(all.unscheduled.len(), 2);
    }

    #[test]
    fn of_one_id_the_file_wins_over_the_sidecar_and_that_over_the_plugin() {
        let every = json!({"trigger": "every 5s"});
        let plugins = [carried("a", &[("run", every.clone())]), carried("b", &[("run", every)])];
        let config = parse("[jobs.x]\nplugin = 'other'").unwrap();
        let sidecars = [
            sidecar("a", "[jobs.x]\nhandler = 'run'\n[jobs.b]\nhandler = 'run'"),
            sidecar("b", "[jobs.y]\nhandler = 'other'\n[jobs.b]\nhandler = 'other'"),
        ];
        let all = definitions(&config, &sidecars, &plugins);
        assert_eq!(
            found(&all),
            ["b Sidecar plugins/a.toml", "x File host.toml", "y Sidecar plugins/b.toml"]
        );
        assert_eq!(
            noted(&all),
            [
                "plugin b: handlers.run: job `b` is defined by plugins/a.toml already, and that one counts; choose another name",
                "plugins/a.toml: jobs.x: job `x` is defined by host.toml already, and that one counts; choose another name",
                "plugins/b.toml: jobs.b: job `b` is defined by plugins/a.toml already, and that one counts; choose another name",
                "plugins/b.toml: jobs.y.handler: plugin `b` has no handler `other`; it has `run`",
            ]
        );
        assert_eq!(all.jobs[0].config_version, 3);
        assert_eq!(all.jobs[1].config_version, 7);
    }

    #[test]
    fn the_sidecar_of_a_jobs_own_plugin_is_a_layer_below_the_file() {
        let config = parse("[jobs.x]\nplugin = 'a'\nlimits = { timeout = '9s' }").unwrap();
        let sidecars =
            [sidecar("a", "[jobs.x]\ntrigger = 'every 5s'\nlimits = { timeout = '1s', log = 5 }")];
        let all = definitions(&config, &sidecars, &[carried("a", &[("run", json!({}))])]);
        assert_eq!(found(&all), ["x File host.toml"]);
        assert_eq!(noted(&all), [""; 0]);
        let effective = &all.jobs[0].effective;
        assert_eq!(effective["trigger"], "every 5s");
        assert_eq!(
            (&effective["limits"]["timeout"], &effective["limits"]["log"]),
            (&json!("9s"), &json!("5B"))
        );
        assert_eq!(all.jobs[0].origins["limits.log"].to_string(), "sidecar");
    }

    #[test]
    fn a_broken_sidecar_or_plugin_is_named_and_what_it_defined_is_to_be_left() {
        let every = json!({"trigger": "every 5s"});
        let plugins = [
            carried("a", &[("run", every.clone())]),
            carried("b", &[("run", json!({"trigger": "evry 5s"})), ("two", every.clone())]),
            Carried { handlers: None, ..carried("c", &[]) },
        ];
        let config =
            parse("[jobs.x]\nplugin = 'a'\nhandler = 'other'\n[jobs.y]\nplugin = 'c'").unwrap();
        let all = definitions(&config, &[sidecar("a", "[jobs.z]\nx = 1")], &plugins);
        assert_eq!(found(&all), ["b.two Plugin plugin b", "x File host.toml", "y File host.toml"]);
        let incomplete: Vec<bool> = all.jobs.iter().map(|it| it.incomplete).collect();
        assert_eq!(incomplete, [false, true, true]);
        let broken: Vec<&str> = all.broken.iter().map(String::as_str).collect();
        assert_eq!(broken, ["plugin a", "plugin b", "plugin c", "plugins/a.toml"]);
        assert!(
            noted(&all)
                .iter()
                .any(|line| line.starts_with("plugin b: handlers.run.defaults.trigger: "))
        );
    }
}
