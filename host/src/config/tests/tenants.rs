//! Tenants in the file: what they have of their own, and what is wrong with it.

use super::{parse, problems};
use crate::config::definitions::definitions;
use crate::config::resolve::Resolved;
use crate::config::*;
use crate::job::Source;

#[test]
fn what_is_wrong_with_a_tenant_is_told_with_its_whole_path() {
    for (text, problem) in [
        (
            "[tenants.acme.jobs.x]\nplugin = 'p'\ntrigger = { type = 'cron', hour = 24 }",
            "tenants.acme.jobs.x.trigger.hour: `24` is out of range; `hour` takes 0 to 23, lists, ranges \
             and steps; did you mean `0`?",
        ),
        (
            "[tenants.acme]\njobs = 3",
            "tenants.acme.jobs: must be tables `[tenants.acme.jobs.ID]`, not `3`",
        ),
        (
            "[tenants.acme.job_defaults]\npriority = 10",
            "tenants.acme.job_defaults.priority: must be a whole number from 0 to 9, not `10`",
        ),
        (
            "[tenants.acme.secrets]\nA = { env = '' }",
            "tenants.acme.secrets.A.env: must be the name of an environment variable",
        ),
        (
            "[jobs.x]\nplugin = 'p'\n[tenants.default.jobs.x]\nplugin = 'q'",
            "tenants.default.jobs.x: stands in `[jobs]` too, which is the same tenant's; keep one of \
             the two",
        ),
        (
            "[secrets]\nA = { env = 'A' }\n[tenants.default.secrets]\nA = { env = 'B' }",
            "tenants.default.secrets.A: stands in `[secrets]` too, which is the same tenant's; keep \
             one of the two",
        ),
        (
            "[tenants.default]\nplugins_dir = 'x'",
            "tenants.default.plugins_dir: the folder of the tenant `default` is `plugins` at the top \
             of `host.toml`",
        ),
        (
            "[tenants.acme]\nplugins_dir = 'y/../plugins'",
            "tenants.acme.plugins_dir: `y/../plugins` is the folder of the tenant `default`; \
             give `acme` a folder of its own",
        ),
        (
            "[tenants.acme]\nplugins_dir = 'plugins/zeta'\n[tenants.zeta]",
            "tenants.acme.plugins_dir: `plugins/zeta` is the folder of the tenant `zeta`; give \
             `acme` a folder of its own",
        ),
        (
            "[tenants.acme]\nplugins_dir = 'x'\n[tenants.zeta]\nplugins_dir = 'x'",
            "tenants.zeta.plugins_dir: `x` is the folder of the tenant `acme`; give `zeta` a \
             folder of its own",
        ),
        (
            "[tenants.acme]\nplugins_dir = 'plugins/zeta'\n[tenants.zeta]\nplugins_dir = 'z'",
            "tenants.acme.plugins_dir: `plugins/zeta` lies in `plugins` and has the name of the \
             tenant `zeta`; give `acme` a folder of its own",
        ),
    ] {
        assert_eq!(problems(text), [problem], "{text}");
    }
}

#[test]
fn a_tenant_has_jobs_defaults_and_secrets_of_its_own() {
    let config = parse(
        "[job_defaults]\npriority = 2\nmax_rescues = 2\n[jobs.x]\nplugin = 'p'\n\
         [secrets]\nA = { env = 'A' }\n\
         [tenants.acme]\nplugins_dir = 'theirs'\njob_defaults = { priority = 4 }\n\
         secrets = { B = { env = 'B' } }\n\
         [tenants.acme.jobs.x]\nplugin = 'q'\ncapabilities = { kv = true }\n",
    )
    .unwrap();
    let jobs = definitions(&config, &[], &[]).jobs;
    let told = |index: usize| {
        let Resolved { job, effective, origins, source, .. } = &jobs[index];
        let priority = effective["priority"].as_u64().unwrap();
        let origin = |key: &str| origins[key].clone();
        (job.key.to_string(), *source, priority, origin("priority"), origin("max_rescues"))
    };
    let layers = |from: &str| (from.to_owned(), "job_defaults".to_owned());
    let file = |key: &str, priority, from: &str| {
        let (own, all) = layers(from);
        (key.to_owned(), Source::File, priority, own, all)
    };
    assert_eq!(told(0), file("acme/x", 4, "tenant"));
    assert_eq!(told(1), file("default/x", 2, "job_defaults"));
    let [acme, default] = ["acme", "default"].map(|tenant| tenant.parse().unwrap());
    assert_eq!(config.secrets.names(&acme), ["B".parse().unwrap()]);
    assert_eq!(config.secrets.find(&acme, &"A".parse().unwrap()), None);
    assert_eq!(config.secrets.find(&default, &"B".parse().unwrap()), None);
    let folder = Path::new("/srv/theirs");
    assert_eq!((config.plugins_of(&acme), config.tenant_of(folder)), (folder.into(), Some(acme)));
    assert_eq!(config.tenant_of(Path::new("/srv/plugins/acme")), None);
}
