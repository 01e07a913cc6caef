//! The compare-and-set by which a job's cursor moves, and what stands for the fire times it passes.

use std::sync::Arc;

use super::effects::{Effects, Extent, KeptRange, Write};
use super::live::{Noted, claim_of, last_run_after};
use super::schedules::{check_cursor, check_ranges};
use super::{Core, Place, known};
use crate::job::{JobKey, Overlap};
use crate::record::Schedule;
use crate::record::account::Admission;
use crate::record::step::{
    Change, Disposition, FireIntent, Fired, MAX_FIRES_PER_INTENT, PlannedFire,
};
use crate::run::id::{RunId, SessionId, Uid};
use crate::run::usage::Usage;
use crate::run::{Cause, Range, Run, RunKey, RunState, Verdict, reason};
use crate::store::error::StoreError;
use crate::store::{Result, run_id_of_fire};
use crate::time::Timestamp;

/// What becomes of a planned fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It has a slot of its job.
    Slot,
    /// It waits for one.
    Backlog,
    /// It never becomes a run, for this reason.
    Skip(Verdict, &'static str),
}

/// What stands for a fire time, or for a stretch of them.
enum Entry {
    Fire(PlannedFire, Fate),
    Range(Range),
}

impl Entry {
    fn first(&self) -> Timestamp {
        match self {
            Self::Fire(fire, _) => fire.fire_time,
            Self::Range(range) => range.first,
        }
    }
}

