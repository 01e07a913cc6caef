//! Schedules: made, changed, removed, and which of them are due.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::link::Caller;
use super::scripts::Script;
use super::wire::{self, Plan, PlanRow};
use super::{RedisStore, definitions};
use crate::job::JobKey;
use crate::record::step::{Conflict, Due, LiveRuns, NewSchedule, Patch, Put};
use crate::record::{Definition, Schedule, Session};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Definitions that are asked for in one question at most.
const DEFINITIONS_AT_ONCE: usize = 500;

impl RedisStore {
    /// The definition that a planning record was written with; `None` when there is another one by
    /// now.
    pub(super) async fn definition(
        &self,
        job: &JobKey,
        plan: &Plan,
    ) -> Result<Option<Arc<Definition>>> {
        if let Some(def) = self.definitions.get(job, plan) {
            return Ok(Some(def));
        }
        let mut ask = redis::cmd("HGET");
        ask.arg(self.link.keys().of("DEF")).arg(wire::job_name(job));
        let kept: Option<Vec<u8>> = self.link.read(&ask).await?;
        let kept = kept.unwrap_or_default();
        let mut base: Option<Vec<u8>> = None;
        if let Some(name) = definitions::other_base(&kept) {
            let mut ask = redis::cmd("HGET");
            ask.arg(self.link.keys().of("META")).arg(name);
            base = self.link.read(&ask).await?;
        }
        let def = definitions::read(&kept, plan, base.as_deref())?;
        Ok(def.map(|def| self.definitions.put(job, plan, def)))
    }

    /// Reads the definitions of all `rows` that are not here yet, with one question for many of
    /// them.
    pub(super) async fn know(&self, rows: &[PlanRow]) -> Result<()> {
        let mut unknown = BTreeMap::new();
        for row in rows.iter().filter(|row| !row.1.is_empty()) {
            let job = wire::job_of_name(&row.0)?;
            let (plan, _) = Plan::read(&row.1)?;
            if self.definitions.get(&job, &plan).is_none() {
                unknown.insert(wire::job_name(&job), (job, plan));
            }
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        for some in unknown.chunks(DEFINITIONS_AT_ONCE) {
            let mut ask = redis::cmd("HMGET");
            let names: Vec<&str> = some.iter().map(|(name, _)| name.as_str()).collect();
            ask.arg(self.link.keys().of("DEF")).arg(names);
            let kept: Vec<Option<Vec<u8>>> = self.link.read(&ask).await?;
            for ((_, (job, plan)), kept) in some.iter().zip(kept) {
                let kept = kept.unwrap_or_default();
                // What another host wrote is read with what that one has built in, by itself.
                if definitions::other_base(&kept).is_none()
                    && let Some(def) = definitions::read(&kept, plan, None)?
                {
                    self.definitions.put(job, plan, def);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn schedule(&self, row: &PlanRow) -> Result<Option<Arc<Schedule>>> {
        if row.1.is_empty() {
            return Ok(None);
        }
        let job = wire::job_of_name(&row.0)?;
        let (plan, last) = Plan::read(&row.1)?;
        let def = self.definition(&job, &plan).await?;
        Ok(def.map(|def| Arc::new(plan.schedule(job, last, def))))
    }

    pub(super) async fn put(
        &self,
        schedule: NewSchedule,
        on: Conflict,
        now: Timestamp,
    ) -> Result<Put> {
        let uid = (self.fresh_id)();
        let def = definitions::write(&schedule.def);
        let (on, version) = match on {
            Conflict::Fail => ("fail", None),
            Conflict::Keep => ("keep", None),
            Conflict::Replace => ("replace", None),
            Conflict::ReplaceIf(version) => ("if", Some(version)),
        };
        let args = wire::PutArgs {
            tenant: &schedule.key.tenant,
            job: &schedule.key.job,
            uid,
            plan: Plan::of_new(&schedule, uid),
            keep_cursor: schedule.keep_cursor,
            ranges: &schedule.ranges,
            on,
            version,
        };
        let answer: wire::PutAnswer =
            self.link.call(Script::Put, Caller::at(now), &args, def.as_bytes()).await?;
        let (plan, last) = Plan::read(&answer.schedule)?;
        let key = schedule.key;
        let def = if answer.kind == "kept" {
            let found = self.definition(&key, &plan).await?;
            found.ok_or(StoreError::Conflict { current: plan.version })?
        } else {
            self.definitions.put(&key, &plan, schedule.def)
        };
        let whole = plan.schedule(key, last, def);
        Ok(match answer.kind.as_str() {
            "created" => Put::Created(whole),
            "kept" => Put::Kept(whole),
            _ => Put::Replaced(whole),
        })
    }

    pub(super) async fn patch(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        patch: Patch,
        now: Timestamp,
    ) -> Result<u64> {
        let (cursor, due_at) = patch.cursor.unwrap_or_default();
        let args = wire::PatchArgs {
            tenant: &job.tenant,
            job: &job.job,
            expect,
            sets_pause: patch.pause.is_some(),
            pause: patch.pause.flatten(),
            sets_parked: patch.parked.is_some(),
            parked: patch.parked.flatten(),
            sets_cursor: patch.cursor.is_some(),
            cursor,
            due_at,
            ranges: patch.ranges,
        };
        let answer: wire::Version =
            self.link.call(Script::Patch, Caller::at(now), &args, b"").await?;
        Ok(answer.version)
    }

    pub(super) async fn remove(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        live: LiveRuns,
        now: Timestamp,
    ) -> Result<bool> {
        let cancel = live == LiveRuns::Cancel;
        let args = wire::RemoveArgs { tenant: &job.tenant, job: &job.job, expect, cancel };
        let answer: wire::RemoveAnswer =
            self.link.call(Script::Remove, Caller::at(now), &args, b"").await?;
        Ok(answer.removed)
    }

    pub(super) async fn due(&self, session: &Session, now: Timestamp, max: usize) -> Result<Due> {
        let delay = u64::try_from(self.delay().as_micros()).unwrap_or(0);
        let args = wire::DueArgs { max, delay };
        let answer: wire::DueAnswer =
            self.link.call(Script::Due, Self::caller(session, now), &args, b"").await?;
        let mut schedules = Vec::with_capacity(answer.items.len());
        let mut next_due = answer.next;
        self.know(&answer.items).await?;
        for row in &answer.items {
            match self.schedule(row).await? {
                Some(schedule) => schedules.push(schedule),
                // It was replaced between two questions: it is due still.
                None => next_due = Some(answer.now),
            }
        }
        Ok(Due { now: answer.now, schedules, next_due })
    }
}
