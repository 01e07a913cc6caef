//! What guests may call: one file for each interface, as `Host` implementations on [`Guest`].
//!
//! Every function with an effect begins with [`Guest::gate`]; what wasmtime-wasi serves is then left
//! to it. Here: the interfaces that every run may use, its context and its log.

mod config;
mod jobs;
pub(super) mod keyvalue;

mod filesystem;
mod poll;
pub(super) mod random;
mod stdio;
mod streams;

pub(super) mod http;
pub(super) mod lookup;
mod sockets;
mod tcp;

use std::time::Instant;

use super::bindings::campanile::job::context;
use super::bindings::wasi::logging::logging;
use super::guest::Guest;
use crate::run::usage::Effect;
use crate::run::{LogLevel, Progress};

/// A progress message is cut at this length.
const MAX_PROGRESS_BYTES: usize = 1_024;

impl context::Host for Guest {
    fn progress(
        &mut self,
        done: u64,
        total: Option<u64>,
        mut message: String,
    ) -> wasmtime::Result<()> {
        self.gate(Effect::Context)?;
        self.secrets.redactor().clean(&mut message);
        if message.len() > MAX_PROGRESS_BYTES {
            message.truncate(message.floor_char_boundary(MAX_PROGRESS_BYTES));
            message.shrink_to_fit();
        }
        self.control.set_progress(Progress { done, total, message });
        Ok(())
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<Option<u64>> {
        self.gate(Effect::Context)?;
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Ok(left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        self.gate(Effect::Context)?;
        Ok(self.control.should_end())
    }
}

impl logging::Host for Guest {
    fn log(
        &mut self,
        level: logging::Level,
        context: String,
        message: String,
    ) -> wasmtime::Result<()> {
        self.gate(Effect::Log)?;
        let level = match level {
            logging::Level::Trace => LogLevel::Trace,
            logging::Level::Debug => LogLevel::Debug,
            logging::Level::Info => LogLevel::Info,
            logging::Level::Warn => LogLevel::Warn,
            logging::Level::Error => LogLevel::Error,
            logging::Level::Critical => LogLevel::Critical,
        };
        self.control.log().write(level, context, message);
        Ok(())
    }
}
