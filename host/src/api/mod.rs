//! The REST interface: what `/healthz`, `/readyz`, `/metrics` and `/v1` answer.
//!
//! ```text
//! server ── guard (Host, Origin, time) ── routes ─┬─ jobs, runs, logs, plugins, why ─┬─ view ── JSON
//!                                                 └─ define, steer, start ──────────┘
//! ```
//!
//! Reads the store and the catalog, makes jobs and runs; plans nothing and runs nothing. Paths,
//! shapes and words are contract (architecture, section 6).

pub mod access;
mod author;
mod body;
mod conditions;
mod config_events;
mod define;
pub mod doors;
mod enqueue;
pub mod error;
mod events;
mod guard;
pub mod guests;
mod health;
mod held;
mod hosts;
pub mod in_process;
mod jobs;
mod logs;
mod metrics;
mod moment;
mod params;
pub mod pause;
mod plugin_events;
mod plugins;
mod reload;
mod repeat;
pub mod routes;
mod runs;
mod server;
mod start;
mod steer;
mod tenant_define;
mod tenant_remove;
mod tenants;
mod trail;
mod upload;
mod usage;
mod versions;
pub mod view;
mod why;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use access::Access;
use axum::Router;
use doors::Tls;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::catalog::fleet::Fleet;
use crate::catalog::intake::Intake;
use crate::catalog::jobs::JobCache;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::lease::cell::SessionCell;
use crate::metrics::Metrics;
use crate::reloader::asked::Handle;
use crate::status::Status;
use crate::store::Store;

/// What the interface speaks for.
#[derive(Clone)]
pub struct Context {
    /// Jobs, runs, ledger.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: SharedClock,
    /// The plugins that are here.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Where plugins come in; `None`: no host answers.
    pub intake: Option<Arc<Intake>>,
    /// What this host and others serve.
    pub fleet: Fleet,
    /// Jobs as values.
    pub jobs: Arc<JobCache>,
    /// What definitions that come over REST mean here.
    pub config: watch::Receiver<Arc<Config>>,
    /// How the host is.
    pub status: Arc<Status>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The host's name.
    pub host: String,
    /// Its session; `None`: no host answers, its store alone does.
    pub session: Option<Arc<SessionCell>>,
    /// What reads the configuration again; `None`: no host answers, its store alone does.
    pub reload: Option<Handle>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whom it answers.
    pub access: Access,
}

/// What every handler gets.
#[derive(Clone)]
pub struct App {
    context: Arc<Context>,
    /// Holds true when the host shuts down.
    stop: watch::Receiver<bool>,
}

/// Answers requests on `listener`, encrypted when there is `tls`, until `stop` holds true; then lets
/// those under way end, for five seconds at most.
///
/// # Errors
///
/// The listener is of no use.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    context: Context,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    server::serve(listener, tls, router(context, stop.clone()), stop).await
}

/// All routes, without a listener.
fn router(context: Context, stop: watch::Receiver<bool>) -> Router {
    routes::router(App { context: Arc::new(context), stop })
}
