//! Sums up a CSV file: rows, groups, and a total for each group.
//!
//! Reads from the guest folder `/data`, which the operator grants. `data/sales.csv` beside this
//! source is an example to run it on:
//!
//! ```toml
//! [jobs.nightly-report]
//! plugin  = "report"
//! trigger = { type = "cron", hour = 2, minute = 30, timezone = "Europe/Berlin" }
//! args    = { path = "sales.csv", group = "region", value = "amount" }
//! config  = { currency = "EUR" }
//! capabilities = { dirs = [{ host = "report/data", guest = "/data", mode = "ro" }] }
//! ```
//!
//! A file that is not there may come: another attempt is made. A file that cannot be read as what
//! it should be stays so: the run fails for good, with the line.

mod amount;
mod summary;

use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

use campanile_sdk::{Context, Result, ResultExt, job, permanent};

use summary::{Columns, Summary};

/// Where the operator puts the files.
const FOLDER: &str = "/data";

/// What to sum up.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// The file, in `/data`.
    path: String,
    /// The column whose values make the groups.
    #[serde(default = "region")]
    group: String,
    /// The column that is added up.
    #[serde(default = "amount")]
    value: String,
}

/// What the run leaves behind.
#[derive(serde::Serialize)]
struct Report {
    #[serde(flatten)]
    summary: Summary,
    /// From the job's `config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
}

/// Sums up a CSV file by group.
#[job(max_instances = 1, timeout = "10m")]
fn run(ctx: &Context, args: Args) -> Result<Report> {
    let path = locate(&args.path)?;
    let file = File::open(&path).context(format!("cannot open `{}`", path.display()))?;
    let columns = Columns { group: &args.group, value: &args.value };
    let summary = summary::summarize(BufReader::new(file), columns, |rows| {
        if ctx.cancelled() {
            return Err(permanent(format!("cancelled after {rows} rows")));
        }
        ctx.progress(rows, None, "reading");
        Ok(())
    })
    .context(format!("`{}`", path.display()))?;
    ctx.info(format!("{} rows in {} groups", summary.rows, summary.groups));
    Ok(Report { summary, currency: ctx.config("currency") })
}

/// The file in the folder; with the folder's name before it or without.
fn locate(path: &str) -> Result<PathBuf> {
    let located = Path::new(FOLDER).join(path);
    let leads_out = located.components().any(|part| part == Component::ParentDir);
    if leads_out || !located.starts_with(FOLDER) {
        return Err(permanent(format!(
            "`{path}` is not in `{FOLDER}`: write a path in that folder"
        )));
    }
    Ok(located)
}

fn region() -> String {
    "region".into()
}

fn amount() -> String {
    "amount".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_the_folder() {
        for (path, located) in [
            ("sales.csv", Some("/data/sales.csv")),
            ("2026/sales.csv", Some("/data/2026/sales.csv")),
            ("/data/sales.csv", Some("/data/sales.csv")),
            ("/etc/passwd", None),
            ("../etc/passwd", None),
            ("/data/../etc/passwd", None),
        ] {
            assert_eq!(locate(path).ok().as_deref(), located.map(Path::new), "{path}");
        }
    }
}
