//! The records of a store as they move to another: one line of JSON each.
//!
//! ```text
//! {"campanile":2,"from":"sqlite","at":"2026-01-01T00:00:00Z"}      what this is
//! {"fence":1767225600000000}                                        the last one given out
//! {"job":{..}}  {"run":{"run":{..},"log":[..]}}  {"range":{..}}      in this order
//! {"document":{..}}  {"counter":{..}}  {"used":{..}}
//! {"end":{"jobs":1,"runs":7,"log_lines":9,"ranges":2,"documents":0,"counters":0,"buckets":3}}
//! ```
//!
//! Form 1 had nothing of what was used.
//!
//! The last line counts the others: a text that was cut is known by it. Sessions do not move: a run
//! that is under way names the one that holds it, which is dead where it arrives.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Schedule;
use super::query::UsageItem;
use super::used::{MOST, hour_of};
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::run::id::{Fence, RunId, Uid};
use crate::run::{Cause, LogLine, MAX_ATTEMPTS_KEPT, Range, Run, RunState, Verdict};
use crate::time::Timestamp;

/// The form that this host writes.
pub const FORM: u32 = 2;
/// A line has so many bytes at most.
pub const MAX_LINE_BYTES: u64 = 256 << 20;
/// What a record is taken to be long, beside its long texts.
const RECORD_BYTES: usize = 1_024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The form of what follows, [`FORM`] at most.
    pub campanile: u32,
    /// What kind of store it was, for people.
    pub from: String,
    /// When it was written.
    pub at: Timestamp,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The last fence that was given out: where it arrives, none may be lower.
    Fence(Fence),
    /// A schedule.
    Job(Box<Schedule>),
    /// A run, live or done.
    Run(Box<RunRecord>),
    /// Verdicts of fire times that became no run.
    Range(RangeRecord),
    /// A document.
    Document(DocRecord),
    /// A counter.
    Counter(CounterRecord),
    /// What was used in an hour.
    Used(UsageItem),
}

/// A run and its log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The run.
    pub run: Run,
    /// All lines of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

/// A range with its place in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeRecord {
    /// Grows with each range that is opened.
    pub id: u64,
    /// The job.
    pub job: JobKey,
    /// The creation of the job.
    pub uid: Uid,
    /// The range.
    pub range: Range,
    /// When it was opened, or grew last.
    pub noted_at: Timestamp,
}

/// A document with its full name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocRecord {
    /// Whose it is.
    pub tenant: TenantId,
    /// What sort of document.
    pub kind: String,
    /// Its key among those.
    pub key: String,
    /// How often it was written.
    pub version: u64,
    /// Its bytes; as text in base64.
    #[serde(with = "in_base64")]
    pub value: Vec<u8>,
}

/// A counter with its full name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterRecord {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub key: String,
    /// Where it stands.
    pub value: i64,
}

/// How many records of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Schedules.
    pub jobs: u64,
    /// Runs.
    pub runs: u64,
    /// Lines in their logs.
    pub log_lines: u64,
    /// Ranges.
    pub ranges: u64,
    /// Documents.
    pub documents: u64,
    /// Counters.
    pub counters: u64,
    /// Buckets of what was used.
    #[serde(default)]
    pub buckets: u64,
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// How much stands before it.
    pub end: Counts,
}

/// A step of an import. Until it has ended, no host may use the store; when it is begun again, all
/// that came before is let go.
#[derive(Clone, Debug)]
pub enum Import {
    /// The first: the store holds nothing, or what an import left that did not end.
    Begin,
    /// Records in the order in which they were exported. May be repeated.
    Records(Vec<Record>),
    /// The last.
    End,
}

/// A line after the first.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A record.
    Record(Record),
    /// The last line.
    End(Counts),
}

impl Line {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.starts_with("{\"end\"") {
            let footer: Footer = serde_json::from_str(text).map_err(|error| error.to_string())?;
            return Ok(Self::End(footer.end));
        }
        let record: Record = serde_json::from_str(text).map_err(|error| error.to_string())?;
        record.check()?;
        Ok(Self::Record(record))
    }
}

