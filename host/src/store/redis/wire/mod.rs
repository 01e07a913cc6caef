//! What scripts are given and what they answer, as MessagePack maps.
//!
//! Names are those that the scripts use. Absent and `nil` are the same there, so every optional field
//! has a default here. The scripts read no MessagePack of kind `bin`: bytes go beside the maps, and
//! only come back within them.

mod accounts;
mod plan;
mod runs;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub(in crate::store::redis) use accounts::*;
pub(in crate::store::redis) use plan::{Last, Plan};
pub(in crate::store::redis) use runs::*;

use super::fault::unreadable;
use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::record::{HostInfo, Pause};
use crate::run::id::{Fence, RunId, SessionId, Uid};
use crate::run::{Progress, Range, RunKey};
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::time::Timestamp;

/// Writes `value` as the scripts read it.
pub(in crate::store::redis) fn pack(value: &impl Serialize) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|error| unreadable("a call", error))
}

/// What a host says of itself, opaque to the scripts.
pub(in crate::store::redis) fn info_text(info: &HostInfo) -> Result<String> {
    serde_json::to_string(info).map_err(|error| unreadable("a host's record", error))
}

/// Reads what a script, or a record, holds.
pub(in crate::store::redis) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| unreadable("a record", error))
}

/// What goes with every call.
#[derive(Serialize)]
pub(in crate::store::redis) struct Envelope<'a> {
    pub(in crate::store::redis) clock: &'static str,
    pub(in crate::store::redis) now: Timestamp,
    pub(in crate::store::redis) text: String,
    pub(in crate::store::redis) r#gen: &'a str,
    pub(in crate::store::redis) session: Option<SessionId>,
    pub(in crate::store::redis) host: &'a str,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct AttachArgs {
    pub(in crate::store::redis) schema: u32,
    pub(in crate::store::redis) store_id: String,
    pub(in crate::store::redis) server: String,
    pub(in crate::store::redis) imports: bool,
    pub(in crate::store::redis) unfinished: &'static str,
    pub(in crate::store::redis) base: (&'static str, &'static str),
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct AttachAnswer {
    pub(in crate::store::redis) r#gen: String,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct JoinArgs {
    pub(in crate::store::redis) info: String,
    pub(in crate::store::redis) schedules: bool,
}

/// Another session: its id, its host's name, its counter, whether it plans.
#[derive(Deserialize)]
pub(in crate::store::redis) struct Peer(
    pub(in crate::store::redis) SessionId,
    pub(in crate::store::redis) String,
    pub(in crate::store::redis) String,
    pub(in crate::store::redis) bool,
);

