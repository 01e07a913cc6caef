//! What a reload changed, as JSON.

use serde::{Deserialize, Serialize};

use crate::reloader::asked::Reloaded;
use crate::schedule::preview::{Planned, Total};

/// Jobs that one answer lists at most; all of them are counted.
const MAX_ITEMS: usize = 10_000;

/// What a look at everything changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReloadView {
    /// The jobs that something happened to, by name.
    pub items: Vec<Planned>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// How many of each.
    pub total: Total,
    /// The keys of `host.toml` that took effect, with dots.
    pub changed: Vec<String>,
    /// The keys whose new values wait for the next start, with dots.
    pub needs_restart: Vec<String>,
}

impl ReloadView {
    /// What is shown of it.
    pub fn of(mut reloaded: Reloaded) -> Self {
        let mut total = reloaded.preview.total();
        let items = &mut reloaded.preview.items;
        let more = items.len().saturating_sub(MAX_ITEMS);
        if more > 0 {
            items.truncate(MAX_ITEMS);
            let more = format!("{more} more jobs are not listed: `host jobs ls` has all");
            reloaded.preview.warnings.push(more);
            total.warnings += 1;
        }
        let words = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
        Self {
            total,
            items: reloaded.preview.items,
            warnings: reloaded.preview.warnings,
            changed: words(reloaded.live),
            needs_restart: words(reloaded.needs_restart),
        }
    }
}
