//! How records become rows and rows become records.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batch::Batch;
use super::fault::{fault, unreadable};
use super::used;
use crate::job::{History, JobKey, Source};
use crate::record::{Begun, LastRun, Pause, Rules, Schedule, TriggerState};
use crate::run::id::Uid;
use crate::run::{LogLine, Run, RunKey, RunState};
use crate::store::Result;
use crate::store::core::effects::{Extent, KeptRange};
use crate::time::Timestamp;

/// Writes all of `batch`; the caller opens and closes the transaction.
pub(super) fn write(db: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    if batch.is_cleared {
        db.execute_batch(CLEAR)?;
    }
    for (job, schedule) in &batch.schedules {
        match schedule {
            Some((schedule, extent)) => put_schedule(db, schedule, *extent)?,
            None => {
                let name = [job.tenant.as_str(), job.job.as_str()];
                db.prepare_cached("DELETE FROM schedule WHERE tenant = ?1 AND job = ?2")?
                    .execute(name)?;
                db.prepare_cached("DELETE FROM definition WHERE tenant = ?1 AND job = ?2")?
                    .execute(name)?;
            }
        }
    }
    for run in &batch.logs_gone {
        db.prepare_cached("DELETE FROM log WHERE run = ?1 AND tenant = ?2")?
            .execute(params![run.run.to_string(), run.tenant.as_str()])?;
    }
    for (run, from, lines) in &batch.logs {
        put_lines(db, run, *from, lines)?;
    }
    for (key, run) in &batch.runs {
        match run {
            Some(run) => put_run(db, run)?,
            None => {
                db.prepare_cached("DELETE FROM run WHERE id = ?1 AND tenant = ?2")?
                    .execute(params![key.run.to_string(), key.tenant.as_str()])?;
            }
        }
    }
    write_the_rest(db, batch)
}

fn write_the_rest(db: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    for kept in batch.ranges.values() {
        put_range(db, kept)?;
    }
    for (id, last) in &batch.ranges_gone {
        db.prepare_cached("DELETE FROM ledger_range WHERE id = ?1 AND last = ?2")?
            .execute(params![integer(*id), last.micros()])?;
    }
    for (id, session) in &batch.sessions {
        match session {
            Some(session) => db
                .prepare_cached("INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3)")?
                .execute(params![id.to_string(), session.host, integer(session.generation)])?,
            None => {
                db.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([id.to_string()])?
            }
        };
    }
    for (key, doc) in &batch.docs {
        match doc {
            Some(doc) => db
                .prepare_cached("INSERT OR REPLACE INTO doc VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    key.tenant.as_str(),
                    key.kind,
                    key.key,
                    integer(doc.version),
                    doc.value
                ])?,
            None => db
                .prepare_cached("DELETE FROM doc WHERE tenant = ?1 AND kind = ?2 AND key = ?3")?
                .execute(params![key.tenant.as_str(), key.kind, key.key])?,
        };
    }
    for (key, value) in &batch.counters {
        match value {
            Some(value) => db
                .prepare_cached("INSERT OR REPLACE INTO counter VALUES (?1, ?2, ?3)")?
                .execute(params![key.tenant.as_str(), key.key, value])?,
            None => db
                .prepare_cached("DELETE FROM counter WHERE tenant = ?1 AND key = ?2")?
                .execute(params![key.tenant.as_str(), key.key])?,
        };
    }
    used::write(db, batch)?;
    if let Some(fence) = batch.fence {
        db.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('fence', ?1)")?
            .execute([integer(fence)])?;
    }
    if let Some(importing) = batch.importing {
        db.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('importing', ?1)")?
            .execute([importing])?;
    }
    Ok(())
}

/// Everything but what a store knows of itself.
const CLEAR: &str = "DELETE FROM schedule; DELETE FROM definition; DELETE FROM run;
    DELETE FROM ledger_range; DELETE FROM session; DELETE FROM log; DELETE FROM doc;
    DELETE FROM counter; DELETE FROM usage;";

const PUT_SCHEDULE: &str =
    "INSERT INTO schedule (tenant, job, uid, version, source, cursor, due_at,
     last_fire, paused, parked, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
     ON CONFLICT (tenant, job) DO UPDATE SET uid = ?3, version = ?4, source = ?5, cursor = ?6,
     due_at = ?7, last_fire = ?8, paused = ?9, parked = ?10, record = ?11";

fn put_schedule(db: &Connection, schedule: &Schedule, extent: Extent) -> rusqlite::Result<()> {
    let (tenant, job) = (schedule.key.tenant.as_str(), schedule.key.job.as_str());
    db.prepare_cached(PUT_SCHEDULE)?.execute(params![
        tenant,
        job,
        schedule.uid.to_string(),
        integer(schedule.version),
        word(schedule.source)?,
        micros(schedule.cursor),
        micros(schedule.due_at),
        micros(schedule.last_fire),
        schedule.pause.is_some(),
        schedule.parked,
        json(&Position::of(schedule))?,
    ])?;
    match extent {
        Extent::Position => Ok(()),
        Extent::Whole => db
            .prepare_cached("INSERT OR REPLACE INTO definition VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                tenant,
                job,
                schedule.history.keep,
                i64::try_from(schedule.history.max_age.as_micros()).unwrap_or(i64::MAX),
                json(schedule.def.as_ref())?
            ])
            .map(drop),
    }
}

const PUT_RUN: &str =
    "INSERT INTO run (id, tenant, job, uid, plugin, cause, state, verdict, reason,
     outcome, attempt, fire_time, queued_at, started_at, finished_at, has_body, record)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
     ON CONFLICT (id, tenant) DO UPDATE SET state = ?7, verdict = ?8, reason = ?9, outcome = ?10,
     attempt = ?11, started_at = ?14, finished_at = ?15, has_body = ?16, record = ?17";

