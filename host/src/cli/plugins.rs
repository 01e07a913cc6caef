//! `host plugins`: what a running host holds.

use bytesize::ByteSize;
use clap::{Args, Subcommand};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, pairs, table};
use super::versions;
use crate::api::view::plugin::{PluginView, State, VersionState, VersionView};
use crate::job::names::PluginName;
use crate::plugin::versions::{Held, short};
use crate::plugin::wants;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List plugins, refused ones too
    #[command(after_help = "\
Examples:
  host plugins ls
  host plugins ls --json | jq -r 'select(.state == \"refused\") | .error'

Only a running host knows its plugins; `host inspect FILE.wasm` looks at a file without one.")]
    Ls(List),
    /// Show one plugin with its handlers
    #[command(after_help = "Example:\n  host plugins show report")]
    Show(Show),
    /// Go back to the version before, or to another one that is kept
    #[command(after_help = "\
Examples:
  host plugins rollback report              to the one before
  host plugins rollback report 770236b1     to this one, which may be newer, too

It stays until another file comes. The file that was gone back from may stay where it is.")]
    Rollback(versions::Which),
    /// Let one version run whatever comes
    #[command(after_help = "\
Examples:
  host plugins pin report                   what runs now
  host plugins pin report 770236b1")]
    Pin(versions::Which),
    /// Let the current version run again
    #[command(after_help = "Example:\n  host plugins unpin report")]
    Unpin(versions::Plugin),
    /// Let a version run that is held, since it wants more than the one before
    #[command(after_help = "\
Examples:
  host plugins show report                  what it wants
  host plugins approve report")]
    Approve(versions::Which),
    /// Give some of the runs to a version
    #[command(after_help = "\
Examples:
  host plugins pin report                               keep what runs, then put the new file here
  host plugins canary report newest --share 10%
  host plugins canary report 770236b1 --share 0%        ends it
  host plugins unpin report                             all runs get the new one")]
    Canary(versions::Trying),
    /// Hand a plugin to the host; it need not lie in a folder of the host's
    #[command(after_help = "\
Examples:
  host plugins put target/wasm32-wasip2/release/report.wasm
  host plugins put build/out.wasm --name report --tenant acme

A signature beside it, FILE.minisig, goes with it. Hosts that share a store have it within seconds.")]
    Put(versions::Upload),
    /// Remove a plugin that was put
    #[command(after_help = "Example:\n  host plugins rm report")]
    Rm(versions::Plugin),
}

/// How many plugins, and whose.
#[derive(Debug, Args)]
pub struct List {
    /// So many at most; without it all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    whom: Whom,
}

/// Which plugin.
#[derive(Debug, Args)]
pub struct Show {
    /// Its name: its file's name without `.wasm`
    plugin: String,
    #[command(flatten)]
    whom: Whom,
}

/// Does it.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn plugins(plugins: &Plugins, common: &Common) -> Result<Exit, Failure> {
    match plugins {
        Plugins::Ls(args) => list(args, common),
        Plugins::Show(args) => show(args, common),
        Plugins::Rollback(args) => versions::rollback(args, common),
        Plugins::Pin(args) => versions::pin(args, common),
        Plugins::Unpin(args) => versions::unpin(args, common),
        Plugins::Approve(args) => versions::approve(args, common),
        Plugins::Canary(args) => versions::canary(args, common),
        Plugins::Put(args) => versions::put(args, common),
        Plugins::Rm(args) => versions::remove(args, common),
    }
}

fn list(args: &List, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::steering(common, &args.whom)?;
    let query = args.whom.query();
    let mut rows = Vec::new();
    for plugin in reached.items::<PluginView>("/v1/plugins", query, args.limit) {
        let plugin = plugin?;
        if common.json {
            print_json(&plugin)?;
        } else {
            rows.push(row(&plugin));
        }
    }
    if !common.json && rows.is_empty() {
        note("there is no plugin yet; put a .wasm file into the folder of plugins");
    } else if !common.json {
        print(table(["PLUGIN", "STATE", "SIZE", "DIGEST", "LOADED", "HANDLERS"], &rows))?;
    }
    Ok(Exit::Done)
}

