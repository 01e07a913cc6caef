//! What is new about a plugin from one catalog to the next: what events tell and metrics count.

use super::{Entry, State};
use crate::metrics::PluginChange;
use crate::plugin::versions::Held;

/// What is new about a plugin that is there, in order.
pub fn changes(before: Option<&Entry>, now: &Entry) -> Vec<PluginChange> {
    let mut changes = Vec::new();
    let (old, new) = (before.and_then(digest), digest(now));
    match (old, new) {
        (Some(old), Some(new)) if old != new => changes.push(PluginChange::Replaced),
        (None, Some(_)) => changes.push(PluginChange::Loaded),
        _ => (),
    }
    let refusal = refusal(now);
    if refusal.is_some() && before.and_then(self::refusal) != refusal {
        changes.push(PluginChange::Refused);
    }
    let held = held(now);
    if held.is_some() && before.and_then(self::held) != held {
        changes.push(PluginChange::Held);
    }
    changes
}

/// The digest of the version that runs.
pub fn digest(entry: &Entry) -> Option<&str> {
    entry.active().map(|plugin| plugin.about.digest.as_str())
}

/// Why the plugin, or what was put in its place, is refused.
pub fn refusal(entry: &Entry) -> Option<&str> {
    match &entry.state {
        State::Active(_) => entry.update_refused.as_deref(),
        State::Refused(why) => Some(why),
    }
}

/// The version that waits for approval.
pub fn held(entry: &Entry) -> Option<&Held> {
    entry.versions.as_ref()?.held.as_ref()
}
