//! A Unix crontab, taken over as `[jobs.NAME]` tables.
//!
//! Text in, text out. What cron has and Campanile has not is kept as a comment with the reason;
//! lines that are no crontab are faults. What cron would have run is a comment too: a command is
//! no plugin, and somebody has to write it.

mod line;
mod name;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::trigger::{Trigger, parse_zone};
use line::{Line, When};

/// Which kind of crontab it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of one user: the command follows the time.
    User,
    /// `/etc/crontab`: a user stands between the time and the command.
    System,
}

/// What a crontab became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// A piece of `host.toml`.
    pub toml: String,
    /// The jobs in it.
    pub jobs: Vec<ImportedJob>,
    /// Lines that could not be taken.
    pub faults: Vec<Fault>,
}

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedJob {
    /// Its name.
    pub id: String,
    /// Its trigger.
    pub trigger: Value,
    /// What cron ran.
    pub command: String,
}

/// A line that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Before everything else.
const HEAD: &str = "\
# From a crontab. Each command needs a plugin that does the same: `plugin` is its place, and the
# command stands above it. Unlike under cron a fire that was missed while the host was down runs
# once when it is back (`misfire_grace_time`), and runs of one job do not overlap (`overlap`).
";

/// What is said when wall times have no zone of their own.
const ZONE_HINT: &str = "\
# cron went by the clock of its machine: let `timezone` at the top of host.toml name that zone.
";

/// Takes over each line of a crontab.
pub fn import(text: &str, kind: Kind) -> Imported {
    let mut taken = Taken { zones: Zones::default(), names: BTreeSet::new(), zoneless: false };
    let (mut imported, mut body) = (Imported::default(), String::new());
    for (number, text) in (1..).zip(text.lines()) {
        match line::read(text, kind) {
            Ok(Line::Empty) => body.push('\n'),
            Ok(Line::Comment(text)) => comment(&mut body, text),
            Ok(Line::Setting { name, value }) => {
                if let Err(message) = taken.zones.set(name, value) {
                    imported.faults.push(Fault { line: number, message });
                }
                setting(&mut body, name, value, text);
            }
            Ok(Line::Entry { when: When::Never(reason), .. }) => {
                comment(&mut body, &format!("line {number} has no equivalent: {reason}"));
                comment(&mut body, &format!("    {}", text.trim()));
            }
            Ok(Line::Entry { when: When::Cron(crontab), user, command }) => {
                match taken.job(&crontab, user, command, &mut body) {
                    Ok(job) => imported.jobs.push(job),
                    Err(message) => imported.faults.push(Fault { line: number, message }),
                }
            }
            Err(message) => imported.faults.push(Fault { line: number, message }),
        }
    }
    let hint = if taken.zoneless { ZONE_HINT } else { "" };
    imported.toml = format!("{HEAD}{hint}\n{}\n", body.trim());
    imported
}

/// What lines before have said.
struct Taken {
    zones: Zones,
    names: BTreeSet<String>,
    /// Whether a job goes by the zone of the file.
    zoneless: bool,
}

/// The zone of the lines that follow.
#[derive(Default)]
struct Zones {
    cron_tz: Option<Tz>,
    tz: Option<Tz>,
}

impl Zones {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let place = match name {
            "CRON_TZ" => &mut self.cron_tz,
            "TZ" => &mut self.tz,
            _ => return Ok(()),
        };
        *place = None;
        let zone = value.strip_prefix(':').unwrap_or(value);
        if !zone.is_empty() {
            *place = Some(parse_zone(zone).map_err(|message| format!("{name}: {message}"))?);
        }
        Ok(())
    }
}

impl Taken {
    fn job(
        &mut self,
        crontab: &str,
        user: Option<&str>,
        command: &str,
        body: &mut String,
    ) -> Result<ImportedJob, String> {
        let zone = self.zones.cron_tz.or(self.zones.tz);
        let mut trigger = json!({"type": "cron", "crontab": crontab});
        if let Some(zone) = zone {
            trigger["timezone"] = json!(zone.name());
        }
        let mut problems = Vec::new();
        if Trigger::parse(&trigger, "", Tz::UTC, &mut problems).is_none() {
            let problems: Vec<String> = problems.iter().map(without_key).collect();
            return Err(problems.join("; "));
        }
        self.zoneless |= zone.is_none();
        let id = name::unique(&name::of_command(command), &mut self.names);
        if let Some(user) = user {
            comment(body, &format!("ran as user `{user}`"));
        }
        comment(body, &format!("command: {command}"));
        if line::has_input(command) {
            comment(
                body,
                "after the first `%` cron gives the rest to the command as its input, with a new \
                 line for each further `%`: hand it over in `args`",
            );
        }
        let zone = zone.map(|zone| format!(", timezone = \"{}\"", zone.name())).unwrap_or_default();
        body.push_str(&format!(
            "[jobs.{id}]\n\
             plugin = \"{id}\"  # a placeholder: the plugin that does what the command did\n\
             trigger = {{ type = \"cron\", crontab = \"{crontab}\"{zone} }}\n"
        ));
        Ok(ImportedJob { id, trigger, command: command.to_owned() })
    }
}

/// The message alone: the line has no keys.
fn without_key(problem: &Problem) -> String {
    problem.message.clone()
}

fn setting(body: &mut String, name: &str, value: &str, text: &str) {
    let note = match name {
        "CRON_TZ" | "TZ" => "",
        "MAILTO" | "MAILFROM" => "  (nothing is mailed: a run keeps its log)",
        "SHELL" => "  (there is no shell)",
        "RANDOM_DELAY" => "  (nothing is delayed)",
        _ => "  (jobs have no environment: use `config` or `args`)",
    };
    let note = if value.is_empty() { "" } else { note };
    comment(body, &format!("{}{note}", text.trim()));
}

/// Writes a line of comment. TOML takes no control characters there.
fn comment(body: &mut String, text: &str) {
    body.push_str(if text.is_empty() { "#" } else { "# " });
    for c in text.trim_end().chars() {
        if c.is_control() && c != '\t' {
            body.extend(c.escape_unicode());
        } else {
            body.push(c);
        }
    }
    body.push('\n');
}
