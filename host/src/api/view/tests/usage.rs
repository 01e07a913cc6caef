//! What was used, as rows that add up.

use std::collections::BTreeMap;

use super::{check, time};
use crate::api::view::usage::{By, MAX_ROWS, Sums, UsageView};
use crate::job::names::{JobId, TenantId};
use crate::record::query::UsageItem;
use crate::record::used::{Bucket, Used};
use crate::run::outcome::Outcome;

const FROM: &str = "2026-11-01T00:00:00Z";
const TO: &str = "2026-12-01T00:00:00Z";

fn item(job: Option<&str>, hour: &str) -> UsageItem {
    let tenant = TenantId::default_tenant();
    let job = job.map(|job| job.parse::<JobId>().unwrap());
    let used = Used {
        runs: BTreeMap::from([(Outcome::Succeeded, 2), (Outcome::Failed, 1)]),
        attempts: 4,
        cpu_ms: 1_250,
        wall_ms: 3_000,
        fuel: 0,
        memory_kib_ms: 6_144_000,
        host_calls: 12,
        bytes_in: 300,
        bytes_out: 20,
    };
    UsageItem { bucket: Bucket { tenant, hour: time(hour), job }, used }
}

fn view(by: By, items: Vec<UsageItem>) -> UsageView {
    let mut sums = Sums::new(by);
    items.into_iter().for_each(|item| sums.add(item));
    sums.view(TenantId::default_tenant(), time(FROM), time(TO))
}

#[test]
fn use_is_shown_by_job_with_the_rest_last() {
    let items = vec![
        item(None, "2026-11-02T00:00:00Z"),
        item(Some("nightly"), "2026-11-02T00:00:00Z"),
        item(Some("nightly"), "2026-11-02T01:00:00Z"),
    ];
    let view = view(By::Job, items);
    check("usage", &view);
    assert_eq!((view.total.runs, view.items.len()), (9, 2));
}

#[test]
fn a_day_or_an_hour_is_a_row_and_stays_within_what_was_asked() {
    let items = || {
        let hours = ["2026-11-02T00:00:00Z", "2026-11-02T23:00:00Z", "2026-11-03T00:00:00Z"];
        hours.iter().flat_map(|hour| [item(Some("a"), hour), item(Some("b"), hour)]).collect()
    };
    let rows = |view: &UsageView| {
        let rows = view.items.iter();
        rows.map(|row| (row.start.to_string(), row.end.to_string(), row.used.runs))
            .collect::<Vec<_>>()
    };
    let row = |start: &str, end: &str, runs| (start.to_owned(), end.to_owned(), runs);
    assert_eq!(
        rows(&view(By::Day, items())),
        [
            row("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", 12),
            row("2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z", 6),
        ]
    );
    assert_eq!(
        rows(&view(By::Hour, items())),
        [
            row("2026-11-02T00:00:00Z", "2026-11-02T01:00:00Z", 6),
            row("2026-11-02T23:00:00Z", "2026-11-03T00:00:00Z", 6),
            row("2026-11-03T00:00:00Z", "2026-11-03T01:00:00Z", 6),
        ]
    );
    let mut sums = Sums::new(By::Day);
    sums.add(item(Some("a"), "2026-11-02T05:00:00Z"));
    let (from, to) = (time("2026-11-02T03:00:00Z"), time("2026-11-02T09:00:00Z"));
    let cut = sums.view(TenantId::default_tenant(), from, to);
    assert_eq!(rows(&cut), [row("2026-11-02T03:00:00Z", "2026-11-02T09:00:00Z", 3)]);
}

#[test]
fn of_too_many_jobs_the_last_are_one_row_and_nothing_is_lost() {
    let jobs = MAX_ROWS + 50;
    let names: Vec<String> = (0..jobs).map(|number| format!("job-{number}")).collect();
    let items = names.iter().map(|name| item(Some(name), "2026-11-02T00:00:00Z"));
    let view = view(By::Job, items.collect());
    assert_eq!(view.items.len(), MAX_ROWS);
    let others = view.items.last().unwrap();
    assert_eq!((&others.job, others.used.runs), (&None, 3 * 51));
    assert_eq!(view.total.runs, 3 * jobs as u64);
}
