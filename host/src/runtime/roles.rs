//! What a host's roles mean when it is built: which of its parts are there, and what it says of
//! itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::warn;

use super::failure::FailureGuard;
use crate::api;
use crate::api::doors::Tls;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::executor::slots::Slots;
use crate::record::{HostInfo, Role};
use crate::scheduler::Scheduler;

/// What a host says of itself when it opens its session.
pub(super) fn info(config: &Config, name: &str) -> HostInfo {
    HostInfo { roles: config.roles.clone(), queues: config.served(), ..HostInfo::named(name) }
}

/// The slots for runs. A host that is no executor has none: it takes nothing, neither from a queue
/// nor in the step that makes a run, and holds its session all the same.
pub(super) fn slots(
    config: &watch::Receiver<Arc<Config>>,
    catalog: &watch::Receiver<Arc<Catalog>>,
) -> Slots {
    let (total, memory) = {
        let config = config.borrow();
        let runs = config.roles.contains(&Role::Executor);
        (if runs { config.executor.max_running } else { 0 }, config.executor.memory)
    };
    Slots::new(total, memory).shared_by(config.clone(), catalog.clone())
}

/// Starts the scheduler on a thread of its own, its housekeeping beside it.
///
/// # Errors
///
/// The machine gives no thread.
pub(super) fn scheduler(
    scheduler: Scheduler,
    failed: watch::Sender<Option<String>>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let guard = FailureGuard { what: "scheduler", failed };
    let expected = Arc::clone(&scheduler.stop);
    std::thread::Builder::new()
        .name("scheduler".to_owned())
        .spawn(move || {
            let guard = guard;
            scheduler.run();
            if expected.load(Ordering::Acquire) {
                guard.disarm();
            }
        })
        .context("the scheduler's thread can't start")
}

/// Serves people until `stop` holds true.
pub(super) async fn api(
    listener: std::net::TcpListener,
    tls: Option<Tls>,
    context: api::Context,
    stop: watch::Receiver<bool>,
    failed: watch::Sender<Option<String>>,
) {
    let guard = FailureGuard { what: "API", failed };
    let expected = stop.clone();
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => api::serve(listener, tls, context, stop).await,
        Err(error) => Err(error),
    };
    match served {
        Ok(()) if *expected.borrow() => guard.disarm(),
        Ok(()) => warn!("the API ended by itself"),
        Err(error) => warn!(%error, "the API failed"),
    }
}
