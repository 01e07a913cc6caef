//! Fires: what a planner decided, made so.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::RedisStore;
use super::scripts::Script;
use super::wire::{self, PlanRow};
use crate::record::step::{Claim, Disposition, FireIntent, Fired};
use crate::record::{Schedule, Session};
use crate::run::Run;
use crate::store::Result;
use crate::store::core::fire::{check, queued_run};
use crate::time::Timestamp;

/// Intents handed to one call of the script.
const FIRES_AT_ONCE: usize = 100;

impl RedisStore {
    pub(super) async fn fire_some(
        &self,
        session: &Session,
        intents: &[FireIntent],
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        let rows = intents.iter().map(|intent| {
            let fires = intent.fires.iter().map(|fire| wire::FireRow {
                wait: fire.disposition == Disposition::Wait,
                run: queued_run(&intent.job, intent.uid, fire.clone(), now),
            });
            wire::IntentRow::new(intent, fires.collect())
        });
        let args = wire::FireArgs { intents: rows.collect() };
        let answer: wire::FireAnswer =
            self.link.call(Script::Fire, Self::caller(session, now), &args, b"").await?;
        let mut fired = Vec::with_capacity(intents.len());
        for (row, intent) in answer.intents.into_iter().zip(intents) {
            if row.lost {
                fired.push(Fired::Lost);
                continue;
            }
            let schedule = if row.claimed.is_empty() {
                None
            } else {
                let name = ByteBuf::from(wire::job_name(&intent.job).into_bytes());
                self.schedule(&PlanRow(name, row.plan, row.last)).await?
            };
            if !intent.ranges.is_empty() || !row.skipped.is_empty() {
                self.rounds().grew(&intent.job);
            }
            let claim = |run: Run| claim_of(run, schedule.clone());
            fired.push(Fired::Done {
                queued: row.queued,
                claimed: row.claimed.into_iter().map(claim).collect(),
                skipped: row.skipped,
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
        for some in intents.chunks(FIRES_AT_ONCE) {
            fired.extend(self.fire_some(session, some, now).await?);
        }
        Ok(fired)
    }
}

pub(super) fn claim_of(run: Run, schedule: Option<Arc<Schedule>>) -> Claim {
    Claim {
        fence: run.attempts.last().map_or(0, |attempt| attempt.fence),
        run: Arc::new(run),
        schedule,
    }
}
