//! The program's own log: on standard error, for people on a terminal, else as JSON lines.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts logging what is at least as important as `level`, unless `RUST_LOG` says otherwise.
/// Answers how lines look.
pub fn init(format: Option<LogFormat>, level: &str) -> LogFormat {
    let format = format.unwrap_or(if io::stderr().is_terminal() {
        LogFormat::Human
    } else {
        LogFormat::Json
    });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Human => {
            logger.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => logger.json().flatten_event(true).with_span_list(false).try_init(),
    };
    if let Err(error) = started {
        super::screen::note(format!("the log can't be written: {error}"));
    }
    format
}
