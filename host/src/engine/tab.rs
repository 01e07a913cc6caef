//! What a run draws of its tenant's quotas while it runs.
//!
//! A run whose tenant has none of the quotas that are drawn on has no [`Tab`] and asks nobody.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::debug;

use super::log::Log;
use crate::clock::SharedClock;
use crate::job::quota::{Allotment, QuotaKey};
use crate::record::Session;
use crate::record::account::{Draw, Drawn, UsedUp};
use crate::run::admitted::Admitted;
use crate::run::id::Fence;
use crate::run::{LogLevel, RunKey};
use crate::store::Store;
use crate::store::error::StoreError;

/// The pause before a store that did not answer is asked again; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The attempt that draws.
pub struct Attempt {
    /// The session that holds it.
    pub session: Session,
    /// Its run.
    pub run: RunKey,
    /// Its fencing token.
    pub fence: Fence,
    /// What was set aside for it when it began.
    pub admitted: Admitted,
}

/// Where one attempt draws.
pub struct Tab {
    store: Arc<dyn Store>,
    clock: SharedClock,
    attempt: Attempt,
    allotment: Allotment,
    /// Bytes of HTTP bodies that were drawn and have not moved.
    credit: Mutex<u64>,
    /// Quotas of which the log says already that they are used up.
    told: Mutex<BTreeSet<QuotaKey>>,
}

/// A draw that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// There is no more.
    #[error("{0}")]
    UsedUp(UsedUp),
    /// The attempt is another's.
    #[error("the attempt was handed on")]
    Fenced,
}

impl Tab {
    /// The tab of an attempt; `None`: it has nothing to ask for.
    pub fn open(
        attempt: Attempt,
        allotment: Allotment,
        store: &Arc<dyn Store>,
        clock: &SharedClock,
    ) -> Option<Arc<Self>> {
        let drawn = [
            QuotaKey::CpuPerHour,
            QuotaKey::FuelPerHour,
            QuotaKey::HttpPerHour,
            QuotaKey::HttpBytesPerHour,
        ];
        let Admitted { cpu_ms, fuel, .. } = attempt.admitted;
        let is_limited = drawn.iter().any(|key| allotment.quota.get(*key).is_some());
        (is_limited || 0 < cpu_ms || 0 < fuel).then(|| {
            Arc::new(Self {
                store: Arc::clone(store),
                clock: Arc::clone(clock),
                attempt,
                allotment,
                credit: Mutex::default(),
                told: Mutex::default(),
            })
        })
    }

    /// Whether there is a quota of this: this host says so, or the store has set something aside.
    pub fn has(&self, key: QuotaKey) -> bool {
        let Admitted { cpu_ms, fuel, .. } = self.attempt.admitted;
        let is_aside = match key {
            QuotaKey::CpuPerHour => 0 < cpu_ms,
            QuotaKey::FuelPerHour => 0 < fuel,
            _ => false,
        };
        is_aside || self.allotment.quota.get(key).is_some()
    }

    /// What was set aside when the attempt began.
    pub(super) fn admitted(&self) -> Admitted {
        self.attempt.admitted
    }

    /// Draws, and asks again until the store has answered. Answers what is set aside altogether.
    pub(super) async fn draw(&self, draw: Draw) -> Result<Admitted, Refused> {
        let Attempt { session, run, fence, .. } = &self.attempt;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.draw(session, run, *fence, draw, self.clock.now()).await {
                Ok(Drawn::Given(admitted)) => return Ok(admitted),
                Ok(Drawn::UsedUp(used_up)) => return Err(Refused::UsedUp(used_up)),
                Err(StoreError::Fenced) => return Err(Refused::Fenced),
                Err(error) => debug!(%run, %error, "nothing can be drawn now; asking again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Takes up to so many bytes of what was drawn and has not moved.
    pub(super) fn take_credit(&self, most: u64) -> u64 {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = most.min(*credit);
        *credit -= taken;
        taken
    }

    /// Gives back what was drawn and does not move now.
    pub(super) fn give_credit(&self, bytes: u64) {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        *credit = credit.saturating_add(bytes);
    }

    /// Tells in the run's log that a quota is used up, once of each.
    pub(super) fn tell(&self, used_up: &UsedUp, log: &Log) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(used_up.key) {
            log.remark(LogLevel::Warn, used_up.to_string());
        }
    }
}

impl fmt::Debug for Tab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tab").field("run", &self.attempt.run).finish_non_exhaustive()
    }
}
