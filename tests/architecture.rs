//! The floors of the house hold: who may name whom, who may wait, and how long a file may be.
//!
//! The rules are tables here; [`violations`] is a function of the files' texts, so that faults can
//! be fed to it too.

mod rust;

use std::io;
use std::path::Path;

use rust::Named;

/// The modules by floor, as in `lib.rs`. A module names lower floors only.
const FLOORS: [&[&str]; 8] = [
    &["problem", "table", "time", "trigger"],
    &["job", "plugin"],
    &["run", "record"],
    &["config", "schedule"],
    &["access", "clock", "engine", "lease", "metrics", "secrets", "status", "store"],
    &["audit", "catalog", "tenants"],
    &["api", "auditor", "executor", "reloader", "scheduler"],
    &["cli", "runtime", "simulate"],
];

/// Who may name a module of its own floor, and why. Nothing here may close a circle.
const NEIGHBOURS: [(&str, &str, &str); 18] = [
    ("table", "problem", "what is wrong with a table is a list of problems"),
    ("trigger", "problem", "and so is what is wrong with a trigger"),
    ("trigger", "time", "fire times are instants"),
    ("plugin", "job", "a handler has a name that jobs refer to"),
    ("record", "run", "what is kept of a job are its runs"),
    ("schedule", "config", "what the files define is compared with what is kept"),
    ("engine", "clock", "log lines carry the time at which they were written"),
    ("engine", "lease", "a guest goes on while its host may hold its run"),
    ("engine", "secrets", "guests get them, and what guests say is freed of them"),
    ("engine", "store", "buckets of keys and values are documents of the store"),
    ("store", "metrics", "calls are counted where they are made"),
    ("scheduler", "executor", "what is taken from the store is handed over to be run"),
    ("tenants", "audit", "that nothing is left of a tenant is kept"),
    ("tenants", "catalog", "the files of its plugins go into its export"),
    ("reloader", "scheduler", "a job that was changed is looked at at once"),
    ("api", "reloader", "whose definition of a job counts is explained by what hosts declare"),
    ("cli", "runtime", "`serve` starts a host"),
    ("cli", "simulate", "the command of that name shows what comes out"),
];

/// What one module alone names; the last word may be the beginning of a longer one.
const HOMES: [(&[&str], &str); 6] = [
    (&["wasmtime"], "engine"),
    (&["rusqlite"], "store"),
    (&["axum"], "api"),
    (&["SystemTime", "now"], "clock"),
    (&["Utc", "now"], "clock"),
    (&["Local", "now"], "clock"),
];

/// The floors up to this one are pure: no waiting, no files, no sockets, no threads.
const PURE_UP_TO: usize = 3;
/// The one file on a pure floor that reads files. Tests may too.
const READS_FILES: &str = "config/load.rs";
/// What pure floors do not name. Addresses are values, so the rest of `std::net` is allowed.
const IMPURE: [&[&str]; 8] = [
    &["std", "fs"],
    &["std", "net", "Tcp"],
    &["std", "net", "Udp"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "process"],
    &["std", "thread"],
    &["Instant", "now"],
    &["tokio"],
];

/// A longer file holds more than one thing.
const MAX_LINES: usize = 500;

/// A file: its path below `host/src`, with `/`, and its text.
type Source = (String, String);

#[test]
fn the_host_keeps_to_its_floors() {
    let sources = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))).unwrap();
    assert!(sources.iter().any(|(file, _)| file == "lib.rs"), "these are not the host's sources");
    let violations = violations(&sources);
    assert!(violations.is_empty(), "{} faults\n{}", violations.len(), violations.join("\n"));
}

/// What in these files is against the rules, one line each: where, what, and what would be right.
fn violations(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in sources {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!(
                "{file}: has {lines} lines; split it by what its parts are for, {MAX_LINES} is the limit"
            ));
        }
        let found = if file == "lib.rs" { floors_of(text) } else { in_file(file, text) };
        faults.extend(found.into_iter().map(|(line, fault)| format!("{file}:{line}: {fault}")));
    }
    faults
}

/// Checks that each module stands below the comment of its floor.
fn floors_of(lib: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut heading = None;
    for (index, line) in lib.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("// Floor ") {
            heading = rest.split(':').next().and_then(|number| number.parse::<usize>().ok());
        }
        let Some(module) = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ") else {
            continue;
        };
        let module = module.trim_end_matches(';');
        let fault = match (floor(module), heading) {
            (None, _) => format!("`{module}` has no floor; give it one in `FLOORS`"),
            (own, heading) if own == heading => continue,
            (Some(own), _) => format!("`{module}` stands on floor {own}; list it there"),
        };
        faults.push((index + 1, fault));
    }
    faults
}

