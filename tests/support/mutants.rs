//! Bytes changed at random, from one seed: the same ones each time.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Bytes that are taken out or doubled by one change at most.
const MAX_PIECE: usize = 4_096;

/// These bytes with one to three changes, again and again without end.
pub fn mutants(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let config = Config { failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let changes = prop::collection::vec(change(), 1..4);
    std::iter::repeat_with(move || {
        let changes = changes.new_tree(&mut runner).unwrap();
        changed(bytes, &changes.current())
    })
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Take(prop::sample::Index, prop::sample::Index),
    Double(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Change::Cut),
        1 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(from, to)| Change::Take(from, to)),
        1 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(from, to)| Change::Double(from, to)),
    ]
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        let range = |a: &prop::sample::Index, b: &prop::sample::Index| {
            let (a, b) = (a.index(length), b.index(length));
            a.min(b)..a.max(b).min(a.min(b) + MAX_PIECE)
        };
        match change {
            Change::Set(at, byte) => bytes[at.index(length)] = *byte,
            Change::Cut(at) => bytes.truncate(at.index(length)),
            Change::Take(a, b) => drop(bytes.drain(range(a, b))),
            Change::Double(a, b) => {
                let range = range(a, b);
                let piece = bytes[range.clone()].to_vec();
                bytes.splice(range.start..range.start, piece);
            }
        }
    }
    bytes
}
