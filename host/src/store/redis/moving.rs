//! The contents as they move: read page by page, and taken over chunk by chunk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::unreadable;
use super::link::Caller;
use super::reader::{Order, Reader, range_id};
use super::runs::log_text;
use super::scripts::Script;
use super::wire::{self, AccountRow, Last, Plan, RangeRow, run_name};
use super::{RedisStore, definitions, used};
use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::record::account::Windows;
use crate::record::portable::{
    CounterRecord, Counts, DocRecord, Import, RangeRecord, Record, RunRecord,
};
use crate::record::query::{Page, Paged, UsageItem};
use crate::record::used::MEASURES;
use crate::record::{LastRun, Schedule};
use crate::run::id::Fence;
use crate::run::{LogLine, Run, RunKey};
use crate::store::Result;
use crate::store::core::accounts::{windows_document, windows_of};
use crate::store::core::moving::not_empty;
use crate::store::embedded::export::Moving;
use crate::store::embedded::kept::{Mark, cut, limit_of};
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// What one call of the script takes, beyond what its last record adds, in bytes.
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Records in one call at most: the server does nothing else meanwhile.
const MAX_CHUNK: usize = 256;
/// Live runs that find their places in one call.
const PLACED_AT_ONCE: usize = 256;

#[derive(Default, Serialize)]
struct Args {
    step: &'static str,
    fence: Fence,
    jobs: Vec<JobRow>,
    runs: Vec<RunRow>,
    ranges: Vec<RangeRow>,
    windows: Vec<(TenantId, Windows)>,
    documents: Vec<DocRow>,
    counters: Vec<(String, String)>,
    buckets: Vec<(String, String, [u64; MEASURES])>,
    after: Option<String>,
    most: usize,
}

#[derive(Serialize)]
struct JobRow {
    tenant: TenantId,
    job: JobId,
    plan: Plan,
    last: Last,
    def: String,
}

#[derive(Serialize)]
struct RunRow {
    run: Run,
    log: String,
    lines: usize,
}

#[derive(Serialize)]
struct DocRow {
    key: String,
    version: u64,
    size: usize,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    held: Option<[u64; 6]>,
    #[serde(default)]
    next: Option<String>,
}

