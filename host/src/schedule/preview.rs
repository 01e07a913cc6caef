//! What a reconciliation does, job by job, for people: before a start, and when a host takes what
//! has changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reconcile::{JobState, Reconciliation, Step, UNDECLARED, state};
use crate::config::definitions::Definitions;
use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::problem::join;
use crate::record::Schedule;
use crate::record::step::NewSchedule;
use crate::time::Timestamp;

/// All that happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// The jobs that something happens to, by name.
    pub items: Vec<Planned>,
    /// What people should know: files that are not understood, jobs that will never fire.
    pub warnings: Vec<String>,
    /// Declared jobs that nothing happens to.
    pub unchanged: usize,
}

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Jobs that are new.
    pub add: usize,
    /// Jobs that are defined otherwise.
    pub change: usize,
    /// Jobs that nobody declares any more.
    pub park: usize,
    /// Jobs that nothing happens to.
    pub unchanged: usize,
    /// Warnings.
    pub warnings: usize,
}

/// What happens to one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// What.
    pub action: Action,
    /// Whose job it is.
    pub tenant: TenantId,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Keys with dots: `trigger.hour`.
    pub key: String,
    /// What is in force; null when there is nothing.
    pub old: Value,
    /// What would be.
    pub new: Value,
}

impl Preview {
    /// What taking the steps of `all` does, which were decided from what is `declared` and `stored`.
    /// `before` are warnings that came up on the way there.
    pub fn of(
        all: &Reconciliation,
        stored: &[Schedule],
        declared: &Definitions,
        before: Vec<String>,
    ) -> Self {
        let items = planned(all, stored);
        let mut warnings = before;
        for (origin, problems) in &declared.problems {
            warnings.extend(problems.iter().map(|problem| format!("{origin}: {problem}")));
        }
        warnings.extend(all.warnings.iter().map(ToString::to_string));
        let idle = declared.unscheduled.iter().map(|unscheduled| &unscheduled.plugin);
        warnings
            .extend(idle.map(|plugin| format!("nothing schedules plugin `{}`", plugin.shown())));
        let unchanged = all.steps.len() - items.len();
        Self { items, warnings, unchanged }
    }

    /// How many of each.
    pub fn total(&self) -> Total {
        let count = |action| self.items.iter().filter(|item| item.action == action).count();
        Total {
            add: count(Action::Add),
            change: count(Action::Change),
            park: count(Action::Park),
            unchanged: self.unchanged,
            warnings: self.warnings.len(),
        }
    }

    /// This after what happened `before`; of a job that something happened to twice the later, and of
    /// warnings those that are true now.
    pub fn after(self, before: Self) -> Self {
        let key = |item: &Planned| (item.tenant.clone(), item.job.clone());
        let later: BTreeSet<_> = self.items.iter().map(key).collect();
        let mut items: Vec<_> =
            before.items.into_iter().filter(|item| !later.contains(&key(item))).collect();
        let unchanged = self.unchanged.saturating_sub(items.len());
        items.extend_from_slice(&self.items);
        items.sort_by_key(key);
        Self { items, unchanged, ..self }
    }
}

/// The jobs that taking the steps of `all` adds, changes or parks, by name; `stored` is what
/// they were decided from.
pub fn planned(all: &Reconciliation, stored: &[Schedule]) -> Vec<Planned> {
    let stored: BTreeMap<&JobKey, &Schedule> =
        stored.iter().map(|schedule| (&schedule.key, schedule)).collect();
    let planned = all.steps.iter().filter_map(|step| match step {
        Step::Create(new) => Some(of(Action::Add, new, Vec::new())),
        Step::Replace(replacement) => {
            let new = &replacement.schedule;
            let old = stored.get(&new.key)?;
            let changes = changes(old, new);
            // Otherwise it only comes from another layer.
            let is_change = !changes.is_empty() || old.def.digest != new.def.digest;
            is_change.then(|| of(Action::Change, new, changes))
        }
        Step::Park { job, .. } => Some(Planned {
            action: Action::Park,
            tenant: job.tenant.clone(),
            job: job.job.clone(),
            origin: stored.get(job)?.def.origin.clone(),
            next_fire_time: None,
            changes: Vec::new(),
        }),
        Step::Leave { .. } => None,
    });
    planned.collect()
}

fn of(action: Action, new: &NewSchedule, changes: Vec<Change>) -> Planned {
    Planned {
        action,
        tenant: new.key.tenant.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(items: &[(Action, &str)], unchanged: usize) -> Preview {
        let item = |(action, job): &(Action, &str)| Planned {
            action: *action,
            tenant: TenantId::default_tenant(),
            job: job.parse().unwrap(),
            origin: "host.toml".to_owned(),
            next_fire_time: None,
            changes: Vec::new(),
        };
        let items = items.iter().map(item).collect();
        Preview { items, warnings: Vec::new(), unchanged }
    }

    #[test]
    fn what_happens_twice_is_told_once_and_counted_once() {
        use Action::{Add, Change, Park};
        // Four jobs: one is added, one changes, and then the added one changes and one is parked.
        let before = preview(&[(Add, "a"), (Change, "c")], 2);
        let after = preview(&[(Change, "a"), (Park, "b")], 2).after(before);
        assert_eq!(after, preview(&[(Change, "a"), (Park, "b"), (Change, "c")], 1));
        let total = after.total();
        assert_eq!((total.add, total.change, total.park, total.unchanged), (0, 2, 1, 1));
        assert_eq!(preview(&[], 4).after(after.clone()).items, after.items);
    }
}
