//! A line of a job's log as JSON.

use serde::{Deserialize, Serialize};

use crate::run::{LogLevel, LogLine, LogStream};
use crate::time::Timestamp;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogView {
    /// When it was written.
    pub t: Timestamp,
    /// How important it is.
    pub level: LogLevel,
    /// Which way it came.
    pub stream: LogStream,
    /// What it belongs to; empty for output streams.
    pub context: String,
    /// The text.
    pub message: String,
}

impl LogView {
    /// What is shown of a line.
    pub fn of(line: LogLine) -> Self {
        let LogLine { t, level, stream, context, message } = line;
        Self { t, level, stream, context, message }
    }
}
