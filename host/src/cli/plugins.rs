//! `host plugins`: what a running host holds.

use bytesize::ByteSize;
use clap::{Args, Subcommand};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, pairs, table};
use crate::api::view::plugin::{PluginView, State};
use crate::job::names::PluginName;

/// Hexadecimal digits of a digest that tell plugins apart.
const SHORT_DIGEST: usize = "sha256:".len() + 12;

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
    }
}

fn list(args: &List, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::steering(common, &args.whom)?;
    let query = vec![("tenant", args.whom.tenant.clone())];
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
        (None, _) => handlers.into(),
        (Some(error), State::Active) => {
            Cell::new(format!("{handlers}; new file refused: {error}"), Tone::Odd)
        }
        (Some(error), State::Refused | State::Held) => Cell::new(error, Tone::Bad),
    };
    [
        plugin.name.to_string().into(),
        state(plugin),
        Cell::or_dash(plugin.size.map(size)),
        Cell::or_dash(plugin.digest.as_deref().map(|it| it.get(..SHORT_DIGEST).unwrap_or(it))),
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

/// A size as people read it.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

fn show(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let name: PluginName = args.plugin.parse().map_err(Failure::usage)?;
    let reached = reach::steering(common, &args.whom)?;
    let tenant = vec![("tenant", args.whom.tenant.clone())];
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
    print(pairs(&rows))?;
    print(super::inspect::handlers(&plugin.handlers))?;
    Ok(Exit::Done)
}
