//! `host plan`: what a start would add, change and park. Looks, and touches nothing.

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Common;
use super::exit::{Exit, Failure};
use super::screen::{Channel, Tone, harmless, note, paint, print, print_json};
use super::{carried, kept, logging, runtime};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::definitions::definitions;
use crate::config::load;
use crate::config::store::StoreAddress;
use crate::record::Schedule;
use crate::reloader::apply::all_schedules;
use crate::reloader::fleet::peers;
use crate::schedule::declared::Peers;
use crate::schedule::preview::{Action, Planned, preview};
use crate::schedule::reconcile::reconcile;

/// How the exit code speaks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host plan
  host plan --detailed-exitcode || test $? = 4
  host plan --json | jq -r 'select(.action == \"park\") | .job'

It reads the configuration, the files beside plugins and the plugins themselves, and compares them
with the store, which it opens read-only: also beside a running host. Nothing is written.
+ is added, ~ changes (values in force, old -> new), - is parked, ! is a warning.")]
pub struct Plan {
    /// Exit with 4 when something would change
    #[arg(long)]
    detailed_exitcode: bool,
}

/// The last line as JSON.
#[derive(Serialize)]
struct Total {
    action: &'static str,
    add: usize,
    change: usize,
    park: usize,
    unchanged: usize,
    warnings: usize,
}

/// Tells what a start would do.
///
/// # Errors
///
/// The configuration is wrong, or the store or a folder can't be read.
pub fn plan(args: &Plan, common: &Common) -> Result<Exit, Failure> {
    logging::init(common.log_format, "warn");
    let config = common.load()?;
    let runtime = runtime()?;
    let folder = runtime.block_on(carried::folder(&config))?;
    let mut warnings = folder.strange;
    for (plugin, why) in &folder.refused {
        warnings.push(format!("plugin `{}` is refused: {why}", plugin.plugin));
    }
    let sidecars = load::sidecars(&config).map_err(Failure::usage)?;
    let declared = definitions(&config, &sidecars, &folder.carried);
    for (origin, problems) in &declared.problems {
        warnings.extend(problems.iter().map(|problem| format!("{origin}: {problem}")));
    }
    let (stored, peers) = runtime.block_on(stored(&config))?;
    let now = SystemClock.now();
    let all = reconcile(&declared.jobs, &stored, &declared.broken, peers.as_ref(), now);
    warnings.extend(all.warnings.iter().map(ToString::to_string));
    warnings.extend(
        declared
            .unscheduled
            .iter()
            .map(|unscheduled| format!("nothing schedules plugin `{}`", unscheduled.plugin.plugin)),
    );
    let planned = preview(&all, &stored);
    let count = |action| planned.iter().filter(|planned| planned.action == action).count();
    let total = Total {
        action: "total",
        add: count(Action::Add),
        change: count(Action::Change),
        park: count(Action::Park),
        unchanged: all.steps.len() - planned.len(),
        warnings: warnings.len(),
    };
    if common.json {
        planned.iter().try_for_each(print_json)?;
        let warning = |message: &String| json!({"action": "warn", "message": message});
        warnings.iter().try_for_each(|message| print_json(&warning(message)))?;
        print_json(&total)?;
    } else {
        show(&planned, &warnings, &total)?;
    }
    Ok(match (args.detailed_exitcode, planned.is_empty()) {
        (true, false) => Exit::Changes,
        (true, true) | (false, _) => Exit::Done,
    })
}

/// What the store holds, and what hosts that share it declare; nothing when there is none yet.
async fn stored(config: &Config) -> Result<(Vec<Schedule>, Option<Peers>), Failure> {
    if config.store == StoreAddress::Memory {
        note("the store is in memory: every start begins with nothing");
        return Ok((Vec::new(), None));
    }
    let place = kept::place(&config.store);
    let unreadable = |error| Failure::failed(format!("can't read the store {place}: {error}"));
    let Some(store) = kept::open(&config.store).await.map_err(unreadable)? else {
        note(format!("there is no store at {place} yet"));
        return Ok((Vec::new(), None));
    };
    let schedules = all_schedules(store.as_ref()).await.map_err(unreadable)?;
    let peers = match store.caps().shared {
        true => Some(peers(store.as_ref()).await.map_err(unreadable)?),
        false => None,
    };
    Ok((schedules, peers))
}

fn show(planned: &[Planned], warnings: &[String], total: &Total) -> Result<(), Failure> {
    let widest = planned.iter().map(|planned| planned.job.as_str().len()).max().unwrap_or(0);
    for planned in planned {
        let (mark, tone) = match planned.action {
            Action::Add => ("+", Tone::Good),
            Action::Change => ("~", Tone::Odd),
            Action::Park => ("-", Tone::Bad),
        };
        let (mark, job) = (paint(mark, tone, Channel::Out), planned.job.as_str());
        print(format!("{mark} {job:<widest$}  {}", harmless(&what(planned))))?;
    }
    for warning in warnings {
        print(format!("{} {}", paint("!", Tone::Odd, Channel::Out), harmless(warning)))?;
    }
    print(format!(
        "{} to add, {} to change, {} to park, {} unchanged, {} warning{}",
        total.add,
        total.change,
        total.park,
        total.unchanged,
        total.warnings,
        if total.warnings == 1 { "" } else { "s" },
    ))
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