fn row(plugin: &PluginView) -> [Cell; 6] {
    let handlers: Vec<_> = plugin.handlers.iter().map(|handler| handler.name.as_str()).collect();
    let handlers = handlers.join(", ");
    let last = match (&plugin.error, plugin.state) {
        (None, _) => match &plugin.held {
            None => handlers.into(),
            Some(it) => {
                let held = held(&plugin.name, it);
                Cell::new(format!("{handlers}; new version held: {held}"), Tone::Odd)
            }
        },
        (Some(error), State::Active) => {
            Cell::new(format!("{handlers}; new file refused: {error}"), Tone::Odd)
        }
        (Some(error), State::Refused | State::Held) => Cell::new(error, Tone::Bad),
    };
    [
        plugin.name.to_string().into(),
        state(plugin),
        Cell::or_dash(plugin.size.map(size)),
        Cell::or_dash(plugin.digest.as_deref().map(short)),
        plugin.loaded_at.to_string().into(),
        last,
    ]
}

fn state(plugin: &PluginView) -> Cell {
    let tone = match plugin.state {
        State::Active => Tone::Good,
        State::Refused => Tone::Bad,
        State::Held => Tone::Odd,
    };
    Cell::new(plugin.state.word(), tone)
}

/// What is said of a version that is held.
pub fn held(name: &PluginName, held: &Held) -> String {
    let (new, digest) = (wants::list(&held.new), short(&held.digest));
    let how = if held.ran { "reached for" } else { "wants" };
    format!("{digest} {how} {new}; `host plugins approve {name}` lets it run")
}

/// A size as people read it.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

fn version(it: &VersionView) -> [Cell; 6] {
    let tone = match it.state {
        VersionState::Running => Tone::Good,
        VersionState::Canary | VersionState::Held => Tone::Odd,
        VersionState::Kept => Tone::Plain,
    };
    [
        short(&it.digest).into(),
        Cell::new(it.state.word(), tone),
        size(it.size).into(),
        it.added_at.to_string().into(),
        Cell::or_dash(Some(wants::list(&it.wants)).filter(|wants| !wants.is_empty())),
        Cell::or_dash(it.note.as_deref()),
    ]
}

fn show(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let name: PluginName = args.plugin.parse().map_err(Failure::usage)?;
    let reached = reach::steering(common, &args.whom)?;
    let tenant = args.whom.query();
    let plugin: PluginView = reached.get(&format!("/v1/plugins/{name}"), tenant)?;
    if common.json {
        print_json(&plugin)?;
        return Ok(Exit::Done);
    }
    let mut rows = vec![
        ("plugin", plugin.name.to_string().into()),
        ("state", state(&plugin)),
        ("kind", Cell::or_dash(plugin.kind.as_deref())),
        ("size", Cell::or_dash(plugin.size.map(size))),
        ("digest", Cell::or_dash(plugin.digest.as_deref())),
        ("loaded", plugin.loaded_at.to_string().into()),
        ("found in", plugin.found_in.word().into()),
    ];
    if let Some(error) = &plugin.error {
        let title = match plugin.state {
            State::Active => "new file refused",
            State::Refused | State::Held => "error",
        };
        rows.push((title, Cell::new(error, Tone::Bad)));
    }
    if let Some(pinned) = &plugin.pinned {
        rows.push(("pinned", short(pinned).into()));
    }
    if let Some(canary) = &plugin.canary {
        let text = format!("{} of the runs to {}", canary.share, short(&canary.digest));
        rows.push(("canary", text.into()));
    }
    if let Some(it) = &plugin.held {
        rows.push(("held", Cell::new(held(&plugin.name, it), Tone::Odd)));
    }
    print(pairs(&rows))?;
    if plugin.versions.len() > 1 {
        let rows: Vec<_> = plugin.versions.iter().map(version).collect();
        print(table(["VERSION", "STATE", "SIZE", "CAME", "WANTS", "NOTE"], &rows))?;
    }
    print(super::inspect::handlers(&plugin.handlers))?;
    Ok(Exit::Done)
}
