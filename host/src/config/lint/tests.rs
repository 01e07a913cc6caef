use std::path::Path;

use super::*;
use crate::config::Config;
use crate::config::definitions::definitions;

fn lints(text: &str) -> Vec<String> {
    let config = Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1).unwrap();
    let now = Timestamp::parse("2026-01-10T12:00:00Z").unwrap();
    let found = definitions(&config, &[], &[]);
    assert_eq!(found.problems.len(), 0, "{:?}", found.problems);
    lint(&found.jobs, &config, now).iter().map(ToString::to_string).collect()
}

/// What is said of one job with these keys.
fn of(keys: &str) -> Vec<String> {
    lints(&format!("[jobs.x]\nplugin = 'p'\nlimits = {{ timeout = '1ms' }}\n{keys}"))
}

fn of_trigger(trigger: &str) -> Vec<String> {
    of(&format!("trigger = {trigger}"))
}

#[test]
fn what_is_likely_not_meant_is_named_with_its_key_and_what_would_be_better() {
    for (trigger, said) in [
        (
            "{ type = 'cron', minute = '*/7' }",
            "x`, trigger.minute: `*/7` is not every 7 minutes: it begins again with each hour, 4 minutes after the last one; for even steps use an interval, like `every 7m`",
        ),
        ("'cron */7 * * * *'", "trigger.crontab: `*/7` is not every 7 minutes"),
        (
            "'cron */25 * * * * *'",
            "not every 25 seconds: it begins again with each minute, 10 seconds",
        ),
        ("{ type = 'cron', hour = '*/5' }", "trigger.hour: `*/5` is not every 5 hours"),
        (
            "'cron 0 0 */2 * *'",
            "not every 2 days: it begins again with each month, whose length varies",
        ),
        ("'cron 0 0 1 */5 *'", "not every 5 months"),
        ("'cron 0 0 13 * fri'", "either of day `13` and weekday `fri` may match"),
        (
            "{ type = 'cron', day = 13, day_of_week = 'fri' }",
            "both `day = \"13\"` and `day_of_week = \"fri\"` must match",
        ),
        (
            "{ type = 'cron', day = 31 }",
            "trigger.day: `31` skips Feb, Apr, Jun, Sep, Nov; for the last day of every month write `day = \"last\"`",
        ),
        ("'cron 0 0 30 * *'", "trigger.crontab: `30` skips Feb; "),
        ("'cron 0 0 29 * *'", "`29` skips Feb but in leap years; "),
        ("{ type = 'cron', month = '4,7', day = '31' }", "`31` skips Apr; "),
        (
            "{ type = 'cron', hour = 2, minute = 30, dst = 'wall', timezone = 'Europe/Berlin' }",
            "trigger.dst: `wall` has no fire for 2026-03-29 02:30 in Europe/Berlin: the clocks jump from 02:00 to 03:00 that day, and 1 more by then; `dst = \"once\"` fires right after the gap instead",
        ),
        (
            "{ type = 'interval', days = 1, timezone = 'Europe/Berlin' }",
            "trigger: is elapsed time: from 2026-03-29T01:00:00Z on",
        ),
        (
            "{ type = 'cron', hour = 3, end_date = '2026-01-09' }",
            "trigger: has no fire time left: the job will be finished",
        ),
        ("'at 2026-01-10 11:00:00'", "its one fire time 2026-01-10T11:00:00Z has passed"),
    ] {
        let found = of_trigger(trigger);
        assert_eq!(found.len(), 1, "{trigger}: {found:#?}");
        assert!(found[0].contains(said), "{trigger}: {found:#?}");
    }
}

#[test]
fn what_is_fine_is_not_warned_of() {
    for trigger in [
        "'cron */15 */6 * * *'",
        "'cron */20 * * * * *'",
        "'cron 0 0 * * mon-fri'",
        "'cron 0 0 */31 * fri'",
        "'cron @monthly'",
        "'cron 0 0 31 1,3 *'",
        "'cron 0 0 1,31 * *'",
        "{ type = 'cron', day = 'last' }",
        "{ type = 'cron', day = '2nd fri' }",
        "{ type = 'cron', day = 28, hour = 3 }",
        // Once is the default, every hour goes by elapsed time, and the window is over by then.
        "{ type = 'cron', hour = 2, minute = 30, timezone = 'Europe/Berlin' }",
        "{ type = 'cron', minute = '30', dst = 'wall', timezone = 'Europe/Berlin' }",
        "{ type = 'cron', hour = 2, dst = 'wall', end_date = '2026-02-01', timezone = 'Europe/Berlin' }",
        "{ type = 'cron', hour = 4, dst = 'wall', timezone = 'Europe/Berlin' }",
        "{ type = 'cron', hour = 2, dst = 'wall', timezone = 'UTC' }",
        "'every 1d'",
        "{ type = 'interval', hours = 6, timezone = 'Europe/Berlin' }",
        "'at 2026-01-10 13:00:00'",
        "'none'",
    ] {
        let found: Vec<_> =
            of_trigger(trigger).into_iter().filter(|it| !it.contains("`*/31`")).collect();
        assert_eq!(found, [""; 0], "{trigger}");
    }
}

