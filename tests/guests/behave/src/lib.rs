//! Does one odd thing per handler, for the host's tests to look at from the outside.
//!
//! No handler has a trigger. Where a handler tries something that the host may refuse, its result
//! is `{"ok": ...}` or `{"error": "the refusal"}`, so that a refusal does not end the run.

mod answer;
mod ends;
mod files;
mod host;
mod http;
mod resources;
mod state;
mod world;
