//! How a line of a job's log, and the end of a run, look to a person.

use super::exit::Exit;
use super::screen::{Channel, Tone, harmless, paint};
use crate::api::view::log::LogView;
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{LogLevel, LogStream};
use crate::table::unit::show_fuel;

/// Bytes of one mebibyte.
const MIB: f64 = 1_048_576.0;

/// A line of a log: time, level or stream, context, text.
pub fn log_line(line: &LogView, channel: Channel) -> String {
    let (word, tone) = match (line.stream, line.level) {
        (LogStream::Stdout, _) => ("stdout", Tone::Plain),
        (LogStream::Stderr, _) => ("stderr", Tone::Plain),
        (LogStream::Log, LogLevel::Trace) => ("trace", Tone::Faint),
        (LogStream::Log, LogLevel::Debug) => ("debug", Tone::Faint),
        (LogStream::Log, LogLevel::Info) => ("info", Tone::Good),
        (LogStream::Log, LogLevel::Warn) => ("warn", Tone::Odd),
        (LogStream::Log, LogLevel::Error) => ("error", Tone::Bad),
        (LogStream::Log, LogLevel::Critical) => ("critical", Tone::Bad),
    };
    let time = paint(&line.t.to_string(), Tone::Faint, channel);
    let word = paint(&format!("{word:<6}"), tone, channel);
    let message = harmless(&line.message);
    if line.context.is_empty() {
        format!("{time} {word} {message}")
    } else {
        format!("{time} {word} {}: {message}", harmless(&line.context))
    }
}

/// How a run ended and what it used, in one line.
pub fn ending(outcome: Outcome, error: Option<&RunError>, usage: &Usage) -> String {
    let (name, tone) = outcome_word(outcome);
    let mut line = format!(
        "{} after {} ms: {} ms of processor, {:.1} MiB of memory, {} host call{}",
        paint(name, tone, Channel::Err),
        usage.wall_ms,
        usage.cpu_ms,
        usage.peak_memory_bytes as f64 / MIB,
        usage.host_calls,
        if usage.host_calls == 1 { "" } else { "s" },
    );
    if let Some(fuel) = usage.fuel {
        line.push_str(&format!(", {} of fuel", show_fuel(fuel)));
    }
    if let Some(error) = error {
        line.push_str(&format!("\n{}", harmless(&error.message)));
        if error.retryable {
            line.push_str(" (the job says that another try may help)");
        }
    }
    line
}

/// The word for how a run ended.
pub fn outcome_word(outcome: Outcome) -> (&'static str, Tone) {
    let tone = match outcome {
        Outcome::Succeeded => Tone::Good,
        Outcome::Cancelled | Outcome::Abandoned => Tone::Odd,
        Outcome::Failed
        | Outcome::TimedOut
        | Outcome::OutOfFuel
        | Outcome::OutOfMemory
        | Outcome::Trapped
        | Outcome::LimitExceeded => Tone::Bad,
    };
    (outcome.as_str(), tone)
}

/// The exit code that tells how a run ended.
pub fn exit_of(outcome: Outcome) -> Exit {
    if outcome == Outcome::Succeeded {
        Exit::Done
    } else if outcome.is_limit() {
        Exit::Limit
    } else {
        Exit::Failed
    }
}
