//! Which wall times a cron means: a search over years, months, days and times of day.
//!
//! Works on *labels*, what a wall clock shows counted in seconds as if it were UTC. Knows no zone:
//! which instants show a label is for `walk`. Every search is bounded by the years 1970 to 9999
//! and goes month by month, so it never steps through seconds.

use super::month::{
    Month, Shape, days_in_weeks, every_week, first_day_of, join_time, kind_of_year, split,
    split_time,
};
use super::set::{Values, Years};
use crate::trigger::zone::DAY;

/// The first label there is: 1970-01-01 00:00:00.
pub(super) const FIRST_LABEL: i64 = 0;

/// The first label after the last: 10000-01-01 00:00:00.
pub(super) const LABELS_END: i64 = 253_402_300_800;

/// Every hour of the day.
const ALL_HOURS: Values = Values::span(0, 23);

/// The wall times that fire: a day that `days_in` allows, at any of the times of day.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::trigger) struct Calendar {
    pub(super) years: Years,
    pub(super) months: Values,
    pub(super) days: Days,
    /// ISO weeks, 1 to 53; `None` is every week.
    pub(super) weeks: Option<Values>,
    /// 0 is Monday; `None` is every weekday.
    pub(super) weekdays: Option<Values>,
    /// How `days` and `weekdays` go together.
    pub(super) day_match: DayMatch,
    /// Like `minutes` and `seconds`, never empty.
    pub(super) hours: Values,
    pub(super) minutes: Values,
    pub(super) seconds: Values,
}

/// Days of a month; one of the three kinds is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Days {
    /// By number.
    pub(super) numbers: Values,
    /// By place: `2nd tue`.
    pub(super) placed: Vec<Placed>,
    /// The last day of the month, whichever it is.
    pub(super) last: bool,
}

/// One weekday of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Placed {
    pub(super) place: Place,
    /// 0 is Monday.
    pub(super) weekday: u32,
}

/// Which of the same weekdays of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trigger) enum Place {
    /// 0 is the first, 4 the fifth, which not every month has.
    Nth(u32),
    /// The last one.
    Last,
}

/// How the day of the month and the weekday go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trigger) enum DayMatch {
    /// Both must match.
    Both,
    /// Either may match: Unix, when both are restricted.
    Either,
}

impl Calendar {
    /// Whether every hour of the day is in the set.
    pub(super) fn has_all_hours(&self) -> bool {
        self.hours == ALL_HOURS
    }

    /// Whether `label` fires.
    pub(super) fn matches(&self, label: i64) -> bool {
        self.next(label, label + 1).is_some()
    }

    /// The first label from `from` to before `before`.
    pub(super) fn next(&self, from: i64, before: i64) -> Option<i64> {
        let (mut month, mut day, mut time) = split(from.max(FIRST_LABEL))?;
        loop {
            let found = self.month_from(month)?;
            if found != month {
                (month, day, time) = (found, 1, 0);
            }
            let shape = month.shape()?;
            if before <= shape.midnight(1) {
                return None;
            }
            let days = self.days_in(&shape);
            while let Some(found) = days.next(day) {
                if found != day {
                    (day, time) = (found, 0);
                }
                if let Some(time) = self.time_from(time) {
                    return Some(shape.midnight(day) + time).filter(|label| *label < before);
                }
                (day, time) = (day + 1, 0);
            }
            (month, day, time) = (month.next(), 1, 0);
        }
    }

    /// The last label before `before` that is not before `from`.
    pub(super) fn prev(&self, before: i64, from: i64) -> Option<i64> {
        let (mut month, mut day, mut time) = split(before.min(LABELS_END) - 1)?;
        loop {
            let found = self.month_to(month)?;
            if found != month {
                (month, day, time) = (found, 31, DAY - 1);
            }
            let shape = month.shape()?;
            if shape.midnight(32) <= from {
                return None;
            }
            let days = self.days_in(&shape);
            while let Some(found) = days.prev(day) {
                if found != day {
                    (day, time) = (found, DAY - 1);
                }
                if let Some(time) = self.time_to(time) {
                    return Some(shape.midnight(day) + time).filter(|label| from <= *label);
                }
                (day, time) = (day - 1, DAY - 1);
            }
            (month, day, time) = (month.prev(), 31, DAY - 1);
        }
    }

