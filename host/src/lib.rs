//! Campanile: a host that runs jobs as sandboxed WebAssembly components, on time.
//!
//! The modules stand on floors; each names only lower ones, with the few exceptions that
//! `tests/architecture.rs` lists. Deciding (floors 0 to 3) is pure and takes `now`; the rest waits,
//! keeps and runs. The binary `host` is a thin shell over [`cli`].

// Floor 0: an instant in, the next fire time out.
pub mod problem;
pub mod table;
pub mod time;
pub mod trigger;
// Floor 1: values.
pub mod job;
pub mod plugin;
// Floor 2: values.
pub mod record;
pub mod run;
// Floor 3: pure rules.
pub mod config;
pub mod schedule;
// Floor 4: the edges.
pub mod access;
pub mod clock;
pub mod engine;
pub mod lease;
pub mod metrics;
pub mod secrets;
pub mod status;
pub mod store;
// Floor 5: plugins, tenants, and who changed what.
pub mod audit;
pub mod catalog;
pub mod tenants;
// Floor 6: one task each.
pub mod api;
pub mod auditor;
pub mod executor;
pub mod reloader;
pub mod scheduler;
// Floor 7: builds all.
pub mod cli;
pub mod runtime;
pub mod simulate;
