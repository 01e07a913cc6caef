//! Files that are no plugins: each is refused with the reason, and nothing of it runs.

use super::module::{Module, good};

/// A file that is refused.
pub struct Row {
    /// Its name without `.wasm`.
    pub name: &'static str,
    /// What stands in it.
    pub bytes: Vec<u8>,
    /// What the reason must say.
    pub says: &'static str,
}

const EXIT: &str = r#"(import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))"#;
const SPIN: &str = "(loop $again (br $again)) (unreachable)";

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let row = |name, bytes, says| Row { name, bytes, says };
    let described = |name, module: Module, says| Row { name, bytes: module.bytes(), says };
    let exports: String =
        (0..10_000).map(|number| format!("(export \"e{number}\" (instance $i))")).collect();
    let instances: String = (0..300).map(|_| "(core instance (instantiate $m))").collect();
    let handlers = "(local $at i32)
        (drop (memory.grow (i32.const 2)))
        (i32.store (i32.const 12) (i32.const 1000))
        (i32.store (i32.const 8) (i32.const 2048))
        (loop $again
            (memory.copy (i32.add (i32.const 2048) (local.get $at)) (i32.const 16) (i32.const 28))
            (local.set $at (i32.add (local.get $at) (i32.const 28)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const 28000))))
        (i32.const 8)";
    let whole = good();
    vec![
        row("empty", Vec::new(), "it is empty"),
        row("script", b"#!/bin/sh\nrm -rf /\n".to_vec(), "it is not WebAssembly"),
        row("truncated", whole[..whole.len() / 2].to_vec(), "truncated"),
        row("library", wat("(module (func (export \"run\")))"), "neither a program"),
        row("nothing", wat("(component)"), "it exports nothing"),
        row("shared-memory", wat("(module (memory 1 2 shared))"), "threads"),
        row("large-memory", wat("(module (memory i64 1))"), "memory64"),
        row("exceptions", wat("(module (tag))"), "exceptions"),
        row(
            "ten-thousand-exports",
            wat(&format!("(component (instance $i) {exports})")),
            "instances count exceeds limit",
        ),
        row(
            "ten-thousand-imports",
            wat(&format!(
                "(component {})",
                (0..10_000).map(|n| format!("(import \"i{n}\" (func))")).collect::<String>()
            )),
            "it is of another world",
        ),
        row(
            "instance-bomb",
            wat(&format!("(component (core module $m) {instances})")),
            "it does not compile",
        ),
        row(
            "large-function",
            wat(&format!(
                "(module (func (export \"_start\") {}))",
                "i32.const 1 drop ".repeat(1 << 20)
            )),
            "a function of",
        ),
        row("two-hundred-megabytes", vec![0; 200 << 20], "larger than 64 MiB"),
        described("spin-in-describe", Module::describe(SPIN), "took longer than 5s"),
        described(
            "spin-at-the-start",
            Module::run("(i32.const 64)")
                .with("(func $spin (loop $again (br $again))) (start $spin)"),
            "took longer than 5s",
        ),
        described("trap-in-describe", Module::describe("(unreachable)"), "trapped"),
        described(
            "trap-at-the-start",
            Module::run("(i32.const 64)").with("(func $trap (unreachable)) (start $trap)"),
            "trapped",
        ),
        described(
            "data-out-of-bounds",
            Module::run("(i32.const 64)").with("(data (i32.const 65535) \"too long\")"),
            "out of bounds",
        ),
        described(
            "exit-in-describe",
            Module::describe("(call $exit (i32.const 0)) (i32.const 8)").importing(EXIT),
            "called `exit`",
        ),
        described(
            "thousand-handlers",
            Module::describe(handlers),
            "1000 handlers; 256 are allowed",
        ),
        described(
            "handlers-without-end",
            Module::describe("(i32.store (i32.const 12) (i32.const -1)) (i32.const 8)"),
            "can't list its handlers",
        ),
        described(
            "long-description",
            Module::describe(
                "(drop (memory.grow (i32.const 4))) (i32.store (i32.const 24) (i32.const 2048))
                 (i32.store (i32.const 28) (i32.const 100000)) (i32.const 8)",
            ),
            "longer than",
        ),
        described(
            "no-handlers",
            Module::describe("(i32.store (i32.const 12) (i32.const 0)) (i32.const 8)"),
            "it has no handler",
        ),
    ]
}
