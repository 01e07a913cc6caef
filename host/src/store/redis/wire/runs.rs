//! Arguments and answers of the scripts that make, take and end runs.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::PlanRow;
use crate::job::names::{JobId, TenantId};
use crate::record::TriggerState;
use crate::record::step::FireIntent;
use crate::run::id::{Fence, RunId, Uid};
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{Progress, Range, Run, RunKey};
use crate::time::Timestamp;

#[derive(Serialize)]
pub(in crate::store::redis) struct FireArgs<'a> {
    pub(in crate::store::redis) intents: Vec<IntentRow<'a>>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct IntentRow<'a> {
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) job: &'a JobId,
    pub(in crate::store::redis) uid: Uid,
    pub(in crate::store::redis) version: u64,
    pub(in crate::store::redis) expect: Timestamp,
    pub(in crate::store::redis) fires: Vec<FireRow>,
    pub(in crate::store::redis) ranges: &'a [Range],
    pub(in crate::store::redis) cursor: Option<Timestamp>,
    pub(in crate::store::redis) due_at: Option<Timestamp>,
    pub(in crate::store::redis) trigger_state: &'a TriggerState,
    pub(in crate::store::redis) claim: usize,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct FireRow {
    pub(in crate::store::redis) run: Run,
    pub(in crate::store::redis) wait: bool,
}

impl<'a> IntentRow<'a> {
    pub(in crate::store::redis) fn new(intent: &'a FireIntent, fires: Vec<FireRow>) -> Self {
        Self {
            tenant: &intent.job.tenant,
            job: &intent.job.job,
            uid: intent.uid,
            version: intent.version,
            expect: intent.expect_cursor,
            fires,
            ranges: &intent.ranges,
            cursor: intent.new_cursor,
            due_at: intent.new_due_at,
            trigger_state: &intent.trigger_state,
            claim: intent.claim,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct FireAnswer {
    pub(in crate::store::redis) intents: Vec<FiredRow>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(in crate::store::redis) struct FiredRow {
    pub(in crate::store::redis) lost: bool,
    pub(in crate::store::redis) queued: Vec<RunId>,
    pub(in crate::store::redis) claimed: Vec<Run>,
    pub(in crate::store::redis) skipped: Vec<Timestamp>,
    pub(in crate::store::redis) plan: ByteBuf,
    pub(in crate::store::redis) last: ByteBuf,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct StartArgs<'a> {
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) job: &'a JobId,
    pub(in crate::store::redis) run: Run,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct StartAnswer {
    pub(in crate::store::redis) made: bool,
    pub(in crate::store::redis) run: Run,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct AcquireArgs {
    pub(in crate::store::redis) slots: usize,
    pub(in crate::store::redis) classes: Vec<String>,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct AcquireAnswer {
    pub(in crate::store::redis) runs: Vec<Run>,
    pub(in crate::store::redis) plans: Vec<PlanRow>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct FinishArgs<'a> {
    pub(in crate::store::redis) run: RunId,
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) fence: Fence,
    pub(in crate::store::redis) outcome: Outcome,
    pub(in crate::store::redis) result: Option<String>,
    pub(in crate::store::redis) error: Option<RunError>,
    pub(in crate::store::redis) usage: Usage,
    pub(in crate::store::redis) digest: Option<String>,
    pub(in crate::store::redis) progress: Option<Progress>,
    pub(in crate::store::redis) retry_at: Option<Timestamp>,
    pub(in crate::store::redis) lines: usize,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct State {
    pub(in crate::store::redis) state: String,
    #[serde(default)]
    pub(in crate::store::redis) ended: Option<JobId>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct RunArgs<'a> {
    pub(in crate::store::redis) run: RunId,
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) verdict: Option<crate::run::Verdict>,
    pub(in crate::store::redis) reason: Option<&'a str>,
    pub(in crate::store::redis) why: Option<&'a str>,
    pub(in crate::store::redis) fence: Option<Fence>,
    pub(in crate::store::redis) lines: Option<usize>,
}

impl<'a> RunArgs<'a> {
    pub(in crate::store::redis) fn of(key: &'a RunKey) -> Self {
        Self {
            run: key.run,
            tenant: &key.tenant,
            verdict: None,
            reason: None,
            why: None,
            fence: None,
            lines: None,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct Dropped {
    pub(in crate::store::redis) dropped: bool,
}
