//! What of the promises a history breaks. Pure, and linear in the history's length.
//!
//! | Check | Promise |
//! |---|---|
//! | C1 | every fire time that came due is accounted for once |
//! | C2 | a fire has one run, and a run one record |
//! | C3 | what succeeded has happened |
//! | C4 | what happened twice is explained by a fault, each by one |
//! | C5 | no more runs of a job at once than allowed |
//! | C6 | no effect after a newer attempt's, after its own was ended, or of one the store does not know |
//! | C7 | nothing begins early |
//! | C8 | acknowledged changes are there, whole |
//! | C9 | whoever asks for a job sees it as it is at one instant between question and answer |
//! | C10 | in the end nothing is under way, and nothing is left of what was |
//! | C11 | whoever follows the feed, and looks at what it names, sees the last of everything |
//!
//! and `host`: no host panics, or ends without being told to.

mod attempts;
mod changes;
mod feed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::history::{Effect, History, Job, Micros, Phase, Run};

/// A start may be so much before its fire time: clocks are read one after the other.
const EARLY: Micros = 50_000;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `C1` to `C11`.
    pub check: &'static str,
    pub job: String,
    pub fire: Option<Micros>,
    pub run: Option<String>,
    /// For people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.check, self.job)?;
        if let Some(fire) = self.fire {
            let fire = chrono::DateTime::from_timestamp_micros(fire).unwrap();
            write!(f, " at {}", fire.format("%H:%M:%S%.3f"))?;
        }
        if let Some(run) = &self.run {
            write!(f, " run {run}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Everything in a history that breaks a promise.
pub fn check(history: &History) -> Vec<Finding> {
    let view = View::of(history);
    let checks: [fn(&View<'_>) -> Vec<Finding>; 12] = [
        accounted,
        one_run,
        happened,
        attempts::explained,
        attempts::overlaps,
        attempts::fences,
        early,
        changes::kept,
        changes::in_order,
        over,
        feed::told,
        accidents,
    ];
    checks.iter().flat_map(|check| check(&view)).collect()
}

/// A history with what several checks look up.
struct View<'a> {
    history: &'a History,
    jobs: HashMap<&'a str, &'a Job>,
    runs: HashMap<&'a str, &'a Run>,
    /// By run, attempts in the order of their fences.
    seen: HashMap<&'a str, BTreeMap<u64, Seen<'a>>>,
}

/// What the collector saw of an attempt.
struct Seen<'a> {
    begin: Option<&'a Effect>,
    end: Option<&'a Effect>,
}

impl Seen<'_> {
    fn is_complete(&self) -> bool {
        self.begin.is_some() && self.end.is_some()
    }
}

impl<'a> View<'a> {
    fn of(history: &'a History) -> Self {
        let mut seen: HashMap<&str, BTreeMap<u64, Seen<'_>>> = HashMap::new();
        for effect in &history.effects {
            let attempts = seen.entry(&effect.told.run).or_default();
            let attempt =
                attempts.entry(effect.told.fence).or_insert(Seen { begin: None, end: None });
            // The first of each counts: a guest whose answer was lost tells nothing again.
            match effect.told.phase {
                Phase::Begin => attempt.begin.get_or_insert(effect),
                Phase::End => attempt.end.get_or_insert(effect),
            };
        }
        Self {
            history,
            jobs: history.jobs.iter().map(|job| (job.id.as_str(), job)).collect(),
            runs: history.runs.iter().map(|run| (run.id.as_str(), run)).collect(),
            seen,
        }
    }
}

/// C1.
fn accounted(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut accounts: HashMap<(&str, Micros), u64> = HashMap::new();
    for item in &view.history.ledger {
        let Some(job) = view.jobs.get(item.job.as_str()) else { continue };
        let finding = |what: String| Finding {
            check: "C1",
            job: item.job.clone(),
            fire: Some(item.first),
            run: item.run.clone(),
            what,
        };
        let mut counted = 0;
        for fire in job.grid.within(item.first, item.last) {
            *accounts.entry((&item.job, fire)).or_default() += 1;
            counted += 1;
        }
        if counted != item.count {
            let what = format!("`{}` counts {} fire times of {counted}", item.verdict, item.count);
            findings.push(finding(what));
        }
    }
    // What is under way has no verdict yet.
    for run in view.history.runs.iter().filter(|run| run.verdict.is_none()) {
        if run.cause == "schedule" {
            *accounts.entry((&run.job, run.fire_time)).or_default() += 1;
        }
    }
    for job in &view.history.jobs {
        for fire in job.fires() {
            let what = match accounts.get(&(job.id.as_str(), fire)) {
                Some(1) => continue,
                None => "lost: no verdict, and no run under way".to_owned(),
                Some(times) => format!("accounted for {times} times"),
            };
            let (job, fire) = (job.id.clone(), Some(fire));
            findings.push(Finding { check: "C1", job, fire, run: None, what });
        }
    }
    findings
}

