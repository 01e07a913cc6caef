//! What a job does to the folders it was granted, and to those it was not; and what it takes of
//! streams, random bytes and pollables.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use campanile_sdk::wit::wasi::cli::{stdin, stdout};
use campanile_sdk::wit::wasi::clocks::monotonic_clock::subscribe_duration;
use campanile_sdk::wit::wasi::filesystem::preopens::get_directories;
use campanile_sdk::wit::wasi::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use campanile_sdk::wit::wasi::io::poll::poll;
use campanile_sdk::wit::wasi::random::random::get_random_bytes;
use campanile_sdk::{Result, job, permanent};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;

/// A granted folder by its path in the guest.
fn folder(path: &str) -> Descriptor {
    let mut folders = get_directories().into_iter();
    folders.find(|(_, granted)| granted == path).expect("a granted folder").0
}

fn open(dir: &Descriptor, path: &str, make: bool) -> std::result::Result<Descriptor, ErrorCode> {
    if make {
        let access = DescriptorFlags::READ | DescriptorFlags::WRITE;
        dir.open_at(FOLLOW, path, OpenFlags::CREATE, access)
    } else {
        dir.open_at(FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)
    }
}

fn content(file: &Descriptor) -> std::result::Result<String, ErrorCode> {
    let (bytes, _) = file.read(64 * 1024, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "in")]
    folder: String,
    call: String,
    path: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    to_in: Option<String>,
}

/// Makes each call `{in, call, path, to?, to_in?}` of the interface itself, and answers with what
/// came of it: names of errors.
#[job]
fn at(steps: Vec<Step>) -> Vec<Answer<Value>> {
    let make = |step: Step| -> Answer<Value> {
        let dir = folder(&step.folder);
        let to_dir = || folder(step.to_in.as_deref().unwrap_or(&step.folder));
        let (path, to) = (step.path.as_str(), step.to.as_str());
        let now = NewTimestamp::Now;
        let made = match step.call.as_str() {
            "read" => open(&dir, path, false).and_then(|file| content(&file)).map(Value::from),
            "open" => open(&dir, path, false).map(|_| Value::Null),
            "make" => open(&dir, path, true).map(|_| Value::Null),
            "write" => open(&dir, path, true)
                .and_then(|file| file.write(to.as_bytes(), 0))
                .map(Value::from),
            "stat" => dir.stat_at(FOLLOW, path).map(|stat| json!(stat.size)),
            "hash" => dir.metadata_hash_at(FOLLOW, path).map(|_| Value::Null),
            "touch" => dir.set_times_at(FOLLOW, path, now, now).map(|()| Value::Null),
            "folder" => dir.create_directory_at(path).map(|()| Value::Null),
            "link" => dir.link_at(PathFlags::empty(), path, &to_dir(), to).map(|()| Value::Null),
            "symlink" => dir.symlink_at(path, to).map(|()| Value::Null),
            "readlink" => dir.readlink_at(path).map(Value::from),
            "rename" => dir.rename_at(path, &to_dir(), to).map(|()| Value::Null),
            "unlink" => dir.unlink_file_at(path).map(|()| Value::Null),
            "rmdir" => dir.remove_directory_at(path).map(|()| Value::Null),
            other => panic!("no call `{other}`"),
        };
        made.map_err(|code| code.name()).into()
    };
    steps.into_iter().map(make).collect()
}

#[derive(Deserialize)]
struct Race {
    #[serde(rename = "in")]
    folder: String,
    path: String,
    times: u32,
}

/// Reads `{path}` of `{in}` until it was read and was refused `{times}` times each; answers with
/// how often each content came.
#[job]
fn race(args: Race) -> BTreeMap<String, u32> {
    let dir = folder(&args.folder);
    let (mut read, mut refused) = (0, 0);
    let mut came = BTreeMap::new();
    while read < args.times || refused < args.times {
        match open(&dir, &args.path, false).and_then(|file| content(&file)) {
            Ok(content) => {
                read += 1;
                *came.entry(content).or_default() += 1;
            }
            Err(_) => refused += 1,
        }
    }
    came
}

#[derive(Deserialize)]
struct Swap {
    #[serde(rename = "in")]
    folder: String,
    paths: [String; 2],
    over: String,
}

/// Puts links to both `{paths}` in turn in the place of `{over}`, until it is ended.
#[job]
fn swap_links(args: Swap) {
    let dir = folder(&args.folder);
    loop {
        for path in &args.paths {
            dir.symlink_at(path, "made").expect("a link");
            dir.rename_at("made", &dir, &args.over).expect("the link in its place");
        }
    }
}

#[derive(Deserialize)]
struct Count {
    path: String,
}

/// Counts the entries of `{path}`.
#[job]
fn entries(args: Count) -> Answer<usize> {
    fs::read_dir(args.path).map(|entries| entries.map(|entry| entry.unwrap()).count()).into()
}

#[derive(Deserialize)]
struct Pieces {
    #[serde(rename = "in")]
    folder: String,
    path: String,
}

/// Asks for all there can be of a file in each way; answers with how many bytes came.
#[job]
fn pieces(args: Pieces) -> Vec<usize> {
    let file = open(&folder(&args.folder), &args.path, false).expect("a file");
    let stream = file.read_via_stream(0).expect("a stream");
    let read = file.read(u64::MAX, 0).expect("bytes").0.len();
    let came = stream.blocking_read(u64::MAX).expect("bytes").len();
    let skipped = stream.blocking_skip(u64::MAX).expect("skipped") as usize;
    vec![read, came, skipped]
}

