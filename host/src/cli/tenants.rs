//! `host tenants`: who shares the host, what each may have, and how much it has.

use clap::{Args, Subcommand};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{Tone, print, print_json};
use super::table::{Cell, pairs, table};
use super::tenants_change;
use crate::api::view::tenant::{
    AllowView, JobCounts, QuotaView, ReloadRules, RemovalView, TenantView,
};
use crate::job::names::TenantId;
use crate::record::tenant::Step;

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// List tenants
    #[command(after_help = "\
Examples:
  host tenants ls
  host tenants ls --json | jq -r 'select(.runs.queued > 0) | .name'

Tenants are the `[tenants.X]` tables of the configuration and those that were made over REST; `default`
is always there. Jobs and runs
are counted up to 1000 of each; `+` marks that there are more.")]
    Ls(List),
    /// Show one tenant: what its jobs may be given and get at most, and what of its quota it has
    #[command(after_help = "\
Examples:
  host tenants show acme
  host tenants show acme --json | jq .allow

Of secrets the names are shown and nothing else.")]
    Show(Show),
    /// Make a tenant, or give it other keys
    #[command(after_help = "\
Examples:
  host tenants put acme --file acme.toml
  echo '{\"caps\": {\"timeout\": \"1m\"}}' | host tenants put acme --file -

The keys are those of a `[tenants.X]` table, but for `jobs`: make these with `host jobs put --tenant
acme`. What is left out is as if it were never said. All hosts of the store serve the tenant two
seconds later at most. One that a file names is changed there.")]
    Put(tenants_change::Put),
    /// Remove a tenant that was made over REST, or that no file names any more
    #[command(after_help = "\
Examples:
  host tenants rm acme
  host tenants rm acme --yes --drain 10s

It says what is deleted and what is kept, and asks on a terminal. Nothing of the tenant begins from
then on; its runs may go on for a while and are then cancelled; all of it is written to a file below
`state_dir`, in the form of `host store export`; and when that is on disk it is deleted.")]
    Rm(tenants_change::Remove),
    /// Write what the store keeps of one tenant to a file
    #[command(after_help = "\
Examples:
  host tenants export acme --to acme.jsonl
  host tenants export acme | gzip > acme.jsonl.gz

It has the form of `host store export`, so `host store import` takes it over where the store is empty:
jobs, runs and logs, verdicts, keys and values, plugins with their versions, and what was used.")]
    Export(tenants_change::Export),
}

/// How many tenants.
#[derive(Debug, Args)]
pub struct List {
    /// So many at most; without it all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    whom: Whom,
}

/// Which tenant.
#[derive(Debug, Args)]
pub struct Show {
    /// Its name
    name: String,
    #[command(flatten)]
    whom: Whom,
}

/// Does it.
///
/// # Errors
///
/// What the host or the store says.
pub fn tenants(tenants: &Tenants, common: &Common) -> Result<Exit, Failure> {
    match tenants {
        Tenants::Ls(args) => list(args, common),
        Tenants::Show(args) => show(args, common),
        Tenants::Put(args) => tenants_change::put(args, common),
        Tenants::Rm(args) => tenants_change::remove(args, common),
        Tenants::Export(args) => super::store::tenant::export(args, common),
    }
}

fn list(args: &List, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::reading(common, &args.whom)?;
    let mut rows = Vec::new();
    for tenant in reached.items::<TenantView>("/v1/tenants", args.whom.query(), args.limit) {
        let tenant = tenant?;
        if common.json {
            print_json(&tenant)?;
        } else {
            rows.push(row(&tenant));
        }
    }
    if !common.json {
        print(table(["TENANT", "PLUGINS", "JOBS", "RUNNING", "QUEUED", "FOLDER"], &rows))?;
    }
    Ok(Exit::Done)
}

fn row(tenant: &TenantView) -> [Cell; 6] {
    let jobs = tenant.jobs;
    let all = jobs.active + jobs.paused + jobs.parked + jobs.finished;
    [
        tenant.name.to_string().into(),
        tenant.plugins.to_string().into(),
        counted(all, jobs.more).into(),
        counted(tenant.runs.running, tenant.runs.more).into(),
        counted(tenant.runs.queued, tenant.runs.more).into(),
        tenant.plugins_dir.clone().into(),
    ]
}

/// A number, with `+` when there are more.
fn counted(number: u64, more: bool) -> String {
    format!("{number}{}", if more { "+" } else { "" })
}

