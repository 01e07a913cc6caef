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
    company: Option<Company>,
}

/// What counts on a shared store besides the own catalog.
#[derive(Clone)]
struct Company {
    queues: Arc<BTreeSet<QueueName>>,
    others: watch::Receiver<Arc<Others>>,
}

impl Fleet {
    /// Of a host that nobody shares its store with.
    pub fn alone(catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        Self { catalog, company: None }
    }

    /// Of a host that takes runs from `queues`, none when it is no executor, and of those that
    /// `others` tells of.
    pub fn among(
        catalog: watch::Receiver<Arc<Catalog>>,
        queues: Arc<BTreeSet<QueueName>>,
        others: watch::Receiver<Arc<Others>>,
    ) -> Self {
        Self { catalog, company: Some(Company { queues, others }) }
    }

    /// What is served.
    pub fn served(&self) -> Served {
        let here = self.catalog.borrow().classes();
        match &self.company {
            None => Served::alone(here),
            Some(Company { queues, others }) => {
                let others = Arc::clone(&others.borrow());
                Served::among(here, Arc::clone(queues), others)
            }
        }
    }
}
