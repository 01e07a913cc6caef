//! Files, sidecars and plugins against what the store holds: which jobs to create, replace, park.
//!
//! The store owns the jobs. A definition whose digest is unchanged changes nothing, so that a
//! restart keeps next fires, grids and pauses; what is declared no more is parked and never
//! removed; jobs of REST and guests are not touched (rule A12, A13). Decides only: whoever
//! takes the steps meets versions that moved on, and then asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::declared::{Counts, Peers};
use crate::config::resolve::Resolved;
use crate::job::{Job, JobKey, Source};
use crate::record::packed::{Effective, Packed};
use crate::record::step::{NewSchedule, Patch};
use crate::record::{Definition, Rules, Schedule, TriggerState};
use crate::time::Timestamp;
use crate::trigger::GaveUp;
use begin::{Begin, overdue, settle};

pub mod asked;
mod begin;
#[cfg(test)]
mod tests;

/// Why a job is parked that no file and no plugin declares any more, and what its overdue fire
/// times are cancelled for.
pub const UNDECLARED: &str = "undeclared";
/// What overdue fire times are cancelled for when their job gets another trigger.
pub const RESCHEDULED: &str = "rescheduled";
/// Why fire times have the verdict `paused`.
pub const PAUSED: &str = "paused";

/// What to do, and what people should know.
#[derive(Clone, Debug, Default)]
pub struct Reconciliation {
    /// One for each job that is declared or was; by name.
    pub steps: Vec<Step>,
    /// What people should know.
    pub warnings: Vec<Warning>,
}

/// What to do about one job.
#[derive(Clone, Debug)]
pub enum Step {
    /// Put it, failing if it exists.
    Create(NewSchedule),
    /// Put it in place of the version that is there.
    Replace(Replacement),
    /// Patch the version `expect`: nobody declares it any more.
    Park {
        /// The job.
        job: JobKey,
        /// The version that is there.
        expect: u64,
        /// Parks it, takes its cursor away and gives a verdict to what was overdue.
        patch: Patch,
    },
    /// Nothing.
    Leave {
        /// The job.
        job: JobKey,
        /// Why.
        why: Left,
    },
}

/// A job that is put in place of another definition of itself.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// To be patched in first, when fire times are overdue that the new trigger knows nothing of;
    /// the version to replace is then the one that the patch answers.
    pub first: Option<Patch>,
    /// The job.
    pub schedule: NewSchedule,
    /// The version that is there.
    pub expect: u64,
}

/// Why nothing is done about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is as it should be.
    Unchanged,
    /// Its file or plugin is broken: nobody can tell what it should be.
    Broken,
    /// Another host has a newer definition.
    Newer,
    /// Another host has one of the same version, and was first.
    First,
    /// Another host may declare it.
    Elsewhere,
    /// REST or a guest made it.
    NotOurs,
}

/// Something that people should know about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The job.
    pub job: JobKey,
    /// What.
    pub concern: Concern,
}

/// What people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Its trigger has no fire time left.
    Finished,
    /// Its one fire time had passed before it was registered.
    BeforeRegistration(Timestamp),
    /// The members of its `and` do not agree on a fire time: it is parked.
    GaveUp(GaveUp),
    /// Another host has a newer definition, of this version.
    Newer(i64),
    /// Two hosts define it differently with the same version (`config_conflict`).
    ConfigConflict {
        /// The version.
        version: i64,
        /// Whether this host's definition is in force.
        ours: bool,
    },
    /// REST or a guest made a job of this name, which stays.
    NameTaken(Source),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = &self.job.job;
        match &self.concern {
            Concern::Finished => {
                write!(f, "job `{job}` is finished: its trigger has no fire time left")
            }
            Concern::BeforeRegistration(time) => write!(
                f,
                "job `{job}` is finished: {time} had passed before it was registered; set \
                 `misfire_grace_time` to run it all the same"
            ),
            Concern::GaveUp(gave_up) => write!(f, "job `{job}` is parked: {gave_up}"),
            Concern::Newer(version) => write!(
                f,
                "job `{job}` stays as another host defines it, with config_version {version}, \
                 which is newer"
            ),
            Concern::ConfigConflict { version, ours } => write!(
                f,
                "config_conflict: another host defines job `{job}` otherwise with the same \
                 config_version {version}; {} stands; give the right one a higher config_version",
                if *ours { "this host's definition" } else { "theirs, which was first," }
            ),
            Concern::NameTaken(source) => {
                let maker = match source {
                    Source::Guest => "a guest",
                    Source::Api | Source::File | Source::Sidecar | Source::Plugin => "REST",
                };
                write!(
                    f,
                    "job `{job}` was made by {maker} and stays; choose another name for the declared one"
                )
            }
        }
    }
}

