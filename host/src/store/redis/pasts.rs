//! What the rule of forgetting asks about the past of jobs.

use super::reader::{Order, Reader, range_id, run_id, span};
use super::wire::{self, Plan, job_name, job_of_name, run_name, sortable};
use crate::job::names::TenantId;
use crate::job::{History, JobKey};
use crate::record::used::Bucket;
use crate::run::RunKey;
use crate::run::id::RunId;
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::store::core::papers::RangeMark;
use crate::store::embedded::aging::{DoneMark, Pasts};
use crate::store::embedded::belongings::Belongings;
use crate::time::Timestamp;

/// Counters looked at in one call.
const SCANNED: usize = 1_000;

impl Pasts for Reader<'_> {
    fn names(&self, after: Option<&JobKey>, max: usize) -> Result<Vec<JobKey>> {
        let mut names: Vec<JobKey> = Vec::new();
        while names.len() < max {
            let from = match names.last().or(after) {
                Some(job) => format!("[{}\x01", job_name(job)),
                None => "-".to_owned(),
            };
            let mut next: Option<JobKey> = None;
            for index in ["JOB_RUN", "RANGE_JOB"] {
                let found = self.members(index, Order::Up, (&from, "+"), (0, 1))?;
                for member in found {
                    let name = member.rsplit_once('\0').map_or("", |(name, _)| name);
                    let job = job_of_name(name.as_bytes())?;
                    next = Some(next.map_or(job.clone(), |other| other.min(job)));
                }
            }
            let Some(next) = next else { break };
            names.push(next);
        }
        Ok(names)
    }

    fn history(&self, job: &JobKey) -> Result<Option<History>> {
        let plan = self.field("PLAN", &job_name(job))?;
        plan.map(|plan| Ok(Plan::read(&plan)?.0.history)).transpose()
    }

    fn entries(&self, job: &JobKey) -> Result<u64> {
        let (_, from, to) = span(job);
        let runs: u64 = self.ask(self.command("ZLEXCOUNT", "JOB_RUN").arg(&from).arg(&to))?;
        let ranges: u64 = self.ask(self.command("ZLEXCOUNT", "RANGE_JOB").arg(&from).arg(&to))?;
        Ok(runs + ranges)
    }

    fn newest_done(&self, job: &JobKey) -> Result<Option<RunId>> {
        let (_, from, to) = span(job);
        let found = self.members("JOB_DONE", Order::Down, (&from, &to), (0, 1))?;
        Ok(found.first().and_then(|member| run_id(member)))
    }

    fn oldest_done(&self, job: &JobKey, before: Timestamp, max: usize) -> Result<Vec<DoneMark>> {
        let (prefix, from, _) = span(job);
        let to = format!("({prefix}{}", sortable(before));
        let found = self.members("JOB_DONE", Order::Up, (&from, &to), (0, max))?;
        Ok(found.iter().filter_map(|member| done_mark(member.strip_prefix(&prefix)?)).collect())
    }

    fn oldest_ranges(
        &self,
        job: &JobKey,
        before: Timestamp,
        max: usize,
    ) -> Result<Vec<(Timestamp, RangeMark)>> {
        let (prefix, from, _) = span(job);
        let to = format!("({prefix}{}", sortable(before));
        let found = self.members("RANGE_AGE", Order::Up, (&from, &to), (0, max))?;
        let ids: Vec<u64> = found.iter().filter_map(|member| range_id(member)).collect();
        let rows = self.ranges(&ids)?.into_iter();
        let mark = |id, uid, last| RangeMark { id, uid, last };
        Ok(rows.map(|row| (row.noted_at, mark(row.id, row.uid, row.range.last))).collect())
    }

    fn bodies(&self, job: &JobKey, keep: u32, max: usize) -> Result<Vec<RunId>> {
        let (_, from, to) = span(job);
        let skip = usize::try_from(keep).unwrap_or(usize::MAX);
        let found = self.members("JOB_BODY", Order::Down, (&from, &to), (skip, max))?;
        Ok(found.iter().filter_map(|member| run_id(member)).collect())
    }

    fn oldest_buckets(&self, before: Timestamp, max: usize) -> Result<Vec<Bucket>> {
        self.old_buckets(before, max)
    }

    fn lines(&self, run: &RunKey) -> Result<u64> {
        let lines = self.field("LINES", &run_name(run))?.unwrap_or_default();
        Ok(std::str::from_utf8(&lines).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

impl Belongings for Reader<'_> {
    fn doc_names(
        &self,
        tenant: &TenantId,
        after: Option<&DocKey>,
        max: usize,
    ) -> Result<Vec<DocKey>> {
        let from = after
            .map_or_else(|| format!("[{tenant}\0"), |after| format!("({}", wire::doc_name(after)));
        let to = format!("({tenant}\x01");
        let found = self.members("DOC_KEY", Order::Up, (&from, &to), (0, max))?;
        let name = |member: &String| {
            let (_, rest) = member.split_once('\0')?;
            let (kind, key) = rest.split_once('\0')?;
            Some(DocKey { tenant: tenant.clone(), kind: kind.to_owned(), key: key.to_owned() })
        };
        Ok(found.iter().filter_map(name).collect())
    }

    fn counter_names(&self, tenant: &TenantId, max: usize) -> Result<Vec<CounterKey>> {
        let (start, mut names, mut at) = (format!("{tenant}\0"), Vec::new(), "0".to_owned());
        loop {
            let ask = self.command("HSCAN", "COUNTER").arg(&at).arg("COUNT").arg(SCANNED).clone();
            let (next, rows): (String, Vec<(String, String)>) = self.ask(&ask)?;
            let keys = rows.iter().filter_map(|(name, _)| name.strip_prefix(&start));
            names
                .extend(keys.map(|key| CounterKey { tenant: tenant.clone(), key: key.to_owned() }));
            if next == "0" || max <= names.len() {
                // One that moved while it was scanned may come twice.
                names.sort_unstable();
                names.dedup();
                return Ok(names);
            }
            at = next;
        }
    }
}

/// Reads the end of a place among done runs: 16 digits of its end, 16 of its making, 32 of its id.
fn done_mark(place: &str) -> Option<DoneMark> {
    Some(DoneMark {
        finished_at: wire::unsortable(place.get(..16)?)?,
        queued_at: wire::unsortable(place.get(16..32)?)?,
        id: place.get(32..)?.parse().ok()?,
    })
}
