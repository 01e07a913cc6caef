//! How long a run that nobody can run waits for its plugin (semantics A21).

use crate::job::Policy;
use crate::run::{Run, RunState};
use crate::time::Timestamp;

/// When a queued run that waits for its plugin gets the verdict `no_plugin`: after `plugin_wait`,
/// never past the grace. `None` for a run that has started before: it waits on.
pub fn plugin_deadline(policy: &Policy, run: &Run) -> Option<Timestamp> {
    if run.state != RunState::Queued || run.verdict.is_some() {
        return None;
    }
    let waited = run.queued_at.after(policy.plugin_wait);
    let grace = policy.misfire_grace_time.map(|grace| run.due_at.after(grace));
    Some(grace.map_or(waited, |grace| waited.min(grace)))
}
