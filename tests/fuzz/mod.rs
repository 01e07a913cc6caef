//! The bodies that `fuzz/` hands random bytes to, here with a corpus from one seed.

pub mod bodies;

use std::sync::Arc;

use campanile::clock::SystemClock;
use campanile::engine::{Engine, Settings};

use crate::support::guests;
use crate::support::mutants::mutants;

/// Inputs for each body.
const INPUTS: usize = 2_000;

/// Triggers of every kind, to be changed.
const TRIGGERS: [&str; 8] = [
    r#"{"type": "cron", "hour": "*/3", "minute": "5,10-20", "timezone": "Europe/Berlin"}"#,
    r#"{"type": "cron", "day": "last sun", "month": "jan-jun", "hour": 2, "jitter": 30}"#,
    r#"{"type": "cron", "crontab": "0 3 * * mon-fri"}"#,
    r#"{"type": "interval", "hours": 1, "minutes": 30, "start_date": "2026-01-01T00:00:00Z"}"#,
    r#"{"type": "date", "run_date": "2026-06-01 09:00:00", "timezone": "America/New_York"}"#,
    r#"{"type": "or", "triggers": ["every 5s", "cron 0 0 * * *"]}"#,
    r#"{"type": "and", "triggers": ["every 36h", "cron 0 9 * * *"], "threshold": 1}"#,
    r#""cron */5 * * * *""#,
];

/// Hands a body so many inputs, made from `seeds` in turn; answers how many it took.
fn feed(seeds: &[Vec<u8>], mut body: impl FnMut(&[u8]) -> bool) -> usize {
    let each = INPUTS / seeds.len();
    let mut taken = 0;
    for seed in seeds {
        assert!(body(seed), "{}", String::from_utf8_lossy(seed));
        taken += mutants(seed).take(each).filter(|mutant| body(mutant)).count();
    }
    taken
}

#[test]
fn triggers_of_strangers_are_refused_with_a_reason_or_fire_in_order() {
    let seeds = TRIGGERS.map(|text| text.as_bytes().to_vec());
    let taken = feed(&seeds, bodies::trigger);
    assert!((1..INPUTS).contains(&taken), "{taken}");
}

#[test]
fn configurations_of_strangers_are_refused_with_a_reason_or_read() {
    let shipped = std::fs::read(guests::root().join("host.toml")).unwrap();
    let jobs = b"[executor]\nmax_running = 3\n[jobs.a]\nplugin = 'p'\ntrigger = 'every 5s'\n\
        limits = { timeout = '1s', open_files = 3 }\n[job_defaults]\ntags = ['x']\n";
    let taken = feed(&[shipped, jobs.to_vec()], bodies::configuration);
    assert!((1..INPUTS).contains(&taken), "{taken}");
}

#[test]
fn files_of_strangers_are_refused_or_plugins() {
    let settings = Settings {
        max_instances: 8,
        max_memory: 64 << 20,
        cache_dir: None,
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::new(settings).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seeds = [guests::bytes("noop"), guests::core_bytes("noop")];
    let taken = feed(&seeds, |bytes| bodies::plugin_bytes(&engine, &runtime, bytes));
    assert!((1..INPUTS).contains(&taken), "{taken}");
}
