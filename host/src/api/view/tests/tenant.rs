//! A tenant.

use std::path::Path;

use super::super::tenant::{Counts, JobCounts, QuotaView, RunCounts, TenantView};
use super::{check, schedule};
use crate::config::Config;
use crate::job::quota::QuotaKey;
use crate::record::Pause;
use crate::run::RunState;
use crate::time::Timestamp;

#[test]
fn a_tenant_shows_what_it_may_have_and_of_secrets_the_names() {
    let text = "[tenants.acme]\nplugins_dir = 'theirs'\ncaps = { timeout = '1h', open_files = 16 }\n\
        allow = { http = ['https://api.example.com'], dirs = ['shared'], tcp = ['10.0.0.5:5432'], \
        env = ['LANG'], secrets = ['TOKEN'], kv = true }\nreload = { keep_versions = 2 }\n\
        weight = 2\nquota = { max_running = 8, cpu_per_hour = '1h', storage = '64MiB' }\n\
        secrets = { TOKEN = { file = 'hidden' } }\n";
    let config = Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
    let jobs = JobCounts { active: 3, parked: 1, ..JobCounts::default() };
    let runs = RunCounts { running: 1, queued: 2, more: false };
    let now = Timestamp::parse("2026-03-01T09:30:00Z").unwrap();
    let used =
        |(key, limit)| QuotaView::new(key, limit, (key != QuotaKey::Storage).then_some(5), now);
    let acme = config.allotment(&"acme".parse().unwrap());
    let quota = acme.quota.iter().map(used).collect();
    let counts = Counts { quota, plugins: 2, jobs, runs };
    check("tenant", &TenantView::of(&config, &"acme".parse().unwrap(), counts));
}

#[test]
fn jobs_and_runs_are_counted_by_state() {
    let active = schedule();
    let mut paused = schedule();
    paused.pause = Some(Pause { by: "me".to_owned(), why: String::new(), until: None });
    let jobs = [active.clone(), paused, active];
    let expected = JobCounts { active: 2, paused: 1, more: true, ..JobCounts::default() };
    assert_eq!(JobCounts::of(&jobs, true), expected);
    let runs = [RunState::Queued, RunState::Running, RunState::Retrying];
    let runs = runs.map(|state| crate::run::Run { state, ..super::run() });
    assert_eq!(RunCounts::of(&runs, false), RunCounts { running: 1, queued: 2, more: false });
}
