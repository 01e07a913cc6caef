//! Keeps in sight what the other hosts of a shared store serve.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use crate::catalog::Catalog;
use crate::catalog::fleet::Fleet;
use crate::job::names::QueueName;
use crate::lease::cell::SessionCell;
use crate::schedule::served::Others;
use crate::store::{Result, Store};

/// How often the hosts are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The other hosts, to be looked at over and over.
pub(super) struct Sight {
    store: Arc<dyn Store>,
    session: Arc<SessionCell>,
    others: watch::Sender<Arc<Others>>,
}

/// What is served, and who keeps that up to date; nobody has to where one process alone schedules.
///
/// # Errors
///
/// The store does not say who there is.
pub(super) async fn fleet(
    store: &Arc<dyn Store>,
    session: &Arc<SessionCell>,
    catalog: watch::Receiver<Arc<Catalog>>,
    queues: &Arc<BTreeSet<QueueName>>,
) -> Result<(Fleet, Option<Sight>)> {
    if !store.caps().shared {
        return Ok((Fleet::alone(catalog), None));
    }
    let (others, seen) = watch::channel(Arc::default());
    let sight = Sight { store: Arc::clone(store), session: Arc::clone(session), others };
    sight.look().await?;
    Ok((Fleet::among(catalog, Arc::clone(queues), seen), Some(sight)))
}

impl Sight {
    /// Looks until nobody asks any more. While the store does not answer, what was seen last stands:
    /// nothing can be planned meanwhile anyway.
    pub(super) async fn keep(self) {
        while !self.others.is_closed() {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.look().await {
                debug!(%error, "the other hosts are out of sight");
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let hosts = self.store.hosts().await?;
        let own = self.session.current().session.id;
        let seen = Others::of(&hosts, Some(own));
        self.others.send_if_modified(|others| {
            let is_new = **others != seen;
            if is_new {
                *others = Arc::new(seen);
            }
            is_new
        });
        Ok(())
    }
}
