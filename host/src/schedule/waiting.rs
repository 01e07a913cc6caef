//! How long a run that has not started waits: for a slot, for its plugin.

use crate::job::Policy;
use crate::run::{Run, RunState, StartBy, Verdict, reason};
use crate::time::Timestamp;

/// By when a fire that is due at `due_at` must have started: its grace is judged again when a slot
/// is free (rule A6), and `expires` counts too. The earlier of both stands.
pub fn start_by(policy: &Policy, due_at: Timestamp) -> Option<StartBy> {
    let grace = policy.misfire_grace_time.map(|grace| StartBy {
        at: due_at.after(grace),
        verdict: Verdict::Misfired,
        reason: reason::QUEUED_TOO_LONG.into(),
    });
    let expires = expires(policy, due_at);
    match (grace, expires) {
        (Some(grace), Some(expires)) => Some(if expires.at < grace.at { expires } else { grace }),
        (grace, expires) => grace.or(expires),
    }
}

/// By when a run that somebody asked for at `asked_at` must have started.
pub fn expires(policy: &Policy, asked_at: Timestamp) -> Option<StartBy> {
    policy.expires.map(|expires| expired_at(asked_at.after(expires)))
}

/// A run that is given up at this instant.
pub fn expired_at(at: Timestamp) -> StartBy {
    StartBy { at, verdict: Verdict::Expired, reason: reason::EXPIRES.into() }
}

/// By when a run whose plugin is not here must have started: after `plugin_wait`, never past the
/// grace (rule A21).
pub fn plugin_start_by(policy: &Policy, due_at: Timestamp, now: Timestamp) -> StartBy {
    let waited = now.after(policy.plugin_wait);
    let at = start_by(policy, due_at).map_or(waited, |start_by| waited.min(start_by.at));
    StartBy { at, verdict: Verdict::NoPlugin, reason: reason::NO_PLUGIN.into() }
}

/// When a queued run whose plugin has gone away since gets the verdict `no_plugin`; a run for later
/// waits from its earliest start on. `None` for a run that has started before: it waits on.
pub fn plugin_deadline(policy: &Policy, run: &Run) -> Option<Timestamp> {
    let never_started = run.state == RunState::Queued && run.verdict.is_none();
    let start = run.not_before.map_or(run.queued_at, |start| start.max(run.queued_at));
    never_started.then(|| start.after(policy.plugin_wait))
}
