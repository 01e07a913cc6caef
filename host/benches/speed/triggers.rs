//! The next fire time, beside the two crates that others read cron expressions with.
//!
//! Each is asked in its own way for the first fire after an instant: ours for a [`Timestamp`], the
//! crates for a time that is already in the zone.

use std::hint::black_box;
use std::str::FromStr;
use std::time::{Duration, Instant};

use campanile::time::Timestamp;
use campanile::trigger::Trigger;
use chrono::DateTime;
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds};
use serde_json::Value;

use crate::findings::{Aim, Findings, RATIO_SLACK};

/// What is asked: a name, and the expression as Unix writes it, with seconds.
const EXPRESSIONS: [(&str, &str); 8] = [
    ("every 10 seconds", "*/10 * * * * *"),
    ("every minute", "0 * * * * *"),
    ("every 5 minutes", "0 */5 * * * *"),
    ("hourly", "0 17 * * * *"),
    ("daily", "0 30 2 * * *"),
    ("weekdays", "0 0 9 * * MON-FRI"),
    ("monthly", "0 0 0 1 * *"),
    ("yearly", "0 0 0 1 1 *"),
];
const ZONES: [Tz; 2] = [Tz::UTC, Tz::Europe__Berlin];
/// Instants after which each is asked for, spread over [`YEARS`].
const INSTANTS: usize = 2_000;
/// From the start of 2024.
const FROM: Timestamp = Timestamp::from_secs(1_704_067_200);
const YEARS: u64 = 10;
/// Each is asked for all instants so many times; the fastest round counts.
const ROUNDS: usize = 5;
/// No slower than the faster of both.
const AIM: Aim = Aim::AtMost(1.0);

pub fn measure(findings: &mut Findings) {
    findings.note("ns for the next fire time after varied instants: ours, cron, croner");
    let anchor = Timestamp::from_secs(0);
    for zone in ZONES {
        let instants = instants();
        let zoned: Vec<DateTime<Tz>> =
            instants.iter().map(|instant| instant.to_utc().with_timezone(&zone)).collect();
        for (name, expression) in EXPRESSIONS {
            let ours = ours(expression, zone);
            let cron = cron::Schedule::from_str(expression).expect("an expression of `cron`");
            let croner = CronParser::builder().seconds(Seconds::Required).build();
            let croner = croner.parse(expression).expect("an expression of `croner`");
            let by_ours = |after: &Timestamp| ours.next_after(anchor, *after);
            let by_cron = |after: &DateTime<Tz>| cron.after(after).next();
            let by_croner = |after: &DateTime<Tz>| croner.find_next_occurrence(after, false).ok();
            if zone == Tz::UTC {
                for (after, zoned) in instants.iter().zip(&zoned) {
                    let expected = by_cron(zoned).map(|time| Timestamp::from(time.to_utc()));
                    assert_eq!(by_ours(after), expected, "{name} after {after}");
                }
            }
            // In turns, so that all meet the same noise.
            let (mut ns, mut ns_cron, mut ns_croner) = (f64::MAX, f64::MAX, f64::MAX);
            for _ in 0..ROUNDS {
                ns = ns.min(round(&instants, by_ours));
                ns_cron = ns_cron.min(round(&zoned, by_cron));
                ns_croner = ns_croner.min(round(&zoned, by_croner));
            }
            let ratio = ns / ns_cron.min(ns_croner);
            let what = format!("{name:<17} {zone:<13} {ns:>6.0} {ns_cron:>8.0} {ns_croner:>8.0}");
            findings.aim(&what, ratio, "times", AIM, RATIO_SLACK);
        }
    }
}

fn ours(expression: &str, zone: Tz) -> Trigger {
    let text = Value::String(format!("cron {expression}"));
    Trigger::parse(&text, "trigger", zone, &mut Vec::new()).expect("a trigger")
}

/// Nanoseconds for each of `instants`.
fn round<I, T>(instants: &[I], next: impl Fn(&I) -> T) -> f64 {
    let start = Instant::now();
    for instant in instants {
        black_box(next(black_box(instant)));
    }
    start.elapsed().as_nanos() as f64 / instants.len() as f64
}

/// Instants at all times of day and year, the same in each run.
fn instants() -> Vec<Timestamp> {
    let span = YEARS * 365 * 86_400 * 1_000_000;
    let mut state = 1_u64;
    let draw = |_| {
        // A linear congruential generator (Knuth, MMIX); its high bits are random enough.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        FROM.after(Duration::from_micros((state >> 11) % span))
    };
    (0..INSTANTS).map(draw).collect()
}
