//! From a file's bytes to a plugin, or to one message that says why it is none and what would help.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmparser::{Payload, Validator, WasmFeatures};
use wasmtime::component::Component;

use super::bindings::JobPre;
use super::guest::Guest;
use super::link::SERVED;
use super::plugin::{Digest, Plugin};
use super::{Engine, Metering};
use crate::job::limits::Limits;
use crate::job::names::HandlerName;
use crate::plugin::{About, Handler};

/// A larger file is refused.
pub const MAX_PLUGIN_BYTES: u64 = 64 << 20;
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
/// The compatibility track that this host serves.
const TRACK: &str = "0.1";
/// What to write instead.
const BUILD_HINT: &str = "build it with campanile-sdk for the target wasm32-wasip2";

/// Why a file is no plugin: the reason and what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Engine {
    /// Compiles a plugin and asks it for its handlers. Takes milliseconds to seconds: call it off
    /// the hot path.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub async fn load(&self, bytes: Arc<[u8]>) -> Result<Arc<Plugin>, Refusal> {
        check_form(&bytes)?;
        let digest = Digest::of(&bytes);
        let component = self
            .cache
            .component(&self.plain.engine, &bytes, &digest)
            .map_err(|error| Refusal(format!("it does not compile: {error:#}")))?;
        let imports = self.check_world(&component)?;
        let pre = self.link(Metering::Off, &component).map_err(Refusal)?;
        let handlers = self.describe(&pre).await?;
        let about = About {
            kind: "component".to_owned(),
            digest: digest.to_string(),
            size: bytes.len() as u64,
            handlers,
            imports,
        };
        Ok(Arc::new(Plugin { about, bytes, digest, pre, metered: OnceLock::new() }))
    }

    /// The plugin compiled with or without fuel.
    pub(super) fn prepared<'a>(
        &self,
        plugin: &'a Plugin,
        metering: Metering,
    ) -> anyhow::Result<&'a JobPre<Guest>> {
        match metering {
            Metering::Off => Ok(&plugin.pre),
            Metering::On => {
                let made = plugin.metered.get_or_init(|| {
                    let variant = self.variant(metering).map_err(|error| format!("{error:#}"))?;
                    let component =
                        self.cache.component(&variant.engine, &plugin.bytes, &plugin.digest);
                    self.link(metering, &component.map_err(|error| format!("{error:#}"))?)
                });
                made.as_ref().map_err(|error| anyhow::anyhow!("can't meter the plugin: {error}"))
            }
        }
    }

    fn link(&self, metering: Metering, component: &Component) -> Result<JobPre<Guest>, String> {
        let variant = self.variant(metering).map_err(|error| format!("{error:#}"))?;
        let pre = variant.linker.instantiate_pre(component).map_err(|error| {
            format!("its imports do not fit this host: {error:#}; {BUILD_HINT} again")
        })?;
        JobPre::new(pre).map_err(|error| {
            format!("its `{GUEST}` does not fit track {TRACK}: {error:#}; {BUILD_HINT} again")
        })
    }

    /// The interfaces that it imports, if it is of our world and wants nothing else.
    fn check_world(&self, component: &Component) -> Result<Vec<String>, Refusal> {
        let shape = component.component_type();
        let exports: Vec<_> =
            shape.exports(&self.plain.engine).map(|(name, _)| name.to_owned()).collect();
        match exports.iter().find(|name| unversioned(name) == GUEST) {
            Some(name) if is_track(name) => (),
            Some(name) => {
                return Err(Refusal(format!(
                    "it exports `{name}`, but this host serves track {TRACK} of `{GUEST}`; build \
                     it against the contract in `wit/{TRACK}`"
                )));
            }
            None if exports.iter().any(|name| unversioned(name) == "wasi:cli/run") => {
                return Err(Refusal(format!(
                    "it is a `wasi:cli/run` program, which this version can't run yet; {BUILD_HINT}"
                )));
            }
            None => {
                let what = if exports.is_empty() { "nothing".to_owned() } else { quote(&exports) };
                return Err(Refusal(format!(
                    "it is of another world: it exports {what}, not `{GUEST}`; {BUILD_HINT}"
                )));
            }
        }
        let imports: Vec<_> =
            shape.imports(&self.plain.engine).map(|(name, _)| name.to_owned()).collect();
        let foreign: Vec<_> =
            imports.iter().filter(|name| !SERVED.contains(&unversioned(name))).cloned().collect();
        if foreign.is_empty() {
            Ok(imports)
        } else {
            Err(Refusal(format!(
                "it imports {}, which this host does not give; build it without what needs that",
                quote(&foreign)
            )))
        }
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

/// Whether the bytes are a whole component, as far as can be told without compiling.
fn check_form(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Err(Refusal("it is empty; copy it again".into()));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Refusal(format!("it is not WebAssembly; {BUILD_HINT}")));
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(Refusal(format!(
            "it is a core module, which this version can't run yet; {BUILD_HINT}"
        )));
    }
    if let Some(error) = parse_error(bytes) {
        return Err(Refusal(if error.contains("unexpected end") {
            format!("it is truncated ({error}); copy it again, under another name, then rename it")
        } else {
            format!("it is damaged or uses what this host does not allow: {error}; {BUILD_HINT}")
        }));
    }
    Ok(())
}

/// The first thing that a full validation finds wrong.
fn parse_error(bytes: &[u8]) -> Option<String> {
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::End(_)) | Ok(_) => (),
            Err(error) => return Some(error.to_string()),
        }
    }
    let features = WasmFeatures::default() - WasmFeatures::MEMORY64;
    Validator::new_with_features(features).validate_all(bytes).err().map(|error| error.to_string())
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
