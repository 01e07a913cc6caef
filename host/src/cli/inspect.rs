//! `host inspect`: what a plugin is, what it does, and what it may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::args::Common;
use super::exit::{Exit, Failure};
use super::logging;
use super::plugins::size;
use super::runtime;
use super::screen::{print, print_json};
use super::table::{Cell, pairs, table};
use crate::clock::SystemClock;
use crate::engine::form::MAX_PLUGIN_BYTES;
use crate::engine::plugin::Plugin;
use crate::engine::{Engine, Settings};
use crate::job::parse::keys::CAPABILITIES;
use crate::plugin::{About, Handler};

/// Memory that a plugin may use while it lists its handlers, at least, in bytes.
const DESCRIBE_MEMORY: u64 = 256 << 20;

/// Which file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host inspect plugins/report.wasm
  host inspect report.wasm --json | jq .handlers")]
pub struct Inspect {
    /// The plugin's file
    #[arg(value_name = "PLUGIN.wasm")]
    file: PathBuf,
}

/// What is shown of a plugin as JSON.
#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    about: &'a About,
    may_use: Vec<MayUse>,
}

/// What a plugin may do by some of its imports.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MayUse {
    /// In words.
    what: &'static str,
    /// The key of a job that grants it; null: every plugin may.
    key: Option<&'static str>,
    /// Whether this version can grant it.
    built: bool,
    /// The imports.
    imports: Vec<String>,
}

/// Capabilities: in words, the key that grants them, and how their imports begin.
const GROUPS: [(&str, Option<&str>, &[&str]); 9] = [
    ("files", Some("capabilities.dirs"), &["wasi:filesystem/"]),
    ("HTTP requests", Some("capabilities.http"), &["wasi:http/"]),
    ("network", Some("capabilities.tcp"), &["wasi:sockets/"]),
    ("environment", Some("capabilities.env"), &["wasi:cli/environment"]),
    ("settings, secrets", Some("config, capabilities.secrets"), &["wasi:config/"]),
    ("key-value state", Some("capabilities.kv"), &["wasi:keyvalue/", "campanile:job/state"]),
    ("other jobs", Some("capabilities.jobs"), &["campanile:job/jobs"]),
    ("its own run", None, &["campanile:job/context", "wasi:logging/"]),
    ("streams, clocks, chance", None, &["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:random/"]),
];

/// Shows the plugin.
///
/// # Errors
///
/// It can't be read, or it is no plugin.
pub fn inspect(args: &Inspect, common: &Common) -> Result<Exit, Failure> {
    logging::init(common.log_format, "warn");
    let engine = engine(DESCRIBE_MEMORY)?;
    let plugin = runtime()?.block_on(load(&engine, &args.file))?;
    let about = &plugin.about;
    let may_use = may_use(&about.imports);
    if common.json {
        print_json(&Inspected { about, may_use })?;
        return Ok(Exit::Done);
    }
    print(pairs(&[
        ("kind", about.kind.as_str().into()),
        ("digest", about.digest.as_str().into()),
        ("size", size(about.size).into()),
    ]))?;
    print(handlers(&about.handlers))?;
    let rows: Vec<_> = may_use.iter().map(row).collect();
    print(format!("\n{}", table(["MAY USE", "GRANTED BY", "IMPORTS"], &rows)))?;
    Ok(Exit::Done)
}

/// A sandbox for one plugin.
///
/// # Errors
///
/// The machine can't run one.
pub fn engine(max_memory: u64) -> Result<Arc<Engine>, Failure> {
    let settings = Settings {
        max_instances: 4,
        max_memory: max_memory.max(DESCRIBE_MEMORY),
        cache_dir: None,
        clock: Arc::new(SystemClock),
    };
    Engine::new(settings)
        .map_err(|error| Failure::failed(format!("the sandbox can't start: {error:#}")))
}

