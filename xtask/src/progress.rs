//! What a task tells while it works: its steps and their times, on standard error.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[1;32m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Tells how a task comes along.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    started: Instant,
    colour: bool,
}

impl Progress {
    /// The task starts. Colour is for a terminal whose user did not set `NO_COLOR`.
    pub fn start() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { started: Instant::now(), colour: wanted && std::io::stderr().is_terminal() }
    }

    /// Does one named step of the task and says how long it took.
    ///
    /// # Errors
    ///
    /// Those of `work`, with the step's name.
    pub fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        self.line(GREEN, "start", name);
        let done = work().with_context(|| format!("step `{name}`"))?;
        self.line(GREEN, "done", format_args!("{name} in {}", Took(started.elapsed())));
        Ok(done)
    }

    /// Says something on the way.
    pub fn note(&self, text: impl fmt::Display) {
        self.line(BOLD, "note", text);
    }

    /// The last line of a task that went well.
    pub fn finish(&self, text: &str) {
        self.line(GREEN, "ok", format_args!("{text} in {}", Took(self.started.elapsed())));
    }

    /// The last line of a task that did not.
    pub fn error(&self, text: &str) {
        self.line(RED, "error", text);
    }

    /// Prints a result, to standard output.
    ///
    /// # Errors
    ///
    /// Nobody reads it any more.
    pub fn show(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
    }

    fn line(&self, colour: &str, word: &str, text: impl fmt::Display) {
        let (colour, plain) = if self.colour { (colour, PLAIN) } else { ("", "") };
        // Without a standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{colour}{word:>5}{plain} {text}");
    }
}

/// A time that people wait for.
struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_people_need() {
        for (millis, text) in
            [(40, "0.0 s"), (4_260, "4.3 s"), (192_000, "3 min 12 s"), (3_725_000, "1 h 2 min")]
        {
            assert_eq!(Took(Duration::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn an_error_names_its_step() {
        let progress = Progress { started: Instant::now(), colour: false };
        let failed: Result<()> = progress.step("lints", || anyhow::bail!("too long"));
        assert_eq!(format!("{:#}", failed.unwrap_err()), "step `lints`: too long");
    }
}
