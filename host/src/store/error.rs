//! Why a store said no. Retrying hangs on the kind, never on the text.

use crate::job::quota::QuotaKey;

/// Why a store call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Surely not applied; try again.
    #[error("the store can't be reached: {0}")]
    Unavailable(String),
    /// May have been applied; repeat the same call.
    #[error("the store did not answer, so it may or may not have done it: {0}")]
    Unknown(String),
    /// Somebody else was first; the version that stands now.
    #[error("it was changed meanwhile (its version is now {current})")]
    Conflict {
        /// The version now.
        current: u64,
    },
    /// The caller is no longer the owner.
    #[error("another attempt or session has taken over")]
    Fenced,
    /// No room, on disk or by a limit of the store.
    #[error("the store is full: {0}")]
    Full(String),
    /// Wrong credentials or rights.
    #[error("the store refuses access: {0}")]
    Denied(String),
    /// Written by a newer host.
    #[error("the store has format {store}, this host writes format {host}: {hint}")]
    Incompatible {
        /// The store's format.
        store: u32,
        /// The newest format this host knows.
        host: u32,
        /// What to do.
        hint: String,
    },
    /// It is there, and not fit to keep schedules.
    #[error("the store can't be used: {0}")]
    Unfit(String),
    /// Damaged; kept as it is, and not written to.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The call itself is wrong: a bug of the caller.
    #[error("the store was asked something that makes no sense: {0}")]
    Invalid(String),
    /// The tenant has as much as it may.
    #[error("the tenant has as much as its quota lets it: `{key}` is {limit}")]
    Quota {
        /// Of what.
        key: QuotaKey,
        /// The quota.
        limit: u64,
    },
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
}

impl StoreError {
    /// The kind of it, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Unknown(_) => "unknown",
            Self::Conflict { .. } => "conflict",
            Self::Fenced => "fenced",
            Self::Full(_) => "full",
            Self::Denied(_) => "denied",
            Self::Unfit(_) => "unfit",
            Self::Incompatible { .. } => "incompatible",
            Self::Corrupt(_) => "corrupt",
            Self::Invalid(_) => "invalid",
            Self::Quota { .. } => "quota",
            Self::NotFound(_) => "not_found",
        }
    }

    /// Whether a store that works says this: it was reached, and it can be written to.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Conflict { .. }
            | Self::Fenced
            | Self::Invalid(_)
            | Self::Quota { .. }
            | Self::NotFound(_) => true,
            Self::Unavailable(_)
            | Self::Unknown(_)
            | Self::Full(_)
            | Self::Denied(_)
            | Self::Unfit(_)
            | Self::Incompatible { .. }
            | Self::Corrupt(_) => false,
        }
    }
}
