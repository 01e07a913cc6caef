//! Why a cron does not fire at an instant, in terms of its fields and of its zone's clock.

use chrono::{DateTime, Datelike};

use super::calendar::DayMatch;
use super::field::{self, MONTH_NAMES, Unit, WEEKDAY_NAMES};
use super::fields::KEYS;
use super::month::{Month, split, split_time};
use super::render::values;
use super::set::Values;
use super::walk::REACH;
use super::{Cron, Dst, SECOND};
use crate::time::Timestamp;
use crate::trigger::explain::{Cause, ClockChange, Turn};
use crate::trigger::zone::{self, Stretch};

impl Cron {
    /// Why `at`, which lies within the window and is no fire time, is none.
    pub(in crate::trigger) fn miss(&self, at: Timestamp) -> Cause {
        if at.micros() % SECOND != 0 {
            return Cause::NotAWholeSecond;
        }
        let label = self.label(at);
        let first_pass = || Timestamp::from_secs(zone::resolve(self.zone, label));
        match self.failing_field(label) {
            Some(cause) => cause,
            // All fields match, so only a clock that was turned back can be the cause.
            None => Cause::SecondPass { first_pass: first_pass() },
        }
    }

    /// The gap that made `at` a fire time, when its own wall time is none.
    pub(in crate::trigger) fn gap_before(&self, at: Timestamp) -> Option<Cause> {
        let change = self.clock_change(at).filter(|change| change.at == at)?;
        let by_itself = self.calendar.matches(self.label(at));
        (!by_itself).then_some(Cause::AfterGap { from: change.from, to: change.to })
    }

    /// What the wall clock shows, with its zone.
    pub(in crate::trigger) fn shown_at(&self, at: Timestamp) -> String {
        format!("{} {}", shown(self.label(at)), self.zone.name())
    }

    /// The change of the clock whose gap or overlap `at` lies in: in either pass of an overlap, or
    /// no longer after a gap than the gap is long, where a wall time in it would be put.
    pub(in crate::trigger) fn clock_change(&self, at: Timestamp) -> Option<ClockChange> {
        let second = at.micros().div_euclid(SECOND);
        let near: Vec<Stretch> =
            zone::stretches(self.zone, second - REACH, second + REACH).collect();
        near.windows(2).find_map(|pair| {
            let [earlier, later] = pair else { return None };
            let (change, turned) = (later.start, later.offset - earlier.offset);
            let reached = change <= second && second < change + turned.abs();
            let ahead = turned < 0 && change + turned <= second && second < change;
            (reached || ahead).then(|| ClockChange {
                at: Timestamp::from_secs(change),
                turn: if turned < 0 { Turn::Back } else { Turn::Forward },
                from: shown(change + earlier.offset),
                to: shown(change + later.offset),
                rule: self.rule(turned),
            })
        })
    }

    fn rule(&self, turned: i64) -> &'static str {
        match (self.dst, turned < 0) {
            _ if self.calendar.has_all_hours() => {
                "the trigger fires in every hour, and goes by what the clock shows"
            }
            (Dst::Once, false) => "`once`: what is left out fires right after the gap",
            (Dst::Once, true) => "`once`: what comes twice fires the first time",
            (Dst::Wall, false) => "`wall`: what is left out does not fire",
            (Dst::Wall, true) => "`wall`: what comes twice fires twice",
        }
    }

    fn label(&self, at: Timestamp) -> i64 {
        let second = at.micros().div_euclid(SECOND);
        second + zone::offset_at(self.zone, second)
    }

    /// The most significant field that does not have what `label` shows.
    fn failing_field(&self, label: i64) -> Option<Cause> {
        let (month, day, time) = split(label)?;
        let (hour, minute, second) = split_time(time)?;
        let calendar = &self.calendar;
        let number = |unit: Unit, set: Values, shown: u32| {
            (!set.contains(shown))
                .then(|| failed(unit.name, values(set, unit), name_of(unit, shown)))
        };
        let year = (!calendar.years.contains(month.year))
            .then(|| failed(KEYS[0], calendar.texts()[0].clone(), month.year.to_string()));
        year.or_else(|| number(field::MONTH, calendar.months, month.number))
            .or_else(|| self.failing_day(month, day))
            .or_else(|| number(field::HOUR, calendar.hours, hour))
            .or_else(|| number(field::MINUTE, calendar.minutes, minute))
            .or_else(|| number(field::SECOND, calendar.seconds, second))
    }

    /// The field that is against this day: `day`, `week` or `day_of_week`.
    fn failing_day(&self, month: Month, day: u32) -> Option<Cause> {
        let calendar = &self.calendar;
        let shape = month.shape()?;
        let date = shape.first.with_day(day)?;
        let weekday = date.weekday().num_days_from_monday();
        let [_, _, days, weeks, weekdays, ..] = calendar.texts();
        let day_fits = calendar.days.in_month(shape.length, shape.first_weekday).contains(day);
        let weekday_fits = calendar.weekdays.is_none_or(|set| set.contains(weekday));
        let week = date.iso_week().week();
        let week_fits = calendar.weeks.is_none_or(|set| set.contains(week));
        let weekday = name_of(field::DAY_OF_WEEK, weekday);
        match calendar.day_match {
            DayMatch::Either if !day_fits && !weekday_fits => {
                let either = format!("{days}` or, as `day_of_week`, `{weekdays}");
                Some(failed("day", either, format!("{day}, a {weekday},")))
            }
            DayMatch::Both if !day_fits => Some(failed("day", days, day.to_string())),
            _ if !week_fits => Some(failed("week", weeks, week.to_string())),
            DayMatch::Both if !weekday_fits => Some(failed("day_of_week", weekdays, weekday)),
            DayMatch::Either | DayMatch::Both => None,
        }
    }
}

fn failed(field: &'static str, expression: String, shown: String) -> Cause {
    Cause::Field { field, expression, shown }
}

/// The value as a person calls it: months and weekdays by name.
fn name_of(unit: Unit, value: u32) -> String {
    let names: &[&str] = match unit.name {
        "month" => &MONTH_NAMES,
        "day_of_week" => &WEEKDAY_NAMES,
        _ => &[],
    };
    let name = value.checked_sub(unit.min).and_then(|at| names.get(at as usize));
    name.map_or_else(|| value.to_string(), |name| (*name).to_owned())
}

fn shown(label: i64) -> String {
    DateTime::from_timestamp(label, 0)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}
