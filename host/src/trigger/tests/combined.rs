//! `or` and `and` against models that keep cursors, as A11 has it word by word.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{MAX_STEPS, Trigger};
use super::{fires, parse, shown, utc};
use crate::time::Timestamp;

const SECOND: i64 = 1_000_000;
const ANCHOR: &str = "2026-03-29T00:59:57.3Z";

fn anchor() -> Timestamp {
    utc(ANCHOR)
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(anchor().micros() + micros)
}

/// The fires of `trigger` from its first on, one by one.
fn sequence(trigger: &Trigger) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(trigger.first(anchor()), |fire| trigger.next_after(anchor(), *fire))
}

fn dates() -> impl Strategy<Value = Value> {
    (-90 * SECOND..90 * SECOND)
        .prop_map(|micros| json!({"type": "date", "run_date": at(micros).to_string()}))
}

/// Intervals from `shortest` tenths of a second on, on grids that often have points in common.
fn intervals(shortest: i64) -> impl Strategy<Value = Value> {
    let start = prop_oneof![
        Just(json!({"start": "now"})),
        Just(json!({})),
        (-100..100_i64).prop_map(|tenths| json!({"start_date": at(tenths * 100_000).to_string()})),
    ];
    let end = prop_oneof![
        3 => Just(json!(null)),
        1 => (100..900_i64).prop_map(|tenths| json!(at(tenths * 100_000).to_string())),
    ];
    (shortest..shortest * 9, start, end).prop_map(|(tenths, start, end)| {
        let mut value =
            json!({"type": "interval", "seconds": tenths as f64 / 10.0, "end_date": end});
        for (key, start) in start.as_object().unwrap() {
            value[key] = start.clone();
        }
        value
    })
}

/// Crons that fire every `least` seconds or more rarely, around the change of Berlin's clocks.
fn crons(least: u32) -> impl Strategy<Value = Value> {
    let zone = prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("Asia/Kolkata")];
    let dst = prop_oneof![Just("once"), Just("wall")];
    let hour = prop_oneof![Just("*"), Just("0-2"), Just("1-4"), Just("2")];
    (zone, dst, hour, least..20_u32).prop_map(|(zone, dst, hour, step)| {
        json!({
            "type": "cron", "timezone": zone, "dst": dst, "hour": hour, "minute": "*",
            "second": format!("*/{step}"),
        })
    })
}

