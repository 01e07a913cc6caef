//! The session that a host opens when it starts.

use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::config::store::StoreAddress;
use crate::executor::beat::tell;
use crate::lease::boot;
use crate::lease::cell::SessionCell;
use crate::lease::term::Term;
use crate::record::HostInfo;
use crate::reloader::allot::allot;
use crate::store::Store;

/// Opens it, after the store was told what tenants may have: no run begins or ends without. Tells what became of the runs of dead hosts. It is to be beaten for from now on.
///
/// # Errors
///
/// The store did not take it.
pub(super) async fn open(
    store: &dyn Store,
    config: &Config,
    info: HostInfo,
    clock: &SharedClock,
) -> anyhow::Result<Arc<SessionCell>> {
    allot(config, store).await.context("telling the store what tenants may have")?;
    let sent = boot::now();
    let attached = store.attach(info, clock.now()).await.context("opening a session")?;
    tell(&attached.reaped);
    Ok(Arc::new(SessionCell::new(term(&config.store), attached.session, sent)))
}

/// Where one process alone schedules nobody waits for another's end.
fn term(address: &StoreAddress) -> Term {
    match address {
        StoreAddress::Memory | StoreAddress::Sqlite { .. } => Term::UNBOUNDED,
        StoreAddress::Redis(server) => Term::of(server.ttl),
    }
}
