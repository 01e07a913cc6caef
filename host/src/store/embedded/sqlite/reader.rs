//! Questions to the file: what is kept, page by page. Sees what is committed.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::super::kept::{
    EntryId, Kept, LedgerMark, MAX_LOG_PAGE, Mark, RunMark, cut, ledger_item_of_range,
    ledger_item_of_run, limit_of, plain,
};
use super::fault::{fault, unreadable};
use super::rows;
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter, UsageFilter, UsageItem,
};
use crate::record::{Doc, Schedule};
use crate::run::{LogLine, Range, Run, RunKey, RunState};
use crate::store::Result;
use crate::store::core::effects::CounterKey;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// A connection that only reads.
pub(super) struct Reader(pub(super) Connection);

/// A question that is put together from parts: its text, and what is bound to its `?`.
pub(super) struct Question {
    sql: String,
    cells: Vec<Cell>,
}

impl Question {
    pub(super) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), cells: Vec::new() }
    }

    pub(super) fn and<const N: usize>(&mut self, condition: &str, cells: [Cell; N]) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.cells.extend(cells);
    }

    pub(super) fn end(&mut self, order: &str, limit: usize) {
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT ?");
        // One more than a page holds shows whether another page follows.
        self.cells.push(Cell::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
    }

    pub(super) fn ask<T>(
        self,
        db: &Connection,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = db.prepare_cached(&self.sql).map_err(fault)?;
        let mut rows = statement.query(params_from_iter(self.cells)).map_err(fault)?;
        let mut items = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            items.push(read(row)?);
        }
        Ok(items)
    }
}

/// One run.
pub(super) fn run(db: &Connection, run: &RunKey) -> Result<Option<Run>> {
    let record = db
        .prepare_cached("SELECT record FROM run WHERE id = ?1 AND tenant = ?2")
        .and_then(|mut statement| {
            statement.query_row(params![run.run.to_string(), run.tenant.as_str()], text).optional()
        })
        .map_err(fault)?;
    record.map(|record| rows::read(&record, "run")).transpose()
}

/// One document.
pub(super) fn doc(
    db: &Connection,
    tenant: &TenantId,
    kind: &str,
    key: &str,
) -> Result<Option<Doc>> {
    db.prepare_cached(
        "SELECT key, version, value FROM doc WHERE tenant = ?1 AND kind = ?2 AND key = ?3",
    )
    .and_then(|mut statement| {
        statement.query_row(params![tenant.as_str(), kind, key], read_doc).optional()
    })
    .map_err(fault)
}

/// A counter's value.
pub(super) fn counter(db: &Connection, counter: &CounterKey) -> Result<i64> {
    let value = db
        .prepare_cached("SELECT value FROM counter WHERE tenant = ?1 AND key = ?2")
        .and_then(|mut statement| {
            statement
                .query_row(params![counter.tenant.as_str(), counter.key], |row| row.get(0))
                .optional()
        })
        .map_err(fault)?;
    Ok(value.unwrap_or(0))
}

impl Kept for Reader {
    fn schedule(&self, job: &JobKey) -> Result<Option<Schedule>> {
        let mut question = Question::new(rows::SCHEDULES);
        question.and("tenant = ?", [cell(&job.tenant)]);
        question.and("job = ?", [cell(&job.job)]);
        Ok(question.ask(&self.0, rows::schedule)?.pop())
    }

