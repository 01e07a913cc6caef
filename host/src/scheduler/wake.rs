//! How the scheduler's thread sleeps, and how others wake it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// A thread that sleeps until a time or a call, whichever is first. A call that comes while it is
/// awake is not lost.
#[derive(Debug, Default)]
pub struct Wake {
    called: AtomicBool,
    sleeper: Mutex<Option<Thread>>,
}

impl Wake {
    /// Makes the calling thread the one that sleeps.
    pub fn sleeper_is_this_thread(&self) {
        *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
    }

    /// Sleeps for `time`, or until it is called.
    pub fn sleep(&self, time: Duration) {
        let deadline = std::time::Instant::now() + time;
        while !self.called.swap(false, Ordering::AcqRel) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    /// Wakes the sleeper.
    pub fn call(&self) {
        self.called.store(true, Ordering::Release);
        if let Some(thread) = &*self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_before_the_sleep_is_not_lost() {
        let wake = Wake::default();
        wake.sleeper_is_this_thread();
        wake.call();
        let before = std::time::Instant::now();
        wake.sleep(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }
}
