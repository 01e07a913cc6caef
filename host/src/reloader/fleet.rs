//! What the reloader knows of the other hosts of a shared store: who there is, what each declares,
//! and for how long nothing of that has changed. The rules are `schedule::declared`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::declared::{self, Head};
use crate::lease::cell::SessionCell;
use crate::record::Schedule;
use crate::run::id::SessionId;
use crate::schedule::declared::{Declaration, Peers};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// The fleet must have stood still for so many times the time to live before a job that nobody
/// declares is parked: that is how long a restart may take.
const STILL: u32 = 6;
/// A host that has said nothing for so long declares nothing.
const SILENT_AT_MOST: Duration = Duration::from_secs(10 * 60);

/// The other hosts, as far as they were seen.
pub(super) struct Fleet {
    store: Arc<dyn Store>,
    session: Arc<SessionCell>,
    /// What was declared last, and by which session.
    own: Option<(SessionId, Declaration)>,
    hosts: BTreeMap<SessionId, Host>,
    /// Since when all is as it is.
    still_since: Instant,
    /// Whether somebody has been told that it stands still.
    told: bool,
}

/// One of the other hosts.
struct Host {
    /// When it was seen first.
    since: Instant,
    /// The version of what it declares, 0 when there is nothing yet.
    version: u64,
    declaration: Option<Arc<Declaration>>,
    /// Whether it has begun to say what it declares.
    has_begun: bool,
}

impl Fleet {
    /// One that has seen nobody.
    pub(super) fn new(store: Arc<dyn Store>, session: Arc<SessionCell>) -> Self {
        Self {
            store,
            session,
            own: None,
            hosts: BTreeMap::new(),
            still_since: Instant::now(),
            told: false,
        }
    }

    /// Tells the others what this host declares, unless they know.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(super) async fn declare(&mut self, declaration: Declaration) -> Result<()> {
        let session = self.session.current().session.id;
        let known =
            self.own.as_ref().is_some_and(|(by, own)| *by == session && *own == declaration);
        if known {
            return Ok(());
        }
        match declared::write(self.store.as_ref(), session, &declaration).await {
            Err(StoreError::Invalid(why)) => warn!("others take it that all is declared: {why}"),
            written => written?,
        }
        self.own = Some((session, declaration));
        self.begin_anew();
        Ok(())
    }

    /// Looks at who there is and what they declare. Answers with what is to be known of them.
    ///
    /// # Errors
    ///
    /// The store failed; what was seen before stands.
    pub(super) async fn look(&mut self) -> Result<Peers> {
        // In this order: whoever has declared something by now has a session by then.
        let heads = declared::heads(self.store.as_ref()).await?;
        let open: BTreeSet<SessionId> =
            self.store.hosts().await?.into_iter().map(|host| host.session.id).collect();
        let own = self.session.current().session.id;
        self.say_again(own, &heads).await?;
        let parks = open.first() == Some(&own);
        for head in heads.iter().filter(|head| parks && !open.contains(&head.session)) {
            debug!(session = %head.session, "is over; what it declared is removed");
            declared::remove(self.store.as_ref(), head).await?;
        }
        let heads: BTreeMap<SessionId, &Head> =
            heads.iter().map(|head| (head.session, head)).collect();
        let before = self.hosts.len();
        self.hosts.retain(|session, _| open.contains(session));
        let mut is_new = before != self.hosts.len();
        for session in open.iter().filter(|session| **session != own) {
            is_new |= self.see(*session, heads.get(session).copied()).await?;
        }
        if is_new {
            self.begin_anew();
        }
        Ok(self.peers(parks))
    }

    /// Whether the fleet has begun to stand still since this was asked last.
    pub(super) fn has_settled(&mut self) -> bool {
        let news = self.is_still() && !self.told;
        self.told |= news;
        news
    }

    /// What was declared is said again under a new session, and when it was lost.
    async fn say_again(&mut self, session: SessionId, heads: &[Head]) -> Result<()> {
        let Some((by, declaration)) = &mut self.own else { return Ok(()) };
        if *by == session && heads.iter().any(|head| head.session == session) {
            return Ok(());
        }
        match declared::write(self.store.as_ref(), session, declaration).await {
            Err(StoreError::Invalid(why)) => debug!(%why, "not all that is declared is kept"),
            written => written?,
        }
        *by = session;
        Ok(())
    }

    /// Takes in one of the others. Answers whether it is new or declares anything new.
    async fn see(&mut self, session: SessionId, head: Option<&Head>) -> Result<bool> {
        let version = head.filter(|head| head.is_whole()).map_or(0, |head| head.version);
        let known = self.hosts.get(&session);
        let has_begun = head.is_some();
        if known.is_some_and(|host| (host.version, host.has_begun) == (version, has_begun)) {
            return Ok(false);
        }
        let since = known.map_or_else(Instant::now, |host| host.since);
        let read = match head.filter(|_| version != 0) {
            Some(head) => declared::read(self.store.as_ref(), head).await?.map(Arc::new),
            None => None,
        };
        // What could not be read is read at the next look.
        let version = if read.is_some() { version } else { 0 };
        self.hosts.insert(session, Host { since, version, declaration: read, has_begun });
        Ok(true)
    }

    fn peers(&self, parks: bool) -> Peers {
        let is_silent = |host: &Host| {
            let is_new = host.since.elapsed() < SILENT_AT_MOST;
            host.declaration.is_none() && (host.has_begun || is_new)
        };
        Peers {
            known: self.hosts.values().filter_map(|host| host.declaration.clone()).collect(),
            silent: self.hosts.values().any(is_silent),
            settled: self.is_still(),
            parks,
        }
    }

    fn is_still(&self) -> bool {
        let ttl = self.session.term().ttl().unwrap_or_default();
        ttl * STILL <= self.still_since.elapsed()
    }

    fn begin_anew(&mut self) {
        self.still_since = Instant::now();
        self.told = false;
    }
}

/// The hosts that live and define a job otherwise than is kept: the name of each, and the
/// `config_version` of its definition.
///
/// # Errors
///
/// The store failed.
pub async fn otherwise(store: &dyn Store, kept: &Schedule) -> Result<Vec<(String, i64)>> {
    let heads = declared::heads(store).await?;
    let heads: BTreeMap<SessionId, &Head> = heads.iter().map(|head| (head.session, head)).collect();
    let mut otherwise = Vec::new();
    for host in store.hosts().await? {
        let Some(head) = heads.get(&host.session.id) else { continue };
        let Some(declaration) = declared::read(store, head).await? else { continue };
        otherwise.extend(declaration.otherwise(kept).map(|version| (host.info.host, version)));
    }
    Ok(otherwise)
}

/// What the hosts of a store declare, for one that is none of them and looks once.
///
/// # Errors
///
/// The store failed.
pub async fn peers(store: &dyn Store) -> Result<Peers> {
    let heads = declared::heads(store).await?;
    let open: BTreeSet<SessionId> =
        store.hosts().await?.into_iter().map(|host| host.session.id).collect();
    let mut peers = Peers { settled: true, parks: true, ..Peers::default() };
    for head in heads.iter().filter(|head| open.contains(&head.session)) {
        match declared::read(store, head).await? {
            Some(declaration) => peers.known.push(Arc::new(declaration)),
            None => peers.silent = true,
        }
    }
    if peers.known.len() < open.len() {
        warn!("a host that lives has not said what it declares; nothing is taken to be gone");
        peers.silent = true;
    }
    Ok(peers)
}
