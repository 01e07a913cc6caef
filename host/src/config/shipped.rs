//! The shipped `host.toml` is the reference of all keys: these tests hold it to what is read.

use std::collections::BTreeSet;
use std::path::Path;

use super::definitions::definitions;
use super::lint::lint;
use super::{Config, keys, text};
use crate::job::parse::keys as job_keys;
use crate::table::{Entries, Keys};
use crate::time::Timestamp;
use serde_json::Value;

const SHIPPED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../host.toml"));

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The file with its documented defaults taken in.
fn uncommented() -> String {
    let take_in = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
        Some(_) | None => line,
    };
    SHIPPED.lines().map(take_in).collect::<Vec<_>>().join("\n")
}

/// The lines that begin with `mark`, each as a file of its own.
fn marked(mark: &str) -> Vec<String> {
    let mut section = "";
    let mut files = Vec::new();
    for line in SHIPPED.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some(key) = line.strip_prefix(mark) {
            let plugin = if section.starts_with("[jobs.") { "plugin = 'p'\n" } else { "" };
            files.push(format!("{section}\n{plugin}{key}\n"));
        }
    }
    files
}

/// Every key that stands in `entries`, with jobs and `job_defaults` as one kind of table.
fn mentioned(entries: &Entries, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in entries {
        let path = match (path, key.as_str()) {
            ("", "job_defaults") => "job".to_owned(),
            ("", key) => key.to_owned(),
            ("jobs", _) => "job".to_owned(),
            // What a tenant has of a kind that the top has too is the same kind of table.
            ("tenants", _) => "tenant".to_owned(),
            ("queues", _) => "queue".to_owned(),
            (path, key) => format!("{path}.{key}"),
        };
        // What is inside these is the user's, or the trigger's; caps have the keys of `limits`.
        let own = [
            "job.args",
            "job.config",
            "job.trigger",
            "executor.caps",
            "secrets",
            "tenant.allow",
            "tenant.caps",
            "tenant.job_defaults",
            "tenant.jobs",
            "tenant.reload",
            "tenant.secrets",
            "job.smoke",
        ];
        let into = !own.contains(&path.as_str());
        match value {
            Value::Object(inner) if into => mentioned(inner, &path, found),
            Value::Array(items) if into => {
                for item in items {
                    if let Value::Object(inner) = item {
                        mentioned(inner, &path, found);
                    }
                }
            }
            _ => (),
        }
        found.insert(path);
    }
}

fn keys_of<'a>(files: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        mentioned(&text::entries(file).unwrap(), "", &mut found);
    }
    found
}

/// The tables of keys that the code knows, by where they stand.
const TABLES: [(&str, Keys); 16] = [
    ("", keys::TOP),
    ("store.", keys::STORE),
    ("store.password.", keys::SECRET),
    ("executor.", keys::EXECUTOR),
    ("api.", keys::API),
    ("api.tls.", keys::TLS),
    ("reload.", keys::RELOAD),
    ("tenant.", keys::TENANT),
    ("tenant.quota.", keys::QUOTA),
    ("queue.", keys::QUEUE),
    ("job.", job_keys::JOB),
    ("job.history.", job_keys::HISTORY),
    ("job.limits.", job_keys::LIMITS),
    ("job.retry.", job_keys::RETRY),
    ("job.capabilities.", job_keys::CAPABILITIES),
    ("job.capabilities.dirs.", job_keys::DIR),
];

#[test]
fn the_shipped_file_has_nothing_to_warn_of() {
    let config = parse(SHIPPED);
    let now = Timestamp::parse("2026-01-10T12:00:00Z").unwrap();
    assert_eq!(lint(&definitions(&config, &[], &[]).jobs, &config, now), []);
}

#[test]
fn the_shipped_file_works_and_its_commented_keys_are_the_defaults() {
    let (plain, full) = (parse(SHIPPED), parse(&uncommented()));
    assert_ne!(plain.job_defaults, full.job_defaults, "nothing was taken in");
    let jobs = |config: &Config| -> Vec<Value> {
        let jobs = definitions(config, &[], &[]).jobs;
        jobs.into_iter().map(|resolved| resolved.effective).collect()
    };
    assert_eq!(jobs(&plain), jobs(&full));
    let without_texts = |config: Config| Config {
        reload_of_all: Default::default(),
        job_defaults: Entries::new(),
        jobs: Default::default(),
        ..config
    };
    assert_eq!(without_texts(plain), without_texts(full.clone()));
    assert_eq!(without_texts(full), without_texts(parse("")));
}

#[test]
fn every_key_that_is_read_stands_in_the_shipped_file_and_no_other() {
    let mut shown = keys_of(&[uncommented()]);
    shown.extend(keys_of(&marked("# or: ")));
    let built = |(path, keys): &(&str, Keys)| {
        keys.built.iter().map(|key| format!("{path}{key}")).collect::<Vec<_>>()
    };
    let mut known: BTreeSet<String> = TABLES.iter().flat_map(built).collect();
    shown.insert("job.retry".to_owned());
    known.extend(["job", "tenant", "queue"].map(str::to_owned));
    known.remove("job_defaults");
    assert_eq!(shown, known);
}

#[test]
fn every_key_that_is_planned_is_marked_so_and_refused() {
    let mut refused = BTreeSet::new();
    for file in marked("# not yet: ") {
        let error = Config::parse(&file, Path::new("host.toml"), Path::new("/srv"), 1).unwrap_err();
        for problem in error.problems {
            assert!(problem.message.ends_with("is not built yet; leave it out"), "{file}{problem}");
            let path =
                problem.path.replace("job_defaults.", "job.").replace("jobs.report.", "job.");
            let path = path.replace("tenants.acme.", "tenant.");
            refused.insert(path);
        }
    }
    let planned = |(path, keys): &(&str, Keys)| {
        keys.planned.iter().map(|(key, _)| format!("{path}{key}")).collect::<Vec<_>>()
    };
    assert_eq!(refused, TABLES.iter().flat_map(planned).collect());
    for reserved in TABLES.iter().flat_map(|(_, keys)| keys.reserved) {
        assert!(SHIPPED.contains(reserved), "{reserved}");
    }
}

#[test]
fn other_ways_to_write_a_key_are_accepted() {
    let others = marked("# or: ");
    assert!(others.len() >= 3);
    for file in others {
        parse(&file);
    }
}
