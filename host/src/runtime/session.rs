//! The session that a host opens when it starts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::clock::SharedClock;
use crate::executor::beat::tell;
use crate::lease::boot;
use crate::lease::cell::SessionCell;
use crate::lease::term::Term;
use crate::record::{Caps, HostInfo};
use crate::store::Store;

/// A host that was silent for so long may lose its runs to others.
const TTL: Duration = Duration::from_secs(10);

/// Opens it, and tells what became of the runs of dead hosts. It is to be beaten for from now on.
///
/// # Errors
///
/// The store did not take it.
pub(super) async fn open(
    store: &dyn Store,
    info: HostInfo,
    clock: &SharedClock,
) -> anyhow::Result<Arc<SessionCell>> {
    let sent = boot::now();
    let attached = store.attach(info, clock.now()).await.context("opening a session")?;
    tell(&attached.reaped);
    Ok(Arc::new(SessionCell::new(term(&store.caps()), attached.session, sent)))
}

/// Where one process alone schedules nobody waits for another's end.
fn term(caps: &Caps) -> Term {
    if caps.shared { Term::of(TTL) } else { Term::UNBOUNDED }
}
