//! What jobs used, as rows: one statement for each bucket that a transaction adds to.

use std::sync::LazyLock;

use rusqlite::types::{Type, Value as Cell};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::super::kept::{Mark as _, cut, limit_of, new_bucket};
use super::batch::Batch;
use super::fault::fault;
use super::reader::{Question, Reader};
use super::rows::integer;
use crate::record::query::{Page, Paged, UsageFilter, UsageItem};
use crate::record::used::{Bucket, MEASURES, MOST, NAMES, Used};
use crate::store::Result;
use crate::time::Timestamp;

/// The table, to be made in a file that has none.
pub(super) const SCHEMA: &str = include_str!("used.sql");
/// Columns before the numbers: tenant, hour, job.
const KEYS: usize = 3;

static ADD: LazyLock<String> = LazyLock::new(|| {
    let set = |(name, place): (&str, usize)| format!("{name} = min({name} + ?{place}, {MOST})");
    let sets: Vec<String> = NAMES.into_iter().zip(KEYS + 1..).map(set).collect();
    format!("UPDATE usage SET {} WHERE tenant = ?1 AND hour = ?2 AND job = ?3", sets.join(", "))
});
static PUT: LazyLock<String> = LazyLock::new(|| {
    let marks: Vec<String> = (1..=KEYS + MEASURES).map(|place| format!("?{place}")).collect();
    let columns = NAMES.join(", ");
    let marks = marks.join(", ");
    format!("INSERT OR REPLACE INTO usage (tenant, hour, job, {columns}) VALUES ({marks})")
});
static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT tenant, hour, job, {} FROM usage WHERE TRUE", NAMES.join(", "))
});
const FORGET: &str = "DELETE FROM usage WHERE tenant = ?1 AND hour = ?2 AND job = ?3";
const OF_HOUR: &str = "SELECT count(*) FROM usage WHERE tenant = ?1 AND hour = ?2";
const OLDEST: &str = "SELECT tenant, hour, job FROM usage INDEXED BY usage_by_age
    WHERE hour < ?1 ORDER BY hour LIMIT ?2";
const IS_THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'usage'";

/// Writes what a batch says about buckets.
pub(super) fn write(db: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    for (bucket, used) in &batch.buckets {
        match used {
            Some(used) => put(db, bucket, used)?,
            None => {
                let key = params![bucket.tenant.as_str(), bucket.hour.micros(), bucket.job_text()];
                db.prepare_cached(FORGET)?.execute(key)?;
            }
        }
    }
    for (bucket, used) in &batch.spent {
        if add(db, bucket, used)? {
            continue;
        }
        let of_hour = params![bucket.tenant.as_str(), bucket.hour.micros()];
        let there_are: i64 = db.prepare_cached(OF_HOUR)?.query_row(of_hour, |row| row.get(0))?;
        let new = new_bucket(bucket, there_are.unsigned_abs());
        if new == *bucket || !add(db, &new, used)? {
            put(db, &new, used)?;
        }
    }
    Ok(())
}

/// Adds to a bucket. Answers whether it was there.
fn add(db: &Connection, bucket: &Bucket, used: &Used) -> rusqlite::Result<bool> {
    Ok(0 < db.prepare_cached(&ADD)?.execute(params_from_iter(cells(bucket, used)))?)
}

fn put(db: &Connection, bucket: &Bucket, used: &Used) -> rusqlite::Result<()> {
    db.prepare_cached(&PUT)?.execute(params_from_iter(cells(bucket, used))).map(drop)
}

fn cells(bucket: &Bucket, used: &Used) -> impl Iterator<Item = Cell> {
    let keys = [
        Cell::Text(bucket.tenant.to_string()),
        Cell::Integer(bucket.hour.micros()),
        Cell::Text(bucket.job_text().to_owned()),
    ];
    keys.into_iter().chain(used.numbers().map(|sum| Cell::Integer(integer(sum))))
}

