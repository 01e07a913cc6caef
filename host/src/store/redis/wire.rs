//! What scripts are given and what they answer, as MessagePack maps.
//!
//! Names are those that the scripts use. Absent and `nil` are the same there, so every optional field
//! has a default here. The scripts read no MessagePack of kind `bin`: bytes go beside the maps, and
//! only come back within them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::fault::unreadable;
use crate::job::names::{JobId, TenantId};
use crate::job::{History, JobKey, Source};
use crate::record::step::{FireIntent, NewSchedule};
use crate::record::{HostInfo, LastRun, Pause, Rules, Schedule, TriggerState};
use crate::run::id::{Fence, RunId, SessionId, Uid};
use crate::run::outcome::{Outcome, RunError, Usage};
use crate::run::{Progress, Range, Run, RunKey, RunState};
use crate::store::Result;
use crate::time::Timestamp;

/// Writes `value` as the scripts read it.
pub(super) fn pack(value: &impl Serialize) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|error| unreadable("a call", error))
}

/// What a host says of itself, opaque to the scripts.
pub(super) fn info_text(info: &HostInfo) -> Result<String> {
    serde_json::to_string(info).map_err(|error| unreadable("a host's record", error))
}

/// Reads what a script, or a record, holds.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| unreadable("a record", error))
}

/// What goes with every call.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    pub(super) clock: &'static str,
    pub(super) now: Timestamp,
    pub(super) text: String,
    pub(super) r#gen: &'a str,
    pub(super) session: Option<SessionId>,
    pub(super) host: &'a str,
}

#[derive(Serialize)]
pub(super) struct AttachArgs {
    pub(super) schema: u32,
    pub(super) store_id: String,
    pub(super) server: String,
}

#[derive(Deserialize)]
pub(super) struct AttachAnswer {
    pub(super) r#gen: String,
}

#[derive(Serialize)]
pub(super) struct JoinArgs {
    pub(super) info: String,
    pub(super) schedules: bool,
}

/// Another session: its id, its host's name, its counter, whether it plans.
#[derive(Deserialize)]
pub(super) struct Peer(pub(super) SessionId, pub(super) String, pub(super) String, pub(super) bool);

#[derive(Serialize)]
pub(super) struct BeatArgs {
    pub(super) schedules: bool,
    pub(super) info: Option<String>,
    pub(super) progress: Vec<ProgressStep>,
}

#[derive(Serialize)]
pub(super) struct ProgressStep {
    pub(super) run: RunId,
    pub(super) tenant: TenantId,
    pub(super) fence: Fence,
    pub(super) progress: Progress,
}

#[derive(Deserialize)]
pub(super) struct BeatAnswer {
    pub(super) cancels: Vec<(RunId, TenantId, String)>,
    pub(super) held: Vec<(RunId, TenantId, Fence)>,
    pub(super) peers: Vec<Peer>,
}

/// The counter of a session that is ending.
pub(super) const DEAD: &str = "dead";

/// A counter as a number; one that is ending has the largest, which never changes.
pub(super) fn counter(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

/// The same as text.
pub(super) fn counter_text(counter: u64) -> String {
    if counter == u64::MAX { DEAD.to_owned() } else { counter.to_string() }
}

/// A session's record: what its host says, and when.
#[derive(Deserialize)]
pub(super) struct HostRow {
    #[serde(default)]
    pub(super) host: String,
    #[serde(default)]
    pub(super) info: Option<String>,
    pub(super) since: Timestamp,
    pub(super) beat_at: Timestamp,
    #[serde(default)]
    pub(super) offset: i64,
}

impl HostRow {
    pub(super) fn info(&self) -> Result<HostInfo> {
        match &self.info {
            Some(text) => {
                serde_json::from_str(text).map_err(|error| unreadable("a host's record", error))
            }
            None => Ok(HostInfo { host: self.host.clone(), ..HostInfo::default() }),
        }
    }
}

#[derive(Serialize)]
pub(super) struct EndArgs {
    pub(super) peer: Option<SessionId>,
    pub(super) seen: Option<String>,
    pub(super) most: usize,
}

#[derive(Deserialize)]
pub(super) struct EndAnswer {
    pub(super) rescued: Vec<(RunId, TenantId)>,
    pub(super) abandoned: Vec<(RunId, TenantId)>,
    pub(super) cancelled: Vec<(RunId, TenantId)>,
    pub(super) more: bool,
    #[serde(default)]
    pub(super) moved: Option<String>,
}

/// A schedule but for its name, its definition, and its last run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) uid: Uid,
    #[serde(default)]
    pub(super) version: u64,
    /// The version with which the definition was written.
    #[serde(default)]
    pub(super) def_version: u64,
    pub(super) source: Source,
    #[serde(default)]
    pub(super) cursor: Option<Timestamp>,
    #[serde(default)]
    pub(super) due_at: Option<Timestamp>,
    pub(super) trigger_state: TriggerState,
    #[serde(default)]
    pub(super) last_fire: Option<Timestamp>,
    #[serde(default)]
    pub(super) accounted_from: Option<Timestamp>,
    #[serde(default)]
    pub(super) pause: Option<Pause>,
    #[serde(default)]
    pub(super) parked: Option<String>,
    pub(super) max_instances: u32,
    pub(super) rules: Rules,
    pub(super) history: History,
    #[serde(default = "epoch")]
    pub(super) created_at: Timestamp,
}

