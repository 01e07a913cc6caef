//! Hostile guests in WebAssembly text: core modules of our world, with one odd thing in each.

use wit_component::StringEncoding;
use wit_parser::Resolve;

use crate::support::guests;

/// A core module that exports `campanile:job/guest`, with its oddity put in.
pub struct Module {
    /// Imports: they come first.
    imports: &'static str,
    /// Its memory.
    memory: &'static str,
    /// Globals, tables, types, functions, what is called at the start.
    parts: &'static str,
    /// The body of `describe`; answers where the list of handlers stands.
    describe: &'static str,
    /// The body of `run`; `$arguments` is where the invocation stands.
    run: &'static str,
    /// The body of `cabi_realloc`.
    realloc: &'static str,
}

/// What does nothing wrong. At 8 stands the list of handlers (one, at 16: `run`), at 64 a result of
/// `null`, at 96 one of an error; from 1,024 on memory is handed out.
const GOOD: Module = Module {
    imports: "",
    memory: r#"(memory (export "memory") 1)"#,
    parts: "",
    describe: "(i32.const 8)",
    run: "(i32.const 64)",
    realloc: "(local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $free) (i32.sub (local.get 2) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get 2))))
        (global.set $free (i32.add (local.get $at) (local.get 3)))
        (local.get $at)",
};

impl Module {
    /// One that does this when it is run.
    pub const fn run(run: &'static str) -> Self {
        Self { run, ..GOOD }
    }

    /// One that does this when it is asked for its handlers.
    pub const fn describe(describe: &'static str) -> Self {
        Self { describe, ..GOOD }
    }

    /// The same with more in it.
    pub const fn with(self, parts: &'static str) -> Self {
        Self { parts, ..self }
    }

    /// The same with imports.
    pub const fn importing(self, imports: &'static str) -> Self {
        Self { imports, ..self }
    }

    /// The same with another memory.
    pub const fn memory(self, memory: &'static str) -> Self {
        Self { memory, ..self }
    }

    /// The same with another way to hand out memory.
    pub const fn realloc(self, realloc: &'static str) -> Self {
        Self { realloc, ..self }
    }

    /// The module's text.
    pub fn text(&self) -> String {
        let Self { imports, memory, parts, describe, run, realloc } = self;
        format!(
            r#"(module
    {imports}
    {memory}
    (global $free (mut i32) (i32.const 1024))
    (data (i32.const 8) "\10\00\00\00\01\00\00\00")
    (data (i32.const 16) "\30\00\00\00\03\00\00\00")
    (data (i32.const 48) "run")
    (data (i32.const 56) "null")
    (data (i32.const 64) "\00\00\00\00\38\00\00\00\04\00\00\00")
    (data (i32.const 96) "\01\00\00\00\01\00\00\00\38\00\00\00\04\00\00\00")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
    (func (export "campanile:job/guest@0.1.0#describe") (result i32) {describe})
    (func (export "campanile:job/guest@0.1.0#run") (param $arguments i32) (result i32) {run})
    {parts})"#
        )
    }

    /// The module with our world in its custom section, as compilers of core modules leave it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = wat::parse_str(self.text()).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(guests::root().join("wit/0.1")).unwrap();
        let world = resolve.select_world(&[package], Some("job")).unwrap();
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)
            .unwrap();
        bytes
    }
}

/// What does nothing wrong.
pub fn good() -> Vec<u8> {
    GOOD.bytes()
}
