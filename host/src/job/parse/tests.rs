use serde_json::json;

use super::super::Source;
use super::super::capabilities::Allow;
use super::super::capabilities::DirMode;
use super::super::limits::Caps;
use super::super::merge::merge;
use super::*;
use crate::job::merge::difference;

const FILE: Layer = Layer::Job(Source::File);

fn place() -> Place<'static> {
    Place {
        base_dir: Path::new("/srv/app"),
        zone: "Europe/Berlin".parse().unwrap(),
        tenant: None,
        allow: Allow::nothing(),
    }
}

fn key() -> JobKey {
    JobKey {
        tenant: super::super::names::TenantId::default_tenant(),
        job: "nightly".parse().unwrap(),
    }
}

fn entries(value: Value) -> Entries {
    let Value::Object(entries) = value else { panic!("not a table: {value}") };
    entries
}

/// What is wrong with one layer that holds `value`.
fn problems_of(layer: Layer, value: Value) -> Vec<String> {
    check(&entries(value), layer, "jobs.x", place()).iter().map(ToString::to_string).collect()
}

/// The job that `value` makes, and the same written out whole.
fn made(value: Value) -> (Job, Value) {
    let merged = merge(&[(FILE, &entries(value))]).entries;
    let job = job(key(), &merged, "jobs.nightly", place()).unwrap();
    let effective = effective::effective(&job, &merged["trigger"], place().zone);
    (job, effective)
}

#[test]
fn a_job_that_says_nothing_has_the_documented_defaults() {
    let (job, effective) = made(json!({"plugin": "report"}));
    assert_eq!(job.trigger, None);
    assert_eq!(job.policy.misfire_grace_time, None);
    let mut expected = merge::built_in();
    expected.insert("plugin".to_owned(), json!("report"));
    assert_eq!(effective, Value::Object(expected));
}

#[test]
fn what_is_written_out_whole_reads_back_to_the_same_job_anywhere() {
    for value in [
        json!({"plugin": "p"}),
        json!({"plugin": "p", "trigger": "cron 30 2 * * *", "coalesce": true}),
        json!({"plugin": "p", "trigger": " at 2026-12-01 09:00:00 ", "coalesce": false}),
        json!({"plugin": "p", "trigger": "every 15s", "coalesce": "drop"}),
        json!({"plugin": "p", "trigger": {"type": "cron", "hour": 2, "timezone": "Asia/Tokyo"}}),
        json!({"plugin": "p", "trigger": {"type": "date", "run_date": "2026-12-01 09:00:00"}}),
        json!({"plugin": "p", "trigger": {"type": "interval", "minutes": 5, "start_date": "2026-01-01"}}),
        json!({
            "plugin": "p", "handler": "h", "args": {"a": [1, null]}, "tags": ["x"], "priority": 9,
            "config": {"currency": "EUR", "n": 5, "f": 1.5, "on": true},
            "misfire_grace_time": "90m", "coalesce": "earliest", "max_catchup": 7,
            "max_instances": 3, "delivery": "at_most_once", "max_rescues": 0, "plugin_wait": "0s",
            "history": {"keep": 0, "max_age": "1d"}, "retry": {"max_attempts": 1},
            "limits": {"timeout": "1500ms", "memory": 100_000, "fuel": "5G", "meter": true,
                "log": 0, "result": "1KiB", "args": "2KiB"},
            "capabilities": {
                "dirs": [{"host": "./data/../x", "guest": "/data/"}],
                "tcp": ["DB.Internal:5432", "[::1]:80"],
            },
        }),
        json!({"plugin": "p", "trigger": {"type": "or", "jitter": 5, "triggers": [
            "at 2026-07-01 09:00:00",
            {"type": "and", "threshold": 2, "triggers": ["cron 0 9 * * 1", {"type": "cron", "day": 1}]},
            "every 90m",
        ]}}),
    ] {
        let (job, effective) = made(value.clone());
        assert_eq!(Job::from_effective(key(), &effective).as_ref(), Ok(&job), "{effective}");
        let difference = difference(effective.as_object().unwrap());
        assert_eq!(Job::from_difference(key(), &difference), Ok(job), "{value} {difference:?}");
    }
}

