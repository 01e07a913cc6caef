//! What a store keeps of one tenant, as a file.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::place::{self, Source};
use crate::catalog::shelf::Shelf;
use crate::cli::args::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::logging;
use crate::cli::screen::{note, print, print_json};
use crate::cli::tenants_change::Export;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::record::portable::Counts;
use crate::store::embedded::Beside;
use crate::store::portable::{NotWritten, Writer};
use crate::tenants;
use crate::tenants::export::NotExported;

/// Writes it, beside a running host or without one.
///
/// # Errors
///
/// There is no such tenant; the store can't be read, or the file written.
pub fn export(args: &Export, common: &Common) -> Result<Exit, Failure> {
    logging::init(common.log_format, "warn");
    let config = common.load()?;
    let out = args.to.as_deref().filter(|path| *path != Path::new("-"));
    let counts = crate::cli::runtime()?.block_on(write(args, out, &config))?;
    let name = &args.name;
    match out {
        Some(path) if common.json => {
            let to = path.display().to_string();
            print_json(&json!({"action": "exported", "tenant": name, "to": to, "counts": counts}))?;
        }
        Some(path) => {
            print(format!("exported tenant {name} to `{}`: {counts}", path.display()))?;
            note(format!(
                "next: `host store import {}` takes it over where the store is empty",
                path.display()
            ));
        }
        // Standard output is the export itself.
        None => note(format!("exported {counts} of tenant {name}")),
    }
    Ok(Exit::Done)
}

async fn write(args: &Export, out: Option<&Path>, config: &Config) -> Result<Counts, Failure> {
    let source = Source::open(&config.store, Beside::AHost).await?;
    source.refuse_if_used().await?;
    let unreadable = |error| place::unreadable(&config.store, &error);
    let store = source.store.as_ref();
    let kept = tenants::get(store, &args.name).await.map_err(unreadable)?;
    let holdings = store.holdings(&args.name).await.map_err(unreadable)?;
    let is_named = kept.is_some() || config.tenants.contains_key(&args.name);
    if !is_named && holdings.records == 0 && holdings.documents.is_empty() {
        return Err(Failure::failed(format!(
            "there is no tenant `{}`, and the store has nothing of one; `host tenants ls` shows \
             which there are",
            args.name
        )));
    }
    let shelf = Shelf::new(Arc::clone(&source.store), config.versions_dir());
    let from = place::kind(&config.store);
    let mut writer = Writer::create(out, from, SystemClock.now()).map_err(not_written)?;
    let counts = tenants::export::write(&shelf, &args.name, kept.as_ref(), &mut writer).await;
    let counts = counts.map_err(|error| match error {
        NotExported::Store(error) => place::unreadable(&config.store, &error),
        NotExported::File(error) => not_written(error),
    })?;
    writer.finish().map_err(not_written)?;
    Ok(counts)
}

fn not_written(error: NotWritten) -> Failure {
    match error {
        NotWritten::Output(error) => Failure::writing(&error),
        NotWritten::File { .. } => Failure::failed(error),
    }
}
