//! Write Campanile jobs in Rust.
//!
//! A job is a function. [`job`] says when it runs, and the function is all that the plugin needs:
//!
//! ```
//! use campanile_sdk::{Context, Result, job};
//!
//! /// Greets whoever reads the log.
//! #[job(every = "15s")]
//! fn run(ctx: &Context) -> Result<String> {
//!     ctx.info("hello");
//!     Ok(format!("hello from {}", ctx.job()))
//! }
//! ```
//!
//! The package is a `cdylib`, built with `cargo build --release --target wasm32-wasip2`; the
//! `.wasm` file goes into the host's plugin folder. One plugin may hold several jobs, each with the
//! attribute. Without WASI, `--target wasm32-unknown-unknown` gives a smaller and faster plugin
//! that can log, read its configuration and use the host's interfaces, but has no files, clocks or
//! environment.
//!
//! Arguments are typed, and errors say whether another attempt may help:
//!
//! ```
//! use campanile_sdk::{Context, Result, ResultExt, job, retryable};
//!
//! #[derive(serde::Deserialize)]
//! struct Args {
//!     path: String,
//! }
//!
//! /// Counts the lines of a file.
//! #[job(cron = "30 2 * * *", timezone = "Europe/Berlin", max_instances = 1, timeout = "10m")]
//! fn count_lines(ctx: &Context, args: Args) -> Result<usize> {
//!     let text = std::fs::read_to_string(&args.path).context("cannot read the file")?;
//!     if text.is_empty() {
//!         return Err(retryable(format!("`{}` is empty so far", args.path)));
//!     }
//!     ctx.progress(1, 1, "read");
//!     Ok(text.lines().count())
//! }
//! ```
//!
//! A job function is still an ordinary function: tests call it on the build machine with a
//! [`Context`] made from an [`Invocation`].
//!
//! What this crate is not for: interfaces that a standard crate covers. Files, clocks and sockets
//! come from `std`; requests are made with [`http`]. The contract as a whole, without comfort, is in [`wit`].

#[cfg(test)]
extern crate self as campanile_sdk;

pub mod http;
pub mod wit;

mod context;
mod error;
mod host;
mod invocation;
mod registry;
mod time;

pub use campanile_sdk_macros::job;
pub use context::{Context, Level};
pub use error::{Error, Result, ResultExt, permanent, retryable};
pub use invocation::{Cause, Invocation};
pub use time::Time;

/// What the expansion of [`job`] names. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::registry::{Job, args, to_json};
    pub use inventory;
}
