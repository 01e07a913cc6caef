//! What `docs/security.md` promises is what the code has: each limit with its default, and the gate
//! before every function with an effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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

/// Functions that pass no gate, and why they need not: an interface, all of it, or its functions whose
/// names end like this.
const FREE: &[(&str, &str, &str)] = &[
    ("wasi:clocks/monotonic-clock", "", "clocks are real; what is made to wait for is a resource"),
    ("wasi:clocks/wall-clock", "", "clocks are real"),
    ("wasi:cli/environment", "", "what the run was started with: `env` and `args`"),
    ("wasi:cli/exit", "", "ends the guest, and nothing else"),
    ("wasi:cli/terminal-stdin", "", "there is no terminal"),
    ("wasi:cli/terminal-stdout", "", "there is no terminal"),
    ("wasi:cli/terminal-stderr", "", "there is no terminal"),
    ("wasi:io/error", "", "the words of an error that the guest has already"),
    ("wasi:io/streams", ".subscribe", "makes what `poll` waits for, which passes"),
    ("wasi:filesystem/types", "filesystem-error-code", "the kind of an error that it has already"),
    ("wasi:http/types", "", "puts requests together and takes answers apart; `handle` passes"),
    ("wasi:sockets/instance-network", "", "a handle that opens nothing by itself"),
    ("wasi:sockets/udp", "", "there is no such socket: making one passes, and is refused"),
    ("wasi:sockets/tcp", ".subscribe", "makes what `poll` waits for, which passes"),
    ("wasi:sockets/tcp", "-address", "asks what the host knows"),
    ("wasi:sockets/tcp", ".address-family", "asks what the host knows"),
    ("wasi:sockets/tcp", ".is-listening", "asks what the host knows"),
    ("wasi:sockets/tcp", ".keep-alive-enabled", "asks what the host knows"),
    ("wasi:sockets/tcp", ".keep-alive-idle-time", "asks what the host knows"),
    ("wasi:sockets/tcp", ".keep-alive-interval", "asks what the host knows"),
    ("wasi:sockets/tcp", ".keep-alive-count", "asks what the host knows"),
    ("wasi:sockets/tcp", ".hop-limit", "asks what the host knows"),
    ("wasi:sockets/tcp", ".receive-buffer-size", "asks what the host knows"),
    ("wasi:sockets/tcp", ".send-buffer-size", "asks what the host knows"),
    ("wasi:sockets/ip-name-lookup", ".subscribe", "makes what `poll` waits for, which passes"),
];

/// How a function begins that passes the gate: by itself, or by a step of its interface that does.
const PASSES: [&str; 7] = [
    "self.gate(",
    "self.pass(",
    "self.pass_stream(",
    "self.pass_stdio(",
    "self.pass_random(",
    "self.tcp_gate(",
    "self.write_stream(",
];

/// The file that has the functions of an interface that belong to no resource.
const FILES: &[(&str, &str)] = &[
    ("campanile:job/context", "mod"),
    ("campanile:job/jobs", "jobs"),
    ("campanile:job/state", "keyvalue"),
    ("wasi:cli/stderr", "stdio"),
    ("wasi:cli/stdin", "stdio"),
    ("wasi:cli/stdout", "stdio"),
    ("wasi:config/store", "config"),
    ("wasi:filesystem/preopens", "filesystem"),
    ("wasi:filesystem/types", "filesystem"),
    ("wasi:http/outgoing-handler", "http"),
    ("wasi:io/poll", "poll"),
    ("wasi:keyvalue/atomics", "keyvalue"),
    ("wasi:keyvalue/store", "keyvalue"),
    ("wasi:logging/logging", "mod"),
    ("wasi:random/insecure", "random"),
    ("wasi:random/insecure-seed", "random"),
    ("wasi:random/random", "random"),
    ("wasi:sockets/ip-name-lookup", "lookup"),
    ("wasi:sockets/tcp-create-socket", "sockets"),
    ("wasi:sockets/udp-create-socket", "sockets"),
];

#[test]
fn every_function_with_an_effect_begins_with_the_gate() {
    let written = written();
    let (mut gated, mut free, mut faults) = (0, 0, Vec::new());
    let mut unused: BTreeSet<_> =
        FREE.iter().map(|(interface, name, _)| (*interface, *name)).collect();
    for (interface, name, home) in functions() {
        assert!(SERVED.contains(&interface.as_str()), "{interface} is not served");
        let passes = written.get(&home).copied();
        let reason =
            FREE.iter().find(|(free, function, _)| *free == interface && name.ends_with(function));
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

/// Where a function is implemented: the trait of its resource, or the file of its interface; and its
/// name there.
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
                    let file = FILES.iter().find(|(of, _)| *of == interface);
                    (file.map_or("nowhere", |(_, file)| file).to_owned(), own)
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
    for (file, text) in sources() {
        let mut home = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("impl") {
                let name = rest.trim_end_matches(" {").rsplit_once(" for Guest");
                home = match name {
                    Some((path, _)) => path.rsplit([':', ' ']).next().map(|name| match name {
                        "Host" => file.clone(),
                        of_resource => of_resource.to_owned(),
                    }),
                    None if rest == " Guest {" => Some(file.clone()),
                    None => None,
                };
            }
            let Some(home) = &home else { continue };
            let start = line.trim_start();
            let start = start.rsplit_once(") fn ").map_or(start, |(_, rest)| rest);
            let start = start.strip_prefix("async ").unwrap_or(start);
            let Some(rest) = start.strip_prefix("fn ") else { continue };
            let name = rest.split(['(', '<']).next().unwrap().to_owned();
            let mut opened = line.ends_with('{');
            while !opened {
                opened = lines.next().is_none_or(|line| line.ends_with('{'));
            }
            let first = lines.peek().map_or("", |line| line.trim_start());
            let passes = PASSES.iter().any(|way| first.starts_with(way));
            written.insert((home.clone(), name), passes);
        }
    }
    written
}

#[test]
fn each_way_to_pass_leads_through_the_gate() {
    for way in &PASSES[1..] {
        let name = way.trim_start_matches("self.");
        let found = sources().into_iter().any(|(_, text)| {
            text.split(&format!("fn {name}"))
                .nth(1)
                .and_then(|rest| rest.split('{').nth(1))
                .is_some_and(|body| {
                    let first = body.trim_start();
                    PASSES[..2].iter().any(|way| first.starts_with(way))
                })
        });
        assert!(found, "`{name}` does not begin with the gate");
    }
}

/// The engine's sources with `Host` implementations.
fn sources() -> Vec<(String, String)> {
    let folder = guests::root().join("host/src/engine");
    let mut files = vec![folder.join("sockets.rs")];
    for entry in walk(&folder.join("host")) {
        files.push(entry);
    }
    files.into_iter().map(|file| (stem(&file), std::fs::read_to_string(&file).unwrap())).collect()
}

/// What a file is called; of a folder's own file and its helpers: what the folder is called.
fn stem(file: &Path) -> String {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let folder = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
    if folder == "filesystem" { folder.to_owned() } else { stem.to_owned() }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
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