#[test]
fn policies_are_held_against_the_time_between_fires() {
    for (keys, said) in [
        (
            "trigger = 'every 5s'\nmisfire_grace_time = '250ms'",
            "misfire_grace_time: a fire that starts later than 250ms is lost",
        ),
        (
            "trigger = 'every 5s'\nmisfire_grace_time = '6s'",
            "misfire_grace_time: is longer than the 5s between two fires: several may be late at once, and by `coalesce` one run stands for all of them; write at most `5s`",
        ),
        (
            "trigger = 'cron 0 8,9 * * *'\nmisfire_grace_time = '2h'\ncoalesce = 'all'",
            "the 1h between two fires: several may be late at once, and by `coalesce` each of them runs",
        ),
    ] {
        let found = of(keys);
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert!(found[0].contains(said), "{keys}: {found:#?}");
    }
    for keys in [
        "trigger = 'every 5s'\nmisfire_grace_time = '5s'",
        "trigger = 'every 5s'\nmisfire_grace_time = '1s'",
        "trigger = 'at 2026-01-10 11:00:00'\nmisfire_grace_time = '2h'",
    ] {
        assert_eq!(of(keys), [""; 0], "{keys}");
    }
}

#[test]
fn a_timeout_longer_than_the_time_between_fires_skips_fires() {
    let with = |keys: &str| lints(&format!("[jobs.x]\nplugin = 'p'\ntrigger = 'every 1m'\n{keys}"));
    let [found] = &with("limits = { timeout = '2m' }")[..] else { panic!() };
    assert_eq!(
        found,
        "job `x`, limits.timeout: a run may take 2m, longer than the 1m between two fires, and \
         fires meanwhile are skipped; write at most `1m`, or let them wait with `overlap = \"queue\"`"
    );
    for keys in [
        "limits = { timeout = '1m' }",
        "limits = { timeout = '2m' }\nmax_instances = 2",
        "limits = { timeout = '2m' }\noverlap = 'queue'",
    ] {
        let written = with(keys);
        assert_eq!(written, [""; 0], "{keys}");
    }
}

#[test]
fn a_crowd_in_one_second_is_counted() {
    let jobs = |count: usize, trigger: &str| -> String {
        (0..count)
            .map(|number| {
                format!("[jobs.j{number:02}]\nplugin = 'p'\nlimits = {{ timeout = '1ms' }}\ntrigger = {trigger}\n")
            })
            .collect()
    };
    let midnight = "{ type = 'cron', hour = 0 }";
    assert_eq!(lints(&jobs(9, midnight)), [""; 0]);
    assert_eq!(
        lints(&jobs(12, midnight)),
        ["job `j00`, trigger: 12 jobs are due at 2026-01-11T00:00:00Z (`j00`, `j01`, `j02` and 9 \
          more); spread them over other minutes or seconds, so that they do not wait for each other"]
    );
    let [found] = &lints(&jobs(10, "'cron */10 * * * *'"))[..] else { panic!() };
    assert!(found.contains("10 jobs are due at 2026-01-10T12:00:00Z"), "{found}");
    assert!(found.contains("in 143 other seconds"), "{found}");
    // Where the grid begins is known when they are registered.
    assert_eq!(lints(&jobs(12, "'every 1h'")), [""; 0]);
}

#[test]
fn a_queue_that_no_host_of_the_file_serves_is_told() {
    let job = "[jobs.x]\nplugin = 'p'\nqueue = 'gpu'\n";
    let with = |keys: &str| lints(&format!("{keys}\n{job}"));
    let redis = "store = 'redis://h'\n";
    assert_eq!(
        with(""),
        [
            "job `x`, queue: no host of this file takes runs from `gpu`; add it to `executor.queues`, or leave it out here"
        ]
    );
    assert_eq!(
        with(&format!("{redis}executor = {{ queues = ['default', 'cpu'] }}")),
        [
            "job `x`, queue: no host of this file takes runs from `gpu`; add it to `executor.queues`, here or on a host that shares the store"
        ]
    );
    assert_eq!(
        with("roles = ['scheduler', 'api']"),
        [
            "job `x`, queue: no run will start: `roles` has no `executor`, and no other host can share this store"
        ]
    );
    assert_eq!(with(&format!("{redis}roles = ['scheduler']")), [""; 0]);
    assert_eq!(with("executor = { queues = ['gpu'] }"), [""; 0]);
}