/// Compiles the plugin in `file`.
///
/// # Errors
///
/// It can't be read, or it is no plugin.
pub async fn load(engine: &Engine, file: &Path) -> Result<Arc<Plugin>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::usage(format!("can't read `{}`: {error}", file.display()));
    let about = std::fs::metadata(file).map_err(unreadable)?;
    if about.len() > MAX_PLUGIN_BYTES {
        let message = format!("`{}` is larger than {}", file.display(), size(MAX_PLUGIN_BYTES));
        return Err(Failure::failed(message));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    engine
        .load(bytes.into())
        .await
        .map_err(|refusal| Failure::failed(format!("`{}` is refused: {refusal}", file.display())))
}

/// Handlers with what they suggest, as text.
pub fn handlers(handlers: &[Handler]) -> String {
    let rows: Vec<_> = handlers
        .iter()
        .map(|handler| {
            [
                handler.name.to_string().into(),
                handler.description.as_str().into(),
                Cell::or_dash(handler.defaults.as_ref()),
            ]
        })
        .collect();
    format!("\n{}", table(["HANDLER", "DOES", "DEFAULTS"], &rows))
}

fn row(may_use: &MayUse) -> [Cell; 3] {
    let key = match (may_use.key, may_use.built) {
        (None, _) => "nothing: every plugin may".to_owned(),
        (Some(key), true) => key.to_owned(),
        (Some(key), false) => format!("{key} (not built yet)"),
    };
    [may_use.what.into(), key.into(), short(&may_use.imports).into()]
}

/// Interfaces by package, without their versions: `wasi:io/error,poll wasi:cli/exit`.
fn short(imports: &[String]) -> String {
    let mut packages: Vec<(&str, Vec<&str>)> = Vec::new();
    for import in imports {
        let name = import.split('@').next().unwrap_or(import);
        let (package, interface) = name.split_once('/').unwrap_or((name, ""));
        match packages.iter_mut().find(|(known, _)| *known == package) {
            Some((_, interfaces)) => interfaces.push(interface),
            None => packages.push((package, vec![interface])),
        }
    }
    let packages = packages.iter().map(|(package, all)| format!("{package}/{}", all.join(",")));
    packages.collect::<Vec<_>>().join(" ")
}

/// Imports by what they let a plugin do.
fn may_use(imports: &[String]) -> Vec<MayUse> {
    let mut groups: Vec<MayUse> = Vec::new();
    for import in imports {
        let Some((what, key, _)) = group_of(import) else { continue };
        match groups.iter_mut().find(|group| group.what == *what) {
            Some(group) => group.imports.push(import.clone()),
            None => groups.push(MayUse {
                what,
                key: *key,
                built: key.is_none_or(is_built),
                imports: vec![import.clone()],
            }),
        }
    }
    groups.sort_by_key(|group| GROUPS.iter().position(|(what, ..)| *what == group.what));
    groups
}

fn is_built(key: &str) -> bool {
    key.strip_prefix("capabilities.").is_none_or(|key| CAPABILITIES.built.contains(&key))
}

fn group_of(
    import: &str,
) -> Option<&'static (&'static str, Option<&'static str>, &'static [&'static str])> {
    GROUPS.iter().find(|(_, _, starts)| starts.iter().any(|start| import.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::link::SERVED;

    #[test]
    fn every_interface_that_is_served_has_a_group() {
        for interface in SERVED {
            assert!(group_of(interface).is_some(), "{interface}");
        }
    }

    #[test]
    fn imports_are_grouped_by_the_key_that_grants_them() {
        let imports = [
            "wasi:io/poll@0.2.12",
            "wasi:filesystem/types@0.2.12",
            "wasi:filesystem/preopens@0.2.12",
        ];
        let groups = may_use(&imports.map(str::to_owned));
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].key, groups[0].imports.len()), (Some("capabilities.dirs"), 2));
        assert_eq!(groups[1].key, None);
        assert_eq!(short(&groups[0].imports), "wasi:filesystem/types,preopens");
    }
}
