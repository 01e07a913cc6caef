//! A calendar written out as the expressions of its fields, which read back to the same sets.
//!
//! What is written is in APScheduler's words, also when a Unix crontab was read: `day_of_week`
//! counts from 0 = Monday. Of several spellings of one set the shortest of a few is taken.

use super::calendar::{Calendar, Days};
use super::field::{self, Run, Unit, WEEKDAY_NAMES};
use super::fields::KEYS;
use super::set::{Values, Years};
use super::{Cron, fields};

/// From so many members on, equally far apart, a run is written as a range.
const SHORTEST_RANGE: u32 = 3;

impl Cron {
    /// The eight fields in the order of their weight, `year` first, each with the expression that
    /// stands for its set.
    pub fn fields(&self) -> [(&'static str, String); 8] {
        let mut texts = self.calendar.texts().into_iter();
        KEYS.map(|key| (key, texts.next().unwrap_or_default()))
    }
}

impl Calendar {
    /// The expressions, in the order of [`KEYS`].
    pub(in crate::trigger) fn texts(&self) -> [String; 8] {
        let all_weeks = Values::span(field::WEEK.min, field::WEEK.max);
        let all_weekdays = Values::span(field::DAY_OF_WEEK.min, field::DAY_OF_WEEK.max);
        [
            years(&self.years),
            values(self.months, field::MONTH),
            days(&self.days),
            values(self.weeks.unwrap_or(all_weeks), field::WEEK),
            values(self.weekdays.unwrap_or(all_weekdays), field::DAY_OF_WEEK),
            values(self.hours, field::HOUR),
            values(self.minutes, field::MINUTE),
            values(self.seconds, field::SECOND),
        ]
    }
}

/// `*`, `*/5`, `1-5`, `0,30`, and lists of those. Weekdays are named where they can be.
pub(super) fn values(set: Values, unit: Unit) -> String {
    if set == Values::span(unit.min, unit.max) {
        return "*".to_owned();
    }
    let mut items = Vec::new();
    let mut rest = set;
    while let Some(first) = rest.next(0) {
        let run = longest_run(rest, first);
        rest = rest.without(&run);
        items.push(item(run, unit));
    }
    items.join(",")
}

fn years(years: &Years) -> String {
    let all = Run::all(field::YEAR);
    if years.runs().contains(&all) {
        return "*".to_owned();
    }
    let items: Vec<String> = years.runs().iter().map(|run| item(*run, field::YEAR)).collect();
    items.join(",")
}

fn days(days: &Days) -> String {
    let mut items: Vec<String> = days
        .placed
        .iter()
        .filter_map(|placed| {
            let (place, _) = fields::PLACES.iter().find(|(_, place)| *place == placed.place)?;
            Some(format!("{place} {}", WEEKDAY_NAMES.get(placed.weekday as usize)?))
        })
        .collect();
    if days.last {
        items.push("last".to_owned());
    }
    if !days.numbers.is_empty() {
        items.insert(0, values(days.numbers, field::DAY));
    }
    items.join(",")
}

/// The longest run of members equally far apart that begins with `first`, or `first` alone when
/// all are too short for a range.
fn longest_run(set: Values, first: u32) -> Run {
    let mut longest = Run::one(first);
    for second in set.iter().filter(|value| first < *value) {
        let step = second - first;
        let mut last = second;
        while set.contains(last + step) {
            last += step;
        }
        let length = |run: Run| (run.last - run.first) / run.step + 1;
        let run = Run { first, last, step };
        if SHORTEST_RANGE <= length(run) && length(longest) < length(run) {
            longest = run;
        }
    }
    longest
}

fn item(run: Run, unit: Unit) -> String {
    let name = |value: u32| match unit.names {
        names if unit == field::DAY_OF_WEEK => {
            names.get(value as usize).map_or_else(|| value.to_string(), |name| (*name).to_owned())
        }
        _ => value.to_string(),
    };
    let Run { first, last, step } = run;
    // The last value that the step reaches; a step may be no longer than the range.
    let reached = first + (last - first) / step * step;
    if reached == first {
        name(first)
    } else if step == 1 {
        format!("{}-{}", name(first), name(last))
    } else if first == unit.min && unit.max < reached + step {
        format!("*/{step}")
    } else {
        format!("{first}-{reached}/{step}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set_of(text: &str, unit: Unit) -> Values {
        Values::from_runs(&field::parse(text, unit).unwrap())
    }

    #[test]
    fn sets_are_written_as_a_person_would() {
        for (text, unit, written) in [
            ("0-23", field::HOUR, "*"),
            ("*/1", field::HOUR, "*"),
            ("0,15,30,45", field::MINUTE, "*/15"),
            ("5,20,35,50", field::MINUTE, "5-50/15"),
            ("1,2,3,4,5", field::MONTH, "1-5"),
            ("0-4", field::DAY_OF_WEEK, "mon-fri"),
            ("5,6", field::DAY_OF_WEEK, "sat,sun"),
            ("0,2,4,6", field::DAY_OF_WEEK, "*/2"),
            ("9-17,20", field::HOUR, "9-17,20"),
            ("0,30", field::MINUTE, "0,30"),
            ("*/40", field::MINUTE, "0,40"),
        ] {
            assert_eq!(values(set_of(text, unit), unit), written, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_field_reads_back_to_the_same_set(bits in any::<u64>(), mask in any::<u64>()) {
            for unit in [
                field::MONTH, field::DAY, field::WEEK, field::DAY_OF_WEEK, field::HOUR,
                field::MINUTE, field::SECOND,
            ] {
                for bits in [bits, bits & mask, bits & mask & mask.rotate_left(7)] {
                    let all = Values::span(unit.min, unit.max);
                    let set = Values::from_bits(bits).and(all);
                    if !set.is_empty() {
                        let text = values(set, unit);
                        prop_assert_eq!(set_of(&text, unit), set, "{}: {}", unit.name, text);
                    }
                }
            }
        }

        #[test]
        fn written_years_read_back_to_the_same_years(
            written in proptest::collection::vec((1970..2200_u32, 0..300_u32, 1..50_u32), 1..6),
        ) {
            let run = |(first, span, step): (u32, u32, u32)| {
                Run { first, last: first + span, step: step.min(span.max(1)) }
            };
            let before = Years::from_runs(written.into_iter().map(run).collect());
            let text = years(&before);
            let after = Years::from_runs(field::parse(&text, field::YEAR).unwrap());
            for year in 1970..2600 {
                prop_assert_eq!(before.contains(year), after.contains(year), "{} {}", text, year);
            }
        }
    }

    #[test]
    fn every_calendar_reads_back_to_itself() {
        for given in [
            [None, None, Some("1st mon,last fri,last,3-9/2"), None, None, Some("3"), None, None],
            [None, None, Some("last"), None, None, None, None, None],
            [
                Some("2024-2030/2,1999"),
                Some("feb"),
                None,
                Some("1-9"),
                Some("sun"),
                None,
                None,
                None,
            ],
            [
                Some("*/7"),
                None,
                Some("*"),
                Some("53"),
                Some("*"),
                Some("*/5"),
                Some("*"),
                Some("7"),
            ],
        ] {
            let calendar = fields::parse(given).unwrap();
            let texts = calendar.texts();
            let again = fields::parse(texts.each_ref().map(|text| Some(text.as_str()))).unwrap();
            assert_eq!(again.texts(), texts, "{given:?}");
            for day in 0..30_000 {
                let label = day * 86_400;
                let end = label + 86_400;
                assert_eq!(calendar.count(label, end), again.count(label, end), "{texts:?} {day}");
            }
        }
    }
}
