//! From a file's bytes to a plugin, or to one message that says why it is none and what would help.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use wasmtime::component::Component;

use super::bindings::JobPre;
use super::call::Entry;
use super::form::{formed, made_by};
use super::guest::Guest;
use super::link::SERVED;
use super::plugin::{Digest, Plugin};
use super::{Engine, Metering};
use crate::job::limits::Limits;
use crate::job::names::HandlerName;
use crate::plugin::wants::is_interpreter;
use crate::plugin::{About, Handler};

/// How long a plugin may take to list its handlers.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// What it may use for that, in bytes.
const DESCRIBE_MEMORY: u64 = 256 << 20;
/// What is kept of what it logs meanwhile, in bytes.
const DESCRIBE_LOG: u64 = 16 * 1024;
/// Handlers of one plugin at most.
const MAX_HANDLERS: usize = 256;
/// Bytes of one handler's description and defaults at most.
const MAX_HANDLER_BYTES: usize = 64 * 1024;
/// The export that makes a component a job plugin, without its version.
const GUEST: &str = "campanile:job/guest";
/// The export that makes a component a program.
const PROGRAM: &str = "wasi:cli/run";
/// Exports and imports that a message names at most.
const MAX_SHOWN: usize = 20;
/// The compatibility track that this host serves.
const TRACK: &str = "0.1";
/// What to write instead.
pub(super) const BUILD_HINT: &str = "build it with campanile-sdk for the target wasm32-wasip2";

/// Why a file is no plugin: the reason and what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// What a component exports and imports.
struct World {
    program: bool,
    imports: Vec<String>,
}

impl Engine {
    /// Compiles a plugin and asks it for its handlers. Takes milliseconds to seconds: call it off
    /// the hot path.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub async fn load(&self, bytes: Arc<[u8]>) -> Result<Arc<Plugin>, Refusal> {
        let digest = Digest::of(&bytes);
        let component = self.component(Metering::Off, &bytes, digest).await?;
        let World { program, imports } = self.check_world(&component)?;
        let entry = self.link(Metering::Off, &component, program).map_err(Refusal)?;
        let handlers = match &entry {
            Entry::Job(pre) => self.describe(pre).await?,
            Entry::Program(_) => vec![program_handler()],
        };
        let about = About {
            kind: kind(&bytes, program).to_owned(),
            digest: digest.to_string(),
            size: bytes.len() as u64,
            handlers,
            imports,
            interpreter: is_interpreter(made_by(&bytes).iter().map(String::as_str)),
        };
        Ok(Arc::new(Plugin { about, bytes, digest, entry, metered: OnceCell::new() }))
    }

    /// The component of a file, from the cache or compiled now.
    async fn component(
        &self,
        metering: Metering,
        bytes: &Arc<[u8]>,
        digest: Digest,
    ) -> Result<Component, Refusal> {
        let variant = self.variant(metering).map_err(|error| Refusal(format!("{error:#}")))?;
        let engine = variant.engine.clone();
        // What is in the cache was checked before it was compiled.
        if let Some(component) = self.cache.read(&engine, &digest) {
            return Ok(component);
        }
        let (cache, bytes) = (Arc::clone(&self.cache), Arc::clone(bytes));
        let compiled = self.compiler.run(move || {
            let formed = formed(&bytes)?;
            let compiled = cache.compile(&engine, &formed, &digest);
            compiled.map_err(|error| Refusal(format!("it does not compile: {error:#}")))
        });
        compiled.await.unwrap_or_else(|why| Err(Refusal(format!("it {why}"))))
    }

    /// The plugin compiled with or without fuel.
    pub(super) async fn prepared<'a>(
        &self,
        plugin: &'a Plugin,
        metering: Metering,
    ) -> anyhow::Result<&'a Entry> {
        match metering {
            Metering::Off => Ok(&plugin.entry),
            Metering::On => {
                let made = plugin.metered.get_or_init(|| async {
                    let program = matches!(plugin.entry, Entry::Program(_));
                    let component = self.component(metering, &plugin.bytes, plugin.digest).await;
                    let component = component.map_err(|Refusal(why)| why)?;
                    self.link(metering, &component, program)
                });
                let made = made.await.as_ref();
                made.map_err(|error| anyhow::anyhow!("can't meter the plugin: {error}"))
            }
        }
    }

    fn link(
        &self,
        metering: Metering,
        component: &Component,
        program: bool,
    ) -> Result<Entry, String> {
        let variant = self.variant(metering).map_err(|error| format!("{error:#}"))?;
        let pre = variant.linker.instantiate_pre(component).map_err(|error| {
            format!("its imports do not fit this host: {error:#}; {BUILD_HINT} again")
        })?;
        Entry::new(pre, program).map_err(|error| {
            let name = if program { PROGRAM } else { GUEST };
            format!("its `{name}` does not fit this host: {error:#}; {BUILD_HINT} again")
        })
    }

    /// What it exports and imports, if it is of a world that is served and wants nothing else.
    fn check_world(&self, component: &Component) -> Result<World, Refusal> {
        let shape = component.component_type();
        let names = |names: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            names.map(str::to_owned).collect()
        };
        let exports = names(&mut shape.exports(&self.plain.engine).map(|(name, _)| name));
        let exports_program = exports.iter().any(|name| unversioned(name) == PROGRAM);
        let program = match exports.iter().find(|name| unversioned(name) == GUEST) {
            Some(name) if is_track(name) => false,
            Some(name) => {
                return Err(Refusal(format!(
                    "it exports `{name}`, but this host serves track {TRACK} of `{GUEST}`; build \
                     it against the contract in `wit/{TRACK}`"
                )));
            }
            None if exports_program => true,
            None => {
                let what = match exports.len() {
                    0 => "nothing".to_owned(),
                    many if many > MAX_SHOWN => format!("{many} things"),
                    _ => quote(&exports),
                };
                return Err(Refusal(format!(
                    "it is of another world: it exports {what}, not `{GUEST}` or `{PROGRAM}`; \
                     {BUILD_HINT}"
                )));
            }
        };
        let imports = names(&mut shape.imports(&self.plain.engine).map(|(name, _)| name));
        let is_foreign = |name: &&String| !SERVED.contains(&unversioned(name));
        let foreign: Vec<_> = imports.iter().filter(is_foreign).take(MAX_SHOWN).cloned().collect();
        if foreign.is_empty() {
            return Ok(World { program, imports });
        }
        Err(Refusal(format!(
            "it imports {}, which this host does not give; build it without what needs that",
            quote(&foreign)
        )))
    }

    async fn describe(&self, pre: &JobPre<Guest>) -> Result<Vec<Handler>, Refusal> {
        let described = self.call_describe(pre, &describing()).await;
        let described = described
            .map_err(|why| Refusal(format!("it can't list its handlers: `describe` {why}")))?;
        if described.is_empty() {
            return Err(Refusal(
                "it has no handler: `describe` lists none; mark a function with `#[job]`".into(),
            ));
        }
        if described.len() > MAX_HANDLERS {
            return Err(Refusal(format!(
                "it has {} handlers; {MAX_HANDLERS} are allowed",
                described.len()
            )));
        }
        let mut names = BTreeSet::new();
        let mut handlers = Vec::new();
        for handler in described {
            let handler = check_handler(&handler)?;
            if !names.insert(handler.name.clone()) {
                return Err(Refusal(format!(
                    "it has two handlers named `{}`; give each its own name",
                    handler.name
                )));
            }
            handlers.push(handler);
        }
        Ok(handlers)
    }
}

