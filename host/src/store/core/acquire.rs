//! The step that takes queued runs: whose turn it is, and whether they may begin.
//!
//! One sweep over the tenants that wait, by their tags: each time the next one is asked for its best
//! run that may begin here and now. Being served moves a tenant back, so that the sweep comes by
//! again.

use std::collections::HashMap;
use std::sync::Arc;

use super::effects::Effects;
use super::live::{Dropped, Noted, claim_of};
use super::queues::Line;
use super::{Core, Place, known};
use crate::job::names::TenantId;
use crate::record::account::{Admission, UsedUp};
use crate::record::room::Room;
use crate::record::step::{Acquire, Claim, MAX_ACQUIRE};
use crate::run::id::SessionId;
use crate::run::outcome::RunError;
use crate::run::{Run, RunKey, Verdict, reason};
use crate::store::Result;
use crate::time::Timestamp;

/// Runs of one tenant that are passed over at most before one is found that may begin.
pub const MAX_PASSED: usize = 32;
/// Runs that get another verdict, or another time, in one step at most.
pub const MAX_REFUSED: usize = 256;
/// Of those so many of one tenant at its turn: others are not to wait for what it piled up.
pub const MAX_REFUSED_AT_ONCE: usize = 32;

impl Core {
    /// Takes queued runs of the classes wanted that there is room for.
    ///
    /// # Errors
    ///
    /// `Fenced` when the session is over.
    pub fn acquire(
        &mut self,
        session: SessionId,
        want: &Acquire,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Vec<Claim>> {
        known(&self.sessions, session)?;
        self.wake(now, fx);
        let mut room = want.room.clone();
        let mut claims = Vec::new();
        let mut lines: HashMap<TenantId, Line> = HashMap::new();
        let mut refused = 0;
        let mut last = None;
        while claims.len() < MAX_ACQUIRE && 0 < room.free.slots {
            let Some(turn) = self.accounts.next_turn(last.as_ref()) else { break };
            let tenant = turn.1.clone();
            let accounts = &self.accounts;
            let line = lines.entry(tenant.clone()).or_insert_with(|| {
                self.queues.line(&tenant, want, |queue| accounts.is_full(queue))
            });
            if let Some(key) = self.next_of(&tenant, line, &room, &mut refused, now, fx) {
                claims.extend(self.claim(&key, session, &mut room, now, fx));
            }
            last = Some(turn);
        }
        if MAX_REFUSED_AT_ONCE <= refused {
            // There may be more that can begin: all look again.
            fx.tell_queued();
        }
        Ok(claims)
    }

    /// The best run of a tenant that may begin. What may not in this window of the clock is refused,
    /// or put off until the next.
    fn next_of(
        &mut self,
        tenant: &TenantId,
        line: &mut Line,
        room: &Room,
        refused: &mut usize,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Option<RunKey> {
        if self.accounts.must_wait(tenant, now) {
            return None;
        }
        let (mut passed, begin) = (0, *refused);
        while passed < MAX_PASSED && *refused < MAX_REFUSED.min(begin + MAX_REFUSED_AT_ONCE) {
            let key = RunKey { tenant: tenant.clone(), run: self.queues.next_of(tenant, line)? };
            let Some(live) = self.live.get(&key) else { continue };
            let run = Arc::clone(&live.run);
            if self.accounts.is_full(&run.queue) || !room.admits(tenant, run.memory) {
                passed += 1;
                continue;
            }
            if let Some(until) = self.rate_full_until(&run, now) {
                self.put_off(&run, until, Some(reason::RATE_LIMIT), fx);
                *refused += 1;
                continue;
            }
            match self.accounts.judge(&run, now) {
                Admission::Free => return Some(key),
                Admission::Wait(_) => passed += 1,
                Admission::UsedUp(used_up) => {
                    *refused += 1;
                    match run.verdict {
                        None => self.drop_live(&run, over(used_up), None, now, fx),
                        Some(_) => self.put_off(&run, used_up.frees_at, None, fx),
                    }
                }
            }
        }
        None
    }

    fn claim(
        &mut self,
        key: &RunKey,
        session: SessionId,
        room: &mut Room,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Option<Claim> {
        let mut run = Run::clone(&self.live.get(key)?.run);
        room.take(&run.tenant, run.memory);
        self.begin_attempt(&mut run, session, now, fx);
        let run = Arc::new(run);
        self.move_to(Arc::clone(&run), Place::Held(session));
        fx.run(&run);
        let job = run.job_key();
        let is_rated = |rules: &crate::record::Rules| rules.rate_limit.is_some();
        if self.schedules.get(&job).is_some_and(|schedule| is_rated(&schedule.rules)) {
            self.change(&job, |schedule| Self::count_begun(schedule, &run, now), fx);
        }
        self.note(&run, Noted::Moved, now, fx);
        let schedule = self.schedules.get(&job).map(Arc::clone);
        Some(claim_of(run, schedule))
    }

    /// Lets a ready run wait for a time; it keeps its slot.
    fn put_off(
        &mut self,
        run: &Run,
        until: Timestamp,
        reason: Option<&'static str>,
        fx: &mut Effects,
    ) {
        let mut run = run.clone();
        run.not_before = Some(until);
        run.reason = reason.map(Into::into).or(run.reason);
        let run = Arc::new(run);
        self.move_to(Arc::clone(&run), Place::Later(until));
        fx.run(&run);
    }
}

/// The end of a run that did not begin.
fn over(used_up: UsedUp) -> Dropped {
    Dropped {
        verdict: Verdict::Quota,
        reason: used_up.key.as_str().into(),
        error: Some(RunError { message: used_up.to_string(), retryable: false }),
    }
}
