//! The file's contents as they move to another store, and whether its columns say what its records
//! say.

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, params};

use super::super::export::Moving;
use super::super::kept::{Mark, cut, limit_of};
use super::fault::{fault, unreadable};
use super::reader::{Reader, read_line, read_range};
use crate::job::JobKey;
use crate::record::portable::{CounterRecord, DocRecord, RangeRecord};
use crate::record::query::{Page, Paged};
use crate::run::id::Fence;
use crate::run::{LogLine, RunKey};
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::time::Timestamp;

const META: &str = "SELECT max(value) FROM meta WHERE key = ?1";
const LOG: &str = "SELECT t, level, stream, context, message FROM log
    WHERE run = ?1 AND tenant = ?2 ORDER BY line";
const RANGES: &str = "SELECT id, verdict, reason, first, last, count, into_run, tenant, job, uid,
        noted_at
    FROM ledger_range WHERE id > ?1 ORDER BY id LIMIT ?2";
const DOCUMENTS: &str = "SELECT tenant, kind, key, version, value FROM doc
    WHERE (tenant, kind, key) > (?1, ?2, ?3) ORDER BY tenant, kind, key LIMIT ?4";
const COUNTERS: &str = "SELECT tenant, key, value FROM counter
    WHERE (tenant, key) > (?1, ?2) ORDER BY tenant, key LIMIT ?3";

