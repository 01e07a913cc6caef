//! What a simulation says, for people and for scripts.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use crate::cli::exit::Failure;
use crate::cli::screen::{Channel, Tone, note, paint, print};
use crate::cli::table::{Cell, table};
use crate::run::Verdict;
use crate::simulate::Simulated;
use crate::simulate::report::{Decision, Summary};

/// Verdicts that are printed unasked.
const FEW: usize = 200;
/// The bars of the load, the lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The hours below the bars.
const HOURS: &str = "0     6     12    18";

/// Prints objects, one a line: verdicts, then summaries, the last of them of the whole host.
///
/// # Errors
///
/// They can't be written.
pub(super) fn json(simulated: &Simulated) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    lines(&mut out, &simulated.decisions)
        .and_then(|()| lines(&mut out, &simulated.summaries))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::writing(&error))
}

fn lines(out: &mut impl Write, items: &[impl Serialize]) -> io::Result<()> {
    items.iter().try_for_each(|item| {
        serde_json::to_writer(&mut *out, item).map_err(io::Error::from)?;
        out.write_all(b"\n")
    })
}

/// Prints tables.
///
/// # Errors
///
/// They can't be written.
pub(super) fn text(simulated: &Simulated, zone: Tz, verdicts: bool) -> Result<(), Failure> {
    let decisions = &simulated.decisions;
    if verdicts || decisions.len() < FEW {
        let rows: Vec<_> = decisions.iter().map(verdict).collect();
        let heads = ["FIRE TIME", "JOB", "VERDICT", "REASON", "COUNT", "STARTED", "LATE"];
        print(format!("{}\n", table(heads, &rows)))?;
    } else {
        note(format!("{} verdicts; --verdicts prints them", decisions.len()));
    }
    let rows: Vec<_> = simulated.summaries.iter().map(summary).collect();
    let heads = [
        "JOB",
        "FIRES",
        "RAN",
        "MISFIRED",
        "COALESCED",
        "SKIPPED",
        "NO PLUGIN",
        "OTHER",
        "WAITING",
        "FAILED",
        "LATEST",
        "AT ONCE",
    ];
    print(table(heads, &rows))?;
    simulated.summaries.last().map_or(Ok(()), |all| print(load(all, zone)))
}

fn verdict(decision: &Decision) -> [Cell; 7] {
    let (word, tone) = match (decision.verdict, decision.outcome) {
        (None, _) => ("waiting".to_owned(), Tone::Odd),
        (Some(Verdict::Ran), Some(outcome)) => {
            let (word, tone) = crate::cli::line::outcome_word(outcome);
            (if tone == Tone::Good { "ran".to_owned() } else { format!("ran, {word}") }, tone)
        }
        (Some(Verdict::Ran), None) => ("ran, under way".to_owned(), Tone::Plain),
        (Some(verdict), _) => (verdict.word().to_owned(), Tone::Odd),
    };
    let more = decision.covers.filter(|covers| *covers > 1);
    [
        decision.first.to_string().into(),
        decision.job.to_string().into(),
        Cell::new(word, tone),
        Cell::or_dash(decision.reason.as_deref()),
        match more {
            Some(covers) => format!("{}, stands for {covers}", decision.count).into(),
            None => decision.count.to_string().into(),
        },
        Cell::or_dash(decision.started_at),
        Cell::or_dash(decision.lateness_ms.map(millis)),
    ]
}

fn summary(summary: &Summary) -> [Cell; 12] {
    let other = summary.paused + summary.quota + summary.expired + summary.cancelled;
    let count = |count: u64, tone| match count {
        0 => Cell::new("-", Tone::Faint),
        count => Cell::new(count, tone),
    };
    [
        summary.job.as_ref().map_or(Cell::new("all", Tone::Faint), |job| job.to_string().into()),
        count(summary.fires, Tone::Plain),
        count(summary.ran, Tone::Plain),
        count(summary.misfired, Tone::Odd),
        count(summary.coalesced, Tone::Plain),
        count(summary.skipped, Tone::Odd),
        count(summary.no_plugin, Tone::Odd),
        count(other, Tone::Odd),
        count(summary.waiting, Tone::Odd),
        count(summary.failed, Tone::Bad),
        Cell::or_dash(summary.longest_lateness_ms.map(millis)),
        count(summary.most_at_once, Tone::Plain),
    ]
}

fn millis(millis: u64) -> String {
    humantime::format_duration(Duration::from_millis(millis)).to_string()
}

/// How many runs start in each hour of the day, as bars.
fn load(all: &Summary, zone: Tz) -> String {
    let most = all.started_by_hour.iter().copied().max().unwrap_or(0);
    let bars: String = all.started_by_hour.iter().map(|started| bar(*started, most)).collect();
    let hours = paint(HOURS, Tone::Faint, Channel::Out);
    format!("\nruns started by hour of the day ({zone}), {most} in the fullest\n{bars}\n{hours}")
}

/// A bar as high as `started` is against `most`; no run, no bar.
fn bar(started: u64, most: u64) -> char {
    let highest = BARS.len() as u64;
    let height = (started * highest).div_ceil(most.max(1)).min(highest);
    let place = usize::try_from(height).ok().and_then(|height| height.checked_sub(1));
    place.and_then(|place| BARS.get(place)).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_hour_is_full_and_an_empty_hour_has_none() {
        let bars: String = [0, 1, 50, 100, 800].map(|started| bar(started, 800)).iter().collect();
        assert_eq!(bars, " ▁▁▁█");
        assert_eq!(bar(0, 0), ' ');
    }

    #[test]
    fn the_bars_stand_above_their_hours() {
        let mut all = Summary::default();
        for hour in [0, 6, 12, 18, 23] {
            all.started_by_hour[hour] = 4;
        }
        let text = load(&all, Tz::UTC);
        assert!(text.ends_with("\n█     █     █     █    █\n0     6     12    18"), "{text}");
    }
}
