//! Whose past is looked at when something may be forgotten: every job's in turn, and out of turn
//! those that grew much.
//!
//! Age alone makes records go, so nobody may be left out; but there may be 100,000 jobs, so one step
//! looks at some of them. What is lost of this with a process costs one more round.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::job::JobKey;

/// A job that has so many more records than at the last round is looked at out of turn.
pub const MUCH: u32 = 32;
/// Jobs looked at out of turn in one step at most.
pub const OUT_OF_TURN: usize = 64;

/// How far the round is, and who grew meanwhile.
#[derive(Debug, Default)]
pub(in crate::store) struct Rounds {
    /// The job that was looked at last.
    after: Option<JobKey>,
    /// Records that each job got in this round.
    growth: HashMap<JobKey, u32>,
    /// Jobs to be looked at out of turn, first come first.
    urgent: VecDeque<JobKey>,
    /// The same ones: none is to be named twice.
    is_urgent: HashSet<JobKey>,
}

/// Whom to look at in one step.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The round goes on after this job, by tenant and name; `None`: from the top.
    pub after: Option<JobKey>,
    /// These are looked at as well.
    pub urgent: Vec<JobKey>,
}

/// Who was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// The last job of the round's part; `None` when the round is over.
    pub last: Option<JobKey>,
    /// Whether the budget ended that part.
    pub is_cut: bool,
    /// Jobs with more to forget than one step may.
    pub unfinished: Vec<JobKey>,
}

impl Rounds {
    /// One more record of `job` may have to be forgotten some time.
    pub(in crate::store) fn grew(&mut self, job: &JobKey) {
        let growth = match self.growth.get_mut(job) {
            Some(growth) => growth,
            None => self.growth.entry(job.clone()).or_default(),
        };
        *growth += 1;
        if *growth == MUCH {
            self.hurry(job.clone());
        }
    }

    fn hurry(&mut self, job: JobKey) {
        if self.is_urgent.insert(job.clone()) {
            self.urgent.push_back(job);
        }
    }

    /// Whom to look at now.
    pub(in crate::store) fn next(&mut self) -> Look {
        let urgent: Vec<JobKey> = self.urgent.drain(..self.urgent.len().min(OUT_OF_TURN)).collect();
        for job in &urgent {
            self.is_urgent.remove(job);
            self.growth.remove(job);
        }
        Look { after: self.after.clone(), urgent }
    }

    /// Notes who was looked at. Answers whether the next step has something to forget, as far as
    /// is known.
    pub(in crate::store) fn looked(&mut self, looked: Looked) -> bool {
        if looked.last.is_none() {
            self.growth.clear();
        }
        self.after = looked.last;
        looked.unfinished.into_iter().for_each(|job| self.hurry(job));
        looked.is_cut || !self.urgent.is_empty()
    }
}
