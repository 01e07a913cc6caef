//! What a file is: a component, or a core module that is made into one; checked before anything is
//! compiled.
//!
//! Everything here looks at bytes of people who may mean harm, so everything has a bound: the
//! file's size, the size of one function (what compiling costs grows faster than that), and what
//! the reader of WebAssembly itself refuses.

use std::borrow::Cow;
use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Encoding, KnownCustom, Payload, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

use super::load::{BUILD_HINT, Refusal};

/// A larger file is refused.
pub const MAX_PLUGIN_BYTES: u64 = 64 << 20;
/// A larger function is refused, in bytes: compiling it would take minutes.
const MAX_FUNCTION_BYTES: usize = 2 << 20;
/// Tools that one field of a file names at most.
const MAX_TOOLS: usize = 100;
/// Custom sections with the world of a core module have this name, or one that begins with it.
const WORLD_SECTION: &str = "component-type";
/// What a program in a core module exports.
const START: &str = "_start";

/// What a file is before it is a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A component already.
    Component,
    /// A core module.
    Module,
}

/// The WebAssembly that guests may be made of. Off are threads, shared memory, garbage collection,
/// exceptions, stack switching, 64-bit memories and asynchronous components: nothing of this
/// version needs them.
pub(super) fn features() -> WasmFeatures {
    // References to collected objects are a part of garbage collection here.
    (WasmFeatures::WASM2 - WasmFeatures::GC_TYPES)
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::COMPONENT_MODEL
}

/// Checks the bytes of a file, and makes a component of a core module. Takes milliseconds for each
/// megabyte.
///
/// # Errors
///
/// Why it can be no plugin.
pub(super) fn formed(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if bytes.len() as u64 > MAX_PLUGIN_BYTES {
        return Err(Refusal(format!(
            "it has {} bytes; {MAX_PLUGIN_BYTES} are allowed: leave out debug information, or \
             split it",
            bytes.len()
        )));
    }
    if bytes.is_empty() {
        return Err(Refusal("it is empty; copy it again".into()));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Refusal(format!("it is not WebAssembly; {BUILD_HINT}")));
    }
    let seen = look(bytes)?;
    if seen.form == Form::Component {
        return Ok(Cow::Borrowed(bytes));
    }
    if !seen.has_world && !seen.has_start {
        return Err(Refusal(format!(
            "it is a core module that is neither a program (it exports no `{START}`) nor says \
             which world it is of (it has no section `{WORLD_SECTION}`); {BUILD_HINT}"
        )));
    }
    let component = component_of(bytes, seen.has_start && !seen.has_world);
    let component =
        component.map_err(|error| Refusal(format!("no component can be made of it: {error:#}")))?;
    // What was made is as little trusted as what it was made of.
    look(&component)?;
    Ok(Cow::Owned(component))
}

/// What a look at all sections shows.
struct Seen {
    form: Form,
    has_world: bool,
    has_start: bool,
}

/// Reads every section and validates it.
fn look(bytes: &[u8]) -> Result<Seen, Refusal> {
    let mut seen = Seen { form: Form::Component, has_world: false, has_start: false };
    let mut first = true;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| damaged(&error.to_string()))?;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if first => {
                seen.form = Form::Module;
                first = false;
            }
            Payload::Version { .. } => first = false,
            Payload::CustomSection(section) => {
                seen.has_world |= section.name().starts_with(WORLD_SECTION);
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(|error| damaged(&error.to_string()))?;
                    seen.has_start |= export.name == START;
                }
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                let size = range.end.saturating_sub(range.start);
                if size > MAX_FUNCTION_BYTES {
                    return Err(Refusal(format!(
                        "it has a function of {size} bytes; {MAX_FUNCTION_BYTES} are allowed, \
                         since compiling larger ones takes minutes"
                    )));
                }
            }
            _ => (),
        }
    }
    let valid = Validator::new_with_features(features()).validate_all(bytes);
    valid.map_err(|error| damaged(&error.to_string()))?;
    Ok(seen)
}

/// The tools that made a file, or a part of it, as far as it says so.
pub(super) fn made_by(bytes: &[u8]) -> BTreeSet<String> {
    let mut tools = BTreeSet::new();
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        // What can't be read was refused before.
        let Ok(payload) = payload else { break };
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().flatten() {
            let values = field.values.into_iter().flatten().take(MAX_TOOLS);
            tools.extend(values.map(|value| value.name.to_owned()));
        }
    }
    tools
}

fn damaged(error: &str) -> Refusal {
    Refusal(if error.contains("unexpected end") {
        format!("it is truncated ({error}); copy it again, under another name, then rename it")
    } else {
        format!("it is damaged or uses what this host does not allow: {error}; {BUILD_HINT}")
    })
}

/// Makes a component of a core module, with what stands in for WASI's first version.
fn component_of(module: &[u8], program: bool) -> anyhow::Result<Vec<u8>> {
    let stand_in = if program {
        adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    ComponentEncoder::default()
        .module(module)?
        .adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, stand_in)?
        .validate(false)
        .encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        match formed(bytes) {
            Ok(_) => panic!("it was taken"),
            Err(Refusal(why)) => why,
        }
    }

    #[test]
    fn a_component_is_taken_as_it_is_and_a_program_is_made_into_one() {
        let component = wat("(component)");
        assert!(matches!(formed(&component).unwrap(), Cow::Borrowed(_)));
        let program = wat(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
        assert!(wasmparser::Parser::is_component(&formed(&program).unwrap()));
    }

    #[test]
    fn what_can_be_no_plugin_is_refused_with_what_would_help() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"#!/bin/sh").contains("not WebAssembly"));
        assert!(refusal(&wat("(component)")[..6]).contains("truncated"));
        let library = wat(r#"(module (func (export "run")))"#);
        assert!(refusal(&library).contains("neither a program"), "{}", refusal(&library));
    }

    #[test]
    fn proposals_that_this_version_does_not_need_are_off() {
        for (text, word) in [
            ("(component (core module (memory i64 1)))", "memory64"),
            ("(component (core module (memory 1 2 shared)))", "threads"),
            ("(component (core module (tag)))", "exceptions"),
            ("(component (core module (type (struct))))", "gc"),
            ("(component (core module (type (func)) (type (cont 0))))", "stack switching"),
            (r#"(component (type (func async)))"#, "async"),
        ] {
            let why = refusal(&wat(text));
            assert!(why.contains("does not allow") && why.contains(word), "{text}: {why}");
        }
    }

    #[test]
    fn a_function_that_would_take_minutes_to_compile_is_refused() {
        let body = "i32.const 1 drop ".repeat(MAX_FUNCTION_BYTES / 3 + 1);
        let module = wat(&format!(r#"(module (func (export "_start") {body}))"#));
        assert!(refusal(&module).contains("a function of"), "{}", refusal(&module));
    }
}