#[derive(Serialize)]
pub(in crate::store::redis) struct BeatArgs {
    pub(in crate::store::redis) schedules: bool,
    pub(in crate::store::redis) info: Option<String>,
    pub(in crate::store::redis) progress: Vec<ProgressStep>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct ProgressStep {
    pub(in crate::store::redis) run: RunId,
    pub(in crate::store::redis) tenant: TenantId,
    pub(in crate::store::redis) fence: Fence,
    pub(in crate::store::redis) progress: Progress,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct BeatAnswer {
    pub(in crate::store::redis) cancels: Vec<(RunId, TenantId, String)>,
    pub(in crate::store::redis) held: Vec<(RunId, TenantId, Fence)>,
    pub(in crate::store::redis) peers: Vec<Peer>,
}

/// The counter of a session that is ending.
pub(in crate::store::redis) const DEAD: &str = "dead";

/// A counter as a number; one that is ending has the largest, which never changes.
pub(in crate::store::redis) fn counter(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

/// The same as text.
pub(in crate::store::redis) fn counter_text(counter: u64) -> String {
    if counter == u64::MAX { DEAD.to_owned() } else { counter.to_string() }
}

/// A session's record: what its host says, and when.
#[derive(Deserialize)]
pub(in crate::store::redis) struct HostRow {
    #[serde(default)]
    pub(in crate::store::redis) host: String,
    #[serde(default)]
    pub(in crate::store::redis) info: Option<String>,
    pub(in crate::store::redis) since: Timestamp,
    pub(in crate::store::redis) beat_at: Timestamp,
    #[serde(default)]
    pub(in crate::store::redis) offset: i64,
}

impl HostRow {
    pub(in crate::store::redis) fn info(&self) -> Result<HostInfo> {
        match &self.info {
            Some(text) => {
                serde_json::from_str(text).map_err(|error| unreadable("a host's record", error))
            }
            None => Ok(HostInfo { host: self.host.clone(), ..HostInfo::default() }),
        }
    }
}

#[derive(Serialize)]
pub(in crate::store::redis) struct EndArgs {
    pub(in crate::store::redis) peer: Option<SessionId>,
    pub(in crate::store::redis) seen: Option<String>,
    pub(in crate::store::redis) most: usize,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct EndAnswer {
    pub(in crate::store::redis) rescued: Vec<(RunId, TenantId)>,
    pub(in crate::store::redis) abandoned: Vec<(RunId, TenantId)>,
    pub(in crate::store::redis) cancelled: Vec<(RunId, TenantId)>,
    pub(in crate::store::redis) more: bool,
    #[serde(default)]
    pub(in crate::store::redis) moved: Option<String>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct PutArgs<'a> {
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) job: &'a JobId,
    pub(in crate::store::redis) uid: Uid,
    pub(in crate::store::redis) plan: Plan,
    pub(in crate::store::redis) keep_cursor: bool,
    pub(in crate::store::redis) ranges: &'a [Range],
    pub(in crate::store::redis) on: &'static str,
    pub(in crate::store::redis) version: Option<u64>,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct PutAnswer {
    pub(in crate::store::redis) kind: String,
    pub(in crate::store::redis) schedule: ByteBuf,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct PatchArgs<'a> {
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) job: &'a JobId,
    pub(in crate::store::redis) expect: Option<u64>,
    pub(in crate::store::redis) sets_pause: bool,
    pub(in crate::store::redis) pause: Option<Pause>,
    pub(in crate::store::redis) sets_parked: bool,
    pub(in crate::store::redis) parked: Option<String>,
    pub(in crate::store::redis) sets_cursor: bool,
    pub(in crate::store::redis) cursor: Option<Timestamp>,
    pub(in crate::store::redis) due_at: Option<Timestamp>,
    pub(in crate::store::redis) ranges: Vec<Range>,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct Version {
    pub(in crate::store::redis) version: u64,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct RemoveArgs<'a> {
    pub(in crate::store::redis) tenant: &'a TenantId,
    pub(in crate::store::redis) job: &'a JobId,
    pub(in crate::store::redis) expect: Option<u64>,
    pub(in crate::store::redis) cancel: bool,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct RemoveAnswer {
    pub(in crate::store::redis) removed: bool,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct DueArgs {
    pub(in crate::store::redis) max: usize,
    /// Microseconds.
    pub(in crate::store::redis) delay: u64,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct DueAnswer {
    pub(in crate::store::redis) now: Timestamp,
    #[serde(default)]
    pub(in crate::store::redis) next: Option<Timestamp>,
    pub(in crate::store::redis) items: Vec<PlanRow>,
}

/// A job as it is kept: its key, and what [`Plan::read`] reads; empty when it is no more.
#[derive(Deserialize)]
pub(in crate::store::redis) struct PlanRow(
    pub(in crate::store::redis) ByteBuf,
    pub(in crate::store::redis) ByteBuf,
);

/// An answer that says nothing.
#[derive(Deserialize)]
pub(in crate::store::redis) struct Nothing {}

#[derive(Serialize)]
pub(in crate::store::redis) struct DocArgs<'a> {
    pub(in crate::store::redis) key: &'a str,
    pub(in crate::store::redis) expect: Option<u64>,
    pub(in crate::store::redis) remove: bool,
    pub(in crate::store::redis) followed: bool,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct CounterArgs<'a> {
    pub(in crate::store::redis) key: &'a str,
    pub(in crate::store::redis) by: String,
    pub(in crate::store::redis) limit: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct CounterAnswer {
    #[serde(default)]
    pub(in crate::store::redis) value: Option<String>,
}

#[derive(Serialize)]
pub(in crate::store::redis) struct ForgetArgs {
    pub(in crate::store::redis) runs: Vec<String>,
    pub(in crate::store::redis) bodies: Vec<String>,
    pub(in crate::store::redis) ranges: Vec<(u64, Timestamp)>,
    pub(in crate::store::redis) buckets: Vec<(String, String)>,
    pub(in crate::store::redis) docs: Vec<String>,
    pub(in crate::store::redis) counters: Vec<String>,
}

/// The name of a document among all.
pub(in crate::store::redis) fn doc_name(doc: &DocKey) -> String {
    format!("{}\0{}\0{}", doc.tenant, doc.kind, doc.key)
}

/// The name of a counter among all.
pub(in crate::store::redis) fn counter_name(counter: &CounterKey) -> String {
    format!("{}\0{}", counter.tenant, counter.key)
}

#[derive(Deserialize)]
pub(in crate::store::redis) struct ForgetAnswer {
    pub(in crate::store::redis) records: u64,
    pub(in crate::store::redis) bodies: u64,
}

/// A range as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::store::redis) struct RangeRow {
    pub(in crate::store::redis) id: u64,
    pub(in crate::store::redis) tenant: TenantId,
    pub(in crate::store::redis) job: JobId,
    pub(in crate::store::redis) uid: Uid,
    pub(in crate::store::redis) range: Range,
    pub(in crate::store::redis) noted_at: Timestamp,
}

/// One item of news, as hints and the feed carry it.
#[derive(Deserialize)]
pub(in crate::store::redis) struct NewsItem(
    pub(in crate::store::redis) String,
    #[serde(default)] pub(in crate::store::redis) Option<String>,
    #[serde(default)] pub(in crate::store::redis) Option<String>,
);

/// The key of a run's record.
pub(in crate::store::redis) fn run_name(key: &RunKey) -> String {
    format!("{}{}", key.run, key.tenant)
}

/// The key of a job's records.
pub(in crate::store::redis) fn job_name(key: &JobKey) -> String {
    format!("{}\0{}", key.tenant, key.job)
}

/// The job that has this key.
pub(in crate::store::redis) fn job_of_name(name: &[u8]) -> Result<JobKey> {
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

/// Digits of such a text.
pub(in crate::store::redis) const TIME_DIGITS: usize = 16;

/// A time as text that sorts like the time, as the scripts write it.
pub(in crate::store::redis) fn sortable(time: Timestamp) -> String {
    format!("{:016x}", time.micros().max(-BIAS_US) + BIAS_US)
}

/// The time that [`sortable`] wrote.
pub(in crate::store::redis) fn unsortable(digits: &str) -> Option<Timestamp> {
    i64::from_str_radix(digits, 16).ok().map(|biased| Timestamp::from_micros(biased - BIAS_US))
}
