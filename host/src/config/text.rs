//! From TOML text to the values that `table` reads. Knows no keys.

use serde_json::{Number, Value};

use crate::problem::Problem;
use crate::table::Entries;

/// Reads TOML; dates and times become text.
///
/// # Errors
///
/// The first place where the text is not TOML, with its line and column.
pub fn entries(text: &str) -> Result<Entries, Problem> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let message = error.message().trim().replace('\n', ", ");
        match error.span() {
            Some(span) => Problem::new(place(text, span.start), message),
            None => Problem::new("", message),
        }
    })?;
    Ok(json_table(table))
}

fn json_table(table: toml::Table) -> Entries {
    table.into_iter().map(|(key, value)| (key, json(value))).collect()
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::Number(number.into()),
        // JSON has no infinity: as text it is refused wherever a number must stand.
        toml::Value::Float(number) => Number::from_f64(number)
            .map_or_else(|| Value::String(number.to_string()), Value::Number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect()),
        toml::Value::Table(table) => Value::Object(json_table(table)),
    }
}

/// "line 3, column 5" of the byte at `offset`.
fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_kind_and_times_become_text() {
        let text = "a = 1\nb = 1.5\nc = true\nd = 2026-12-01T09:00:00Z\ne = 2026-12-01\nf = inf\n\
                    g = [1, 'x']\n[t]\nx = {y = 1}\n";
        let expected = json!({
            "a": 1, "b": 1.5, "c": true, "d": "2026-12-01T09:00:00Z", "e": "2026-12-01",
            "f": "inf", "g": [1, "x"], "t": {"x": {"y": 1}},
        });
        assert_eq!(Value::Object(entries(text).unwrap()), expected);
    }

    #[test]
    fn what_is_not_toml_is_named_by_line_and_column() {
        for (text, path) in [
            ("a = 1\nb = \n", "line 2, column 5"),
            ("a = 1\na = 2\n", "line 2, column 1"),
            ("[x\n", "line 1, column 3"),
        ] {
            assert_eq!(entries(text).unwrap_err().path, path, "{text:?}");
        }
    }
}
