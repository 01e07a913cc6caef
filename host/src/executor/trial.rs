//! How a new version of a plugin does: its first runs are counted, and what one with an interpreter
//! reaches for is noted. What follows from that `plugin::versions` says.

use std::collections::BTreeSet;

use serde_json::json;
use tracing::{info, warn};

use super::Executor;
use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::catalog::intake::Intake;
use crate::catalog::records::{self, Change};
use crate::job::PluginKey;
use crate::metrics::PluginChange;
use crate::plugin::versions::{Versions, short};
use crate::plugin::wants::{Want, list};
use crate::record::query::{MAX_PAGE, Page, RunFilter};
use crate::run::outcome::Outcome;
use crate::run::usage::{Effect, Usage};
use crate::run::{Run, RunState};
use crate::store::Result;
use crate::store::error::StoreError;

/// What one attempt says about the version that it ran.
pub(super) struct Seen {
    /// Which.
    pub(super) digest: String,
    /// Whether it did its work; `None`: that says nothing about it.
    pub(super) well: Option<bool>,
    /// What it used.
    pub(super) used: BTreeSet<Want>,
    /// What it was denied.
    pub(super) denied: BTreeSet<Want>,
}

impl Seen {
    pub(super) fn new(
        digest: String,
        outcome: Outcome,
        usage: &Usage,
        denied: BTreeSet<Want>,
    ) -> Self {
        let well = match outcome {
            Outcome::Succeeded => Some(true),
            Outcome::Failed
            | Outcome::TimedOut
            | Outcome::OutOfFuel
            | Outcome::OutOfMemory
            | Outcome::Trapped
            | Outcome::LimitExceeded => Some(false),
            Outcome::Cancelled | Outcome::Abandoned => None,
        };
        let used = usage.io.keys().filter_map(|effect| match effect {
            Effect::Filesystem => Some(Want::Filesystem),
            Effect::Keyvalue => Some(Want::Keyvalue),
            Effect::Jobs => Some(Want::Jobs),
            Effect::Http => Some(Want::Http),
            Effect::Sockets => Some(Want::Sockets),
            Effect::Context
            | Effect::Config
            | Effect::Log
            | Effect::Stdio
            | Effect::Random
            | Effect::Streams
            | Effect::Poll => None,
        });
        Self { digest, well, used: used.collect(), denied }
    }
}

impl Executor {
    /// Notes what an attempt says about its version, when that is worth a note.
    pub(super) async fn judge(&self, run: &Run, seen: &Seen) {
        let Some(intake) = &self.intake else { return };
        let key = run.plugin_key();
        let versions = self.catalog.borrow().get(&key).and_then(|entry| entry.versions.clone());
        let Some(versions) = versions else { return };
        let on_trial = versions.trial.as_ref().is_some_and(|trial| trial.digest == seen.digest);
        if on_trial && let Some(well) = seen.well {
            told(self.count(intake, &key, run, &seen.digest, well).await);
        }
        if versions.is_news(&seen.digest, &seen.used, &seen.denied) {
            told(self.reached(intake, &key, seen).await);
        }
    }

    /// Counts one of the first runs, and goes back when too many of them failed and those of the
    /// version before did not.
    async fn count(
        &self,
        intake: &Intake,
        key: &PluginKey,
        run: &Run,
        digest: &str,
        well: bool,
    ) -> Result<()> {
        let most = self.config.borrow().reload(&key.tenant).auto_rollback;
        let due = records::change(intake.shelf(), key, |before| {
            let Some(mut versions) = before else { return Change::Leave(None) };
            let before = versions.trial.as_ref().map(|trial| trial.before.clone());
            let due = versions.ended(digest, well, most);
            Change::Put(Box::new(versions), before.filter(|_| due))
        });
        let Some(before) = due.await? else { return Ok(()) };
        let was_good = self.did_well(run, &before).await?;
        let why =
            format!("rolled back by itself at {}: its first {most} runs failed", self.clock.now());
        let went = records::change(intake.shelf(), key, |record| {
            let Some(mut versions) = record else { return Change::Leave(false) };
            if versions.trial.as_ref().is_none_or(|trial| trial.digest != digest) {
                return Change::Leave(false);
            }
            let went = was_good && go_back(&mut versions, &before, &why);
            versions.trial = None;
            Change::Put(Box::new(versions), went)
        });
        if went.await? {
            warn!(plugin = %key.shown(), from = digest, to = before,
                "its first {most} runs failed and those of the version before did not: that one is \
                 back; `host plugins rollback {} {}` tries the new one again",
                key.plugin, short(digest));
            intake.count_change(key, PluginChange::RolledBack);
            let (now, tenant) = (self.clock.now(), Some(key.tenant.clone()));
            let note = Note::by_host(now, Action::PluginRolledBack, tenant, &key.plugin);
            audit::note(&self.store, note.changed(json!(digest), json!(before))).await;
            intake.tell();
        } else {
            info!(plugin = %key.shown(), digest,
                "its first {most} runs failed; the version before did no better, or nobody knows");
        }
        Ok(())
    }

    /// Whether the last run of the same job with that version ended well.
    async fn did_well(&self, run: &Run, digest: &str) -> Result<bool> {
        let filter = RunFilter {
            tenant: Some(run.tenant.clone()),
            job: Some(run.job.clone()),
            states: vec![RunState::Done],
            ..RunFilter::default()
        };
        let page = Page { limit: MAX_PAGE, cursor: None };
        let runs = self.store.runs(filter, page).await?.items;
        let mut last = runs.iter().flat_map(|run| run.attempts.iter().rev());
        let last = last.find(|attempt| attempt.digest.as_deref() == Some(digest));
        Ok(last.is_some_and(|attempt| attempt.outcome == Some(Outcome::Succeeded)))
    }

    async fn reached(&self, intake: &Intake, key: &PluginKey, seen: &Seen) -> Result<()> {
        let hold = self.config.borrow().reload(&key.tenant).hold_new_capabilities;
        let new = records::change(intake.shelf(), key, |before| {
            let Some(mut versions) = before else { return Change::Leave(BTreeSet::new()) };
            let new = versions.reached(&seen.digest, &seen.used, &seen.denied, hold);
            Change::Put(Box::new(versions), new)
        });
        let new = new.await?;
        if !new.is_empty() {
            warn!(plugin = %key.shown(), digest = seen.digest,
                "reached for {} when it ran, which the version before did not", list(&new));
            intake.tell();
        }
        Ok(())
    }
}

fn go_back(versions: &mut Versions, to: &str, why: &str) -> bool {
    versions.get(to).is_some() && versions.roll_back(Some(to), why).is_ok()
}

/// What is not noted now is with the next run.
fn told(noted: Result<()>) {
    match noted {
        Ok(()) => (),
        Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
            tracing::debug!(%error, "how a version does is not noted");
        }
        Err(error) => warn!(%error, "how a version does is not noted"),
    }
}
