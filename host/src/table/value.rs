//! Readers of single values: text, flags, whole numbers, choices, lists.
//!
//! Each takes a JSON value and answers a value or a message that says what would be right. Values
//! with a unit are read by [`unit`](super::unit).

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::problem::nearest;

/// Characters of a wrong value that a message shows at most.
const MAX_SHOWN: usize = 60;

/// Reads text that is not empty.
///
/// # Errors
///
/// A message when it is something else.
pub fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        other => Err(format!("must be text, not {}", shown(other))),
    }
}

/// Reads `true` or `false`.
///
/// # Errors
///
/// A message when it is something else.
pub fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be `true` or `false`, not {}", shown(value)))
}

/// Reads a whole number within `range`.
pub fn whole(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<u64, String> {
    move |value| {
        value.as_u64().filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let bounds = if *most == u64::MAX {
                format!("of at least {least}")
            } else {
                format!("from {least} to {most}")
            };
            format!("must be a whole number {bounds}, not {}", shown(value))
        })
    }
}

/// Reads one of the words of `choices` as the value that it stands for.
pub fn choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Value) -> Result<T, String> {
    move |value| {
        let word = value.as_str().unwrap_or_default();
        if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == word) {
            return Ok(*chosen);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Err(match nearest(word, &names) {
            Some(near) => format!("unknown choice {}; did you mean `{near}`?", shown(value)),
            None => format!("must be {}, not {}", one_of(&names), shown(value)),
        })
    }
}

/// Reads a name of the kind `T`.
///
/// # Errors
///
/// A message that says what such names look like.
pub fn name<T: std::str::FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, String> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// Reads a list.
///
/// # Errors
///
/// A message when it is something else.
pub fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(format!("must be a list, not {}", shown(other))),
    }
}

/// Reads a list of texts, none empty.
///
/// # Errors
///
/// A message when it is no list or an item is no text.
pub fn texts(value: &Value) -> Result<Vec<String>, String> {
    list(value)?.iter().map(|item| text(item).map(str::to_owned)).collect()
}

/// A value as a message shows it: short, in backticks.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => format!("`{}`", short(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

/// "`a`, `b` or `c`".
pub fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The beginning of `text`, with dots when more follows.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_are_neither_texts_nor_flags_nor_fractions() {
        assert_eq!(whole(1..=9)(&json!(9)), Ok(9));
        for (value, shown) in [
            (json!(0), "`0`"),
            (json!(10), "`10`"),
            (json!(-1), "`-1`"),
            (json!(1.5), "`1.5`"),
            (json!(true), "`true`"),
            (json!(null), "`null`"),
            (json!("5"), "`5`"),
            (json!([5]), "a list"),
        ] {
            let message = format!("must be a whole number from 1 to 9, not {shown}");
            assert_eq!(whole(1..=9)(&value), Err(message));
        }
        let message = "must be a whole number of at least 1, not `0`".to_owned();
        assert_eq!(whole(1..=u64::MAX)(&json!(0)), Err(message));
    }

    #[test]
    fn a_wrong_choice_gets_the_nearest_or_all() {
        let read = choice(&[("latest", 1), ("earliest", 2), ("all", 3)]);
        assert_eq!(read(&json!("all")), Ok(3));
        for (value, message) in [
            (json!("lastest"), "unknown choice `lastest`; did you mean `latest`?"),
            (json!("queue"), "must be `latest`, `earliest` or `all`, not `queue`"),
            (json!(7), "must be `latest`, `earliest` or `all`, not `7`"),
        ] {
            assert_eq!(read(&value), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_long_wrong_text_is_cut() {
        assert_eq!(shown(&json!("x".repeat(1_000))), format!("`{}...`", "x".repeat(MAX_SHOWN)));
    }
}
