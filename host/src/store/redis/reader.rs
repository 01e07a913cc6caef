//! Questions to the store: what is kept, page by page. On connections of their own, so that a long
//! list holds up no transition.
//!
//! A question of several commands sees them one after another: a run is looked for among those that
//! are live and then among those that are done, so that none is missed that moves between the two.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Connection, FromRedisValue, cmd};
use serde_bytes::ByteBuf;

use super::client::Factory;
use super::definitions::{self, Definitions};
use super::fault::{Trouble, connecting, trouble};
use super::keys::Keys;
use super::settings::Settings;
use super::wire::{
    self, LiveRow, Plan, PlanRow, RangeRow, TIME_DIGITS, job_name, run_name, sortable,
};
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter, UsageFilter, UsageItem,
};
use crate::record::{Doc, Schedule};
use crate::run::id::RunId;
use crate::run::{LogLine, Run, RunKey, RunState};
use crate::store::Result;
use crate::store::embedded::kept::{
    Kept, LedgerMark, MAX_LOG_PAGE, Mark, RunMark, cut, limit_of, plain,
};
use crate::store::error::StoreError;

/// Connections kept for the next question.
const MAX_IDLE: usize = 4;
/// How long connecting may take, and an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Records read at once.
const CHUNK: usize = 512;
/// Records looked at for one page at most: the page ends there, and says where to go on.
const MAX_LOOKED_AT: usize = 200_000;
/// How often a job is read again that is replaced meanwhile.
const TRIES: usize = 3;

/// Connections for questions.
pub(super) struct Readers {
    factory: Factory,
    keys: Keys,
    definitions: Arc<Definitions>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(settings: &Settings, keys: Keys, definitions: Arc<Definitions>) -> Self {
        let factory = Factory::new(settings);
        Self { factory, keys, definitions, idle: Mutex::default() }
    }

    /// Asks, on the calling thread.
    pub(super) fn read<T>(&self, look: impl FnOnce(&dyn Kept) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let reader = Reader {
            connection: RefCell::new(connection),
            keys: &self.keys,
            definitions: &self.definitions,
        };
        let answer = look(&reader);
        let is_whole = !matches!(
            answer,
            Err(StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::Denied(_))
        );
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if is_whole && idle.len() < MAX_IDLE {
            idle.push(reader.connection.into_inner());
        }
        answer
    }

    fn connect(&self) -> Result<Connection> {
        let connection = self.factory.connection(CONNECT_TIMEOUT)?;
        let timeout = Some(ANSWER_TIMEOUT);
        connection.set_read_timeout(timeout).map_err(|error| connecting(&error))?;
        connection.set_write_timeout(timeout).map_err(|error| connecting(&error))?;
        Ok(connection)
    }
}

/// One connection, for one question.
pub(super) struct Reader<'a> {
    connection: RefCell<Connection>,
    keys: &'a Keys,
    definitions: &'a Definitions,
}

