//! What [`Context`](crate::Context) asks of the host it runs in.
//!
//! Two files with the same functions: `plugin` calls the host through the contract and serves its
//! calls, `local` stands in for the host when a job function runs on the build machine.

#[cfg(target_family = "wasm")]
pub mod http;
#[cfg(not(target_family = "wasm"))]
#[path = "no_http.rs"]
pub mod http;
#[cfg(not(target_family = "wasm"))]
mod local;
#[cfg(target_family = "wasm")]
mod plugin;

#[cfg(not(target_family = "wasm"))]
pub use local::{cancelled, config, log, progress, remaining};
#[cfg(target_family = "wasm")]
pub use plugin::{cancelled, config, log, progress, remaining};
