//! Granted folders: what a job may do there and nowhere else, and that no job takes more of files,
//! streams, random bytes and pollables than its limits say. A well-behaved job goes on beside each
//! of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::support::host::{Host, Site};

/// A job of the plugin `behave`.
fn job(name: &str, handler: &str, args: &Value, rest: &str) -> String {
    format!(
        "[jobs.{name}]\nplugin = 'behave'\nhandler = '{handler}'\nargs = {}\n{rest}\n",
        toml::Value::try_from(args).unwrap()
    )
}

const DATA: &str = "capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }] }";

/// A started host with these jobs, the folders `data` and `kept`, and the file `secret` beside them.
fn start(jobs: &str) -> (Site, Host) {
    let beside = job("beside", "progress", &json!({ "steps": 5, "ms": 20 }), "");
    let site = Site::new(&format!("{jobs}{beside}"));
    for folder in ["data", "kept"] {
        std::fs::create_dir(site.path(folder)).unwrap();
    }
    std::fs::write(site.path("secret"), "secret").unwrap();
    std::fs::write(site.path("data/inside"), "inside").unwrap();
    std::fs::write(site.path("kept/inside"), "inside").unwrap();
    site.plugin("behave", "behave");
    let host = site.start();
    (site, host)
}

fn begin(host: &Host, job: &str) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{job}: {run}");
    run["id"].as_str().unwrap().to_owned()
}

fn end(host: &Host, run: &str) -> Value {
    let (_, run) = host.get(&format!("/v1/runs/{run}?wait=60s"));
    run
}

/// All of a run's log.
fn log(host: &Host, run: &str) -> Vec<Value> {
    let (mut lines, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, mut page) = host.get(&format!("/v1/runs/{run}/logs?limit=1000{cursor}"));
        assert_eq!(status, 200, "{page}");
        lines.append(page["items"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return lines,
        }
    }
}

/// Runs a job, with a well-behaved one beside it. Answers with the run, and what the host remarked
/// in its log.
fn run(host: &Host, job: &str) -> (Value, Vec<String>) {
    let (run, beside) = (begin(host, job), begin(host, "beside"));
    let ended = end(host, &run);
    assert_eq!(end(host, &beside)["outcome"], "succeeded", "beside {job}");
    let log = log(host, &run);
    let remarks = log.iter().filter(|line| line["context"] == "campanile");
    (ended, remarks.map(|line| line["message"].as_str().unwrap().to_owned()).collect())
}

/// Runs a job whose steps are calls; answers with what came of each, and the remarks.
fn steps(host: &Host, job: &str) -> (Vec<Value>, Vec<String>) {
    let (run, remarks) = run(host, job);
    assert_eq!(run["outcome"], "succeeded", "{job}: {run}");
    (run["result"].as_array().unwrap().clone(), remarks)
}

fn step(folder: &str, call: &str, path: &str, to: &str) -> Value {
    json!({ "in": folder, "call": call, "path": path, "to": to })
}

#[test]
fn a_folder_is_read_or_written_as_it_was_granted() {
    let both = "capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }, \
                { host = 'kept', guest = '/kept' }] }";
    let across = |call: &str, from: &str, to: &str| json!({ "in": from, "call": call, "path": "inside", "to": "moved", "to_in": to });
    let reads = json!([
        step("/kept", "read", "inside", ""),
        step("/kept", "stat", "inside", ""),
        step("/data", "write", "new", "text"),
        step("/data", "read", "new", ""),
        step("/data", "folder", "folder", ""),
        step("/data", "rename", "new", "folder/moved"),
        step("/data", "link", "folder/moved", "linked"),
        step("/data", "symlink", "folder/moved", "link"),
        step("/data", "readlink", "link", ""),
        step("/data", "read", "link", ""),
        step("/data", "touch", "link", ""),
        step("/data", "unlink", "linked", ""),
        step("/data", "stat", "linked", ""),
    ]);
    let changes = json!([
        step("/kept", "make", "new", ""),
        step("/kept", "write", "inside", "changed"),
        step("/kept", "folder", "new", ""),
        step("/kept", "link", "inside", "new"),
        step("/kept", "symlink", "inside", "new"),
        step("/kept", "rename", "inside", "new"),
        step("/kept", "unlink", "inside", ""),
        step("/kept", "touch", "inside", ""),
        across("rename", "/kept", "/data"),
        across("rename", "/data", "/kept"),
        across("link", "/kept", "/data"),
        across("link", "/data", "/kept"),
    ]);
    let (site, host) = start(&format!(
        "{}{}",
        job("reads", "at", &reads, both),
        job("changes", "at", &changes, both)
    ));

    let (came, remarks) = steps(&host, "reads");
    let expected = json!([
        { "ok": "inside" }, { "ok": 6 }, { "ok": 4 }, { "ok": "text" }, { "ok": null },
        { "ok": null }, { "ok": null }, { "ok": null }, { "ok": "folder/moved" },
        { "ok": "text" }, { "ok": null }, { "ok": null }, { "error": "no-entry" },
    ]);
    assert_eq!((json!(came), remarks), (expected, Vec::new()));

    let (came, remarks) = steps(&host, "changes");
    assert_eq!(came, vec![json!({ "error": "read-only" }); 12]);
    assert_eq!(remarks.len(), 12, "{remarks:?}");
    for remark in remarks {
        let key = "it needs `capabilities.dirs = [{ host = \"FOLDER\", guest = \"/PATH\", \
                   mode = \"rw\" }]`";
        assert!(remark.starts_with("denied: ") && remark.ends_with(key), "{remark}");
    }
    assert_eq!(std::fs::read_to_string(site.path("kept/inside")).unwrap(), "inside");
    assert_eq!(std::fs::read_dir(site.path("kept")).unwrap().count(), 1);
}