fn in_file(file: &str, text: &str) -> Vec<(usize, String)> {
    let tokens = rust::tokens(text);
    let module = module_of(file);
    let pure = floor(module).is_some_and(|floor| floor <= PURE_UP_TO)
        && file != READS_FILES
        && !holds_tests(file);
    let mut faults = Vec::new();
    for path in rust::paths(&tokens) {
        let rules = [
            between_floors(file, &path),
            away_from_home(module, &path),
            if pure { impurity(module, &path) } else { None },
        ];
        faults.extend(rules.into_iter().flatten().map(|fault| (path.line, fault)));
    }
    // One `use` of several things is one fault.
    faults.dedup();
    if pure {
        let fault = format!("`{module}` is pure and waits; let a task of floor 6 wait");
        faults.extend(rust::awaits(&tokens).into_iter().map(|line| (line, fault.clone())));
    }
    faults
}

fn between_floors(file: &str, path: &Named<'_>) -> Option<String> {
    let (module, named) = (module_of(file), root_word(file, path)?);
    // `main.rs` is no module: it stands above all.
    if named == module || depth(file) == 0 {
        return None;
    }
    let allowed = NEIGHBOURS.iter().any(|(user, used, _)| (*user, *used) == (module, named));
    match (floor(module), floor(named)) {
        (Some(own), Some(other)) if other < own || allowed => None,
        (Some(own), Some(other)) => Some(format!(
            "`{module}` (floor {own}) names `{named}` (floor {other}); move what both need below"
        )),
        (_, None) => Some(format!("`crate::{named}` is no module with a floor; name one path")),
        (None, _) => Some(format!("`{module}` has no floor; give it one in `FLOORS`")),
    }
}

fn away_from_home(module: &str, path: &Named<'_>) -> Option<String> {
    let (what, home) = HOMES.iter().find(|(what, _)| names(path, what))?;
    (*home != module).then(|| format!("`{}` is named outside of `{home}`", what.join("::")))
}

fn impurity(module: &str, path: &Named<'_>) -> Option<String> {
    let what = IMPURE.iter().find(|what| names(path, what))?;
    Some(format!("`{module}` is pure and names `{}`; hand the value in", what.join("::")))
}

/// Whether these words stand in the path: a crate at its start, others anywhere.
fn names(path: &Named<'_>, what: &[&str]) -> bool {
    let Some((last, before)) = what.split_last() else { return false };
    let fits = |words: &[&str]| {
        let (end, start) = (words.last(), &words[..words.len() - 1]);
        start == before && end.is_some_and(|end| end.starts_with(last))
    };
    let mut windows = path.words.windows(what.len());
    if before.is_empty() { windows.next().is_some_and(fits) } else { windows.any(fits) }
}

/// The module that a path leads to from the root of the crate, when it leads there. How far up
/// `super` leads is counted as written; inside a macro that adds modules it may lead less far, so
/// it counts only when a module stands there.
fn root_word<'a>(file: &str, path: &Named<'a>) -> Option<&'a str> {
    let ups = path.words.iter().take_while(|word| **word == "super").count();
    match path.words.first() {
        Some(&"crate") => path.words.get(1).copied(),
        Some(&"super") if ups == depth(file) + path.inside => {
            path.words.get(ups).copied().filter(|word| floor(word).is_some())
        }
        _ => None,
    }
}

/// `trigger` for `trigger.rs`, `trigger/mod.rs` and `trigger/cron/set.rs`.
fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// How many modules deep a file is.
fn depth(file: &str) -> usize {
    let file = file.trim_end_matches("/mod.rs");
    if file == "lib.rs" || file == "main.rs" { 0 } else { file.split('/').count() }
}

/// Whether the file is nothing but tests: `tests.rs`, `plan_tests.rs`, `tests/forms.rs`.
fn holds_tests(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/")
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// All Rust files below `folder`.
fn sources(folder: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(folder).map_err(io::Error::other)?;
                let file = below.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
                sources.push((file, std::fs::read_to_string(&path)?));
            }
        }
    }
    sources.sort();
    Ok(sources)
}

fn found_in(file: &str, text: &str) -> Vec<String> {
    violations(&[(file.to_owned(), text.to_owned())])
}

