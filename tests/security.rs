//! What `docs/security.md` promises is what the code has: each limit with its default, and the gate
//! before every function with an effect.

use std::collections::{BTreeMap, BTreeSet};

use campanile::engine::link::SERVED;
use campanile::job::limits::{CAP_KEYS, Limits};
use serde_json::Value;
use wit_parser::{FunctionKind, Resolve, WorldItem};

use crate::support::guests;

fn read(path: &str) -> String {
    std::fs::read_to_string(guests::root().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_page_names_each_limit_with_its_default() {
    let page = read("docs/security.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let key = cells.next()?.trim().strip_suffix('`')?;
        Some((key, cells.next()?.trim()))
    });
    let shown: Vec<_> = rows.collect();
    let Value::Object(defaults) = Limits::default().written() else { panic!("no table") };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut known: BTreeMap<&str, String> =
        CAP_KEYS.iter().map(|key| (*key, text(&defaults[*key]))).collect();
    for (key, default) in shown {
        assert_eq!(known.remove(key).as_deref(), Some(default), "{key}");
    }
    assert!(known.is_empty(), "not on the page: {known:?}");
}

/// Functions that pass no gate, and why they need not: an interface, or one function of it.
const FREE: &[(&str, &str, &str)] = &[
    (
        "wasi:clocks/monotonic-clock",
        "",
        "clocks are real and cost nothing; what is made to wait for is a resource",
    ),
    ("wasi:clocks/wall-clock", "", "clocks are real and cost nothing"),
    (
        "wasi:cli/environment",
        "",
        "what the run was started with, which is granted by `env` and `args`",
    ),
    ("wasi:cli/exit", "", "ends the guest, and nothing else"),
    ("wasi:cli/terminal-input", "", "there is no terminal"),
    ("wasi:cli/terminal-output", "", "there is no terminal"),
    ("wasi:cli/terminal-stdin", "", "there is no terminal"),
    ("wasi:cli/terminal-stdout", "", "there is no terminal"),
    ("wasi:cli/terminal-stderr", "", "there is no terminal"),
    ("wasi:io/error", "", "the words of an error that the guest has already"),
    (
        "wasi:http/types",
        "",
        "puts requests together and takes responses apart; what leaves passes `handle` and streams",
    ),
    ("wasi:sockets/network", "", "the words of an error that the guest has already"),
    ("wasi:sockets/instance-network", "", "a handle that opens nothing by itself"),
    ("wasi:random/insecure-seed", "", "two numbers, made when the run began"),
];

/// Where the free functions of an interface are, when not under its own last name.
const HOME: &[(&str, &str)] = &[("wasi:config/store", "config")];

#[test]
fn every_function_with_an_effect_begins_with_the_gate() {
    let written = written();
    let (mut gated, mut free, mut faults) = (0, 0, Vec::new());
    let mut unused: BTreeSet<_> =
        FREE.iter().map(|(interface, name, _)| (*interface, *name)).collect();
    for (interface, name, home) in functions() {
        assert!(SERVED.contains(&interface.as_str()), "{interface} is not served");
        let passes = written.get(&home).copied();
        let reason = FREE.iter().find(|(free, function, _)| {
            *free == interface && (function.is_empty() || *function == name)
        });
        if let Some((interface, function, _)) = reason {
            unused.remove(&(*interface, *function));
        }
        match (passes, reason) {
            (Some(true), None) => gated += 1,
            (Some(false) | None, Some(_)) => free += 1,
            (Some(true), Some(_)) => {
                faults.push(format!("{interface} {name}: passes, and is said not to"))
            }
            (Some(false), None) => {
                faults.push(format!("{interface} {name}: does not begin with the gate"))
            }
            (None, None) => faults.push(format!("{interface} {name}: {home:?} is not ours")),
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(unused.is_empty(), "nothing is free by {unused:?}");
    assert!(gated > 50 && free > 50, "{gated} pass, {free} need not");
}

/// Where a function of an interface is implemented: the trait, with its module when it is one of
/// many called `Host`, and the function.
type Home = (String, String);

/// Every function of every interface of the world: interface, name, home.
fn functions() -> Vec<(String, String, Home)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(guests::root().join("wit/0.1")).unwrap();
    let world = resolve.select_world(&[package], Some("job")).unwrap();
    let mut functions = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        let name = resolve.id_of(*id).unwrap();
        let interface = name.split('@').next().unwrap().to_owned();
        for function in resolve.interfaces[*id].functions.values() {
            let own = function.item_name().replace('-', "_");
            let resource = match function.kind {
                FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => None,
                FunctionKind::Method(id)
                | FunctionKind::AsyncMethod(id)
                | FunctionKind::Static(id)
                | FunctionKind::AsyncStatic(id)
                | FunctionKind::Constructor(id) => resolve.types[id].name.clone(),
            };
            let home = match resource {
                Some(resource) => (format!("Host{}", camel(&resource)), own),
                None => {
                    let last = interface.rsplit('/').next().unwrap().replace('-', "_");
                    let module = HOME.iter().find(|(of, _)| *of == interface);
                    (format!("{}::Host", module.map_or(last.as_str(), |(_, home)| home)), own)
                }
            };
            functions.push((interface.clone(), function.name.clone(), home));
        }
    }
    functions
}

fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

/// The functions that the engine implements itself, and whether each begins with the gate.
fn written() -> BTreeMap<Home, bool> {
    let mut written = BTreeMap::new();
    for (_, text) in sources() {
        let mut implemented = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("impl ") {
                implemented = rest.strip_suffix(" for Guest {").map(|path| {
                    let mut parts: Vec<&str> = path.rsplit("::").collect();
                    parts.truncate(if parts[0] == "Host" { 2 } else { 1 });
                    parts.reverse();
                    parts.join("::")
                });
            }
            let Some(home) = &implemented else { continue };
            let start = line.trim_start();
            let Some(rest) = start.strip_prefix("async ").unwrap_or(start).strip_prefix("fn ")
            else {
                continue;
            };
            let name = rest.split(['(', '<']).next().unwrap().to_owned();
            let mut opened = line.ends_with('{');
            while !opened {
                opened = lines.next().is_none_or(|line| line.ends_with('{'));
            }
            let first =
                lines.peek().is_some_and(|line| line.trim_start().starts_with("self.gate("));
            written.insert((home.clone(), name), first);
        }
    }
    written
}

/// The engine's sources with `Host` implementations.
fn sources() -> Vec<(String, String)> {
    let folder = guests::root().join("host/src/engine");
    let mut files = vec![folder.join("sockets.rs")];
    for entry in walk(&folder.join("host")) {
        files.push(entry);
    }
    files
        .into_iter()
        .map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap()))
        .collect()
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
