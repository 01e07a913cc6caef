//! No host: unit tests of job functions, on the build machine.

use std::io::Write;
use std::time::Duration;

use crate::context::Level;

pub fn log(level: Level, context: &str, message: &str) {
    let separator = if context.is_empty() { "" } else { ": " };
    // A closed standard error is no reason for a job to fail.
    let _ = writeln!(std::io::stderr(), "{level:?} {context}{separator}{message}");
}

pub fn progress(_done: u64, _total: Option<u64>, _message: &str) {}

pub fn remaining() -> Option<Duration> {
    None
}

pub fn cancelled() -> bool {
    false
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as with a host")]
pub fn config(_key: &str) -> Result<Option<String>, String> {
    Ok(None)
}
