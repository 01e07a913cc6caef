//! Each broken promise is fed to the checker once, and must be found.

use super::*;
use crate::chaos::history::{
    Answer, Attempt, Change, Definition, Disturbance, Feed, Grid, LedgerItem, News, Read, SECOND,
    Told,
};

const FIRES: Micros = 5;

/// A job that fires each second, five times, and each run begins at once and takes 100 ms; a change
/// that was acknowledged and is there.
fn clean() -> History {
    let mut history = History {
        jobs: vec![Job {
            id: "tick".into(),
            grid: Grid::Every { start: SECOND, step: SECOND },
            from: SECOND,
            until: FIRES * SECOND + 1,
            max_instances: 1,
        }],
        changes: vec![change(Some(1), Answer::Done)],
        definitions: vec![Definition { job: "put".into(), marks: vec![1, 1] }],
        ..History::default()
    };
    for number in 1..=FIRES {
        history.effects.push(effect(number, 1, Phase::Begin, 10_000));
        history.effects.push(effect(number, 1, Phase::End, 110_000));
        history.runs.push(run(number, 1));
        history.ledger.push(ran(number));
    }
    history
}

fn change(mark: Option<u64>, answer: Answer) -> Change {
    Change { job: "put".into(), mark, answer, asked: 0, answered: 1 }
}

/// An effect so long after its fire time.
fn effect(number: Micros, attempt: u32, phase: Phase, after: Micros) -> Effect {
    let (fire_time_us, fence) = (number * SECOND, fence(number, attempt));
    let (job, run) = ("tick".into(), format!("run-{number}"));
    let told = Told { job, run, fire_time_us, attempt, fence, phase };
    Effect { told, mono: fire_time_us + after, wall: fire_time_us + after }
}

fn fence(number: Micros, attempt: u32) -> u64 {
    u64::try_from(number).unwrap() * 10 + u64::from(attempt)
}

fn run(number: Micros, attempts: u32) -> Run {
    let attempts = (1..=attempts).map(|attempt| Attempt {
        attempt,
        fence: fence(number, attempt),
        host: None,
        outcome: None,
        finished_at: None,
    });
    Run {
        id: format!("run-{number}"),
        job: "tick".into(),
        cause: "schedule".into(),
        fire_time: number * SECOND,
        state: "done".into(),
        verdict: Some("ran".into()),
        outcome: Some("succeeded".into()),
        error: None,
        covers: 1,
        finished_at: None,
        attempts: attempts.collect(),
    }
}

fn ran(number: Micros) -> LedgerItem {
    LedgerItem {
        job: "tick".into(),
        verdict: "ran".into(),
        reason: "on_time".into(),
        first: number * SECOND,
        last: number * SECOND,
        count: 1,
        into: None,
        run: Some(format!("run-{number}")),
    }
}

fn range(first: Micros, last: Micros, count: u64) -> LedgerItem {
    LedgerItem { verdict: "skipped".into(), last: last * SECOND, count, run: None, ..ran(first) }
}

fn disturbance(kind: &str, at: Micros) -> Disturbance {
    Disturbance { kind: kind.into(), what: String::new(), mono: at, until: at }
}

/// What is found: check, fire time in seconds, and the text must hold these words.
#[track_caller]
fn finds(history: &History, expected: &[(&str, Micros, &str)]) {
    let found = check(history);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (finding, (check, second, words)) in found.iter().zip(expected) {
        let fire = finding.fire.unwrap_or_default() / SECOND;
        assert_eq!((finding.check, fire), (*check, *second), "{finding}");
        assert!(finding.to_string().contains(words), "{finding}");
    }
}

/// Takes the run of a fire out of the history.
fn forget(history: &mut History, number: Micros) {
    let fire = number * SECOND;
    history.runs.retain(|run| run.fire_time != fire);
    history.ledger.retain(|item| item.first != fire);
    history.effects.retain(|effect| effect.told.fire_time_us != fire);
}

#[test]
fn a_clean_history_has_no_findings() {
    finds(&clean(), &[]);
    let mut skipped = clean();
    forget(&mut skipped, 3);
    forget(&mut skipped, 4);
    skipped.ledger.push(range(3, 4, 2));
    finds(&skipped, &[]);
}

#[test]
fn a_lost_fire_is_found() {
    let mut history = clean();
    forget(&mut history, 3);
    finds(&history, &[("C1", 3, "lost")]);
    history.ledger.push(range(3, 4, 1));
    finds(&history, &[("C1", 3, "counts 1 fire times of 2"), ("C1", 4, "2 times")]);
    let mut off = clean();
    off.ledger.push(LedgerItem { first: SECOND / 2, last: SECOND / 2, ..ran(1) });
    finds(&off, &[("C1", 0, "counts 1 fire times of 0")]);
}

