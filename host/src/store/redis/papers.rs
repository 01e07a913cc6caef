//! Documents and counters, and what is forgotten.

use std::sync::atomic::Ordering;

use super::link::Caller;
use super::scripts::Script;
use super::wire::ForgetArgs;
use super::{RedisStore, used, wire};
use crate::job::names::TenantId;
use crate::record::step::{Retention, Trimmed};
use crate::run::RunKey;
use crate::store::core::papers::Victims;
use crate::store::embedded::{aging, belongings};
use crate::store::{FOLLOWED, Result};
use crate::time::Timestamp;

impl RedisStore {
    pub(super) async fn doc_put(
        &self,
        tenant: &TenantId,
        kind: &str,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
    ) -> Result<u64> {
        let key = format!("{tenant}\0{kind}\0{key}");
        let remove = value.is_none();
        let followed = FOLLOWED.contains(&kind);
        let args = wire::DocArgs { key: &key, expect, remove, followed };
        let caller = Caller::at(Timestamp::from_secs(0));
        let value = value.unwrap_or_default();
        let answer: wire::Version = self.link.call(Script::Doc, caller, &args, &value).await?;
        Ok(answer.version)
    }

    pub(super) async fn doc_mark(&self) -> Result<u64> {
        let mut ask = redis::cmd("HGET");
        ask.arg(self.link.keys().of("META")).arg("docs");
        let mark: Option<u64> = self.link.read(&ask).await?;
        Ok(mark.unwrap_or(0))
    }

    pub(super) async fn counter_add(
        &self,
        tenant: &TenantId,
        key: &str,
        by: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>> {
        let key = format!("{tenant}\0{key}");
        let args = wire::CounterArgs {
            key: &key,
            by: by.to_string(),
            limit: limit.map(|limit| limit.to_string()),
        };
        let caller = Caller::at(Timestamp::from_secs(0));
        let answer: wire::CounterAnswer =
            self.link.call(Script::Counter, caller, &args, b"").await?;
        Ok(answer.value.and_then(|value| value.parse().ok()))
    }

    pub(super) async fn trim(
        &self,
        keep: Retention,
        budget: usize,
        now: Timestamp,
    ) -> Result<Trimmed> {
        if 0 < self.rank.load(Ordering::Relaxed) {
            // Another host does.
            return Ok(Trimmed::default());
        }
        let look = self.rounds().next();
        let mut victims =
            self.look(move |kept| aging::victims(kept, &look, keep, budget, now)).await?;
        let more = self.rounds().looked(std::mem::take(&mut victims.looked));
        Ok(Trimmed { more, ..self.forget(victims, now).await? })
    }

    pub(super) async fn erase(
        &self,
        tenant: &TenantId,
        budget: usize,
        now: Timestamp,
    ) -> Result<Trimmed> {
        let tenant = tenant.clone();
        let found = self.look(move |kept| belongings::victims(kept, &tenant, budget)).await;
        let (victims, more) = found?;
        Ok(Trimmed { more, ..self.forget(victims, now).await? })
    }

    /// Forgets what was found, in one step.
    async fn forget(&self, victims: Victims, now: Timestamp) -> Result<Trimmed> {
        let names = |runs: &[RunKey]| runs.iter().map(wire::run_name).collect::<Vec<_>>();
        let args = ForgetArgs {
            runs: names(&victims.runs),
            bodies: names(&victims.bodies),
            ranges: victims.ranges.iter().map(|range| (range.id, range.last)).collect(),
            buckets: victims.buckets.iter().map(used::keys_of).collect(),
            docs: victims.docs.iter().map(wire::doc_name).collect(),
            counters: victims.counters.iter().map(wire::counter_name).collect(),
        };
        let ForgetArgs { runs, bodies, ranges, buckets, docs, counters } = &args;
        let lists = [runs.len(), bodies.len(), ranges.len(), buckets.len()];
        if lists == [0; 4] && docs.is_empty() && counters.is_empty() {
            return Ok(Trimmed::default());
        }
        let answer: wire::ForgetAnswer =
            self.link.call(Script::Forget, Caller::at(now), &args, b"").await?;
        Ok(Trimmed { records: answer.records, bodies: answer.bodies, more: false })
    }
}
