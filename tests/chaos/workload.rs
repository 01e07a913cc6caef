//! What the hosts are given to do.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::history::{Grid, Job, Micros, SECOND};

/// A kind of job whose effects are collected.
struct Kind {
    name: &'static str,
    /// An interval of so many seconds, or of each minute these.
    cron: bool,
    seconds: i64,
    work_ms: u64,
    max_instances: usize,
    /// Further keys.
    keys: &'static str,
}

/// Every policy that decides about late, missed and overlapping fires.
const KINDS: [Kind; 7] = [
    Kind::every("tick", 1, 30, 1, "coalesce = \"latest\""),
    Kind::every("each", 2, 100, 1, "coalesce = \"all\"\noverlap = \"queue\"\nqueue_limit = 20"),
    Kind { cron: true, ..Kind::every("cron", 3, 50, 1, "coalesce = \"earliest\"") },
    Kind { cron: true, ..Kind::every("odd", 7, 200, 1, "overlap = \"queue\"") },
    Kind::every("long", 5, 1_500, 1, "coalesce = \"all\""),
    Kind::every("pair", 1, 1_600, 2, "overlap = \"skip\""),
    Kind::every("late", 4, 60, 1, "misfire_grace_time = \"2s\"\ncoalesce = \"drop\""),
];

impl Kind {
    const fn every(
        name: &'static str,
        seconds: i64,
        work_ms: u64,
        max_instances: usize,
        keys: &'static str,
    ) -> Self {
        Self { name, cron: false, seconds, work_ms, max_instances, keys }
    }
}

/// The jobs that fire from `from` on, a whole second, until `until`; `copies` of each kind.
pub fn jobs(copies: usize, from: Micros, until: Micros) -> Vec<Job> {
    let of_kind = |kind: &'static Kind| {
        (0..copies).map(move |copy| {
            // Copies of an interval fire at different fractions of a second.
            let start = from + i64::try_from(copy).unwrap() * SECOND / 4;
            let seconds = kind.seconds;
            let grid = match kind.cron {
                true => Grid::OfMinute { seconds },
                false => Grid::Every { start, step: seconds * SECOND },
            };
            let id = format!("{}-{copy}", kind.name);
            Job { id, grid, from, until, max_instances: kind.max_instances }
        })
    };
    KINDS.iter().flat_map(of_kind).collect()
}

/// Those jobs as `[jobs.X]` tables: what may reach the collector is granted there alone.
pub fn tables(jobs: &[Job], collector: SocketAddr) -> String {
    let table = |job: &Job| {
        let kind = KINDS.iter().find(|kind| job.id.starts_with(kind.name)).unwrap();
        table(job, collector, kind.work_ms, kind.keys)
    };
    jobs.iter().map(table).collect()
}

/// One job that tells the collector what it does, with further keys.
pub fn table(job: &Job, collector: SocketAddr, work_ms: u64, keys: &str) -> String {
    let date = |at: Micros| {
        let at = chrono::DateTime::from_timestamp_micros(at).unwrap();
        at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    };
    let trigger = match job.grid {
        Grid::Every { start, step } => {
            let seconds = step as f64 / SECOND as f64;
            format!(r#"type = "interval", seconds = {seconds}, start_date = "{}""#, date(start))
        }
        Grid::OfMinute { seconds } => format!(
            r#"type = "cron", crontab = "*/{seconds} * * * * *", start_date = "{}""#,
            date(job.from)
        ),
    };
    format!(
        r#"
[jobs.{id}]
plugin = "effect"
trigger = {{ {trigger}, end_date = "{until}" }}
max_instances = {max_instances}
args = {{ work_ms = {work_ms} }}
config = {{ collector = "{collector}" }}
capabilities = {{ tcp = ["{collector}"] }}
retry = {{ max_attempts = 5, backoff = "200ms", factor = 1 }}
limits = {{ timeout = "20s" }}
max_rescues = 50
{keys}
"#,
        id = job.id,
        until = date(job.until),
        max_instances = job.max_instances,
    )
}

/// A definition for REST that carries a mark in two places.
pub fn marked(mark: u64) -> Value {
    json!({
        "plugin": "noop",
        "trigger": "every 1h",
        "args": {"mark": mark},
        "config": {"mark": mark.to_string()},
    })
}