impl Core {
    /// Moves the cursors of jobs, each intent whole or not at all.
    ///
    /// # Errors
    ///
    /// `Fenced` when the session is over; `Invalid` when an intent is early, out of order, or leaves
    /// a fire time out. Then nothing at all was done.
    pub fn fire(
        &mut self,
        session: SessionId,
        intents: Vec<FireIntent>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Vec<Fired>> {
        known(&self.sessions, session)?;
        for intent in &intents {
            check(intent, now)?;
        }
        self.wake(now, fx);
        Ok(intents.into_iter().map(|intent| self.fire_one(session, intent, now, fx)).collect())
    }

    fn fire_one(
        &mut self,
        session: SessionId,
        intent: FireIntent,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Fired {
        let Some(place) = self.schedules.find(&intent.job) else { return Fired::Lost };
        let Some(old) = self.schedules.at(place).map(Arc::clone) else { return Fired::Lost };
        let may_run = old.pause.is_none() && old.parked.is_none();
        if (old.uid, old.version, old.cursor)
            != (intent.uid, intent.version, Some(intent.expect_cursor))
            || !(may_run || intent.fires.is_empty())
        {
            return Fired::Lost;
        }

        self.make_room(&old, &intent.fires, now, fx);
        let Some(old) = self.schedules.at(place).map(Arc::clone) else { return Fired::Lost };
        let (mut runs, mut skipped, mut over_quota) = (Vec::new(), Vec::new(), Vec::new());
        let mut last_fire = old.last_fire;
        for entry in self.entries(&old, intent.fires, intent.ranges, now) {
            match entry {
                Entry::Range(range) => self.add_range(&old, &mut last_fire, range, now, fx),
                Entry::Fire(fire, Fate::Skip(verdict, why)) => {
                    match verdict {
                        Verdict::Quota => over_quota.push(fire.fire_time),
                        _ => skipped.push(fire.fire_time),
                    }
                    let range = skipped_range(fire.fire_time, verdict, why);
                    self.add_range(&old, &mut last_fire, range, now, fx);
                }
                Entry::Fire(fire, fate) => {
                    last_fire = Some(fire.fire_time);
                    runs.push((queued_run(&old.key, old.uid, fire, now), fate));
                }
            }
        }

        let mut schedule = Schedule::clone(&old);
        schedule.cursor = intent.new_cursor;
        schedule.due_at = intent.new_due_at;
        schedule.trigger_state = intent.trigger_state;
        schedule.last_fire = last_fire;
        let (mut queued, mut claimed) = (Vec::new(), Vec::new());
        for (mut run, fate) in runs {
            let is_claimed = claimed.len() < intent.claim
                && fate == Fate::Slot
                && run.reason.as_deref() != Some(reason::NO_PLUGIN)
                && !self.accounts.is_full(&run.queue)
                // Those that were put off by it go first.
                && schedule.rules.rate_limit.is_none()
                && self.accounts.judge(&run, now) == Admission::Free;
            if is_claimed {
                self.begin_attempt(&mut run, session, now, fx);
                Self::count_begun(&mut schedule, &run, now);
            }
            if let Some(last) = last_run_after(schedule.last_run.as_ref(), &run, Noted::Made, now) {
                schedule.last_run = Some(last);
            }
            let run = Arc::new(run);
            fx.run(&run);
            let place = match (is_claimed, fate) {
                (true, _) => Place::Held(session),
                (false, Fate::Slot) => Place::Ready,
                (false, Fate::Backlog | Fate::Skip(..)) => Place::Backlog,
            };
            if fate == Fate::Slot {
                self.queues.take_slot(&run);
            }
            if is_claimed {
                claimed.push(Arc::clone(&run));
            } else {
                queued.push(run.id);
            }
            self.insert_live(run, place, 0);
        }
        let schedule = Arc::new(schedule);
        fx.write(Write::Schedule(Arc::clone(&schedule), Extent::Position));
        fx.tell(Change::Fired(intent.job));
        if !queued.is_empty() {
            fx.tell_queued();
        }
        let claim = |run| claim_of(run, Some(Arc::clone(&schedule)));
        let claimed = claimed.into_iter().map(claim).collect();
        self.schedules.put_at(place, schedule);
        Fired::Done { queued, claimed, skipped, over_quota }
    }

    /// With `overlap = "replace"`, ends what stands in the way of a new fire at the limit: what
    /// waits is over at once, the oldest that runs is asked to stop.
    fn make_room(
        &mut self,
        schedule: &Schedule,
        fires: &[PlannedFire],
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let limit = usize::try_from(schedule.max_instances).unwrap_or(usize::MAX);
        let wants = fires.iter().filter(|fire| fire.disposition == Disposition::Run).count();
        let missing = (self.queues.taken(schedule.uid) + wants).saturating_sub(limit);
        if schedule.rules.overlap != Overlap::Replace || missing == 0 {
            return;
        }
        let mut rivals: Vec<_> = self
            .queues
            .all(schedule.uid)
            .filter_map(|run| self.live.get(&RunKey { tenant: schedule.key.tenant.clone(), run }))
            .filter(|live| live.run.cause == Cause::Schedule && live.run.cancel.is_none())
            .map(|live| (live.run.verdict.is_some(), live.run.fire_time, live.run.key()))
            .collect();
        rivals.sort();
        for (_, _, key) in rivals.into_iter().take(missing) {
            self.stop(&key, "a newer fire took its place", reason::REPLACED, now, fx);
        }
    }

    /// What stands for the fire times passed, in order. What was to be coalesced into a run that is
    /// skipped is skipped with it.
    fn entries(
        &self,
        schedule: &Schedule,
        fires: Vec<PlannedFire>,
        ranges: Vec<Range>,
        now: Timestamp,
    ) -> Vec<Entry> {
        let limit = usize::try_from(schedule.max_instances).unwrap_or(usize::MAX);
        let mut free = limit.saturating_sub(self.queues.taken(schedule.uid));
        let rules = schedule.rules;
        let most = usize::try_from(rules.queue_limit).unwrap_or(usize::MAX);
        let mut waiting = self.queues.waiting(schedule.uid);
        let allotment = self.accounts.allotment(&schedule.key.tenant);
        let account = self.accounts.get(&schedule.key.tenant);
        let used_up = account.used_up(&allotment, true, now);
        let mut skipped: Vec<(RunId, Verdict, &'static str)> = Vec::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(fires.len() + ranges.len());
        for fire in fires {
            let fate = match (free, fire.disposition, rules.overlap) {
                _ if let Some(used_up) = used_up => {
                    Fate::Skip(Verdict::Quota, used_up.key.as_str())
                }
                (0, Disposition::Run, Overlap::Skip) => {
                    Fate::Skip(Verdict::Skipped, reason::MAX_INSTANCES)
                }
                (0, Disposition::Run, Overlap::Queue) if most <= waiting => {
                    Fate::Skip(Verdict::Skipped, reason::QUEUE_LIMIT)
                }
                (0, Disposition::Run, Overlap::Queue | Overlap::Replace)
                | (0, Disposition::Wait, _) => Fate::Backlog,
                (_, Disposition::Run | Disposition::Wait, _) => Fate::Slot,
            };
            match fate {
                Fate::Slot => free -= 1,
                Fate::Backlog => waiting += 1,
                Fate::Skip(verdict, why) => {
                    let id = run_id_of_fire(&schedule.key, schedule.uid, fire.fire_time);
                    skipped.push((id, verdict, why));
                }
            }
            entries.push(Entry::Fire(fire, fate));
        }
        entries.extend(ranges.into_iter().map(|range| {
            let skip = skipped.iter().find(|(id, ..)| range.into == Some(*id));
            Entry::Range(match skip {
                Some((_, verdict, why)) => {
                    Range { verdict: *verdict, reason: (*why).into(), into: None, ..range }
                }
                None => range,
            })
        }));
        entries.sort_by_key(Entry::first);
        entries
    }

    /// Adds a range to the ledger: as one of its own, or as growth of the range that is open.
    pub(super) fn add_range(
        &mut self,
        schedule: &Schedule,
        last_fire: &mut Option<Timestamp>,
        range: Range,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let adjacent = *last_fire;
        *last_fire = Some(range.last);
        if let Some(open) = self.newest_range.get_mut(&schedule.uid)
            && Some(open.range.last) == adjacent
            && (open.range.verdict, &open.range.reason, open.range.into, range.into)
                == (range.verdict, &range.reason, None, None)
        {
            open.range.last = range.last;
            open.range.count += range.count;
            open.noted_at = now;
            fx.write(Write::Range(open.clone()));
            return;
        }
        let id = self.next_range;
        self.next_range += 1;
        let (job, uid) = (schedule.key.clone(), schedule.uid);
        self.rounds.grew(&job);
        let kept = KeptRange { id, job, uid, range, noted_at: now };
        fx.write(Write::Range(kept.clone()));
        self.newest_range.insert(schedule.uid, kept);
    }
}

/// Whether the intent makes sense by itself: nothing early, everything in order within the cursor's
/// move, and the fire time at the cursor accounted for.
pub(in crate::store) fn check(intent: &FireIntent, now: Timestamp) -> Result<()> {
    let invalid = |what: &str| Err(StoreError::Invalid(format!("{}: {what}", intent.job)));
    if MAX_FIRES_PER_INTENT < intent.fires.len() || MAX_FIRES_PER_INTENT < intent.ranges.len() {
        return invalid("too many fires or ranges in one intent");
    }
    let span = Some(intent.expect_cursor)..intent.new_cursor;
    check_cursor(intent.new_cursor, intent.new_due_at, Some(intent.expect_cursor))?;
    check_ranges(&intent.ranges, span, None, now)?;
    if intent.fires.iter().any(|fire| now < fire.due_at || fire.due_at < fire.fire_time) {
        return invalid("a fire is not due yet");
    }
    let fires = intent.fires.iter().map(|fire| (fire.fire_time, fire.fire_time));
    let ranges = intent.ranges.iter().map(|range| (range.first, range.last));
    let mut spans: Vec<_> = fires.chain(ranges).collect();
    let is_ascending = spans.is_sorted_by(|a, b| a.1 < b.0);
    spans.sort_unstable();
    if !intent.fires.is_sorted_by(|a, b| a.fire_time < b.fire_time)
        || !(is_ascending || spans.is_sorted_by(|a, b| a.1 < b.0))
    {
        return invalid("fires and ranges overlap or do not ascend");
    }
    if spans.first().map(|(first, _)| *first) != Some(intent.expect_cursor) {
        return invalid("nothing stands for the fire time at the cursor");
    }
    if intent.new_cursor.is_some() && intent.new_cursor <= spans.last().map(|(_, last)| *last) {
        return invalid("the new cursor is not after all that it passes");
    }
    if intent.fires.iter().any(|fire| fire.covers == 0) {
        return invalid("a fire stands at least for itself");
    }
    Ok(())
}

fn skipped_range(fire_time: Timestamp, verdict: Verdict, why: &'static str) -> Range {
    Range { verdict, reason: why.into(), first: fire_time, last: fire_time, count: 1, into: None }
}

pub(in crate::store) fn queued_run(
    job: &JobKey,
    uid: Uid,
    fire: PlannedFire,
    now: Timestamp,
) -> Run {
    let spec = fire.spec;
    Run {
        id: run_id_of_fire(job, uid, fire.fire_time),
        tenant: job.tenant.clone(),
        job: job.job.clone(),
        uid,
        plugin: spec.plugin,
        handler: spec.handler,
        cause: Cause::Schedule,
        fire_time: fire.fire_time,
        due_at: fire.due_at,
        state: RunState::Queued,
        verdict: None,
        reason: Some(fire.reason),
        outcome: None,
        covers: fire.covers,
        attempt: 0,
        rescues: 0,
        attempts: Vec::new(),
        queue: spec.queue,
        priority: spec.priority,
        delivery: spec.delivery,
        max_rescues: spec.max_rescues,
        not_before: None,
        start_by: fire.start_by,
        queued_at: now,
        started_at: None,
        finished_at: None,
        args: None,
        result: None,
        error: None,
        progress: None,
        usage: Usage::default(),
        cancel: None,
        memory: spec.memory,
        admitted: None,
    }
}
