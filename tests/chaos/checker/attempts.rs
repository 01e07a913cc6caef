//! Of attempts: what is done twice, at once, or by those that may no longer.

use std::collections::HashMap;

use super::{Finding, Seen, View};
use crate::chaos::history::{Micros, Phase};

/// Attempts that a run remembers.
const ATTEMPTS_KEPT: usize = 10;
/// An effect may be noted so much after it was told: the collector is one process of many.
const LATE: Micros = 250_000;

/// C4.
pub(super) fn explained(view: &View<'_>) -> Vec<Finding> {
    // How many disturbances there were up to an instant, by binary search.
    let mut instants: Vec<Micros> =
        view.history.disturbances.iter().map(|disturbance| disturbance.mono).collect();
    instants.sort_unstable();
    let until = |at: Micros| instants.partition_point(|instant| *instant <= at);
    let mut findings = Vec::new();
    for attempts in view.seen.values() {
        let complete: Vec<&Seen<'_>> =
            attempts.values().filter(|seen| seen.is_complete()).collect();
        let [first, .., last] = complete.as_slice() else { continue };
        let (Some(first), Some(last)) = (first.begin, last.end) else { continue };
        // A fault that was there when it began may have come before.
        let before =
            view.history.disturbances.iter().filter(|disturbance| {
                disturbance.mono < first.mono && disturbance.until >= first.mono
            });
        let faults = before.count() + until(last.mono) - until(first.mono);
        if complete.len() - 1 > faults {
            let told = &first.told;
            findings.push(Finding {
                check: "C4",
                job: told.job.clone(),
                fire: Some(told.fire_time_us),
                run: Some(told.run.clone()),
                what: format!("done {} times, with {faults} faults meanwhile", complete.len()),
            });
        }
    }
    findings
}

/// C5.
pub(super) fn overlaps(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut live: HashMap<&str, Vec<(&str, u64)>> = HashMap::new();
    for effect in &view.history.effects {
        let told = &effect.told;
        let Some(job) = view.jobs.get(told.job.as_str()) else { continue };
        let live = live.entry(&told.job).or_default();
        let attempt = (told.run.as_str(), told.fence);
        if told.phase == Phase::End {
            live.retain(|other| *other != attempt);
            continue;
        }
        if live.len() >= job.max_instances {
            let others: Vec<String> =
                live.iter().map(|(run, fence)| format!("{run} with fence {fence}")).collect();
            findings.push(Finding {
                check: "C5",
                job: told.job.clone(),
                fire: Some(told.fire_time_us),
                run: Some(told.run.clone()),
                what: format!(
                    "fence {} began while there went on: {}",
                    told.fence,
                    others.join(", ")
                ),
            });
        }
        // An attempt that nobody saw end was killed at some time: it only counts as it begins.
        if view.seen[told.run.as_str()][&told.fence].is_complete() {
            live.push(attempt);
        }
    }
    findings
}

/// C6.
pub(super) fn fences(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut highest: HashMap<&str, u64> = HashMap::new();
    let ended: HashMap<(&str, u64), Micros> = view
        .history
        .runs
        .iter()
        .flat_map(|run| run.attempts.iter().map(move |attempt| (run, attempt)))
        .filter_map(|(run, attempt)| Some(((run.id.as_str(), attempt.fence), attempt.finished_at?)))
        .collect();
    for effect in &view.history.effects {
        let told = &effect.told;
        let highest = highest.entry(&told.run).or_insert(told.fence);
        let kept = view.runs.get(told.run.as_str()).map(|run| run.attempts.as_slice());
        let unknown = kept.is_some_and(|kept| {
            kept.len() < ATTEMPTS_KEPT && kept.iter().all(|attempt| attempt.fence != told.fence)
        });
        let what = if told.fence < *highest {
            format!("{:?} with fence {} after one with {highest}", told.phase, told.fence)
        } else if let Some(late) = ended
            .get(&(told.run.as_str(), told.fence))
            .map(|ended| effect.wall - ended)
            .filter(|late| *late > LATE)
        {
            let phase = told.phase;
            format!("{phase:?} with fence {}, {} ms after it was ended", told.fence, late / 1_000)
        } else if unknown {
            format!(
                "{:?} with fence {}, an attempt that the store does not know",
                told.phase, told.fence
            )
        } else {
            *highest = told.fence;
            continue;
        };
        let (job, run) = (told.job.clone(), Some(told.run.clone()));
        findings.push(Finding { check: "C6", job, fire: Some(told.fire_time_us), run, what });
    }
    findings
}
