//! What the file knows of what was live, for the state machine to go on from.

use rusqlite::Connection;

use super::fault::{fault, unreadable};
use super::{reader, rows};
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::account::Windows;
use crate::record::{Schedule, Session};
use crate::run::Run;
use crate::store::Result;
use crate::store::core::Restored;
use crate::store::core::accounts::{WINDOWS_KIND, windows_of};
use crate::store::core::effects::KeptRange;
use crate::time::Timestamp;

/// Reads all that is live.
pub(super) fn load(db: &Connection) -> Result<Restored> {
    Ok(Restored {
        schedules: schedules(db)?,
        runs: runs(db)?,
        sessions: sessions(db)?,
        newest_ranges: newest_ranges(db)?,
        fence: number(db, "SELECT max(value) FROM meta WHERE key = 'fence'")?,
        last_range: number(db, "SELECT max(id) FROM ledger_range")?,
        generation: number(db, "SELECT max(value) FROM meta WHERE key = 'generation'")?,
        importing: number(db, "SELECT max(value) FROM meta WHERE key = 'importing'")? == 1,
        windows: windows(db)?,
    })
}

fn schedules(db: &Connection) -> Result<Vec<Schedule>> {
    let mut statement = db.prepare(rows::SCHEDULES).map_err(fault)?;
    let mut found = statement.query(()).map_err(fault)?;
    let mut schedules = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        schedules.push(rows::schedule(row)?);
    }
    Ok(schedules)
}

fn runs(db: &Connection) -> Result<Vec<(Run, u64)>> {
    let sql = "SELECT record, (
            SELECT max(line) + 1 FROM log WHERE log.run = run.id AND log.tenant = run.tenant)
        FROM run WHERE state <> 'done'";
    let mut statement = db.prepare(sql).map_err(fault)?;
    let mut found = statement.query(()).map_err(fault)?;
    let mut runs = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        let record: String = row.get(0).map_err(fault)?;
        let lines: Option<i64> = row.get(1).map_err(fault)?;
        runs.push((rows::read(&record, "run")?, lines.unwrap_or(0).unsigned_abs()));
    }
    Ok(runs)
}

fn sessions(db: &Connection) -> Result<Vec<Session>> {
    let mut statement = db.prepare("SELECT id, host, generation FROM session").map_err(fault)?;
    let mut found = statement.query(()).map_err(fault)?;
    let mut sessions = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        let id: String = row.get(0).map_err(fault)?;
        let generation: i64 = row.get(2).map_err(fault)?;
        sessions.push(Session {
            id: id.parse().map_err(|error: String| unreadable("session", error))?,
            host: row.get(1).map_err(fault)?,
            generation: generation.unsigned_abs(),
        });
    }
    Ok(sessions)
}

/// Of the jobs there are; of others no range can grow.
fn newest_ranges(db: &Connection) -> Result<Vec<KeptRange>> {
    let sql = "SELECT id, verdict, reason, first, last, count, into_run, tenant, job, uid,
            noted_at
        FROM schedule JOIN ledger_range USING (uid, tenant, job)
        WHERE id = (SELECT max(id) FROM ledger_range AS other WHERE other.uid = schedule.uid)";
    let mut statement = db.prepare(sql).map_err(fault)?;
    let mut found = statement.query(()).map_err(fault)?;
    let mut ranges = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        let (id, range) = reader::read_range(row)?;
        let text = |index| row.get::<_, String>(index).map_err(fault);
        let name = |error| unreadable("range", error);
        let job = JobKey {
            tenant: text(7)?.parse().map_err(name)?,
            job: text(8)?.parse().map_err(name)?,
        };
        let uid = text(9)?.parse().map_err(|error: String| unreadable("range", error))?;
        let noted_at = Timestamp::from_micros(row.get(10).map_err(fault)?);
        ranges.push(KeptRange { id, job, uid, range, noted_at });
    }
    Ok(ranges)
}

/// What tenants had used in the last windows of the clock.
fn windows(db: &Connection) -> Result<Vec<(TenantId, Windows)>> {
    let sql = "SELECT tenant, kind, key, value FROM doc WHERE kind = ?1";
    let mut statement = db.prepare(sql).map_err(fault)?;
    let mut found = statement.query([WINDOWS_KIND]).map_err(fault)?;
    let mut windows = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        let text = |index| row.get::<_, String>(index).map_err(fault);
        let value: Vec<u8> = row.get(3).map_err(fault)?;
        let tenant = text(0)?.parse().map_err(|error| unreadable("document", error))?;
        windows.extend(windows_of(&text(1)?, &text(2)?, &value).map(|it| (tenant, it)));
    }
    Ok(windows)
}

fn number(db: &Connection, sql: &str) -> Result<u64> {
    db.query_row(sql, (), |row| row.get::<_, Option<i64>>(0))
        .map(|value| value.unwrap_or(0).unsigned_abs())
        .map_err(fault)
}
