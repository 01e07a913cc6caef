//! What a run draws of its tenant's quotas while it runs.
//!
//! A run whose tenant has none of the quotas that are drawn on has no [`Tab`] and asks nobody.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::time::Timestamp;

/// The pause before a store that did not answer is asked again; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What is drawn all at once: a guest may ask for it however often it was refused.
const REPEATED: [QuotaKey; 2] = [QuotaKey::HttpPerHour, QuotaKey::HttpBytesPerHour];
/// How long a refusal holds at most without asking the store: somebody may have raised the quota.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

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
    /// What was refused of late.
    refusals: Mutex<BTreeMap<QuotaKey, Refusal>>,
}

/// A draw that the store need not be asked for again.
struct Refusal {
    used_up: UsedUp,
    /// As much as this, or more, is refused.
    least: u64,
    until: Timestamp,
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
                refusals: Mutex::default(),
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
        if let Some(used_up) = self.refused(draw) {
            return Err(Refused::UsedUp(used_up));
        }
        let Attempt { session, run, fence, .. } = &self.attempt;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.draw(session, run, *fence, draw, self.clock.now()).await {
                Ok(Drawn::Given(admitted)) => return Ok(admitted),
                Ok(Drawn::UsedUp(used_up)) => {
                    self.remember(used_up, draw);
                    return Err(Refused::UsedUp(used_up));
                }
                Err(StoreError::Fenced) => return Err(Refused::Fenced),
                Err(error) => debug!(%run, %error, "nothing can be drawn now; asking again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What a draw like this was refused with, while that holds.
    fn refused(&self, draw: Draw) -> Option<UsedUp> {
        let now = self.clock.now();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|_, refusal| now < refusal.until);
        let is_it = |(key, refusal): &(&QuotaKey, &Refusal)| refusal.least <= wanted(draw, **key);
        refusals.iter().find(is_it).map(|(_, refusal)| refusal.used_up)
    }

    fn remember(&self, used_up: UsedUp, draw: Draw) {
        if REPEATED.contains(&used_up.key) {
            let until = used_up.frees_at.min(self.clock.now().after(REFUSAL_TIME));
            let least = wanted(draw, used_up.key).max(1);
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.insert(used_up.key, Refusal { used_up, least, until });
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

/// How much of one of the quotas of [`REPEATED`] a draw wants.
fn wanted(draw: Draw, key: QuotaKey) -> u64 {
    if key == QuotaKey::HttpPerHour { draw.http } else { draw.http_bytes }
}

impl fmt::Debug for Tab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tab").field("run", &self.attempt.run).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::job::quota::Quota;
    use crate::run::id::{RunId, SessionId};
    use crate::store::embedded::EmbeddedStore;

    #[test]
    fn what_was_refused_is_refused_again_without_the_store_until_it_may_be_free() {
        let at = |micros| Timestamp::from_micros(micros);
        let clock = Arc::new(ManualClock::at(at(0)));
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory());
        let attempt = Attempt {
            session: Session { id: SessionId::from_bits(1), host: String::new(), generation: 1 },
            run: RunKey { tenant: "acme".parse().unwrap(), run: RunId::from_bits(1) },
            fence: Fence::default(),
            admitted: Admitted::default(),
        };
        let quota = Quota::default().with(QuotaKey::HttpBytesPerHour, 100);
        let allotment = Allotment { quota, ..Allotment::default() };
        let tab = Tab::open(attempt, allotment, &store, &shared).unwrap();
        let bytes = |http_bytes| Draw { http_bytes, ..Draw::default() };
        let one = Draw { http: 1, ..Draw::default() };
        let used_up = |key, frees_at| UsedUp { key, limit: 100, frees_at: at(frees_at) };
        let of_bytes = used_up(QuotaKey::HttpBytesPerHour, 3_600_000_000);
        tab.remember(of_bytes, bytes(50));
        assert_eq!(tab.refused(bytes(60)), Some(of_bytes));
        assert_eq!(tab.refused(bytes(50)), Some(of_bytes));
        assert_eq!(tab.refused(bytes(49)), None, "there may be as much");
        assert_eq!(tab.refused(one), None);
        let of_requests = used_up(QuotaKey::HttpPerHour, 2_000_000);
        tab.remember(of_requests, one);
        assert_eq!(tab.refused(one), Some(of_requests));
        clock.set(at(2_000_000));
        assert_eq!((tab.refused(one), tab.refused(bytes(50))), (None, Some(of_bytes)));
        clock.set(at(5_000_000));
        assert_eq!(tab.refused(bytes(50)), None, "the quota may have been raised");
        tab.remember(used_up(QuotaKey::CpuPerHour, 3_600_000_000), one);
        assert_eq!(tab.refused(one), None);
    }
}
