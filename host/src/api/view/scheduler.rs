//! The scheduler as JSON.

use serde::{Deserialize, Serialize};

use crate::status::SchedulerPause;

/// Whether the scheduler looks at what comes due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerView {
    /// Set while it is paused.
    pub paused: Option<SchedulerPause>,
}