#[test]
fn what_an_older_host_wrote_out_still_reads() {
    let job = Job::from_effective(key(), &json!({"plugin": "p"})).unwrap();
    assert_eq!(job.policy.max_catchup.get(), 100);
    assert!(Job::from_effective(key(), &json!([])).is_err());
}

#[test]
fn a_wall_time_without_a_zone_is_in_the_default_zone_and_says_so() {
    let (_, effective) = made(json!({"plugin": "p", "trigger": "cron 30 2 * * *"}));
    assert_eq!(
        effective["trigger"],
        json!({"type": "cron", "crontab": "30 2 * * *", "timezone": "Europe/Berlin"})
    );
}

#[test]
fn every_wrong_value_is_named_with_what_would_be_right() {
    for (value, problem) in [
        (
            json!({"misfire_grace_time": 0}),
            "misfire_grace_time: must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `0`; or `none`",
        ),
        (
            json!({"misfire_grace_time": "-5s"}),
            "misfire_grace_time: must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `-5s`; or `none`",
        ),
        (
            json!({"misfire_grace_time": "0s"}),
            "misfire_grace_time: must be longer than zero, not `0s`; or `none`",
        ),
        (
            json!({"misfire_grace_time": true}),
            "misfire_grace_time: must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `true`; or `none`",
        ),
        (
            json!({"max_instances": 0}),
            "max_instances: must be a whole number from 1 to 10000, not `0`",
        ),
        (
            json!({"max_instances": 1.5}),
            "max_instances: must be a whole number from 1 to 10000, not `1.5`",
        ),
        (
            json!({"max_instances": true}),
            "max_instances: must be a whole number from 1 to 10000, not `true`",
        ),
        (
            json!({"max_instances": null}),
            "max_instances: must be a whole number from 1 to 10000, not `null`",
        ),
        (
            json!({"max_instance": 1}),
            "max_instance: unknown key `max_instance`; did you mean `max_instances`?",
        ),
        (json!({"priority": 10}), "priority: must be a whole number from 0 to 9, not `10`"),
        (
            json!({"coalesce": "none"}),
            "coalesce: `none` could mean either of two: write `all` to run every missed fire, or `drop` to run none of them",
        ),
        (
            json!({"coalesce": null}),
            "coalesce: `none` could mean either of two: write `all` to run every missed fire, or `drop` to run none of them",
        ),
        (
            json!({"coalesce": "newest"}),
            "coalesce: must be `latest`, `earliest`, `all` or `drop`, not `newest`",
        ),
        (json!({"overlap": "skipp"}), "overlap: unknown choice `skipp`; did you mean `skip`?"),
        (json!({"queue_limit": 0}), "queue_limit: must be a whole number from 1 to 10000, not `0`"),
        (
            json!({"retry": {"factor": 0.5}}),
            "retry.factor: must be a number from 1 to 100, not `0.5`",
        ),
        (
            json!({"delivery": "exactly_once"}),
            "delivery: must be `at_least_once` or `at_most_once`, not `exactly_once`",
        ),
        (
            json!({"retry": {"max_attempts": 0}}),
            "retry.max_attempts: must be a whole number from 1 to 1000, not `0`",
        ),
        (
            json!({"limits": {"grace": "5"}}),
            "limits.grace: must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `5`",
        ),
        (
            json!({"limits": {"open_files": "many"}}),
            "limits.open_files: must be a whole number from 0 to 10000, not `many`",
        ),
        (
            json!({"limits": {"memory": "64MB"}}),
            "limits.memory: must be a size like `64KiB`, `1MiB` or `4GiB`, not `64MB`",
        ),
        (
            json!({"limits": {"memory": "1KiB"}}),
            "limits.memory: must be at least 64KiB, not `1KiB`",
        ),
        (
            json!({"limits": {"timeout": "0s"}}),
            "limits.timeout: must be longer than zero, not `0s`",
        ),
        (
            json!({"limits": {"timeot": "1s"}}),
            "limits.timeot: unknown key `timeot`; did you mean `timeout`?",
        ),
        (json!({"limits": 5}), "limits: must be a table of keys, not `5`"),
        (json!({"result": "stdout"}), "result: `result` is not built yet; leave it out"),
        (json!({"mutex": "m"}), "mutex: `mutex` is reserved for later; leave it out"),
        (
            json!({"plugin": "a/b"}),
            "plugin: `a/b` is no plugin name: use letters, digits, `.`, `_`, `-`, starting with a letter or digit, at most 128 of them",
        ),
        (json!({"config": {"a": [1]}}), "config: `a` must be text, a number or a flag, not a list"),
        (json!({"tags": "x"}), "tags: must be a list, not `x`"),
        (
            json!({"id": "x"}),
            "id: `id` stands in REST bodies only; here the table's name is the id",
        ),
        (
            json!({"capabilities": {"http": ["x"]}}),
            "capabilities.http: must be an origin like `https://api.example.com` or \
             `http://10.0.0.5:8080`, without a path, not `x`",
        ),
        (
            json!({"capabilities": {"tcp": ["db"]}}),
            "capabilities.tcp: must be like `db.example.com:5432`, `10.0.0.5:5432` or \
             `[2001:db8::1]:5432`, not `db`",
        ),
        (
            json!({"capabilities": {"dirs": ["data"]}}),
            "capabilities.dirs.0: must be like `{ host = \"data\", guest = \"/data\" }`, not `data`",
        ),
        (
            json!({"capabilities": {"dirs": [{"host": "d", "guest": "data"}]}}),
            "capabilities.dirs.0.guest: must be an absolute path like `/data`, not `data`",
        ),
        (
            json!({"capabilities": {"dirs": [{"host": "d", "guest": "/a/../b"}]}}),
            "capabilities.dirs.0.guest: must be an absolute path like `/data`, not `/a/../b`",
        ),
        (
            json!({"capabilities": {"dirs": [{"guest": "/a"}]}}),
            "capabilities.dirs.0.host: `host` is missing: name the folder",
        ),
        (
            json!({"capabilities": {"dirs": [{"host": "d", "guest": "/a", "mode": "x"}]}}),
            "capabilities.dirs.0.mode: must be `ro` or `rw`, not `x`",
        ),
        (
            json!({"capabilities": {"dirs": [{"host": "d", "guest": "/a"}, {"host": "e", "guest": "/a/"}]}}),
            "capabilities.dirs.1.guest: `/a` is granted twice; choose another path",
        ),
    ] {
        assert_eq!(problems_of(FILE, value), [format!("jobs.x.{problem}")]);
    }
}

