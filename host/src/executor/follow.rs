//! What follows from a beat's answer: runs that this host holds without knowing are adopted, dead
//! hosts are reaped.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::Claimed;
use super::beat::tell;
use super::live::Live;
use super::slots::Slots;
use crate::clock::SharedClock;
use crate::lease::cell::Held;
use crate::lease::observer::Dead;
use crate::record::step::Claim;
use crate::run::id::Fence;
use crate::run::{RunKey, RunState};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// What there is to do after a beat.
pub(super) struct After {
    /// The session that beat.
    pub(super) held: Arc<Held>,
    /// The runs that the store says it holds.
    pub(super) runs: Vec<(RunKey, Fence)>,
    /// Hosts that are dead.
    pub(super) dead: Vec<Dead>,
}

/// Does it.
pub(super) struct Follower {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: SharedClock,
    pub(super) live: Arc<Live>,
    pub(super) slots: Slots,
    pub(super) claims: mpsc::Sender<Claimed>,
}

impl Follower {
    /// Until nobody beats any more.
    pub(super) async fn run(self, mut beats: mpsc::Receiver<After>) {
        let mut orphans = HashMap::new();
        while let Some(After { held, runs, dead }) = beats.recv().await {
            for dead in dead {
                self.reap(&held, dead).await;
            }
            if !self.claims.is_closed() {
                self.adopt(&mut orphans, &held, runs).await;
            }
        }
    }

    /// Ends the session of a dead host, unless it has just shown that it lives.
    async fn reap(&self, held: &Held, Dead { session, counter }: Dead) {
        let reaped = self.store.reap(&held.session, &session, counter, self.clock.now()).await;
        match reaped {
            Ok(reaped) => {
                warn!(host = %session.host, session = %session.id,
                    "the host is dead; its session was ended");
                tell(&reaped);
            }
            Err(StoreError::Conflict { .. }) => {
                debug!(host = %session.host, "the host lives after all");
            }
            Err(error) => warn!(host = %session.host, %error, "a dead host was not reaped yet"),
        }
    }

    /// Takes over runs that the store says this host holds and that it has not heard of for two
    /// beats: the answer to the claim was lost on its way.
    async fn adopt(
        &self,
        orphans: &mut HashMap<RunKey, Fence>,
        held: &Arc<Held>,
        runs: Vec<(RunKey, Fence)>,
    ) {
        let unknown: HashMap<RunKey, Fence> =
            runs.into_iter().filter(|(run, fence)| !self.live.knows(run, *fence)).collect();
        let before = std::mem::replace(orphans, unknown);
        for (run, fence) in &before {
            if orphans.get(run) != Some(fence) {
                continue;
            }
            match self.claim_again(held, run, *fence).await {
                Ok(Some(claim)) => {
                    let Some(slot) = self.slots.adopt(&run.tenant, claim.run.memory) else {
                        // With the next beat.
                        return;
                    };
                    warn!(%run, "was claimed by this host without its knowing; it starts now");
                    // The executor has ended when nobody listens; detaching hands the run back.
                    let held = Arc::clone(held);
                    let _ = self.claims.send(Claimed { claim, slot, held }).await;
                }
                Ok(None) => (),
                Err(error) => debug!(%run, %error, "can't be taken over yet"),
            }
        }
    }

    /// The claim whose answer was lost, if it still stands.
    async fn claim_again(&self, held: &Held, key: &RunKey, fence: Fence) -> Result<Option<Claim>> {
        let Some(run) = self.store.run(key).await? else { return Ok(None) };
        let current = run
            .attempts
            .last()
            .is_some_and(|attempt| attempt.fence == fence && attempt.session == held.session.id);
        if run.state != RunState::Running || !current {
            return Ok(None);
        }
        let schedule = self.store.get(&run.job_key()).await?.map(Arc::new);
        Ok(Some(Claim { run: Arc::new(run), fence, schedule }))
    }
}
