//! Whether everything in a store fits together: each record by itself, with the others, the lists
//! by which it is found, and the ledger with the triggers. Reads all of it, changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use super::{Result, Store};
use crate::job::JobKey;
use crate::record::Schedule;
use crate::record::portable::{Counts, Record};
use crate::record::query::{LedgerFilter, LedgerItem, MAX_PAGE, Page};
use crate::run::id::Uid;
use crate::run::{Cause, Run};
use crate::schedule::audit::{Waiting, audit};
use crate::time::Timestamp;

/// The newest so many verdicts of one job are compared with its trigger.
const ITEMS_PER_JOB: usize = 50_000;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkup {
    /// How much there is.
    pub counts: Counts,
    /// What is wrong, in words; empty when all is well.
    pub faults: Vec<String>,
}

/// Reads everything in `store` and tells what does not fit together. `tell` is told how far it is.
///
/// # Errors
///
/// It can't be read.
pub async fn checkup(
    store: &dyn Store,
    now: Timestamp,
    mut tell: impl FnMut(&Counts),
) -> Result<Checkup> {
    let mut checkup = Checkup { faults: store.faults().await?, ..Checkup::default() };
    let mut seen = Seen::default();
    let mut cursor = None;
    loop {
        let page = store.export(cursor).await?;
        for record in &page.items {
            checkup.counts.add(record);
            checkup.faults.extend(record.check().err());
            seen.note(record, &mut checkup.faults);
        }
        tell(&checkup.counts);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    for (uid, schedule) in &seen.jobs {
        let waiting = seen.waiting.get(uid).map(Vec::as_slice).unwrap_or_default();
        checkup.faults.extend(check_ledger(store, schedule, waiting, now).await?);
    }
    Ok(checkup)
}

/// What later records are compared with.
#[derive(Default)]
struct Seen {
    jobs: HashMap<Uid, Schedule>,
    names: HashMap<JobKey, Uid>,
    /// Runs of fire times that have no verdict yet.
    waiting: HashMap<Uid, Vec<Waiting>>,
}

impl Seen {
    fn note(&mut self, record: &Record, faults: &mut Vec<String>) {
        match record {
            Record::Job(schedule) => {
                if self.names.insert(schedule.key.clone(), schedule.uid).is_some() {
                    faults.push(format!("job {}: there are two of this name", schedule.key));
                }
                self.jobs.insert(schedule.uid, Schedule::clone(schedule));
            }
            Record::Run(record) => self.note_run(&record.run, faults),
            Record::Range(kept) => {
                let schedule = self.jobs.get(&kept.uid);
                if schedule.is_some_and(|schedule| schedule.last_fire < Some(kept.range.last)) {
                    faults.push(format!(
                        "job {}: it has verdicts up to {}, later than its last fire",
                        kept.job, kept.range.last
                    ));
                }
            }
            Record::Fence(_) | Record::Document(_) | Record::Counter(_) | Record::Used(_) => (),
        }
    }

    fn note_run(&mut self, run: &Run, faults: &mut Vec<String>) {
        if run.cause != Cause::Schedule {
            return;
        }
        let schedule = self.jobs.get(&run.uid);
        if schedule.is_some_and(|schedule| schedule.last_fire < Some(run.fire_time)) {
            faults.push(format!(
                "job {}: it has run {} of {}, later than its last fire",
                run.job_key(),
                run.id,
                run.fire_time
            ));
        }
        if run.verdict.is_none() {
            let waiting = Waiting { run: run.id, fire_time: run.fire_time };
            self.waiting.entry(run.uid).or_default().push(waiting);
        }
    }
}

/// Whether each fire time of the job has one verdict, as far back as verdicts are surely kept.
async fn check_ledger(
    store: &dyn Store,
    schedule: &Schedule,
    waiting: &[Waiting],
    now: Timestamp,
) -> Result<Option<String>> {
    let job = &schedule.key;
    let defined = match schedule.def.effective.job(job.clone()) {
        Ok(defined) => defined,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Ok(Some(format!("job {job}: can't be read: {}", problems.join("; "))));
        }
    };
    let (Some(trigger), Some(from)) = (&defined.trigger, schedule.accounted_from) else {
        return Ok(None);
    };
    let end = schedule.cursor.or(schedule.last_fire).map(|end| end.min(now));
    let mut from = from.max(now.before(schedule.history.max_age / 2));
    let Some(end) = end.filter(|end| from < *end) else { return Ok(None) };
    let mut ledger: Vec<LedgerItem> = Vec::new();
    let mut cursor = None;
    loop {
        let filter = LedgerFilter { from: Some(from), to: Some(end), ..LedgerFilter::default() };
        let paged = store.ledger(job, filter, Page { limit: MAX_PAGE, cursor }).await?;
        ledger.extend(paged.items);
        cursor = paged.next_cursor;
        if cursor.is_none() {
            break;
        }
        if ITEMS_PER_JOB <= ledger.len()
            && let Some(oldest) = ledger.pop()
        {
            from = from.max(oldest.last.after(Duration::from_micros(1)));
            break;
        }
    }
    let anchor = schedule.trigger_state.anchor;
    let fault = audit(trigger, anchor, from..end, &ledger, waiting);
    Ok(fault.map(|fault| format!("job {job}: {fault}")))
}