impl Reader<'_> {
    /// Begins a command on the key that scripts call `lua`.
    pub(super) fn command(&self, name: &str, lua: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(self.keys.of(lua));
        command
    }

    pub(super) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        command.query(&mut *self.connection.borrow_mut()).map_err(|error| match trouble(&error) {
            Trouble::Refused(error) => error,
            // Nothing was to be done: then nothing was done.
            Trouble::Broken(StoreError::Unknown(text)) => StoreError::Unavailable(text),
            Trouble::Broken(error) => error,
            Trouble::NoScript | Trouble::Generation => StoreError::Unavailable(error.to_string()),
        })
    }

    /// Several commands at once.
    pub(super) fn ask_all<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> Result<T> {
        let answer = commands.query(&mut *self.connection.borrow_mut());
        answer.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// One field of a hash.
    pub(super) fn field(&self, lua: &str, name: &str) -> Result<Option<Vec<u8>>> {
        self.ask(self.command("HGET", lua).arg(name))
    }

    /// Fields of a hash, in order.
    pub(super) fn fields(
        &self,
        lua: &str,
        names: &[impl redis::ToRedisArgs],
    ) -> Result<Vec<Option<Vec<u8>>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(self.command("HMGET", lua).arg(names))
    }

    /// Members of a set that is sorted by text, from `from` on, below `to`; both as lex bounds.
    pub(super) fn members(
        &self,
        lua: &str,
        order: Order,
        (from, to): (&str, &str),
        (skip, max): (usize, usize),
    ) -> Result<Vec<String>> {
        let command = match order {
            Order::Up => self.command("ZRANGEBYLEX", lua).arg(from).arg(to).clone(),
            Order::Down => self.command("ZREVRANGEBYLEX", lua).arg(to).arg(from).clone(),
        };
        self.ask(command.clone().arg("LIMIT").arg(skip).arg(max))
    }

    /// Schedules with these keys; those that are no more are left out.
    fn schedules_of(&self, names: &[String]) -> Result<Vec<Schedule>> {
        let kept = self.fields("PLAN", names)?;
        let mut schedules = Vec::with_capacity(names.len());
        for (name, kept) in names.iter().zip(kept) {
            let Some(kept) = kept else { continue };
            let row = PlanRow(ByteBuf::from(name.clone().into_bytes()), ByteBuf::from(kept));
            let mut found = self.whole(&row)?;
            for _ in 1..TRIES {
                if found.is_some() {
                    break;
                }
                let Some(plan) = self.field("PLAN", name)? else { break };
                let row = PlanRow(row.0.clone(), ByteBuf::from(plan));
                found = self.whole(&row)?;
            }
            schedules.extend(found);
        }
        Ok(schedules)
    }

    /// The schedule of a planning record; `None` when its definition is another one by now.
    fn whole(&self, row: &PlanRow) -> Result<Option<Schedule>> {
        let job = wire::job_of_name(&row.0)?;
        let (plan, last) = Plan::read(&row.1)?;
        let def = match self.definitions.get(&job, &plan) {
            Some(def) => def,
            None => {
                let kept = self.field("DEF", &job_name(&job))?.unwrap_or_default();
                let base = match definitions::other_base(&kept) {
                    Some(name) => self.field("META", name)?,
                    None => None,
                };
                match definitions::read(&kept, &plan, base.as_deref())? {
                    Some(def) => self.definitions.put(&job, &plan, def),
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(plan.schedule(job, last, def)))
    }

    /// Runs with these keys, live or done; those that are no more are left out.
    pub(super) fn runs_of(&self, names: &[String]) -> Result<Vec<Run>> {
        let live = self.fields("LIVE", names)?;
        let missing: Vec<&String> = names
            .iter()
            .zip(&live)
            .filter(|(_, record)| record.is_none())
            .map(|(name, _)| name)
            .collect();
        let mut past = self.fields("PAST", &missing)?.into_iter();
        let mut runs = Vec::with_capacity(names.len());
        for record in live {
            if let Some(record) = record {
                runs.push(LiveRow::read(&record)?.run);
            } else if let Some(record) = past.next().flatten() {
                runs.push(wire::unpack(&record)?);
            }
        }
        Ok(runs)
    }

    /// Names of runs from an index by age, older than `before`, newest first, at most `max`; and
    /// whether there are no more.
    fn older(
        &self,
        lua: &str,
        before: Option<&RunMark>,
        max: usize,
    ) -> Result<(Vec<String>, bool)> {
        let below = before.map_or_else(
            || "+".to_owned(),
            |mark| format!("({}{}{}", sortable(mark.queued_at), mark.id, mark.tenant),
        );
        let found = self.members(lua, Order::Down, ("-", &below), (0, max))?;
        let names = found.iter().filter_map(|member| member.get(TIME_DIGITS..));
        Ok((names.map(str::to_owned).collect(), found.len() < max))
    }

    fn range(&self, id: u64) -> Result<Option<RangeRow>> {
        let record = self.field("RANGE", &id.to_string())?;
        record.map(|record| wire::unpack(&record)).transpose()
    }

    pub(super) fn ranges(&self, ids: &[u64]) -> Result<Vec<RangeRow>> {
        let mut ranges = Vec::with_capacity(ids.len());
        for id in ids {
            ranges.extend(self.range(*id)?);
        }
        Ok(ranges)
    }
}

/// Which way a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Up,
    Down,
}

/// The part of an index that belongs to one job: its prefix, and the lex bounds around it.
pub(super) fn span(job: &JobKey) -> (String, String, String) {
    let name = job_name(job);
    (format!("{name}\0"), format!("[{name}\0"), format!("({name}\x01"))
}

/// The number of a range that its place in an index ends with.
pub(super) fn range_id(member: &str) -> Option<u64> {
    let start = member.len().checked_sub(16)?;
    u64::from_str_radix(member.get(start..)?, 16).ok()
}

/// The run that a place in an index ends with.
pub(super) fn run_id(member: &str) -> Option<RunId> {
    let start = member.len().checked_sub(32)?;
    member.get(start..)?.parse().ok()
}

