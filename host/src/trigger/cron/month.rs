//! Months and times of day, as a calendar counts them.
//!
//! Labels are seconds on a wall clock, counted as if it were UTC. Knows no sets of what fires but
//! for the weeks, which are not made of whole months.

use chrono::{Datelike, NaiveDate};

use super::set::Values;
use crate::trigger::zone::DAY;

/// A month of a year; `number` is 1 to 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month {
    pub(super) year: u32,
    pub(super) number: u32,
}

impl Month {
    pub(super) fn next(self) -> Self {
        match self.number {
            12 => Self { year: self.year + 1, number: 1 },
            number => Self { year: self.year, number: number + 1 },
        }
    }

    pub(super) fn prev(self) -> Self {
        match self.number {
            1 => Self { year: self.year.saturating_sub(1), number: 12 },
            number => Self { year: self.year, number: number - 1 },
        }
    }

    /// Its days; `None` when no calendar goes so far.
    pub(super) fn shape(self) -> Option<Shape> {
        let first = NaiveDate::from_ymd_opt(i32::try_from(self.year).ok()?, self.number, 1)?;
        Some(Shape {
            first,
            midnight: i64::from(first.to_epoch_days()) * DAY,
            length: u32::from(first.num_days_in_month()),
            first_weekday: first.weekday().num_days_from_monday(),
        })
    }
}

/// The days of a month.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) first: NaiveDate,
    /// The label with which the first day begins.
    midnight: i64,
    /// How many days there are.
    pub(super) length: u32,
    /// 0 is Monday.
    pub(super) first_weekday: u32,
}

impl Shape {
    /// The label of midnight on `day`; days beyond the end run into the next month.
    pub(super) fn midnight(&self, day: u32) -> i64 {
        self.midnight + (i64::from(day) - 1) * DAY
    }
}

/// The month, the day of the month and the second of the day of `label`.
pub(super) fn split(label: i64) -> Option<(Month, u32, i64)> {
    let days = i32::try_from(label.div_euclid(DAY)).ok()?;
    let date = NaiveDate::from_epoch_days(days)?;
    let month = Month { year: u32::try_from(date.year()).ok()?, number: date.month() };
    Some((month, date.day(), label.rem_euclid(DAY)))
}

pub(super) fn split_time(second: i64) -> Option<(u32, u32, u32)> {
    let second = u32::try_from(second).ok()?;
    Some((second / 3_600, second / 60 % 60, second % 60))
}

pub(super) fn join_time(hour: u32, minute: u32, second: u32) -> i64 {
    i64::from(hour * 3_600 + minute * 60 + second)
}

/// The first day with `weekday` in a month that begins with `first_weekday`.
pub(super) fn first_day_of(weekday: u32, first_weekday: u32) -> u32 {
    1 + (weekday + 7 - first_weekday) % 7
}

/// `first` and the days whole weeks after it.
pub(super) fn every_week(first: u32) -> Values {
    (0..5).fold(Values::EMPTY, |days, week| days.with(first + 7 * week))
}

/// The days of `month` whose ISO week is one of `weeks`.
pub(super) fn days_in_weeks(month: &Shape, weeks: Values) -> Values {
    let mut days = Values::EMPTY;
    let mut day = 1;
    while day <= month.length
        && let Some(date) = month.first.with_day(day)
    {
        let sunday = day + 6 - date.weekday().num_days_from_monday();
        if weeks.contains(date.iso_week().week()) {
            days = days.or(Values::span(day, sunday));
        }
        day = sunday + 1;
    }
    days
}

/// A number below 28 that two years share only if their days fall alike, weeks included.
pub(super) fn kind_of_year(year: u32) -> u32 {
    let leap = |year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let before = year.saturating_sub(1);
    let first_weekday = (year + before / 4 - before / 100 + before / 400) % 7;
    first_weekday * 4 + u32::from(leap(year)) * 2 + u32::from(leap(before))
}