    fn schedules(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Schedule>> {
        let limit = limit_of(page);
        let mut question = Question::new(rows::SCHEDULES);
        if let Some(tenant) = &filter.tenant {
            question.and("tenant = ?", [cell(tenant)]);
        }
        if let Some(after) = JobKey::of(page)? {
            question.and("(tenant, job) > (?, ?)", [cell(after.tenant), cell(after.job)]);
        }
        question.end(" ORDER BY tenant, job", limit);
        let items = question.ask(&self.0, rows::schedule)?;
        Ok(cut(items, limit, |schedule: &Schedule| schedule.key.clone()))
    }

    fn run(&self, key: &RunKey) -> Result<Option<Run>> {
        run(&self.0, key)
    }

    fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<Run>> {
        let limit = limit_of(page);
        let is_live = !filter.states.is_empty() && !filter.states.contains(&RunState::Done);
        // Few runs are live: the index of those beats the one by age, which the planner would take.
        let mut question = Question::new(if is_live {
            "SELECT record FROM run INDEXED BY run_live WHERE state <> 'done'"
        } else {
            "SELECT record FROM run WHERE TRUE"
        });
        if let Some(tenant) = &filter.tenant {
            question.and("tenant = ?", [cell(tenant)]);
        }
        if let Some(job) = &filter.job {
            question.and("job = ?", [cell(job)]);
        }
        if !filter.states.is_empty() {
            let states: Result<Vec<String>> = filter.states.iter().map(word).collect();
            question.and("state IN (SELECT value FROM json_each(?))", [json_list(&states?)]);
        }
        if let Some(verdict) = filter.verdict {
            question.and("verdict = ?", [Cell::Text(word(&verdict)?)]);
        }
        if let Some(cause) = filter.cause {
            question.and("cause = ?", [Cell::Text(word(&cause)?)]);
        }
        if let Some(from) = filter.from {
            question.and("fire_time >= ?", [Cell::Integer(from.micros())]);
        }
        if let Some(to) = filter.to {
            question.and("fire_time < ?", [Cell::Integer(to.micros())]);
        }
        if let Some(before) = RunMark::of(page)? {
            let age = Cell::Integer(before.queued_at.micros());
            let mark = [age, cell(before.id), cell(before.tenant)];
            question.and("(queued_at, id, tenant) < (?, ?, ?)", mark);
        }
        question.end(" ORDER BY queued_at DESC, id DESC, tenant DESC", limit);
        Ok(cut(question.ask(&self.0, read_run)?, limit, RunMark::at))
    }

    fn ledger(
        &self,
        job: &JobKey,
        filter: &LedgerFilter,
        page: &Page,
    ) -> Result<Paged<LedgerItem>> {
        let limit = limit_of(page);
        let before = LedgerMark::of(page)?;
        let mut items = ledger_runs(&self.0, job, filter, before, limit)?;
        items.extend(ledger_ranges(&self.0, job, filter, before, limit)?);
        items.sort_unstable_by_key(|(mark, _)| std::cmp::Reverse(*mark));
        Ok(plain(cut(items, limit, |(mark, _)| *mark)))
    }

    fn log(&self, key: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        // The run first: once it is done, no line can come after those that are read now.
        let state: Option<String> = self
            .0
            .prepare_cached("SELECT state FROM run WHERE id = ?1 AND tenant = ?2")
            .and_then(|mut statement| {
                statement
                    .query_row(params![key.run.to_string(), key.tenant.as_str()], text)
                    .optional()
            })
            .map_err(fault)?;
        let Some(state) = state else {
            return Err(StoreError::NotFound(format!("run {key}")));
        };
        let limit = max.min(MAX_LOG_PAGE);
        let mut question =
            Question::new("SELECT t, level, stream, context, message FROM log WHERE TRUE");
        question.and("run = ?", [cell(key.run)]);
        question.and("tenant = ?", [cell(&key.tenant)]);
        question.and("line >= ?", [Cell::Integer(rows::integer(from))]);
        question.end(" ORDER BY line", limit);
        let mut lines = question.ask(&self.0, read_line)?;
        let more = limit < lines.len();
        lines.truncate(limit);
        let next = from + lines.len() as u64;
        Ok(LogPage { lines, next, complete: !more && state == word(&RunState::Done)? })
    }

    fn doc(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>> {
        doc(&self.0, tenant, kind, key)
    }

    fn docs(&self, tenant: &TenantId, kind: &str, page: &Page) -> Result<Paged<Doc>> {
        let limit = limit_of(page);
        let mut question = Question::new("SELECT key, version, value FROM doc WHERE TRUE");
        question.and("tenant = ?", [cell(tenant)]);
        question.and("kind = ?", [cell(kind)]);
        if let Some(after) = String::of(page)? {
            question.and("key > ?", [Cell::Text(after)]);
        }
        question.end(" ORDER BY key", limit);
        let items = question.ask(&self.0, |row| read_doc(row).map_err(fault))?;
        Ok(cut(items, limit, |doc: &Doc| doc.key.clone()))
    }

    fn usage(&self, filter: &UsageFilter, page: &Page) -> Result<Paged<UsageItem>> {
        self.buckets(filter, page)
    }

    fn counts(&self) -> Result<[u64; 3]> {
        self.0
            .query_row(
                "SELECT (SELECT count(*) FROM schedule),
                        (SELECT count(*) FROM run WHERE state <> 'done'),
                        (SELECT count(*) FROM run)",
                (),
                |row| {
                    let [schedules, live, all] = [row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?];
                    Ok([schedules, live, all - live].map(i64::unsigned_abs))
                },
            )
            .map_err(fault)
    }
}

fn ledger_runs(
    db: &Connection,
    job: &JobKey,
    filter: &LedgerFilter,
    before: Option<LedgerMark>,
    limit: usize,
) -> Result<Vec<(LedgerMark, LedgerItem)>> {
    let mut question =
        Question::new("SELECT record FROM run WHERE cause = 'schedule' AND verdict IS NOT NULL");
    question.and("tenant = ?", [cell(&job.tenant)]);
    question.and("job = ?", [cell(&job.job)]);
    if let Some(verdict) = filter.verdict {
        question.and("verdict = ?", [Cell::Text(word(&verdict)?)]);
    }
    if let Some(from) = filter.from {
        question.and("fire_time >= ?", [Cell::Integer(from.micros())]);
    }
    if let Some(to) = filter.to {
        question.and("fire_time < ?", [Cell::Integer(to.micros())]);
    }
    if let Some(LedgerMark { last, entry }) = before {
        let last = Cell::Integer(last.micros());
        // Runs stand before ranges of the same time: such a range is after all of those.
        match entry {
            EntryId::Run(id) => question.and("(fire_time, id) < (?, ?)", [last, cell(id)]),
            EntryId::Range(_) => question.and("fire_time < ?", [last]),
        }
    }
    question.end(" ORDER BY fire_time DESC, id DESC", limit);
    let runs = question.ask(db, read_run)?;
    Ok(runs
        .iter()
        .filter_map(|run| Some((LedgerMark::of_run(run), ledger_item_of_run(run)?)))
        .collect())
}

fn ledger_ranges(
    db: &Connection,
    job: &JobKey,
    filter: &LedgerFilter,
    before: Option<LedgerMark>,
    limit: usize,
) -> Result<Vec<(LedgerMark, LedgerItem)>> {
    let mut question = Question::new(
        "SELECT id, verdict, reason, first, last, count, into_run FROM ledger_range WHERE TRUE",
    );
    question.and("tenant = ?", [cell(&job.tenant)]);
    question.and("job = ?", [cell(&job.job)]);
    if let Some(verdict) = filter.verdict {
        question.and("verdict = ?", [Cell::Text(word(&verdict)?)]);
    }
    if let Some(from) = filter.from {
        question.and("last >= ?", [Cell::Integer(from.micros())]);
    }
    if let Some(to) = filter.to {
        question.and("first < ?", [Cell::Integer(to.micros())]);
    }
    if let Some(LedgerMark { last, entry }) = before {
        let last = Cell::Integer(last.micros());
        match entry {
            EntryId::Run(_) => question.and("last <= ?", [last]),
            EntryId::Range(id) => {
                let id = Cell::Integer(rows::integer(id));
                question.and("(last, id) < (?, ?)", [last, id]);
            }
        }
    }
    question.end(" ORDER BY last DESC, id DESC", limit);
    question.ask(db, |row| {
        let (id, range) = read_range(row)?;
        let mark = LedgerMark { last: range.last, entry: EntryId::Range(id) };
        Ok((mark, ledger_item_of_range(&range)))
    })
}

fn cell(text: impl ToString) -> Cell {
    Cell::Text(text.to_string())
}

fn word<T: serde::Serialize>(value: &T) -> Result<String> {
    rows::word(value).map_err(fault)
}

fn json_list(words: &[String]) -> Cell {
    Cell::Text(serde_json::Value::from(words).to_string())
}

fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

fn read_run(row: &Row<'_>) -> Result<Run> {
    rows::read(row.get_ref(0).and_then(|cell| Ok(cell.as_str()?)).map_err(fault)?, "run")
}

fn read_doc(row: &Row<'_>) -> rusqlite::Result<Doc> {
    let version = row.get::<_, i64>(1)?.unsigned_abs();
    Ok(Doc { key: row.get(0)?, version, value: row.get(2)? })
}

/// A range of the columns `id, verdict, reason, first, last, count, into_run`.
pub(super) fn read_range(row: &Row<'_>) -> Result<(u64, Range)> {
    let text = |index| row.get::<_, String>(index).map_err(fault);
    let number = |index| row.get::<_, i64>(index).map_err(fault);
    let into: Option<String> = row.get(6).map_err(fault)?;
    let range = Range {
        verdict: rows::read_word(text(1)?, "verdict")?,
        reason: text(2)?.into(),
        first: Timestamp::from_micros(number(3)?),
        last: Timestamp::from_micros(number(4)?),
        count: number(5)?.unsigned_abs(),
        into: into.map(|id| id.parse()).transpose().map_err(|e: String| unreadable("range", e))?,
    };
    Ok((number(0)?.unsigned_abs(), range))
}

/// A line of the columns `t, level, stream, context, message`.
pub(super) fn read_line(row: &Row<'_>) -> Result<LogLine> {
    let text = |index| row.get::<_, String>(index).map_err(fault);
    Ok(LogLine {
        t: Timestamp::from_micros(row.get(0).map_err(fault)?),
        level: rows::read_word(text(1)?, "log level")?,
        stream: rows::read_word(text(2)?, "log stream")?,
        context: text(3)?,
        message: text(4)?,
    })
}
