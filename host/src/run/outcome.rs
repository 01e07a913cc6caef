//! How a guest ended and what it used. Everything a guest can do to itself is a value here.

use serde::{Deserialize, Serialize};

/// How a run that ran, or one attempt of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The job returned `ok`.
    Succeeded,
    /// The job returned an error.
    Failed,
    /// It ran past `limits.timeout`.
    TimedOut,
    /// It used up `limits.fuel`.
    OutOfFuel,
    /// It wanted more than `limits.memory`, and then failed.
    OutOfMemory,
    /// It trapped: a panic, a bad memory access, a stack overflow.
    Trapped,
    /// It went over another limit.
    LimitExceeded,
    /// Somebody stopped it.
    Cancelled,
    /// The host that ran it went away.
    Abandoned,
}

impl Outcome {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::OutOfFuel,
        Self::OutOfMemory,
        Self::Trapped,
        Self::LimitExceeded,
        Self::Cancelled,
        Self::Abandoned,
    ];

    /// The word that the files, REST and the store use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::OutOfFuel => "out_of_fuel",
            Self::OutOfMemory => "out_of_memory",
            Self::Trapped => "trapped",
            Self::LimitExceeded => "limit_exceeded",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether a limit ended it; `host run` and `host trigger --wait` exit with 3 then.
    pub const fn is_limit(self) -> bool {
        match self {
            Self::TimedOut | Self::OutOfFuel | Self::OutOfMemory | Self::LimitExceeded => true,
            Self::Succeeded | Self::Failed | Self::Trapped | Self::Cancelled | Self::Abandoned => {
                false
            }
        }
    }
}

/// What went wrong in a run, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// What the guest or the host says.
    pub message: String,
    /// Whether the guest thinks that another try may help.
    pub retryable: bool,
}
