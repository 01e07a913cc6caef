//! Which wall times a cron means: its eight fields, or its `crontab`.

use serde_json::Value;

use super::super::cron::calendar::Calendar;
use super::super::cron::{fields, text};
use super::super::keys::{Keys, describe};

/// The wall times, from the eight fields or from `crontab`.
pub(super) fn calendar(keys: &mut Keys<'_>) -> Option<Calendar> {
    let given = fields::KEYS.map(|key| keys.get(key));
    let any_field = given.iter().any(Option::is_some);
    if keys.get("crontab").is_some() {
        if any_field {
            keys.refuse("crontab", "give `crontab` or fields such as `hour`, not both");
        }
        let crontab = keys.text("crontab", "30 2 * * *")?;
        let parsed = text::parse(crontab).and_then(possible);
        return parsed.map_err(|message| keys.refuse("crontab", message)).ok();
    }
    if !any_field {
        keys.refuse("", "a cron needs at least one of its fields, such as `hour`, or `crontab`");
        return None;
    }
    let mut all_are_expressions = true;
    let mut texts: [Option<String>; 8] = Default::default();
    for ((key, value), text) in fields::KEYS.into_iter().zip(given).zip(&mut texts) {
        match value.map(expression) {
            None => (),
            Some(Ok(expression)) => *text = Some(expression),
            Some(Err(message)) => {
                all_are_expressions = false;
                // Stands for the value, so that the other fields are still read.
                *text = Some("*".to_owned());
                keys.refuse(key, message);
            }
        }
    }
    let parsed = fields::parse(texts.each_ref().map(Option::as_deref));
    let calendar = parsed
        .map_err(|wrong| {
            for (key, message) in wrong {
                keys.refuse(key, message);
            }
        })
        .ok()
        .filter(|_| all_are_expressions)?;
    possible(calendar).map_err(|message| keys.refuse("", message)).ok()
}

/// Refuses a calendar without a single day (A12); the window and the present do not count.
///
/// # Errors
///
/// A message that says which fields are at odds.
pub(super) fn possible(calendar: Calendar) -> Result<Calendar, String> {
    if calendar.has_days() {
        return Ok(calendar);
    }
    let [year, month, day, week, weekday, ..] = calendar.texts();
    let given = [("year", year), ("month", month), ("day", day), ("week", week)];
    let shown: Vec<String> = given
        .into_iter()
        .chain([("day_of_week", weekday)])
        .filter(|(_, text)| text != "*")
        .map(|(key, text)| format!("{key} `{text}`"))
        .collect();
    Err(format!("can never fire: no date has {}", shown.join(", ")))
}

/// The expression of one field, which may be written as a whole number.
fn expression(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Value::Number(number) => {
            let near = number.as_f64().map(f64::trunc).unwrap_or_default();
            Err(format!("must be a whole number or text, not {number}; did you mean {near}?"))
        }
        Value::Array(items) if items.iter().all(|item| item.is_string() || item.is_u64()) => {
            let items = items.iter().map(|item| item.to_string().replace('"', ""));
            let list = items.collect::<Vec<_>>().join(",");
            Err(format!("must be a whole number or text, not a list; did you mean \"{list}\"?"))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("must be a whole number or text, not {}", describe(value)))
        }
    }
}
