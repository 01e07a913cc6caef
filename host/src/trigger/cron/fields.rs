//! A cron as APScheduler writes it: eight keys, one expression each, all of which must match.
//!
//! `day_of_week` counts from 0 = Monday, unlike Unix (that is `text`). Rule source: APScheduler 3.11, cron fields.

use super::calendar::{Calendar, DayMatch, Days, Place, Placed};
use super::field::{self, Run, Unit};
use super::mistake;
use super::set::{Values, Years};

/// The keys, most significant first.
pub(in crate::trigger) const KEYS: [&str; 8] =
    ["year", "month", "day", "week", "day_of_week", "hour", "minute", "second"];

/// The places that `day` knows: `2nd tue`, `last fri`.
pub(super) const PLACES: [(&str, Place); 6] = [
    ("1st", Place::Nth(0)),
    ("2nd", Place::Nth(1)),
    ("3rd", Place::Nth(2)),
    ("4th", Place::Nth(3)),
    ("5th", Place::Nth(4)),
    ("last", Place::Last),
];

/// Reads the expressions given for [`KEYS`], in that order, of which at least one is given.
///
/// Keys before the last one given are `*` when left out; those after it take their smallest value,
/// but for `week` and `day_of_week`, which stay `*`.
///
/// # Errors
///
/// Each key that is wrong, with a message.
pub(in crate::trigger) fn parse(
    given: [Option<&str>; 8],
) -> Result<Calendar, Vec<(&'static str, String)>> {
    let mut wrong = Vec::new();
    let last_given = given.iter().rposition(Option::is_some).unwrap_or_default();
    let mut runs = |index: usize, unit: Unit| match given[index] {
        Some(text) => field::parse(text, unit).unwrap_or_else(|message| {
            wrong.push((KEYS[index], message));
            Vec::new()
        }),
        None if index < last_given => vec![Run::all(unit)],
        None => vec![Run::one(unit.min)],
    };
    let years = Years::from_runs(runs(0, field::YEAR));
    let months = Values::from_runs(&runs(1, field::MONTH));
    let weeks = given[3].map(|_| Values::from_runs(&runs(3, field::WEEK)));
    let weekdays = given[4].map(|_| Values::from_runs(&runs(4, field::DAY_OF_WEEK)));
    let hours = Values::from_runs(&runs(5, field::HOUR));
    let minutes = Values::from_runs(&runs(6, field::MINUTE));
    let seconds = Values::from_runs(&runs(7, field::SECOND));
    let days = match given[2] {
        Some(text) => parse_days(text).unwrap_or_else(|message| {
            wrong.push((KEYS[2], message));
            Days::numbered(Values::EMPTY)
        }),
        None if 2 < last_given => Days::numbered(Values::span(1, 31)),
        None => Days::numbered(Values::span(1, 1)),
    };
    let day_match = DayMatch::Both;
    if wrong.is_empty() {
        Ok(Calendar { years, months, days, weeks, weekdays, day_match, hours, minutes, seconds })
    } else {
        Err(wrong)
    }
}

impl Days {
    /// Days by number only.
    pub(super) fn numbered(numbers: Values) -> Self {
        Self { numbers, placed: Vec::new(), last: false }
    }
}

/// Reads a `day`: what every field takes, `last`, `2nd tue` and `last fri`, in any mixture.
fn parse_days(text: &str) -> Result<Days, String> {
    let mut days = Days::numbered(Values::EMPTY);
    for item in field::items(text)? {
        if item.eq_ignore_ascii_case("last") {
            days.last = true;
        } else if let Some(placed) = parse_placed(item)? {
            days.placed.push(placed);
        } else {
            let run = field::parse_item(item, field::DAY)
                .map_err(|message| mistake::not_a_day(item, message))?;
            days.numbers = days.numbers.or(Values::from_runs(&[run]));
        }
    }
    Ok(days)
}

/// Reads `2nd tue`; `None` when the item does not begin with a place and a blank.
fn parse_placed(item: &str) -> Result<Option<Placed>, String> {
    let lower = item.to_ascii_lowercase();
    let Some((place, weekday)) = lower.split_once(char::is_whitespace) else {
        return Ok(None);
    };
    let Some((_, place)) = PLACES.iter().find(|(name, _)| *name == place) else {
        return Ok(None);
    };
    let weekday = weekday.trim();
    match (0..).zip(field::WEEKDAY_NAMES).find(|(_, name)| *name == weekday) {
        Some((weekday, _)) => Ok(Some(Placed { place: *place, weekday })),
        None => Err(mistake::not_a_day(item, String::new())),
    }
}
