//! `host plugins rollback`, `pin`, `unpin`, `approve`, `canary`, `put`, `rm`: which version runs.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::plugins::{held, size};
use super::reach;
use super::screen::{note, print_json};
use crate::api::view::plugin::{PluginView, VersionState};
use crate::engine::form::MAX_PLUGIN_BYTES;
use crate::engine::plugin::Digest;
use crate::job::names::PluginName;
use crate::plugin::versions::short;

/// Which version of which plugin.
#[derive(Debug, Args)]
pub struct Which {
    /// The plugin's name
    plugin: String,
    /// The version's digest, the beginning of it (four digits at least), or `newest`
    digest: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// Which plugin.
#[derive(Debug, Args)]
pub struct Plugin {
    /// The plugin's name
    plugin: String,
    #[command(flatten)]
    whom: Whom,
}

/// Which version is tried, and on how many runs.
#[derive(Debug, Args)]
pub struct Trying {
    /// The plugin's name
    plugin: String,
    /// The version's digest, the beginning of it (four digits at least), or `newest`
    digest: String,
    /// How many of all runs: from 0% to 100%; 0% ends it
    #[arg(long, value_name = "SHARE")]
    share: String,
    #[command(flatten)]
    whom: Whom,
}

/// Which file, and under which name.
#[derive(Debug, Args)]
pub struct Upload {
    /// The plugin, a .wasm
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its name; without it the file's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// Goes back to the version before, or to another one.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn rollback(args: &Which, common: &Common) -> Result<Exit, Failure> {
    act(&args.plugin, &args.whom, "rollback", digest(args), common)
}

/// Lets one version run whatever comes.
///
/// # Errors
///
/// As [`rollback`].
pub fn pin(args: &Which, common: &Common) -> Result<Exit, Failure> {
    act(&args.plugin, &args.whom, "pin", digest(args), common)
}

/// Lets the current version run again.
///
/// # Errors
///
/// As [`rollback`].
pub fn unpin(args: &Plugin, common: &Common) -> Result<Exit, Failure> {
    act(&args.plugin, &args.whom, "unpin", json!({}), common)
}

/// Lets the version run that is held.
///
/// # Errors
///
/// As [`rollback`].
pub fn approve(args: &Which, common: &Common) -> Result<Exit, Failure> {
    act(&args.plugin, &args.whom, "approve", digest(args), common)
}

/// Gives some runs to a version.
///
/// # Errors
///
/// As [`rollback`].
pub fn canary(args: &Trying, common: &Common) -> Result<Exit, Failure> {
    let body = json!({"digest": args.digest, "share": args.share});
    act(&args.plugin, &args.whom, "canary", body, common)
}

/// Hands a plugin to the host, with the signature that stands beside it.
///
/// # Errors
///
/// The file can't be read, or what the host says.
pub fn put(args: &Upload, common: &Common) -> Result<Exit, Failure> {
    let shown = args.file.display();
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let name: PluginName = name.parse().map_err(Failure::usage)?;
    let unreadable = |error| Failure::usage(format!("`{shown}` can't be read: {error}"));
    let about = std::fs::metadata(&args.file).map_err(unreadable)?;
    if about.len() > MAX_PLUGIN_BYTES {
        return Err(Failure::usage(format!("`{shown}` is larger than {}", size(MAX_PLUGIN_BYTES))));
    }
    let bytes = std::fs::read(&args.file).map_err(unreadable)?;
    let mut beside = args.file.clone().into_os_string();
    beside.push(".minisig");
    let signature = std::fs::read(beside).ok().map(|text| BASE64_STANDARD.encode(text));
    let reached = reach::steering(common, &args.whom)?;
    let mut query = args.whom.query();
    query.push(("digest", Digest::of(&bytes).to_string()));
    let path = format!("/v1/plugins/{name}");
    let plugin: PluginView = reached.put_plugin(&path, query, &bytes, signature.as_deref())?;
    answer(&plugin, common)
}

/// Removes a plugin that was put.
///
/// # Errors
///
/// As [`rollback`].
pub fn remove(args: &Plugin, common: &Common) -> Result<Exit, Failure> {
    let name: PluginName = args.plugin.parse().map_err(Failure::usage)?;
    let reached = reach::steering(common, &args.whom)?;
    reached.delete(&format!("/v1/plugins/{name}"), args.whom.query())?;
    if !common.json {
        note(format!("plugin {name} is removed; its jobs wait for it, and their past stays"));
    }
    Ok(Exit::Done)
}

fn digest(args: &Which) -> Value {
    match &args.digest {
        Some(digest) => json!({"digest": digest}),
        None => json!({}),
    }
}

fn act(
    plugin: &str,
    whom: &Whom,
    action: &str,
    body: Value,
    common: &Common,
) -> Result<Exit, Failure> {
    let name: PluginName = plugin.parse().map_err(Failure::usage)?;
    let reached = reach::steering(common, whom)?;
    let path = format!("/v1/plugins/{name}/{action}");
    let plugin: PluginView = reached.post(&path, whom.query(), &body)?;
    answer(&plugin, common)
}

/// Tells what runs now.
fn answer(plugin: &PluginView, common: &Common) -> Result<Exit, Failure> {
    if common.json {
        print_json(plugin)?;
        return Ok(Exit::Done);
    }
    let name = &plugin.name;
    let running = plugin.versions.iter().find(|it| it.state == VersionState::Running);
    let running = running.map_or("no version", |version| short(&version.digest));
    let pinned = if plugin.pinned.is_some() { ", pinned" } else { "" };
    note(format!("plugin {name} runs {running}{pinned}"));
    if let Some(canary) = &plugin.canary {
        note(format!("{} of its runs are given {}", canary.share, short(&canary.digest)));
    }
    if let Some(it) = &plugin.held {
        note(format!("new version held: {}", held(name, it)));
    }
    if let Some(error) = &plugin.error {
        note(format!("what was put in its place is refused: {error}"));
    }
    Ok(Exit::Done)
}
