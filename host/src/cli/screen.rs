//! What a person or a script sees: results on standard output, everything else on standard error.
//!
//! Colour is for terminals, and not when `NO_COLOR` is set.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::exit::Failure;

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// It went well.
    Good,
    /// Look at it.
    Odd,
    /// It went wrong.
    Bad,
    /// Beside the point.
    Faint,
}

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Results.
    Out,
    /// Everything else.
    Err,
}

/// Writes a line to standard output.
///
/// # Errors
///
/// Nobody reads it, or it can't be written.
pub fn print(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(|error| Failure::writing(&error))
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
///
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(Failure::failed)?;
    print(line)
}

/// Writes a line to standard error. When that is gone there is nobody left to tell.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes why a command failed.
pub fn complain(failure: &Failure) {
    if !failure.message.is_empty() {
        note(format!("{} {}", paint("error:", Tone::Bad, Channel::Err), failure.message));
    }
}

/// A guest's text without what a terminal would obey: control characters are shown, not sent.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The text in the colour of its tone, where there is colour.
pub fn paint(text: &str, tone: Tone, channel: Channel) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => 32,
        Tone::Odd => 33,
        Tone::Bad => 31,
        Tone::Faint => 2,
    };
    if has_colour(channel) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn has_colour(channel: Channel) -> bool {
    let is_terminal = match channel {
        Channel::Out => io::stdout().is_terminal(),
        Channel::Err => io::stderr().is_terminal(),
    };
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(harmless("a\x1b[2Jb\tc\nd\r"), "a\\u{1b}[2Jb\tc\nd\\u{d}");
    }
}
