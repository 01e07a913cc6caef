//! Where the values of a job came from, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::merge::{Layer, MERGED_BY_KEY};
use crate::job::names::JobId;
use crate::problem::join;
use crate::record::Schedule;

/// A job's values in force and where each came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainView {
    /// The job's name.
    pub id: JobId,
    /// Its values by key.
    pub items: Vec<ExplainItem>,
}

/// One value in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainItem {
    /// Keys with dots: `limits.timeout`.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Who gave it, and what they wanted when the host's caps allowed less; null when an older
    /// host wrote the job and did not note it.
    pub origin: Option<String>,
}

impl ExplainView {
    /// What is shown of a schedule.
    pub fn of(schedule: &Schedule) -> Self {
        let (effective, origins) = (schedule.def.effective.get(), schedule.def.origins.get());
        let mut items = Vec::new();
        for (key, value) in effective.as_object().into_iter().flatten() {
            // Of a table that was taken whole, parts may have an origin of their own.
            let parts = value.as_object().into_iter().flatten();
            let parts = parts.map(|(part, value)| (join(key, part), value));
            let parts = parts.filter(|(path, _)| by_key(key) || origins.contains_key(path));
            if !by_key(key) || value.as_object().is_none_or(Map::is_empty) {
                items.push(item(key.clone(), value, &origins));
            }
            items.extend(parts.map(|(path, value)| item(path, value, &origins)));
        }
        Self { id: schedule.key.job.clone(), items }
    }
}

fn item(key: String, value: &Value, origins: &BTreeMap<String, String>) -> ExplainItem {
    let built_in = || (!origins.is_empty()).then(|| Layer::BuiltIn.to_string());
    let origin = origins.get(&key).cloned().or_else(built_in);
    ExplainItem { key, value: value.clone(), origin }
}

fn by_key(key: &str) -> bool {
    MERGED_BY_KEY.contains(&key)
}
