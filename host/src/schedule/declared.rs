//! What the hosts of a fleet declare, and what one of them may do about a job because of that
//! (rule A13).
//!
//! - Each host tells which jobs it declares. Of two live hosts' definitions of one job the higher
//!   `config_version` wins; at the same version the one that is in force stays. A definition that
//!   lacks what its plugin would give it does not stand against the same one that has it.
//! - A job is parked when no live host declares it. A host that has just started and has not said
//!   what it declares counts as if it declared everything.
//! - Whoever left may come back: a restart is two sessions with nothing in between. Nothing is parked,
//!   and no definition falls back to an older one, until the fleet has stood still for a while: no
//!   host came, left or declared anything else. Then the host with the least session parks.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::definitions::Definitions;
use crate::config::resolve::Resolved;
use crate::job::JobKey;
use crate::record::Schedule;

/// Hexadecimal digits that are enough to tell two definitions apart.
const DIGITS: usize = 16;

/// One job as one host declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Which.
    pub job: JobKey,
    /// The beginning of its definition's digest.
    pub digest: String,
    /// The same of what is written alone, without what was merged into it.
    pub written: String,
    /// Of two the higher wins.
    pub version: i64,
    /// Whether it may lack what its plugin would give it.
    pub incomplete: bool,
}

impl Declared {
    fn of(resolved: &Resolved) -> Self {
        Self {
            job: resolved.job.key.clone(),
            digest: short(&resolved.digest),
            written: hash(&resolved.definition),
            version: resolved.config_version,
            incomplete: resolved.incomplete,
        }
    }
}

/// All that one host declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// By name.
    jobs: Vec<Declared>,
    /// Files and plugins that it can't read in full: it may declare what they did before.
    broken: BTreeSet<String>,
}

impl Declaration {
    /// What these definitions declare.
    pub fn of(definitions: &Definitions) -> Self {
        let mut jobs: Vec<_> = definitions.jobs.iter().map(Declared::of).collect();
        jobs.sort_by(|a, b| a.job.cmp(&b.job));
        Self { jobs, broken: definitions.broken.clone() }
    }

    /// The version with which it defines a job otherwise than is `kept`.
    pub fn otherwise(&self, kept: &Schedule) -> Option<i64> {
        let declared = self.get(&kept.key)?;
        let lacks = declared.incomplete && declared.written == hash(&kept.def.definition.get());
        let differs = declared.digest != short(&kept.def.digest);
        (differs && !lacks).then_some(declared.version)
    }

    fn get(&self, job: &JobKey) -> Option<&Declared> {
        let found = self.jobs.binary_search_by(|declared| declared.job.cmp(job)).ok()?;
        self.jobs.get(found)
    }
}

/// A definition's digest, short.
fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(DIGITS).collect()
}

fn hash(definition: &Value) -> String {
    let hash = Sha256::digest(definition.to_string().as_bytes());
    hash.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The other hosts of a fleet, as one of them sees them.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// What those declare that have said so.
    pub known: Vec<Arc<Declaration>>,
    /// Whether one that lives has not said yet.
    pub silent: bool,
    /// Whether nobody has come, left or declared anything else for a while.
    pub settled: bool,
    /// Whether this host is the one that parks.
    pub parks: bool,
}

/// Whose definition of a job counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// The own one.
    Own,
    /// Another host's, which is newer: of this version.
    Newer(i64),
    /// Another host's of the same version, which was there first.
    First(i64),
    /// That can't be told yet.
    Unknown,
}

impl Peers {
    /// Whether `own` counts or what is `kept`; `undeclared`: nobody declared it until now.
    pub fn counts(&self, own: &Resolved, kept: &Schedule, undeclared: bool) -> Counts {
        if let Some(rival) = self.newer(own) {
            return Counts::Newer(rival.version);
        }
        let version = kept.def.config_version;
        if undeclared || self.is_unfinished(own, kept) {
            return Counts::Own;
        }
        if version < own.config_version {
            return Counts::Own;
        }
        if version == own.config_version && self.holders(kept).next().is_some() {
            return Counts::First(version);
        }
        match (self.settled && !self.silent, version == own.config_version) {
            (true, _) => Counts::Own,
            // Its host may be about to come back.
            (false, false) => Counts::Newer(version),
            (false, true) if self.silent => Counts::Unknown,
            (false, true) => Counts::Own,
        }
    }

    /// The version that another host defines `own` otherwise with, when it is the same.
    pub fn differs(&self, own: &Resolved) -> Option<i64> {
        let mut versions = self.others(own).map(|declared| declared.version);
        versions.find(|version| *version == own.config_version)
    }

    /// Whether somebody may declare a job that this host does not.
    pub fn may_declare(&self, kept: &Schedule) -> bool {
        let declares = |declaration: &Declaration| {
            declaration.get(&kept.key).is_some() || declaration.broken.contains(&kept.def.origin)
        };
        self.silent || self.known.iter().any(|declaration| declares(declaration))
    }

    /// Other definitions of `own` that stand against it.
    fn others<'a>(&'a self, own: &'a Resolved) -> impl Iterator<Item = &'a Declared> + 'a {
        let (digest, written) = (short(&own.digest), hash(&own.definition));
        self.declared(&own.job.key).filter(move |declared| {
            let lacks = (declared.incomplete || own.incomplete) && declared.written == written;
            declared.digest != digest && !lacks
        })
    }

    fn newer<'a>(&'a self, own: &'a Resolved) -> Option<&'a Declared> {
        let newer = self.others(own).filter(|declared| own.config_version < declared.version);
        newer.max_by_key(|declared| declared.version)
    }

    /// What live hosts declare that is just what is kept.
    fn holders<'a>(&'a self, kept: &'a Schedule) -> impl Iterator<Item = &'a Declared> + 'a {
        let digest = short(&kept.def.digest);
        self.declared(&kept.key).filter(move |declared| declared.digest == digest)
    }

    /// What each of those that are known declares of a job.
    fn declared<'a>(&'a self, job: &'a JobKey) -> impl Iterator<Item = &'a Declared> + 'a {
        self.known.iter().filter_map(move |declaration| declaration.get(job))
    }

    /// Whether what is kept is `own` without what its plugin gives it.
    fn is_unfinished(&self, own: &Resolved, kept: &Schedule) -> bool {
        let written = hash(&own.definition);
        let mut holders = self.holders(kept);
        !own.incomplete
            && holders.any(|declared| declared.incomplete && declared.written == written)
    }
}
