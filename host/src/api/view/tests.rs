//! The shapes against `tests/data/json`: keys, their order, and values. The files are contract.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::List;
use super::explain::ExplainView;
use super::host::{HostView, Own};
use super::job::JobView;
use super::ledger::LedgerView;
use super::log::LogView;
use super::plugin::PluginView;
use super::reload::ReloadView;
use super::run::RunView;
use crate::catalog::{Entry, State};
use crate::job::names::TenantId;
use crate::job::{Delivery, History, JobKey, PluginKey, Source};
use crate::plugin::versions::Versions;
use crate::plugin::{About, Handler};
use crate::record::packed::{Effective, Packed};
use crate::record::query::LedgerItem;
use crate::record::{
    Definition, HostInfo, HostRecord, LastRun, Pause, Role, Schedule, Session, TriggerState,
};
use crate::reloader::asked::Reloaded;
use crate::run::id::Id128;
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::{Effect, IoUse, Usage};
use crate::run::{Attempt, Cause, LogLevel, LogLine, LogStream, Progress, Run, RunState, Verdict};
use crate::schedule::preview::{Action, Change, Planned, Preview};
use crate::time::Timestamp;

mod access;
mod tenant;
mod usage;
mod why;

/// Compares a view with its file, and reads the file back to the same view.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, view: &T) {
    let file = format!("{}/../tests/data/json/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let shown = format!("{}\n", serde_json::to_string_pretty(view).unwrap());
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(shown, expected, "{file} differs; the view gives:\n{shown}");
    assert_eq!(&serde_json::from_str::<T>(&expected).unwrap(), view, "{name}");
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn schedule() -> Schedule {
    let trigger = json!({"type": "cron", "hour": 2, "timezone": "UTC"});
    Schedule {
        key: JobKey { tenant: TenantId::default_tenant(), job: "nightly".parse().unwrap() },
        uid: Id128::from_bits(1),
        version: 3,
        source: Source::File,
        def: Arc::new(Definition {
            definition: Packed::of(
                &json!({"plugin": "report", "trigger": {"type": "cron", "hour": 2}}),
            ),
            effective: Effective::of(
                &json!({"plugin": "report", "handler": "run", "trigger": trigger}),
            ),
            digest: "d".to_owned(),
            config_version: 1,
            origin: "host.toml".to_owned(),
            origins: Default::default(),
        }),
        cursor: Some(time("2026-12-02T02:00:00Z")),
        due_at: Some(time("2026-12-02T02:00:00Z")),
        trigger_state: TriggerState { anchor: time("2026-11-01T00:00:00Z") },
        last_fire: Some(time("2026-12-01T02:00:00Z")),
        pause: None,
        parked: None,
        max_instances: 1,
        history: History { keep: 100, max_age: std::time::Duration::from_hours(24) },
        rules: crate::record::Rules::default(),
        failures: 0,
        begun: None,
        accounted_from: None,
        created_at: time("2026-11-01T00:00:00Z"),
        last_run: Some(LastRun {
            run: Id128::from_bits(0xabc),
            at: time("2026-12-01T02:00:01.250000Z"),
            state: RunState::Done,
            outcome: Some(Outcome::Succeeded),
            previous_success: None,
        }),
    }
}

fn run() -> Run {
    Run {
        id: Id128::from_bits(0xabc),
        tenant: TenantId::default_tenant(),
        job: "nightly".parse().unwrap(),
        uid: Id128::from_bits(1),
        plugin: "report".parse().unwrap(),
        handler: "run".parse().unwrap(),
        cause: Cause::Schedule,
        fire_time: time("2026-12-01T02:00:00Z"),
        due_at: time("2026-12-01T02:00:00Z"),
        state: RunState::Queued,
        verdict: None,
        reason: Some("no_plugin".into()),
        outcome: None,
        covers: 1,
        attempt: 0,
        rescues: 0,
        attempts: Vec::new(),
        queue: Default::default(),
        priority: 0,
        delivery: Delivery::AtLeastOnce,
        max_rescues: 3,
        not_before: None,
        start_by: None,
        queued_at: time("2026-12-01T02:00:00.000100Z"),
        started_at: None,
        finished_at: None,
        args: None,
        result: None,
        error: None,
        progress: None,
        usage: Usage::default(),
        cancel: None,
        memory: 0,
        admitted: None,
    }
}

fn attempt(number: u32, start: &str, end: &str, outcome: Outcome, usage: Usage) -> Attempt {
    Attempt {
        attempt: number,
        fence: u64::from(number) + 40,
        session: Id128::from_bits(7),
        host: format!("tower-{number}"),
        digest: Some("sha256:00".to_owned()),
        started_at: time(start),
        finished_at: Some(time(end)),
        outcome: Some(outcome),
        error: None,
        usage,
    }
}

/// A run whose first host died and whose second attempt succeeded.
fn rescued_run() -> Run {
    let lost = Usage { wall_ms: 100, ..Usage::default() };
    let used = Usage {
        wall_ms: 1_250,
        cpu_ms: 900,
        fuel: Some(5_000_000),
        peak_memory_bytes: 2_097_152,
        host_calls: 12,
        waited_ms: 300,
        io: [(Effect::Http, IoUse { calls: 3, bytes_in: 2_048, bytes_out: 96 })].into(),
    };
    let mut sum = lost.clone();
    sum.add(&used);
    let first = ("2026-12-01T02:00:00.000500Z", "2026-12-01T02:00:10Z");
    let second = ("2026-12-01T02:00:10.002000Z", "2026-12-01T02:00:11.252000Z");
    Run {
        state: RunState::Done,
        verdict: Some(Verdict::Ran),
        reason: Some("on_time".into()),
        outcome: Some(Outcome::Succeeded),
        covers: 3,
        attempt: 2,
        attempts: vec![
            Attempt {
                error: Some(RunError { message: "its host died".into(), retryable: true }),
                ..attempt(1, first.0, first.1, Outcome::Abandoned, lost)
            },
            attempt(2, second.0, second.1, Outcome::Succeeded, used),
        ],
        started_at: Some(time(second.0)),
        finished_at: Some(time(second.1)),
        args: Some(json!({"path": "/data/sales.csv"})),
        result: Some(json!({"rows": 3})),
        progress: Some(Progress { done: 3, total: Some(3), message: "rows".to_owned() }),
        usage: sum,
        ..run()
    }
}

#[test]
fn a_job_is_shown_as_active_paused_parked_or_finished() {
    check("job", &JobView::of(&schedule()));
    let pause = Pause {
        by: "ops".to_owned(),
        why: "the database moves".to_owned(),
        until: Some(time("2026-12-05T00:00:00Z")),
    };
    check("job-paused", &JobView::of(&Schedule { pause: Some(pause), ..schedule() }));
    let parked = Some("undeclared".to_owned());
    check("job-parked", &JobView::of(&Schedule { parked, cursor: None, ..schedule() }));
    check("job-finished", &JobView::of(&Schedule { cursor: None, ..schedule() }));
}

#[test]
fn a_job_is_explained_value_by_value() {
    let effective = json!({
        "plugin": "report", "trigger": {"type": "cron", "hour": 2, "timezone": "UTC"}, "config": {},
        "limits": {"timeout": "1h", "memory": "64MiB"},
    });
    let origins = [
        ("plugin", "file"),
        ("trigger", "plugin"),
        ("trigger.timezone", "timezone"),
        ("limits.timeout", "executor.caps.timeout (file wanted \"90m\")"),
    ];
    let origins = origins.map(|(key, origin)| (key.to_owned(), origin.to_owned()));
    let def = Definition {
        effective: Effective::of(&effective),
        origins: Packed::of(&origins.into()),
        ..Definition::clone(&schedule().def)
    };
    let otherwise = vec![("belfry".to_owned(), 2)];
    let schedule_of = Schedule { def: Arc::new(def), ..schedule() };
    check("explain", &ExplainView::of(&schedule_of, otherwise));
    // An older host noted nothing.
    let view = ExplainView::of(&schedule(), Vec::new());
    assert!(view.items.len() == 3 && view.items.iter().all(|item| item.origin.is_none()));
}

#[test]
fn a_run_is_shown_before_and_after_it_ran() {
    check("run-queued", &RunView::of(&run()));
    check("run-done", &RunView::of(&rescued_run()));
}

#[test]
fn a_ledger_shows_single_fires_and_ranges() {
    let ran = LedgerItem {
        verdict: Verdict::Ran,
        reason: "on_time".into(),
        first: time("2026-12-01T02:00:00Z"),
        last: time("2026-12-01T02:00:00Z"),
        count: 1,
        into: None,
        run: Some(Id128::from_bits(0xabc)),
    };
    let coalesced = LedgerItem {
        verdict: Verdict::Coalesced,
        reason: "latest".into(),
        first: time("2026-11-28T02:00:00Z"),
        last: time("2026-11-30T02:00:00Z"),
        count: 3,
        into: ran.run,
        run: None,
    };
    check("ledger", &List::whole(vec![LedgerView::of(&ran), LedgerView::of(&coalesced)]));
}

#[test]
fn a_plugin_is_shown_whether_it_can_be_run_or_not() {
    let about = About {
        kind: "component".to_owned(),
        digest: "sha256:00".to_owned(),
        size: 14_000,
        handlers: vec![Handler {
            name: "run".parse().unwrap(),
            description: "Reports.".to_owned(),
            defaults: Some(json!({"max_instances": 1})),
        }],
        imports: Vec::new(),
        interpreter: false,
    };
    let entry = Entry {
        key: PluginKey { tenant: TenantId::default_tenant(), plugin: "report".parse().unwrap() },
        from: crate::catalog::FoundIn::Folder("plugins/report.wasm".into()),
        about: None,
        state: State::Refused("it is truncated; copy it again".to_owned()),
        loaded_at: time("2026-12-01T00:00:00Z"),
        update_refused: None,
        versions: None,
        canary: None,
    };
    check("plugin-refused", &PluginView::of(&entry));
    let version = |digest: &str, wants: &[&str], note: Option<&str>| {
        json!({
            "digest": digest, "size": 14_000, "added_at": "2026-12-01T00:00:00Z", "wants": wants,
            "note": note,
        })
    };
    let versions: Versions = serde_json::from_value(json!({
        "current": "sha256:00",
        "offered": {"digest": "sha256:03", "written_at": "2026-12-01T00:00:00Z", "by": "file"},
        "kept": [
            version("sha256:03", &["http"], None),
            version("sha256:02", &[], Some("rolled back by hand at 2026-12-01T00:00:00Z")),
            version("sha256:01", &[], None),
            version("sha256:00", &["filesystem"], None),
        ],
        "pinned": "sha256:00",
        "canary": {"digest": "sha256:01", "share": "10%"},
        "held": {"digest": "sha256:03", "new": ["http"]},
    }))
    .unwrap();
    let active = PluginView {
        state: super::plugin::State::Active,
        error: None,
        ..PluginView::of(&Entry { about: Some(about), versions: Some(Arc::new(versions)), ..entry })
    };
    check("plugin", &active);
}

#[test]
fn a_line_of_a_log_and_a_problem_have_fixed_keys() {
    let line = LogLine {
        t: time("2026-12-01T02:00:00.001000Z"),
        level: LogLevel::Warn,
        stream: LogStream::Log,
        context: "report".to_owned(),
        message: "row 7 is empty".to_owned(),
    };
    check("log-line", &LogView::of(line));
    let error = super::super::error::ApiError::invalid(vec![crate::problem::Problem::new(
        "limit",
        "`0` is not a whole number from 1 to 1000",
    )]);
    check("problem", &error.view());
}

#[test]
fn hosts_are_shown_with_their_age_by_the_stores_clock_and_the_own_as_it_is_now() {
    let record = |number: u128, roles: &[Role], queues: &[&str], offset| {
        let session = Session {
            id: Id128::from_bits(number),
            host: format!("tower-{number}"),
            generation: 1,
        };
        let plugins = [("default/report".to_owned(), "sha256:00".to_owned())];
        let info = HostInfo {
            roles: roles.iter().copied().collect(),
            queues: queues.iter().map(|queue| queue.parse().unwrap()).collect(),
            plugins: plugins.into(),
            running: 2,
            version: "0.1.0".to_owned(),
            ..HostInfo::named(&session.host)
        };
        let since = time("2026-12-01T02:00:00Z");
        let beat_at = time("2026-12-01T02:00:10.250000Z");
        HostRecord { session, counter: 10, info, since, beat_at, clock_offset_us: offset }
    };
    let hosts = [
        record(1, &[Role::Scheduler, Role::Api], &[], -1_500),
        record(2, &[Role::Executor], &["default", "gpu"], 2_000_000),
    ];
    let own = Own {
        session: Id128::from_bits(2),
        plugins: [("default/hello".to_owned(), "sha256:01".to_owned())].into(),
        running: 5,
        config_refused: Some("`host.toml` is gone".to_owned()),
    };
    let shown = HostView::of_all(&hosts, Some(&own), time("2026-12-01T02:00:13Z"));
    check("hosts", &List::whole(shown));
}

#[test]
fn a_reload_is_shown_with_what_became_of_each_job_and_each_key() {
    let planned = |action, job: &str, changes| Planned {
        action,
        tenant: TenantId::default_tenant(),
        job: job.parse().unwrap(),
        origin: "host.toml".to_owned(),
        next_fire_time: (action != Action::Park).then(|| time("2026-12-01T03:00:00Z")),
        changes,
    };
    let hour = Change { key: "trigger.hour".to_owned(), old: json!(2), new: json!(3) };
    let preview = Preview {
        items: vec![
            planned(Action::Park, "gone", Vec::new()),
            planned(Action::Change, "nightly", vec![hour]),
        ],
        warnings: vec!["nothing schedules plugin `idle`".to_owned()],
        unchanged: 4,
    };
    let live = vec!["jobs", "secrets"];
    let reloaded = Reloaded { preview, live, needs_restart: vec!["store"] };
    check("reload", &ReloadView::of(reloaded));
}
