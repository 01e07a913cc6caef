//! The attempts under way on this host: which there are, and how to reach their guests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::control::Control;
use crate::run::RunKey;
use crate::run::id::Fence;

/// The attempts under way on this host.
#[derive(Default)]
pub struct Live {
    attempts: Mutex<HashMap<RunKey, Attempt>>,
}

struct Attempt {
    fence: Fence,
    /// Set while its guest runs.
    control: Option<Arc<Control>>,
}

impl Live {
    /// Takes in an attempt. Answers whether it is new: an attempt is never made twice.
    pub(super) fn begin(&self, run: &RunKey, fence: Fence) -> bool {
        let mut attempts = self.lock();
        if attempts.get(run).is_some_and(|known| known.fence >= fence) {
            return false;
        }
        attempts.insert(run.clone(), Attempt { fence, control: None });
        true
    }

    /// The attempt's guest runs now, and can be reached by `control`.
    pub(super) fn runs(&self, run: &RunKey, control: &Arc<Control>) {
        if let Some(attempt) = self.lock().get_mut(run) {
            attempt.control = Some(Arc::clone(control));
        }
    }

    /// The attempt is over and the store knows.
    pub(super) fn end(&self, run: &RunKey, fence: Fence) {
        let mut attempts = self.lock();
        if attempts.get(run).is_some_and(|known| known.fence == fence) {
            attempts.remove(run);
        }
    }

    /// Whether this attempt is under way here.
    pub(super) fn knows(&self, run: &RunKey, fence: Fence) -> bool {
        self.lock().get(run).is_some_and(|known| known.fence >= fence)
    }

    /// All whose guests run.
    pub(super) fn running(&self) -> Vec<(RunKey, Fence, Arc<Control>)> {
        let attempts = self.lock();
        let running = attempts.iter().filter_map(|(run, attempt)| {
            Some((run.clone(), attempt.fence, attempt.control.clone()?))
        });
        running.collect()
    }

    /// Asks a guest to stop, if it runs here.
    pub(super) fn cancel(&self, run: &RunKey, why: &str) {
        let control = self.lock().get(run).and_then(|attempt| attempt.control.clone());
        if let Some(control) = control {
            control.cancel(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunKey, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::id::RunId;

    #[test]
    fn an_attempt_begins_once_and_the_next_one_of_its_run_anew() {
        let run = RunKey { tenant: "default".parse().unwrap(), run: RunId::from_bits(1) };
        let live = Live::default();
        assert!(live.begin(&run, 5));
        assert!(!live.begin(&run, 5));
        assert!(live.begin(&run, 6));
        live.end(&run, 5);
        assert!(live.knows(&run, 6), "an old attempt's end is not the new one's");
        live.end(&run, 6);
        assert!(!live.knows(&run, 6));
    }
}
