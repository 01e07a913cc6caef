//! `host store`: moves what a store holds to another, checks it, and backs it up.

mod file;
mod moving;
mod place;
mod progress;
pub(super) mod tenant;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::args::Common;
use super::exit::{Exit, Failure};
use super::screen::{Channel, Tone, harmless, note, paint, print, print_json};
use super::{logging, runtime};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::store::StoreAddress;
use crate::store::checkup::checkup;
use crate::store::embedded::{Beside, EmbeddedStore};
use crate::time::Timestamp;
use moving::Moved;
use place::{Source, Target, shown};
use progress::Progress;

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Write everything that the store holds as lines of JSON
    #[command(after_help = "\
Examples:
  host store export --out tower.jsonl
  host store export | gzip > tower.jsonl.gz

One record a line: jobs, runs with their attempts and logs, verdicts, documents, counters, what was
used. The first line says what it is, the last counts the others. A SQLite store may have a host at
work on it: what is written is one instant. Hosts on Redis are to be stopped first.")]
    Export(Export),
    /// Take over what `host store export` wrote, into a store that holds nothing
    #[command(after_help = "\
Examples:
  host store import tower.jsonl
  host --config new.toml store import tower.jsonl

The file is checked whole before anything is written. Until the import has ended no host can use the
store; one that was interrupted is simply made again. Runs that were under way are taken up by the
first host that comes, as after a crash.")]
    Import(Import),
    /// Copy everything from one store to another
    #[command(after_help = "\
Examples:
  host store copy --to redis://10.0.0.7:6379/0
  host store copy --from sqlite:.campanile/campanile.db --to sqlite:/srv/campanile.db
  host store copy --to '{ url = \"rediss://db:6380\", password = { env = \"PW\" }, prefix = \"blue\" }'

Stop the hosts first. A store is named as in `store` of host.toml: a URL or a table. The one that is
left out is that of the configuration. What is copied stays where it was, too.")]
    Copy(Copy),
    /// Look whether everything in the store fits together
    #[command(after_help = "\
Examples:
  host store check
  host store check --json | jq -r 'select(.fault) | .fault'

Reads all of it and writes nothing: records, the lists by which they are found, and whether each fire
time has one verdict. Exit code 1 when something is wrong. Beside hosts at work on Redis, what changes
meanwhile may look like a fault: look twice.")]
    Check(Check),
    /// Write a copy of the store that is one itself
    #[command(after_help = "\
Examples:
  host store backup /backup/campanile-$(date +%F).db
  host store backup /backup/campanile.jsonl           where the store is on Redis

Of a SQLite store, also while a host works on it: to restore it, stop the host, put the copy in the
place of the file, and remove the files beside it that end in -wal and -shm. Of a store on Redis, while
no host works on it, it is what `export` writes; beside running hosts use the server's own means
(a copy of its append-only file, or BGSAVE).")]
    Backup(Backup),
}

