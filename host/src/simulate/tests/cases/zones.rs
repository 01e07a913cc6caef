//! Situations around the days on which clocks change: each job fires once a day.

use super::Ledger::OnTime;
use super::Span::Utc;
use super::{Case, NOON};

/// All of them.
pub(super) const ZONES: &[Case] = &[
    Case {
        ids: "D1",
        jobs: &[("j", "trigger = { type = 'cron', hour = 0, timezone = 'America/New_York' }")],
        span: Utc("2024-03-09T00:00:00Z", "2024-03-13T00:00:00Z"),
        ledger: OnTime(&[
            "2024-03-09T05:00:00Z",
            "2024-03-10T05:00:00Z",
            "2024-03-11T04:00:00Z",
            "2024-03-12T04:00:00Z",
        ]),
        ..NOON
    },
    Case {
        ids: "D2",
        jobs: &[(
            "j",
            "trigger = { type = 'cron', day_of_week = 'mon', timezone = 'America/New_York' }",
        )],
        span: Utc("2024-03-08T00:00:00Z", "2024-03-19T00:00:00Z"),
        ledger: OnTime(&["2024-03-11T04:00:00Z", "2024-03-18T04:00:00Z"]),
        ..NOON
    },
    Case {
        ids: "D3",
        jobs: &[("j", "trigger = { type = 'cron', day = 1, timezone = 'Europe/London' }")],
        span: Utc("2024-03-01T00:00:00Z", "2024-05-02T00:00:00Z"),
        ledger: OnTime(&["2024-03-01T00:00:00Z", "2024-03-31T23:00:00Z", "2024-04-30T23:00:00Z"]),
        ..NOON
    },
    Case {
        ids: "D4",
        jobs: &[(
            "j",
            "trigger = { type = 'cron', hour = 2, minute = 30, timezone = 'America/New_York' }",
        )],
        span: Utc("2024-03-10T00:00:00Z", "2024-03-11T12:00:00Z"),
        ledger: OnTime(&["2024-03-10T07:00:00Z", "2024-03-11T06:30:00Z"]),
        ..NOON
    },
    Case {
        ids: "D5",
        jobs: &[(
            "j",
            "trigger = { type = 'cron', hour = 1, minute = 30, timezone = 'America/New_York' }",
        )],
        span: Utc("2024-11-03T00:00:00Z", "2024-11-04T12:00:00Z"),
        ledger: OnTime(&["2024-11-03T05:30:00Z", "2024-11-04T06:30:00Z"]),
        ..NOON
    },
    Case {
        ids: "D6",
        jobs: &[(
            "j",
            "trigger = { type = 'cron', hour = '*/3', minute = '*/15', \
             timezone = 'America/St_Johns' }",
        )],
        span: Utc("2006-04-02T03:20:00Z", "2006-04-02T05:40:00Z"),
        ledger: OnTime(&["2006-04-02T03:30:00Z", "2006-04-02T03:31:00Z", "2006-04-02T05:30:00Z"]),
        ..NOON
    },
    Case {
        ids: "D7",
        jobs: &[(
            "j",
            "trigger = { type = 'cron', hour = 0, minute = 30, timezone = 'America/Sao_Paulo' }",
        )],
        span: Utc("2018-11-04T00:00:00Z", "2018-11-05T12:00:00Z"),
        ledger: OnTime(&["2018-11-04T03:00:00Z", "2018-11-05T02:30:00Z"]),
        ..NOON
    },
    Case {
        ids: "D8",
        jobs: &[(
            "j",
            "trigger = { type = 'cron', hour = '0-4', end_date = '2024-10-27 03:30:00', \
             timezone = 'Europe/Helsinki' }",
        )],
        span: Utc("2024-10-26T20:00:00Z", "2024-10-27T12:00:00Z"),
        ledger: OnTime(&[
            "2024-10-26T21:00:00Z",
            "2024-10-26T22:00:00Z",
            "2024-10-26T23:00:00Z",
            "2024-10-27T00:00:00Z",
        ]),
        ..NOON
    },
];
