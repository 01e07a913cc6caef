//! What is odd about the wall times of one cron.

use chrono::{Datelike, NaiveDate};

use super::leaf::Leaf;
use crate::time::Timestamp;
use crate::trigger::{Gap, Trigger};

/// Fields that begin again, what they count, what they begin again in, how many values they have,
/// and the unit of an interval that does not.
const WHEELS: [(&str, &str, &str, u32, Option<&str>); 5] = [
    ("second", "seconds", "minute", 60, Some("s")),
    ("minute", "minutes", "hour", 60, Some("m")),
    ("hour", "hours", "day", 24, Some("h")),
    ("day", "days", "month", 31, Some("d")),
    ("month", "months", "year", 12, None),
];
/// Days that some month lacks begin here.
const FIRST_LATE_DAY: u32 = 29;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Keys and messages. `ahead` are the gaps of its zone that are to come.
pub(super) fn lint(leaf: &Leaf<'_>, ahead: &[Gap], now: Timestamp) -> Vec<(String, String)> {
    let mut found = steps(leaf);
    found.extend(both_days(leaf));
    found.extend(late_days(leaf, now));
    found.extend(lost_in_gaps(leaf, ahead));
    found
}

/// `*/7` minutes.
fn steps(leaf: &Leaf<'_>) -> Vec<(String, String)> {
    let uneven = WHEELS.iter().filter_map(|(field, units, whole, size, unit)| {
        let (key, expression) = leaf.field(field)?;
        let step: u32 = expression.strip_prefix("*/")?.parse().ok().filter(|step| *step > 1)?;
        let is_day = *field == "day";
        if size.is_multiple_of(step) && !is_day {
            return None;
        }
        let rest = size - (size - 1) / step * step;
        let why = if is_day {
            "it begins again with each month, whose length varies".to_owned()
        } else {
            format!("it begins again with each {whole}, {rest} {units} after the last one")
        };
        let better = match unit {
            Some(unit) => format!("for even steps use an interval, like `every {step}{unit}`"),
            None => "write out the months that are meant".to_owned(),
        };
        Some((key, format!("`{expression}` is not every {step} {units}: {why}; {better}")))
    });
    uneven.collect()
}

/// The day of the month and the weekday, both restricted.
fn both_days(leaf: &Leaf<'_>) -> Option<(String, String)> {
    let restricted = |field| leaf.field(field).filter(|(_, it)| !it.starts_with('*'));
    let ((key, day), (_, weekday)) = (restricted("day")?, restricted("day_of_week")?);
    let message = if leaf.is_crontab() {
        format!(
            "in crontab text either of day `{day}` and weekday `{weekday}` may match; for days \
             that are both, write the fields `day` and `day_of_week`"
        )
    } else {
        format!(
            "both `day = \"{day}\"` and `day_of_week = \"{weekday}\"` must match; where either may, \
             use `crontab`, and for the second Tuesday write `day = \"2nd tue\"`"
        )
    };
    Some((key, message))
}

/// Days that some months do not have.
fn late_days(leaf: &Leaf<'_>, now: Timestamp) -> Option<(String, String)> {
    let (key, expression) = leaf.field("day").filter(|(_, it)| is_late(it))?;
    if leaf.field("day_of_week").is_some_and(|(_, it)| !it.starts_with('*')) {
        return None;
    }
    let (own, any_day) = (leaf.endless()?, leaf.endless_with("day", "*")?);
    let year = (now.to_utc().year()..).find(|year| NaiveDate::from_ymd_opt(*year, 2, 29).is_none());
    let year = year?;
    let fires = |trigger: &Trigger, month| {
        let (from, to) = (midnight(year, month)?, midnight(year, month + 1)?);
        Some(trigger.count(from, from, to) > 0)
    };
    let lacks = |month| fires(&own, month) == Some(false) && fires(&any_day, month) == Some(true);
    let skipped: Vec<&str> =
        (1..).zip(MONTHS).filter(|(month, _)| lacks(*month)).map(|(_, name)| name).collect();
    (!skipped.is_empty()).then(|| {
        let message = format!(
            "`{expression}` skips {}{}; for the last day of every month write `day = \"last\"`{}",
            skipped.join(", "),
            if expression.starts_with("29") { " but in leap years" } else { "" },
            if leaf.is_crontab() { " instead of `crontab`" } else { "" },
        );
        (key, message)
    })
}

/// Whether an expression names days by number, and only such as some month lacks.
fn is_late(expression: &str) -> bool {
    expression.split(',').all(|item| {
        let digits = item.trim().split(['-', '/']).next().unwrap_or_default();
        digits.parse::<u32>().is_ok_and(|day| FIRST_LATE_DAY <= day)
    })
}

/// Midnight of the first day of a month, as a label; month 13 is the next January.
fn midnight(year: i32, month: u32) -> Option<Timestamp> {
    let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
    let midnight = NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0)?;
    Some(midnight.and_utc().into())
}

/// Under `wall`: fire times that no clock will show.
fn lost_in_gaps(leaf: &Leaf<'_>, ahead: &[Gap]) -> Option<(String, String)> {
    if leaf.given("dst") != Some("wall") {
        return None;
    }
    let labels = leaf.endless()?;
    let (start, end) = leaf.window();
    let within =
        |gap: &&Gap| start.is_none_or(|it| it <= gap.at) && end.is_none_or(|it| gap.at <= it);
    let lost = |gap: &Gap| labels.count(gap.skipped_from, gap.skipped_from, gap.skipped_to) > 0;
    let mut lost = ahead.iter().filter(within).filter(|gap| lost(gap));
    let first = lost.next()?;
    let fire = labels.next_after(first.skipped_from, first.skipped_from.before(MICRO))?;
    if has_every_hour(&labels, first.skipped_from) {
        // It goes by elapsed time there: nothing is missing.
        return None;
    }
    let others = lost.count();
    let more = if others == 0 { String::new() } else { format!(", and {others} more by then") };
    let message = format!(
        "`wall` has no fire for {} in {}: the clocks jump from {} to {} that day{more}; \
         `dst = \"once\"` fires right after the gap instead",
        label(fire, "%Y-%m-%d %H:%M"),
        leaf.zone,
        label(first.skipped_from, "%H:%M"),
        label(first.skipped_to, "%H:%M"),
    );
    Some((format!("{}.dst", leaf.path), message))
}

/// The smallest step between two instants.
const MICRO: std::time::Duration = std::time::Duration::from_micros(1);

/// Whether there are fires in every hour of a day with fires: of the one that holds `at`.
fn has_every_hour(labels: &Trigger, at: Timestamp) -> bool {
    const HOUR: i64 = 3_600;
    let midnight = at.micros().div_euclid(24 * HOUR * 1_000_000) * 24 * HOUR;
    (0..24).all(|hour| {
        let from = Timestamp::from_secs(midnight + hour * HOUR);
        labels.count(from, from, from.after(std::time::Duration::from_secs(3_600))) > 0
    })
}

fn label(label: Timestamp, format: &str) -> String {
    label.to_utc().format(format).to_string()
}
