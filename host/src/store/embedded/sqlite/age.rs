//! The past of jobs in the file, by age.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::super::aging::{DoneMark, Pasts};
use super::super::belongings::Belongings;
use super::fault::fault;
use super::reader::Reader;
use super::rows;
use crate::job::names::TenantId;
use crate::job::{History, JobKey};
use crate::record::used::Bucket;
use crate::run::RunKey;
use crate::run::id::RunId;
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::store::core::papers::RangeMark;
use crate::time::Timestamp;

// Each goes to its place in an index: what it costs does not grow with what is kept, but for
// ENTRIES, which counts.
const NEXT_WITH_RUN: &str = "SELECT tenant, job FROM run INDEXED BY run_by_job
    WHERE (tenant, job) > (?1, ?2) ORDER BY tenant, job LIMIT 1";
const NEXT_WITH_RANGE: &str = "SELECT tenant, job FROM ledger_range INDEXED BY ledger_range_by_age
    WHERE (tenant, job) > (?1, ?2) ORDER BY tenant, job LIMIT 1";
const HISTORY: &str = "SELECT keep, max_age FROM definition WHERE tenant = ?1 AND job = ?2";
const ENTRIES: &str = "SELECT
    (SELECT count(*) FROM run INDEXED BY run_by_job WHERE tenant = ?1 AND job = ?2) +
    (SELECT count(*) FROM ledger_range INDEXED BY ledger_range_by_age
     WHERE tenant = ?1 AND job = ?2)";
const NEWEST_DONE: &str = "SELECT id FROM run INDEXED BY run_done
    WHERE tenant = ?1 AND job = ?2 AND state = 'done'
    ORDER BY finished_at DESC, queued_at DESC, id DESC LIMIT 1";
const OLDEST_DONE: &str = "SELECT id, finished_at, queued_at FROM run INDEXED BY run_done
    WHERE tenant = ?1 AND job = ?2 AND state = 'done' AND finished_at < ?3
    ORDER BY finished_at, queued_at, id LIMIT ?4";
const OLDEST_RANGES: &str = "SELECT id, uid, last, noted_at
    FROM ledger_range INDEXED BY ledger_range_by_age
    WHERE tenant = ?1 AND job = ?2 AND noted_at < ?3 ORDER BY noted_at, id LIMIT ?4";
const BODIES: &str = "SELECT id FROM run INDEXED BY run_with_body
    WHERE tenant = ?1 AND job = ?2 AND has_body = 1
    ORDER BY finished_at DESC, queued_at DESC, id DESC LIMIT ?4 OFFSET ?3";
/// Lines are numbered from 0 without a gap.
const LINES: &str = "SELECT max(line) + 1 FROM log WHERE run = ?1 AND tenant = ?2";
const DOC_NAMES: &str = "SELECT kind, key FROM doc
    WHERE tenant = ?1 AND (kind, key) > (?2, ?3) ORDER BY kind, key LIMIT ?4";
const COUNTER_NAMES: &str = "SELECT key FROM counter WHERE tenant = ?1 ORDER BY key LIMIT ?2";

impl Pasts for Reader {
    fn names(&self, after: Option<&JobKey>, max: usize) -> Result<Vec<JobKey>> {
        let mut names: Vec<JobKey> = Vec::new();
        while names.len() < max {
            let after = names.last().or(after);
            let after = after.map(|job| [job.tenant.as_str(), job.job.as_str()]);
            let after = after.unwrap_or_default();
            let with_run = one(&self.0, NEXT_WITH_RUN, after, read_job)?;
            let with_range = one(&self.0, NEXT_WITH_RANGE, after, read_job)?;
            let Some(next) = with_run.into_iter().chain(with_range).min() else { break };
            names.push(next);
        }
        Ok(names)
    }

    fn history(&self, job: &JobKey) -> Result<Option<History>> {
        one(&self.0, HISTORY, name(job), |row| rows::history(row, 0))
    }

