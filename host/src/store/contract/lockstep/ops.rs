//! Random steps.

use proptest::prelude::*;

/// The jobs that steps are about.
pub(super) const JOBS: [&str; 3] = ["a", "b", "acme/a"];

/// Whose they are.
pub(super) const TENANTS: [&str; 2] = ["default", "acme"];

/// One step, in numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Put { job: usize, on: u8, keep_cursor: bool, rate: u8 },
    Patch { job: usize, what: u8 },
    Remove { job: usize },
    Fire { job: usize, fires: u8, missed: u8, wait: bool, claim: usize, stale: bool },
    Start { job: usize, id: u128, later: bool },
    Acquire { slots: usize, is_narrow: bool },
    Allot { tenant: usize, what: u8, queue: u8 },
    Draw { claim: usize, what: u8, stale: bool },
    Finish { claim: usize, retry: bool, stale: bool },
    Log { claim: usize },
    Drop { run: usize },
    Cancel { run: usize },
    Beat,
    Due,
    Crash,
    Leave,
    Document { expect: u64, remove: bool },
    Count { by: i64 },
    Trim { bodies: u32, hours: u64 },
}

/// Steps; with `crashes`, processes die among them.
pub(super) fn ops(crashes: bool) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(crashes), 1..60)
}

/// The same, and whether each step's answers get lost once.
pub(super) fn lossy_ops(crashes: bool) -> impl Strategy<Value = Vec<(Op, bool)>> {
    prop::collection::vec((op(crashes), prop::bool::weighted(0.4)), 1..40)
}

fn op(crashes: bool) -> impl Strategy<Value = Op> {
    let job = 0..JOBS.len();
    prop_oneof![
        3 => (job.clone(), 0..4_u8, any::<bool>(), 0..5_u8)
            .prop_map(|(job, on, keep_cursor, rate)| Op::Put { job, on, keep_cursor, rate }),
        2 => (job.clone(), 0..4_u8).prop_map(|(job, what)| Op::Patch { job, what }),
        1 => job.clone().prop_map(|job| Op::Remove { job }),
        9 => (job.clone(), 0..4_u8, 0..3_u8, any::<bool>(), 0..3_usize, prop::bool::weighted(0.1))
            .prop_map(|(job, fires, missed, wait, claim, stale)| {
                Op::Fire { job, fires, missed, wait, claim, stale }
            }),
        4 => (job, 0..9_u128, any::<bool>())
            .prop_map(move |(job, id, later)| Op::Start { job, id, later: later && !crashes }),
        6 => (0..5_usize, prop::bool::weighted(0.3))
            .prop_map(|(slots, is_narrow)| Op::Acquire { slots, is_narrow }),
        2 => (0..TENANTS.len(), 0..9_u8, 0..6_u8)
            .prop_map(|(tenant, what, queue)| Op::Allot { tenant, what, queue }),
        2 => (any::<usize>(), 0..16_u8, prop::bool::weighted(0.1))
            .prop_map(|(claim, what, stale)| Op::Draw { claim, what, stale }),
        7 => (any::<usize>(), prop::bool::weighted(0.3), prop::bool::weighted(0.1))
            .prop_map(|(claim, retry, stale)| Op::Finish { claim, retry, stale }),
        2 => any::<usize>().prop_map(|claim| Op::Log { claim }),
        1 => any::<usize>().prop_map(|run| Op::Drop { run }),
        2 => any::<usize>().prop_map(|run| Op::Cancel { run }),
        1 => Just(Op::Beat),
        1 => Just(Op::Due),
        1 => Just(if crashes { Op::Crash } else { Op::Beat }),
        1 => Just(if crashes { Op::Leave } else { Op::Due }),
        1 => (0..3_u64, any::<bool>())
            .prop_map(|(expect, remove)| Op::Document { expect, remove }),
        1 => (-2..4_i64).prop_map(|by| Op::Count { by }),
        1 => (0..3_u32, 0..2_u64).prop_map(|(bodies, hours)| Op::Trim { bodies, hours }),
    ]
}