#[test]
fn faults_are_found_with_their_line() {
    for (file, text, fault) in [
        ("job/mod.rs", "\nuse crate::store::Store;", "job/mod.rs:2: `job` (floor 1) names `store`"),
        ("run.rs", "use crate::{job::Job, catalog};", "(floor 2) names `catalog` (floor 5)"),
        ("plugin.rs", "use super::engine::Engine;", "names `engine` (floor 4)"),
        ("trigger/cron/set.rs", "use super::super::super::run::Run;", "names `run` (floor 2)"),
        ("time.rs", "mod tests { use super::super::job::Job; }", "names `job` (floor 1)"),
        ("api/view.rs", "fn f() { crate::executor::f() }", "names `executor` (floor 6)"),
        ("executor.rs", "use crate::scheduler::Scheduler;", "names `scheduler` (floor 6)"),
        ("api.rs", "use crate::attic::Box;", "`crate::attic` is no module with a floor"),
        ("attic.rs", "use crate::time::Timestamp;", "`attic` has no floor"),
        ("lib.rs", "// Floor 0: a\npub mod attic;", "lib.rs:2: `attic` has no floor"),
        ("lib.rs", "// Floor 1: a\npub mod time;", "lib.rs:2: `time` stands on floor 0"),
        ("store/mod.rs", "use wasmtime_wasi::p2;", "`wasmtime` is named outside of `engine`"),
        ("engine/mod.rs", "use rusqlite::Connection;", "outside of `store`"),
        ("main.rs", "fn main() { axum::serve() }", "outside of `api`"),
        ("store/mod.rs", "fn f() { chrono::Utc::now() }", "outside of `clock`"),
        ("store/mod.rs", "use std::time::SystemTime; fn f() { SystemTime::now() }", "`clock`"),
        ("config/read.rs", "use std::{fs, io};", "`config` is pure and names `std::fs`"),
        ("run.rs", "use std::net::TcpStream;", "names `std::net::Tcp`"),
        (
            "schedule/mod.rs",
            "async fn f() {\n g().await }",
            "mod.rs:2: `schedule` is pure and waits",
        ),
        ("trigger.rs", "use tokio::time::sleep;", "names `tokio`"),
        ("run.rs", "fn f() { std::time::Instant::now() }", "names `Instant::now`"),
        ("job.rs", "use crate::store::{A, B};", "names `store` (floor 4)"),
        ("api.rs", &"\n".repeat(501), "api.rs: has 501 lines"),
    ] {
        let found = found_in(file, text);
        assert_eq!(found.len(), 1, "{file}: {text}\n{found:#?}");
        assert!(found[0].contains(fault), "{file}: {text}\n{found:#?}");
    }
}

#[test]
fn what_is_allowed_is_not_called_a_fault() {
    for (file, text) in [
        ("schedule/plan.rs", "use crate::{job::Job, run::Run, schedule::waiting};"),
        ("engine/mod.rs", "use crate::clock::SharedClock; use wasmtime::Engine;"),
        ("engine/load.rs", "use super::run::Report; use super::store;"),
        ("scheduler/mod.rs", "use crate::executor::Executor;"),
        ("time.rs", "mod tests { use super::*; }\nuse super::time::Timestamp;"),
        ("trigger/cron/set.rs", "use super::super::zone::Zone; mod tests { use super::super::x; }"),
        ("store/mod.rs", "// crate::runtime, wasmtime::Engine\nconst A: &str = \"axum::serve\";"),
        ("store/contract/mod.rs", "suite! { memory => super::super::World::memory() }"),
        ("clock.rs", "fn f() { chrono::Utc::now() }"),
        ("config/read.rs", "use std::net::SocketAddr;"),
        ("config/load.rs", "use std::fs;"),
        ("store/mod.rs", "async fn f() { std::fs::read(p).await }"),
        ("trigger/tests/forms.rs", "fn f() { std::time::Instant::now() }"),
        ("reloader/folder.rs", "struct Stamp { modified: std::time::SystemTime }"),
        ("main.rs", "fn main() { campanile::cli::main() }"),
        (
            "lib.rs",
            "//! Head.\n\n// Floor 0: values.\npub mod time;\n// Floor 7: all.\npub mod cli;",
        ),
        ("api.rs", &"\n".repeat(500)),
    ] {
        assert_eq!(found_in(file, text), [""; 0], "{file}: {text}");
    }
}
