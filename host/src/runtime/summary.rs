//! What a host says when it has started: one screen that answers what it found.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::catalog::jobs::JobCache;
use crate::catalog::{Catalog, State};
use crate::config::Config;
use crate::config::definitions::Unscheduled;
use crate::job::names::{QueueName, TenantId};
use crate::record::query::{JobFilter, Page};
use crate::record::{Caps, Durability, Role, Schedule};
use crate::schedule::reconcile::{JobState, state};
use crate::store::{Result, Store};

/// Jobs that are listed; of more only the number is told.
const MAX_JOBS_LISTED: usize = 20;

/// The start-up summary.
///
/// # Errors
///
/// The store can't be read.
pub async fn text(
    config: &Config,
    store: &dyn Store,
    jobs: &JobCache,
    catalog: &Catalog,
    unscheduled: &[Unscheduled],
    listen: Option<SocketAddr>,
) -> Result<String> {
    let caps = store.caps();
    let mut text = String::new();
    let listens = listen.map_or("serves nobody: it has no role `api`".to_owned(), |listen| {
        format!("listens on {}://{listen}", config.api.scheme())
    });
    line(&mut text, "campanile", &format!("{} {listens}", env!("CARGO_PKG_VERSION")));
    does(&mut text, config);
    line(&mut text, "config", &config.origin());
    line(&mut text, "store", &format!("{} ({})", caps.name, survives(&caps)));
    line(
        &mut text,
        "zone",
        &format!("{}, zone data {}", config.timezone, chrono_tz::IANA_TZDB_VERSION),
    );
    let tenants: Vec<&str> = config.tenants.keys().map(TenantId::as_str).collect();
    line(&mut text, "tenants", &tenants.join(", "));
    plugins(&mut text, config, catalog);
    list_jobs(&mut text, store, jobs).await?;
    for Unscheduled { plugin, into, write } in unscheduled {
        let _ = write!(
            text,
            "\nnothing schedules plugin `{}`; to run it, write in {into} for example:\n",
            plugin.shown(),
        );
        for row in write.lines() {
            let _ = writeln!(text, "    {row}");
        }
    }
    Ok(text)
}

/// What this host does, when that is not everything.
fn does(text: &mut String, config: &Config) {
    let everything =
        config.roles.len() == 3 && config.executor.queues == BTreeSet::from([QueueName::default()]);
    if everything {
        return;
    }
    let mut does = Vec::new();
    if config.roles.contains(&Role::Scheduler) {
        does.push("fires what is due".to_owned());
    }
    if config.roles.contains(&Role::Executor) {
        let queues: Vec<&str> = config.executor.queues.iter().map(QueueName::as_str).collect();
        does.push(format!("takes runs from {}", queues.join(", ")));
    }
    if config.roles.contains(&Role::Api) {
        does.push("serves people".to_owned());
    }
    line(text, "roles", &does.join("; "));
}

fn plugins(text: &mut String, config: &Config, catalog: &Catalog) {
    let count = catalog.entries().len();
    let folder = config.short(&config.plugins);
    line(text, "plugins", &format!("{count} in {folder}"));
    for entry in catalog.entries() {
        let state = match &entry.state {
            State::Active(plugin) => {
                let handlers = plugin.about.handlers.iter().map(|handler| handler.name.as_str());
                handlers.collect::<Vec<_>>().join(", ")
            }
            State::Refused(why) => format!("refused: {why}"),
        };
        let _ = writeln!(text, "  {:<24} {state}", entry.key.shown());
    }
}

async fn list_jobs(text: &mut String, store: &dyn Store, jobs: &JobCache) -> Result<()> {
    let count = store.health().await?.schedules;
    let page = Page { limit: MAX_JOBS_LISTED, cursor: None };
    let listed = store.list(JobFilter::default(), page).await?.items;
    line(text, "jobs", &count.to_string());
    for schedule in &listed {
        let _ = writeln!(text, "  {:<24} {}", schedule.key.shown(), when(schedule, jobs));
    }
    let more = count.saturating_sub(listed.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more: `host jobs ls`");
    }
    Ok(())
}

fn when(schedule: &Schedule, jobs: &JobCache) -> String {
    match (state(schedule), schedule.cursor) {
        (JobState::Active, Some(next)) => {
            let kind =
                jobs.get(schedule).ok().and_then(|job| job.trigger.as_ref().map(|t| t.kind()));
            format!("next {next} ({})", kind.unwrap_or("unknown trigger"))
        }
        (JobState::Active, None) => "runs when somebody asks: it has no trigger".to_owned(),
        (JobState::Paused, _) => "paused".to_owned(),
        (JobState::Parked, _) => {
            format!("parked: {}", schedule.parked.as_deref().unwrap_or_default())
        }
        (JobState::Finished, _) => "finished: its trigger has no fire time left".to_owned(),
    }
}

fn survives(caps: &Caps) -> &'static str {
    match caps.durability {
        Durability::Volatile if caps.shared => "volatile: gone when the server ends",
        Durability::Volatile => "volatile: gone when the host stops",
        Durability::Process => "durability process: survives the death of a process",
        Durability::Power => "durability power: survives the loss of power",
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<10} {value}");
}
