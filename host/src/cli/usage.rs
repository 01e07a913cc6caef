//! `host usage`: what a tenant's jobs used.

use clap::{Args, ValueEnum};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, table};
use crate::api::view::usage::{By, UsageRow, UsageView, UsedView};
use crate::record::used::NAMES;
use crate::run::outcome::Outcome;
use crate::time::Timestamp;

/// What stands for the jobs that are not told apart.
const OTHERS: &str = "(others)";
/// What stands for the tenant of the token, else `default`: no tenant is called so.
const OWN: &str = "-";

/// Which use.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host usage                                     this month so far, by job
  host usage --tenant acme --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z
  host usage --by day --csv > usage.csv
  host usage --json | jq .total.cpu_ms

Counts whole hours, UTC: those that --from and --to lie in are in it. An attempt counts in the hour in
which it ends, a run in that in which it is done. FAILED are all runs that did not succeed. MEMORY is
the peak of each attempt times its time. What was used is kept for 400 days.")]
pub struct Usage {
    /// From then on; without it from the first day of the month
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before then; without it until now
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// What a line stands for
    #[arg(long, value_enum, value_name = "WHAT", default_value = "job")]
    by: What,
    /// Print comma-separated values: a head, then a line for each row, without the total
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Job,
    Day,
    Hour,
}

impl What {
    fn by(self) -> By {
        match self {
            Self::Job => By::Job,
            Self::Day => By::Day,
            Self::Hour => By::Hour,
        }
    }
}

/// Shows it.
///
/// # Errors
///
/// What the host or the store says.
pub fn usage(args: &Usage, common: &Common) -> Result<Exit, Failure> {
    let mut query = vec![("by", args.by.by().word().to_owned())];
    for (key, flag, text) in [("from", "--from", &args.from), ("to", "--to", &args.to)] {
        if let Some(text) = text {
            query.push((key, common.instant(flag, text)?.to_string()));
        }
    }
    let tenant = match args.whom.tenant.as_deref() {
        Some(tenant) => {
            tenant.parse::<crate::job::names::TenantId>().map_err(Failure::usage)?.to_string()
        }
        None => OWN.to_owned(),
    };
    let reached = reach::reading(common, &args.whom)?;
    let view: UsageView = reached.get(&format!("/v1/tenants/{tenant}/usage"), query)?;
    if common.json {
        print_json(&view)?;
    } else if args.csv {
        print(csv(&view))?;
    } else {
        show(&view)?;
    }
    Ok(Exit::Done)
}

fn show(view: &UsageView) -> Result<(), Failure> {
    note(format!("tenant {}, from {} to {}", view.tenant, view.from, view.to));
    if view.items.is_empty() {
        note("nothing was used");
        return Ok(());
    }
    let mut rows: Vec<_> =
        view.items.iter().map(|row| line(name(view.by, row), &row.used)).collect();
    rows.push(line(Cell::new("total", Tone::Good), &view.total));
    let first = match view.by {
        By::Job => "JOB",
        By::Day => "DAY",
        By::Hour => "HOUR",
    };
    print(table(
        [
            first, "RUNS", "FAILED", "ATTEMPTS", "CPU", "WALL", "FUEL", "MEMORY", "CALLS", "IN",
            "OUT",
        ],
        &rows,
    ))
}

fn name(by: By, row: &UsageRow) -> Cell {
    match (by, &row.job) {
        (By::Job, Some(job)) => job.as_str().into(),
        (By::Job, None) => Cell::new(OTHERS, Tone::Faint),
        (By::Day, _) => day(row.start).into(),
        (By::Hour, _) => row.start.to_string().into(),
    }
}

fn day(time: Timestamp) -> String {
    time.to_utc().date_naive().to_string()
}

fn line(name: Cell, used: &UsedView) -> [Cell; 11] {
    let succeeded = used.outcomes.get(&Outcome::Succeeded).copied().unwrap_or(0);
    let failed = used.runs.saturating_sub(succeeded);
    let tone = if failed == 0 { Tone::Plain } else { Tone::Odd };
    [
        name,
        used.runs.to_string().into(),
        Cell::new(failed, tone),
        used.attempts.to_string().into(),
        thousandths(used.cpu_ms, "s").into(),
        thousandths(used.wall_ms, "s").into(),
        used.fuel.to_string().into(),
        thousandths(used.memory_kib_ms / 1_024, "MiB s").into(),
        used.host_calls.to_string().into(),
        format!("{} B", used.bytes_in).into(),
        format!("{} B", used.bytes_out).into(),
    ]
}

fn thousandths(number: u64, unit: &str) -> String {
    format!("{}.{:03} {unit}", number / 1_000, number % 1_000)
}

/// The rows with a head. No name has a comma or a quote in it.
fn csv(view: &UsageView) -> String {
    let head = format!("tenant,start,end,job,runs,{}", NAMES.join(","));
    let row = |row: &UsageRow| {
        let numbers = row.used.used().numbers().map(|number| number.to_string()).join(",");
        let job = row.job.as_ref().map_or("", |job| job.as_str());
        let UsageRow { start, end, used, .. } = row;
        format!("{},{start},{end},{job},{},{numbers}", view.tenant, used.runs)
    };
    let lines: Vec<String> = [head].into_iter().chain(view.items.iter().map(row)).collect();
    lines.join("\n")
}
