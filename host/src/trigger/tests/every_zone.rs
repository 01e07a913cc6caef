//! Every change of the clocks of every zone from 2000 to 2050, under `once` (A3).
//!
//! The model is another one than the walker's: the dates that a zone has are those that its clock
//! shows, and the fire of a date is the first instant at which the clock has reached its wall time.

use chrono_tz::{TZ_VARIANTS, Tz};
use serde_json::json;

use super::super::Trigger;
use super::super::zone::{DAY, Stretch, stretches};
use super::{fires, parse};
use crate::time::Timestamp;

const YEARS: (i64, i64) = (946_684_800, 2_556_144_000);
const HOUR: i64 = 3_600;

/// Times of day, in seconds, that a change of the clock from one label to another may touch:
/// inside of what is left out or comes twice, at its ends, and around them.
fn times(from: i64, to: i64) -> Vec<i64> {
    let (low, high) = (from.min(to), from.max(to));
    let mut times: Vec<i64> =
        [low - HOUR, low - 1, low, low.midpoint(high), high - 1, high, high + HOUR, 0]
            .map(|label| label.rem_euclid(DAY))
            .into();
    times.sort_unstable();
    times.dedup();
    times
}

/// The days since 1970 that the clock shows at some instant of `pieces`.
fn dates(pieces: &[Stretch]) -> Vec<i64> {
    let mut dates: Vec<i64> = pieces
        .iter()
        .flat_map(|piece| {
            let (first, last) = (piece.start + piece.offset, piece.end - 1 + piece.offset);
            first.div_euclid(DAY)..=last.div_euclid(DAY)
        })
        .collect();
    dates.sort_unstable();
    dates.dedup();
    dates
}

/// The first instant of `pieces` at which the clock has reached `label`.
fn reached(pieces: &[Stretch], label: i64) -> Option<i64> {
    let piece = pieces.iter().find(|piece| label < piece.end + piece.offset)?;
    Some(piece.start.max(label - piece.offset))
}

fn daily(zone: Tz, time: i64) -> Trigger {
    parse(&json!({
        "type": "cron", "timezone": zone.name(), "hour": time / HOUR, "minute": time / 60 % 60,
        "second": time % 60,
    }))
    .unwrap()
}

/// Checks one change; answers how many times of day were tried.
fn check(zone: Tz, change: i64, (from, to): (i64, i64)) -> usize {
    let around: Vec<Stretch> = stretches(zone, change - 5 * DAY, change + 5 * DAY).collect();
    // The dates at the ends may have begun before, or have their time later.
    let dates = dates(&around);
    let dates = &dates[2..dates.len() - 2];
    let times = times(from, to);
    for time in &times {
        let trigger = daily(zone, *time);
        let expected: Vec<i64> =
            dates.iter().filter_map(|date| reached(&around, date * DAY + time)).collect();
        assert_eq!(expected.len(), dates.len(), "{zone} {change}");
        assert!(expected.is_sorted_by(|a, b| a < b), "{zone} {change}: {expected:?}");
        let (start, end) = (expected[0], expected[expected.len() - 1]);
        let found: Vec<i64> = fires(&trigger, Timestamp::from_secs(start), expected.len())
            .iter()
            .map(|fire| fire.micros() / 1_000_000)
            .collect();
        assert_eq!(found, expected, "{zone} at {change}, {} h", *time as f64 / HOUR as f64);
        let (start, end) = (Timestamp::from_secs(start), Timestamp::from_secs(end + 1));
        assert_eq!(trigger.count(start, start, end), expected.len() as u64, "{zone} {change}");
    }
    times.len()
}

fn check_zone(zone: Tz) -> (usize, usize) {
    let all: Vec<Stretch> = stretches(zone, YEARS.0, YEARS.1).collect();
    let changes = all.windows(2).map(|pair| {
        let at = pair[1].start;
        check(zone, at, (at + pair[0].offset, at + pair[1].offset))
    });
    changes.fold((0, 0), |(changes, times), tried| (changes + 1, times + tried))
}

#[test]
fn a_daily_job_has_one_fire_for_each_date_around_every_change_of_every_zone() {
    let parts = std::thread::available_parallelism().map_or(1, usize::from);
    let totals: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parts)
            .map(|part| {
                let zones = TZ_VARIANTS.iter().skip(part).step_by(parts);
                scope.spawn(move || zones.map(|zone| check_zone(*zone)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (changes, times) = totals.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("{} zones, {changes} changes, {times} daily jobs", totals.len());
    assert_eq!(totals.len(), TZ_VARIANTS.len());
    assert!(15_000 < changes, "{changes}");
}
