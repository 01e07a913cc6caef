//! `host plan`: what a start would add, change and park. Looks, and touches nothing.

use clap::Args;

use super::args::Common;
use super::difference::Difference;
use super::exit::{Exit, Failure};
use super::screen::note;
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
use crate::schedule::preview::Preview;
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

/// Tells what a start would do.
///
/// # Errors
///
/// The configuration is wrong, or the store or a folder can't be read.
pub fn plan(args: &Plan, common: &Common) -> Result<Exit, Failure> {
    logging::init(common.log_format, "warn");
    let config = common.load()?;
    let runtime = runtime()?;
    let config = runtime.block_on(kept::with_tenants(config))?;
    let folder = runtime.block_on(carried::folder(&config))?;
    let mut warnings = folder.strange;
    for (plugin, why) in &folder.refused {
        warnings.push(format!("plugin `{}` is refused: {why}", plugin.plugin));
    }
    let sidecars = load::all_sidecars(&config).map_err(Failure::usage)?;
    let declared = definitions(&config, &sidecars, &folder.carried);
    let (stored, peers) = runtime.block_on(stored(&config))?;
    let now = SystemClock.now();
    let all = reconcile(&declared.jobs, &stored, &declared.broken, peers.as_ref(), now);
    let planned = Preview::of(&all, &stored, &declared, warnings);
    let difference = Difference {
        items: &planned.items,
        warnings: &planned.warnings,
        total: planned.total(),
        changed: &[],
        needs_restart: &[],
    };
    difference.print(common.json)?;
    Ok(match (args.detailed_exitcode, planned.items.is_empty()) {
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