#[test]
fn nothing_leads_out_of_a_folder() {
    let granted = "capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }, \
                   { host = '/proc/self', guest = '/proc' }, { host = '/dev', guest = '/dev' }] }";
    let mut ways = Vec::new();
    for path in
        ["../secret", "folder/../../secret", "/etc/passwd", "out", "up", "far/secret", "abs"]
    {
        for call in ["read", "write", "stat", "hash", "touch"] {
            ways.push(step("/data", call, path, "overwritten"));
        }
    }
    for path in ["../secret", "far/secret", "/etc/passwd"] {
        ways.push(step("/data", "link", path, "mine"));
        ways.push(step("/data", "rename", path, "mine"));
        ways.push(step("/data", "rename", "inside", path));
        ways.push(step("/data", "symlink", "inside", path));
        ways.push(step("/data", "unlink", path, ""));
        ways.push(step("/data", "folder", path, ""));
        ways.push(step("/data", "readlink", path, ""));
    }
    ways.push(step("/data", "symlink", "/etc/passwd", "mine"));
    for path in ["root/etc/passwd", "cwd/secret", "exe", "fd/0", "fd/2"] {
        ways.push(step("/proc", "read", path, ""));
        ways.push(step("/proc", "stat", path, ""));
    }
    for path in ["stdin", "fd/0"] {
        ways.push(step("/dev", "read", path, ""));
    }
    let (site, host) = start(&job("escapes", "at", &json!(ways), granted));
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, site.path(at)).unwrap();
    std::fs::create_dir(site.path("data/folder")).unwrap();
    link("../secret", "data/out");
    link("folder/../../secret", "data/up");
    link("..", "data/far");
    link(site.path("secret").to_str().unwrap(), "data/abs");

    let (came, remarks) = steps(&host, "escapes");
    for (way, came) in ways.iter().zip(&came) {
        assert!(came.get("error").is_some(), "{way}: {came}");
    }
    assert!(remarks.iter().any(|remark| remark.contains("`../secret`, which leads out")));
    assert_eq!(std::fs::read_to_string(site.path("secret")).unwrap(), "secret");
    assert_eq!(std::fs::read_to_string(site.path("data/inside")).unwrap(), "inside");
    assert!(!site.path("data/mine").exists());
}

/// Sets a flag when the test is over, however it ends.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_link_that_is_swapped_while_it_is_opened_never_leads_out() {
    let times = 2_000;
    let race = |path: &str| json!({ "in": "/data", "path": path, "times": times });
    let swap = json!({ "in": "/data", "paths": ["inside", "../secret"], "over": "door" });
    let (site, host) = start(&format!(
        "{}{}{}",
        job("door", "race", &race("door"), DATA),
        job("folder", "race", &race("there/inside"), DATA),
        job("swaps", "swap_links", &swap, DATA),
    ));
    std::fs::create_dir(site.path("outside")).unwrap();
    std::fs::write(site.path("outside/inside"), "secret").unwrap();
    std::fs::create_dir(site.path("data/real")).unwrap();
    std::fs::write(site.path("data/real/inside"), "inside").unwrap();

    // One is swapped by another job, the other by somebody on the host.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for to in ["real", "../outside"] {
                    std::os::unix::fs::symlink(to, site.path("data/next")).unwrap();
                    std::fs::rename(site.path("data/next"), site.path("data/there")).unwrap();
                }
            }
        });
        let swaps = begin(&host, "swaps");
        let ended = ["door", "folder"].map(|job| run(&host, job).0);
        host.post(&format!("/v1/runs/{swaps}/cancel"), &json!({}));
        for run in ended {
            assert_eq!(run["outcome"], "succeeded", "{run}");
            let came = run["result"].as_object().unwrap();
            assert_eq!(came.keys().collect::<Vec<_>>(), ["inside"], "{run}");
            assert!(came["inside"].as_u64().unwrap() >= times, "{run}");
        }
        assert_eq!(end(&host, &swaps)["outcome"], "cancelled");
    });
    assert_eq!(std::fs::read_to_string(site.path("secret")).unwrap(), "secret");
}