fn members(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Value>> {
    let one = prop_oneof![1 => dates(), 3 => intervals(3), 3 => crons(1)];
    proptest::collection::vec(one, count)
}

/// The union of the members' fires before `end`.
fn model_or(members: &[Value], end: Timestamp) -> BTreeSet<Timestamp> {
    let members = members.iter().map(|member| parse(member).unwrap());
    members
        .flat_map(|member| sequence(&member).take_while(|fire| *fire < end).collect::<Vec<_>>())
        .collect()
}

/// The first `limit` agreements before `end`, found by moving the earliest cursor, one fire at a time.
fn model_and(members: &[Trigger], threshold: i64, limit: usize, end: Timestamp) -> Vec<Timestamp> {
    let mut sequences: Vec<_> = members.iter().map(sequence).collect();
    let first: Option<Vec<Timestamp>> = sequences.iter_mut().map(Iterator::next).collect();
    let Some(mut cursors) = first else { return Vec::new() };
    let mut found = Vec::new();
    while found.len() < limit && cursors.iter().all(|cursor| *cursor < end) {
        let earliest = (0..cursors.len()).min_by_key(|at| cursors[*at]).unwrap();
        let latest = cursors.iter().max().unwrap();
        let moves = if latest.micros() - cursors[earliest].micros() <= threshold {
            found.push(cursors[earliest]);
            0..cursors.len()
        } else {
            earliest..earliest + 1
        };
        for at in moves {
            let Some(next) = sequences[at].next() else { return found };
            cursors[at] = next;
        }
    }
    found
}

/// Checks that searches from anywhere find what walking from the anchor finds.
fn check_searches(trigger: &Trigger, found: &[Timestamp]) -> Result<(), TestCaseError> {
    prop_assert!(found.is_sorted_by(|a, b| a < b), "{:?}", found);
    let before = std::iter::once(None).chain(found.iter().copied().map(Some));
    for ((index, fire), previous) in found.iter().enumerate().zip(before) {
        prop_assert_eq!(trigger.prev_before(anchor(), *fire), previous, "before {}", fire);
        let earlier = previous.unwrap_or(Timestamp::MIN).micros();
        let between =
            Timestamp::from_micros(fire.micros() - (fire.micros() - earlier).min(SECOND) / 2);
        if between < *fire && previous < Some(between) {
            prop_assert_eq!(
                trigger.next_after(anchor(), between),
                Some(*fire),
                "after {}",
                between
            );
            prop_assert_eq!(trigger.prev_before(anchor(), between), previous, "before {}", between);
        }
        let counted = trigger.count(anchor(), found[0], *fire);
        prop_assert_eq!(counted, index as u64, "up to {}", fire);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_or_merges_the_sequences_of_its_members(members in members(1..5), nested in any::<bool>()) {
        let value = if nested {
            json!({"type": "or", "triggers": [members[0], {"type": "or", "triggers": members}]})
        } else {
            json!({"type": "or", "triggers": members})
        };
        let trigger = parse(&value).unwrap();
        let end = at(60 * SECOND);
        let expected: Vec<Timestamp> = model_or(&members, end).into_iter().collect();
        let found: Vec<Timestamp> = sequence(&trigger).take_while(|fire| *fire < end).collect();
        prop_assert_eq!(shown(&found), shown(&expected), "{}", value);
        check_searches(&trigger, &found)?;
        prop_assert_eq!(trigger.count(anchor(), Timestamp::MIN, end), found.len() as u64);
    }

    #[test]
    fn a_union_is_counted_as_it_is_walked(members in members(2..6), from in -99..500_i64, length in 0..9_000_i64) {
        let trigger = parse(&json!({"type": "or", "triggers": members})).unwrap();
        let (from, to) = (at(from * 77_777), at((from + length) * 77_777));
        let walked = sequence(&trigger).take_while(|fire| *fire < to).filter(|fire| from <= *fire);
        prop_assert_eq!(trigger.count(anchor(), from, to), walked.count() as u64);
    }

    #[test]
    fn an_and_fires_as_the_cursors_of_its_members_do(
        rare in prop_oneof![intervals(65), crons(7)],
        others in members(1..3),
        threshold in 0..33_i64,
    ) {
        let threshold = threshold * 100_000;
        let mut values = others;
        values.insert(values.len() / 2, rare);
        let value = json!({"type": "and", "triggers": values, "threshold": threshold as f64 / 1e6});
        let trigger = parse(&value).unwrap();
        let members: Vec<Trigger> = values.iter().map(|value| parse(value).unwrap()).collect();
        let end = at(600 * SECOND);
        let expected = model_and(&members, threshold, 25, end);
        let found: Vec<Timestamp> =
            sequence(&trigger).take(expected.len()).collect();
        prop_assert_eq!(shown(&found), shown(&expected), "{}", value);
        let next = sequence(&trigger).nth(expected.len());
        let later = at(590 * SECOND);
        prop_assert!(expected.len() == 25 || next.is_none_or(|next| later < next), "{}", value);
        check_searches(&trigger, &found)?;
    }

    #[test]
    fn an_and_of_frequent_members_is_the_same_from_wherever_it_is_asked(
        members in proptest::collection::vec(intervals(3), 2..4),
        threshold in 20..40_i64,
        later in 0..150_i64,
    ) {
        let value = json!({"type": "and", "triggers": members, "threshold": threshold as f64 / 10.0});
        let trigger = parse(&value).unwrap();
        let later = at(later * SECOND);
        let found: Vec<Timestamp> = sequence(&trigger).take(700).collect();
        let from = found.iter().position(|fire| later <= *fire).unwrap_or(found.len());
        let before = Timestamp::from_micros(later.micros() - 1);
        prop_assert_eq!(trigger.next_after(anchor(), before), found.get(from).copied());
        prop_assert_eq!(trigger.prev_before(anchor(), later), found[..from].last().copied());
        let some = &found[from..found.len().min(from + 20)];
        if let (Some(first), Some(last)) = (some.first(), some.last()) {
            prop_assert_eq!(trigger.count(anchor(), *first, *last), some.len() as u64 - 1);
        }
        // Up to the first mark that may count it is the model's.
        let members: Vec<Trigger> = members.iter().map(|value| parse(value).unwrap()).collect();
        let first_mark = utc("2026-03-29T01:00:00Z");
        let expected = model_and(&members, threshold * 100_000, 32, first_mark);
        prop_assert!(found.iter().zip(&expected).all(|(found, expected)| found == expected));
    }
}

#[test]
fn what_agrees_at_a_distance_fires_once_at_the_earliest() {
    let first = utc("2026-01-01T00:00:00Z");
    let every = |seconds: f64, start: &str| json!({"type": "interval", "seconds": seconds, "start_date": format!("2026-01-01 {start}")});
    for (threshold, members, expected) in [
        // The second second of each pair has fired with the first one.
        (1.0, [every(10.0, "00:00:00"), every(10.0, "00:00:01")], vec![0, 10, 20]),
        (0.9, [every(10.0, "00:00:00"), every(10.0, "00:00:01")], vec![]),
        // 4 and 6 meet every 12; 8 is one apart from no multiple of 6.
        (1.0, [every(4.0, "00:00:00"), every(6.0, "00:00:00")], vec![0, 12, 24]),
        // 4 and 6 agree, so both move on to 8 and 12, which do not.
        (2.0, [every(4.0, "00:00:00"), every(6.0, "00:00:00")], vec![0, 4, 12, 16]),
        // The cursors stay two apart and never catch up: every fire of the slower one is used.
        (1.0, [every(1.0, "00:00:00"), every(2.0, "00:00:00")], vec![0, 1, 3, 5, 7]),
    ] {
        let value = json!({"type": "and", "triggers": members, "threshold": threshold});
        let trigger = parse(&value).unwrap();
        let found: Vec<u64> = fires(&trigger, first, expected.len().max(1))
            .iter()
            .map(|fire| fire.since(first).as_secs())
            .collect();
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn an_and_that_never_agrees_gives_up_and_says_so() {
    let never = json!({"type": "and", "triggers": ["cron 0 * * * *", "cron 30 * * * *"]});
    let trigger = parse(&never).unwrap();
    let started = Instant::now();
    let gave_up = trigger.try_first(anchor()).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(anchor() < gave_up.searched_to);
    assert!(gave_up.to_string().contains("10000 steps"), "{gave_up}");
    assert_eq!((trigger.first(anchor()), MAX_STEPS), (None, 10_000));
    assert_eq!(trigger.prev_before(anchor(), utc("2027-01-01T00:00:00Z")), None);
    // Within others as well, and in no more steps.
    let nested = json!({"type": "or", "triggers": [{"type": "and", "triggers": [never, never]}]});
    assert!(parse(&nested).unwrap().try_first(anchor()).is_err());
    // What ends is exhausted instead.
    let ended = json!({"type": "and", "triggers": [
        "cron 0 * * * *",
        {"type": "cron", "minute": 30, "end_date": "2026-04-01"},
    ]});
    assert_eq!(parse(&ended).unwrap().try_first(anchor()), Ok(None));
}

#[test]
fn frequent_and_rare_members_meet_without_a_walk_from_one_to_the_other() {
    let value = json!({"type": "and", "triggers": [
        {"type": "interval", "seconds": 0.1, "start_date": "2026-01-01"},
        {"type": "cron", "month": 2, "day": 29},
    ], "threshold": 0});
    let trigger = parse(&value).unwrap();
    let found = fires(&trigger, anchor(), 3);
    assert_eq!(
        shown(&found),
        ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"]
    );
    let end = utc("2100-01-01T00:00:00Z");
    assert_eq!(trigger.prev_before(anchor(), end), Some(utc("2096-02-29T00:00:00Z")));
    assert_eq!(trigger.count(anchor(), anchor(), end), 18);
}

#[test]
fn a_year_of_the_seconds_of_a_union_is_counted_directly() {
    let (from, to) = (utc("2025-01-01T00:00:00Z"), utc("2026-01-01T00:00:00Z"));
    let value = json!({"type": "or", "triggers": [
        {"type": "cron", "second": "*", "timezone": "America/New_York", "dst": "wall"},
        {"type": "cron", "second": "*/2", "hour": "1-5", "timezone": "Europe/Berlin"},
        {"type": "interval", "seconds": 0.5, "start_date": "2025-01-01"},
        {"type": "interval", "seconds": 0.75, "start_date": "2025-01-01"},
        {"type": "date", "run_date": "2025-06-01 00:00:00.75"},
        {"type": "date", "run_date": "2025-06-01 00:00:00.1"},
    ]});
    let trigger = parse(&value).unwrap();
    let started = Instant::now();
    // Each half second, of every second point of the other grid one more, and the second date.
    let year = 365 * 86_400;
    assert_eq!(trigger.count(from, from, to), 2 * year + year * 2 / 3 + 1);
    assert_eq!(trigger.prev_before(from, to), Some(utc("2025-12-31T23:59:59.500000Z")));
    // Walking it would take minutes.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_past_date_is_the_first_fire_of_an_or_and_the_others_begin_at_the_registration() {
    let value = json!({"type": "or", "triggers": ["at 2026-01-01 05:00:00", "cron 0 */2 * * *"]});
    let trigger = parse(&value).unwrap();
    let found = fires(&trigger, utc("2026-01-01T06:30:00Z"), 3);
    assert_eq!(
        shown(&found),
        ["2026-01-01T05:00:00Z", "2026-01-01T08:00:00Z", "2026-01-01T10:00:00Z"]
    );
}

#[test]
fn what_has_to_be_walked_is_counted_in_stretches() {
    let from = utc("2026-01-01T00:00:00Z");
    let (seconds, last) = ("cron * * * * * *", utc("2026-01-01T06:00:00Z"));
    let counts = |trigger: &Value, limit: usize| -> Vec<(u64, String)> {
        let stretches = parse(trigger).unwrap().counted(from, (from, last), limit);
        stretches.iter().map(|it| (it.count, format!("{} {}", it.first, it.last))).collect()
    };
    let all = (21_601, "2026-01-01T00:00:00Z 2026-01-01T06:00:00Z".to_owned());
    assert_eq!(counts(&json!({"type": "or", "triggers": [seconds, seconds]}), 1), [all]);
    let pairs = json!({"type": "and", "triggers": [seconds, seconds], "threshold": 0.5});
    let stretches = [
        (10_000, "2026-01-01T00:00:00Z 2026-01-01T02:46:39Z".to_owned()),
        (10_000, "2026-01-01T02:46:40Z 2026-01-01T05:33:19Z".to_owned()),
        (1_601, "2026-01-01T05:33:20Z 2026-01-01T06:00:00Z".to_owned()),
    ];
    assert_eq!(counts(&pairs, 9), stretches);
    assert_eq!(counts(&pairs, 2), stretches[..2]);
}