fn check_handler(
    handler: &super::bindings::exports::campanile::job::guest::Handler,
) -> Result<Handler, Refusal> {
    let name: HandlerName = handler
        .name
        .parse()
        .map_err(|error| Refusal(format!("it has a handler with a bad name: {error}")))?;
    let defaults = handler.defaults.as_deref().unwrap_or("null");
    if handler.description.len() + defaults.len() > MAX_HANDLER_BYTES {
        return Err(Refusal(format!(
            "handler `{name}`: description and defaults are longer than {MAX_HANDLER_BYTES} bytes"
        )));
    }
    let defaults: Option<serde_json::Value> = serde_json::from_str(defaults).map_err(|error| {
        Refusal(format!("handler `{name}`: its `defaults` are not JSON ({error})"))
    })?;
    if defaults.as_ref().is_some_and(|defaults| !defaults.is_object()) {
        return Err(Refusal(format!(
            "handler `{name}`: its `defaults` must be a JSON object with the keys of a job"
        )));
    }
    Ok(Handler { name, description: handler.description.clone(), defaults })
}

/// What a file is, in the words that people are told.
fn kind(bytes: &[u8], program: bool) -> &'static str {
    match (wasmparser::Parser::is_component(bytes), program) {
        (true, false) => "component",
        (true, true) => "program",
        (false, false) => "module",
        (false, true) => "module program",
    }
}

/// The one handler of a program.
fn program_handler() -> Handler {
    let description = "Runs the program".to_owned();
    Handler { name: HandlerName::run(), description, defaults: None }
}

/// What a plugin may use to list its handlers.
fn describing() -> Limits {
    Limits {
        timeout: DESCRIBE_TIMEOUT,
        memory: DESCRIBE_MEMORY,
        log: DESCRIBE_LOG,
        ..Limits::default()
    }
}

fn unversioned(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

fn is_track(name: &str) -> bool {
    let version = name.split('@').nth(1).unwrap_or_default();
    version.strip_prefix(TRACK).is_some_and(|rest| rest.starts_with('.'))
}

fn quote(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
