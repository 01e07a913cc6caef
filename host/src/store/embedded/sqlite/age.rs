//! Which records have been kept long enough.

use rusqlite::{Connection, Row, params};

use super::super::kept::REPEAT_HORIZON;
use crate::record::step::Retention;
use crate::run::RunKey;
use crate::run::id::RunId;
use crate::store::core::papers::Victims;
use crate::time::Timestamp;

/// Done runs but the newest of each job, and those that finished before `?1` only.
const OLD_RUNS: &str = "state = 'done' AND finished_at < ?1 AND EXISTS (
    SELECT 1 FROM run AS newer
    WHERE newer.tenant = run.tenant AND newer.job = run.job AND newer.state = 'done'
      AND (newer.queued_at, newer.id) > (run.queued_at, run.id))";

/// What need not be kept any longer, oldest first, at most `budget` of it.
pub(super) fn victims(
    db: &Connection,
    keep: Retention,
    budget: usize,
    now: Timestamp,
) -> rusqlite::Result<Victims> {
    let horizon = now.before(REPEAT_HORIZON);
    let too_old = now.before(keep.max_age);
    let budget_cell = i64::try_from(budget).unwrap_or(i64::MAX);
    let mut victims = Victims::default();

    let sql = format!(
        "SELECT tenant, id FROM run WHERE queued_at < ?1 AND {OLD_RUNS}
         ORDER BY queued_at, id LIMIT ?2"
    );
    let age = too_old.min(horizon).micros();
    victims.runs = collect(db, &sql, params![age, budget_cell], read_run_key)?;
    let sql = "SELECT id, last FROM ledger_range WHERE last < ?1 ORDER BY last LIMIT ?2";
    victims.ranges = collect(db, sql, params![too_old.micros(), budget_cell], read_range)?;
    excess(db, keep.max_entries, horizon, &mut victims)?;
    // By id as well: of two queries, both may have named one record.
    victims.runs.sort();
    victims.runs.dedup();
    victims.ranges.sort_unstable();
    victims.ranges.dedup();

    let sql = "SELECT tenant, id FROM (
            SELECT tenant, id, queued_at, row_number() OVER (
                PARTITION BY tenant, job ORDER BY queued_at DESC, id DESC) AS age
            FROM run WHERE has_body = 1)
        WHERE age > ?1 ORDER BY queued_at LIMIT ?2";
    victims.bodies = collect(db, sql, params![keep.keep_bodies, budget_cell], read_run_key)?;
    victims.hold_within(budget);
    Ok(victims)
}

/// The oldest records of jobs that have more than `max`.
fn excess(
    db: &Connection,
    max: u64,
    horizon: Timestamp,
    victims: &mut Victims,
) -> rusqlite::Result<()> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let sql = "SELECT tenant, job, count(*) - ?1 FROM (
            SELECT tenant, job FROM run UNION ALL SELECT tenant, job FROM ledger_range)
        GROUP BY tenant, job HAVING count(*) > ?1";
    let jobs = collect(db, sql, params![max], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    })?;
    let sql = format!(
        "SELECT tenant, id, NULL AS range, fire_time AS last, finished_at AS age
         FROM run WHERE tenant = ?2 AND job = ?3 AND {OLD_RUNS}
         UNION ALL
         SELECT tenant, NULL, id, last, last FROM ledger_range WHERE tenant = ?2 AND job = ?3
         ORDER BY last, age, id, range LIMIT ?4"
    );
    for (tenant, job, excess) in jobs {
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params![horizon.micros(), tenant, job, excess])?;
        while let Some(row) = rows.next()? {
            match row.get::<_, Option<i64>>(2)? {
                Some(id) => {
                    let last = Timestamp::from_micros(row.get(3)?);
                    victims.ranges.push((id.unsigned_abs(), last));
                }
                None => victims.runs.push(read_run_key(row)?),
            }
        }
    }
    Ok(())
}

fn collect<T>(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare_cached(sql)?.query_map(params, read)?.collect()
}

fn read_run_key(row: &Row<'_>) -> rusqlite::Result<RunKey> {
    let conversion = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error)
    };
    let (tenant, id): (String, String) = (row.get(0)?, row.get(1)?);
    let tenant = tenant.parse().map_err(|error| conversion(Box::new(error)))?;
    let run: RunId = id.parse().map_err(|error: String| conversion(error.into()))?;
    Ok(RunKey { tenant, run })
}

fn read_range(row: &Row<'_>) -> rusqlite::Result<(u64, Timestamp)> {
    Ok((row.get::<_, i64>(0)?.unsigned_abs(), Timestamp::from_micros(row.get(1)?)))
}
