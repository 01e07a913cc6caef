//! What tenants have and may have, and what a session serves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RedisStore;
use super::link::Caller;
use super::scripts::Script;
use super::wire::{self, AccountRow};
use crate::job::PluginKey;
use crate::job::names::{QueueName, TenantId};
use crate::record::Session;
use crate::record::account::{Account, Allotments, Draw, Drawn};
use crate::record::step::Acquire;
use crate::run::RunKey;
use crate::run::id::{Fence, Id128, SessionId};
use crate::store::Result;
use crate::time::Timestamp;

impl RedisStore {
    pub(super) async fn allot(&self, allotments: &Allotments) -> Result<bool> {
        let args = wire::AllotArgs::new(&self.host, allotments);
        let caller = Caller::at(Timestamp::from_secs(0));
        let answer: wire::AllotAnswer = self.link.call(Script::Allot, caller, &args, b"").await?;
        Ok(answer.counts)
    }

    pub(super) async fn draw(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        draw: Draw,
        now: Timestamp,
    ) -> Result<Drawn> {
        let args = wire::DrawArgs::new(run, fence, draw);
        let caller = Self::caller(session, now);
        let answer: wire::DrawAnswer = self.link.call(Script::Draw, caller, &args, b"").await?;
        Ok(answer.into())
    }

    pub(super) async fn account(&self, tenant: &TenantId, now: Timestamp) -> Result<Account> {
        let mut ask = redis::cmd("HGET");
        ask.arg(self.link.keys().of("ACCOUNT")).arg(tenant.as_str());
        let kept: Option<Vec<u8>> = self.link.read(&ask).await?;
        let row = kept.map(|kept| AccountRow::read(&kept)).transpose()?.unwrap_or_default();
        let account = row.account;
        Ok(Account { windows: account.windows.at(now), ..account })
    }
}

/// What a host serves, and the digest that it is called by. It rarely changes, and is looked at before
/// each call that takes runs.
#[derive(Default)]
pub(super) struct Serving(Mutex<State>);

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// The session that the store has heard it of, and what.
    told: Option<(SessionId, Arc<str>)>,
}

struct Known {
    queues: Arc<BTreeSet<QueueName>>,
    classes: Arc<BTreeSet<PluginKey>>,
    digest: Arc<str>,
}

impl Serving {
    /// The digest of what `want` serves.
    pub(super) fn digest(&self, want: &Acquire) -> Arc<str> {
        let mut state = self.state();
        if let Some(known) = &state.known
            && Arc::ptr_eq(&known.queues, &want.queues)
            && Arc::ptr_eq(&known.classes, &want.classes)
        {
            return Arc::clone(&known.digest);
        }
        let text = names(want).join("\0");
        let digest: Arc<str> = Id128::of_text(&text).to_string().into();
        let (queues, classes) = (Arc::clone(&want.queues), Arc::clone(&want.classes));
        state.known = Some(Known { queues, classes, digest: Arc::clone(&digest) });
        digest
    }

    /// Whether the store has heard what this session serves.
    pub(super) fn is_told(&self, session: SessionId, digest: &Arc<str>) -> bool {
        let told = &self.state().told;
        told.as_ref().is_some_and(|(whose, what)| (*whose, what) == (session, digest))
    }

    /// It has.
    pub(super) fn note(&self, session: SessionId, digest: Arc<str>) {
        self.state().told = Some((session, digest));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of what `want` serves, as scripts keep them.
pub(super) fn names(want: &Acquire) -> Vec<String> {
    let queues = want.queues.iter().map(|queue| format!("q{queue}"));
    let plugins = want.classes.iter().map(|class| format!("p{}/{}", class.tenant, class.plugin));
    queues.chain(plugins).collect()
}
