//! What a store keeps of one plugin: which versions there are, and which of them runs.
//!
//! ```text
//! file, PUT ── offer ──> current ── pinned? ── canary's share? ──> the version of a run
//!                 └────> held ── approve ──┘ ^
//!                                            └── roll_back (asked for, or the first runs failed)
//! ```
//!
//! Pure: each change is a step from one value to the next; whoever makes it writes the whole value
//! back, if nobody else did meanwhile. A digest is `sha256:` and 64 hexadecimal digits.

use std::collections::BTreeSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::share::Share;
use super::wants::Want;
use crate::time::Timestamp;

/// The shortest beginning of a digest's hexadecimal digits that names it.
const MIN_DIGITS: usize = 4;
/// The word for the version that came last.
const NEWEST: &str = "newest";
/// Bytes of a note on a version at most.
const MAX_NOTE_BYTES: usize = 300;

/// One plugin's versions. What is not here was never offered, or is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The version that runs unless one is pinned.
    pub current: String,
    /// What came last, whether it runs or not: the same again is no news.
    pub offered: Offered,
    /// The newest first; with the running, pinned, tried and held ones at least.
    pub kept: Vec<Version>,
    /// The one that runs whatever is offered.
    #[serde(default)]
    pub pinned: Option<String>,
    /// The one that some runs are given.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// The one that waits for somebody's approval.
    #[serde(default)]
    pub held: Option<Held>,
    /// How the current one does, until a run of it ends well.
    #[serde(default)]
    pub trial: Option<Trial>,
}

/// What came last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Its digest.
    pub digest: String,
    /// When its file was written.
    pub written_at: Timestamp,
    /// How it came.
    pub by: Way,
}

/// How a version came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As a file of a folder of plugins.
    File,
    /// Over REST.
    Rest,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// When it was offered first.
    pub added_at: Timestamp,
    /// What it may reach; of one with an interpreter, what it was seen to reach for.
    pub wants: BTreeSet<Want>,
    /// Whether it carries an interpreter.
    #[serde(default)]
    pub interpreter: bool,
    /// The text of its signature.
    #[serde(default)]
    pub signature: Option<String>,
    /// Why it was taken back.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether only somebody without a name has offered it, over REST: then jobs that see folders,
    /// variables or secrets don't run it.
    #[serde(default)]
    pub unnamed: bool,
}

/// A version on trial beside the current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Which.
    pub digest: String,
    /// How many runs it is given.
    pub share: Share,
}

/// A version that wants more than the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub digest: String,
    /// What it wants that the one before did not.
    pub new: BTreeSet<Want>,
    /// Whether that showed when it ran, rather than from what it imports.
    #[serde(default)]
    pub ran: bool,
}

/// The first runs of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Whose.
    pub digest: String,
    /// The one that it took the place of.
    pub before: String,
    /// Runs that failed, one after another, from the first on.
    pub failures: u32,
}

/// What an offer is measured by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Versions that are kept, 1 at least.
    pub keep: usize,
    /// Whether one that wants more waits for approval.
    pub hold: bool,
    /// Whether runs are counted until the first that ends well.
    pub trial: bool,
    /// Whether an offer counts that is older than the one before: somebody just made it here.
    pub any_age: bool,
}

/// What became of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is what came last, too: nothing changes.
    Same,
    /// What came last was written later.
    Older,
    /// It is the current version now.
    Current,
    /// It waits for approval.
    Held(BTreeSet<Want>),
}

impl Versions {
    /// Of a plugin's first version.
    pub fn first(version: Version, offered: Offered) -> Self {
        Self {
            current: version.digest.clone(),
            offered,
            kept: vec![version],
            pinned: None,
            canary: None,
            held: None,
            trial: None,
        }
    }