#[test]
fn a_wrong_trigger_is_named_by_its_key() {
    let problems = problems_of(FILE, json!({"trigger": {"type": "cron", "huor": 2}}));
    assert!(problems[0].starts_with("jobs.x.trigger"), "{problems:?}");
}

#[test]
fn all_problems_of_a_job_are_listed_at_once() {
    let value = json!({"max_instances": 0, "priority": 10, "limits": {"log": "x", "memory": 1}});
    assert_eq!(problems_of(FILE, value).len(), 4);
}

#[test]
fn only_host_toml_grants_and_each_layer_has_its_own_keys() {
    let grant = json!({"capabilities": {"dirs": [{"host": "d", "guest": "/d"}]}});
    for (layer, value, accepted) in [
        (FILE, grant.clone(), true),
        (FILE, json!({"capabilities": {"tcp": ["db:1"]}}), true),
        (Layer::Job(Source::Sidecar), json!({"capabilities": {"tcp": ["db:1"]}}), false),
        (Layer::Job(Source::Sidecar), grant.clone(), false),
        (Layer::Job(Source::Api), grant.clone(), false),
        (Layer::Job(Source::Guest), grant.clone(), false),
        (Layer::Handler, grant.clone(), false),
        (Layer::JobDefaults, grant, false),
        (Layer::Job(Source::Api), json!({"capabilities": {"dirs": [], "kv": false}}), true),
        (Layer::Handler, json!({"trigger": "every 5s"}), true),
        (Layer::Handler, json!({"plugin": "p"}), false),
        (Layer::JobDefaults, json!({"trigger": "every 5s"}), false),
        (Layer::JobDefaults, json!({"args": 1}), false),
        (Layer::JobDefaults, json!({"limits": {"timeout": "1s"}}), true),
    ] {
        let problems = problems_of(layer, value.clone());
        assert_eq!(problems.is_empty(), accepted, "{layer:?} {value} {problems:?}");
    }
    let problems = problems_of(Layer::Job(Source::Sidecar), json!({"capabilities": {"kv": true}}));
    assert!(problems[0].contains("only `host.toml` grants"), "{problems:?}");
    assert!(problems[0].ends_with("`[tenants.default] allow = { kv = true }`"), "{problems:?}");
}

