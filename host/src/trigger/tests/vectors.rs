//! Every trigger of the vector files gives exactly the fires written there.

use serde_json::Value;

use super::{fires, parse, shown, utc};
use crate::time::Timestamp;

const TRIGGERS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/triggers/triggers.jsonl"));
const INVALID: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/triggers/invalid.jsonl"));

const HAND: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/triggers/hand.jsonl"));

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_vector_gives_its_fires() {
    let vectors = lines(TRIGGERS);
    assert_eq!(vectors.len(), 4_162);
    let mut wrong = Vec::new();
    for vector in &vectors {
        let trigger = match parse(&vector["trigger"]) {
            Ok(trigger) => trigger,
            Err(problems) => {
                wrong.push(format!("{}: {problems:?}", vector["id"]));
                continue;
            }
        };
        let now = utc(vector["after"].as_str().unwrap());
        let found = fires(&trigger, now, 10);
        if Value::from(shown(&found)) != vector["expect"] {
            wrong.push(format!("{vector}\n  gave {:?}", shown(&found)));
        }
        // What was found going forward is found going back, and counted.
        let end = found.last().map_or(now, |last| Timestamp::from_micros(last.micros() + 1));
        let from = found.first().copied().unwrap_or(now);
        assert_eq!(trigger.count(now, from, end), found.len() as u64, "count of {vector}");
        let before = std::iter::once(None).chain(found.iter().copied().map(Some));
        for (expected, fire) in before.zip(&found) {
            assert_eq!(trigger.prev_before(now, *fire), expected, "before {fire} of {vector}");
        }
    }
    assert!(wrong.is_empty(), "{} wrong, first:\n{}", wrong.len(), wrong[0]);
}

#[test]
fn what_was_worked_out_by_hand_is_what_comes_out() {
    let mut wrong = Vec::new();
    let cases = lines(HAND);
    assert!(130 < cases.len());
    for case in &cases {
        let parsed = parse(&case["trigger"]);
        if case["refuse"] == true {
            assert!(parsed.is_err(), "{case}");
            continue;
        }
        let trigger = parsed.unwrap_or_else(|problems| panic!("{case}: {problems:?}"));
        let now = utc(case["after"].as_str().unwrap());
        let expected = case["expect"].as_array().unwrap();
        assert!(trigger.try_first(now).is_ok(), "{case}");
        let found = fires(&trigger, now, expected.len() + 1);
        let ends = found.len() == expected.len();
        let same = shown(&found).iter().zip(expected).all(|(found, expected)| found == expected);
        if !same || found.len() < expected.len() || ends != (case["ends"] == true) {
            wrong.push(format!("{case}\n  gave {:?}", shown(&found)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_trigger_of_the_refusal_table_is_accepted_or_refused_as_written() {
    let cases = lines(INVALID);
    assert_eq!(cases.len(), 93);
    let wrong: Vec<&Value> =
        cases.iter().filter(|case| case["accept"] != parse(&case["trigger"]).is_ok()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