/// Where to.
#[derive(Debug, Args)]
pub struct Export {
    /// The file; without it, or with -, standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// From where.
#[derive(Debug, Args)]
pub struct Import {
    /// What `host store export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// From where to where.
#[derive(Debug, Args)]
pub struct Copy {
    /// The store to copy; without it the configuration's
    #[arg(long, value_name = "URL", required_unless_present = "to")]
    from: Option<String>,
    /// The store to copy to, which holds nothing; without it the configuration's
    #[arg(long, value_name = "URL")]
    to: Option<String>,
}

/// Nothing else.
#[derive(Debug, Args)]
pub struct Check {}

/// Where to.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it must not exist
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// Does it.
///
/// # Errors
///
/// The configuration is wrong, a store can't be opened, read or written, or is not sound.
pub fn store(command: &Store, common: &Common) -> Result<Exit, Failure> {
    logging::init(common.log_format, "warn");
    let config = common.load()?;
    let now = SystemClock.now();
    runtime()?.block_on(async {
        match command {
            Store::Export(args) => {
                let out = args.out.as_deref().filter(|path| *path != Path::new("-"));
                export(&config.store, out, common, now).await
            }
            Store::Import(args) => import(&config.store, &args.file, common).await,
            Store::Copy(args) => copy(&config, args, common).await,
            Store::Check(_) => check(&config.store, common, now).await,
            Store::Backup(args) => backup(&config.store, &args.path, common, now).await,
        }
    })
}

async fn export(
    from: &StoreAddress,
    out: Option<&Path>,
    common: &Common,
    now: Timestamp,
) -> Result<Exit, Failure> {
    let source = Source::open(from, Beside::AHost).await?;
    source.refuse_if_used().await?;
    let mut writer = file::Writer::create(out, place::kind(from), now)?;
    let moved = moving::to_file(source.store.as_ref(), &mut writer).await?;
    writer.finish()?;
    match out {
        Some(path) => {
            let path = path.display();
            say(common, "exported", &moved, &format!("{} to `{path}`", shown(from)))?;
            next_step(&format!("take it over elsewhere with `host store import {path}`"));
            Ok(Exit::Done)
        }
        // Standard output is the export itself.
        None => {
            note(format!("exported {} from {}", moved.counts, shown(from)));
            Ok(Exit::Done)
        }
    }
}

async fn import(to: &StoreAddress, path: &Path, common: &Common) -> Result<Exit, Failure> {
    let counts = file::check(path)?;
    let target = Target::open(to).await?;
    let moved = moving::from_file(path, counts, target.store.as_ref()).await?;
    let from = path.display();
    say(common, "imported", &moved, &format!("`{from}` to {}", shown(to)))?;
    tell_of_held(&moved);
    next_step("start the host");
    Ok(Exit::Done)
}

async fn copy(config: &Config, args: &Copy, common: &Common) -> Result<Exit, Failure> {
    let named = |flag, text: &Option<String>| match text {
        Some(text) => place::named(flag, text, config),
        None => Ok(config.store.clone()),
    };
    let (from, to) = (named("--from", &args.from)?, named("--to", &args.to)?);
    if place::is_same(&from, &to) {
        return Err(Failure::usage(format!(
            "{} is named twice: name another with --from or --to",
            shown(&from)
        )));
    }
    let source = Source::open(&from, Beside::Nobody).await?;
    source.refuse_if_used().await?;
    let target = Target::open(&to).await?;
    let moved = moving::copy(source.store.as_ref(), target.store.as_ref()).await?;
    say(common, "copied", &moved, &format!("{} to {}", shown(&from), shown(&to)))?;
    tell_of_held(&moved);
    match &args.to {
        Some(url) => {
            let value = place::as_value(url);
            next_step(&format!("set `store = {value}` in host.toml and start the host"));
        }
        None => next_step("start the host"),
    }
    Ok(Exit::Done)
}

async fn check(address: &StoreAddress, common: &Common, now: Timestamp) -> Result<Exit, Failure> {
    let source = Source::open(address, Beside::AHost).await?;
    if source.hosts().await? > 0 {
        note("hosts share this store: what changes meanwhile may look like a fault");
    }
    let mut progress = Progress::new("checked");
    let found = checkup(source.store.as_ref(), now, |counts| progress.tell(counts)).await;
    progress.end();
    let found = found.map_err(|error| place::unreadable(address, &error))?;
    for fault in &found.faults {
        if common.json {
            print_json(&json!({ "fault": fault }))?;
        } else {
            let mark = paint("!", Tone::Bad, Channel::Out);
            print(format!("{mark} {}", harmless(fault)))?;
        }
    }
    let count = found.faults.len();
    if common.json {
        print_json(&json!({"action": "checked", "faults": count, "counts": found.counts}))?;
    } else if count == 0 {
        print(format!("{} is sound: {}", shown(address), found.counts))?;
    }
    match count {
        0 => Ok(Exit::Done),
        1 => Err(Failure::failed(format!("1 fault in {}", shown(address)))),
        more => Err(Failure::failed(format!("{more} faults in {}", shown(address)))),
    }
}

async fn backup(
    address: &StoreAddress,
    path: &Path,
    common: &Common,
    now: Timestamp,
) -> Result<Exit, Failure> {
    match address {
        StoreAddress::Sqlite { path: from } => {
            if !from.exists() {
                return Err(place::missing(address));
            }
            EmbeddedStore::backup(from, path)
                .map_err(|error| Failure::failed(format!("no backup was made: {error}")))?;
            if common.json {
                print_json(&json!({"action": "backed_up", "to": path.display().to_string()}))
            } else {
                print(format!("backed up {} to `{}`", shown(address), path.display()))
            }
            .map(|()| Exit::Done)
        }
        StoreAddress::Redis(_) if path.exists() => Err(Failure::failed(format!(
            "no backup was made: there is a file `{}` already; name another",
            path.display()
        ))),
        StoreAddress::Redis(_) => {
            note("the backup of a store on Redis is an export; a server has means of its own, too");
            export(address, Some(path), common, now).await
        }
        StoreAddress::Memory => Err(place::in_memory()),
    }
}

/// Tells what was moved.
fn say(common: &Common, action: &str, moved: &Moved, what: &str) -> Result<(), Failure> {
    if common.json {
        return print_json(&json!({
            "action": action, "counts": moved.counts, "under_way": moved.under_way,
        }));
    }
    print(format!("{action} {what}: {}", moved.counts))
}

fn tell_of_held(moved: &Moved) {
    if 0 < moved.under_way {
        note(format!(
            "{} of the runs were under way: the first host takes them up again as after a crash",
            moved.under_way
        ));
    }
}

fn next_step(what: &str) {
    note(format!("next: {what}"));
}
