//! Stores beside the one in memory, one sequence of random steps: every answer is the same, and so is
//! what is left.
//!
//! A crash is a new process for a file or a new connection to a server, and a new session for both.
//! With crashes, no run waits for a time of its own: which of a job's waiting runs is first in line
//! may change when a file is read again, how many may run does not.
//!
//! Where answers get lost, the other store did what it was asked, and its caller asks the same again:
//! what is left after each step is what is left in the memory, where nothing was lost and nothing
//! asked twice. The answer is that of a repeat: it says so (`Already`, `Exists`, `Lost`), or is the
//! same.

mod ops;
mod side;

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::losing::Losing;
use super::server;
use super::world::at;
use crate::record::query::{JobFilter, Page, RunFilter};
use crate::run::id::Uid;
use crate::store::Store;
use crate::store::redis::settings::Settings;
use ops::{Op, lossy_ops, ops};
use side::Side;

/// Where a store is.
#[derive(Clone)]
enum Kind {
    /// On a server and in a file by turns: what dies there moves to the other.
    Moving(PathBuf, u32),
    Memory,
    Sqlite(PathBuf),
    Redis(Box<Settings>),
}

impl Kind {
    /// Whether it forgets with its process whose turn it was.
    fn forgets(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Moving(..))
    }
}

async fn run(ops: Vec<Op>, other: Kind) {
    let mut memory = Side::new(Kind::Memory).await.forgetting(other.forgets());
    let mut other = Side::new(other).await;
    let mut now = at(0);
    for (number, op) in ops.iter().enumerate() {
        now = now.after(Duration::from_secs(4));
        let answers = (memory.take(op, now).await, other.take(op, now).await);
        assert_eq!(answers.0, answers.1, "step {number}: {op:?}");
    }
    for (one, other) in memory.rest().await.lines().zip(other.rest().await.lines()) {
        assert_eq!(one, other);
    }
    all_is_sound(&memory, &other).await;
}

async fn run_and_lose(ops: Vec<(Op, bool)>, other: Kind, losing: Option<Losing>) {
    let mut memory = Side::new(Kind::Memory).await.forgetting(other.forgets());
    let mut other = Side::new(other).await.losing(losing);
    let mut now = at(0);
    for (number, (op, is_lost)) in ops.iter().enumerate() {
        now = now.after(Duration::from_secs(4));
        (memory.is_lost, other.is_lost) = (*is_lost, *is_lost);
        let answers = (memory.take(op, now).await, other.take(op, now).await);
        let step = format!("step {number}: {op:?}, lost: {is_lost}");
        assert_eq!(answers.0, answers.1, "{step}");
        let held = (memory.held(now).await, other.held(now).await);
        assert_eq!(held.0, held.1, "{step}");
        other.learn_from(&memory);
        for (one, other) in memory.rest().await.lines().zip(other.rest().await.lines()) {
            assert_eq!(one, other, "{step}");
        }
    }
    all_is_sound(&memory, &other).await;
}

async fn all_is_sound(memory: &Side, other: &Side) {
    for side in [memory, other] {
        slots_are_never_exceeded(side.store.as_ref()).await;
        assert_eq!(side.store.faults().await, Ok(Vec::new()));
    }
}

/// I5: no job has more runs under way than it may.
async fn slots_are_never_exceeded(store: &dyn Store) {
    use crate::run::RunState::{Retrying, Running};
    let page = || Page { limit: 1_000, cursor: None };
    let started = RunFilter { states: vec![Running, Retrying], ..RunFilter::default() };
    let runs = store.runs(started, page()).await.unwrap().items;
    for schedule in store.list(JobFilter::default(), page()).await.unwrap().items {
        let uid: Uid = schedule.uid;
        let live = runs.iter().filter(|run| run.uid == uid).count();
        assert!(live <= usize::try_from(schedule.max_instances).unwrap(), "{}", schedule.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_answer_alike(ops in ops(false)) {
        wait_for(run(ops, file(&tempfile::tempdir().unwrap())));
    }

    #[test]
    fn memory_and_sqlite_answer_alike_when_processes_die(ops in ops(true)) {
        wait_for(run(ops, file(&tempfile::tempdir().unwrap())));
    }

    #[test]
    fn memory_and_redis_answer_alike(ops in ops(false)) {
        wait_for(run(ops, Kind::Redis(Box::new(server::settings()))));
    }

    #[test]
    fn memory_and_what_moves_from_store_to_store_answer_alike(ops in ops(true)) {
        let dir = tempfile::tempdir().unwrap();
        wait_for(run(ops, Kind::Moving(dir.path().to_owned(), 0)));
    }

    #[test]
    fn memory_and_redis_answer_alike_when_processes_die(ops in ops(true)) {
        wait_for(run(ops, Kind::Redis(Box::new(server::settings()))));
    }

    #[test]
    fn in_memory_nothing_happens_twice_when_answers_are_lost(ops in lossy_ops(true)) {
        wait_for(run_and_lose(ops, Kind::Memory, None));
    }

    #[test]
    fn in_sqlite_nothing_happens_twice_when_answers_are_lost(ops in lossy_ops(true)) {
        wait_for(run_and_lose(ops, file(&tempfile::tempdir().unwrap()), None));
    }

    #[test]
    fn in_redis_nothing_happens_twice_when_answers_are_lost(ops in lossy_ops(true)) {
        let losing = Losing::new();
        let kind = Kind::Redis(Box::new(losing.settings().clone()));
        wait_for(run_and_lose(ops, kind, Some(losing)));
    }
}

fn file(dir: &tempfile::TempDir) -> Kind {
    Kind::Sqlite(dir.path().join("campanile.db"))
}

fn wait_for(steps: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(steps);
}