/// Faults told of each kind at most.
const FAULTS_TOLD: usize = 20;
/// What is wrong, and the rows of which that is so.
const FAULTS: [(&str, &str); 10] = [
    ("of a job, schedule and definition do not stand together",
     "SELECT coalesce(schedule.tenant, definition.tenant) || '/' ||
             coalesce(schedule.job, definition.job)
      FROM schedule FULL JOIN definition USING (tenant, job)
      WHERE schedule.job IS NULL OR definition.job IS NULL"),
    ("the columns of a job say something else than its record",
     "SELECT tenant || '/' || job FROM schedule WHERE NOT json_valid(record)
         OR json_extract(record, '$.uid') IS NOT uid
         OR json_extract(record, '$.version') IS NOT version
         OR (json_extract(record, '$.cursor') IS NULL) <> (cursor IS NULL)
         OR (json_extract(record, '$.due_at') IS NULL) <> (due_at IS NULL)"),
    ("the columns of a run say something else than its record",
     "SELECT tenant || '/' || id FROM run WHERE NOT json_valid(record)
         OR json_extract(record, '$.id') IS NOT id
         OR json_extract(record, '$.job') IS NOT job
         OR json_extract(record, '$.uid') IS NOT uid
         OR json_extract(record, '$.state') IS NOT state
         OR json_extract(record, '$.verdict') IS NOT verdict
         OR json_extract(record, '$.outcome') IS NOT outcome
         OR json_extract(record, '$.attempt') IS NOT attempt"),
    ("a run is done and has no end, or has one and is not done",
     "SELECT tenant || '/' || id FROM run WHERE (state = 'done') <> (finished_at IS NOT NULL)"),
    ("a run is said to have a body and has none, or the other way round",
     "SELECT tenant || '/' || id FROM run WHERE has_body <> (state = 'done' AND (
          json_extract(record, '$.args') IS NOT NULL
          OR json_extract(record, '$.result') IS NOT NULL
          OR EXISTS (SELECT 1 FROM log WHERE log.run = run.id AND log.tenant = run.tenant)))"),
    ("a log belongs to no run",
     "SELECT DISTINCT log.tenant || '/' || log.run FROM log
      WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = log.run AND run.tenant = log.tenant)"),
    ("lines of a log are missing",
     "SELECT tenant || '/' || run FROM log GROUP BY run, tenant
      HAVING count(*) <> max(line) + 1"),
    ("a run is held by a session that is not there",
     "SELECT tenant || '/' || id FROM run WHERE state = 'running' AND NOT EXISTS (
          SELECT 1 FROM session WHERE session.id = json_extract(record, '$.attempts[#-1].session'))"),
    ("an attempt has a fence that was never given out",
     "SELECT run.tenant || '/' || run.id FROM run, json_each(run.record, '$.attempts') AS attempt
      WHERE json_extract(attempt.value, '$.fence') >
          (SELECT coalesce(max(value), 0) FROM meta WHERE key = 'fence')"),
    ("a range is empty or ends before it begins",
     "SELECT tenant || '/' || job || ' ' || id FROM ledger_range WHERE last < first OR count < 1"),
];

impl Moving for Reader {
    fn fence(&self) -> Result<Fence> {
        self.number(META, ["fence"])
    }

    fn is_importing(&self) -> Result<bool> {
        Ok(self.number(META, ["importing"])? == 1)
    }

    fn logs(&self, runs: &[RunKey]) -> Result<Vec<Vec<LogLine>>> {
        let log = |run: &RunKey| {
            all(&self.0, LOG, params![run.run.to_string(), run.tenant.as_str()], read_line)
        };
        runs.iter().map(log).collect()
    }

    fn all_ranges(&self, page: &Page) -> Result<Paged<RangeRecord>> {
        let (after, limit) = (u64::of(page)?.unwrap_or(0), limit_of(page));
        let params = params![super::rows::integer(after), more_than(limit)];
        let records = all(&self.0, RANGES, params, range_record)?;
        Ok(cut(records, limit, |record: &RangeRecord| record.id))
    }

    fn all_documents(&self, page: &Page) -> Result<Paged<DocRecord>> {
        let (after, limit) = (DocKey::of(page)?, limit_of(page));
        let after = after.as_ref().map(|it| [it.tenant.as_str(), &it.kind, &it.key]);
        let [tenant, kind, key] = after.unwrap_or_default();
        let params = params![tenant, kind, key, more_than(limit)];
        let records = all(&self.0, DOCUMENTS, params, |row| {
            Ok(DocRecord {
                tenant: name(row, 0)?,
                kind: cell(row, 1)?,
                key: cell(row, 2)?,
                version: cell::<i64>(row, 3)?.unsigned_abs(),
                value: cell(row, 4)?,
            })
        })?;
        Ok(cut(records, limit, |doc: &DocRecord| DocKey {
            tenant: doc.tenant.clone(),
            kind: doc.kind.clone(),
            key: doc.key.clone(),
        }))
    }

    fn all_counters(&self, page: &Page) -> Result<Paged<CounterRecord>> {
        let (after, limit) = (CounterKey::of(page)?, limit_of(page));
        let after = after.as_ref().map(|it| [it.tenant.as_str(), &it.key]);
        let [tenant, key] = after.unwrap_or_default();
        let records = all(&self.0, COUNTERS, params![tenant, key, more_than(limit)], |row| {
            Ok(CounterRecord { tenant: name(row, 0)?, key: cell(row, 1)?, value: cell(row, 2)? })
        })?;
        Ok(cut(records, limit, |counter: &CounterRecord| CounterKey {
            tenant: counter.tenant.clone(),
            key: counter.key.clone(),
        }))
    }

    fn other_counts(&self) -> Result<[u64; 4]> {
        Ok([
            self.number("SELECT count(*) FROM ledger_range", ())?,
            self.number("SELECT count(*) FROM doc", ())?,
            self.number("SELECT count(*) FROM counter", ())?,
            self.count_buckets()?,
        ])
    }

    fn faults(&self) -> Result<Vec<String>> {
        let mut faults: Vec<String> =
            all(&self.0, "PRAGMA integrity_check(20)", (), |row| cell(row, 0))?;
        faults.retain(|line| line != "ok");
        for (what, sql) in FAULTS {
            let rows: Vec<String> = all(&self.0, sql, (), |row| cell(row, 0))?;
            faults.extend(rows.iter().take(FAULTS_TOLD).map(|row| format!("{row}: {what}")));
            if FAULTS_TOLD < rows.len() {
                faults.push(format!("{} more: {what}", rows.len() - FAULTS_TOLD));
            }
        }
        let wrong = self.wrong_bucket()?;
        faults.extend(wrong.map(|bucket| format!("{bucket}: a sum of what was used can't be")));
        Ok(faults)
    }
}

impl Reader {
    /// A number that may be missing: 0 then.
    fn number(&self, sql: &str, params: impl Params) -> Result<u64> {
        let number = self.0.query_row(sql, params, |row| row.get::<_, Option<i64>>(0));
        Ok(number.map_err(fault)?.unwrap_or(0).unsigned_abs())
    }
}

fn range_record(row: &Row<'_>) -> Result<RangeRecord> {
    let (id, range) = read_range(row)?;
    let uid: String = cell(row, 9)?;
    Ok(RangeRecord {
        id,
        job: JobKey { tenant: name(row, 7)?, job: name(row, 8)? },
        uid: uid.parse().map_err(|error: String| unreadable("range", error))?,
        range,
        noted_at: Timestamp::from_micros(cell(row, 10)?),
    })
}

fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        items.push(read(row)?);
    }
    Ok(items)
}

fn cell<T: FromSql>(row: &Row<'_>, index: usize) -> Result<T> {
    row.get(index).map_err(fault)
}

fn name<T: std::str::FromStr<Err: std::fmt::Display>>(row: &Row<'_>, index: usize) -> Result<T> {
    cell::<String>(row, index)?.parse().map_err(|error| unreadable("name", error))
}

/// One more than a page holds shows whether another page follows.
fn more_than(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}
