//! `host explain`: every value of a job that is in force, and where it came from.

use clap::Args;
use serde_json::Value;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, table};
use super::{jobs, reach};
use crate::api::view::explain::{ExplainItem, ExplainView};
use crate::job::merge::Layer;

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host explain nightly
  host explain nightly --json | jq -r '.items[] | select(.key == \"limits.timeout\") | .origin'

FROM says who gave a value: the host itself (built in), the plugin's handler (plugin), job_defaults,
those of the tenant (tenant), the file beside the plugin (sidecar), host.toml (file), a call (api), or
the key that allows no more, with what was wanted. Values that somebody set come first.")]
pub struct Explain {
    /// Its name
    job: String,
    #[command(flatten)]
    whom: Whom,
}

/// Explains it.
///
/// # Errors
///
/// What the host or the store says.
pub fn explain(args: &Explain, common: &Common) -> Result<Exit, Failure> {
    let path = jobs::path(&args.job, "/explain")?;
    let reached = reach::reading(common, &args.whom)?;
    let view: ExplainView = reached.get(&path, args.whom.query())?;
    if common.json {
        print_json(&view)?;
        return Ok(Exit::Done);
    }
    if view.items.iter().all(|item| item.origin.is_none()) {
        note("an older host wrote this job and did not note where its values came from");
    }
    for other in &view.otherwise {
        let (host, theirs, ours) = (&other.host, other.config_version, other.in_force);
        note(format!(
            "host `{host}` defines it otherwise, with config_version {theirs}; what counts has {ours}"
        ));
    }
    let (built_in, set): (Vec<_>, Vec<_>) = view.items.iter().partition(|item| is_built_in(item));
    let rows: Vec<_> = set.into_iter().chain(built_in).map(row).collect();
    print(table(["KEY", "VALUE", "FROM"], &rows))?;
    Ok(Exit::Done)
}

fn is_built_in(item: &ExplainItem) -> bool {
    item.origin.as_deref() == Some(Layer::BuiltIn.to_string().as_str())
}

fn row(item: &ExplainItem) -> [Cell; 3] {
    let tone = if is_built_in(item) { Tone::Faint } else { Tone::Plain };
    let value = match &item.value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let from = item.origin.as_ref().map_or(Cell::or_dash(None::<&str>), |it| Cell::new(it, tone));
    [Cell::new(&item.key, tone), Cell::new(value, tone), from]
}
