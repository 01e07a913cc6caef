//! What an executor tells and asks the store each second: that it lives, how far its guests are, who
//! is to be cancelled, and whether it holds runs that it does not know of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Claimed, Executor};
use crate::record::step::{Claim, RunProgress};
use crate::run::id::Fence;
use crate::run::{RunKey, RunState};
use crate::store::Result;
use crate::store::error::StoreError;

/// How often sessions are renewed and logs of running guests appended.
const BEAT: Duration = Duration::from_secs(1);

impl Executor {
    /// Beats until it is aborted.
    pub(super) async fn beat(self: Arc<Self>, adopt: mpsc::Sender<Claimed>) {
        let mut orphans = HashMap::new();
        loop {
            tokio::time::sleep(BEAT).await;
            let progress = self.flush().await;
            match self.store.beat(&self.session, progress, self.clock.now()).await {
                Ok(beat) => {
                    for (run, why) in beat.cancels {
                        debug!(%run, "is to be cancelled");
                        self.live.cancel(&run, &why);
                    }
                    self.adopt(&mut orphans, beat.held, &adopt).await;
                }
                Err(error) => warn!(%error, "the store did not take the heartbeat"),
            }
        }
    }

    /// Appends to the logs of running guests; answers how far they are.
    async fn flush(&self) -> Vec<RunProgress> {
        let mut progress = Vec::new();
        for (run, fence, control) in self.live.running() {
            if let Some(said) = control.progress() {
                progress.push(RunProgress { run: run.clone(), fence, progress: said });
            }
            let lines = control.log().take_ready();
            if lines.is_empty() {
                continue;
            }
            match self.store.log_append(&run, fence, lines.clone()).await {
                Ok(()) => (),
                Err(StoreError::Unavailable(_)) => control.log().put_back(lines),
                Err(error) => warn!(%run, %error, "lines of its log may be missing"),
            }
        }
        progress
    }

    /// Takes over runs that the store says this host holds and that it has not heard of for two
    /// beats: the answer to the claim was lost on its way.
    async fn adopt(
        &self,
        orphans: &mut HashMap<RunKey, Fence>,
        held: Vec<(RunKey, Fence)>,
        adopt: &mpsc::Sender<Claimed>,
    ) {
        let unknown: HashMap<RunKey, Fence> =
            held.into_iter().filter(|(run, fence)| !self.live.knows(run, *fence)).collect();
        let before = std::mem::replace(orphans, unknown);
        for (run, fence) in &before {
            if orphans.get(run) != Some(fence) {
                continue;
            }
            let Some(slot) = self.slots.take(1).pop() else { return };
            match self.claim_again(run, *fence).await {
                Ok(Some(claim)) => {
                    warn!(%run, "was claimed by this host without its knowing; it starts now");
                    // The executor has ended when nobody listens; detaching hands the run back.
                    let _ = adopt.send(Claimed { claim, slot }).await;
                }
                Ok(None) => (),
                Err(error) => debug!(%run, %error, "can't be taken over yet"),
            }
        }
    }

    /// The claim whose answer was lost, if it still stands.
    async fn claim_again(&self, key: &RunKey, fence: Fence) -> Result<Option<Claim>> {
        let Some(run) = self.store.run(key).await? else { return Ok(None) };
        let current = run
            .attempts
            .last()
            .is_some_and(|attempt| attempt.fence == fence && attempt.session == self.session.id);
        if run.state != RunState::Running || !current {
            return Ok(None);
        }
        let schedule = self.store.get(&run.job_key()).await?.map(Arc::new);
        Ok(Some(Claim { run: Arc::new(run), fence, schedule }))
    }
}
