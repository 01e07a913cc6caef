//! A cron as Unix writes it: `30 2 * * mon-fri`.
//!
//! Sunday is 0 or 7 and either of day and weekday may match when both are restricted, unlike in
//! `fields`. The `cron` crate reads the values. It counts weekdays from Sunday = 1, knows years
//! only to 2100, lets no range wrap and sees no boundary between `5*` and `5 *`, so weekdays,
//! names and the year are read here and it always gets seven fields.

use std::borrow::Cow;
use std::str::FromStr;

use cron::{Schedule, TimeUnitSpec};

use super::calendar::{Calendar, DayMatch, Days};
use super::field::{self, MONTH_NAMES, Run, Unit, WEEKDAY_NAMES};
use super::mistake;
use super::set::{Values, Years};
use crate::problem::nearest;

/// A longer text is refused unread.
const MAX_LENGTH: usize = 2_000;

/// What the fields are called, seconds first.
const NAMES: [&str; 6] = ["second", "minute", "hour", "day", "month", "weekday"];

/// What the fields before the weekday take.
const UNITS: [Unit; 5] = [field::SECOND, field::MINUTE, field::HOUR, field::DAY, field::MONTH];

/// The short words and what they stand for.
const WORDS: [(&str, &str); 5] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];

/// Reads 5 fields (minute hour day month weekday), 6 (seconds first), 7 (year last) or a word such
/// as `@daily`. Rule source: A2.
///
/// # Errors
///
/// A message that names the field and the item that is wrong.
pub(in crate::trigger) fn parse(text: &str) -> Result<Calendar, String> {
    let text = expand_word(text.trim())?;
    if MAX_LENGTH < text.len() {
        return Err(format!("a cron text has at most {MAX_LENGTH} characters"));
    }
    let written: Vec<&str> = text.split_whitespace().collect();
    let (six, year) = match written[..] {
        [minute, hour, day, month, weekday] => (["0", minute, hour, day, month, weekday], "*"),
        [second, minute, hour, day, month, weekday] => {
            ([second, minute, hour, day, month, weekday], "*")
        }
        [second, minute, hour, day, month, weekday, year] => {
            ([second, minute, hour, day, month, weekday], year)
        }
        _ => return Err(wrong_length(text, written.len())),
    };
    for (name, text) in NAMES.iter().zip(six) {
        check_characters(text).map_err(|message| format!("{name}: {message}"))?;
    }
    let month = name_ranges(six[4], &MONTH_NAMES).map_err(|message| format!("month: {message}"))?;
    let weekday = weekdays(six[5]).map_err(|message| format!("weekday: {message}"))?;
    let [second, minute, hour, day, ..] = six;
    let schedule = read([second, minute, hour, day, &month, &weekday])?;
    let years = field::parse(year, field::YEAR).map_err(|message| format!("year: {message}"))?;

    // A field that begins with `*` does not restrict, whatever follows.
    let day_match = match six[3].starts_with('*') || six[5].starts_with('*') {
        true => DayMatch::Both,
        false => DayMatch::Either,
    };
    let weekdays = values(schedule.days_of_week());
    Ok(Calendar {
        years: Years::from_runs(years),
        months: values(schedule.months()),
        days: Days::numbered(values(schedule.days_of_month())),
        weeks: None,
        // The crate's 1 is Sunday, our 0 is Monday.
        weekdays: (weekdays != Values::span(1, 7))
            .then(|| weekdays.iter().fold(Values::EMPTY, |days, day| days.with((day + 5) % 7))),
        day_match,
        hours: values(schedule.hours()),
        minutes: values(schedule.minutes()),
        seconds: values(schedule.seconds()),
    })
}

/// What is said of a text that has another number of fields.
fn wrong_length(text: &str, fields: usize) -> String {
    let names = WORDS.map(|(name, _)| name);
    let near = if fields == 1 { nearest(&format!("@{text}"), &names) } else { None };
    match near {
        Some(near) => format!("`{text}` is not a cron; did you mean `{near}`?"),
        None => format!(
            "`{text}` has {fields} field{}; a cron text has 5 (minute hour day month weekday), 6 \
             (seconds first) or 7 (year last)",
            if fields == 1 { "" } else { "s" }
        ),
    }
}

/// `text` itself, or what the word stands for.
fn expand_word(text: &str) -> Result<&str, String> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let names = WORDS.map(|(name, _)| name);
    match WORDS.iter().find(|(name, _)| *name == text) {
        Some((_, fields)) => Ok(fields),
        None => Err(match nearest(text, &names) {
            Some(near) => format!("unknown word `{text}`; did you mean `{near}`?"),
            None => format!("unknown word `{text}`; known are {}", names.join(", ")),
        }),
    }
}

