//! What becomes of jobs when files and plugins are compared with the store, on the screen: before a
//! start and after a reload.

use serde::Serialize;
use serde_json::{Value, json};

use super::exit::Failure;
use super::screen::{Channel, Tone, harmless, paint, print, print_json};
use crate::job::JobKey;
use crate::schedule::preview::{Action, Planned, Total};

/// All that is shown.
pub struct Difference<'a> {
    /// The jobs that something happens to.
    pub items: &'a [Planned],
    /// What people should know.
    pub warnings: &'a [String],
    /// How many of each.
    pub total: Total,
    /// The keys of `host.toml` that took effect.
    pub changed: &'a [String],
    /// Those that wait for a start.
    pub needs_restart: &'a [String],
}

/// The last line as JSON.
#[derive(Serialize)]
struct LastLine {
    action: &'static str,
    add: usize,
    change: usize,
    park: usize,
    unchanged: usize,
    warnings: usize,
}

impl Difference<'_> {
    /// Prints it, as JSON one object a line.
    ///
    /// # Errors
    ///
    /// As [`print`].
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json { self.print_json() } else { self.print_text() }
    }

    fn print_json(&self) -> Result<(), Failure> {
        self.items.iter().try_for_each(print_json)?;
        for key in self.changed {
            print_json(&json!({"action": "apply", "key": key}))?;
        }
        for key in self.needs_restart {
            print_json(&json!({"action": "restart", "key": key}))?;
        }
        for message in self.warnings {
            print_json(&json!({"action": "warn", "message": message}))?;
        }
        let Total { add, change, park, unchanged, warnings } = self.total;
        print_json(&LastLine { action: "total", add, change, park, unchanged, warnings })
    }

    fn print_text(&self) -> Result<(), Failure> {
        let widest = self.items.iter().map(|item| shown(item).len()).max().unwrap_or(0);
        for item in self.items {
            let (mark, tone) = match item.action {
                Action::Add => ("+", Tone::Good),
                Action::Change => ("~", Tone::Odd),
                Action::Park => ("-", Tone::Bad),
            };
            let (mark, job) = (paint(mark, tone, Channel::Out), shown(item));
            print(format!("{mark} {job:<widest$}  {}", harmless(&what(item))))?;
        }
        // Of the jobs themselves the lines above tell.
        let beside = |key: &&String| !["jobs", "config_version"].contains(&key.as_str());
        for key in self.changed.iter().filter(beside) {
            print(format!("{} `{key}` counts now", paint("*", Tone::Good, Channel::Out)))?;
        }
        let mark = paint("!", Tone::Odd, Channel::Out);
        for key in self.needs_restart {
            print(format!("{mark} `{key}` stays as it was until the host starts anew"))?;
        }
        for warning in self.warnings {
            print(format!("{mark} {}", harmless(warning)))?;
        }
        print(format!(
            "{} to add, {} to change, {} to park, {} unchanged, {} warning{}",
            self.total.add,
            self.total.change,
            self.total.park,
            self.total.unchanged,
            self.total.warnings,
            if self.total.warnings == 1 { "" } else { "s" },
        ))
    }
}

fn shown(item: &Planned) -> String {
    JobKey { tenant: item.tenant.clone(), job: item.job.clone() }.shown()
}

/// What happens to a job, in words.
fn what(planned: &Planned) -> String {
    match planned.action {
        Action::Add => match planned.next_fire_time {
            Some(time) => format!("from {}, fires first at {time}", planned.origin),
            None => format!("from {}, has no fire time", planned.origin),
        },
        Action::Change if planned.changes.is_empty() => {
            format!("is written otherwise in {}, and does the same", planned.origin)
        }
        Action::Change => {
            let changes = planned.changes.iter();
            let changes = changes
                .map(|it| format!("{} {} -> {}", it.key, or_dash(&it.old), or_dash(&it.new)));
            changes.collect::<Vec<_>>().join(", ")
        }
        Action::Park => format!("is no longer declared by {}; its history stays", planned.origin),
    }
}

fn or_dash(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { value.to_string() }
}
