//! Fires: what a planner decided, made so.

use std::collections::HashMap;
use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::RedisStore;
use super::scripts::Script;
use super::wire::{self, PlanRow};
use crate::record::step::{Claim, FireIntent, Fired};
use crate::record::{Schedule, Session};
use crate::run::admitted::Admitted;
use crate::run::id::{Fence, RunId};
use crate::run::usage::Usage;
use crate::run::{Attempt, Reason, Run, RunState, Verdict};
use crate::store::Result;
use crate::store::core::fire::{check, queued_run};
use crate::time::Timestamp;

/// Intents handed to one call of the script at most.
const INTENTS_AT_ONCE: usize = 100;
/// Runs and ranges that one call makes at most, beyond what its last intent adds: the server does
/// nothing else meanwhile.
const ENTRIES_AT_ONCE: usize = 256;

impl RedisStore {
    pub(super) async fn fire_some(
        &self,
        session: &Session,
        intents: &[FireIntent],
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        let runs: Vec<Vec<Run>> = intents.iter().map(|intent| runs_of(intent, now)).collect();
        let rows =
            intents.iter().zip(&runs).map(|(intent, runs)| wire::IntentRow::new(intent, runs));
        let args = wire::FireArgs { intents: rows.collect() };
        let answer: wire::FireAnswer =
            self.link.call(Script::Fire, Self::caller(session, now), &args, b"").await?;
        let mut fired = Vec::with_capacity(intents.len());
        for ((row, intent), runs) in answer.intents.into_iter().zip(intents).zip(runs) {
            if row.lost {
                fired.push(Fired::Lost);
                continue;
            }
            let schedule = if row.claimed.is_empty() {
                None
            } else {
                let name = ByteBuf::from(wire::job_name(&intent.job).into_bytes());
                self.schedule(&PlanRow(name, row.schedule)).await?
            };
            let has_new = !row.skipped.is_empty() || !row.over_quota.is_empty();
            if has_new || !intent.ranges.is_empty() {
                self.rounds().grew(&intent.job);
            }
            let mut claims: HashMap<RunId, (Fence, Option<Reason>, Admitted)> = row
                .claimed
                .into_iter()
                .map(|(run, fence, reason, admitted)| (run, (fence, reason, admitted)))
                .collect();
            let claimed = runs.into_iter().filter_map(|run| {
                let (fence, reason, admitted) = claims.remove(&run.id)?;
                let run = Run { reason, admitted: Some(admitted), ..run };
                let run = begun(run, session, fence, answer.now);
                Some(claim_of(run, schedule.clone()))
            });
            fired.push(Fired::Done {
                queued: row.queued,
                claimed: claimed.collect(),
                skipped: row.skipped,
                over_quota: row.over_quota,
            });
        }
        Ok(fired)
    }

    pub(super) async fn fire(
        &self,
        session: &Session,
        intents: Vec<FireIntent>,
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        for intent in &intents {
            check(intent, now)?;
        }
        let mut fired = Vec::with_capacity(intents.len());
        let mut rest = intents.as_slice();
        while !rest.is_empty() {
            let (some, others) = rest.split_at(how_many(rest));
            fired.extend(self.fire_some(session, some, now).await?);
            rest = others;
        }
        Ok(fired)
    }
}

/// How many of `intents` go into one call; at least one, when there is one.
fn how_many(intents: &[FireIntent]) -> usize {
    let mut entries = 0;
    let fits = |intent: &&FireIntent| {
        let has_room = entries < ENTRIES_AT_ONCE;
        entries += intent.fires.len() + intent.ranges.len();
        has_room
    };
    intents.iter().take(INTENTS_AT_ONCE).take_while(fits).count()
}

fn runs_of(intent: &FireIntent, now: Timestamp) -> Vec<Run> {
    let fires = intent.fires.iter();
    fires.map(|fire| queued_run(&intent.job, intent.uid, fire.clone(), now)).collect()
}

/// The run as the script made it, and began its first attempt at `now`.
fn begun(run: Run, session: &Session, fence: Fence, now: Timestamp) -> Run {
    let attempt = Attempt {
        attempt: 1,
        fence,
        session: session.id,
        host: session.host.clone(),
        digest: None,
        started_at: now,
        finished_at: None,
        outcome: None,
        error: None,
        usage: Usage::default(),
    };
    Run {
        state: RunState::Running,
        verdict: Some(Verdict::Ran),
        attempt: 1,
        attempts: vec![attempt],
        queued_at: now,
        started_at: Some(now),
        ..run
    }
}

pub(super) fn claim_of(run: Run, schedule: Option<Arc<Schedule>>) -> Claim {
    Claim {
        fence: run.attempts.last().map_or(0, |attempt| attempt.fence),
        run: Arc::new(run),
        schedule,
    }
}
