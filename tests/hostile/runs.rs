//! Guests that are taken and do harm, or try to, when they run.

use super::module::Module;

/// A guest that runs.
pub struct Row {
    /// Its name, and that of its job.
    pub name: &'static str,
    /// What it is.
    pub guest: Guest,
    /// The limits of its job, as TOML.
    pub limits: &'static str,
    /// Other keys of its job, as TOML.
    pub more: &'static str,
    /// How it must end.
    pub outcome: &'static str,
    /// What the message must say.
    pub says: &'static str,
}

/// Where a guest comes from.
pub enum Guest {
    /// Written here.
    Text(Module),
    /// A handler of the guest `behave`.
    Behave(&'static str),
}

const fn text(
    name: &'static str,
    module: Module,
    limits: &'static str,
    outcome: &'static str,
    says: &'static str,
) -> Row {
    Row { name, guest: Guest::Text(module), limits, more: "", outcome, says }
}

const fn behave(
    (name, handler): (&'static str, &'static str),
    limits: &'static str,
    more: &'static str,
    outcome: &'static str,
    says: &'static str,
) -> Row {
    Row { name, guest: Guest::Behave(handler), limits, more, outcome, says }
}

/// Handlers that do what takes more than a line of text.
pub const HANDLERS: &[Row] = &[
    behave(
        ("file-bomb", "take"),
        "files = 50",
        "args = { in = '/data', what = 'files', times = 100000 }
         capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }] }",
        "limit_exceeded",
        "`limits.files` raises it",
    ),
    behave(
        ("open-files", "take"),
        "open_files = 8",
        "args = { in = '/data', what = 'open files', times = 1000 }
         capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }] }",
        "limit_exceeded",
        "`limits.open_files` raises it",
    ),
    behave(
        ("open-streams", "take"),
        "open_streams = 8",
        "args = { in = '/data', what = 'streams', times = 1000 }
         capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }] }",
        "limit_exceeded",
        "`limits.open_streams` raises it",
    ),
    behave(
        ("bytes-of-files", "take"),
        "written = '64KiB'",
        "args = { in = '/data', what = 'bytes', times = 1000000 }
         capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }] }",
        "limit_exceeded",
        "`limits.written` raises it",
    ),
    behave(
        ("a-file-of-a-pebibyte", "take"),
        "",
        "args = { in = '/data', what = 'size', times = 1125899906842624 }
         capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }] }",
        "limit_exceeded",
        "`limits.written` raises it",
    ),
    behave(
        ("poll-of-a-hundred-thousand", "take"),
        "handles = 200000",
        "args = { what = 'pollables', times = 100000 }",
        "limit_exceeded",
        "`limits.resources` raises it",
    ),
    behave(
        ("http-without-leave", "fetch_or_fail"),
        "",
        "args = { url = 'http://example.com/secret?key=1' }",
        "failed",
        "needs `capabilities.http = [\"http://example.com\"]`",
    ),
    behave(
        ("http-to-another-port", "fetch_or_fail"),
        "",
        "args = { url = 'http://127.0.0.1:2/' }
         capabilities = { http = ['http://127.0.0.1:1'] }",
        "failed",
        "needs `capabilities.http = [\"http://127.0.0.1:2\"]`",
    ),
    behave(
        ("lines-without-end", "logs"),
        "timeout = '1s'",
        "args = { lines = 4000000000, bytes = 100 }",
        "timed_out",
        "`limits.timeout` raises it",
    ),
    behave(("panic", "panic"), "", "", "trapped", "unreachable"),
];

const SPIN: &str = "(loop $again (br $again)) (unreachable)";
const CANCELLED: &str = r#"(import "campanile:job/context@0.1.0" "cancelled"
    (func $cancelled (result i32)))"#;
const LOG: &str = r#"(import "wasi:logging/logging@0.1.0-draft" "log"
    (func $log (param i32 i32 i32 i32 i32)))"#;
const WAIT: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration"
    (func $in (param i64) (result i32)))
    (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))"#;
const EXIT: &str = r#"(import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))"#;
const RANDOM: &str = r#"(import "wasi:random/random@0.2.12" "get-random-bytes"
    (func $random (param i64 i32)))"#;
const PROGRESS: &str = r#"(import "campanile:job/context@0.1.0" "progress"
    (func $progress (param i64 i32 i64 i32 i32)))"#;

