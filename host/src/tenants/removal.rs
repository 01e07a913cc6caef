//! How a tenant is removed, step by step. Pure: what is to be done next comes of what is kept.
//!
//! ```text
//! draining ── no run lives ──> export on disk ──> deleting ── nothing is left ──> no document
//!    └── until is over: live runs are cancelled
//! ```
//!
//! Each step may be done again: who begins anew finds the document, and goes on where it stands.

use std::time::Duration;

use crate::job::names::TenantId;
use crate::record::tenant::{Removal, Step};
use crate::run::id::SessionId;
use crate::time::Timestamp;

/// Why jobs of such a tenant are parked.
pub const DRAINING: &str = "draining";
/// Live runs may go on for so long at most.
pub const MAX_DRAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Other hosts have seen by then that nothing may begin any more.
pub const SEEN: Duration = Duration::from_secs(5);
/// The folder of exports, below that of state.
pub const EXPORTS: &str = "exports";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Others do it.
    Leave,
    /// The host that did it is no more: this one takes it over.
    TakeOver,
    /// Jobs are kept from firing; what lives goes on.
    Park,
    /// The same, and what lives is cancelled.
    Cancel,
    /// All that there is goes into a file.
    Export,
    /// What is in the file is deleted.
    Delete,
}

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The session of this host.
    pub own: SessionId,
    /// Whether the session that carries it out is open.
    pub is_open: bool,
    /// Whether other hosts share the store.
    pub is_shared: bool,
    /// Whether a run of the tenant lives.
    pub has_live: bool,
}

/// Decides what this host does about a removal at `now`.
pub fn next(removal: &Removal, seen: Seen, now: Timestamp) -> Next {
    let is_settled = !seen.is_shared || SEEN <= now.since(removal.since);
    match removal.step {
        _ if removal.session != seen.own => match seen.is_open {
            true => Next::Leave,
            false => Next::TakeOver,
        },
        Step::Deleting => Next::Delete,
        Step::Draining if seen.has_live && removal.until <= now => Next::Cancel,
        Step::Draining if seen.has_live || !is_settled => Next::Park,
        Step::Draining => Next::Export,
    }
}

/// The file that takes what a tenant has, below the folder of state.
pub fn export_name(tenant: &TenantId, now: Timestamp) -> String {
    let time = now.to_utc().format("%Y%m%dT%H%M%SZ");
    format!("{EXPORTS}/{tenant}-{time}.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_next_comes_of_what_is_kept_and_what_lives() {
        let (own, other) = (SessionId::from_bits(1), SessionId::from_bits(2));
        let at = Timestamp::from_secs;
        let removal = |step, session| Removal {
            since: at(100),
            by: "local".to_owned(),
            until: at(130),
            step,
            export: String::new(),
            host: String::new(),
            session,
        };
        let seen = |is_open, is_shared, has_live| Seen { own, is_open, is_shared, has_live };
        for (step, session, seen, now, expected) in [
            (Step::Draining, own, seen(true, false, true), 100, Next::Park),
            (Step::Draining, own, seen(true, false, true), 129, Next::Park),
            (Step::Draining, own, seen(true, false, true), 130, Next::Cancel),
            (Step::Draining, own, seen(true, false, false), 100, Next::Export),
            (Step::Draining, own, seen(true, true, false), 104, Next::Park),
            (Step::Draining, own, seen(true, true, false), 105, Next::Export),
            (Step::Deleting, own, seen(true, true, false), 100, Next::Delete),
            (Step::Draining, other, seen(true, true, false), 200, Next::Leave),
            (Step::Draining, other, seen(false, true, false), 200, Next::TakeOver),
            (Step::Deleting, other, seen(false, true, false), 200, Next::TakeOver),
        ] {
            assert_eq!(next(&removal(step, session), seen, at(now)), expected, "{step:?} {seen:?}");
        }
        let tenant = "acme".parse().unwrap();
        assert_eq!(export_name(&tenant, at(0)), "exports/acme-19700101T000000Z.jsonl");
    }
}
