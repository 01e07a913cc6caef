//! Time zones: their names, and the stretches between two changes of offset.
//!
//! Every rule about daylight saving builds on [`stretches`]; what a gap or an overlap means for a
//! trigger is decided in `cron::walk`. Labels and instants are whole seconds here: a *label* is
//! what a wall clock shows, counted as if it were UTC.
//!
//! chrono-tz keeps its list of changes to itself, so a change is found by looking at the offset
//! every few days and then halving, once for each zone that is used. It knows changes from 1845 up
//! to the end of the year 2099; before that and after it the offset stays.

use std::sync::OnceLock;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::problem::nearest;
use crate::time::Timestamp;

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;

/// No zone was ever this many seconds away from UTC.
pub(super) const FARTHEST: i64 = 16 * 3_600;

/// Up to this instant (1840-01-01) chrono-tz knows of no change.
const FIRST_CHANGE: i64 = -4_102_444_800;

/// From this instant on (2100-01-02) chrono-tz knows of no change.
const LAST_CHANGE: i64 = 4_102_444_800 + DAY;

/// How far apart the offset is looked at. No zone leaves an offset and is back at it within twice
/// this; the shortest summer, of Recife in 2000, had a week.
const STEP: i64 = 3 * DAY;

/// The stretches of every zone that was asked for, by its place in [`TZ_VARIANTS`].
static STRETCHES: [OnceLock<Box<[Stretch]>>; TZ_VARIANTS.len()] =
    [const { OnceLock::new() }; TZ_VARIANTS.len()];

/// Parses a zone name of the IANA database; names are case-sensitive.
///
/// # Errors
///
/// A message that names the nearest zone. Offsets such as `+08:00` are no zone names.
pub fn parse_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| match nearest_zone(name) {
        Some(near) => format!("unknown time zone `{name}`; did you mean `{near}`?"),
        None => format!(
            "unknown time zone `{name}`; write an IANA name such as `Europe/Berlin` or `UTC`"
        ),
    })
}

/// The zone that `name` was most likely meant to be; a city without its region will do.
fn nearest_zone(name: &str) -> Option<&'static str> {
    let names: Vec<&'static str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let is_city =
        |zone: &str| zone.rsplit_once('/').is_some_and(|(_, city)| city.eq_ignore_ascii_case(name));
    let whole = names.iter().find(|zone| zone.eq_ignore_ascii_case(name));
    let found = whole.or_else(|| names.iter().find(|zone| is_city(zone)));
    found.copied().or_else(|| nearest(name, &names))
}

/// Seconds that the wall clock of `zone` is ahead of UTC at `instant`.
pub(super) fn offset_at(zone: Tz, instant: i64) -> i64 {
    DateTime::from_timestamp(instant, 0).map_or(0, |time| {
        i64::from(zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())
    })
}

/// A run of instants, `start` to before `end`, with one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) offset: i64,
}

/// The stretches of `zone` that make up `from` to before `to`, in order, without holes.
pub(super) fn stretches(zone: Tz, from: i64, to: i64) -> impl Iterator<Item = Stretch> {
    let all = STRETCHES[zone as usize].get_or_init(|| find_stretches(zone));
    let first = all.partition_point(|stretch| stretch.end <= from);
    let cut = move |stretch: &Stretch| Stretch {
        start: stretch.start.max(from),
        end: stretch.end.min(to),
        offset: stretch.offset,
    };
    all[first..].iter().map(cut).take_while(|stretch| stretch.start < stretch.end)
}

/// All stretches of `zone`; the first has no beginning, the last no end.
fn find_stretches(zone: Tz) -> Box<[Stretch]> {
    let mut found = Vec::new();
    let (mut start, mut offset) = (i64::MIN, offset_at(zone, FIRST_CHANGE));
    let mut same = FIRST_CHANGE;
    while same < LAST_CHANGE {
        let probe = same + STEP;
        if offset_at(zone, probe) == offset {
            same = probe;
        } else {
            let end = bisect(zone, same, probe, offset);
            found.push(Stretch { start, end, offset });
            (start, offset) = (end, offset_at(zone, end));
            same = end;
        }
    }
    found.push(Stretch { start, end: i64::MAX, offset });
    found.into_boxed_slice()
}

/// Wall time that a zone skips when its clocks go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When that happens.
    pub at: Timestamp,
    /// What the wall clock would show then, as if it were UTC.
    pub skipped_from: Timestamp,
    /// What it shows instead.
    pub skipped_to: Timestamp,
}

/// The gaps of `zone` that begin after `from` and before `to`.
pub fn gaps(zone: Tz, from: Timestamp, to: Timestamp) -> Vec<Gap> {
    let second = |time: Timestamp| time.micros().div_euclid(1_000_000);
    let mut before: Option<Stretch> = None;
    let gap = move |stretch: Stretch| {
        let before = before.replace(stretch)?;
        (before.offset < stretch.offset).then(|| Gap {
            at: Timestamp::from_secs(stretch.start),
            skipped_from: Timestamp::from_secs(stretch.start + before.offset),
            skipped_to: Timestamp::from_secs(stretch.start + stretch.offset),
        })
    };
    stretches(zone, second(from), second(to)).filter_map(gap).collect()
}