#[test]
fn only_files_and_folders_are_opened_and_nobody_is_waited_for() {
    let granted = "capabilities = { dirs = [{ host = 'data', guest = '/data', mode = 'rw' }, \
                   { host = '/dev', guest = '/dev', mode = 'rw' }] }";
    let mut ways = Vec::new();
    for path in ["pipe", "linked", "socket"] {
        for call in ["read", "make", "write", "touch"] {
            ways.push(step("/data", call, path, "text"));
        }
    }
    for path in ["null", "zero", "tty"] {
        for call in ["read", "make", "write"] {
            ways.push(step("/dev", call, path, "text"));
        }
    }
    let (site, host) = start(&job("opens", "at", &json!(ways), granted));
    mknodat(CWD, site.path("data/pipe"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    std::os::unix::fs::symlink("pipe", site.path("data/linked")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.path("data/socket")).unwrap();

    let (came, remarks) = steps(&host, "opens");
    for (way, came) in ways.iter().zip(&came) {
        assert_eq!(came, &json!({ "error": "not-permitted" }), "{way}");
    }
    assert_eq!(remarks.len(), ways.len(), "{remarks:?}");
    assert_eq!(
        remarks[0],
        "denied: `pipe` is neither a file nor a folder; nothing else can be opened"
    );
    let (status, said) = host.terminate();
    assert!(status.success(), "{said}");
}

#[test]
fn a_job_that_takes_more_than_its_limits_fails_and_the_key_is_named() {
    let cases = [
        ("files", 6, "files = 5", "it wanted 6 (files and folders made), over its limit of 5"),
        ("folders", 6, "files = 5", "it wanted 6 (files and folders made), over its limit of 5"),
        // The folder itself is open, too.
        (
            "open files",
            4,
            "open_files = 4",
            "it wanted 5 (open files and folders), over its limit of 4",
        ),
        (
            "listings",
            4,
            "open_files = 4",
            "it wanted 5 (open files and folders), over its limit of 4",
        ),
        (
            "files kept by streams",
            4,
            "open_files = 4",
            "it wanted 5 (open files and folders), over its limit of 4",
        ),
        ("streams", 5, "open_streams = 4", "it wanted 5 (open streams), over its limit of 4"),
        (
            "standard inputs",
            5,
            "open_streams = 4",
            "it wanted 5 (open streams), over its limit of 4",
        ),
        (
            "bytes",
            10_000,
            "written = '8KiB'",
            "it wanted 12KiB (bytes written to files), over its limit of 8KiB",
        ),
        (
            "bytes of a stream",
            10_000,
            "written = '8KiB'",
            "it wanted 12KiB (bytes written to files), over its limit of 8KiB",
        ),
        (
            "zeroes",
            10_000,
            "written = '8KiB'",
            "it wanted 12KiB (bytes written to files), over its limit of 8KiB",
        ),
        (
            "spliced bytes",
            8_000,
            "written = '8KiB'",
            "it wanted 12KiB (bytes written to files), over its limit of 8KiB",
        ),
        (
            "size",
            1_u64 << 50,
            "",
            "it wanted 1024TiB (bytes written to files), over its limit of 1GiB",
        ),
        (
            "offset",
            (1_u64 << 50) - 1,
            "",
            "it wanted 1024TiB (bytes written to files), over its limit of 1GiB",
        ),
        (
            "random bytes",
            10_000,
            "random = '8KiB'",
            "it wanted 12KiB (random bytes), over its limit of 8KiB",
        ),
        (
            "random bytes at once",
            1 << 30,
            "",
            "it wanted 1GiB (random bytes), over its limit of 64MiB",
        ),
        ("pollables", 100_000, "", "it wanted more (handles at once), over its limit of 10000"),
        (
            "pollables",
            100_000,
            "handles = 200000",
            "it wanted 100000 (resources of the host at once), over its limit of 1000",
        ),
        (
            "timers",
            100_000,
            "",
            "it wanted more (resources of the host at once), over its limit of 1000",
        ),
    ];
    let jobs = cases.iter().enumerate().map(|(number, (what, times, limits, _))| {
        let take = json!({ "in": "/data", "what": what, "times": times });
        job(&format!("takes-{number}"), "take", &take, &format!("limits = {{ {limits} }}\n{DATA}"))
    });
    let (site, host) = start(&jobs.collect::<String>());
    for (number, (what, _, limits, message)) in cases.iter().enumerate() {
        let (run, _) = run(&host, &format!("takes-{number}"));
        assert_eq!(run["outcome"], "limit_exceeded", "{what}: {run}");
        let error = run["error"]["message"].as_str().unwrap();
        assert!(error.starts_with(message), "{what}: {error}");
        assert!(error.contains("`limits."), "{what}: {error}");
        if let Some((key, _)) = limits.split_once(' ')
            && key != "handles"
        {
            assert!(error.contains(&format!("`limits.{key}` raises it")), "{what}: {error}");
        }
        clear(&site.path("data"));
    }
}

fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn what_is_closed_is_given_back_and_what_is_within_the_limits_passes() {
    let take = |name: &str, what: &str, times: u64, limits: &str| {
        let take = json!({ "in": "/data", "what": what, "times": times });
        job(name, "take", &take, &format!("limits = {{ {limits} }}\n{DATA}"))
    };
    let (_site, host) = start(&format!(
        "{}{}{}",
        take("files", "open files and close them", 500, "open_files = 4, open_streams = 4"),
        take("timers", "timers", 400, ""),
        take("pollables", "pollables", 900, ""),
    ));
    for job in ["files", "timers", "pollables"] {
        let (run, remarks) = run(&host, job);
        assert_eq!((&run["outcome"], remarks), (&json!("succeeded"), Vec::new()), "{run}");
    }
}

#[test]
fn a_trap_for_more_than_was_allowed_at_once_says_how_much_that_is() {
    let take =
        |name: &str, what: &str| job(name, "take", &json!({ "what": what, "times": 100_000 }), "");
    let jobs = [take("random", "random bytes at once"), take("output", "output at once")];
    let (_site, host) = start(&jobs.concat());
    for (job, message) in [
        ("random", "it wanted 100000 random bytes in one call; 65536 are the most"),
        ("output", "it wrote more than `check-write` had allowed"),
    ] {
        let (run, _) = run(&host, job);
        assert_eq!(run["outcome"], "trapped", "{run}");
        assert!(run["error"]["message"].as_str().unwrap().contains(message), "{run}");
    }
}

#[test]
fn however_much_there_is_it_comes_in_pieces() {
    let pieces = json!({ "in": "/data", "path": "large" });
    let (site, host) = start(&format!(
        "{}{}",
        job("pieces", "pieces", &pieces, DATA),
        job("entries", "entries", &json!({ "path": "/data/many" }), DATA),
    ));
    let large = std::fs::File::create(site.path("data/large")).unwrap();
    large.set_len(1 << 30).unwrap();
    std::fs::create_dir(site.path("data/many")).unwrap();
    for number in 0..20_000 {
        std::fs::write(site.path(&format!("data/many/{number}")), "").unwrap();
    }
    let (ended, _) = run(&host, "pieces");
    assert_eq!(ended["result"], json!([65_536, 65_536, 65_536]), "{ended}");
    let moved = &ended["usage"]["io"]["filesystem"]["bytes_in"];
    assert_eq!(moved, &json!(3 * 65_536), "{ended}");
    let (ended, _) = run(&host, "entries");
    assert_eq!(ended["result"], json!({ "ok": 20_000 }), "{ended}");
}

#[test]
fn a_flood_on_standard_output_is_counted_and_stays_within_its_limit() {
    let (_site, host) = start(&format!(
        "{}{}",
        job("line", "shout", &json!({ "bytes": 64 << 20 }), ""),
        job("lines", "shout", &json!({ "bytes": 1 << 20, "lines": true }), ""),
    ));
    for (job, bytes) in [("line", 64 << 20), ("lines", 1 << 20)] {
        let (run, remarks) = run(&host, job);
        assert_eq!(run["outcome"], "succeeded", "{run}");
        assert_eq!(run["usage"]["io"]["stdio"]["bytes_out"], json!(bytes), "{run}");
        assert!(remarks[0].contains("lines are left out here"), "{remarks:?}");
        let log = log(&host, run["id"].as_str().unwrap());
        let kept: usize = log.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
        assert!(kept < 66 << 10, "{kept} bytes are kept");
    }
}
