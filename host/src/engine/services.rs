//! What a run may ask of the host around its sandbox: its buckets, and jobs of its tenant.
//!
//! A run without services, as of `host run`, is told so when it asks.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit, mpsc, oneshot, watch};

use crate::clock::SharedClock;
use crate::config::Config;
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::store::Store;

/// Calls of the store at once that all guests of a host make for their buckets: however many they
/// are, the store has time for the host's own.
const MAX_STORE_CALLS: usize = 8;
/// Locks that share all buckets among them.
const LOCKS: usize = 64;
/// Orders of guests that wait at once on one host.
pub const MAX_ORDERS: usize = 64;
/// How long a guest waits for an order to be carried out.
const ORDER_TIME: Duration = Duration::from_secs(30);

/// How long the count of a tenant's bytes holds at least before it is made anew because its quota seems
/// used up: whoever asks for more over and over does not make its host look at all buckets each time.
const COUNT_TIME: Duration = Duration::from_secs(5);

/// What all runs of a host share.
pub struct Desk {
    /// Where buckets are kept.
    pub(super) store: Arc<dyn Store>,
    /// What time it is.
    pub(super) clock: SharedClock,
    orders: mpsc::Sender<Order>,
    turns: Semaphore,
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
    /// What tenants may have; `None`: nothing is limited.
    config: Option<watch::Receiver<Arc<Config>>>,
    /// Tenants whose bytes were counted since the host began.
    counted: std::sync::Mutex<BTreeMap<TenantId, Counted>>,
}

/// A tenant's bytes were counted.
struct Counted {
    /// Under this configuration. Under the one before the tenant may have had no quota, and nobody counted.
    config: Weak<Config>,
    at: Instant,
}

/// The host around one run.
#[derive(Clone)]
pub struct Services {
    /// What it shares with other runs.
    pub desk: Arc<Desk>,
    /// The job that it is a run of.
    pub job: JobKey,
}

/// What a guest wants of the jobs of its tenant.
#[derive(Debug)]
pub struct Order {
    /// The job whose run asks.
    pub by: JobKey,
    /// What it asks for.
    pub call: JobCall,
    /// Where the answer goes: a run's id or nothing, or why it was refused.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// One call of `campanile:job/jobs`.
#[derive(Clone, Debug)]
pub enum JobCall {
    /// A run in the queue.
    Enqueue {
        /// The job's name.
        job: String,
        /// JSON text.
        args: String,
        /// From now on; zero: at once.
        delay: Duration,
        /// The same key again is the same run.
        idempotency_key: Option<String>,
    },
    /// A job made or replaced: the body of a REST request.
    Put(String),
    /// A job paused.
    Pause(String),
    /// A job resumed.
    Resume(String),
    /// A job removed.
    Remove(String),
}

impl Desk {
    /// A desk over the store; whoever has the other end of `orders` carries them out.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock, orders: mpsc::Sender<Order>) -> Self {
        Self {
            store,
            clock,
            orders,
            turns: Semaphore::new(MAX_STORE_CALLS),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            config: None,
            counted: std::sync::Mutex::default(),
        }
    }

    /// The same desk, which holds tenants to the quotas of a configuration.
    #[must_use]
    pub fn with_quotas(self, config: watch::Receiver<Arc<Config>>) -> Self {
        Self { config: Some(config), ..self }
    }

    /// What tenants may have now; `None`: nothing is limited.
    pub(super) fn config(&self) -> Option<Arc<Config>> {
        self.config.as_ref().map(|it| Arc::clone(&it.borrow()))
    }

    /// Whether a tenant's bytes were counted under this configuration.
    pub(super) fn is_counted(&self, tenant: &TenantId, config: &Weak<Config>) -> bool {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.get(tenant).is_some_and(|counted| counted.config.ptr_eq(config))
    }

    /// They were.
    pub(super) fn set_counted(&self, tenant: &TenantId, config: &Weak<Config>) {
        let counted = Counted { config: Weak::clone(config), at: Instant::now() };
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(tenant.clone(), counted);
    }

    /// Whether they may be counted once more; nobody else may for a while then.
    pub(super) fn may_count_again(&self, tenant: &TenantId) -> bool {
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counted) = all.get_mut(tenant) else { return true };
        let may = COUNT_TIME <= counted.at.elapsed();
        if may {
            counted.at = Instant::now();
        }
        may
    }

    /// Waits for a turn to ask the store; given back when it is dropped.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.turns.acquire().await.ok()
    }

    /// Waits until no other run of this host writes to the bucket, so that they do not make each
    /// other's writes vain.
    pub(super) async fn alone(&self, tenant: &TenantId, kind: &str) -> MutexGuard<'_, ()> {
        let mut hasher = self.hasher.build_hasher();
        (tenant.as_str(), kind).hash(&mut hasher);
        let hash = usize::try_from(std::hash::Hasher::finish(&hasher) % LOCKS as u64);
        self.locks[hash.unwrap_or(0)].lock().await
    }
}

impl Services {
    /// Has an order carried out.
    ///
    /// # Errors
    ///
    /// Why it was refused, or that nobody knows.
    pub(super) async fn order(&self, call: JobCall) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        let order = Order { by: self.job.clone(), call, answer };
        let carried_out = async {
            self.desk.orders.send(order).await.map_err(|_| ())?;
            answered.await.map_err(|_| ())
        };
        match tokio::time::timeout(ORDER_TIME, carried_out).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(())) => Err("the host is stopping; it may or may not have done it".to_owned()),
            Err(_) => Err(format!(
                "the host did not answer within {ORDER_TIME:?}; it may or may not have done it"
            )),
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("job", &self.job).finish_non_exhaustive()
    }
}