fn epoch() -> Timestamp {
    Timestamp::from_secs(0)
}

impl Plan {
    /// The planning record of a job that is new.
    pub(super) fn of_new(new: &NewSchedule, uid: Uid) -> Self {
        Self {
            uid,
            version: 1,
            def_version: 1,
            source: new.source,
            cursor: new.cursor,
            due_at: new.due_at,
            trigger_state: new.trigger_state.clone(),
            last_fire: None,
            accounted_from: None,
            pause: None,
            parked: new.parked.clone(),
            max_instances: new.max_instances,
            rules: new.rules,
            history: new.history,
            created_at: epoch(),
        }
    }

    /// The whole schedule.
    pub(super) fn schedule(
        self,
        key: JobKey,
        last: Last,
        def: std::sync::Arc<crate::record::Definition>,
    ) -> Schedule {
        Schedule {
            key,
            uid: self.uid,
            version: self.version,
            source: self.source,
            def,
            cursor: self.cursor,
            due_at: self.due_at,
            trigger_state: self.trigger_state,
            last_fire: self.last_fire,
            accounted_from: self.accounted_from,
            pause: self.pause,
            parked: self.parked,
            max_instances: self.max_instances,
            rules: self.rules,
            failures: last.failures,
            history: self.history,
            created_at: self.created_at,
            last_run: last.last_run(),
        }
    }
}

/// A job's last run, and its failures in a row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Last {
    uid: Option<Uid>,
    failures: u32,
    run: Option<RunId>,
    at: Option<Timestamp>,
    state: Option<RunState>,
    outcome: Option<Outcome>,
    previous_success: Option<Timestamp>,
}

impl Last {
    fn last_run(&self) -> Option<LastRun> {
        Some(LastRun {
            run: self.run?,
            at: self.at?,
            state: self.state?,
            outcome: self.outcome,
            previous_success: self.previous_success,
        })
    }

    /// Reads a record that may be missing.
    pub(super) fn read(packed: &[u8], uid: Uid) -> Result<Self> {
        if packed.is_empty() {
            return Ok(Self::default());
        }
        let last: Self = unpack(packed)?;
        Ok(if last.uid == Some(uid) { last } else { Self::default() })
    }
}

#[derive(Serialize)]
pub(super) struct PutArgs<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) job: &'a JobId,
    pub(super) plan: Plan,
    pub(super) keep_cursor: bool,
    pub(super) ranges: &'a [Range],
    pub(super) on: &'static str,
    pub(super) version: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct PutAnswer {
    pub(super) kind: String,
    pub(super) plan: Plan,
    #[serde(default)]
    pub(super) last: Last,
}

#[derive(Serialize)]
pub(super) struct PatchArgs<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) job: &'a JobId,
    pub(super) expect: Option<u64>,
    pub(super) sets_pause: bool,
    pub(super) pause: Option<Pause>,
    pub(super) sets_parked: bool,
    pub(super) parked: Option<String>,
    pub(super) sets_cursor: bool,
    pub(super) cursor: Option<Timestamp>,
    pub(super) due_at: Option<Timestamp>,
    pub(super) ranges: Vec<Range>,
}

#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) version: u64,
}

#[derive(Serialize)]
pub(super) struct RemoveArgs<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) job: &'a JobId,
    pub(super) expect: Option<u64>,
    pub(super) cancel: bool,
}

#[derive(Deserialize)]
pub(super) struct RemoveAnswer {
    pub(super) removed: bool,
}

#[derive(Serialize)]
pub(super) struct DueArgs {
    pub(super) max: usize,
    /// Microseconds.
    pub(super) delay: u64,
}

#[derive(Deserialize)]
pub(super) struct DueAnswer {
    pub(super) now: Timestamp,
    #[serde(default)]
    pub(super) next: Option<Timestamp>,
    pub(super) items: Vec<PlanRow>,
}

/// A job as it is kept: its key, its planning record, its last run.
#[derive(Deserialize)]
pub(super) struct PlanRow(pub(super) ByteBuf, pub(super) ByteBuf, pub(super) ByteBuf);

#[derive(Serialize)]
pub(super) struct FireArgs<'a> {
    pub(super) intents: Vec<IntentRow<'a>>,
}

#[derive(Serialize)]
pub(super) struct IntentRow<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) job: &'a JobId,
    pub(super) uid: Uid,
    pub(super) version: u64,
    pub(super) expect: Timestamp,
    pub(super) fires: Vec<FireRow>,
    pub(super) ranges: &'a [Range],
    pub(super) cursor: Option<Timestamp>,
    pub(super) due_at: Option<Timestamp>,
    pub(super) trigger_state: &'a TriggerState,
    pub(super) claim: usize,
}

