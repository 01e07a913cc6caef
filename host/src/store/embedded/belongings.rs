//! What belongs to one tenant: counted, and found to be forgotten at once.
//!
//! One rule over what a backend tells by name, as of what ages.

use super::aging::Pasts;
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::tenant::Holdings;
use crate::run::RunKey;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::store::core::papers::{RangeMark, Victims};
use crate::store::{Result, SPARED};
use crate::time::Timestamp;

/// Names read at once.
const AT_ONCE: usize = 1_000;
/// The least name that a job can have: what is sought begins there.
const LEAST_JOB: &str = "0";

/// The documents and counters of a tenant, by name.
pub(in crate::store) trait Belongings: Pasts {
    /// Documents by kind and key, those after `after`, at most `max`.
    fn doc_names(
        &self,
        tenant: &TenantId,
        after: Option<&DocKey>,
        max: usize,
    ) -> Result<Vec<DocKey>>;

    /// Counters in any order, about `max` at most.
    fn counter_names(&self, tenant: &TenantId, max: usize) -> Result<Vec<CounterKey>>;
}

/// Counts what a tenant has.
pub(in crate::store) fn holdings<B: Belongings + ?Sized>(
    all: &B,
    tenant: &TenantId,
) -> Result<Holdings> {
    let mut found = Holdings::default();
    let mut after = None;
    loop {
        let names = names_of(all, tenant, after.as_ref(), AT_ONCE)?;
        for job in &names {
            found.records += all.entries(job)?;
        }
        match names.last() {
            Some(last) if AT_ONCE <= names.len() => after = Some(last.clone()),
            Some(_) | None => break,
        }
    }
    let mut after = None;
    loop {
        let names = all.doc_names(tenant, after.as_ref(), AT_ONCE)?;
        for name in &names {
            *found.documents.entry(name.kind.clone()).or_default() += 1;
        }
        match names.last() {
            Some(last) if AT_ONCE <= names.len() => after = Some(last.clone()),
            Some(_) | None => break,
        }
    }
    found.counters = all.counter_names(tenant, usize::MAX)?.len() as u64;
    Ok(found)
}

/// What is to be forgotten of a tenant in one step, at most `budget` records; and whether there may be
/// more.
pub(in crate::store) fn victims<B: Belongings + ?Sized>(
    all: &B,
    tenant: &TenantId,
    budget: usize,
) -> Result<(Victims, bool)> {
    let mut victims = Victims::default();
    let mut left = budget;
    let names = names_of(all, tenant, None, left)?;
    for job in &names {
        let done = all.oldest_done(job, Timestamp::MAX, left)?;
        left -= done.len().min(left);
        let key = |id| RunKey { tenant: tenant.clone(), run: id };
        victims.runs.extend(done.into_iter().map(|run| key(run.id)));
        let ranges = all.oldest_ranges(job, Timestamp::MAX, left)?;
        left -= ranges.len().min(left);
        let ranges = ranges.into_iter().map(|(_, range): (_, RangeMark)| range);
        victims.ranges.extend(ranges);
        if left == 0 {
            break;
        }
    }
    let mut after = None;
    while 0 < left {
        let names = all.doc_names(tenant, after.as_ref(), AT_ONCE.min(left))?;
        let is_last = names.len() < AT_ONCE.min(left);
        after = names.last().cloned();
        let before = victims.docs.len();
        victims.docs.extend(names.into_iter().filter(|it| !SPARED.contains(&it.kind.as_str())));
        left -= (victims.docs.len() - before).min(left);
        if is_last {
            break;
        }
    }
    if 0 < left {
        victims.counters = all.counter_names(tenant, left)?;
        left -= victims.counters.len().min(left);
    }
    Ok((victims, left == 0))
}

/// Names of jobs of a tenant that have a past, after `after`, at most `max`.
fn names_of<B: Belongings + ?Sized>(
    all: &B,
    tenant: &TenantId,
    after: Option<&JobKey>,
    max: usize,
) -> Result<Vec<JobKey>> {
    let mut names = Vec::new();
    let least = match (after, LEAST_JOB.parse()) {
        (Some(after), _) => after.clone(),
        (None, Ok(job)) => {
            let least = JobKey { tenant: tenant.clone(), job };
            if 0 < all.entries(&least)? {
                names.push(least.clone());
            }
            least
        }
        (None, Err(_)) => return Ok(names),
    };
    names.extend(all.names(Some(&least), max)?.into_iter().filter(|job| job.tenant == *tenant));
    Ok(names)
}
