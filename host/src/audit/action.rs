//! The kinds of change that are kept, and their words.

use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Action {
    /// A job was made.
    JobCreated,
    /// A job was given another definition.
    JobReplaced,
    /// A job was removed.
    JobRemoved,
    /// A job was paused.
    JobPaused,
    /// A job goes on.
    JobResumed,
    /// A run was asked for, or several.
    RunAsked,
    /// A run was cancelled.
    RunCancelled,
    /// The scheduler was paused.
    SchedulerPaused,
    /// The scheduler goes on.
    SchedulerResumed,
    /// A token appeared in the file of tokens.
    TokenAdded,
    /// A token stands there with another role, tenant, secret or end.
    TokenChanged,
    /// A token was taken out.
    TokenRemoved,
    /// A plugin was put over REST, new or in another version.
    PluginPut,
    /// A plugin that was put so was removed.
    PluginRemoved,
    /// A plugin runs in an older version again.
    PluginRolledBack,
    /// A plugin stays at a version.
    PluginPinned,
    /// A plugin follows what is offered again.
    PluginUnpinned,
    /// A version of a plugin may reach for what it wants.
    PluginApproved,
    /// A version of a plugin gets a part of the runs, or no longer.
    PluginTried,
    /// A plugin's file appeared, changed or went.
    PluginChanged,
    /// The configuration was read again.
    ConfigReloaded,
    /// A tenant was made over REST, or given other keys.
    TenantChanged,
    /// A tenant is being removed.
    TenantDraining,
    /// A tenant is no more, and all that it had is deleted.
    TenantRemoved,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::JobCreated,
        Self::JobReplaced,
        Self::JobRemoved,
        Self::JobPaused,
        Self::JobResumed,
        Self::RunAsked,
        Self::RunCancelled,
        Self::SchedulerPaused,
        Self::SchedulerResumed,
        Self::TokenAdded,
        Self::TokenChanged,
        Self::TokenRemoved,
        Self::PluginPut,
        Self::PluginRemoved,
        Self::PluginRolledBack,
        Self::PluginPinned,
        Self::PluginUnpinned,
        Self::PluginApproved,
        Self::PluginTried,
        Self::PluginChanged,
        Self::ConfigReloaded,
        Self::TenantChanged,
        Self::TenantDraining,
        Self::TenantRemoved,
    ];

    /// The action as JSON writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::JobCreated => "job.created",
            Self::JobReplaced => "job.replaced",
            Self::JobRemoved => "job.removed",
            Self::JobPaused => "job.paused",
            Self::JobResumed => "job.resumed",
            Self::RunAsked => "run.asked",
            Self::RunCancelled => "run.cancelled",
            Self::SchedulerPaused => "scheduler.paused",
            Self::SchedulerResumed => "scheduler.resumed",
            Self::TokenAdded => "token.added",
            Self::TokenChanged => "token.changed",
            Self::TokenRemoved => "token.removed",
            Self::PluginPut => "plugin.put",
            Self::PluginRemoved => "plugin.removed",
            Self::PluginRolledBack => "plugin.rolled_back",
            Self::PluginPinned => "plugin.pinned",
            Self::PluginUnpinned => "plugin.unpinned",
            Self::PluginApproved => "plugin.approved",
            Self::PluginTried => "plugin.tried",
            Self::PluginChanged => "plugin.changed",
            Self::ConfigReloaded => "config.reloaded",
            Self::TenantChanged => "tenant.changed",
            Self::TenantDraining => "tenant.draining",
            Self::TenantRemoved => "tenant.removed",
        }
    }
}

impl From<Action> for &'static str {
    fn from(action: Action) -> Self {
        action.word()
    }
}

impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|action| action.word() == text);
        known.ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            format!("unknown action `{text}`; there are {words}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_reads_back() {
        for action in Action::ALL {
            let text = serde_json::to_value(action).unwrap();
            assert_eq!(serde_json::from_value::<Action>(text).unwrap(), action);
        }
    }
}
