//! What is served now: the own catalog, and on a shared store what the other hosts said last.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::Catalog;
use crate::job::names::QueueName;
use crate::schedule::served::{Others, Served};

/// Where to ask what is served. Cheap to clone; answers what is so at that moment.
#[derive(Clone)]
pub struct Fleet {
    catalog: watch::Receiver<Arc<Catalog>>,
    others: Option<(Arc<BTreeSet<QueueName>>, watch::Receiver<Arc<Others>>)>,
}

impl Fleet {
    /// Of a host that nobody shares its store with.
    pub fn alone(catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        Self { catalog, others: None }
    }

    /// Of a host that takes runs from `queues`, none when it is no executor, and of those that
    /// `others` tells of.
    pub fn among(
        catalog: watch::Receiver<Arc<Catalog>>,
        queues: Arc<BTreeSet<QueueName>>,
        others: watch::Receiver<Arc<Others>>,
    ) -> Self {
        Self { catalog, others: Some((queues, others)) }
    }

    /// What is served.
    pub fn served(&self) -> Served {
        let here = self.catalog.borrow().classes();
        match &self.others {
            None => Served::alone(here),
            Some((queues, others)) => {
                let others = Arc::clone(&others.borrow());
                Served::among(here, Arc::clone(queues), others)
            }
        }
    }

    /// Whether other hosts may serve what this one does not.
    pub fn is_shared(&self) -> bool {
        self.others.is_some()
    }
}
