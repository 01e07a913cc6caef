//! Jobs as values, parsed once for each version of their schedule.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::job::{Job, JobKey};
use crate::record::Schedule;

/// Jobs kept parsed at most; beyond that all are forgotten and parsed again.
const MAX_JOBS: usize = 200_000;

/// The jobs that were parsed lately.
#[derive(Default)]
pub struct JobCache {
    jobs: Mutex<HashMap<JobKey, Parsed>>,
}

#[derive(Clone)]
struct Parsed {
    uid: crate::run::id::Uid,
    version: u64,
    job: Result<Arc<Job>, Arc<str>>,
}

impl JobCache {
    /// The job that `schedule` defines.
    ///
    /// # Errors
    ///
    /// What is wrong with its effective definition: it was written by a host that knew other keys.
    pub fn get(&self, schedule: &Schedule) -> Result<Arc<Job>, String> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let current = jobs
            .get(&schedule.key)
            .filter(|parsed| parsed.uid == schedule.uid && parsed.version == schedule.version);
        let parsed = match current {
            Some(parsed) => parsed.clone(),
            None => {
                let parsed = parse(schedule);
                if jobs.len() >= MAX_JOBS {
                    jobs.clear();
                }
                jobs.insert(schedule.key.clone(), parsed.clone());
                parsed
            }
        };
        parsed.job.map_err(|error| error.to_string())
    }
}

fn parse(schedule: &Schedule) -> Parsed {
    let job = schedule.def.effective.job(schedule.key.clone());
    let job = job.map(Arc::new).map_err(|problems| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into()
    });
    Parsed { uid: schedule.uid, version: schedule.version, job }
}
