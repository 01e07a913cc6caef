//! Versions that want more of the world than the one before: held until somebody approves.

use std::collections::BTreeSet;

use super::versions::{Held, Version, Versions, short};
use super::wants::{Want, list};

impl Versions {
    /// Lets the held version run. Answers what it may reach now that the one before did not.
    ///
    /// # Errors
    ///
    /// None is held, or another one than `digest`.
    pub fn approve(&mut self, digest: Option<&str>, trial: bool) -> Result<BTreeSet<Want>, String> {
        let Some(held) = self.held.take_if(|held| digest.is_none_or(|it| *it == held.digest))
        else {
            return Err(match &self.held {
                Some(held) => format!("the version that is held is {}", short(&held.digest)),
                None => "no version is held".to_owned(),
            });
        };
        if let Some(version) = self.kept.iter_mut().find(|kept| kept.digest == held.digest) {
            version.wants.extend(&held.new);
        }
        self.note(&held.digest, None);
        self.advance(held.digest, trial);
        Ok(held.new)
    }

    /// Notes what a version with an interpreter was seen to reach for, and what of that it was
    /// denied. What is new and was denied holds it, if there is one before: answers that.
    pub fn reached(
        &mut self,
        digest: &str,
        used: &BTreeSet<Want>,
        denied: &BTreeSet<Want>,
        hold: bool,
    ) -> BTreeSet<Want> {
        let nothing = BTreeSet::new();
        let before = self.before(digest).and_then(|before| self.get(&before));
        let known = before.map(|before| before.wants.clone());
        let Some(version) = self.kept.iter_mut().find(|kept| kept.digest == digest) else {
            return nothing;
        };
        if !version.interpreter {
            return nothing;
        }
        let new: BTreeSet<Want> = match &known {
            Some(known) if hold => {
                denied.iter().filter(|it| !known.contains(it)).copied().collect()
            }
            Some(_) | None => nothing,
        };
        let new: BTreeSet<Want> = new.difference(&version.wants).copied().collect();
        version.wants.extend(used);
        version.wants.extend(denied.difference(&new));
        if new.is_empty() || self.current != digest || self.pinned.is_some() {
            return BTreeSet::new();
        }
        let why = format!("held: it reached for {} when it ran", list(&new));
        if self.roll_back(None, &why).is_ok() {
            self.held = Some(Held { digest: digest.to_owned(), new: new.clone(), ran: true });
        }
        new
    }

    /// Whether [`Self::reached`] would change anything.
    pub fn is_news(&self, digest: &str, used: &BTreeSet<Want>, denied: &BTreeSet<Want>) -> bool {
        self.get(digest).is_some_and(|version| {
            version.interpreter && used.union(denied).any(|want| !version.wants.contains(want))
        })
    }

    /// What a version wants that the one that runs does not. An interpreter's imports tell nothing.
    pub(super) fn new_wants(&self, version: &Version) -> BTreeSet<Want> {
        let running = self.get(self.running());
        match running.filter(|_| !version.interpreter) {
            Some(running) => version.wants.difference(&running.wants).copied().collect(),
            None => BTreeSet::new(),
        }
    }
}
