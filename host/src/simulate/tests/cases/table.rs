//! Situations in which nobody does anything but wait.

use super::Ledger::{OnTime, Verdicts};
use super::Span::Secs;
use super::{Case, NOON};

const EVERY_10S: &str = "trigger = 'every 10s'";
const UP_TO_50: &str =
    "trigger = { type = 'interval', seconds = 10, end_date = '2026-01-01 12:00:50' }";

/// All of them.
pub(super) const TABLE: &[Case] = &[
    // Due, late, missed.
    Case {
        ids: "C2",
        jobs: &[("j", "trigger = 'every 10s'\nmisfire_grace_time = '1s'")],
        down: &[(1.0, 10.9)],
        span: Secs(0.0, 15.0),
        ledger: Verdicts(&["j ran +10 on_time @+10.9"]),
        ..NOON
    },
    Case {
        ids: "C3",
        jobs: &[("j", "trigger = 'every 10s'\nmisfire_grace_time = '1s'")],
        down: &[(1.0, 11.0)],
        span: Secs(0.0, 15.0),
        ledger: Verdicts(&["j ran +10 on_time @+11"]),
        ..NOON
    },
    Case {
        ids: "C4",
        jobs: &[("j", "trigger = 'every 10s'\nmisfire_grace_time = '1s'")],
        down: &[(1.0, 11.001)],
        span: Secs(0.0, 25.0),
        ledger: Verdicts(&["j misfired +10 late", "j ran +20 on_time @+20"]),
        ..NOON
    },
    Case {
        ids: "C5",
        jobs: &[("j", EVERY_10S)],
        down: &[(1.0, 3605.0)],
        span: Secs(0.0, 3609.0),
        ledger: Verdicts(&["j coalesced +10..+3590 x359 latest", "j ran +3600 catch_up @+3605"]),
        ..NOON
    },
    Case {
        ids: "C7",
        jobs: &[("j", "trigger = 'every 10s'\nmisfire_grace_time = '100s'")],
        down: &[(1.0, 55.0)],
        span: Secs(0.0, 59.0),
        ledger: Verdicts(&["j coalesced +10..+40 x4 latest", "j ran +50 catch_up @+55"]),
        ..NOON
    },
    // Five of one backlog never run at once.
    Case {
        ids: "C8 C25",
        jobs: &[("j", "trigger = 'every 10s'\nmisfire_grace_time = '100s'\ncoalesce = 'all'")],
        down: &[(1.0, 55.0)],
        span: Secs(0.0, 60.0),
        ledger: Verdicts(&[
            "j ran +10 catch_up @+55",
            "j ran +20 catch_up @+56",
            "j ran +30 catch_up @+57",
            "j ran +40 catch_up @+58",
            "j ran +50 catch_up @+59",
        ]),
        ..NOON
    },
    Case {
        ids: "C9",
        jobs: &[("j", "trigger = 'every 10s'\nmisfire_grace_time = '20s'\ncoalesce = 'all'")],
        down: &[(1.0, 55.0)],
        span: Secs(0.0, 59.0),
        ledger: Verdicts(&[
            "j misfired +10..+30 x3 late",
            "j ran +40 catch_up @+55",
            "j ran +50 catch_up @+56",
        ]),
        ..NOON
    },
    // Lateness is judged again when each is about to start.
    Case {
        ids: "C10",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, end_date = '2026-01-01 12:00:50' }\n\
             misfire_grace_time = '50s'\ncoalesce = 'all'",
        )],
        run_times: &[("j", 30.0)],
        down: &[(1.0, 55.0)],
        span: Secs(0.0, 300.0),
        ledger: Verdicts(&[
            "j ran +10 catch_up @+55",
            "j misfired +20 queued_too_long",
            "j misfired +30 queued_too_long",
            "j ran +40 catch_up @+85",
            "j misfired +50 queued_too_long",
        ]),
        ..NOON
    },
    Case {
        ids: "C11",
        jobs: &[("j", "trigger = { type = 'cron', hour = 13 }\nmisfire_grace_time = '1h'")],
        down: &[(1.0, 10_801.0)],
        span: Secs(0.0, 90_001.0),
        ledger: Verdicts(&["j misfired +3600 late", "j ran +90000 on_time @+90000"]),
        ..NOON
    },
    Case {
        ids: "C12",
        jobs: &[("j", "trigger = 'at 2026-01-01 11:55:00'")],
        ledger: Verdicts(&["j misfired -300 before_registration"]),
        warning: Some("had passed before it was registered"),
        ..NOON
    },
    Case {
        ids: "C12",
        jobs: &[("j", "trigger = 'at 2026-01-01 11:55:00'\nmisfire_grace_time = '10m'")],
        ledger: Verdicts(&["j ran -300 catch_up @+0"]),
        ..NOON
    },
    Case {
        ids: "C13",
        jobs: &[("j", "trigger = 'at 2026-01-01 12:00:05'")],
        down: &[(1.0, 5.5)],
        ledger: Verdicts(&["j ran +5 on_time @+5.5"]),
        ..NOON
    },
    Case {
        ids: "C17b",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, end_date = '2026-01-01 12:00:20' }",
        )],
        down: &[(1.0, 500.0)],
        span: Secs(0.0, 900.0),
        ledger: Verdicts(&["j coalesced +10 latest", "j ran +20 catch_up @+500"]),
        ..NOON
    },
    Case {
        ids: "C74",
        jobs: &[("j", "trigger = 'every 1s'")],
        down: &[(0.5, 172_800.5)],
        span: Secs(0.0, 172_801.0),
        ledger: Verdicts(&[
            "j coalesced +1..+172799 x172799 latest",
            "j ran +172800 catch_up @+172800.5",
        ]),
        ..NOON
    },
    Case {
        ids: "T1 C26",
        host: "executor = { max_running = 1 }",
        jobs: &[
            ("a", "trigger = 'at 2026-01-01 12:00:10'\nmisfire_grace_time = '1s'"),
            ("b", "trigger = 'at 2026-01-01 12:00:10'\nmisfire_grace_time = '1s'"),
        ],
        run_times: &[("a", 2.0)],
        ledger: Verdicts(&["a ran +10 on_time @+10", "b misfired +10 queued_too_long"]),
        ..NOON
    },
    Case {
        ids: "T13",
        jobs: &[("j", "trigger = { type = 'interval', seconds = 0.5 }")],
        run_times: &[("j", 0.1)],
        span: Secs(0.0, 1.6),
        ledger: OnTime(&["+0.5", "+1", "+1.5"]),
        ..NOON
    },
    // First runs.
    Case {
        ids: "C15",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, start_date = '2026-01-01 12:00:00' }",
        )],
        span: Secs(0.0, 15.0),
        ledger: OnTime(&["+0", "+10"]),
        ..NOON
    },
    Case {
        ids: "C16",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, start_date = '2026-01-01 11:59:27' }",
        )],
        span: Secs(0.0, 20.0),
        ledger: OnTime(&["+7", "+17"]),
        ..NOON
    },
    Case {
        ids: "C15b",
        jobs: &[("j", EVERY_10S)],
        span: Secs(0.0, 15.0),
        ledger: OnTime(&["+10"]),
        ..NOON
    },
    Case {
        ids: "C17",
        jobs: &[("j", UP_TO_50)],
        span: Secs(25.0, 900.0),
        ledger: OnTime(&["+35", "+45"]),
        ..NOON
    },
    Case {
        ids: "C17",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, end_date = '2026-01-01 12:00:20' }",
        )],
        span: Secs(0.0, 900.0),
        ledger: OnTime(&["+10", "+20"]),
        ..NOON
    },
    Case {
        ids: "C18",
        jobs: &[("j", "trigger = { type = 'cron', year = 2000 }")],
        warning: Some("no fire time left"),
        ..NOON
    },
    Case {
        ids: "C18b",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, end_date = '2025-12-31 12:00:00' }",
        )],
        warning: Some("no fire time left"),
        ..NOON
    },
    Case {
        ids: "C20c",
        host: "timezone = 'Africa/Johannesburg'",
        jobs: &[("j", "trigger = { type = 'date', run_date = '2026-01-01 14:00:30' }")],
        ledger: OnTime(&["+30"]),
        ..NOON
    },
    Case {
        ids: "C36",
        jobs: &[
            ("c", "trigger = { type = 'cron', second = '*/7' }"),
            ("d", "trigger = 'at 2026-01-01 12:00:05'"),
            (
                "i",
                "trigger = { type = 'interval', seconds = 10, start_date = '2026-01-01 12:00:10' }",
            ),
        ],
        span: Secs(25.0, 31.0),
        ledger: Verdicts(&[
            "d misfired +5 before_registration",
            "c ran +28 on_time @+28",
            "i ran +30 on_time @+30",
        ]),
        warning: Some("had passed before it was registered"),
        ..NOON
    },
    // max_instances.
    Case {
        ids: "C22",
        jobs: &[("j", "trigger = { type = 'interval', seconds = 10, start = 'now' }")],
        run_times: &[("j", 25.0)],
        span: Secs(0.0, 35.0),
        ledger: Verdicts(&[
            "j ran +0 on_time @+0",
            "j skipped +10..+20 x2 max_instances",
            "j ran +30 on_time @+30",
        ]),
        ..NOON
    },
    Case {
        ids: "C22",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, start = 'now' }\noverlap = 'queue'",
        )],
        run_times: &[("j", 25.0)],
        span: Secs(0.0, 35.0),
        ledger: Verdicts(&[
            "j ran +0 on_time @+0",
            "j ran +10 late @+25",
            "j skipped +20 queue_limit",
            "j waiting +30 -",
        ]),
        ..NOON
    },
    Case {
        ids: "C22",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, start = 'now' }\noverlap = 'replace'",
        )],
        run_times: &[("j", 25.0)],
        span: Secs(0.0, 15.0),
        ledger: Verdicts(&["j ran +0 on_time @+0 cancelled x1", "j ran +10 on_time @+10"]),
        ..NOON
    },
    Case {
        ids: "C23",
        jobs: &[(
            "j",
            "trigger = { type = 'interval', seconds = 10, start = 'now' }\nmax_instances = 2",
        )],
        run_times: &[("j", 250.0)],
        span: Secs(0.0, 25.0),
        ledger: Verdicts(&[
            "j ran +0 on_time @+0",
            "j ran +10 on_time @+10",
            "j skipped +20 max_instances",
        ]),
        ..NOON
    },
    Case {
        ids: "seed-003",
        jobs: &[("a", "trigger = 'every 3s'"), ("b", "trigger = 'every 3s'\nmax_instances = 2")],
        run_times: &[("a", 5.0), ("b", 5.0)],
        span: Secs(0.0, 10.0),
        ledger: Verdicts(&[
            "a ran +3 on_time @+3",
            "b ran +3 on_time @+3",
            "a skipped +6 max_instances",
            "b ran +6 on_time @+6",
            "a ran +9 on_time @+9",
            "b ran +9 on_time @+9",
        ]),
        ..NOON
    },
    // Failures and restarts.
    Case {
        ids: "C63",
        jobs: &[("j", "trigger = 'every 10s'\nlimits = { timeout = '5s' }")],
        run_times: &[("j", 6.0)],
        span: Secs(0.0, 27.0),
        ledger: Verdicts(&[
            "j ran +10 on_time @+10 timed_out x1",
            "j ran +20 on_time @+20 timed_out x1",
        ]),
        ..NOON
    },
    Case {
        ids: "T8",
        jobs: &[("j", "trigger = 'every 1h'")],
        absent: true,
        span: Secs(0.0, 7_900.0),
        ledger: Verdicts(&["j no_plugin +3600 no_plugin", "j no_plugin +7200 no_plugin"]),
        ..NOON
    },
    Case {
        ids: "T6",
        jobs: &[
            ("all", "trigger = 'every 1s'\ncoalesce = 'all'"),
            ("date", "trigger = 'at 2026-01-01 12:00:01'\nmisfire_grace_time = '1s'"),
            ("late", "trigger = 'every 1s'\ncoalesce = 'all'\nmisfire_grace_time = '1s'"),
            ("one", "trigger = 'every 1s'"),
        ],
        run_times: &[("all", 0.05), ("late", 0.05), ("one", 0.05)],
        down: &[(0.5, 3.8)],
        span: Secs(0.0, 4.5),
        ledger: Verdicts(&[
            "all ran +1 catch_up @+3.8",
            "date misfired +1 late",
            "late misfired +1..+2 x2 late",
            "one coalesced +1..+2 x2 latest",
            "all ran +2 catch_up @+3.85",
            "all ran +3 on_time @+3.9",
            "late ran +3 on_time @+3.8",
            "one ran +3 catch_up @+3.8",
            "all ran +4 on_time @+4",
            "late ran +4 on_time @+4",
            "one ran +4 on_time @+4",
        ]),
        ..NOON
    },
    Case {
        ids: "T7",
        jobs: &[
            ("once", "trigger = 'every 100s'\ndelivery = 'at_most_once'"),
            ("safe", "trigger = 'every 100s'"),
        ],
        run_times: &[("once", 60.0), ("safe", 60.0)],
        down: &[(110.0, 130.0)],
        span: Secs(0.0, 199.0),
        ledger: Verdicts(&[
            "once ran +100 on_time @+100 abandoned x1",
            "safe ran +100 on_time @+100 succeeded x2",
        ]),
        ..NOON
    },
];
