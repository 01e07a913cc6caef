//! How far a long piece of work is, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::record::portable::Counts;

/// The pause between two lines.
const EVERY: Duration = Duration::from_millis(200);

/// A line on standard error that is written over; nothing where that is no terminal.
pub struct Progress {
    verb: &'static str,
    last: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Of work that has `verb`ed so much.
    pub fn new(verb: &'static str) -> Self {
        Self { verb, last: io::stderr().is_terminal().then(Instant::now), is_shown: false }
    }

    /// Shows how far it is, if a while has passed.
    pub fn tell(&mut self, counts: &Counts) {
        if let Some(last) = self.last.filter(|last| EVERY <= last.elapsed()) {
            self.last = Some(last + last.elapsed());
            self.is_shown = true;
            // Who looks away misses nothing.
            let _ = write!(io::stderr().lock(), "\r\x1b[K{} {counts} ...", self.verb);
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