#[derive(Deserialize)]
struct Shout {
    bytes: usize,
    #[serde(default)]
    lines: bool,
}

/// Writes `{bytes}` to standard output, as one line or all of them `{lines?}`.
#[job]
fn shout(args: Shout) {
    let piece = if args.lines { [b'\n'; 4096] } else { [b'x'; 4096] };
    let mut out = std::io::stdout().lock();
    for _ in 0..args.bytes.div_ceil(piece.len()) {
        out.write_all(&piece).expect("standard output");
    }
}

#[derive(Deserialize)]
struct Take {
    #[serde(default, rename = "in")]
    folder: String,
    what: String,
    times: u64,
}

/// Takes `{times}` of `{what}`, below `{in?}` where that is a matter of files; fails with the first
/// refusal.
#[job]
fn take(args: Take) -> Result<u64> {
    let refused = |error: &dyn std::fmt::Debug| permanent(format!("refused: {error:?}"));
    let mut kept = Vec::new();
    let mut streams = Vec::new();
    let file = |name: &str| open(&folder(&args.folder), name, true).expect("a file");
    match args.what.as_str() {
        "files" => {
            let dir = folder(&args.folder);
            for number in 0..args.times {
                let made = open(&dir, &format!("file-{number}"), true);
                made.map_err(|error| refused(&error))?;
            }
        }
        "folders" => {
            let dir = folder(&args.folder);
            for number in 0..args.times {
                let made = dir.create_directory_at(&format!("folder-{number}"));
                made.map_err(|error| refused(&error))?;
            }
        }
        "open files" => {
            let dir = folder(&args.folder);
            open(&dir, "one", true).map_err(|error| refused(&error))?;
            for _ in 0..args.times {
                kept.push(open(&dir, "one", false).map_err(|error| refused(&error))?);
            }
        }
        "listings" => {
            let dir = folder(&args.folder);
            let mut listings = Vec::new();
            for _ in 0..args.times {
                listings.push(dir.read_directory().map_err(|error| refused(&error))?);
            }
        }
        "open files and close them" => {
            let dir = folder(&args.folder);
            for _ in 0..args.times {
                let file = open(&dir, "one", true).map_err(|error| refused(&error))?;
                let stream = file.read_via_stream(0).map_err(|error| refused(&error))?;
                drop(file);
                drop(stream);
            }
        }
        "files kept by streams" => {
            let dir = folder(&args.folder);
            for _ in 0..args.times {
                let file = open(&dir, "one", true).map_err(|error| refused(&error))?;
                streams.push(file.read_via_stream(0).map_err(|error| refused(&error))?);
            }
        }
        "streams" => {
            let file = file("one");
            for _ in 0..args.times {
                streams.push(file.read_via_stream(0).map_err(|error| refused(&error))?);
            }
        }
        "standard inputs" => {
            for _ in 0..args.times {
                streams.push(stdin::get_stdin());
            }
        }
        "bytes" => {
            let file = file("one");
            let piece = [b'x'; 4096];
            for number in 0..args.times.div_ceil(4096) {
                file.write(&piece, number * 4096).map_err(|error| refused(&error))?;
            }
        }
        "bytes of a stream" => {
            let stream = file("one").append_via_stream().map_err(|error| refused(&error))?;
            let piece = [b'x'; 4096];
            for _ in 0..args.times.div_ceil(4096) {
                let written = stream.blocking_write_and_flush(&piece);
                written.map_err(|error| refused(&error))?;
            }
        }
        "zeroes" => {
            let stream = file("one").write_via_stream(0).map_err(|error| refused(&error))?;
            for _ in 0..args.times.div_ceil(4096) {
                let written = stream.blocking_write_zeroes_and_flush(4096);
                written.map_err(|error| refused(&error))?;
            }
        }
        "spliced bytes" => {
            let (from, to) = (file("one"), file("two"));
            from.write(&[b'x'; 4096], 0).map_err(|error| refused(&error))?;
            let stream = to.write_via_stream(0).map_err(|error| refused(&error))?;
            for _ in 0..args.times.div_ceil(4096) {
                let source = from.read_via_stream(0).map_err(|error| refused(&error))?;
                let spliced = stream.blocking_splice(&source, u64::MAX);
                spliced.map_err(|error| refused(&error))?;
            }
        }
        "size" => file("one").set_size(args.times).map_err(|error| refused(&error))?,
        "offset" => {
            file("one").write(b"x", args.times).map_err(|error| refused(&error))?;
        }
        "random bytes" => {
            for _ in 0..args.times.div_ceil(4096) {
                get_random_bytes(4096);
            }
        }
        "random bytes at once" => drop(get_random_bytes(args.times)),
        "pollables" => {
            let one = subscribe_duration(0);
            poll(&vec![&one; args.times as usize]);
        }
        "timers" => {
            let timers: Vec<_> = (0..args.times).map(|_| subscribe_duration(1_000_000)).collect();
            poll(&timers.iter().collect::<Vec<_>>());
        }
        "output at once" => {
            stdout::get_stdout()
                .write(&vec![b'\n'; args.times as usize])
                .map_err(|error| refused(&error))?;
        }
        other => panic!("nobody can take `{other}`"),
    }
    Ok(args.times)
}
