//! Steps on sessions: opened, renewed, ended, and what becomes of the runs that one held.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::effects::{Effects, Write};
use super::live::Noted;
use super::runs::current_fence;
use super::{Core, Holder, Place, known};
use crate::job::Delivery;
use crate::record::step::{Attached, Beat, Pulse, Reaped, RunProgress};
use crate::record::used::{Bucket, Used};
use crate::record::{HostInfo, HostRecord, Session};
use crate::run::id::SessionId;
use crate::run::outcome::Outcome;
use crate::run::{Run, RunKey, RunState};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

impl Core {
    /// Opens the session `id` and reaps every older one: one process schedules on this store, and
    /// it has just begun another life.
    ///
    /// # Errors
    ///
    /// `Unfit` while an import has not ended.
    pub fn attach(
        &mut self,
        id: SessionId,
        info: HostInfo,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Attached> {
        self.check_complete()?;
        let older: BTreeSet<SessionId> = self.sessions.keys().copied().collect();
        let mut reaped = Reaped::default();
        for old in older {
            self.end_session(old, now, &mut reaped, fx);
        }
        let session = Session { id, host: info.host.clone(), generation: self.generation };
        fx.write(Write::Session(session.clone()));
        self.sessions.insert(id, Holder::new(session.clone(), info, now));
        Ok(Attached { session, reaped })
    }

    /// Renews a session.
    ///
    /// # Errors
    ///
    /// `Fenced` when it is over.
    pub fn beat(
        &mut self,
        id: SessionId,
        pulse: Pulse,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Beat> {
        let holder = self.sessions.get_mut(&id).ok_or(StoreError::Fenced)?;
        holder.counter += 1;
        holder.beat_at = now;
        if let Some(info) = pulse.info {
            holder.info = info;
        }
        let cancels = holder
            .runs
            .iter()
            .filter_map(|key| {
                let why = self.live.get(key)?.run.cancel.clone()?;
                Some((key.clone(), why))
            })
            .collect();
        let fence = |key: &RunKey| current_fence(&self.live.get(key)?.run);
        let held = holder.runs.iter().filter_map(|key| Some((key.clone(), fence(key)?))).collect();
        for step in pulse.progress {
            self.note_progress(id, step, fx);
        }
        let mut peers: Vec<(Session, u64)> = self
            .sessions
            .values()
            .filter(|holder| holder.session.id != id)
            .map(|holder| (holder.session.clone(), holder.counter))
            .collect();
        peers.sort_by_key(|(session, _)| session.id);
        Ok(Beat { cancels, held, peers })
    }

    /// Every open session, by the name of its host.
    pub fn hosts(&self) -> Vec<HostRecord> {
        let mut hosts: Vec<HostRecord> = self.sessions.values().map(Holder::record).collect();
        hosts.sort_by(|a, b| (&a.info.host, a.session.id).cmp(&(&b.info.host, b.session.id)));
        hosts
    }

    /// Progress of a run that is no longer held is let go.
    fn note_progress(&mut self, id: SessionId, step: RunProgress, fx: &mut Effects) {
        let Some(live) = self.live.get_mut(&step.run) else { return };
        if live.place == Place::Held(id)
            && current_fence(&live.run) == Some(step.fence)
            && live.run.progress.as_ref() != Some(&step.progress)
        {
            Arc::make_mut(&mut live.run).progress = Some(step.progress);
            fx.run(&live.run);
        }
    }

    /// Ends the session of a dead host whose counter still stands at `seen`.
    ///
    /// # Errors
    ///
    /// `Fenced` when the caller's own session is over; `Conflict` when the other one lives.
    pub fn reap(
        &mut self,
        id: SessionId,
        peer: SessionId,
        seen: u64,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Reaped> {
        known(&self.sessions, id)?;
        let mut reaped = Reaped::default();
        match self.sessions.get(&peer) {
            Some(holder) if holder.counter != seen => {
                Err(StoreError::Conflict { current: holder.counter })
            }
            Some(_) | None => {
                self.end_session(peer, now, &mut reaped, fx);
                Ok(reaped)
            }
        }
    }

    /// Ends the own session; one that is over already stays so.
    pub fn detach(&mut self, id: SessionId, now: Timestamp, fx: &mut Effects) {
        self.end_session(id, now, &mut Reaped::default(), fx);
    }

    fn end_session(
        &mut self,
        id: SessionId,
        now: Timestamp,
        reaped: &mut Reaped,
        fx: &mut Effects,
    ) {
        let Some(holder) = self.sessions.remove(&id) else { return };
        fx.write(Write::SessionGone(id));
        for key in holder.runs {
            let Some(live) = self.live.get(&key) else { continue };
            let run = Run::clone(&live.run);
            self.hand_back(key, run, now, reaped, fx);
        }
    }

    /// Queues a run again whose host is gone, or ends it.
    fn hand_back(
        &mut self,
        key: RunKey,
        mut run: Run,
        now: Timestamp,
        reaped: &mut Reaped,
        fx: &mut Effects,
    ) {
        let is_spent = match run.delivery {
            Delivery::AtMostOnce => true,
            Delivery::AtLeastOnce => run.max_rescues <= run.rescues,
        };
        let (outcome, list) = if run.cancel.is_some() {
            (Outcome::Cancelled, &mut reaped.cancelled)
        } else if is_spent {
            (Outcome::Abandoned, &mut reaped.abandoned)
        } else {
            (Outcome::Abandoned, &mut reaped.rescued)
        };
        list.push(key);
        self.accounts.release(&mut run, None, now, fx);
        if let Some(attempt) = run.attempts.last_mut() {
            attempt.finished_at = Some(now);
            attempt.outcome = Some(outcome);
            let used = Used::by_attempt(&attempt.usage);
            fx.write(Write::Spent(Bucket::at(&run.job_key(), now), used));
        }
        if run.cancel.is_some() || is_spent {
            self.end_as(run, outcome, now, fx);
            return;
        }
        run.rescues += 1;
        run.state = RunState::Queued;
        let run = Arc::new(run);
        self.move_to(Arc::clone(&run), Place::Ready);
        fx.run(&run);
        fx.tell_queued();
        self.note(&run, Noted::Moved, now, fx);
    }
}
