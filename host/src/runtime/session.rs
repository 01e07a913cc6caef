//! The session that a host opens when it starts.

use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::SharedClock;
use crate::config::given::overlay;
use crate::config::store::StoreAddress;
use crate::config::{Config, load};
use crate::executor::beat::tell;
use crate::lease::boot;
use crate::lease::cell::SessionCell;
use crate::lease::term::Term;
use crate::record::HostInfo;
use crate::store::Store;
use crate::tenants;

/// Opens it, after the store was told what tenants may have, those made over REST too: no run begins or
/// ends without. Tells what became of the runs of dead hosts. It is to be beaten for from now on.
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
    let listed = tenants::list(store).await.context("the tenants that were made over REST")?;
    // Which of them do not count, and whether another host's word does, the reloader tells.
    let (whole, _) = overlay(config.clone(), &listed.kept, load::real);
    store.allot(whole.allotments()).await.context("telling the store what tenants may have")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::job::quota::QuotaKey;
    use crate::record::step::Conflict;
    use crate::record::tenant::TenantDoc;
    use crate::store::contract::world::{at, new_schedule};
    use crate::store::embedded::EmbeddedStore;
    use crate::store::error::StoreError;

    #[tokio::test]
    async fn what_is_told_first_holds_tenants_that_were_made_over_rest() {
        let store = EmbeddedStore::memory();
        let mut doc = TenantDoc::default();
        doc.keys.insert("quota".to_owned(), serde_json::json!({"jobs": 0}));
        tenants::put(&store, &"acme".parse().unwrap(), 0, Some(&doc)).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = load::load(None, dir.path()).unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        open(&store, &config, HostInfo::named("tower"), &clock).await.unwrap();
        let put = store.put(new_schedule("acme/a", 1), Conflict::Fail, at(0)).await;
        assert_eq!(put, Err(StoreError::Quota { key: QuotaKey::Jobs, limit: 0 }));
    }
}