    /// Takes in what came from a file or over REST.
    pub fn offer(&mut self, version: Version, offered: Offered, rules: Rules) -> Taken {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.digest == version.digest) {
            kept.unnamed &= version.unnamed;
            // The same bytes may be signed anew.
            kept.signature = version.signature.clone().or(kept.signature.take());
        }
        if version.digest == self.offered.digest {
            return Taken::Same;
        }
        if !rules.any_age && offered.written_at < self.offered.written_at {
            return Taken::Older;
        }
        self.offered = offered;
        let digest = version.digest.clone();
        let new = self.new_wants(&version);
        match self.kept.iter_mut().find(|kept| kept.digest == digest) {
            // It comes back; what it was seen to want stays known.
            Some(kept) => {
                kept.note = None;
            }
            None => self.kept.insert(0, version),
        }
        // What waited and was never approved is none that could be gone back to.
        if let Some(held) = self.held.take_if(|held| held.digest != digest) {
            self.kept.retain(|kept| kept.digest != held.digest);
        }
        self.held = None;
        let taken = if rules.hold && !new.is_empty() {
            self.held = Some(Held { digest, new: new.clone(), ran: false });
            Taken::Held(new)
        } else {
            self.advance(digest, rules.trial);
            Taken::Current
        };
        self.forget(rules.keep);
        taken
    }

    /// The version that runs, but for a canary's runs.
    pub fn running(&self) -> &str {
        self.pinned.as_ref().unwrap_or(&self.current)
    }

    /// The version of one run.
    pub fn of_run(&self, run: impl Hash) -> &str {
        match &self.canary {
            Some(canary) if canary.share.has(run) => &canary.digest,
            Some(_) | None => self.running(),
        }
    }

    /// The version of this digest.
    pub fn get(&self, digest: &str) -> Option<&Version> {
        self.kept.iter().find(|kept| kept.digest == digest)
    }

    /// The digest that `text` is, or is the beginning of; `newest` is the one that came last.
    ///
    /// # Errors
    ///
    /// There is none, or there are several.
    pub fn find(&self, text: &str) -> Result<String, String> {
        if text == NEWEST && self.get(&self.offered.digest).is_some() {
            return Ok(self.offered.digest.clone());
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        if digits.len() < MIN_DIGITS {
            return Err(format!("`{text}` is too short: give {MIN_DIGITS} digits of it at least"));
        }
        let is_it = |kept: &&Version| {
            kept.digest.strip_prefix("sha256:").is_some_and(|hex| hex.starts_with(&digits))
        };
        let mut found = self.kept.iter().filter(is_it);
        match (found.next(), found.next()) {
            (Some(version), None) => Ok(version.digest.clone()),
            (Some(_), Some(_)) => Err(format!("`{text}` begins several versions; give more of it")),
            (None, _) => Err(format!("no version `{text}` is kept; there are {}", self.names())),
        }
    }

    /// Goes back to the version before, or to `to`. Answers what is current then.
    ///
    /// # Errors
    ///
    /// Why that can't be.
    pub fn roll_back(&mut self, to: Option<&str>, why: &str) -> Result<String, String> {
        if let Some(pinned) = &self.pinned {
            return Err(format!("version {} is pinned; unpin it first", short(pinned)));
        }
        let to = match to {
            Some(to) => to.to_owned(),
            None => self.before(&self.current).ok_or_else(|| {
                format!("no version is kept from before {}", short(&self.current))
            })?,
        };
        if to == self.current {
            return Err(format!("version {} is the current one already", short(&to)));
        }
        if self.held.as_ref().is_some_and(|held| held.digest == to) {
            return Err(format!("version {} is held; approve it to let it run", short(&to)));
        }
        let left = std::mem::replace(&mut self.current, to.clone());
        self.note(&left, Some(why));
        self.note(&to, None);
        self.trial = None;
        self.canary =
            self.canary.take().filter(|canary| canary.digest != to && canary.digest != left);
        Ok(to)
    }

    /// Lets one version run whatever comes: `digest`, or the one that runs now.
    ///
    /// # Errors
    ///
    /// Why that can't be.
    pub fn pin(&mut self, digest: Option<&str>) -> Result<(), String> {
        let digest = digest.unwrap_or(self.running()).to_owned();
        if self.held.as_ref().is_some_and(|held| held.digest == digest) {
            return Err(format!("version {} is held; approve it to let it run", short(&digest)));
        }
        self.pinned = Some(digest);
        Ok(())
    }

    /// Lets the current version run again.
    pub fn unpin(&mut self) {
        self.pinned = None;
        let running = self.running().to_owned();
        self.canary = self.canary.take().filter(|canary| canary.digest != running);
    }

    /// Gives `share` of all runs to a version; `None` ends that.
    ///
    /// # Errors
    ///
    /// Why that can't be.
    pub fn try_on(&mut self, digest: &str, share: Option<Share>) -> Result<(), String> {
        if self.held.as_ref().is_some_and(|held| held.digest == digest) {
            return Err(format!("version {} is held; approve it to let it run", short(digest)));
        }
        if share.is_some() && self.running() == digest {
            return Err(format!("version {} runs already, for all runs", short(digest)));
        }
        self.canary = share.map(|share| Canary { digest: digest.to_owned(), share });
        Ok(())
    }

    /// Notes how a run of a version ended. Answers whether so many have failed, one after another from
    /// the first on, that the version before should come back; then the trial stands still at that.
    pub fn ended(&mut self, digest: &str, well: bool, most: u32) -> bool {
        let Some(trial) = self.trial.as_mut().filter(|trial| trial.digest == digest) else {
            return false;
        };
        if well {
            self.trial = None;
            return false;
        }
        trial.failures = trial.failures.saturating_add(1).min(most);
        most > 0 && trial.failures >= most
    }

    /// The newest version older than `digest` that was not taken back.
    pub fn before(&self, digest: &str) -> Option<String> {
        let older = self.kept.iter().skip_while(|kept| kept.digest != digest).skip(1);
        let held = self.held.as_ref().map(|held| &held.digest);
        let mut good = older.filter(|kept| kept.note.is_none() && Some(&kept.digest) != held);
        good.next().map(|kept| kept.digest.clone())
    }

    pub(super) fn advance(&mut self, digest: String, trial: bool) {
        let before = std::mem::replace(&mut self.current, digest.clone());
        // The newest stands first: what is gone back to is what stood here before.
        if let Some(at) = self.kept.iter().position(|kept| kept.digest == digest) {
            let version = self.kept.remove(at);
            self.kept.insert(0, version);
        }
        self.canary = self.canary.take().filter(|canary| canary.digest != digest);
        self.trial = (trial && before != digest).then_some(Trial { digest, before, failures: 0 });
    }

    pub(super) fn note(&mut self, digest: &str, why: Option<&str>) {
        if let Some(version) = self.kept.iter_mut().find(|kept| kept.digest == digest) {
            version.note = why.map(|why| why.chars().take(MAX_NOTE_BYTES / 4).collect());
        }
    }

    fn forget(&mut self, keep: usize) {
        let mut left = keep.max(1);
        let needed: BTreeSet<String> = [
            Some(self.current.clone()),
            self.pinned.clone(),
            self.canary.as_ref().map(|canary| canary.digest.clone()),
            self.held.as_ref().map(|held| held.digest.clone()),
            self.trial.as_ref().map(|trial| trial.before.clone()),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.kept.retain(|kept| {
            let within = left > 0;
            left = left.saturating_sub(1);
            within || needed.contains(&kept.digest)
        });
    }

    fn names(&self) -> String {
        self.kept.iter().map(|kept| short(&kept.digest)).collect::<Vec<_>>().join(", ")
    }
}

/// As much of a digest as tells versions apart for people.
pub fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).unwrap_or(digest)
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
