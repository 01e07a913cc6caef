//! What an attempt was given of what its tenant may have.

use serde::{Deserialize, Serialize};

/// What was taken from an account when an attempt began, and goes back when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Its memory limit, bytes.
    pub memory: u64,
    /// What it was taken to cost, microseconds.
    pub cost_us: u64,
    /// Set aside for it, milliseconds; more may be drawn.
    pub cpu_ms: u64,
    /// The same of fuel.
    pub fuel: u64,
}