impl RedisStore {
    pub(super) async fn import_step(&self, step: Import) -> Result<()> {
        match step {
            Import::Begin => {
                let args = Args { step: "begin", ..Args::default() };
                match self.import_call(&args, b"").await?.held {
                    Some([jobs, runs, ranges, documents, counters, buckets]) => {
                        let log_lines = 0;
                        Err(not_empty(&Counts {
                            jobs,
                            runs,
                            log_lines,
                            ranges,
                            documents,
                            counters,
                            buckets,
                        }))
                    }
                    None => Ok(()),
                }
            }
            Import::Records(records) => self.import_records(records).await,
            Import::End => {
                let mut after = None;
                loop {
                    let most = PLACED_AT_ONCE;
                    let args = Args { step: "end", after, most, ..Args::default() };
                    after = self.import_call(&args, b"").await?.next;
                    if after.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn import_records(&self, records: Vec<Record>) -> Result<()> {
        let (mut chunk, mut bytes, mut weight, mut count) = (new_chunk(), Vec::new(), 0, 0);
        for record in records {
            record.check().map_err(StoreError::Invalid)?;
            weight += record.weight();
            count += 1;
            chunk.add(record, &mut bytes)?;
            if MAX_CHUNK_BYTES <= weight || MAX_CHUNK <= count {
                self.import_call(&chunk, &bytes).await?;
                (chunk, weight, count) = (new_chunk(), 0, 0);
                bytes.clear();
            }
        }
        if 0 < count {
            self.import_call(&chunk, &bytes).await?;
        }
        Ok(())
    }

    async fn import_call(&self, args: &Args, bytes: &[u8]) -> Result<Answer> {
        self.link.call(Script::Import, Caller::at(Timestamp::from_secs(0)), args, bytes).await
    }
}

fn new_chunk() -> Args {
    Args { step: "records", ..Args::default() }
}

impl Args {
    fn add(&mut self, record: Record, bytes: &mut Vec<u8>) -> Result<()> {
        match record {
            Record::Fence(fence) => self.fence = self.fence.max(fence),
            Record::Job(schedule) => self.jobs.push(job_row(*schedule)?),
            Record::Run(record) => {
                let RunRecord { run, log } = *record;
                let fences = run.attempts.iter().map(|attempt| attempt.fence);
                self.fence = fences.fold(self.fence, u64::max);
                self.runs.push(RunRow { run, log: text(log_text(&log)?)?, lines: log.len() });
            }
            Record::Range(RangeRecord { id, job, uid, range, noted_at }) => {
                let JobKey { tenant, job } = job;
                self.ranges.push(RangeRow { id, tenant, job, uid, range, noted_at });
            }
            Record::Document(doc)
                if let Some(windows) = windows_of(&doc.kind, &doc.key, &doc.value) =>
            {
                self.windows.push((doc.tenant, windows));
            }
            Record::Document(doc) => {
                let key = format!("{}\0{}\0{}", doc.tenant, doc.kind, doc.key);
                self.documents.push(DocRow { key, version: doc.version, size: doc.value.len() });
                bytes.extend_from_slice(&doc.value);
            }
            Record::Counter(counter) => {
                let key = format!("{}\0{}", counter.tenant, counter.key);
                self.counters.push((key, counter.value.to_string()));
            }
            Record::Used(UsageItem { bucket, used }) => {
                let (by_tenant, by_age) = used::keys_of(&bucket);
                self.buckets.push((by_tenant, by_age, used.numbers()));
            }
        }
        Ok(())
    }
}

fn job_row(schedule: Schedule) -> Result<JobRow> {
    let last = match schedule.last_run {
        Some(LastRun { run, at, state, outcome, previous_success }) => Last {
            run: Some(run),
            at: Some(at),
            state: Some(state),
            outcome,
            previous_success,
            ..Last::default()
        },
        None => Last::default(),
    };
    Ok(JobRow {
        last: Last {
            uid: Some(schedule.uid),
            failures: schedule.failures,
            rated: schedule.rules.rate_limit.is_some(),
            begun: schedule.begun,
            ..last
        },
        def: definitions::write(&schedule.def),
        plan: Plan {
            uid: schedule.uid,
            version: schedule.version,
            def_version: schedule.version,
            source: schedule.source,
            cursor: schedule.cursor,
            due_at: schedule.due_at,
            trigger_state: schedule.trigger_state,
            last_fire: schedule.last_fire,
            accounted_from: schedule.accounted_from,
            pause: schedule.pause,
            parked: schedule.parked,
            max_instances: schedule.max_instances,
            rules: schedule.rules,
            history: schedule.history,
            created_at: schedule.created_at,
            asked_at: schedule.created_at,
        },
        tenant: schedule.key.tenant,
        job: schedule.key.job,
    })
}

/// JSON is text.
fn text(json: Vec<u8>) -> Result<String> {
    String::from_utf8(json).map_err(|error| StoreError::Invalid(error.to_string()))
}

impl Moving for Reader<'_> {
    fn fence(&self) -> Result<Fence> {
        let fence: Option<String> = self.ask(self.command("HGET", "META").arg("fence"))?;
        let fence = fence.map(|text| text.parse());
        Ok(fence.transpose().map_err(|error| unreadable("the fence", error))?.unwrap_or(0))
    }

    fn is_importing(&self) -> Result<bool> {
        let importing: Option<String> = self.ask(self.command("HGET", "META").arg("importing"))?;
        Ok(importing.as_deref() == Some("1"))
    }

    fn logs(&self, runs: &[RunKey]) -> Result<Vec<Vec<LogLine>>> {
        let names: Vec<String> = runs.iter().map(run_name).collect();
        let logs = self.fields("LOG", &names)?.into_iter().map(Option::unwrap_or_default);
        logs.map(|text| lines(&text)).collect()
    }

    fn all_ranges(&self, page: &Page) -> Result<Paged<RangeRecord>> {
        self.all("RANGE_JOB", page, |members| {
            let ids = members.iter().filter_map(|member| range_id(member));
            let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
            let rows = self.fields("RANGE", &ids)?.into_iter();
            rows.map(|row| row.map(|row| wire::unpack(&row).map(range_record)).transpose())
                .collect()
        })
    }

    fn all_documents(&self, page: &Page) -> Result<Paged<DocRecord>> {
        let mut documents = self.all("DOC_KEY", page, |members| {
            let rows = members.iter().zip(self.fields("DOC", members)?);
            rows.map(|(name, kept)| kept.map(|kept| document(name, &kept)).transpose()).collect()
        })?;
        if page.cursor.is_none() {
            documents.items.extend(self.windows()?);
        }
        Ok(documents)
    }

    fn all_counters(&self, page: &Page) -> Result<Paged<CounterRecord>> {
        let at = page.cursor.as_deref().unwrap_or("0");
        let ask = self.command("HSCAN", "COUNTER").arg(at).arg("COUNT").arg(page.limit).clone();
        let (next, rows): (String, Vec<(String, String)>) = self.ask(&ask)?;
        let wrong = || unreadable("a counter", "its key or value is none");
        let read = |(name, value): (String, String)| {
            let (tenant, key) = name.split_once('\0').ok_or_else(wrong)?;
            Ok(CounterRecord {
                tenant: tenant.parse().map_err(|_| wrong())?,
                key: key.to_owned(),
                value: value.parse().map_err(|_| wrong())?,
            })
        };
        let items: Result<Vec<CounterRecord>> = rows.into_iter().map(read).collect();
        Ok(Paged { items: items?, next_cursor: Some(next).filter(|next| next != "0") })
    }

    fn other_counts(&self) -> Result<[u64; 4]> {
        let mut counts = [0; 4];
        for (count, lua) in counts.iter_mut().zip(["RANGE", "DOC", "COUNTER", "USED"]) {
            *count = self.ask(&self.command("HLEN", lua))?;
        }
        Ok(counts)
    }

    fn faults(&self) -> Result<Vec<String>> {
        self.check_lists()
    }
}

impl Reader<'_> {
    /// What accounts count by windows, each as the document that other stores keep it in.
    fn windows(&self) -> Result<Vec<DocRecord>> {
        let rows: BTreeMap<String, Vec<u8>> = self.ask(&self.command("HGETALL", "ACCOUNT"))?;
        let mut documents = Vec::new();
        for (tenant, kept) in rows {
            let row = AccountRow::read(&kept)?;
            if row.has_windows {
                let tenant =
                    tenant.parse().map_err(|error| unreadable("an account's key", error))?;
                documents.push(windows_document(tenant, &row.account.windows));
            }
        }
        Ok(documents)
    }

    /// A page of all records that an index leads to.
    fn all<T>(
        &self,
        index: &str,
        page: &Page,
        read: impl FnOnce(&[String]) -> Result<Vec<Option<T>>>,
    ) -> Result<Paged<T>> {
        let limit = limit_of(page);
        let from = String::of(page)?.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut members = self.members(index, Order::Up, (&from, "+"), (0, limit + 1))?;
        let next_cursor = cut(std::mem::take(&mut members), limit, String::clone);
        let items = read(&next_cursor.items)?.into_iter().flatten().collect();
        Ok(Paged { items, next_cursor: next_cursor.next_cursor })
    }
}

fn range_record(row: RangeRow) -> RangeRecord {
    let RangeRow { id, tenant, job, uid, range, noted_at } = row;
    RangeRecord { id, job: JobKey { tenant, job }, uid, range, noted_at }
}

fn document(name: &str, kept: &[u8]) -> Result<DocRecord> {
    let mut parts = name.splitn(3, '\0');
    let (Some(tenant), Some(kind), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unreadable("a document's key", "it has no three parts"));
    };
    let doc = super::reader::read_doc(key.to_owned(), kept)?;
    Ok(DocRecord {
        tenant: tenant.parse().map_err(|error| unreadable("a document's key", error))?,
        kind: kind.to_owned(),
        key: doc.key,
        version: doc.version,
        value: doc.value,
    })
}

fn lines(text: &[u8]) -> Result<Vec<LogLine>> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').map(serde_json::from_slice);
    let lines: std::result::Result<Vec<LogLine>, _> = lines.collect();
    lines.map_err(|error| unreadable("a log line", error))
}