    /// How many labels there are from `from` to before `before`.
    pub(super) fn count(&self, from: i64, before: i64) -> u64 {
        let (from, before) = (from.max(FIRST_LABEL), before.min(LABELS_END));
        if before <= from {
            return 0;
        }
        let (first_day, last_day) = (from.div_euclid(DAY), (before - 1).div_euclid(DAY));
        let per_day = self.hours.count() * self.minutes.count() * self.seconds.count();
        let early = match self.fires_on(first_day) {
            true => self.times_before(from.rem_euclid(DAY)),
            false => 0,
        };
        let late = match self.fires_on(last_day) {
            true => per_day - self.times_before((before - 1).rem_euclid(DAY) + 1),
            false => 0,
        };
        self.days_between(first_day, last_day) * per_day - early - late
    }

    /// Hands out each minute that has labels from `from` to before `before`: its first second and
    /// a bit for each of its seconds that is a label.
    pub(super) fn each_minute(&self, from: i64, before: i64, mut each: impl FnMut(i64, u64)) {
        let (from, before) = (from.max(FIRST_LABEL), before.min(LABELS_END));
        if before <= from {
            return;
        }
        let days = from.div_euclid(DAY)..=(before - 1).div_euclid(DAY);
        for day in days.filter(|day| self.fires_on(*day)) {
            let minutes = self.hours.iter().flat_map(|hour| {
                self.minutes.iter().map(move |minute| day * DAY + join_time(hour, minute, 0))
            });
            for minute in minutes.filter(|minute| from < minute + 60 && *minute < before) {
                let mut seconds = self.seconds;
                if minute < from {
                    seconds = seconds.and(Values::from_bits(u64::MAX << (from - minute)));
                }
                if before < minute + 60 {
                    seconds = seconds.and(Values::from_bits((1 << (before - minute)) - 1));
                }
                each(minute, seconds.bits());
            }
        }
    }

    /// Whether some day, in some year, matches at all.
    ///
    /// A year's days depend on three things: whether it is a leap year, the weekday it begins with
    /// and, for the weeks around New Year, whether the year before was a leap year. So one year of
    /// each kind is looked at, not each year.
    pub(in crate::trigger) fn has_days(&self) -> bool {
        let mut seen = Values::EMPTY;
        let mut year = self.years.next(0);
        while let Some(this) = year {
            let kind = kind_of_year(this);
            if !seen.contains(kind) {
                seen = seen.with(kind);
                let mut months = self.months.iter().map(|number| Month { year: this, number });
                if months.any(|month| !self.days_of(month).is_empty()) {
                    return true;
                }
            }
            year = self.years.next(this + 1);
        }
        false
    }

    /// The first month of the set that is `from` or later.
    fn month_from(&self, from: Month) -> Option<Month> {
        let year = self.years.next(from.year)?;
        let first = if year == from.year { from.number } else { 1 };
        if let Some(number) = self.months.next(first) {
            return Some(Month { year, number });
        }
        let year = self.years.next(year + 1)?;
        Some(Month { year, number: self.months.next(1)? })
    }

    /// The last month of the set that is `to` or earlier.
    fn month_to(&self, to: Month) -> Option<Month> {
        let year = self.years.prev(to.year)?;
        let last = if year == to.year { to.number } else { 12 };
        if let Some(number) = self.months.prev(last) {
            return Some(Month { year, number });
        }
        let year = self.years.prev(year - 1)?;
        Some(Month { year, number: self.months.prev(12)? })
    }

    /// The days of `month` that match; the month itself is taken to be in the set.
    fn days_of(&self, month: Month) -> Values {
        month.shape().map_or(Values::EMPTY, |shape| self.days_in(&shape))
    }

