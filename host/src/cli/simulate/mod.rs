//! `host simulate`: what the policies would do from one instant to another, in virtual time.

mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Tz;
use clap::Args;
use serde_json::Value;

use super::args::Common;
use super::carried::{self, Folder};
use super::exit::{Exit, Failure};
use super::next::instant;
use super::runtime;
use super::screen::note;
use crate::config::definitions::{Definitions, definitions};
use crate::config::{Config, load};
use crate::job::names::{JobId, PluginName, TenantId};
use crate::job::{JobKey, PluginKey};
use crate::problem::nearest;
use crate::simulate::{Down, MAX_FIRES, Scenario, simulate as run};
use crate::table::unit::duration;
use crate::time::Timestamp;

/// From when to when, and what happens meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host simulate --from 2026-12-01 --to 2027-01-01
  host simulate --from '2026-03-28 00:00:00' --to 2026-03-30 --verdicts
  host simulate --from 2026-12-01 --to 2026-12-08 --down 2026-12-02T22:00:00Z..2026-12-03T06:00:00Z
  host simulate --from 2026-12-01 --to 2026-12-02 --run-time nightly=90m --run-time poll=2s --json

The jobs of host.toml, of the files beside plugins and of the plugins themselves are registered at
--from, as by a first start, and then planned by the scheduler's own rules under a clock that jumps.
No plugin is called: a run takes its --run-time, 1s without one, and succeeds; past its
limits.timeout it has timed out. A day alone means midnight, a time without an offset is in the
configured zone. What comes due at --to is left out.

--down C..D: the host dies at C, with what it runs, and is back at D.

First every verdict, when they are few or --verdicts is given, then for each job how many fire times
ran, misfired and so on, how late the latest run started and how many ran at once; then how many
runs started in each hour of the day. Slots are counted (executor.max_running), memory is not.")]
pub struct Simulate {
    /// Where it begins
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Where it ends
    #[arg(long, value_name = "TIME")]
    to: String,
    /// The host is down from the first time to the second; may be given again
    #[arg(long, value_name = "TIME..TIME")]
    down: Vec<String>,
    /// How long runs of a job take; may be given again
    #[arg(long, value_name = "JOB=DURATION")]
    run_time: Vec<String>,
    /// As if this plugin were missing; may be given again
    #[arg(long, value_name = "PLUGIN")]
    without: Vec<String>,
    /// Print every verdict, however many there are
    #[arg(long)]
    verdicts: bool,
}

/// Simulates and prints.
///
/// # Errors
///
/// The configuration or the command line is wrong, or there would be too many fires.
pub fn simulate(args: &Simulate, common: &Common) -> Result<Exit, Failure> {
    let config = common.load()?;
    runtime()?.block_on(simulate_and_show(args, &config, common.json))
}

async fn simulate_and_show(args: &Simulate, config: &Config, json: bool) -> Result<Exit, Failure> {
    let zone = config.timezone;
    let (from, to) = (time("--from", &args.from, zone)?, time("--to", &args.to, zone)?);
    if to <= from {
        return Err(Failure::usage(format!("--to ({to}) must be after --from ({from})")));
    }
    let folder = carried::folder(config).await?;
    let sidecars = load::all_sidecars(config).map_err(Failure::usage)?;
    let declared = definitions(config, &sidecars, &folder.carried);
    say_what_is_wrong(&declared, &folder);
    let scenario = Scenario {
        from,
        to,
        down: downs(&args.down, (from, to), zone)?,
        run_times: run_times(&args.run_time, &declared)?,
        max_running: config.executor.max_running,
        allotments: config.allotments(),
        absent: absent(&args.without, &declared)?,
        zone,
        jobs: declared.jobs,
    };
    let fires = scenario.fires();
    if fires > MAX_FIRES {
        return Err(Failure::usage(format!(
            "that is {fires} fire times, and {MAX_FIRES} is the limit; choose less time"
        )));
    }
    let simulated = run(&scenario).await.map_err(Failure::failed)?;
    for warning in &simulated.warnings {
        note(format!("warning: {warning}"));
    }
    if json {
        show::json(&simulated)?
    } else {
        show::text(&simulated, zone, args.verdicts)?
    }
    Ok(Exit::Done)
}