/// How a job is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It fires, or waits to be asked.
    Active,
    /// Somebody paused it.
    Paused,
    /// It is not scheduled, for a reason of the host's.
    Parked,
    /// Its trigger has no fire time left.
    Finished,
}

/// How a job is shown. Parked counts before paused, and both before finished.
pub fn state(schedule: &Schedule) -> JobState {
    if schedule.parked.is_some() {
        JobState::Parked
    } else if schedule.pause.is_some() {
        JobState::Paused
    } else if schedule.cursor.is_none() && !schedule.def.effective.trigger().is_null() {
        JobState::Finished
    } else {
        JobState::Active
    }
}

/// Decides about every job that is `desired` or `stored`.
///
/// `broken` are the origins that can't be read in full now: what they declared before is left.
/// `peers` are the other hosts, on a store that many share: they declare jobs as well, and say whose
/// definition counts and what is declared no more.
pub fn reconcile(
    desired: &[Resolved],
    stored: &[Schedule],
    broken: &BTreeSet<String>,
    peers: Option<&Peers>,
    now: Timestamp,
) -> Reconciliation {
    let mut jobs: BTreeMap<&JobKey, (Option<&Resolved>, Option<&Schedule>)> = BTreeMap::new();
    for resolved in desired {
        jobs.entry(&resolved.job.key).or_default().0 = Some(resolved);
    }
    for schedule in stored {
        jobs.entry(&schedule.key).or_default().1 = Some(schedule);
    }
    let mut all = Reconciliation::default();
    for (_, both) in jobs {
        match both {
            (Some(resolved), None) => all.create(resolved, now),
            (Some(resolved), Some(schedule)) => all.compare(resolved, schedule, peers, now),
            (None, Some(schedule)) => all.undeclared(schedule, broken, peers, now),
            (None, None) => (),
        }
    }
    all
}

impl Reconciliation {
    fn create(&mut self, resolved: &Resolved, now: Timestamp) {
        let begin = Begin::new(&resolved.job, now, None, now);
        self.warn(&resolved.job, &begin);
        self.steps.push(Step::Create(NewSchedule {
            parked: begin.gave_up.map(|gave_up| gave_up.to_string()),
            ranges: begin.misfired.into_iter().collect(),
            ..new_schedule(resolved, begin.cursor, now)
        }));
    }

    fn compare(
        &mut self,
        resolved: &Resolved,
        schedule: &Schedule,
        peers: Option<&Peers>,
        now: Timestamp,
    ) {
        let same_source = schedule.source == resolved.source;
        let unchanged = same_source && schedule.def.digest == resolved.digest;
        // The digest does not tell which layer gave a value. Of hosts that share a store each has
        // layers of its own, and none would ever be content.
        let well_told = peers.is_some()
            || resolved.incomplete
            || schedule.def.origins.get() == resolved.origins;
        let waits_for_a_layer = same_source
            && resolved.incomplete
            && schedule.def.definition.get() == resolved.definition;
        let undeclared = schedule.parked.as_deref() == Some(UNDECLARED);
        let job = &schedule.key;
        match schedule.source {
            Source::Api | Source::Guest => {
                self.concern(job, Concern::NameTaken(schedule.source));
                self.leave(job, Left::NotOurs);
            }
            Source::File | Source::Sidecar | Source::Plugin => {
                if unchanged && well_told && !undeclared {
                    if let Some(version) = peers.and_then(|peers| peers.differs(resolved)) {
                        self.concern(job, Concern::ConfigConflict { version, ours: true });
                    }
                    self.leave(job, Left::Unchanged);
                } else if waits_for_a_layer && !undeclared {
                    self.leave(job, Left::Broken);
                } else {
                    let own = Counts::Own;
                    match peers.map_or(own, |it| it.counts(resolved, schedule, undeclared)) {
                        Counts::Own => self.replace(resolved, schedule, undeclared, now),
                        Counts::Newer(version) => {
                            self.concern(job, Concern::Newer(version));
                            self.leave(job, Left::Newer);
                        }
                        Counts::First(version) => {
                            self.concern(job, Concern::ConfigConflict { version, ours: false });
                            self.leave(job, Left::First);
                        }
                        Counts::Unknown => self.leave(job, Left::Elsewhere),
                    }
                }
            }
        }
    }