/// C2.
fn one_run(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut finding = |job: &str, fire, run: &str, what: String| {
        let (job, run) = (job.to_owned(), Some(run.to_owned()));
        findings.push(Finding { check: "C2", job, fire: Some(fire), run, what });
    };
    let mut records = HashSet::new();
    let mut of_fire: HashMap<(&str, Micros), &str> = HashMap::new();
    for run in &view.history.runs {
        if !records.insert(&run.id) {
            finding(&run.job, run.fire_time, &run.id, "it has two records".to_owned());
        }
        if run.cause != "schedule" {
            continue;
        }
        let first = *of_fire.entry((&run.job, run.fire_time)).or_insert(&run.id);
        if first != run.id {
            let what = format!("the fire has another run, {first}");
            finding(&run.job, run.fire_time, &run.id, what);
        }
    }
    let mut told = HashSet::new();
    for effect in &view.history.effects {
        let told_of = &effect.told;
        if !told.insert(&told_of.run) {
            continue;
        }
        match view.runs.get(told_of.run.as_str()) {
            None => {
                let what = "it had an effect, and the store does not know it".to_owned();
                finding(&told_of.job, told_of.fire_time_us, &told_of.run, what);
            }
            Some(run) if (&run.job, run.fire_time) != (&told_of.job, told_of.fire_time_us) => {
                let what = format!("the store has it for {} at {}", run.job, run.fire_time);
                finding(&told_of.job, told_of.fire_time_us, &told_of.run, what);
            }
            Some(_) => {}
        }
    }
    findings
}

/// C3.
fn happened(view: &View<'_>) -> Vec<Finding> {
    let ran = view.history.runs.iter().filter(|run| {
        view.jobs.contains_key(run.job.as_str()) && run.verdict.as_deref() == Some("ran")
    });
    let unlike = ran.filter_map(|run| {
        let seen = view.seen.get(run.id.as_str());
        let what = match run.outcome.as_deref() {
            Some("succeeded") => {
                let fence = run.attempts.last().map(|attempt| attempt.fence)?;
                let complete =
                    seen.and_then(|seen| seen.get(&fence)).is_some_and(Seen::is_complete);
                if complete {
                    return None;
                }
                format!("it succeeded with fence {fence}, whose effects were not both seen")
            }
            // A host was killed under it too often.
            Some("abandoned") if !view.history.disturbances.is_empty() => return None,
            // It is under way: another check's.
            None => return None,
            Some(outcome) => {
                let error = run.error.as_deref().unwrap_or("no error");
                format!("it ended as {outcome}: {error}")
            }
        };
        let (job, fire) = (run.job.clone(), Some(run.fire_time));
        Some(Finding { check: "C3", job, fire, run: Some(run.id.clone()), what })
    });
    unlike.collect()
}

/// C7.
fn early(view: &View<'_>) -> Vec<Finding> {
    let early = view.history.effects.iter().filter_map(|effect| {
        let told = &effect.told;
        let by = told.fire_time_us - effect.wall;
        (by > EARLY).then(|| Finding {
            check: "C7",
            job: told.job.clone(),
            fire: Some(told.fire_time_us),
            run: Some(told.run.clone()),
            what: format!("{:?} is {} ms early", told.phase, by / 1_000),
        })
    });
    early.collect()
}

/// C10.
fn over(view: &View<'_>) -> Vec<Finding> {
    let live = view.history.runs.iter().filter(|run| run.state != "done");
    let findings = live.map(|run| Finding {
        check: "C10",
        job: run.job.clone(),
        fire: Some(run.fire_time),
        run: Some(run.id.clone()),
        what: format!("it is still {}", run.state),
    });
    let leftovers = view.history.leftovers.iter().map(|left| Finding {
        check: "C10",
        job: String::new(),
        fire: None,
        run: None,
        what: format!("the store still holds {left}"),
    });
    findings.chain(leftovers).collect()
}

fn accidents(view: &View<'_>) -> Vec<Finding> {
    let accidents = view.history.accidents.iter().map(|what| Finding {
        check: "host",
        job: String::new(),
        fire: None,
        run: None,
        what: what.clone(),
    });
    accidents.collect()
}