/// Says what keeps the simulation from being the whole truth.
fn say_what_is_wrong(declared: &Definitions, folder: &Folder) {
    for strange in &folder.strange {
        note(format!("warning: {strange}"));
    }
    for (origin, problems) in &declared.problems {
        for problem in problems {
            note(format!("warning: {origin}: {problem}"));
        }
    }
    let mut unknown: BTreeMap<&PluginName, Vec<&str>> = BTreeMap::new();
    for resolved in declared.jobs.iter().filter(|resolved| resolved.incomplete) {
        unknown.entry(&resolved.job.plugin).or_default().push(resolved.job.key.job.as_str());
    }
    for (plugin, jobs) in unknown {
        let refused = folder.refused.iter().find(|(key, _)| key.plugin == *plugin);
        let why = refused.map_or("is not here".to_owned(), |(_, why)| format!("is refused: {why}"));
        note(format!(
            "warning: plugin `{plugin}` {why}; simulated as if it ran, without the defaults that it \
             may suggest for {}",
            jobs.join(", ")
        ));
    }
}

fn time(what: &str, text: &str, zone: Tz) -> Result<Timestamp, Failure> {
    instant(text, zone).map_err(|error| Failure::usage(format!("{what}: {error}")))
}

fn downs(
    texts: &[String],
    (from, to): (Timestamp, Timestamp),
    zone: Tz,
) -> Result<Vec<Down>, Failure> {
    let mut downs = Vec::new();
    for text in texts {
        let wrong = |why: &str| Failure::usage(format!("--down {text}: {why}"));
        let (start, end) =
            text.split_once("..").ok_or_else(|| wrong("write two times with `..` between"))?;
        let down = Down { from: time("--down", start, zone)?, to: time("--down", end, zone)? };
        if down.to <= down.from {
            return Err(wrong("the second time must be after the first"));
        }
        if down.from < from || to <= down.from {
            return Err(wrong("it must begin between --from and --to"));
        }
        downs.push(down);
    }
    downs.sort();
    if downs.windows(2).any(|pair| matches!(pair, [a, b] if b.from < a.to)) {
        return Err(Failure::usage("--down: two of these times overlap; write one for both"));
    }
    Ok(downs)
}

fn run_times(
    texts: &[String],
    declared: &Definitions,
) -> Result<BTreeMap<JobKey, Duration>, Failure> {
    let known: Vec<&str> =
        declared.jobs.iter().map(|resolved| resolved.job.key.job.as_str()).collect();
    let mut times = BTreeMap::new();
    for text in texts {
        let wrong = |why: String| Failure::usage(format!("--run-time {text}: {why}"));
        let (job, time) =
            text.split_once('=').ok_or_else(|| wrong("write JOB=DURATION".to_owned()))?;
        if !known.contains(&job) {
            return Err(wrong(no_such("job", job, &known)));
        }
        let job: JobId = job.parse().map_err(Failure::usage)?;
        let time = duration(&Value::from(time)).map_err(wrong)?;
        times.insert(JobKey { tenant: TenantId::default_tenant(), job }, time);
    }
    Ok(times)
}

fn absent(names: &[String], declared: &Definitions) -> Result<BTreeSet<PluginKey>, Failure> {
    let needed: BTreeSet<PluginKey> =
        declared.jobs.iter().map(|resolved| resolved.job.plugin_key()).collect();
    let known: Vec<&str> = needed.iter().map(|key| key.plugin.as_str()).collect();
    names
        .iter()
        .map(|name| {
            let found = needed.iter().find(|key| key.plugin.as_str() == name).cloned();
            let wrong = || format!("--without: {}", no_such("plugin of a job", name, &known));
            found.ok_or_else(|| Failure::usage(wrong()))
        })
        .collect()
}

fn no_such(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn times_of_being_down_are_put_in_order_and_may_not_overlap() {
        let span = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            downs(&texts, span, Tz::UTC)
                .map(|downs| downs.iter().map(|down| down.from.to_string()).collect::<Vec<_>>())
                .map_err(|failure| failure.message)
        };
        let both = ["2026-01-01 10:00:00..2026-01-03", "2026-01-01T02:00:00Z..2026-01-01 03:00:00"];
        assert_eq!(
            read(&both),
            Ok(vec!["2026-01-01T02:00:00Z".into(), "2026-01-01T10:00:00Z".into()])
        );
        for (texts, why) in [
            (vec!["2026-01-01"], "write two times"),
            (vec!["2026-01-01..2026-01-01"], "must be after the first"),
            (vec!["2025-12-31..2026-01-01"], "must begin between"),
            (vec!["2026-01-01 10:00..2026-01-01"], "--down: "),
            (
                vec!["2026-01-01 01:00:00..2026-01-01 03:00:00", "2026-01-01 02:00:00..2026-01-02"],
                "overlap",
            ),
        ] {
            let message = read(&texts).unwrap_err();
            assert!(message.contains(why), "{texts:?}: {message}");
        }
    }
}
