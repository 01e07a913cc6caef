//! A verdict as JSON.

use serde::{Deserialize, Serialize};

use crate::record::query::LedgerItem;
use crate::run::id::RunId;
use crate::run::{Reason, Verdict};
use crate::time::Timestamp;

/// One verdict: of one fire time, or of a stretch of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerView {
    /// What became of them.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The first fire time.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// The run that stands for them.
    pub into: Option<RunId>,
    /// The run that it became.
    pub run: Option<RunId>,
}

impl LedgerView {
    /// What is shown of a verdict.
    pub fn of(item: &LedgerItem) -> Self {
        Self {
            verdict: item.verdict,
            reason: item.reason.clone(),
            first: item.first,
            last: item.last,
            count: item.count,
            into: item.into,
            run: item.run,
        }
    }
}
