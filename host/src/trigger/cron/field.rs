//! One cron expression: `*/15`, `mon-fri`, `1,5-9/2`.
//!
//! APScheduler's grammar, without what it accepts by accident: the whole text must be understood.
//! What stands where (`day`'s `last fri`, the defaults) is `fields`'.

use super::mistake::{self, Mistake};

/// A longer expression is refused unread.
const MAX_LENGTH: usize = 1_000;

/// A field of the calendar: what it is called and which values it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Unit {
    /// The key, as APScheduler names it.
    pub(super) name: &'static str,
    /// The smallest value.
    pub(super) min: u32,
    /// The largest value.
    pub(super) max: u32,
    /// Three-letter names of the values from `min` on; empty when there are none.
    pub(super) names: &'static [&'static str],
}

/// January to December.
pub(super) const MONTH_NAMES: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Monday to Sunday.
pub(super) const WEEKDAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `year`: 1970 to 9999.
pub(super) const YEAR: Unit = Unit { name: "year", min: 1970, max: 9999, names: &[] };
/// `month`: 1 to 12 or `jan` to `dec`.
pub(super) const MONTH: Unit = Unit { name: "month", min: 1, max: 12, names: &MONTH_NAMES };
/// `day`: 1 to 31.
pub(super) const DAY: Unit = Unit { name: "day", min: 1, max: 31, names: &[] };
/// `week`: ISO week 1 to 53.
pub(super) const WEEK: Unit = Unit { name: "week", min: 1, max: 53, names: &[] };
/// `day_of_week`: 0 (Monday) to 6, or `mon` to `sun`.
pub(super) const DAY_OF_WEEK: Unit =
    Unit { name: "day_of_week", min: 0, max: 6, names: &WEEKDAY_NAMES };
/// `hour`: 0 to 23.
pub(super) const HOUR: Unit = Unit { name: "hour", min: 0, max: 23, names: &[] };
/// `minute`: 0 to 59.
pub(super) const MINUTE: Unit = Unit { name: "minute", min: 0, max: 59, names: &[] };
/// `second`: 0 to 59.
pub(super) const SECOND: Unit = Unit { name: "second", min: 0, max: 59, names: &[] };

/// Every `step`-th number from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    /// At least 1.
    pub(super) step: u32,
}

impl Run {
    /// Every value of `unit`.
    pub(super) const fn all(unit: Unit) -> Self {
        Self { first: unit.min, last: unit.max, step: 1 }
    }

    /// One value.
    pub(super) const fn one(value: u32) -> Self {
        Self { first: value, last: value, step: 1 }
    }

    /// All members, smallest first.
    pub(super) fn values(&self) -> impl Iterator<Item = u32> {
        (self.first..=self.last).step_by(self.step as usize)
    }

    /// The smallest member that is `from` or more.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        let distance = from.saturating_sub(self.first);
        let value = self.first + distance.div_ceil(self.step) * self.step;
        (value <= self.last).then_some(value)
    }

    /// The largest member that is `to` or less.
    pub(super) fn prev(&self, to: u32) -> Option<u32> {
        let distance = to.min(self.last).checked_sub(self.first)?;
        Some(self.first + distance / self.step * self.step)
    }
}

/// The items of a list: trimmed, none of them empty.
///
/// # Errors
///
/// A message when an item is empty or the text is too long.
pub(super) fn items(text: &str) -> Result<Vec<&str>, String> {
    if MAX_LENGTH < text.len() {
        return Err(format!("is too long; an expression has at most {MAX_LENGTH} characters"));
    }
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    if items.iter().any(|item| item.is_empty()) {
        return Err(match text.trim() {
            "" => "is empty; leave it out, or write `*` for every value".to_owned(),
            list => mistake::empty_item(list),
        });
    }
    Ok(items)
}

/// Reads a whole expression without the special forms of `day`.
///
/// # Errors
///
/// A message that names the item and says what `unit` allows.
pub(super) fn parse(text: &str, unit: Unit) -> Result<Vec<Run>, String> {
    items(text)?.iter().map(|item| parse_item(item, unit)).collect()
}

/// Reads one item of a list: `*`, `*/s`, `a`, `a-b`, `a-b/s`, `a/s` or names.
///
/// # Errors
///
/// A message that names the item and says what `unit` allows.
pub(super) fn parse_item(item: &str, unit: Unit) -> Result<Run, String> {
    read_item(&item.to_ascii_lowercase(), unit).map_err(|mistake| mistake.message(item, unit))
}