impl Reader {
    /// Whether there is a table: a file that only an earlier host wrote has none.
    fn keeps_usage(&self) -> Result<bool> {
        self.0
            .prepare_cached(IS_THERE)
            .and_then(|mut statement| statement.query_row((), |row| row.get::<_, i64>(0)))
            .map(|count| 0 < count)
            .map_err(fault)
    }

    /// One page of buckets.
    pub(super) fn buckets(&self, filter: &UsageFilter, page: &Page) -> Result<Paged<UsageItem>> {
        let limit = limit_of(page);
        let after = Bucket::of(page)?;
        if !self.keeps_usage()? {
            return Ok(Paged { items: Vec::new(), next_cursor: None });
        }
        let mut question = Question::new(&SELECT);
        if let Some(tenant) = &filter.tenant {
            question.and("tenant = ?", [Cell::Text(tenant.to_string())]);
        }
        if let Some(job) = &filter.job {
            question.and("job = ?", [Cell::Text(job.to_string())]);
        }
        if let Some(from) = filter.from {
            question.and("hour >= ?", [Cell::Integer(from.micros())]);
        }
        if let Some(to) = filter.to {
            question.and("hour < ?", [Cell::Integer(to.micros())]);
        }
        if let Some(after) = after {
            let [tenant, job] = [after.tenant.as_str(), after.job_text()];
            let hour = Cell::Integer(after.hour.micros());
            let mark = [Cell::Text(tenant.to_owned()), hour, Cell::Text(job.to_owned())];
            question.and("(tenant, hour, job) > (?, ?, ?)", mark);
        }
        question.end(" ORDER BY tenant, hour, job", limit);
        let items = question.ask(&self.0, |row| read_item(row).map_err(fault))?;
        Ok(cut(items, limit, |item: &UsageItem| item.bucket.clone()))
    }

    /// How many buckets there are.
    pub(super) fn count_buckets(&self) -> Result<u64> {
        if !self.keeps_usage()? {
            return Ok(0);
        }
        let count = self.0.query_row("SELECT count(*) FROM usage", (), |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(fault)
    }

    /// The oldest buckets from before `before`, at most `max`.
    pub(super) fn old_buckets(&self, before: Timestamp, max: usize) -> Result<Vec<Bucket>> {
        if max == 0 || !self.keeps_usage()? {
            return Ok(Vec::new());
        }
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        self.0
            .prepare_cached(OLDEST)
            .and_then(|mut statement| {
                statement.query_map(params![before.micros(), max], read_bucket)?.collect()
            })
            .map_err(fault)
    }

    /// A bucket with a sum that can't be.
    pub(super) fn wrong_bucket(&self) -> Result<Option<String>> {
        if !self.keeps_usage()? {
            return Ok(None);
        }
        let out_of_bounds: Vec<String> =
            NAMES.iter().map(|name| format!("{name} NOT BETWEEN 0 AND {MOST}")).collect();
        let sql = format!(
            "SELECT tenant || '/' || job || ' ' || hour FROM usage WHERE {} LIMIT 1",
            out_of_bounds.join(" OR ")
        );
        self.0.query_row(&sql, (), |row| row.get(0)).optional().map_err(fault)
    }
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<UsageItem> {
    let mut numbers = [0; MEASURES];
    for (place, number) in (KEYS..).zip(&mut numbers) {
        *number = row.get::<_, i64>(place)?.unsigned_abs();
    }
    Ok(UsageItem { bucket: read_bucket(row)?, used: Used::of_numbers(numbers) })
}

fn read_bucket(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    let conversion = |column, error: String| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    };
    let (tenant, job): (String, String) = (row.get(0)?, row.get(2)?);
    let job = Some(job).filter(|job| !job.is_empty()).map(|job| job.parse()).transpose();
    Ok(Bucket {
        tenant: tenant.parse().map_err(|error| conversion(0, format!("{error}")))?,
        hour: Timestamp::from_micros(row.get(1)?),
        job: job.map_err(|error| conversion(2, format!("{error}")))?,
    })
}
