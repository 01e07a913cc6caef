//! Of the feed: it names what changed, after it did.

use std::collections::HashMap;

use super::{Finding, View};
use crate::chaos::history::{Answer, Micros};

/// Entries of the feed are stamped with whole milliseconds.
const STAMP: Micros = 1_000;
/// How far the store's clock and the tests' may lie apart: they are read one after the other.
const APART: Micros = 50_000;

/// C11.
pub(super) fn told(view: &View<'_>) -> Vec<Finding> {
    let Some(feed) = &view.history.feed else { return Vec::new() };
    let mut findings = Vec::new();
    let mut newest: HashMap<(&str, &str), Micros> = HashMap::new();
    for news in &feed.news {
        let newest = newest.entry((&news.kind, &news.name)).or_insert(news.at);
        *newest = news.at.max(*newest);
    }
    for run in &view.history.runs {
        let Some(end) = run.finished_at.filter(|end| feed.since < *end) else { continue };
        let told = newest.get(&("run", run.id.as_str())).copied();
        if told.is_none_or(|told| told + STAMP < end) {
            findings.push(Finding {
                check: "C11",
                job: run.job.clone(),
                fire: Some(run.fire_time),
                run: Some(run.id.clone()),
                what: "the feed does not tell of its end".to_owned(),
            });
        }
    }
    for change in &view.history.changes {
        let wall = |mono: Micros| mono + view.history.wall_less_mono;
        let (from, until) = (wall(change.asked) - APART, wall(change.answered) + APART);
        // Who removes what is not there changes nothing.
        let Some(mark) = change.mark else { continue };
        let told = feed.news.iter().any(|news| {
            news.kind == "job" && news.name == change.job && (from..=until).contains(&news.at)
        });
        if change.answer == Answer::Done && feed.since <= from && !told {
            let what = format!("the feed does not tell that it was put with {mark}");
            findings.push(Finding {
                check: "C11",
                job: change.job.clone(),
                fire: None,
                run: None,
                what,
            });
        }
    }
    findings
}
