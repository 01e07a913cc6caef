//! A host of the fleet as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::job::names::QueueName;
use crate::record::{HostRecord, Role};
use crate::run::id::SessionId;
use crate::time::Timestamp;

/// A host with an open session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// Its name.
    pub host: String,
    /// Its session: the lease that its runs hang on.
    pub session: SessionId,
    /// Whether it is the host that answers.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// The version of its program.
    pub version: String,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// The queues that it takes runs from.
    pub queues: BTreeSet<QueueName>,
    /// The plugins that it holds, as `tenant/plugin`, and the digest of each.
    pub plugins: BTreeMap<String, String>,
    /// Runs under way on it.
    pub running: u64,
    /// When its session was opened.
    pub since: Timestamp,
    /// Beats since then.
    pub beats: u64,
    /// When it beat last, by the store's clock.
    pub beat_at: Timestamp,
    /// How long ago that was, milliseconds.
    pub beat_age_ms: u64,
    /// Its clock less the store's at that time, milliseconds.
    pub clock_offset_ms: f64,
    /// Of the host that answers: why its configuration on disk can't be used, and an older one counts.
    pub config_refused: Option<String>,
}

/// What a host knows of itself, newer than what it said last.
pub struct Own {
    /// Its session.
    pub session: SessionId,
    /// The plugins that it holds, and the digest of each.
    pub plugins: BTreeMap<String, String>,
    /// Runs under way on it.
    pub running: u64,
    /// Why its configuration on disk can't be used.
    pub config_refused: Option<String>,
}

impl HostView {
    /// What is shown of each host at `now` by the clock of the host that answers, which is `own`.
    pub fn of_all(hosts: &[HostRecord], own: Option<&Own>, now: Timestamp) -> Vec<Self> {
        let is_own = |host: &HostRecord| own.is_some_and(|own| own.session == host.session.id);
        let offset = hosts.iter().find(|host| is_own(host)).map_or(0, |host| host.clock_offset_us);
        let now = Timestamp::from_micros(now.micros().saturating_sub(offset));
        hosts.iter().map(|host| Self::of(host, own.filter(|_| is_own(host)), now)).collect()
    }

    /// `now` is by the store's clock.
    fn of(host: &HostRecord, own: Option<&Own>, now: Timestamp) -> Self {
        let info = host.info.clone();
        let age = u64::try_from(now.since(host.beat_at).as_millis()).unwrap_or(u64::MAX);
        Self {
            host: info.host,
            session: host.session.id,
            is_self: own.is_some(),
            version: info.version,
            roles: info.roles,
            queues: info.queues,
            plugins: own.map_or(info.plugins, |own| own.plugins.clone()),
            running: own.map_or(info.running, |own| own.running),
            since: host.since,
            beats: host.counter,
            beat_at: host.beat_at,
            beat_age_ms: age,
            clock_offset_ms: micros(host.clock_offset_us),
            config_refused: own.and_then(|own| own.config_refused.clone()),
        }
    }
}

/// Microseconds as milliseconds.
fn micros(micros: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    let micros = micros as f64;
    micros / 1_000.0
}
