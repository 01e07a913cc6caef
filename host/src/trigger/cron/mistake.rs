//! What is said of an expression that is wrong: what is allowed, and what was probably meant.
//!
//! Decides nothing: who calls it has found the mistake. A hint is given only when it would be read.

use super::field::{self, Run, Unit};
use super::fields::PLACES;
use crate::problem::nearest;

/// What is wrong with one item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake<'a> {
    /// `text`, all of the item or a part of it, is neither a number nor a name.
    NoValue { text: &'a str },
    /// The number `text` is too large or too small.
    OutOfRange { text: &'a str, value: u32 },
    /// A range from a name to a number, or the other way round.
    Mixed { run: Run },
    /// A range that would have to wrap.
    Backwards { base: &'a str, run: Run },
    /// A step that follows names.
    StepAfterNames { run: Run, step: u32 },
    /// A step that is none, or leads out of the range at once.
    WrongStep { run: Run, step: Option<u32> },
}

impl Mistake<'_> {
    /// Says so of `item`.
    pub(super) fn message(self, item: &str, unit: Unit) -> String {
        match self {
            Self::NoValue { text } => no_value(item, text, unit),
            Self::OutOfRange { text, value } => out_of_range(item, text, value, unit),
            Self::Mixed { run } => mixed(item, run, unit),
            Self::Backwards { base, run } => backwards(base, run, unit),
            Self::StepAfterNames { run, step } => step_after_names(item, Run { step, ..run }),
            Self::WrongStep { run, step } => wrong_step(item, step, run),
        }
    }
}

fn no_value(item: &str, text: &str, unit: Unit) -> String {
    if let Some(placed) = item.split_once('#').and_then(|(day, place)| placed(day, place)) {
        return format!("`{item}` is not understood; write `day = \"{placed}\"`");
    }
    let hint = match repaired(item, unit) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let shown = shown(item, text);
    match names(text, unit) {
        Some((what, near)) if hint.is_empty() => format!("{shown} is not {what} here; use {near}"),
        Some(_) | None => format!("{shown} is not understood; {}{hint}", allowed(unit)),
    }
}

fn out_of_range(item: &str, text: &str, value: u32, unit: Unit) -> String {
    let shown = shown(item, text);
    if let Some((what, near)) = names(text, unit) {
        return format!("{shown} is not {what} here; use {near}");
    }
    let hint = match value {
        _ if unit.min == 0 && value == unit.max + 1 => "; did you mean `0`?".to_owned(),
        0 => format!("; did you mean `{}`?", unit.min),
        _ => String::new(),
    };
    format!("{shown} is out of range; {}{hint}", allowed(unit))
}

fn shown(item: &str, text: &str) -> String {
    match text.is_empty() || item.eq_ignore_ascii_case(text) {
        true => format!("`{item}`"),
        false => format!("`{text}` in `{item}`"),
    }
}

/// What the values of a unit with names are, and how the nearest to `text` is written.
fn names(text: &str, unit: Unit) -> Option<(&'static str, String)> {
    let (first, last) = (unit.names.first()?, unit.names.last()?);
    let (what, named) = match unit == field::MONTH {
        true => ("a month", "January"),
        false => ("a weekday", "Monday"),
    };
    let near = match near_name(text, unit) {
        Some(near) => format!("`{near}`"),
        None if text == "0" => format!("`{first}`"),
        None => format!("`{first}` to `{last}`"),
    };
    let (min, max) = (unit.min, unit.max);
    Some((what, format!("{near}, or {min} to {max} with {min} = {named}")))
}

/// The values of `unit` in words.
pub(super) fn allowed(unit: Unit) -> String {
    format!("`{}` takes {} to {}, lists, ranges and steps", unit.name, unit.min, unit.max)
}

/// A list has an item with nothing in it.
pub(super) fn empty_item(list: &str) -> String {
    let items: Vec<&str> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    match items.as_slice() {
        [] => format!("the list `{list}` is empty; write `*` for every value"),
        items => {
            format!("the list `{list}` has an empty item; did you mean `{}`?", items.join(","))
        }
    }
}

fn mixed(item: &str, run: Run, unit: Unit) -> String {
    let Run { first, last, .. } = run;
    let name = |value: u32| unit.names.get((value - unit.min) as usize).copied().unwrap_or("");
    let (named, numbered) = (format!("{}-{}", name(first), name(last)), format!("{first}-{last}"));
    format!("`{item}` mixes a name and a number; write `{named}` or `{numbered}`")
}

fn backwards(range: &str, run: Run, unit: Unit) -> String {
    let Run { first, last, .. } = run;
    let named = range.starts_with(|first: char| first.is_ascii_alphabetic());
    let show = |value: u32| match unit.names.get((value - unit.min) as usize) {
        Some(name) if named => (*name).to_owned(),
        _ => value.to_string(),
    };
    let part = |first: u32, last: u32| match first == last {
        true => show(first),
        false => format!("{}-{}", show(first), show(last)),
    };
    let parts = format!("{},{}", part(first, unit.max), part(unit.min, last));
    format!("`{range}` runs backwards; write two ranges: `{parts}`")
}

fn step_after_names(item: &str, run: Run) -> String {
    let Run { first, last, step } = run;
    let numbers = match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}/{step}"),
    };
    format!("`{item}`: a step cannot follow names; write numbers: `{numbers}`")
}

