//! The situations of a scheduler that this project collected, each in virtual time: what our policies
//! make of them.
//!
//! Ids are those of the collection, which says what APScheduler 3.11.3 does; where the rules of `docs/rules.md`
//! decides otherwise, the answer here is ours. Every situation is either proved here or left out
//! with a reason.

mod checks;
mod left_out;
mod table;
mod zones;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{at, key, scenario, shown, simulated, when};
use crate::simulate::Down;
use crate::time::Timestamp;
use checks::CHECKS;
use left_out::LEFT_OUT;
use table::TABLE;
use zones::ZONES;

/// Every situation of the collection.
const IDS: &str = "\
    C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C17b C73 C68 C74 C66 T1 T13 \
    C15 C16 C15b C17 C18 C18b C19 C20 C20b C20c C21 C21b C36 C67 C67b C67c q-a \
    C22 C22b C23 C24 C25 C26 C27 seed-003 \
    C31 C32 C33 C33b C35 C37 C37b C70 q-h q-j R5 R6 \
    C39 C40 C41 C45 C47 C48 C49 C51 C28 q-e C29 C30 C72 T14 \
    C42 q-g C43 C44 C54 T2 T3 asyncio \
    C63 C59 C60 T10 C61 T11 q-d pp T5 T4 T8 \
    T6 T7 T9 R1 R2 R3 R4 T12 \
    F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 F13 \
    D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 D11";

/// One situation that a simulation shows. Numbers are seconds after noon.
struct Case {
    /// The situations that it proves, with blanks between.
    ids: &'static str,
    /// What stands above the jobs.
    host: &'static str,
    /// Jobs: name, then keys in TOML.
    jobs: &'static [(&'static str, &'static str)],
    /// How long runs take, in seconds.
    run_times: &'static [(&'static str, f64)],
    /// When the host is down: a pass comes at the second number.
    down: &'static [(f64, f64)],
    /// Whether the plugin is missing.
    absent: bool,
    /// From when to when.
    span: Span,
    /// All that comes out.
    ledger: Ledger,
    /// What a warning contains.
    warning: Option<&'static str>,
}

/// From when to when.
enum Span {
    /// Seconds after noon.
    Secs(f64, f64),
    /// Instants.
    Utc(&'static str, &'static str),
}

/// What comes out.
enum Ledger {
    /// Verdicts, as `shown` writes them.
    Verdicts(&'static [&'static str]),
    /// Fire times, all of which run on time.
    OnTime(&'static [&'static str]),
}

/// The situation that most others differ from in a key or two.
const NOON: Case = Case {
    ids: "",
    host: "",
    jobs: &[],
    run_times: &[],
    down: &[],
    absent: false,
    span: Span::Secs(0.0, 60.0),
    ledger: Ledger::Verdicts(&[]),
    warning: None,
};

impl Case {
    fn prove(&self) {
        let mut text = self.host.to_owned();
        for (job, keys) in self.jobs {
            text.push_str(&format!("\n[jobs.{job}]\nplugin = 'p'\n{keys}\n"));
        }
        let (from, to) = match self.span {
            Span::Secs(from, to) => (secs(from), secs(to)),
            Span::Utc(from, to) => (at(from), at(to)),
        };
        let mut scenario = scenario(&text, from, to);
        for (job, took) in self.run_times {
            scenario.run_times.insert(key(job), Duration::from_secs_f64(*took));
        }
        let down = |(from, to): &(f64, f64)| Down { from: secs(*from), to: secs(*to) };
        scenario.down = self.down.iter().map(down).collect();
        if self.absent {
            scenario.absent.insert(scenario.jobs[0].job.plugin_key());
        }
        let simulated = simulated(&scenario);
        match self.ledger {
            Ledger::Verdicts(expected) => {
                let found: Vec<_> = simulated.decisions.iter().map(shown).collect();
                assert_eq!(found, expected, "{}", self.ids);
            }
            Ledger::OnTime(expected) => {
                let fires = simulated.decisions.iter().map(|item| {
                    assert_eq!(item.started_at, Some(item.first), "{}", self.ids);
                    when(item.first)
                });
                assert_eq!(fires.collect::<Vec<_>>(), expected, "{}", self.ids);
            }
        }
        let warnings: Vec<_> = simulated.warnings.iter().map(ToString::to_string).collect();
        match self.warning {
            Some(part) => assert!(warnings[0].contains(part), "{}: {warnings:?}", self.ids),
            None => assert!(warnings.is_empty(), "{}: {warnings:?}", self.ids),
        }
    }
}

/// So many seconds after noon.
fn secs(secs: f64) -> Timestamp {
    let noon = at("2026-01-01T12:00:00Z");
    Timestamp::from_micros(noon.micros() + (secs * 1e6).round() as i64)
}

#[test]
fn every_situation_of_the_tables_comes_out_as_decided() {
    TABLE.iter().chain(ZONES).for_each(Case::prove);
}

#[test]
fn every_situation_that_needs_a_hand_comes_out_as_decided() {
    for (ids, check) in CHECKS {
        // The name of the situation stands above the failure.
        println!("{ids}");
        check();
    }
}

#[test]
fn each_situation_is_proved_or_left_out_with_a_reason() {
    let all: Vec<&str> = IDS.split_whitespace().collect();
    assert_eq!(all.len(), 122);
    let table = TABLE.iter().chain(ZONES).flat_map(|case| case.ids.split_whitespace());
    let checks = CHECKS.iter().flat_map(|(ids, _)| ids.split_whitespace());
    let proved: BTreeSet<&str> = table.chain(checks).collect();
    let mut left_out = BTreeSet::new();
    for (ids, reason) in LEFT_OUT {
        assert!(!reason.is_empty(), "{ids}");
        left_out.extend(ids.split_whitespace());
    }
    let both: Vec<_> = proved.intersection(&left_out).collect();
    assert!(both.is_empty(), "proved and left out: {both:?}");
    let known: BTreeSet<&str> = all.into_iter().collect();
    let found: BTreeSet<&str> = proved.union(&left_out).copied().collect();
    assert_eq!(found, known);
}