#[test]
fn what_the_tenant_allows_others_may_grant_too() {
    let allow = Allow {
        dirs: vec!["/srv/shared".into()],
        http: vec!["https://a.example.com".parse().unwrap()],
        kv: true,
        ..Allow::default()
    };
    let place = Place { allow: &allow, ..place() };
    for (value, beyond) in [
        (json!({"dirs": [{"host": "/srv/shared/x", "guest": "/x", "mode": "rw"}], "kv": true}), 0),
        (json!({"http": ["https://a.example.com:443"]}), 0),
        (json!({"http": ["http://a.example.com"], "jobs": true}), 2),
        (json!({"dirs": [{"host": "/srv", "guest": "/x"}]}), 1),
        (json!({"secrets": ["TOKEN"], "env": ["HOME", "A=b"]}), 2),
    ] {
        let problems = check(
            &entries(json!({"plugin": "p", "capabilities": value})),
            Layer::Job(Source::Api),
            "",
            place,
        );
        assert_eq!(problems.len(), beyond, "{value} {problems:?}");
    }
}

#[test]
fn granted_folders_are_absolute_and_written_in_one_way() {
    let (job, effective) = made(json!({
        "plugin": "p",
        "capabilities": {"dirs": [
            {"host": "./data", "guest": "/data/"},
            {"host": "/abs", "guest": "/", "mode": "rw"},
        ]},
    }));
    let dirs = &job.capabilities.dirs;
    assert_eq!((dirs[0].host.to_str(), dirs[0].guest.as_str()), (Some("/srv/app/data"), "/data"));
    assert_eq!((dirs[0].mode, dirs[1].mode), (DirMode::ReadOnly, DirMode::ReadWrite));
    assert_eq!(
        effective["capabilities"]["dirs"][1],
        json!({"host": "/abs", "guest": "/", "mode": "rw"})
    );
}

#[test]
fn a_trigger_of_a_lower_layer_is_taken_away_with_none() {
    let handler = entries(json!({"trigger": "every 5s"}));
    for none in [json!("none"), json!(null)] {
        let own = entries(json!({"plugin": "p", "trigger": none}));
        let merged = merge(&[(Layer::Handler, &handler), (FILE, &own)]).entries;
        assert_eq!(job(key(), &merged, "", place()).unwrap().trigger, None);
    }
}

#[test]
fn arguments_longer_than_their_limit_and_a_missing_plugin_are_refused() {
    let wrong = |value| {
        let merged = merge(&[(FILE, &entries(value))]).entries;
        job(key(), &merged, "jobs.x", place()).unwrap_err()[0].to_string()
    };
    let long = json!({"plugin": "p", "args": "12345", "limits": {"args": 6}});
    assert_eq!(wrong(long), "jobs.x.args: are 7 bytes of JSON, more than `limits.args` = 6B");
    assert_eq!(wrong(json!({})), "jobs.x: `plugin` is missing: name the plugin that is run");
}

#[test]
fn what_was_clamped_is_what_the_job_gets() {
    let own = entries(json!({"plugin": "p", "limits": {"timeout": "9h"}}));
    let mut merged = merge(&[(FILE, &own)]);
    let mut caps = Caps::none("executor.caps");
    caps.set("timeout", &json!("1m")).unwrap();
    caps.set("memory", &json!("1MiB")).unwrap();
    merged.clamp(&caps);
    let job = job(key(), &merged.entries, "", place()).unwrap();
    assert_eq!(job.limits.timeout, Duration::from_secs(60));
    assert_eq!(job.limits.memory, 1 << 20);
}