fn show(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let name: TenantId = args.name.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let reached = reach::reading(common, &args.whom)?;
    let tenant: TenantView = reached.get(&format!("/v1/tenants/{name}"), args.whom.query())?;
    if common.json {
        print_json(&tenant)?;
        return Ok(Exit::Done);
    }
    let secrets = tenant.secrets.iter().map(ToString::to_string).collect();
    let caps = tenant.caps.iter().map(|(key, most)| format!("{key} {}", plain(most))).collect();
    let mut rows = vec![
        ("tenant", named(&tenant)),
        ("plugins", format!("{} in {}", tenant.plugins, tenant.plugins_dir).into()),
        ("jobs", jobs(tenant.jobs).into()),
        ("runs", runs(&tenant).into()),
        ("allow", listed(allow(&tenant.allow))),
        ("caps", listed(caps)),
        ("weight", tenant.weight.to_string().into()),
        ("reload", reload(&tenant.reload).into()),
        ("secrets", listed(secrets)),
    ];
    let quotas = quotas(&tenant.quota);
    if quotas.is_empty() {
        rows.push(("quota", Cell::or_dash(None::<String>)));
    }
    let names = std::iter::once("quota").chain(std::iter::repeat(""));
    rows.extend(names.zip(quotas));
    print(pairs(&rows))?;
    Ok(Exit::Done)
}

/// A line for each quota: how much of it is used, and when more is free.
fn quotas(quotas: &[QuotaView]) -> Vec<Cell> {
    let widest = quotas.iter().map(|quota| quota.key.as_str().len()).max().unwrap_or(0);
    let line = |quota: &QuotaView| {
        let QuotaView { key, limit, used, frees_at, .. } = quota;
        let is_full = used.is_some_and(|used| *limit <= used);
        let used = used.map_or_else(|| "?".to_owned(), |used| key.show(used));
        let mut text = format!("{:widest$}  {used} of {}", key.as_str(), key.show(*limit));
        if let Some(frees_at) = frees_at.filter(|_| is_full) {
            text.push_str(&format!(", more from {frees_at} on"));
        }
        Cell::new(&text, if is_full { Tone::Bad } else { Tone::Plain })
    };
    quotas.iter().map(line).collect()
}

/// Its name; of one that drains until when, and how far that is.
fn named(tenant: &TenantView) -> Cell {
    let name = &tenant.name;
    match &tenant.removal {
        Some(RemovalView { until, step, export, host, .. }) => {
            let step = match step {
                Step::Draining => format!("drains until {until}, then goes"),
                Step::Deleting => "is deleted, and went".to_owned(),
            };
            Cell::new(format!("{name} {step} to {export} of {host}"), Tone::Odd)
        }
        None => Cell::new(name, Tone::Good),
    }
}

fn listed(items: Vec<String>) -> Cell {
    Cell::or_dash(Some(items.join(", ")).filter(|text| !text.is_empty()))
}

/// A value without the quotes of a text.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn jobs(jobs: JobCounts) -> String {
    let JobCounts { active, paused, parked, finished, more } = jobs;
    let active = counted(active, more);
    format!("{active} active, {paused} paused, {parked} parked, {finished} finished")
}

fn runs(tenant: &TenantView) -> String {
    let runs = tenant.runs;
    format!("{} running, {} queued", counted(runs.running, runs.more), runs.queued)
}

fn allow(allow: &AllowView) -> Vec<String> {
    let AllowView { dirs, http, tcp, env, secrets, kv, jobs } = allow;
    let mut shown = Vec::new();
    for (key, things) in [("dirs", dirs), ("http", http), ("tcp", tcp), ("env", env)] {
        shown.extend(things.iter().map(|thing| format!("{key} {thing}")));
    }
    shown.extend(secrets.iter().map(|name| format!("secrets {name}")));
    let flags = [("kv", kv), ("jobs", jobs)].into_iter().filter(|(_, allowed)| **allowed);
    shown.extend(flags.map(|(key, _)| key.to_owned()));
    shown
}

fn reload(reload: &ReloadRules) -> String {
    let ReloadRules {
        keep_versions,
        auto_rollback,
        hold_new_capabilities,
        require_signature,
        signature_keys,
    } = reload;
    let mut text = format!("keeps {keep_versions} versions");
    match auto_rollback {
        0 => text.push_str(", never goes back by itself"),
        failures => text.push_str(&format!(", goes back after {failures} failures")),
    }
    if *hold_new_capabilities {
        text.push_str(", holds what wants more");
    }
    if *require_signature {
        text.push_str(&format!(", takes what one of {} keys signed", signature_keys.len()));
    }
    text
}
