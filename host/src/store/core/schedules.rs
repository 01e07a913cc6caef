//! Steps on schedules: made, replaced, changed, removed, and which of them are due.

use std::sync::Arc;

use super::effects::{Effects, Extent, Write};
use super::{Core, known};
use crate::job::JobKey;
use crate::record::Schedule;
use crate::record::step::{Change, Conflict, Due, LiveRuns, NewSchedule, Patch, Put};
use crate::run::id::{SessionId, Uid};
use crate::run::{Range, Verdict};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

impl Core {
    /// Creates or replaces a schedule; `uid` is for a new one.
    ///
    /// # Errors
    ///
    /// `Conflict` as `on` says; `Invalid` when times do not fit together; `Quota` when the tenant has
    /// as many jobs as it may.
    pub fn put(
        &mut self,
        new: NewSchedule,
        on: Conflict,
        uid: Uid,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Put> {
        let Some(old) = self.schedules.get(&new.key).map(Arc::clone) else {
            return match on {
                Conflict::ReplaceIf(_) => Err(StoreError::NotFound(format!("job {}", new.key))),
                Conflict::Fail | Conflict::Keep | Conflict::Replace => {
                    self.create(new, uid, now, fx).map(Put::Created)
                }
            };
        };
        let same = *old.def == new.def && old.source == new.source;
        match on {
            Conflict::Fail if old.version == 1 && old.created_at == now && same => {
                Ok(Put::Created(Schedule::clone(&old)))
            }
            Conflict::Fail => Err(StoreError::Conflict { current: old.version }),
            Conflict::Keep => Ok(Put::Kept(Schedule::clone(&old))),
            Conflict::ReplaceIf(version) if old.version == version + 1 && same => {
                Ok(Put::Replaced(Schedule::clone(&old)))
            }
            Conflict::ReplaceIf(version) if old.version != version => {
                Err(StoreError::Conflict { current: old.version })
            }
            Conflict::Replace | Conflict::ReplaceIf(_) => {
                self.replace(&old, new, fx).map(Put::Replaced)
            }
        }
    }

    fn create(
        &mut self,
        new: NewSchedule,
        uid: Uid,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Schedule> {
        check_cursor(new.cursor, new.due_at, new.ranges.last().map(|range| range.last))?;
        check_ranges(&new.ranges, None..new.cursor, None, now)?;
        self.may_have_job(&new.key.tenant)?;
        let schedule = Schedule {
            key: self.common.name(new.key),
            uid,
            version: 1,
            source: new.source,
            def: self.common.definition(new.def),
            cursor: new.cursor,
            due_at: new.due_at,
            trigger_state: new.trigger_state,
            last_fire: new.ranges.last().map(|range| range.last),
            accounted_from: new.cursor,
            pause: None,
            parked: new.parked,
            max_instances: new.max_instances,
            rules: new.rules,
            failures: 0,
            begun: None,
            history: new.history,
            created_at: now,
            last_run: None,
        };
        let mut last_fire = None;
        for range in new.ranges {
            self.add_range(&schedule, &mut last_fire, range, now, fx);
        }
        self.keep_whole(schedule.clone(), fx);
        Ok(schedule)
    }

    fn replace(&mut self, old: &Schedule, new: NewSchedule, fx: &mut Effects) -> Result<Schedule> {
        let (cursor, due_at, trigger_state) = if new.keep_cursor {
            (old.cursor, old.due_at, old.trigger_state.clone())
        } else {
            check_cursor(new.cursor, new.due_at, old.last_fire)?;
            (new.cursor, new.due_at, new.trigger_state)
        };
        let accounted_from = if cursor == old.cursor { old.accounted_from } else { cursor };
        let schedule = Schedule {
            accounted_from,
            version: old.version + 1,
            source: new.source,
            def: self.common.definition(new.def),
            cursor,
            due_at,
            trigger_state,
            parked: new.parked,
            max_instances: new.max_instances,
            rules: new.rules,
            history: new.history,
            ..old.clone()
        };
        self.keep_whole(schedule.clone(), fx);
        self.fill_slots(&schedule.key, schedule.uid, fx);
        Ok(schedule)
    }

    /// Changes parts of a schedule. Answers its new version.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` when it does not have the version `expect`; `Invalid` when the
    /// cursor would go back to a fire time that is accounted for.
    pub fn patch(
        &mut self,
        job: &JobKey,
        expect: Option<u64>,
        patch: Patch,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<u64> {
        let old = self
            .schedules
            .get(job)
            .map(Arc::clone)
            .ok_or_else(|| StoreError::NotFound(format!("job {job}")))?;
        match expect {
            Some(version) if old.version == version + 1 && is_applied(&old, &patch) => {
                return Ok(old.version);
            }
            Some(version) if old.version != version => {
                return Err(StoreError::Conflict { current: old.version });
            }
            Some(_) | None => (),
        }
        let mut schedule = Schedule::clone(&old);
        if let Some((cursor, due_at)) = patch.cursor {
            check_ranges(&patch.ranges, old.cursor..cursor, old.last_fire, now)?;
            let last_fire = patch.ranges.last().map(|range| range.last).max(old.last_fire);
            check_cursor(cursor, due_at, last_fire)?;
            if patch.ranges.is_empty() && cursor != old.cursor {
                schedule.accounted_from = cursor;
            }
            (schedule.cursor, schedule.due_at) = (cursor, due_at);
        } else if !patch.ranges.is_empty() {
            return Err(StoreError::Invalid("ranges without a cursor that passes them".into()));
        }
        schedule.version += 1;
        schedule.pause = patch.pause.unwrap_or(schedule.pause);
        schedule.parked = patch.parked.unwrap_or(schedule.parked);
        let mut last_fire = schedule.last_fire;
        for range in patch.ranges {
            self.add_range(&schedule, &mut last_fire, range, now, fx);
        }
        schedule.last_fire = last_fire;
        let version = schedule.version;
        let schedule = Arc::new(schedule);
        fx.write(Write::Schedule(Arc::clone(&schedule), Extent::Position));
        self.schedules.put(schedule);
        fx.tell(Change::Job(job.clone()));
        Ok(version)
    }

    /// Removes a schedule. Answers whether there was one.
    ///
    /// # Errors
    ///
    /// `Conflict` when it does not have the version `expect`.
    pub fn remove(
        &mut self,
        job: &JobKey,
        expect: Option<u64>,
        live: LiveRuns,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<bool> {
        let Some(schedule) = self.schedules.get(job).map(Arc::clone) else { return Ok(false) };
        if expect.is_some_and(|version| version != schedule.version) {
            return Err(StoreError::Conflict { current: schedule.version });
        }
        self.schedules.remove(job);
        self.newest_range.remove(&schedule.uid);
        fx.write(Write::ScheduleGone(job.clone()));
        fx.tell(Change::Job(job.clone()));
        match live {
            LiveRuns::Keep => (),
            LiveRuns::Cancel => self.cancel_all_of(job, now, fx),
        }
        Ok(true)
    }

    /// Active schedules whose time has come, and when the next one is due.
    ///
    /// # Errors
    ///
    /// `Fenced` when the session is over.
    pub fn due(
        &mut self,
        session: SessionId,
        now: Timestamp,
        max: usize,
        fx: &mut Effects,
    ) -> Result<Due> {
        known(&self.sessions, session)?;
        self.wake(now, fx);
        let mut schedules = Vec::new();
        let mut next_due = self.next_wake();
        for (due_at, schedule) in self.schedules.by_due() {
            if now < due_at || max <= schedules.len() {
                next_due = Some(next_due.map_or(due_at, |other| other.min(due_at)));
                break;
            }
            schedules.push(Arc::clone(schedule));
        }
        Ok(Due { now, schedules, next_due })
    }

    fn keep_whole(&mut self, schedule: Schedule, fx: &mut Effects) {
        let schedule = Arc::new(schedule);
        fx.write(Write::Schedule(Arc::clone(&schedule), Extent::Whole));
        fx.tell(Change::Job(schedule.key.clone()));
        self.schedules.put(schedule);
    }
}

/// Whether a patch has been applied before: its answer was lost.
fn is_applied(schedule: &Schedule, patch: &Patch) -> bool {
    patch.pause.as_ref().is_none_or(|pause| *pause == schedule.pause)
        && patch.parked.as_ref().is_none_or(|parked| *parked == schedule.parked)
        && patch.cursor.is_none_or(|cursor| cursor == (schedule.cursor, schedule.due_at))
}

/// A cursor has a due time, not before it, and lies after what is accounted for.
pub(super) fn check_cursor(
    cursor: Option<Timestamp>,
    due_at: Option<Timestamp>,
    last_fire: Option<Timestamp>,
) -> Result<()> {
    match (cursor, due_at) {
        (None, None) => return Ok(()),
        (Some(cursor), Some(due_at)) if cursor <= due_at => (),
        (None, Some(_)) | (Some(_), _) => {
            return Err(StoreError::Invalid(
                "a cursor and its due time go together, and it is not due before itself".into(),
            ));
        }
    }
    if cursor <= last_fire {
        return Err(StoreError::Invalid("the cursor may not go back to the last fire time".into()));
    }
    Ok(())
}

/// Ranges ascend, hold only what is past and not accounted for, and lie within the cursor's move.
/// An open end of the move is `None`.
pub(super) fn check_ranges(
    ranges: &[Range],
    cursor: std::ops::Range<Option<Timestamp>>,
    last_fire: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let mut last = last_fire;
    for range in ranges {
        let is_sound = range.first <= range.last
            && 0 < range.count
            && range.verdict != Verdict::Ran
            && last < Some(range.first)
            && cursor.start <= Some(range.first)
            && cursor.end.is_none_or(|end| range.last < end)
            && range.last <= now;
        if !is_sound {
            return Err(StoreError::Invalid(format!(
                "the range from {} to {} is empty, not past, or does not fit what is beside it",
                range.first, range.last
            )));
        }
        last = Some(range.last);
    }
    Ok(())
}