fn put_run(db: &Connection, run: &Run) -> rusqlite::Result<()> {
    let id = run.id.to_string();
    let has_body = run.state == RunState::Done
        && (run.args.is_some() || run.result.is_some() || has_log(db, &id, run)?);
    db.prepare_cached(PUT_RUN)?
        .execute(params![
            id,
            run.tenant.as_str(),
            run.job.as_str(),
            run.uid.to_string(),
            run.plugin.as_str(),
            word(run.cause)?,
            word(run.state)?,
            run.verdict.map(word).transpose()?,
            run.reason.as_deref(),
            run.outcome.map(word).transpose()?,
            run.attempt,
            run.fire_time.micros(),
            run.queued_at.micros(),
            micros(run.started_at),
            micros(run.finished_at),
            has_body,
            json(run)?,
        ])
        .map(drop)
}

fn has_log(db: &Connection, id: &str, run: &Run) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM log WHERE run = ?1 AND tenant = ?2")?
        .exists([id, run.tenant.as_str()])
}

fn put_range(db: &Connection, kept: &KeptRange) -> rusqlite::Result<()> {
    let KeptRange { id, job, uid, range, noted_at } = kept;
    db.prepare_cached(
        "INSERT INTO ledger_range VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET last = ?8, count = ?9, noted_at = ?11",
    )?
    .execute(params![
        integer(*id),
        job.tenant.as_str(),
        job.job.as_str(),
        uid.to_string(),
        word(range.verdict)?,
        range.reason,
        range.first.micros(),
        range.last.micros(),
        integer(range.count),
        range.into.map(|run| run.to_string()),
        noted_at.micros(),
    ])
    .map(drop)
}

fn put_lines(db: &Connection, run: &RunKey, from: u64, lines: &[LogLine]) -> rusqlite::Result<()> {
    let mut statement =
        db.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let id = run.run.to_string();
    for (number, line) in (from..).zip(lines) {
        statement.execute(params![
            id,
            run.tenant.as_str(),
            integer(number),
            line.t.micros(),
            word(line.level)?,
            word(line.stream)?,
            line.context,
            line.message,
        ])?;
    }
    Ok(())
}

/// A schedule without its definition and history, which have a table of their own.
#[derive(Serialize, Deserialize)]
pub(super) struct Position {
    key: JobKey,
    uid: Uid,
    version: u64,
    source: Source,
    cursor: Option<Timestamp>,
    due_at: Option<Timestamp>,
    trigger_state: TriggerState,
    last_fire: Option<Timestamp>,
    accounted_from: Option<Timestamp>,
    pause: Option<Pause>,
    parked: Option<String>,
    max_instances: u32,
    rules: Rules,
    failures: u32,
    #[serde(default)]
    begun: Option<Box<Begun>>,
    created_at: Timestamp,
    last_run: Option<LastRun>,
}

impl Position {
    fn of(schedule: &Schedule) -> Self {
        Self {
            key: schedule.key.clone(),
            uid: schedule.uid,
            version: schedule.version,
            source: schedule.source,
            cursor: schedule.cursor,
            due_at: schedule.due_at,
            trigger_state: schedule.trigger_state.clone(),
            last_fire: schedule.last_fire,
            accounted_from: schedule.accounted_from,
            pause: schedule.pause.clone(),
            parked: schedule.parked.clone(),
            max_instances: schedule.max_instances,
            rules: schedule.rules,
            failures: schedule.failures,
            begun: schedule.begun.clone(),
            created_at: schedule.created_at,
            last_run: schedule.last_run.clone(),
        }
    }
}

/// All schedules, as [`schedule`] reads them. Conditions may follow.
pub(super) const SCHEDULES: &str = "SELECT record, definition, keep, max_age
    FROM schedule JOIN definition USING (tenant, job) WHERE TRUE";

/// The schedule in a row.
pub(super) fn schedule(row: &Row<'_>) -> Result<Schedule> {
    let text = |index| row.get_ref(index).and_then(|cell| Ok(cell.as_str()?)).map_err(fault);
    let position: Position = read(text(0)?, "schedule")?;
    let def = read(text(1)?, "definition")?;
    Ok(Schedule {
        key: position.key,
        uid: position.uid,
        version: position.version,
        source: position.source,
        def: Arc::new(def),
        cursor: position.cursor,
        due_at: position.due_at,
        trigger_state: position.trigger_state,
        last_fire: position.last_fire,
        accounted_from: position.accounted_from,
        pause: position.pause,
        parked: position.parked,
        max_instances: position.max_instances,
        rules: position.rules,
        failures: position.failures,
        begun: position.begun,
        history: history(row, 2).map_err(fault)?,
        created_at: position.created_at,
        last_run: position.last_run,
    })
}

/// How much of a past is kept, of the columns `keep` and `max_age` that begin at `first`.
pub(super) fn history(row: &Row<'_>, first: usize) -> rusqlite::Result<History> {
    let max_age = Duration::from_micros(row.get::<_, i64>(first + 1)?.unsigned_abs());
    Ok(History { keep: row.get(first)?, max_age })
}

/// A record of its JSON text.
pub(super) fn read<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(what, error))
}

/// A value of the word that stands for it in a column.
pub(super) fn read_word<T: DeserializeOwned>(text: String, what: &str) -> Result<T> {
    serde_json::from_value(Value::String(text)).map_err(|error| unreadable(what, error))
}

/// The word for a value of one of our enums.
pub(super) fn word<T: Serialize>(value: T) -> rusqlite::Result<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        Ok(other) => Ok(other.to_string()),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(error.into())),
    }
}

fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::micros)
}

/// A number as SQLite keeps it. None of ours grows past that.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