/// The instant that `label` means when a person writes it: the first pass of an overlap; in a gap
/// the offset from before the gap, which shifts it forward by the length of the gap.
pub(super) fn resolve(zone: Tz, label: i64) -> i64 {
    let (from, to) = (label - FARTHEST, label + FARTHEST);
    let mut offset_before = offset_at(zone, from);
    for stretch in stretches(zone, from, to) {
        let instant = label - stretch.offset;
        if instant < stretch.start {
            break;
        }
        if instant < stretch.end {
            return instant;
        }
        offset_before = stretch.offset;
    }
    label - offset_before
}

/// Where between `same`, which has `offset`, and `changed`, which has not, the change lies.
fn bisect(zone: Tz, mut same: i64, mut changed: i64, offset: i64) -> i64 {
    while changed - same > 1 {
        let middle = same + (changed - same) / 2;
        if offset_at(zone, middle) == offset {
            same = middle;
        } else {
            changed = middle;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Africa, America, Australia, Pacific};

    use super::*;

    fn secs(text: &str) -> i64 {
        Timestamp::parse(text).unwrap().micros() / 1_000_000
    }

    #[test]
    fn changes_are_found_to_the_second() {
        for (zone, from, change, offset) in [
            (America::New_York, "2024-03-01T00:00:00Z", "2024-03-10T07:00:00Z", -4 * 3_600),
            (America::Nuuk, "2024-03-01T00:00:00Z", "2024-03-31T01:00:00Z", -3_600),
            (Australia::Lord_Howe, "2024-03-01T00:00:00Z", "2024-04-06T15:00:00Z", 37_800),
            (Pacific::Apia, "2011-12-01T00:00:00Z", "2011-12-30T10:00:00Z", 14 * 3_600),
            (Africa::Cairo, "2024-04-01T00:00:00Z", "2024-04-25T22:00:00Z", 3 * 3_600),
        ] {
            let from = secs(from);
            let found: Vec<Stretch> = stretches(zone, from, from + 50 * DAY).collect();
            assert_eq!(found[0].end, secs(change), "{zone}");
            assert_eq!((found[1].start, found[1].offset), (secs(change), offset), "{zone}");
            assert_eq!(found[found.len() - 1].end, from + 50 * DAY, "{zone}");
        }
    }

    #[test]
    fn gaps_say_what_the_wall_clock_skips() {
        let year = (secs("2026-01-01T00:00:00Z"), secs("2027-01-01T00:00:00Z"));
        let year = (Timestamp::from_secs(year.0), Timestamp::from_secs(year.1));
        let found = gaps(Tz::Europe__Berlin, year.0, year.1);
        let times = ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"];
        let [at, skipped_from, skipped_to] = times.map(|text| Timestamp::parse(text).unwrap());
        assert_eq!(found, [Gap { at, skipped_from, skipped_to }]);
        assert_eq!(gaps(Tz::UTC, year.0, year.1), []);
    }

    #[test]
    fn the_two_bounds_hold_for_every_zone() {
        for zone in TZ_VARIANTS {
            let (first, last) = (offset_at(zone, FIRST_CHANGE), offset_at(zone, LAST_CHANGE));
            for days in (0..400).map(|day| day * DAY) {
                assert_eq!(offset_at(zone, FIRST_CHANGE - days), first, "{zone}");
                assert_eq!(offset_at(zone, LAST_CHANGE + days), last, "{zone}");
            }
            for month in 0..5_000 {
                let instant = LAST_CHANGE - month * 30 * DAY;
                assert!(offset_at(zone, instant).abs() < FARTHEST, "{zone} at {instant}");
            }
        }
    }

    #[test]
    fn no_change_of_any_zone_is_missed() {
        for (place, zone) in TZ_VARIANTS.into_iter().enumerate() {
            assert_eq!(zone as usize, place, "{zone}");
            for stretch in stretches(zone, 0, 80 * 366 * DAY) {
                let days = (stretch.start..stretch.end).step_by(DAY as usize);
                for instant in days.chain([stretch.end - 1]) {
                    assert_eq!(offset_at(zone, instant), stretch.offset, "{zone} at {instant}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_zone_name_gets_the_nearest() {
        for (name, near) in [
            ("Europe/Berln", Some("Europe/Berlin")),
            ("europe/berlin", Some("Europe/Berlin")),
            ("Berlin", Some("Europe/Berlin")),
            ("utc", Some("UTC")),
            ("+08:00", None),
            ("", None),
        ] {
            let message = parse_zone(name).unwrap_err();
            match near {
                Some(near) => assert!(message.contains(&format!("mean `{near}`?")), "{message}"),
                None => assert!(message.contains("write an IANA name"), "{message}"),
            }
        }
        assert_eq!(parse_zone("EST"), Ok(Tz::EST));
        assert_eq!(parse_zone("UTC"), Ok(Tz::UTC));
    }
}