#[derive(Serialize)]
pub(super) struct FireRow {
    pub(super) run: Run,
    pub(super) wait: bool,
}

impl<'a> IntentRow<'a> {
    pub(super) fn new(intent: &'a FireIntent, fires: Vec<FireRow>) -> Self {
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
pub(super) struct FireAnswer {
    pub(super) intents: Vec<FiredRow>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct FiredRow {
    pub(super) lost: bool,
    pub(super) queued: Vec<RunId>,
    pub(super) claimed: Vec<Run>,
    pub(super) skipped: Vec<Timestamp>,
    pub(super) plan: ByteBuf,
    pub(super) last: ByteBuf,
}

#[derive(Serialize)]
pub(super) struct StartArgs<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) job: &'a JobId,
    pub(super) run: Run,
}

#[derive(Deserialize)]
pub(super) struct StartAnswer {
    pub(super) made: bool,
    pub(super) run: Run,
}

#[derive(Serialize)]
pub(super) struct AcquireArgs {
    pub(super) slots: usize,
    pub(super) classes: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct AcquireAnswer {
    pub(super) runs: Vec<Run>,
    pub(super) plans: Vec<PlanRow>,
}

#[derive(Serialize)]
pub(super) struct FinishArgs<'a> {
    pub(super) run: RunId,
    pub(super) tenant: &'a TenantId,
    pub(super) fence: Fence,
    pub(super) outcome: Outcome,
    pub(super) result: Option<String>,
    pub(super) error: Option<RunError>,
    pub(super) usage: Usage,
    pub(super) digest: Option<String>,
    pub(super) progress: Option<Progress>,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) lines: usize,
}

#[derive(Deserialize)]
pub(super) struct State {
    pub(super) state: String,
    #[serde(default)]
    pub(super) ended: Option<JobId>,
}

#[derive(Serialize)]
pub(super) struct RunArgs<'a> {
    pub(super) run: RunId,
    pub(super) tenant: &'a TenantId,
    pub(super) verdict: Option<crate::run::Verdict>,
    pub(super) reason: Option<&'a str>,
    pub(super) why: Option<&'a str>,
    pub(super) fence: Option<Fence>,
    pub(super) lines: Option<usize>,
}

impl<'a> RunArgs<'a> {
    pub(super) fn of(key: &'a RunKey) -> Self {
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
pub(super) struct Dropped {
    pub(super) dropped: bool,
}

/// An answer that says nothing.
#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Serialize)]
pub(super) struct DocArgs<'a> {
    pub(super) key: &'a str,
    pub(super) expect: Option<u64>,
    pub(super) remove: bool,
}

#[derive(Serialize)]
pub(super) struct CounterArgs<'a> {
    pub(super) key: &'a str,
    pub(super) by: String,
    pub(super) limit: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CounterAnswer {
    #[serde(default)]
    pub(super) value: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ForgetArgs {
    pub(super) runs: Vec<String>,
    pub(super) bodies: Vec<String>,
    pub(super) ranges: Vec<(u64, Timestamp)>,
}

#[derive(Deserialize)]
pub(super) struct ForgetAnswer {
    pub(super) records: u64,
    pub(super) bodies: u64,
}

/// A range as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RangeRow {
    pub(super) id: u64,
    pub(super) tenant: TenantId,
    pub(super) job: JobId,
    pub(super) uid: Uid,
    pub(super) range: Range,
    pub(super) noted_at: Timestamp,
}

/// One item of news, as hints and the feed carry it.
#[derive(Deserialize)]
pub(super) struct NewsItem(
    pub(super) String,
    #[serde(default)] pub(super) Option<String>,
    #[serde(default)] pub(super) Option<String>,
);

/// The key of a run's record.
pub(super) fn run_name(key: &RunKey) -> String {
    format!("{}{}", key.run, key.tenant)
}

/// The key of a job's records.
pub(super) fn job_name(key: &JobKey) -> String {
    format!("{}\0{}", key.tenant, key.job)
}

/// The job that has this key.
pub(super) fn job_of_name(name: &[u8]) -> Result<JobKey> {
    let wrong = || unreadable("a job's key", "it has no two parts");
    let text = std::str::from_utf8(name).map_err(|error| unreadable("a job's key", error))?;
    let (tenant, job) = text.split_once('\0').ok_or_else(wrong)?;
    Ok(JobKey {
        tenant: tenant.parse().map_err(|error| unreadable("a job's key", error))?,
        job: job.parse().map_err(|error| unreadable("a job's key", error))?,
    })
}

/// Times are written as text from this long before the epoch on: from 1906.
const BIAS_US: i64 = 2_000_000_000_000_000;

/// A time as text that sorts like the time, as the scripts write it.
pub(super) fn sortable(time: Timestamp) -> String {
    format!("{:016x}", time.micros().max(-BIAS_US) + BIAS_US)
}

/// The time that [`sortable`] wrote.
pub(super) fn unsortable(digits: &str) -> Option<Timestamp> {
    i64::from_str_radix(digits, 16).ok().map(|biased| Timestamp::from_micros(biased - BIAS_US))
}
