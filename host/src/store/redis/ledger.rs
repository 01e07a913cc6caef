//! Verdicts of a job, newest first: of runs, and of stretches.

use super::reader::{Order, Reader, range_id, run_id, span};
use super::wire::{run_name, sortable};
use crate::job::JobKey;
use crate::record::query::{LedgerFilter, LedgerItem};
use crate::run::RunKey;
use crate::store::Result;
use crate::store::embedded::kept::{EntryId, LedgerMark, ledger_item_of_range, ledger_item_of_run};

/// Places read at once.
const CHUNK: usize = 512;

impl Reader<'_> {
    pub(super) fn ledger_runs(
        &self,
        job: &JobKey,
        filter: &LedgerFilter,
        before: Option<LedgerMark>,
        limit: usize,
    ) -> Result<Vec<(LedgerMark, LedgerItem)>> {
        let (prefix, mut from, mut to) = span(job);
        if let Some(least) = filter.from {
            from = format!("[{prefix}{}", sortable(least));
        }
        if let Some(end) = filter.to {
            to = format!("({prefix}{}", sortable(end));
        }
        if let Some(LedgerMark { last, entry }) = before {
            let last = sortable(last);
            // Runs stand before ranges of the same time: such a range is after all of those.
            let mark = match entry {
                EntryId::Run(id) => format!("({prefix}{last}{id}"),
                EntryId::Range(_) => format!("({prefix}{last}"),
            };
            to = lower(to, mark);
        }
        let mut items = Vec::new();
        while items.len() <= limit {
            let found = self.members("JOB_FIRE", Order::Down, (&from, &to), (0, CHUNK))?;
            let Some(last) = found.last() else { break };
            to = format!("({last}");
            let ids = found.iter().filter_map(|member| run_id(member));
            let names: Vec<String> =
                ids.map(|run| run_name(&RunKey { tenant: job.tenant.clone(), run })).collect();
            for run in self.runs_of(&names)? {
                let item = ledger_item_of_run(&run);
                items.extend(
                    item.filter(|item| filter.wants(item))
                        .map(|item| (LedgerMark::of_run(&run), item)),
                );
            }
            if found.len() < CHUNK {
                break;
            }
        }
        Ok(items)
    }

    pub(super) fn ledger_ranges(
        &self,
        job: &JobKey,
        filter: &LedgerFilter,
        before: Option<LedgerMark>,
        limit: usize,
    ) -> Result<Vec<(LedgerMark, LedgerItem)>> {
        let (prefix, mut from, mut to) = span(job);
        if let Some(least) = filter.from {
            from = format!("[{prefix}{}", sortable(least));
        }
        if let Some(LedgerMark { last, entry }) = before {
            let last = sortable(last);
            let mark = match entry {
                EntryId::Run(_) => format!("({prefix}{last}g"),
                EntryId::Range(id) => format!("({prefix}{last}{id:016x}"),
            };
            to = lower(to, mark);
        }
        let mut items = Vec::new();
        while items.len() <= limit {
            let found = self.members("RANGE_JOB", Order::Down, (&from, &to), (0, CHUNK))?;
            let Some(last) = found.last() else { break };
            to = format!("({last}");
            let ids: Vec<u64> = found.iter().filter_map(|member| range_id(member)).collect();
            for row in self.ranges(&ids)? {
                let mark = LedgerMark { last: row.range.last, entry: EntryId::Range(row.id) };
                let item = ledger_item_of_range(&row.range);
                if filter.wants(&item) {
                    items.push((mark, item));
                }
            }
            if found.len() < CHUNK {
                break;
            }
        }
        Ok(items)
    }
}

/// The lower of two upper lex bounds, both exclusive.
fn lower(one: String, other: String) -> String {
    one.min(other)
}