#[test]
fn a_second_run_of_a_fire_is_found() {
    let mut history = clean();
    history.runs.push(Run { id: "other".into(), ..run(3, 0) });
    history.runs[5].outcome = Some("abandoned".into());
    history.disturbances.push(disturbance("kill", 0));
    finds(&history, &[("C2", 3, "another run, run-3")]);
    let mut twice = clean();
    twice.runs.push(run(2, 1));
    finds(&twice, &[("C2", 2, "two records")]);
    let mut unknown = clean();
    forget(&mut unknown, 5);
    unknown.ledger.push(range(5, 5, 1));
    unknown.effects.push(effect(5, 1, Phase::Begin, 0));
    finds(&unknown, &[("C2", 5, "the store does not know it")]);
}

#[test]
fn a_success_that_nobody_saw_is_found() {
    let mut history = clean();
    history.effects.retain(|effect| effect.told.fire_time_us != 2 * SECOND);
    history.runs[4].outcome = Some("failed".into());
    history.runs[4].error = Some("no luck".into());
    finds(&history, &[("C3", 2, "not both seen"), ("C3", 5, "failed: no luck")]);
}

/// The third run is done again by a second attempt.
fn done_again() -> History {
    let mut history = clean();
    history.runs[2] = run(3, 2);
    let at = history.effects.iter().position(|effect| effect.told.run == "run-4").unwrap();
    let again = [(Phase::Begin, 300_000), (Phase::End, 400_000)];
    let again = again.map(|(phase, after)| effect(3, 2, phase, after));
    history.effects.splice(at..at, again);
    history
}

#[test]
fn what_was_done_twice_without_a_fault_is_found() {
    let mut history = done_again();
    finds(&history, &[("C4", 3, "done 2 times, with 0 faults")]);
    history.disturbances.push(disturbance("kill", SECOND));
    finds(&history, &[("C4", 3, "done 2 times")]);
    history.disturbances.push(disturbance("kill", 3 * SECOND + 200_000));
    finds(&history, &[]);
    history.disturbances = vec![disturbance("freeze", SECOND)];
    history.disturbances[0].until = 4 * SECOND;
    finds(&history, &[]);
}

#[test]
fn an_overlap_is_found() {
    let mut history = clean();
    // The second run ends 50 ms into the third.
    let end = history.effects.remove(3);
    history.effects.insert(4, Effect { mono: 3 * SECOND + 50_000, ..end });
    finds(&history, &[("C5", 3, "while there went on: run-2 with fence 21")]);
    history.jobs[0].max_instances = 2;
    finds(&history, &[]);
}

#[test]
fn an_effect_after_its_fence_was_passed_is_found() {
    let mut history = done_again();
    history.disturbances.push(disturbance("freeze", 3 * SECOND + 50_000));
    // The first attempt ends after the second has begun.
    let end = history.effects.remove(5);
    history.effects.insert(6, Effect { mono: 3 * SECOND + 350_000, ..end });
    finds(
        &history,
        &[
            ("C5", 3, "fence 32 began while there went on: run-3 with fence 31"),
            ("C6", 3, "End with fence 31 after one with 32"),
        ],
    );
    let mut unknown = clean();
    unknown.effects.push(effect(5, 2, Phase::Begin, 500_000));
    finds(&unknown, &[("C6", 5, "the store does not know")]);
}

#[test]
fn an_effect_of_an_attempt_that_was_ended_is_found() {
    let mut history = clean();
    // It was taken from its host, which goes on all the same.
    history.runs[3].attempts[0].finished_at = Some(4 * SECOND + 20_000);
    finds(&history, &[]);
    let end = history.effects.remove(7);
    history.effects.insert(7, Effect { wall: end.wall + 300_000, ..end });
    finds(&history, &[("C6", 4, "End with fence 41, 390 ms after it was ended")]);
}

#[test]
fn an_early_start_is_found() {
    let mut history = clean();
    history.effects[4] = effect(3, 1, Phase::Begin, -EARLY);
    finds(&history, &[]);
    history.effects[4] = effect(3, 1, Phase::Begin, -80_000);
    finds(&history, &[("C7", 3, "Begin is 80 ms early")]);
}

#[test]
fn a_change_that_is_not_there_or_not_whole_is_found() {
    let mut history = clean();
    history.definitions[0].marks = vec![1, 2];
    finds(&history, &[("C8", 0, "made of several changes")]);
    history.definitions.clear();
    finds(&history, &[("C8", 0, "acknowledged was Some(1)")]);
    history.changes.push(change(None, Answer::Unknown));
    finds(&history, &[]);
    history.changes.push(change(Some(2), Answer::Done));
    history.changes.push(change(Some(3), Answer::Refused));
    history.definitions = vec![Definition { job: "put".into(), marks: vec![3] }];
    finds(&history, &[("C8", 0, "it is Some(3), acknowledged was Some(2)")]);
}