/// Refuses what Unix does not know, and list items that the crate would join with a neighbour.
fn check_characters(text: &str) -> Result<(), String> {
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"*,-/".contains(*c)) {
        let hint = match odd {
            '?' => "; write `*`",
            '#' => "; fields can say it, as in `day = \"2nd mon\"`",
            _ => "",
        };
        return Err(format!("`{text}` is not understood: `{odd}` has no meaning here{hint}"));
    }
    let half =
        |item: &str| item.is_empty() || item.starts_with(['-', '/']) || item.ends_with(['-', '/']);
    match text.split(',').find(|item| half(item)) {
        Some("") => Err(mistake::empty_item(text)),
        Some(item) => Err(format!(
            "`{item}` is not understood; something is missing on one side of `-` or `/`"
        )),
        None => Ok(()),
    }
}

/// The weekdays as a list of names, since the crate's numbers are not Unix's.
fn weekdays(text: &str) -> Result<String, String> {
    let text = name_ranges(text, &WEEKDAY_NAMES)?;
    let mut items = Vec::new();
    for item in text.split(',') {
        let starts_with_digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
        let ends = item.split_once('-');
        if ends.is_some_and(|(first, last)| starts_with_digit(first) != starts_with_digit(last)) {
            return Err(format!("`{item}` mixes a name and a number; write `mon-fri` or `1-5`"));
        }
        if starts_with_digit(item) {
            let days = numbered_weekdays(item)?;
            items.extend(days.values().map(|day| WEEKDAY_NAMES[(day as usize + 6) % 7]));
        } else {
            items.push(item);
        }
    }
    Ok(items.join(","))
}

/// Reads `1`, `1-5`, `1-5/2` or `1/2`, where 0 and 7 are Sunday.
fn numbered_weekdays(item: &str) -> Result<Run, String> {
    let bad = || format!("`{item}` is not understood; weekdays are 0 (Sunday) to 7 (Sunday again)");
    let number = |text: &str| text.parse().ok().filter(|number: &u32| *number <= 7).ok_or_else(bad);
    let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
    let (first, last) = match base.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        // Sunday is not met twice: `0/2` ends with Saturday.
        None if step.is_some() => (number(base)?, number(base)?.max(6)),
        None => (number(base)?, number(base)?),
    };
    if last < first {
        let name = |day: u32| WEEKDAY_NAMES[(day as usize + 6) % 7];
        return Err(format!(
            "`{item}` runs backwards; ranges wrap when written in names: `{}-{}`",
            name(first),
            name(last)
        ));
    }
    let step = step.map_or(Ok(1), number)?;
    if step == 0 {
        return Err(format!(
            "`{item}`: the step must be at least 1; without it `{base}` is enough"
        ));
    }
    Ok(Run { first, last, step })
}

/// `text` with each range of names written out, so that it may wrap.
fn name_ranges<'a>(text: &'a str, names: &[&'static str]) -> Result<Cow<'a, str>, String> {
    if !text.contains('-') {
        return Ok(Cow::Borrowed(text));
    }
    let position = |text: &str| names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let mut items = Vec::new();
    for item in text.split(',') {
        let (base, step) = item.split_once('/').unwrap_or((item, "1"));
        let ends = base.split_once('-').map(|(first, last)| (position(first), position(last)));
        let Some((Some(first), Some(last))) = ends else {
            items.push(item);
            continue;
        };
        let step = step.parse().ok().filter(|step| (1..=names.len()).contains(step));
        let Some(step) = step else {
            return Err(format!("`{item}`: the step must be from 1 to {}", names.len()));
        };
        let length = (last + names.len() - first) % names.len();
        items.extend((0..=length).step_by(step).map(|at| names[(first + at) % names.len()]));
    }
    Ok(Cow::Owned(items.join(",")))
}

/// Lets the crate read the six fields; on failure finds the one that is to blame.
fn read(six: [&str; 6]) -> Result<Schedule, String> {
    let whole = |six: [&str; 6]| Schedule::from_str(&format!("{} *", six.join(" ")));
    whole(six).map_err(|_| {
        let to_blame = (0..6).find(|at| {
            let mut alone = ["*"; 6];
            alone[*at] = six[*at];
            whole(alone).is_err()
        });
        match to_blame {
            Some(at) => format!("{}: {}", NAMES[at], explain(at, six[at])),
            None => format!("`{}` is not understood", six.join(" ")),
        }
    })
}

/// What is wrong with `text` in the field at this place.
fn explain(at: usize, text: &str) -> String {
    if let Some(unit) = UNITS.get(at) {
        // The fields of APScheduler read the same, but for names that wrap and weekdays.
        if let Err(message) = field::parse(text, *unit) {
            let quartz = at == 3 && text.contains(['L', 'W', 'l', 'w']);
            let hint = if quartz { "; fields can say it, as in `day = \"last\"`" } else { "" };
            return message + hint;
        }
        return format!("`{text}` is not understood");
    }
    let hint = match mistake::near_weekday(text) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if text.contains(['L', 'l']) => {
            "; fields can say it, as in `day = \"last fri\"`".to_owned()
        }
        None => String::new(),
    };
    format!(
        "`{text}` is not understood; `weekday` takes 0 (Sunday) to 7 (Sunday again) or `sun` to \
         `sat`, lists, ranges and steps{hint}"
    )
}

fn values(unit: &impl TimeUnitSpec) -> Values {
    unit.iter().fold(Values::EMPTY, Values::with)
}