impl Kept for Reader<'_> {
    fn schedule(&self, job: &JobKey) -> Result<Option<Schedule>> {
        Ok(self.schedules_of(&[job_name(job)])?.pop())
    }

    fn schedules(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Schedule>> {
        let limit = limit_of(page);
        let (mut from, to) = match &filter.tenant {
            Some(tenant) => (format!("[{tenant}\0"), format!("({tenant}\x01")),
            None => ("-".to_owned(), "+".to_owned()),
        };
        if let Some(after) = JobKey::of(page)? {
            from = format!("({}", job_name(&after));
        }
        let names = self.members("JOB", Order::Up, (&from, &to), (0, limit + 1))?;
        let items = self.schedules_of(&names)?;
        Ok(cut(items, limit, |schedule: &Schedule| schedule.key.clone()))
    }

    fn run(&self, key: &RunKey) -> Result<Option<Run>> {
        Ok(self.runs_of(&[run_name(key)])?.pop())
    }

    fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<Run>> {
        let (limit, mut before) = (limit_of(page), RunMark::of(page)?);
        let is_live = !filter.states.is_empty() && !filter.states.contains(&RunState::Done);
        let index = if is_live { "LIVE_AGE" } else { "BY_AGE" };
        let (mut items, mut looked_at): (Vec<Run>, usize) = (Vec::new(), 0);
        while items.len() <= limit && looked_at < MAX_LOOKED_AT {
            let (names, is_last) = match (&filter.tenant, &filter.job) {
                (Some(tenant), Some(job)) if !is_live => {
                    let job = JobKey { tenant: tenant.clone(), job: job.clone() };
                    let (prefix, from, mut to) = span(&job);
                    if let Some(before) = &before {
                        to = format!("({prefix}{}{}", sortable(before.queued_at), before.id);
                    }
                    let found = self.members("JOB_RUN", Order::Down, (&from, &to), (0, CHUNK))?;
                    let ids = found.iter().filter_map(|member| run_id(member));
                    let names = ids.map(|run| run_name(&RunKey { tenant: tenant.clone(), run }));
                    (names.collect(), found.len() < CHUNK)
                }
                (_, _) => self.older(index, before.as_ref(), CHUNK)?,
            };
            let found = self.runs_of(&names)?;
            let Some(last) = found.last() else { break };
            looked_at += names.len();
            before = Some(RunMark::at(last));
            items.extend(found.into_iter().filter(|run| filter.wants(run)));
            if is_last {
                return Ok(cut(items, limit, RunMark::at));
            }
        }
        let mut page = cut(items, limit, RunMark::at);
        if page.next_cursor.is_none() && MAX_LOOKED_AT <= looked_at {
            page.next_cursor = before.map(|mark| mark.write());
        }
        Ok(page)
    }

    fn ledger(
        &self,
        job: &JobKey,
        filter: &LedgerFilter,
        page: &Page,
    ) -> Result<Paged<LedgerItem>> {
        let (limit, before) = (limit_of(page), LedgerMark::of(page)?);
        let mut items = self.ledger_runs(job, filter, before, limit)?;
        items.extend(self.ledger_ranges(job, filter, before, limit)?);
        items.sort_unstable_by_key(|(mark, _)| std::cmp::Reverse(*mark));
        Ok(plain(cut(items, limit, |(mark, _)| *mark)))
    }

    fn log(&self, key: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        // The run first: once it is done, no line can come after those that are read now.
        let Some(run) = Kept::run(self, key)? else {
            return Err(StoreError::NotFound(format!("run {key}")));
        };
        let text = self.field("LOG", &run_name(key))?.unwrap_or_default();
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let all = text.split_inclusive(|byte| *byte == b'\n').count();
        let mut lines: Vec<LogLine> = Vec::new();
        let wanted = text.split_inclusive(|byte| *byte == b'\n').skip(start);
        for line in wanted.take(max.min(MAX_LOG_PAGE)) {
            let line = serde_json::from_slice(line);
            lines.push(line.map_err(|error| super::fault::unreadable("a log line", error))?);
        }
        let end = start.min(all) + lines.len();
        let complete = run.state == RunState::Done && end == all;
        Ok(LogPage { lines, next: from.max(end as u64), complete })
    }

    fn doc(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>> {
        let kept = self.field("DOC", &format!("{tenant}\0{kind}\0{key}"))?;
        kept.map(|kept| read_doc(key.to_owned(), &kept)).transpose()
    }

    fn docs(&self, tenant: &TenantId, kind: &str, page: &Page) -> Result<Paged<Doc>> {
        let limit = limit_of(page);
        let prefix = format!("{tenant}\0{kind}\0");
        let from = match String::of(page)? {
            Some(after) => format!("({prefix}{after}"),
            None => format!("[{prefix}"),
        };
        let to = format!("({tenant}\0{kind}\x01");
        let names = self.members("DOC_KEY", Order::Up, (&from, &to), (0, limit + 1))?;
        let mut items = Vec::with_capacity(names.len());
        for (name, kept) in names.iter().zip(self.fields("DOC", &names)?) {
            let key = name.strip_prefix(&prefix).unwrap_or(name).to_owned();
            items.extend(kept.map(|kept| read_doc(key, &kept)).transpose()?);
        }
        Ok(cut(items, limit, |doc: &Doc| doc.key.clone()))
    }

    fn usage(&self, filter: &UsageFilter, page: &Page) -> Result<Paged<UsageItem>> {
        self.buckets(filter, page)
    }

    fn counts(&self) -> Result<[u64; 3]> {
        let mut counts = [0; 3];
        for (count, lua) in counts.iter_mut().zip(["PLAN", "LIVE", "PAST"]) {
            *count = self.ask(&self.command("HLEN", lua))?;
        }
        Ok(counts)
    }
}

pub(super) fn read_doc(key: String, kept: &[u8]) -> Result<Doc> {
    let wrong = || super::fault::unreadable("a document", "it has no version");
    let line_end = kept.iter().position(|byte| *byte == b'\n').ok_or_else(wrong)?;
    let (version, value) = kept.split_at(line_end);
    let version = std::str::from_utf8(version).ok().and_then(|text| text.parse().ok());
    let value = value.get(1..).unwrap_or_default().to_vec();
    Ok(Doc { key, version: version.ok_or_else(wrong)?, value })
}
