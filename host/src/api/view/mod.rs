//! What the interface shows of jobs, runs and plugins: one type for each JSON object.
//!
//! Pure: a view is made from what the store or the catalog holds and nothing else. The order of the
//! fields is the order of the keys. The command line reads the same types back, so that both ways
//! to a store show the same.

pub mod explain;
pub mod host;
pub mod job;
pub mod ledger;
pub mod log;
pub mod plugin;
pub mod problem;
pub mod reload;
pub mod run;
pub mod scheduler;
pub mod tenant;
pub mod usage;
pub mod why;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list in one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}