    fn replace(
        &mut self,
        resolved: &Resolved,
        schedule: &Schedule,
        undeclared: bool,
        now: Timestamp,
    ) {
        let expect = schedule.version;
        let same_trigger = schedule.def.effective.trigger() == resolved.effective["trigger"];
        if same_trigger && !undeclared {
            let schedule = NewSchedule {
                due_at: schedule.due_at,
                keep_cursor: true,
                parked: schedule.parked.clone(),
                ..new_schedule(resolved, schedule.cursor, schedule.trigger_state.anchor)
            };
            self.steps.push(Step::Replace(Replacement { first: None, schedule, expect }));
            return;
        }
        let anchor = if same_trigger { schedule.trigger_state.anchor } else { now };
        let mut begin = Begin::new(&resolved.job, anchor, schedule.last_fire, now);
        if schedule.cursor.is_some() && schedule.cursor == begin.run_date(&resolved.job) {
            // The one fire time is the one that was registered, whatever else was rewritten.
            begin = Begin::at(schedule.cursor);
        }
        self.warn(&resolved.job, &begin);
        let first = settle(schedule, &begin, now);
        let schedule = NewSchedule {
            parked: begin.gave_up.map(|gave_up| gave_up.to_string()),
            ..new_schedule(resolved, begin.cursor, anchor)
        };
        self.steps.push(Step::Replace(Replacement { first, schedule, expect }));
    }

    fn undeclared(
        &mut self,
        schedule: &Schedule,
        broken: &BTreeSet<String>,
        peers: Option<&Peers>,
        now: Timestamp,
    ) {
        let stays = |peers: &Peers| !peers.parks || !peers.settled || peers.may_declare(schedule);
        let job = &schedule.key;
        match schedule.source {
            Source::Api | Source::Guest => (),
            Source::File | Source::Sidecar | Source::Plugin => {
                if schedule.parked.as_deref() == Some(UNDECLARED) {
                    self.leave(job, Left::Unchanged);
                } else if broken.contains(&schedule.def.origin) {
                    self.leave(job, Left::Broken);
                } else if peers.is_some_and(stays) {
                    self.leave(job, Left::Elsewhere);
                } else {
                    let patch = Patch {
                        parked: Some(Some(UNDECLARED.to_owned())),
                        cursor: Some((None, None)),
                        ranges: overdue(schedule, UNDECLARED, None, now),
                        ..Patch::default()
                    };
                    self.steps.push(Step::Park {
                        job: job.clone(),
                        expect: schedule.version,
                        patch,
                    });
                }
            }
        }
    }

    fn leave(&mut self, job: &JobKey, why: Left) {
        self.steps.push(Step::Leave { job: job.clone(), why });
    }

    fn concern(&mut self, job: &JobKey, concern: Concern) {
        self.warnings.push(Warning { job: job.clone(), concern });
    }

    /// Warns of a job that begins at its end.
    fn warn(&mut self, job: &Job, begin: &Begin) {
        let concern = match (&begin.misfired, begin.gave_up) {
            _ if begin.cursor.is_some() || job.trigger.is_none() => return,
            (_, Some(gave_up)) => Concern::GaveUp(gave_up),
            (Some(range), None) => Concern::BeforeRegistration(range.first),
            (None, None) => Concern::Finished,
        };
        self.concern(&job.key, concern);
    }
}

/// The record of a resolved job.
fn new_schedule(resolved: &Resolved, cursor: Option<Timestamp>, anchor: Timestamp) -> NewSchedule {
    NewSchedule {
        key: resolved.job.key.clone(),
        source: resolved.source,
        def: Definition {
            definition: Packed::of(&resolved.definition),
            effective: Effective::of(&resolved.effective),
            digest: resolved.digest.clone(),
            config_version: resolved.config_version,
            origin: resolved.origin.clone(),
            origins: Packed::of(&resolved.origins),
        },
        cursor,
        due_at: cursor.map(|cursor| resolved.job.due_at(anchor, cursor)),
        trigger_state: TriggerState { anchor },
        keep_cursor: false,
        max_instances: resolved.job.policy.max_instances.get(),
        rules: Rules::of(&resolved.job.policy),
        history: resolved.job.history,
        parked: None,
        ranges: Vec::new(),
    }
}