/// Guests in text.
pub const TEXTS: &[Row] = &[
    text("spin", Module::run(SPIN), "timeout = '1s'", "timed_out", "`limits.timeout` raises it"),
    text("spin-metered", Module::run(SPIN), "fuel = '10M'", "out_of_fuel", "`limits.fuel`"),
    text(
        "spin-past-its-grace",
        Module::run(SPIN),
        "timeout = '500ms', grace = '500ms'",
        "timed_out",
        "within its grace of 500ms",
    ),
    text(
        "ends-within-its-grace",
        Module::run("(loop $again (br_if $again (i32.eqz (call $cancelled)))) (i32.const 64)")
            .importing(CANCELLED),
        "timeout = '500ms', grace = '10s', host_calls = 1000000000",
        "timed_out",
        "it then ended by itself",
    ),
    text(
        "sleep-for-ever",
        Module::run("(call $block (call $in (i64.const 0x7fffffffffffffff))) (i32.const 64)")
            .importing(WAIT),
        "timeout = '1s'",
        "timed_out",
        "`limits.timeout` raises it",
    ),
    text(
        "memory-grow",
        Module::run(
            "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
             (unreachable)",
        ),
        "memory = '16MiB'",
        "out_of_memory",
        "more than its 16MiB of memory; `limits.memory` raises it",
    ),
    text(
        "memory-grow-and-goes-on",
        Module::run(
            "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
             (i32.const 96)",
        ),
        "memory = '16MiB'",
        "out_of_memory",
        "`limits.memory` raises it; then: null",
    ),
    text(
        "many-memories-grow",
        Module::run(
            "(loop $again (br_if $again (i32.or (i32.or
                (i32.ne (memory.grow $a (i32.const 16)) (i32.const -1))
                (i32.ne (memory.grow $b (i32.const 16)) (i32.const -1)))
                (i32.ne (memory.grow $c (i32.const 16)) (i32.const -1)))))
             (unreachable)",
        )
        .with("(memory $a 1) (memory $b 1) (memory $c 1)"),
        "memory = '16MiB'",
        "out_of_memory",
        "`limits.memory` raises it",
    ),
    text(
        "memory-too-large-from-the-start",
        Module::run("(i32.const 64)").memory(r#"(memory (export "memory") 2000)"#),
        "memory = '64MiB'",
        "out_of_memory",
        "`limits.memory` raises it",
    ),
    text(
        "table-grow",
        Module::run(
            "(loop $again (br_if $again (i32.ne
                (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
             (unreachable)",
        )
        .with("(table $t 0 funcref)"),
        "table_elements = 50000",
        "limit_exceeded",
        "`limits.table_elements` raises it",
    ),
    text(
        "tables-are-memory",
        Module::run(
            "(loop $again (br_if $again (i32.ne
                (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
             (unreachable)",
        )
        .with("(table $t 0 funcref)"),
        "table_elements = 1000000, memory = '4MiB'",
        "out_of_memory",
        "`limits.memory` raises it",
    ),
    text(
        "recursion",
        Module::run("(call $deeper (i32.const 1))").with(
            "(func $deeper (param i32) (result i32)
                (i32.add (call $deeper (local.get 0)) (i32.const 1)))",
        ),
        "",
        "trapped",
        "call stack exhausted",
    ),
    text("unreachable", Module::run("(unreachable)"), "", "trapped", "unreachable"),
    text(
        "division-by-zero",
        Module::run("(i32.div_u (i32.const 1) (i32.const 0))"),
        "",
        "trapped",
        "integer divide by zero",
    ),
    text(
        "out-of-bounds",
        Module::run("(i32.load (i32.const -8))"),
        "",
        "trapped",
        "out of bounds memory access",
    ),
    text(
        "indirect-call-of-another-type",
        Module::run("(call_indirect $t (type $other) (i32.const 0))").with(
            "(type $other (func (result i32))) (func $f) (table $t 1 1 funcref)
             (elem (table $t) (i32.const 0) func $f)",
        ),
        "",
        "trapped",
        "indirect call type mismatch",
    ),
    text(
        "null-call",
        Module::run("(call_indirect $t (result i32) (i32.const 0))").with("(table $t 1 funcref)"),
        "",
        "trapped",
        "uninitialized element",
    ),
    text(
        "trap-while-it-is-given-its-arguments",
        Module::run("(i32.const 64)").realloc("(unreachable)"),
        "",
        "trapped",
        "unreachable",
    ),
    text(
        "memory-for-its-arguments-nowhere",
        Module::run("(i32.const 64)").realloc("(i32.const -4096)"),
        "",
        "trapped",
        "realloc return",
    ),
    text(
        "trap-after-it-has-returned",
        Module::run("(i32.const 64)").with(
            r#"(func (export "cabi_post_campanile:job/guest@0.1.0#run") (param i32)
                (unreachable))"#,
        ),
        "",
        "trapped",
        "unreachable",
    ),
    text("result-nowhere", Module::run("(i32.const -4)"), "", "trapped", "pointer"),
    text(
        "result-of-no-kind",
        Module::run("(i32.store8 (i32.const 64) (i32.const 7)) (i32.const 64)"),
        "",
        "trapped",
        "discriminant",
    ),
    text(
        "result-that-is-no-text",
        Module::run("(i32.store8 (i32.const 56) (i32.const 0xff)) (i32.const 64)"),
        "",
        "trapped",
        "utf-8",
    ),
    text(
        "result-that-is-no-json",
        Module::run("(i32.store8 (i32.const 56) (i32.const 0x78)) (i32.const 64)"),
        "",
        "failed",
        "its result is not JSON",
    ),
    text(
        "large-result",
        Module::run(
            "(drop (memory.grow (i32.const 32)))
             (i32.store (i32.const 68) (i32.const 65536))
             (i32.store (i32.const 72) (i32.const 1000000)) (i32.const 64)",
        ),
        "",
        "limit_exceeded",
        "`limits.result` raises it",
    ),
    text(
        "result-of-nearly-a-gibibyte",
        Module::run(
            "(drop (memory.grow (i32.const 16300)))
             (i32.store (i32.const 72) (i32.const 0x3f000000)) (i32.const 64)",
        ),
        "memory = '1GiB'",
        "limit_exceeded",
        "`limits.call_bytes` raises it",
    ),
    text(
        "hundred-megabytes-in-one-call",
        Module::run(
            "(drop (memory.grow (i32.const 1600)))
             (call $log (i32.const 2) (i32.const 0) (i32.const 0)
                 (i32.const 0) (i32.const 0x6000000)) (i32.const 64)",
        )
        .importing(LOG),
        "memory = '128MiB'",
        "limit_exceeded",
        "`limits.call_bytes` raises it",
    ),
    text(
        "hundred-megabytes-of-progress",
        Module::run(
            "(drop (memory.grow (i32.const 1600)))
             (call $progress (i64.const 1) (i32.const 0) (i64.const 0)
                 (i32.const 0) (i32.const 0x6000000)) (i32.const 64)",
        )
        .importing(PROGRESS),
        "memory = '128MiB'",
        "limit_exceeded",
        "`limits.call_bytes` raises it",
    ),
    text(
        "text-that-is-none",
        Module::run(
            "(i32.store (i32.const 2048) (i32.const -1))
             (call $log (i32.const 2) (i32.const 0) (i32.const 0)
                 (i32.const 2048) (i32.const 4)) (i32.const 64)",
        )
        .importing(LOG),
        "",
        "trapped",
        "utf-8",
    ),
    text(
        "level-of-no-name",
        Module::run(
            "(call $log (i32.const 99) (i32.const 0) (i32.const 0)
                 (i32.const 48) (i32.const 3)) (i32.const 64)",
        )
        .importing(LOG),
        "",
        "trapped",
        "discriminant",
    ),
    text(
        "log-flood",
        Module::run(
            "(loop $again
                (call $log (i32.const 2) (i32.const 0) (i32.const 0)
                    (i32.const 4096) (i32.const 60000))
                (br $again)) (unreachable)",
        )
        .importing(LOG),
        "timeout = '1s'",
        "timed_out",
        "`limits.timeout` raises it",
    ),
    text(
        "host-calls",
        Module::run("(loop $again (br_if $again (i32.eqz (call $cancelled)))) (i32.const 64)")
            .importing(CANCELLED),
        "host_calls = 10000",
        "limit_exceeded",
        "`limits.host_calls` raises it",
    ),
    text(
        "resources",
        Module::run("(loop $again (drop (call $in (i64.const 1000))) (br $again)) (unreachable)")
            .importing(WAIT),
        "resources = 100",
        "limit_exceeded",
        "`limits.resources` raises it",
    ),
    text(
        "handles",
        Module::run("(loop $again (drop (call $in (i64.const 1000))) (br $again)) (unreachable)")
            .importing(WAIT),
        "handles = 100",
        "limit_exceeded",
        "`limits.handles` raises it",
    ),
    text(
        "handle-of-nothing",
        Module::run("(call $block (i32.const 77)) (i32.const 64)").importing(WAIT),
        "",
        "trapped",
        "handle index",
    ),
    text(
        "random",
        Module::run(
            "(loop $again (call $random (i64.const 60000) (i32.const 2048)) 
                (global.set $free (i32.const 4096)) (br $again)) (unreachable)",
        )
        .importing(RANDOM)
        .memory(r#"(memory (export "memory") 4)"#),
        "random = '1MiB'",
        "limit_exceeded",
        "`limits.random` raises it",
    ),
    text(
        "exit",
        Module::run("(call $exit (i32.const 1)) (i32.const 64)").importing(EXIT),
        "",
        "failed",
        "it called `exit` instead of returning",
    ),
];
