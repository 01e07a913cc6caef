//! A store that fails now and then: before it does what it was asked, or after, with the answer
//! lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use campanile::store::error::StoreError;
use campanile::store::{Result, Store};

use super::hooked::{Hook, Hooked};

/// Every so many calls one fails before it is made, and of the others one after.
const EVERY: u64 = 10;
/// What starts, ends and judges a test does not fail.
const SPARED: [&str; 3] = ["attach", "detach", "health"];

/// Faults while `broken` is set.
pub struct Faulty {
    /// The store beneath.
    pub inner: Arc<dyn Store>,
    pub broken: AtomicBool,
    /// Set while no beat reaches the store.
    pub silent: AtomicBool,
    before: AtomicU64,
    after: AtomicU64,
    pub faults: AtomicU64,
}

impl Faulty {
    /// The store beneath with faults, and what steers them.
    pub fn new(inner: Arc<dyn Store>) -> (Arc<dyn Store>, Arc<Self>) {
        let faulty = Arc::new(Self {
            inner: Arc::clone(&inner),
            broken: AtomicBool::new(true),
            silent: AtomicBool::new(false),
            before: AtomicU64::new(0),
            after: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        (Arc::new(Hooked::new(inner, Arc::clone(&faulty))), faulty)
    }

    /// Whether a fault comes at this of the two places of a call.
    fn comes(&self, call: &str, places: &AtomicU64) -> bool {
        if !self.broken.load(Ordering::Relaxed) || SPARED.contains(&call) {
            return false;
        }
        let comes = places.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY);
        self.faults.fetch_add(comes.into(), Ordering::Relaxed);
        comes
    }
}

impl Hook for Faulty {
    fn before(&self, call: &'static str) -> Result<()> {
        if call == "beat" && self.silent.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("no beat goes through".into()));
        }
        if self.comes(call, &self.before) {
            return Err(StoreError::Unavailable("a fault that was put in".into()));
        }
        Ok(())
    }

    fn after(&self, call: &'static str) -> Result<()> {
        if self.comes(call, &self.after) {
            return Err(StoreError::Unknown("an answer that was lost".into()));
        }
        Ok(())
    }
}
