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
    /// Hosts that live and define the job otherwise; what is shown counts all the same.
    #[serde(default)]
    pub otherwise: Vec<Otherwise>,
}

/// A host that defines a job otherwise than is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Otherwise {
    /// Its name.
    pub host: String,
    /// The version of its definition.
    pub config_version: i64,
    /// The version of the one that is in force.
    pub in_force: i64,
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
    /// What is shown of a schedule, and of hosts that define it otherwise: name and version of each.
    pub fn of(schedule: &Schedule, otherwise: Vec<(String, i64)>) -> Self {
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
        let in_force = schedule.def.config_version;
        let otherwise = otherwise.into_iter();
        let otherwise = otherwise
            .map(|(host, config_version)| Otherwise { host, config_version, in_force })
            .collect();
        Self { id: schedule.key.job.clone(), items, otherwise }
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
