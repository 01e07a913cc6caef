//! One line of a crontab: what it is and which parts it has.

use super::Kind;

/// Short words that mean the same as another one.
const SAME_WORDS: [(&str, &str); 3] =
    [("@annually", "@yearly"), ("@midnight", "@daily"), ("@every_minute", "* * * * *")];
/// Short words that a trigger takes as they are.
const WORDS: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Blank.
    Empty,
    /// The text after the `#`.
    Comment(&'a str),
    /// `NAME=value`, without quotes.
    Setting {
        /// The name.
        name: &'a str,
        /// The value.
        value: &'a str,
    },
    /// A command with its time.
    Entry {
        /// The time.
        when: When,
        /// Who runs it.
        user: Option<&'a str>,
        /// What is run.
        command: &'a str,
    },
}

/// When a command runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At these times, as crontab text.
    Cron(String),
    /// At none that a trigger knows, and why.
    Never(String),
}

/// Reads a line. Whether its fields are right shows when the trigger is made.
///
/// # Errors
///
/// What is missing.
pub(super) fn read(line: &str, kind: Kind) -> Result<Line<'_>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Line::Empty);
    }
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(Line::Comment(comment.trim()));
    }
    if let Some((name, value)) = setting(line) {
        return Ok(Line::Setting { name, value });
    }
    let (when, rest) = when(line)?;
    let (user, command) = match kind {
        Kind::User => (None, rest),
        Kind::System => {
            let (user, command) = next_word(rest);
            (Some(user), command)
        }
    };
    if command.is_empty() {
        return Err(match kind {
            Kind::User => "has no command after the time".to_owned(),
            Kind::System => "has no user and command after the time".to_owned(),
        });
    }
    Ok(Line::Entry { when, user, command })
}

/// `NAME = value`; the name may be quoted, and so may the value.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = unquoted(name.trim());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name, unquoted(value.trim())))
}

fn unquoted(text: &str) -> &str {
    let within = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

/// The time at the beginning of a line, and what follows it.
fn when(line: &str) -> Result<(When, &str), String> {
    if line.starts_with('@') {
        let (word, rest) = next_word(line);
        return word_of(&word.to_ascii_lowercase()).map(|when| (when, rest));
    }
    // SUSE: a minus sign before the minutes keeps cron from logging the run.
    let mut rest = line.strip_prefix('-').unwrap_or(line);
    let mut fields = Vec::new();
    for _ in 0..5 {
        let (field, after) = next_word(rest);
        if field.is_empty() {
            return Err(format!(
                "`{line}` has {} of the five fields of a time: minute hour day month weekday",
                fields.len()
            ));
        }
        fields.push(field);
        rest = after;
    }
    if let Some(field) = fields.iter().find(|field| field.contains('~')) {
        let reason = format!("`{field}` is a random value; choose one");
        return Ok((When::Never(reason), rest));
    }
    Ok((When::Cron(fields.join(" ")), rest))
}

fn word_of(word: &str) -> Result<When, String> {
    if word == "@reboot" {
        let reason = "`@reboot` runs when the machine starts, and triggers are about time; use an \
                      interval with `start = \"now\"` if the first start is meant"
            .to_owned();
        return Ok(When::Never(reason));
    }
    let same = SAME_WORDS.iter().find(|(other, _)| *other == word).map(|(_, same)| *same);
    match same.or_else(|| WORDS.into_iter().find(|known| *known == word)) {
        Some(crontab) => Ok(When::Cron(crontab.to_owned())),
        None => Err(format!(
            "unknown word `{word}`; there are {}, `@annually`, `@midnight` and `@reboot`",
            WORDS.map(|word| format!("`{word}`")).join(", ")
        )),
    }
}

/// The first word, and what follows it without blanks before it.
fn next_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Whether a command has a `%` that is not written `\%`.
pub(super) fn has_input(command: &str) -> bool {
    command.replace("\\%", "").contains('%')
}
