//! Sessions: opened, renewed, ended, and what hosts say of themselves.

use std::sync::atomic::Ordering;

use super::link::Caller;
use super::scripts::Script;
use super::wire;
use super::{RedisStore, rank};
use crate::record::step::{Attached, Beat, Pulse, Reaped};
use crate::record::{HostInfo, HostRecord, Role, Session};
use crate::run::RunKey;
use crate::run::id::{Fence, SessionId};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Runs that one call takes from a dead session.
const REAPED_AT_ONCE: usize = 256;
/// The only shard of a store on one server.
const SHARD: u32 = 0;

impl RedisStore {
    pub(super) fn caller<'a>(session: &'a Session, now: Timestamp) -> Caller<'a> {
        Caller { now, session: Some(session.id), host: &session.host }
    }

    /// Ends a session, its own or a dead one, however much it holds.
    pub(super) async fn end_session(
        &self,
        caller: Caller<'_>,
        peer: Option<(SessionId, u64)>,
    ) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        let mut seen = peer.map(|(_, seen)| wire::counter_text(seen));
        loop {
            let args = wire::EndArgs {
                peer: peer.map(|(session, _)| session),
                seen: seen.clone(),
                most: REAPED_AT_ONCE,
            };
            let answer: wire::EndAnswer =
                self.link.call(Script::EndSession, caller, &args, b"").await?;
            if let Some(counter) = answer.moved {
                return Err(StoreError::Conflict { current: wire::counter(&counter) });
            }
            let keys = |list: Vec<_>| list.into_iter().map(|(run, tenant)| RunKey { tenant, run });
            reaped.rescued.extend(keys(answer.rescued));
            reaped.abandoned.extend(keys(answer.abandoned));
            reaped.cancelled.extend(keys(answer.cancelled));
            if !answer.more {
                return Ok(reaped);
            }
            seen = seen.map(|_| wire::DEAD.to_owned());
        }
    }

    pub(super) async fn attach(&self, info: HostInfo, now: Timestamp) -> Result<Attached> {
        let id = (self.fresh_id)();
        let generation = self.link.generation().await?;
        let session = Session { id, host: info.host.clone(), generation };
        let args = wire::JoinArgs {
            info: wire::info_text(&info)?,
            schedules: info.roles.contains(&Role::Scheduler),
        };
        let _: wire::Nothing =
            self.link.call(Script::Join, Self::caller(&session, now), &args, b"").await?;
        Ok(Attached { session, reaped: Reaped::default() })
    }

    pub(super) async fn beat(
        &self,
        session: &Session,
        pulse: Pulse,
        now: Timestamp,
    ) -> Result<Beat> {
        let info = pulse.info.as_ref();
        let args = wire::BeatArgs {
            schedules: info.is_none_or(|info| info.roles.contains(&Role::Scheduler)),
            info: info.map(wire::info_text).transpose()?,
            progress: pulse
                .progress
                .into_iter()
                .map(|step| wire::ProgressStep {
                    run: step.run.run,
                    tenant: step.run.tenant,
                    fence: step.fence,
                    progress: step.progress,
                })
                .collect(),
        };
        let answer: wire::BeatAnswer =
            self.link.call(Script::Beat, Self::caller(session, now), &args, b"").await?;
        let rivals = answer.peers.iter().filter(|peer| peer.3 && peer.2 != wire::DEAD);
        let rank = rank::rank(session.id, rivals.map(|peer| peer.0), SHARD);
        self.rank.store(rank, Ordering::Relaxed);
        let key = |run, tenant| RunKey { tenant, run };
        let mut peers: Vec<(Session, u64)> = answer
            .peers
            .into_iter()
            .map(|wire::Peer(id, host, counter, _)| {
                (Session { id, host, generation: session.generation }, wire::counter(&counter))
            })
            .collect();
        peers.sort_by_key(|(session, _)| session.id);
        let cancels = answer.cancels.into_iter().map(|(run, tenant, why)| (key(run, tenant), why));
        let held = answer.held.into_iter().map(|(run, tenant, fence)| (key(run, tenant), fence));
        let mut cancels: Vec<(RunKey, String)> = cancels.collect();
        cancels.sort();
        let mut held: Vec<(RunKey, Fence)> = held.collect();
        held.sort();
        Ok(Beat { cancels, held, peers })
    }

    pub(super) async fn hosts(&self) -> Result<Vec<HostRecord>> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.link.keys().of("SES"));
        let counters: Vec<(String, String)> = self.link.read(&ask).await?;
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.link.keys().of("HOST"));
        let rows: Vec<(String, Vec<u8>)> = self.link.read(&ask).await?;
        let mut hosts = Vec::with_capacity(rows.len());
        for (id, row) in rows {
            let Some((_, counter)) = counters.iter().find(|(session, _)| *session == id) else {
                continue;
            };
            let row: wire::HostRow = wire::unpack(&row)?;
            let info = row.info()?;
            let id: SessionId = id.parse().map_err(StoreError::Corrupt)?;
            hosts.push(HostRecord {
                session: Session { id, host: info.host.clone(), generation: 0 },
                counter: wire::counter(counter),
                info,
                since: row.since,
                beat_at: row.beat_at,
                clock_offset_us: row.offset,
            });
        }
        hosts.sort_by(|a, b| (&a.info.host, a.session.id).cmp(&(&b.info.host, b.session.id)));
        Ok(hosts)
    }
}
