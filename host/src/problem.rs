//! What is wrong with something that a person wrote, and where.
//!
//! Every reader of configuration, job definitions and triggers collects these, so that one
//! message lists all of them at once.

use std::fmt;

/// One thing that is wrong: the key it is under and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Keys from the top, with dots: `jobs.nightly.trigger.hour`. Empty for the whole.
    pub path: String,
    /// Lower-case, names the thing in backticks, says what would be right.
    pub message: String,
}

impl Problem {
    /// A problem with what stands at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// `key` below `path`, with a dot between unless `path` is empty.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// "unknown key `x`; did you mean `y`?" with the nearest of `known`, or all of them.
pub fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; known here: {}", known.join(", ")),
    }
}

/// The name of `known` that `name` was most likely meant to be.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_ascii_lowercase()), *candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_gets_the_nearest_known_one() {
        assert_eq!(
            unknown_key("minut", &["hour", "minute"]),
            "unknown key `minut`; did you mean `minute`?"
        );
        assert_eq!(
            unknown_key("zzz", &["hour", "minute"]),
            "unknown key `zzz`; known here: hour, minute"
        );
    }
}