/// What [`parse_item`] does of an item in lower case, without the words for what is wrong.
pub(super) fn read_item<'a>(item: &'a str, unit: Unit) -> Result<Run, Mistake<'a>> {
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (item, None),
    };
    let mut run = match base.split_once('-') {
        _ if base == "*" => Run::all(unit),
        Some((first, last)) if !first.is_empty() => {
            range(base, value(first, unit)?, value(last, unit)?)?
        }
        _ => Run::one(value(base, unit)?.number()),
    };
    if let Some(step) = step {
        if base.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Err(Mistake::StepAfterNames { run, step: step.parse().unwrap_or(1) });
        }
        if !base.contains('-') {
            run.last = unit.max;
        }
        run.step = parse_step(step, run)?;
    }
    Ok(run)
}

/// A value and whether it was written as a name.
#[derive(Clone, Copy)]
enum Value {
    Named(u32),
    Number(u32),
}

impl Value {
    fn number(self) -> u32 {
        match self {
            Self::Named(value) | Self::Number(value) => value,
        }
    }
}

fn value(text: &str, unit: Unit) -> Result<Value, Mistake<'_>> {
    if let Some(position) = (unit.min..).zip(unit.names).find(|(_, name)| **name == text) {
        return Ok(Value::Named(position.0));
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(value) if digits && unit.min <= value && value <= unit.max => Ok(Value::Number(value)),
        Ok(value) if digits => Err(Mistake::OutOfRange { text, value }),
        Ok(_) | Err(_) => Err(Mistake::NoValue { text }),
    }
}

fn range(base: &str, first: Value, last: Value) -> Result<Run, Mistake<'_>> {
    let run = Run { first: first.number(), last: last.number(), step: 1 };
    match (first, last) {
        (Value::Named(_), Value::Number(_)) | (Value::Number(_), Value::Named(_)) => {
            Err(Mistake::Mixed { run })
        }
        (Value::Named(_), Value::Named(_)) | (Value::Number(_), Value::Number(_))
            if run.last < run.first =>
        {
            Err(Mistake::Backwards { base, run })
        }
        (Value::Named(_), Value::Named(_)) | (Value::Number(_), Value::Number(_)) => Ok(run),
    }
}

fn parse_step(step: &str, run: Run) -> Result<u32, Mistake<'_>> {
    let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    match step.parse() {
        Ok(step) if digits && 1 <= step && step <= run.last - run.first => Ok(step),
        step => Err(Mistake::WrongStep { run, step: step.ok() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_in_the_table_of_forms() {
        for (text, unit, values) in [
            ("*/20", MINUTE, vec![0, 20, 40]),
            ("*/10", DAY, vec![1, 11, 21, 31]),
            (" 5 ", HOUR, vec![5]),
            ("05", HOUR, vec![5]),
            ("5-8", HOUR, vec![5, 6, 7, 8]),
            ("5-5", HOUR, vec![5]),
            ("5-9/2", HOUR, vec![5, 7, 9]),
            ("20/2", HOUR, vec![20, 22]),
            ("Mon-wed", DAY_OF_WEEK, vec![0, 1, 2]),
            ("dec", MONTH, vec![12]),
        ] {
            let runs = parse(text, unit).unwrap();
            let found: Vec<u32> = runs.iter().flat_map(Run::values).collect();
            assert_eq!(found, values, "{text}");
        }
        assert_eq!(parse("1 , 2,3-4", HOUR).unwrap().len(), 3);
    }

    #[test]
    fn a_run_answers_like_a_list() {
        for run in [Run::one(7), Run { first: 3, last: 12, step: 4 }, Run::all(HOUR)] {
            let list: Vec<u32> = run.values().collect();
            for at in 0..30 {
                assert_eq!(run.next(at), list.iter().copied().find(|value| *value >= at));
                assert_eq!(run.prev(at), list.iter().copied().rfind(|value| *value <= at));
            }
        }
    }

    #[test]
    fn nothing_else_is_accepted() {
        for text in ["-1", "1-", "+1", "1-2-3", "1/2/3", "*-5", "**", "5*", "1 - 5", "* /5", "5/+2"]
        {
            assert!(parse(text, MINUTE).is_err(), "{text}");
        }
        for text in ["99999999999999999999", "4294967296", "1/4294967297"] {
            assert!(parse(text, YEAR).is_err(), "{text}");
        }
    }
}
