//! Arguments and answers of the scripts that make, take and end runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{PlanRow, unreadable};
use crate::job::Delivery;
use crate::job::names::{HandlerName, JobId, PluginName, QueueName, TenantId};
use crate::job::quota::MAX_QUOTA;
use crate::record::TriggerState;
use crate::record::room::{Amount, Room};
use crate::record::step::{Disposition, FireIntent, PlannedFire};
use crate::run::admitted::Admitted;
use crate::run::id::{Fence, RunId, Uid};
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{Progress, Range, Reason, Run, RunKey, StartBy};
use crate::store::Result;
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
    pub(in crate::store::redis) fires: Vec<FireRow<'a>>,
    pub(in crate::store::redis) ranges: &'a [Range],
    pub(in crate::store::redis) cursor: Option<Timestamp>,
    pub(in crate::store::redis) due_at: Option<Timestamp>,
    pub(in crate::store::redis) trigger_state: &'a TriggerState,
    pub(in crate::store::redis) claim: usize,
}

/// A fire: the run's id, its fire time, when it was due, its reason, what it covers, by when it must
/// start, whether it waits for a slot, and what it takes over from its job when that is not what the
/// one before took over.
#[derive(Serialize)]
pub(in crate::store::redis) struct FireRow<'a>(
    RunId,
    Timestamp,
    Timestamp,
    Option<&'a Reason>,
    u64,
    Option<&'a StartBy>,
    bool,
    Option<SpecRow<'a>>,
);

/// What a run takes over from its job.
#[derive(PartialEq, Serialize)]
struct SpecRow<'a> {
    plugin: &'a PluginName,
    handler: &'a HandlerName,
    queue: &'a QueueName,
    priority: u8,
    delivery: Delivery,
    max_rescues: u32,
    memory: u64,
}

fn fire_row<'a>(run: &'a Run, fire: &PlannedFire, before: Option<&PlannedFire>) -> FireRow<'a> {
    let spec = SpecRow {
        plugin: &run.plugin,
        handler: &run.handler,
        queue: &run.queue,
        priority: run.priority,
        delivery: run.delivery,
        max_rescues: run.max_rescues,
        memory: run.memory,
    };
    let is_same = before.is_some_and(|before| before.spec == fire.spec);
    FireRow(
        run.id,
        run.fire_time,
        run.due_at,
        run.reason.as_ref(),
        run.covers,
        run.start_by.as_ref(),
        fire.disposition == Disposition::Wait,
        (!is_same).then_some(spec),
    )
}

impl<'a> IntentRow<'a> {
    /// What makes `runs` of the intent's fires.
    pub(in crate::store::redis) fn new(intent: &'a FireIntent, runs: &'a [Run]) -> Self {
        let before = std::iter::once(None).chain(intent.fires.iter().map(Some));
        let fires = runs.iter().zip(&intent.fires).zip(before);
        Self {
            tenant: &intent.job.tenant,
            job: &intent.job.job,
            uid: intent.uid,
            version: intent.version,
            expect: intent.expect_cursor,
            fires: fires.map(|((run, fire), before)| fire_row(run, fire, before)).collect(),
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
    pub(in crate::store::redis) now: Timestamp,
    pub(in crate::store::redis) intents: Vec<FiredRow>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(in crate::store::redis) struct FiredRow {
    pub(in crate::store::redis) lost: bool,
    pub(in crate::store::redis) queued: Vec<RunId>,
    pub(in crate::store::redis) claimed: Vec<(RunId, Fence, Option<Reason>, Admitted)>,
    pub(in crate::store::redis) skipped: Vec<Timestamp>,
    pub(in crate::store::redis) over_quota: Vec<Timestamp>,
    pub(in crate::store::redis) schedule: ByteBuf,
}

/// A live run as it is kept: the run first, and then where it is.
pub(in crate::store::redis) struct LiveRow {
    /// Where it is.
    pub(in crate::store::redis) place: String,
    /// The session that holds it.
    pub(in crate::store::redis) holder: Option<String>,
    pub(in crate::store::redis) run: Run,
}

impl LiveRow {
    /// Reads one after the other.
    pub(in crate::store::redis) fn read(packed: &[u8]) -> Result<Self> {
        let mut rest = rmp_serde::Deserializer::new(packed);
        let unread = |error| unreadable("a live run", error);
        let run = Run::deserialize(&mut rest).map_err(unread)?;
        let place = Deserialize::deserialize(&mut rest).map_err(unread)?;
        let holder = Deserialize::deserialize(&mut rest).map_err(unread)?;
        Ok(Self { place, holder, run })
    }
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
    pub(in crate::store::redis) run: ByteBuf,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct AcquireArgs<'a> {
    pub(in crate::store::redis) digest: &'a str,
    pub(in crate::store::redis) serves: Option<Vec<String>>,
    pub(in crate::store::redis) most: usize,
    pub(in crate::store::redis) room: RoomRow<'a>,
}

/// Room on a host: slots and memory that are free, are missing, are kept at most, of a share; the most
/// memory of one run; what each tenant has.
#[derive(Serialize)]
pub(in crate::store::redis) struct RoomRow<'a>([u64; 9], BTreeMap<&'a TenantId, (u64, u64)>);

impl<'a> RoomRow<'a> {
    /// Numbers beyond what Lua holds exactly are without end.
    pub(in crate::store::redis) fn of(room: &'a Room) -> Self {
        let exact = |number: u64| number.min(MAX_QUOTA);
        let both = |amount: &Amount| (exact(amount.slots), exact(amount.memory));
        let Room { free, missing, most_kept, share, held, most_memory } = room;
        let [free, missing, kept, share] = [free, missing, most_kept, share].map(both);
        let most = exact(*most_memory);
        let numbers =
            [free.0, free.1, missing.0, missing.1, kept.0, kept.1, share.0, share.1, most];
        Self(numbers, held.iter().map(|(tenant, held)| (tenant, both(held))).collect())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::store::redis) struct AcquireAnswer {
    pub(in crate::store::redis) unknown: bool,
    pub(in crate::store::redis) runs: Vec<ByteBuf>,
    pub(in crate::store::redis) plans: Vec<PlanRow>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct FinishArgs {
    pub(in crate::store::redis) ends: Vec<EndRow>,
}

/// The end of an attempt: the run's id and tenant, the fence, the outcome, how many log lines and
/// bytes of them go with it, what it used, and what not every end has.
#[derive(Clone, Serialize)]
pub(in crate::store::redis) struct EndRow(
    pub(in crate::store::redis) RunId,
    pub(in crate::store::redis) TenantId,
    pub(in crate::store::redis) Fence,
    pub(in crate::store::redis) Outcome,
    pub(in crate::store::redis) usize,
    pub(in crate::store::redis) usize,
    pub(in crate::store::redis) Usage,
    pub(in crate::store::redis) Said,
);

/// What not every end of an attempt has.
#[derive(Clone, Serialize)]
pub(in crate::store::redis) struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store::redis) result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store::redis) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store::redis) retry_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store::redis) error: Option<RunError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store::redis) progress: Option<Progress>,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct FinishAnswer {
    pub(in crate::store::redis) ends: Vec<State>,
}

#[derive(Default, Deserialize)]
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
