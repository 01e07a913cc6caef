//! Jobs as values, parsed once for each definition.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::job::{Job, JobSpec};
use crate::record::{Definition, Schedule};

/// Definitions kept parsed at most; beyond that all are forgotten and parsed again.
const MAX_PARSED: usize = 200_000;

/// The definitions that were parsed lately. Jobs that are defined alike share what comes out.
#[derive(Default)]
pub struct JobCache {
    parsed: Mutex<HashMap<Alike, Parsed>>,
}

type Parsed = Result<Arc<JobSpec>, Arc<str>>;

impl JobCache {
    /// The job that `schedule` defines.
    ///
    /// # Errors
    ///
    /// What is wrong with its effective definition: it was written by a host that knew other keys.
    pub fn get(&self, schedule: &Schedule) -> Result<Job, String> {
        let alike = Alike(Arc::clone(&schedule.def));
        let known = self.lock().get(&alike).cloned();
        let parsed = match known {
            Some(parsed) => parsed,
            None => {
                // Nobody waits while a long definition is read.
                let parsed = parse(schedule);
                let mut all = self.lock();
                if MAX_PARSED <= all.len() {
                    all.clear();
                }
                all.insert(alike, parsed.clone());
                parsed
            }
        };
        match parsed {
            Ok(spec) => Ok(Job { key: schedule.key.clone(), spec }),
            Err(error) => Err(error.to_string()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Alike, Parsed>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(schedule: &Schedule) -> Parsed {
    let job = schedule.def.effective.job(schedule.key.clone());
    job.map(|job| job.spec).map_err(|problems| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into()
    })
}

/// A definition as a key: those that work alike are one. Its digest is enough to tell most apart,
/// so that a long text need not be gone through.
struct Alike(Arc<Definition>);

impl PartialEq for Alike {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.digest == other.0.digest && self.0.effective == other.0.effective)
    }
}

impl Eq for Alike {}

impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}
