//! Of jobs that are changed over REST: what was acknowledged stays, and what is read is what stands.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Finding, View};
use crate::chaos::history::{Answer, Micros};

/// C8.
pub(super) fn kept(view: &View<'_>) -> Vec<Finding> {
    let mut allowed: BTreeMap<&str, (Option<u64>, HashSet<Option<u64>>)> = BTreeMap::new();
    for change in &view.history.changes {
        let (acknowledged, perhaps) = allowed.entry(&change.job).or_default();
        match change.answer {
            Answer::Done => *acknowledged = change.mark,
            // A host that was frozen may do it much later.
            Answer::Unknown => {
                perhaps.insert(change.mark);
            }
            Answer::Refused => {}
        }
    }
    let kept: HashMap<&str, &[u64]> =
        view.history.definitions.iter().map(|kept| (kept.job.as_str(), &*kept.marks)).collect();
    let mut findings = Vec::new();
    for (job, (acknowledged, perhaps)) in allowed {
        let marks = kept.get(job).copied().unwrap_or_default();
        let is = marks.first().copied();
        let what = if marks.iter().any(|mark| Some(*mark) != is) {
            format!("it is made of several changes: {marks:?}")
        } else if is != acknowledged && !perhaps.contains(&is) {
            format!("it is {is:?}, acknowledged was {acknowledged:?}, unknown were {perhaps:?}")
        } else {
            continue;
        };
        findings.push(Finding { check: "C8", job: job.to_owned(), fire: None, run: None, what });
    }
    findings
}

/// A change, or a question, of one job.
#[derive(Clone, Copy, Debug)]
struct Op {
    asked: Micros,
    /// `None`: it may be done at any time, or never.
    answered: Option<Micros>,
    is_read: bool,
    /// What it makes of the job, or saw: its mark; `None`: there is none.
    mark: Option<u64>,
}

/// C9: each answer is that of one instant between question and answer, all in one order.
pub(super) fn in_order(view: &View<'_>) -> Vec<Finding> {
    let mut of_job: BTreeMap<&str, Vec<Op>> = BTreeMap::new();
    for change in &view.history.changes {
        let answered = match change.answer {
            Answer::Done => Some(change.answered),
            Answer::Unknown => None,
            Answer::Refused => continue,
        };
        let (asked, mark) = (change.asked, change.mark);
        of_job.entry(&change.job).or_default().push(Op { asked, answered, is_read: false, mark });
    }
    for read in &view.history.reads {
        let (asked, answered, mark) = (read.asked, Some(read.answered), read.mark);
        of_job.entry(&read.job).or_default().push(Op { asked, answered, is_read: true, mark });
    }
    let unexplained = of_job.into_iter().filter_map(|(job, ops)| {
        let op = first_unexplained(&ops)?;
        let deed = if op.is_read { "read" } else { "done" };
        let what = format!("{deed} as {:?}, which fits no order of what was asked", op.mark);
        Some(Finding { check: "C9", job: job.to_owned(), fire: None, run: None, what })
    });
    unexplained.collect()
}

/// What a job may be, and which of those asked for may still happen.
type Guess = (Option<u64>, BTreeSet<usize>);

/// The first answer that no order explains (Wing and Gong, one event after the other).
fn first_unexplained(ops: &[Op]) -> Option<Op> {
    let asked = ops.iter().enumerate().map(|(number, op)| (op.asked, false, number));
    let answered =
        ops.iter().enumerate().filter_map(|(number, op)| Some((op.answered?, true, number)));
    let mut events: Vec<(Micros, bool, usize)> = asked.chain(answered).collect();
    events.sort_unstable();
    let mut guesses: BTreeSet<Guess> = BTreeSet::from([(None, BTreeSet::new())]);
    for (_, is_answer, number) in events {
        if is_answer {
            guesses = guesses.into_iter().flat_map(|guess| orders(ops, guess, number)).collect();
            if guesses.is_empty() {
                return Some(ops[number]);
            }
        } else {
            let with = |(mark, mut open): Guess| {
                open.insert(number);
                (mark, open)
            };
            guesses = guesses.into_iter().map(with).collect();
        }
    }
    None
}

/// Every way in which `wanted` has happened by now.
fn orders(ops: &[Op], from: Guess, wanted: usize) -> BTreeSet<Guess> {
    let (mut found, mut known, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![from]);
    while let Some(guess) = next.pop() {
        if !guess.1.contains(&wanted) {
            found.insert(guess);
        } else if known.insert(guess.clone()) {
            next.extend(guess.1.iter().filter_map(|number| after(ops, &guess, *number)));
        }
    }
    found
}

/// What stands after one more of those that are open has happened. A change that nobody knows of
/// happened, if ever, just before somebody saw it.
fn after(ops: &[Op], (mark, open): &Guess, number: usize) -> Option<Guess> {
    let op = ops[number];
    let mut left = open.clone();
    left.remove(&number);
    if op.is_read && *mark != op.mark {
        let unseen = |other: &usize| ops[*other].answered.is_none() && ops[*other].mark == op.mark;
        let unseen = open.iter().copied().find(unseen)?;
        left.remove(&unseen);
    } else if op.answered.is_none() {
        return None;
    }
    Some((op.mark, left))
}
