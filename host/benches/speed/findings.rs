//! The figures that have an aim, and whether they meet it.

use std::fmt;

/// A ratio of two measurements of one run may be over its aim by this factor before `--check`
/// fails: what noise does to both halves does not cancel out in full.
pub const RATIO_SLACK: f64 = 1.15;
/// A time or a rate may miss its aim by this factor: the aims were set on two idle cores of 2026.
pub const MACHINE_SLACK: f64 = 1.5;
/// What is counted and not timed may not miss it at all.
pub const NO_SLACK: f64 = 1.0;

/// Where a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Aim {
    /// By which factor `value` is on the wrong side; 1 or less: it is not.
    fn missed_by(self, value: f64) -> f64 {
        match self {
            Self::AtMost(most) => value / most,
            Self::AtLeast(least) => least / value,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {}", Number(*most)),
            Self::AtLeast(least) => write!(f, "at least {}", Number(*least)),
        }
    }
}

/// What all sections found.
#[derive(Debug, Default)]
pub struct Findings {
    aims: usize,
    /// Those beyond their aim; whether also beyond the slack.
    missed: Vec<(String, bool)>,
}

impl Findings {
    /// Prints a figure that nothing is asked of, a baseline for example.
    pub fn figure(&self, what: &str, value: f64, unit: &str) {
        println!("  {what:<58} {:>10} {unit}", Number(value).to_string());
    }

    /// Prints a figure with its aim. `--check` fails when it misses the aim by more than `slack`.
    pub fn aim(&mut self, what: &str, value: f64, unit: &str, aim: Aim, slack: f64) {
        let missed_by = aim.missed_by(value);
        let is_met = missed_by <= 1.0;
        let word = if is_met { "" } else { "  MISSED" };
        println!("  {what:<58} {:>10} {unit:<9} aim: {aim}{word}", Number(value).to_string());
        self.aims += 1;
        if !is_met {
            let line = format!("{what}: {} {unit}, aim {aim}", Number(value));
            self.missed.push((line, slack < missed_by));
        }
    }

    /// Prints a remark.
    pub fn note(&self, text: &str) {
        println!("  {text}");
    }

    /// Whether a figure misses its aim by more than its slack.
    pub fn is_failure(&self) -> bool {
        self.missed.iter().any(|(_, is_failure)| *is_failure)
    }

    /// Which aims were missed.
    pub fn summary(&self) -> String {
        let mut text = format!("{} of {} aims met", self.aims - self.missed.len(), self.aims);
        for (line, is_failure) in &self.missed {
            let word = if *is_failure { "missed" } else { "missed, within the slack" };
            text.push_str(&format!("\n  {word}: {line}"));
        }
        text
    }
}

/// A number with as many digits as tell something.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.abs() < 10.0 {
            write!(f, "{value:.2}")
        } else if value.abs() < 1_000.0 {
            write!(f, "{value:.1}")
        } else {
            write!(f, "{value:.0}")
        }
    }
}
