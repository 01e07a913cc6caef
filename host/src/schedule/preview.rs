//! What a reconciliation would do, job by job, for people who look before they start.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::reconcile::{JobState, Reconciliation, Step, UNDECLARED, state};
use crate::job::JobKey;
use crate::job::names::JobId;
use crate::problem::join;
use crate::record::Schedule;
use crate::record::step::NewSchedule;
use crate::time::Timestamp;

/// What would happen to one job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// What.
    pub action: Action,
    /// The job.
    pub job: JobId,
    /// The file or plugin that declares it, or that did.
    pub origin: String,
    /// When it would fire next.
    pub next_fire_time: Option<Timestamp>,
    /// The values that change; none when it is only written in another way.
    pub changes: Vec<Change>,
}

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Add,
    /// It is defined otherwise than before.
    Change,
    /// Nobody declares it any more.
    Park,
}

/// A value that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Keys with dots: `trigger.hour`.
    pub key: String,
    /// What is in force; null when there is nothing.
    pub old: Value,
    /// What would be.
    pub new: Value,
}

/// The jobs that taking the steps of `all` would add, change or park, by name; `stored` is what
/// they were decided from.
pub fn preview(all: &Reconciliation, stored: &[Schedule]) -> Vec<Planned> {
    let stored: BTreeMap<&JobKey, &Schedule> =
        stored.iter().map(|schedule| (&schedule.key, schedule)).collect();
    let planned = all.steps.iter().filter_map(|step| match step {
        Step::Create(new) => Some(planned(Action::Add, new, Vec::new())),
        Step::Replace(replacement) => {
            let new = &replacement.schedule;
            let old = stored.get(&new.key)?;
            let changes = changes(old, new);
            // Otherwise it only comes from another layer.
            let is_change = !changes.is_empty() || old.def.digest != new.def.digest;
            is_change.then(|| planned(Action::Change, new, changes))
        }
        Step::Park { job, .. } => Some(Planned {
            action: Action::Park,
            job: job.job.clone(),
            origin: stored.get(job)?.def.origin.clone(),
            next_fire_time: None,
            changes: Vec::new(),
        }),
        Step::Leave { .. } => None,
    });
    planned.collect()
}

fn planned(action: Action, new: &NewSchedule, changes: Vec<Change>) -> Planned {
    Planned {
        action,
        job: new.key.job.clone(),
        origin: new.def.origin.clone(),
        next_fire_time: new.cursor,
        changes,
    }
}

fn changes(old: &Schedule, new: &NewSchedule) -> Vec<Change> {
    let mut changes = Vec::new();
    if state(old) == JobState::Parked && new.parked.is_none() {
        let was = old.parked.as_deref().unwrap_or(UNDECLARED);
        let (old, new) = (json!(format!("parked ({was})")), json!("declared again"));
        changes.push(Change { key: "state".to_owned(), old, new });
    }
    if old.source != new.source {
        let (old, new) = (json!(old.source), json!(new.source));
        changes.push(Change { key: "source".to_owned(), old, new });
    }
    compare("", &old.def.effective.get(), &new.def.effective.get(), &mut changes);
    changes
}

/// Finds what differs; tables are compared key by key.
fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (before, after) = (before.get(key), after.get(key));
                let (before, after) =
                    (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
                compare(&join(path, key), before, after, changes);
            }
        }
        (old, new) if old == new => (),
        (old, new) => {
            changes.push(Change { key: path.to_owned(), old: old.clone(), new: new.clone() });
        }
    }
}