fn wrong_step(item: &str, step: Option<u32>, run: Run) -> String {
    let Run { first, last, .. } = run;
    let span = last - first;
    if span == 0 {
        return format!("`{item}`: a range of one value takes no step; write `{first}`");
    }
    let hint = match step {
        Some(0) if item.starts_with('*') => "; for every value write `*`".to_owned(),
        Some(0) => format!("; for every value write `{first}-{last}`"),
        Some(_) => format!("; for the first value alone write `{first}`"),
        None => String::new(),
    };
    format!("`{item}`: the step must be a whole number from 1 to {span}{hint}")
}

/// An item of `day` that `day` does not take.
pub(super) fn not_a_day(item: &str, message: String) -> String {
    let takes = "`day` takes 1 to 31, `last`, or a place as in `2nd tue`";
    let lower = item.to_ascii_lowercase();
    let hint = match lower.as_str() {
        "l" => Some("last".to_owned()),
        lower => near_place(lower).or_else(|| repaired(lower, field::DAY)),
    };
    match hint {
        Some(hint) => format!("`{item}` is not understood; {takes}; did you mean `{hint}`?"),
        None if item.contains(char::is_alphabetic) => {
            format!("`{item}` is not understood; {takes}")
        }
        None => message,
    }
}

/// `last fri` and the like, when `item` is nearly that.
fn near_place(item: &str) -> Option<String> {
    if let Some((day, place)) = item.split_once('#') {
        return placed(day, place);
    }
    let (place, weekday) = match item.split_once(char::is_whitespace) {
        Some((place, weekday)) => (place, weekday.trim()),
        None => ("last", item.strip_prefix("last")?),
    };
    let names = PLACES.map(|(name, _)| name);
    let words = ["first", "second", "third", "fourth", "fifth"];
    let spelt = words.iter().position(|word| *word == place).and_then(|at| names.get(at).copied());
    let place = spelt.or_else(|| names.into_iter().find(|name| *name == place))?;
    match near_name(weekday, field::DAY_OF_WEEK) {
        Some(weekday) => Some(format!("{place} {weekday}")),
        None => (place == "last").then(|| place.to_owned()),
    }
}

/// Quartz's `mon#1` in our words.
fn placed(weekday: &str, place: &str) -> Option<String> {
    let weekday = near_name(weekday, field::DAY_OF_WEEK)?;
    let place = place.parse::<usize>().ok()?.checked_sub(1).filter(|place| *place < 5)?;
    Some(format!("{} {weekday}", PLACES.get(place)?.0))
}

/// The name that `text` begins with or nearly is; 7 is Sunday to many.
fn near_name(text: &str, unit: Unit) -> Option<&'static str> {
    if text == "7" && unit == field::DAY_OF_WEEK {
        return Some("sun");
    }
    if !text.starts_with(char::is_alphabetic) {
        return None;
    }
    let begins = unit.names.iter().find(|name| text.starts_with(**name));
    begins.copied().or_else(|| nearest(text, unit.names))
}

/// `item` with what is too much left out, if it can be read then.
fn repaired(item: &str, unit: Unit) -> Option<String> {
    let without_blanks: String = item.split_whitespace().collect();
    // A unit or a percent sign that clings to a number.
    let bare = without_blanks.trim_end_matches(['h', 'm', 's', 'd', '%']);
    let tries = [
        without_blanks.clone(),
        format!("*{without_blanks}"),
        without_blanks.replacen('*', "*/", 1),
        without_blanks.replace('?', "*"),
        bare.to_owned(),
    ];
    tries.into_iter().find(|text| text != item && field::read_item(text, unit).is_ok())
}

/// The name of the weekday that `text` was most likely meant to be.
pub(super) fn near_weekday(text: &str) -> Option<&'static str> {
    near_name(&text.to_ascii_lowercase(), field::DAY_OF_WEEK)
}

#[cfg(test)]
mod tests {
    use super::super::field::{DAY_OF_WEEK, HOUR, MINUTE, MONTH, parse};

    #[test]
    fn every_hint_can_be_read() {
        for (text, unit) in [
            ("1 - 5", MINUTE),
            ("* /5", MINUTE),
            ("/5", MINUTE),
            ("*5", MINUTE),
            ("5h", HOUR),
            ("24", HOUR),
            ("22-2", HOUR),
            ("?", HOUR),
            ("1,,2", HOUR),
            ("sun-mon", DAY_OF_WEEK),
            ("tue-4", DAY_OF_WEEK),
            ("mon-fri/2", DAY_OF_WEEK),
            ("nov-feb", MONTH),
            ("0", MONTH),
        ] {
            let message = parse(text, unit).unwrap_err();
            let hints = message.split('`').skip(2).filter(|hint| parse(hint, unit).is_ok());
            assert!(0 < hints.count(), "{text}: {message}");
        }
    }
}