    fn entries(&self, job: &JobKey) -> Result<u64> {
        let entries = one(&self.0, ENTRIES, name(job), |row| row.get::<_, i64>(0))?;
        Ok(entries.unwrap_or(0).unsigned_abs())
    }

    fn newest_done(&self, job: &JobKey) -> Result<Option<RunId>> {
        one(&self.0, NEWEST_DONE, name(job), read_id)
    }

    fn oldest_done(&self, job: &JobKey, before: Timestamp, max: usize) -> Result<Vec<DoneMark>> {
        let [tenant, job] = name(job);
        let params = params![tenant, job, before.micros(), limit(max)];
        all(&self.0, OLDEST_DONE, params, |row| {
            Ok(DoneMark { id: read_id(row)?, finished_at: time(row, 1)?, queued_at: time(row, 2)? })
        })
    }

    fn oldest_ranges(
        &self,
        job: &JobKey,
        before: Timestamp,
        max: usize,
    ) -> Result<Vec<(Timestamp, RangeMark)>> {
        let [tenant, job] = name(job);
        let params = params![tenant, job, before.micros(), limit(max)];
        all(&self.0, OLDEST_RANGES, params, |row| {
            let uid = row.get::<_, String>(1)?.parse().map_err(|e: String| conversion(1, e))?;
            let id = row.get::<_, i64>(0)?.unsigned_abs();
            Ok((time(row, 3)?, RangeMark { id, uid, last: time(row, 2)? }))
        })
    }

    fn bodies(&self, job: &JobKey, keep: u32, max: usize) -> Result<Vec<RunId>> {
        let [tenant, job] = name(job);
        all(&self.0, BODIES, params![tenant, job, keep, limit(max)], read_id)
    }

    fn oldest_buckets(&self, before: Timestamp, max: usize) -> Result<Vec<Bucket>> {
        self.old_buckets(before, max)
    }

    fn lines(&self, run: &RunKey) -> Result<u64> {
        let params = [run.run.to_string(), run.tenant.to_string()];
        let lines = one(&self.0, LINES, params, |row| row.get::<_, Option<i64>>(0))?;
        Ok(lines.flatten().unwrap_or(0).unsigned_abs())
    }
}

impl Belongings for Reader {
    fn doc_names(
        &self,
        tenant: &TenantId,
        after: Option<&DocKey>,
        max: usize,
    ) -> Result<Vec<DocKey>> {
        let (kind, key) = after.map_or(("", ""), |after| (&after.kind, &after.key));
        all(&self.0, DOC_NAMES, params![tenant.as_str(), kind, key, limit(max)], |row| {
            Ok(DocKey { tenant: tenant.clone(), kind: row.get(0)?, key: row.get(1)? })
        })
    }

    fn counter_names(&self, tenant: &TenantId, max: usize) -> Result<Vec<CounterKey>> {
        all(&self.0, COUNTER_NAMES, params![tenant.as_str(), limit(max)], |row| {
            Ok(CounterKey { tenant: tenant.clone(), key: row.get(0)? })
        })
    }
}

fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    db.prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(params, read).optional())
        .map_err(fault)
}

fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    db.prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(params, read)?.collect())
        .map_err(fault)
}

fn name(job: &JobKey) -> [&str; 2] {
    [job.tenant.as_str(), job.job.as_str()]
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    row.get(index).map(Timestamp::from_micros)
}

fn read_id(row: &Row<'_>) -> rusqlite::Result<RunId> {
    row.get::<_, String>(0)?.parse().map_err(|error: String| conversion(0, error))
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<JobKey> {
    let (tenant, job): (String, String) = (row.get(0)?, row.get(1)?);
    Ok(JobKey {
        tenant: tenant.parse().map_err(|error| conversion(0, error))?,
        job: job.parse().map_err(|error| conversion(1, error))?,
    })
}

fn conversion(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
