//! Takes the steps that reconciliation decided on.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::fleet::Fleet;
use crate::catalog::{Catalog, Entry, State};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::config::definitions::{Definitions, Unscheduled, definitions};
use crate::config::load;
use crate::job::{Job, PluginKey, Smoke, Source};
use crate::record::Schedule;
use crate::record::query::{JobFilter, MAX_PAGE, Page};
use crate::record::step::Conflict;
use crate::schedule::declared::{Declaration, Peers};
use crate::schedule::preview::Preview;
use crate::schedule::reconcile::{Step, reconcile as decide};
use crate::store::error::StoreError;
use crate::store::{Result, Store};
use crate::time::Timestamp;

/// Rounds, when jobs are changed by others meanwhile.
const MAX_ROUNDS: usize = 5;

/// What is to be known after a reconciliation.
#[derive(Debug, Default)]
pub(super) struct Reconciled {
    /// The plugins that nothing schedules.
    pub(super) unscheduled: Vec<Unscheduled>,
    /// Those that declared jobs name and that are not here to say what they suggest.
    pub(super) lacking: BTreeSet<PluginKey>,
    /// The jobs that a new version of their plugin is tried with.
    pub(super) smoked: Vec<Job>,
    /// What it did; of a fleet also what it does once all have agreed.
    pub(super) preview: Preview,
}

/// Reads sidecars, gathers what is declared, and makes the store hold it.
///
/// # Errors
///
/// The store failed.
pub(super) async fn reconcile(
    config: &Config,
    catalog: &Catalog,
    store: &dyn Store,
    clock: &SharedClock,
    mut fleet: Option<&mut Fleet>,
) -> anyhow::Result<Reconciled> {
    let (sidecars, unreadable) = load::sidecars(config);
    // Of a tenant that is being removed nothing is declared, and nothing is changed.
    let entries = catalog.entries().filter(|entry| !config.is_draining(&entry.key.tenant));
    let plugins: Vec<_> = entries.map(Entry::carried).collect();
    let mut declared = definitions(config, &sidecars, &plugins);
    if !unreadable.is_empty() {
        // What stands in the folder is not known, so what stood there is left alone.
        let stored = all_schedules(store).await?.into_iter();
        let own = stored.filter(|schedule| {
            let is_there = matches!(schedule.source, Source::Sidecar | Source::Plugin);
            is_there && unreadable.contains_key(&schedule.key.tenant)
        });
        declared.broken.extend(own.map(|schedule| schedule.def.origin.clone()));
    }
    for (origin, problems) in &declared.problems {
        for problem in problems {
            warn!(%origin, "{problem}");
        }
    }
    if let Some(fleet) = &mut fleet {
        // First, so that nobody parks what is about to be put.
        fleet.declare(Declaration::of(&declared)).await?;
    }
    let mut preview = Preview::default();
    for round in 1..=MAX_ROUNDS {
        let now = clock.now();
        let mut stored = all_schedules(store).await?;
        stored.retain(|schedule| !config.is_draining(&schedule.key.tenant));
        // Afterwards: whoever has put something by now has declared it.
        let peers = match &mut fleet {
            Some(fleet) => Some(fleet.look().await?),
            None => None,
        };
        let all = decide(&declared.jobs, &stored, &declared.broken, peers.as_ref(), now);
        if round == 1 {
            for warning in &all.warnings {
                warn!("{warning}");
            }
            let shown = peers.as_ref().map(|peers| {
                // As if the fleet had stood still: what is parked soon is told now.
                let peers = Peers { settled: true, parks: true, ..peers.clone() };
                decide(&declared.jobs, &stored, &declared.broken, Some(&peers), now)
            });
            let shown = shown.as_ref().unwrap_or(&all);
            preview = Preview::of(shown, &stored, &declared, refusals(catalog));
        }
        let mut moved_on = false;
        for step in all.steps {
            match take(store, step, now).await {
                Ok(()) => (),
                Err(StoreError::Conflict { .. }) => moved_on = true,
                // It was told which job; the others go on.
                Err(StoreError::Quota { .. }) => (),
                Err(error) => return Err(error.into()),
            }
        }
        if !moved_on {
            break;
        }
    }
    let Definitions { jobs, unscheduled, .. } = declared;
    let incomplete = jobs.iter().filter(|resolved| resolved.incomplete);
    let lacking = incomplete.map(|resolved| resolved.job.plugin_key()).collect();
    let smoked = jobs.iter().map(|resolved| &resolved.job).filter(|job| job.smoke != Smoke::No);
    let smoked = smoked.cloned().collect();
    Ok(Reconciled { unscheduled, lacking, smoked, preview })
}

/// The plugins that are none, and those whose new file is none.
fn refusals(catalog: &Catalog) -> Vec<String> {
    let refusal = |entry: &Entry| {
        let plugin = entry.key.shown();
        match (&entry.state, &entry.update_refused) {
            (State::Refused(why), _) => Some(format!("plugin `{plugin}` is refused: {why}")),
            (State::Active(_), Some(why)) => {
                Some(format!("the new file of plugin `{plugin}` is refused: {why}"))
            }
            (State::Active(_), None) => None,
        }
    };
    catalog.entries().filter_map(refusal).collect()
}

async fn take(store: &dyn Store, step: Step, now: Timestamp) -> Result<()> {
    match step {
        Step::Leave { .. } => Ok(()),
        Step::Create(schedule) => {
            let (job, origin) = (schedule.key.shown(), schedule.def.origin.clone());
            let added = store.put(schedule, Conflict::Fail, now).await.map(drop);
            match &added {
                Err(StoreError::Quota { key, limit }) => {
                    warn!(%job, %origin, "not added: its tenant has as many jobs as \
                        `quota.{key}` = {limit} lets it; raise that, or remove others");
                }
                _ => info!(%job, %origin, "job added"),
            }
            added
        }
        Step::Replace(replacement) => {
            let schedule = replacement.schedule;
            info!(job = %schedule.key.job, origin = %schedule.def.origin, "job changed");
            let mut expect = replacement.expect;
            if let Some(first) = replacement.first {
                expect = store.patch(&schedule.key, Some(expect), first, now).await?;
            }
            store.put(schedule, Conflict::ReplaceIf(expect), now).await.map(drop)
        }
        Step::Park { job, expect, patch } => {
            info!(job = %job.job, reason = patch.parked.as_ref().and_then(|p| p.as_deref()),
                "job parked");
            store.patch(&job, Some(expect), patch, now).await.map(drop)
        }
    }
}

/// Every schedule of the store.
///
/// # Errors
///
/// The store failed.
pub async fn all_schedules(store: &dyn Store) -> Result<Vec<Schedule>> {
    let mut all = Vec::new();
    let mut page = Page { limit: MAX_PAGE, cursor: None };
    loop {
        let paged = store.list(JobFilter::default(), page).await?;
        all.extend(paged.items);
        match paged.next_cursor {
            Some(cursor) => page = Page { limit: MAX_PAGE, cursor: Some(cursor) },
            None => return Ok(all),
        }
    }
}