/// Changes of the job `put` and questions about it, in seconds: `(mark, asked, answered)`.
fn asked(
    changes: &[(Option<u64>, Micros, Option<Micros>)],
    reads: &[(Option<u64>, Micros, Micros)],
) -> History {
    let change = |&(mark, asked, answered): &(_, _, Option<Micros>)| {
        let answer = answered.map_or(Answer::Unknown, |_| Answer::Done);
        Change { asked, answered: answered.unwrap_or(asked + 1), ..change(mark, answer) }
    };
    let read = |&(mark, asked, answered): &_| Read { job: "put".into(), mark, asked, answered };
    let (changes, reads) = (changes.iter().map(change).collect(), reads.iter().map(read).collect());
    // What is there in the end is another check's.
    let last: Vec<Change> = changes;
    let mark = last.iter().rev().find(|change| change.answer == Answer::Done);
    let marks = mark.and_then(|change| change.mark).into_iter().collect();
    let definitions = vec![Definition { job: "put".into(), marks }];
    History { changes: last, reads, definitions, ..clean() }
}

#[test]
fn an_answer_that_fits_no_order_is_found() {
    let one = (Some(1), 10, Some(20));
    let two = (Some(2), 30, Some(40));
    // During a change either may be seen, and afterwards only the new one.
    let fits =
        [(None, 0, 5), (None, 12, 14), (Some(1), 13, 18), (Some(1), 22, 35), (Some(2), 31, 50)];
    finds(&asked(&[one, two], &fits), &[]);
    let stale = asked(&[one, two], &[(Some(1), 41, 42)]);
    finds(&stale, &[("C9", 0, "read as Some(1), which fits no order")]);
    // Who has seen the new one can't see the old one again.
    let back = asked(&[one, two], &[(Some(2), 31, 33), (Some(1), 34, 36)]);
    finds(&back, &[("C9", 0, "read as Some(1)")]);
    let before_it_was_asked = asked(&[one, two], &[(Some(2), 21, 25)]);
    finds(&before_it_was_asked, &[("C9", 0, "read as Some(2)")]);
    let gone = asked(&[one], &[(None, 25, 26)]);
    finds(&gone, &[("C9", 0, "read as None")]);
}

#[test]
fn a_change_that_nobody_knows_of_may_come_late_and_only_once() {
    let (one, perhaps, three) =
        ((Some(1), 10, Some(20)), (Some(2), 30, None), (Some(3), 50, Some(60)));
    let late =
        asked(&[one, perhaps, three], &[(Some(1), 40, 41), (Some(3), 61, 62), (Some(2), 70, 71)]);
    finds(&late, &[]);
    let twice = [(Some(2), 40, 41), (Some(3), 61, 62), (Some(2), 70, 71)];
    finds(&asked(&[one, perhaps, three], &twice), &[("C9", 0, "read as Some(2)")]);
    let never = asked(&[one, perhaps], &[(Some(1), 99, 100)]);
    finds(&never, &[]);
    // One of two that are under way may have come first, and was seen by nobody.
    let removed = (None, 28, Some(45));
    let both = [(None, 32, 33), (Some(2), 34, 35), (None, 46, 47)];
    finds(&asked(&[one, perhaps, removed], &both), &[("C9", 0, "read as None")]);
    finds(&asked(&[one, perhaps, removed], &[(Some(2), 34, 35), (None, 46, 47)]), &[]);
}

/// A history with a feed: each run's end is told, and the change.
fn fed() -> History {
    let mut history = clean();
    history.changes[0] = Change { asked: 10, answered: 20, ..history.changes[0].clone() };
    let mut feed = Feed { since: 0, news: vec![news("job", "put", 0)] };
    for number in 1..=FIRES {
        let end = number * SECOND + 120_400;
        history.runs[usize::try_from(number).unwrap() - 1].finished_at = Some(end);
        let run = format!("run-{number}");
        feed.news.extend([news("run", &run, end - 110_000), news("run", &run, end - 400)]);
    }
    history.feed = Some(feed);
    history
}

fn news(kind: &str, name: &str, at: Micros) -> News {
    News { at, kind: kind.into(), name: name.into() }
}

#[test]
fn a_change_that_the_feed_leaves_out_is_found() {
    finds(&fed(), &[]);
    let mut history = fed();
    history.feed.as_mut().unwrap().news.retain(|news| news.at != 3 * SECOND + 120_000);
    finds(&history, &[("C11", 3, "does not tell of its end")]);
    // What it told before it is no longer kept says nothing.
    history.feed.as_mut().unwrap().since = 4 * SECOND;
    finds(&history, &[]);
    let mut history = fed();
    history.feed.as_mut().unwrap().news.remove(0);
    history.feed.as_mut().unwrap().since = -SECOND;
    finds(&history, &[("C11", 0, "that it was put with 1")]);
}

#[test]
fn what_never_ends_and_who_ends_unasked_is_found() {
    let mut history = clean();
    history.runs[4] = Run { state: "retrying".into(), outcome: None, ..run(5, 1) };
    history.leftovers.push("own zset 1".into());
    history.accidents.push("host 1 panicked".into());
    finds(
        &history,
        &[
            ("C10", 5, "still retrying"),
            ("C10", 0, "still holds own zset 1"),
            ("host", 0, "host 1 panicked"),
        ],
    );
}
