//! A run for people: counts, a picture of fires against faults, how late runs began.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use super::checker::Finding;
use super::history::{Answer, History, Micros, Phase, SECOND};
use super::run::Settings;

/// The picture's width at most, in columns.
const COLUMNS: i64 = 100;
/// So many findings are shown.
const SHOWN: usize = 40;
/// The steps of a count in the picture.
const STEPS: &[u8] = b" .:-=+*#%@";
/// The ends of the classes of lateness.
const LATENESS: [(Micros, &str); 7] = [
    (10_000, "10 ms"),
    (50_000, "50 ms"),
    (250_000, "250 ms"),
    (SECOND, "1 s"),
    (5 * SECOND, "5 s"),
    (15 * SECOND, "15 s"),
    (Micros::MAX, "more"),
];

/// All of it.
pub fn report(settings: &Settings, history: &History, findings: &[Finding]) -> String {
    let mut text = format!(
        "chaos: {:?}, {} hosts, {} s, seed {}, lease {:?} {}\n\n",
        settings.store,
        settings.hosts,
        settings.length.as_secs(),
        settings.seed,
        settings.ttl,
        settings.only.join(","),
    );
    counts(&mut text, history);
    picture(&mut text, history);
    lateness(&mut text, history);
    writeln!(text, "\nfindings: {}", findings.len()).unwrap();
    for finding in findings.iter().take(SHOWN) {
        writeln!(text, "  {finding}").unwrap();
    }
    text
}

/// A line of counts by word.
fn tally(text: &mut String, name: &str, words: impl Iterator<Item = String>) {
    let mut counts = BTreeMap::<String, u64>::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    let counts: Vec<String> =
        counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    writeln!(text, "{name:<12} {}", counts.join(", ")).unwrap();
}

fn counts(text: &mut String, history: &History) {
    let fires: usize = history.jobs.iter().map(|job| job.fires().count()).sum();
    writeln!(text, "{:<12} {fires} of {} jobs", "fires", history.jobs.len()).unwrap();
    let mut verdicts = BTreeMap::<String, u64>::new();
    for item in &history.ledger {
        *verdicts.entry(format!("{} ({})", item.verdict, item.reason)).or_default() += item.count;
    }
    let verdicts: Vec<_> = verdicts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    writeln!(text, "{:<12} {}", "verdicts", verdicts.join(", ")).unwrap();
    let jobs: HashSet<&str> = history.jobs.iter().map(|job| job.id.as_str()).collect();
    let ours = || history.runs.iter().filter(|run| jobs.contains(run.job.as_str()));
    let outcome = |outcome: &Option<String>| outcome.clone().unwrap_or("none".to_owned());
    tally(text, "runs", ours().map(|run| outcome(&run.outcome)));
    let attempts = ours().flat_map(|run| &run.attempts);
    tally(text, "attempts", attempts.map(|attempt| outcome(&attempt.outcome)));
    let phase = |phase| match phase {
        Phase::Begin => "begin".to_owned(),
        Phase::End => "end".to_owned(),
    };
    tally(text, "effects", history.effects.iter().map(|effect| phase(effect.told.phase)));
    let mut ends = HashMap::<&str, u64>::new();
    for effect in history.effects.iter().filter(|effect| effect.told.phase == Phase::End) {
        *ends.entry(&effect.told.run).or_default() += 1;
    }
    let again = ends.values().filter(|ends| **ends > 1).count();
    writeln!(text, "{:<12} {again} runs", "done twice").unwrap();
    tally(text, "faults", history.disturbances.iter().map(|one| one.kind.clone()));
    writeln!(text, "{:<12} {}", "no start", history.gave_up.len()).unwrap();
    let answer = |answer| match answer {
        Answer::Done => "done".to_owned(),
        Answer::Refused => "refused".to_owned(),
        Answer::Unknown => "unknown".to_owned(),
    };
    tally(text, "changes", history.changes.iter().map(|change| answer(change.answer)));
}

/// Fire times against first begins, and bands of faults below, over time.
fn picture(text: &mut String, history: &History) {
    let offset = history.wall_less_mono;
    let Some(from) = history.jobs.iter().map(|job| job.from).min() else { return };
    let last = history.effects.iter().map(|effect| effect.wall).max().unwrap_or(from);
    let until = history.jobs.iter().map(|job| job.until).max().unwrap_or(from).max(last);
    let width = ((until - from) / SECOND / COLUMNS + 1) * SECOND;
    let columns = usize::try_from((until - from) / width + 1).unwrap();
    let column = |at: Micros| usize::try_from((at - from).max(0) / width).unwrap().min(columns - 1);
    let mut row = |name: &str, instants: &mut dyn Iterator<Item = Micros>| {
        let mut counts = vec![0_usize; columns];
        instants.for_each(|at| counts[column(at)] += 1);
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let step = |count: usize| match count {
            0 => ' ',
            count => char::from(STEPS[1 + (count * (STEPS.len() - 2)) / most]),
        };
        let line: String = counts.into_iter().map(step).collect();
        writeln!(text, "{name:<10}|{line}| most {most}").unwrap();
    };
    let first = |phase| history.effects.iter().filter(move |effect| effect.told.phase == phase);
    row("fire times", &mut history.jobs.iter().flat_map(|job| job.fires()));
    row("begin", &mut first(Phase::Begin).map(|effect| effect.wall));
    row("end", &mut first(Phase::End).map(|effect| effect.wall));
    let rescues = first(Phase::Begin).filter(|effect| effect.told.attempt > 1);
    row("again", &mut rescues.map(|effect| effect.wall));
    for kind in ["kill", "freeze", "redis", "wire"] {
        let mut band = vec![' '; columns];
        for one in history.disturbances.iter().filter(|one| one.kind == kind) {
            let (begin, end) = (column(one.mono + offset), column(one.until + offset));
            let overlaps = |cell: &mut char| *cell = if *cell == ' ' { '-' } else { '=' };
            band[begin..=end].iter_mut().for_each(overlaps);
        }
        if band.iter().any(|cell| *cell != ' ') {
            let band: String = band.into_iter().collect();
            writeln!(text, "{kind:<10}|{band}|").unwrap();
        }
    }
    writeln!(text, "{:<10} one column is {} s", "", width / SECOND).unwrap();
}

/// How late the first effect of each run came, with and without a fault between fire time and then.
fn lateness(text: &mut String, history: &History) {
    let offset = history.wall_less_mono;
    let mut seen = HashSet::new();
    let mut classes = [[0_usize; LATENESS.len()]; 2];
    for effect in &history.effects {
        if !seen.insert(&effect.told.run) {
            continue;
        }
        let (fire, late) = (effect.told.fire_time_us, effect.wall - effect.told.fire_time_us);
        let faulty = history
            .disturbances
            .iter()
            .any(|one| one.mono + offset <= effect.wall && fire <= one.until + offset);
        let class = LATENESS.iter().position(|(end, _)| late < *end).unwrap_or_default();
        classes[usize::from(faulty)][class] += 1;
    }
    let ends: Vec<String> = LATENESS.iter().map(|(_, name)| format!("{name:>8}")).collect();
    writeln!(text, "\n{:<16}{}", "late less than", ends.join("")).unwrap();
    for (name, counts) in [("without faults", classes[0]), ("in faults", classes[1])] {
        let counts: Vec<String> = counts.iter().map(|count| format!("{count:>8}")).collect();
        writeln!(text, "{name:<16}{}", counts.join("")).unwrap();
    }
}