    /// The same for a month of this `shape`.
    fn days_in(&self, shape: &Shape) -> Values {
        let first_weekday = shape.first_weekday;
        let exist = Values::span(1, shape.length);
        let by_day = self.days.in_month(shape.length, first_weekday);
        let by_weekday = self.weekdays.map(|weekdays| {
            weekdays.iter().fold(Values::EMPTY, |days, weekday| {
                days.or(every_week(first_day_of(weekday, first_weekday)))
            })
        });
        let days = match (by_weekday, self.day_match) {
            (None, _) => by_day,
            (Some(by_weekday), DayMatch::Both) => by_day.and(by_weekday),
            (Some(by_weekday), DayMatch::Either) => by_day.or(by_weekday),
        };
        match self.weeks {
            None => days.and(exist),
            Some(weeks) => days.and(exist).and(days_in_weeks(shape, weeks)),
        }
    }

    /// Whether the day so many days after 1970-01-01 matches.
    fn fires_on(&self, day: i64) -> bool {
        self.days_between(day, day) == 1
    }

    /// How many days match, of those from `first` to `last` after 1970-01-01.
    fn days_between(&self, first: i64, last: i64) -> u64 {
        let (Some((mut month, first_day, _)), Some((last_month, last_day, _))) =
            (split(first * DAY), split(last * DAY))
        else {
            return 0;
        };
        let first_month = month;
        let mut total = 0;
        while let Some(found) = self.month_from(month).filter(|found| *found <= last_month) {
            let from = if found == first_month { first_day } else { 1 };
            let to = if found == last_month { last_day } else { 31 };
            total += self.days_of(found).and(Values::span(from, to)).count();
            month = found.next();
        }
        total
    }

    /// The first second of the day, `from` or later, that is in the sets.
    fn time_from(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = split_time(from)?;
        if self.hours.contains(hour) {
            if self.minutes.contains(minute)
                && let Some(second) = self.seconds.next(second)
            {
                return Some(join_time(hour, minute, second));
            }
            if let Some(minute) = self.minutes.next(minute + 1) {
                return Some(join_time(hour, minute, self.seconds.next(0)?));
            }
        }
        let hour = self.hours.next(hour + 1)?;
        Some(join_time(hour, self.minutes.next(0)?, self.seconds.next(0)?))
    }

    /// The last second of the day, `to` or earlier, that is in the sets.
    fn time_to(&self, to: i64) -> Option<i64> {
        let (hour, minute, second) = split_time(to)?;
        if self.hours.contains(hour) {
            if self.minutes.contains(minute)
                && let Some(second) = self.seconds.prev(second)
            {
                return Some(join_time(hour, minute, second));
            }
            let earlier = minute.checked_sub(1).and_then(|minute| self.minutes.prev(minute));
            if let Some(minute) = earlier {
                return Some(join_time(hour, minute, self.seconds.prev(59)?));
            }
        }
        let hour = self.hours.prev(hour.checked_sub(1)?)?;
        Some(join_time(hour, self.minutes.prev(59)?, self.seconds.prev(59)?))
    }

    /// How many times of day are before `second`, which may be the end of the day.
    fn times_before(&self, second: i64) -> u64 {
        let per_minute = self.seconds.count();
        let per_hour = self.minutes.count() * per_minute;
        let Some((hour, minute, second)) = split_time(second) else {
            return 0;
        };
        let mut times = self.hours.count_below(hour) * per_hour;
        if self.hours.contains(hour) {
            times += self.minutes.count_below(minute) * per_minute;
            if self.minutes.contains(minute) {
                times += self.seconds.count_below(second);
            }
        }
        times
    }
}

impl Days {
    /// The days of a month of `length` days; some may lie beyond its end.
    pub(super) fn in_month(&self, length: u32, first_weekday: u32) -> Values {
        let mut days = if self.last { self.numbers.with(length) } else { self.numbers };
        for Placed { place, weekday } in &self.placed {
            let first = first_day_of(*weekday, first_weekday);
            let day = match place {
                Place::Nth(weeks) => Some(first + 7 * weeks),
                Place::Last => every_week(first).prev(length),
            };
            days = day.map_or(days, |day| days.with(day));
        }
        days
    }
}