impl Record {
    /// Whether it makes sense by itself.
    ///
    /// # Errors
    ///
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Job(schedule) => check_schedule(schedule),
            Self::Run(record) => check_run(&record.run),
            Self::Range(kept) => {
                let Range { verdict, first, last, count, .. } = &kept.range;
                let is_sound =
                    0 < kept.id && first <= last && 0 < *count && *verdict != Verdict::Ran;
                is_sound.then_some(()).ok_or_else(|| {
                    format!("range {} of job {} is empty, or has no id", kept.id, kept.job)
                })
            }
            Self::Document(doc) if doc.version == 0 => {
                Err(format!("document `{}` has version 0", doc.key))
            }
            Self::Used(UsageItem { bucket, used }) => {
                let is_sound = hour_of(bucket.hour) == bucket.hour
                    && used.numbers().iter().all(|sum| *sum <= MOST);
                is_sound.then_some(()).ok_or_else(|| {
                    format!(
                        "what tenant {} used in {}: that is no whole hour, or a sum is above 2^62",
                        bucket.tenant, bucket.hour
                    )
                })
            }
            Self::Fence(_) | Self::Document(_) | Self::Counter(_) => Ok(()),
        }
    }

    /// About how many bytes it has.
    pub fn weight(&self) -> usize {
        RECORD_BYTES
            + match self {
                Self::Job(schedule) => {
                    schedule.def.definition.size() + schedule.def.effective.size()
                }
                Self::Run(record) => {
                    let lines = record.log.iter();
                    let lines = lines.map(|line| 128 + line.message.len() + line.context.len());
                    let values = record.run.args.iter().chain(&record.run.result);
                    lines.sum::<usize>() + values.map(length).sum::<usize>()
                }
                Self::Document(doc) => doc.value.len(),
                Self::Fence(_) | Self::Range(_) | Self::Counter(_) | Self::Used(_) => 0,
            }
    }
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Fence(_) => (),
            Record::Job(_) => self.jobs += 1,
            Record::Run(record) => {
                self.runs += 1;
                self.log_lines += record.log.len() as u64;
            }
            Record::Range(_) => self.ranges += 1,
            Record::Document(_) => self.documents += 1,
            Record::Counter(_) => self.counters += 1,
            Record::Used(_) => self.buckets += 1,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.jobs, "job", "jobs"),
            (self.runs, "run", "runs"),
            (self.log_lines, "line of log", "lines of log"),
            (self.ranges, "range of verdicts", "ranges of verdicts"),
            (self.documents, "document", "documents"),
            (self.counters, "counter", "counters"),
            (self.buckets, "hour of a job's use", "hours of jobs' use"),
        ];
        let mut parts = parts.into_iter().filter(|(count, ..)| 0 < *count);
        let shown = |(count, one, many)| format!("{count} {}", if count == 1 { one } else { many });
        match parts.next() {
            Some(first) => f.write_str(&shown(first))?,
            None => f.write_str("nothing")?,
        }
        parts.try_for_each(|part| write!(f, ", {}", shown(part)))
    }
}

fn check_schedule(schedule: &Schedule) -> Result<(), String> {
    let (cursor, due_at) = (schedule.cursor, schedule.due_at);
    let is_wrong = if cursor.is_some() != due_at.is_some() || due_at < cursor {
        "its cursor and its due time do not go together"
    } else if cursor.is_some() && cursor <= schedule.last_fire {
        "its cursor is not after its last fire time"
    } else if schedule.version == 0 || schedule.max_instances == 0 {
        "`version` and `max_instances` are 1 at least"
    } else {
        return Ok(());
    };
    Err(format!("job {}: {is_wrong}", schedule.key))
}

fn check_run(run: &Run) -> Result<(), String> {
    let is_done = run.state == RunState::Done;
    let is_wrong = if is_done != run.finished_at.is_some() {
        "it is done when it has a `finished_at`, and only then"
    } else if is_done && run.verdict.is_none() {
        "it is done and has no verdict"
    } else if run.state == RunState::Running && run.attempts.is_empty() {
        "it is running and has no attempt"
    } else if run.state == RunState::Retrying && run.not_before.is_none() {
        "it waits for its next attempt and has no `not_before`"
    } else if MAX_ATTEMPTS_KEPT < run.attempts.len() {
        "it has too many attempts"
    } else if run.cause == Cause::Schedule
        && run.id != RunId::of_fire(&run.tenant, run.uid, run.fire_time)
    {
        "its id is not that of its fire time"
    } else {
        return Ok(());
    };
    Err(format!("run {}: {is_wrong}", run.id))
}

/// About how long a value is as text.
fn length(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 4 + text.len(),
        Value::Array(items) => 4 + items.iter().map(length).sum::<usize>(),
        Value::Object(fields) => {
            4 + fields.iter().map(|(key, value)| 4 + key.len() + length(value)).sum::<usize>()
        }
    }
}

/// Bytes as text.
mod in_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_are_base64_in_the_text() {
        let doc = DocRecord {
            tenant: TenantId::default_tenant(),
            kind: "kv".to_owned(),
            key: "k".to_owned(),
            version: 3,
            value: vec![0, 255, 10],
        };
        let text = serde_json::to_string(&Record::Document(doc.clone())).unwrap();
        assert!(text.contains(r#""value":"AP8K""#), "{text}");
        assert_eq!(Line::read(&text), Ok(Line::Record(Record::Document(doc))));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_with_why() {
        for (line, why) in [
            (json!({"jab": {}}), "unknown variant `jab`"),
            (json!({"end": {"jobs": 1}}), "missing field `runs`"),
            (json!({"counter": {"tenant": "a", "key": "k", "value": 1, "x": 1}}), "unknown field"),
            (
                json!({"document": {"tenant": "a", "kind": "k", "key": "k", "version": 1,
                       "value": "?"}}),
                "Invalid",
            ),
            (
                json!({"range": {"id": 7, "job": {"tenant": "a", "job": "j"},
                       "uid": "0".repeat(32), "noted_at": "2026-01-01T00:00:00Z",
                       "range": {"verdict": "skipped", "reason": "max_instances", "count": 0,
                                 "first": "2026-01-01T00:00:00Z",
                                 "last": "2026-01-01T00:00:00Z", "into": null}}}),
                "range 7 of job a/j is empty",
            ),
        ] {
            let refused = Line::read(&line.to_string()).unwrap_err();
            assert!(refused.contains(why), "{line}: {refused}");
        }
    }

    #[test]
    fn counts_read_like_words() {
        assert_eq!(Counts::default().to_string(), "nothing");
        let counts = Counts { jobs: 1, runs: 20, counters: 2, ..Counts::default() };
        assert_eq!(counts.to_string(), "1 job, 20 runs, 2 counters");
    }
}
