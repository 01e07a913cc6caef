//! Every way in which a plugin's file is replaced, many times over, with runs under way: no run is lost,
//! none fails by the swap, none has two versions, and each fire has its verdict.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use campanile::engine::plugin::Digest;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};

/// How often each way is gone.
const ROUNDS: usize = 200;
/// Rounds after which what the host holds is as much as it will be.
const WARM: usize = 20;

/// How a file comes to have these bytes; the last number is the round's.
type Way = (&'static str, fn(&Path, &[u8], usize));

const WAYS: [Way; 8] = [
    ("copied-over", |file, bytes, _| std::fs::write(file, bytes).unwrap()),
    ("renamed", |file, bytes, _| {
        let beside = file.with_extension("part");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, file).unwrap();
    }),
    ("in-pieces", |file, bytes, _| {
        use std::io::Write;
        let mut file = std::fs::File::create(file).unwrap();
        for piece in bytes.chunks(bytes.len() / 4 + 1) {
            file.write_all(piece).unwrap();
            file.flush().unwrap();
        }
    }),
    ("editor", |file, bytes, _| {
        // As editors that keep what was there until the new file is written.
        let backup = file.with_extension("wasm~");
        std::fs::rename(file, &backup).unwrap();
        std::fs::write(file, bytes).unwrap();
        std::fs::remove_file(backup).unwrap();
    }),
    ("git", |file, _, round| {
        let name = file.file_name().unwrap().to_str().unwrap();
        let branch = if round % 2 == 0 { "even" } else { "odd" };
        git(file.parent().unwrap(), &["checkout", "-q", branch, "--", name]);
    }),
    ("kubernetes", |file, bytes, round| {
        // A volume of a ConfigMap: the folder behind a link is swapped, the file's own link stays.
        let folder = file.parent().unwrap();
        let versions = folder.join(format!("..{}", round % 3));
        let _ = std::fs::remove_dir_all(&versions);
        std::fs::create_dir(&versions).unwrap();
        std::fs::write(versions.join(file.file_name().unwrap()), bytes).unwrap();
        let next = folder.join("..data_tmp");
        std::os::unix::fs::symlink(versions.file_name().unwrap(), &next).unwrap();
        std::fs::rename(next, folder.join("..data")).unwrap();
    }),
    ("touched", |file, _, _| {
        assert!(Command::new("touch").arg(file).status().unwrap().success());
    }),
    ("removed", |file, bytes, _| {
        std::fs::remove_file(file).unwrap();
        std::fs::write(file, bytes).unwrap();
    }),
];

fn git(folder: &Path, args: &[&str]) {
    let ended = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .current_dir(folder)
        .status()
        .unwrap_or_else(|error| panic!("git is missing ({error}); install it: apt install git"));
    assert!(ended.success(), "git {args:?}");
}

fn plugin(way: &str) -> String {
    format!("bell-{way}")
}

/// Lays the file of a way down as its way finds it: an ordinary one, a link, or one of a repository.
fn lay(site: &Site, way: &str, versions: &[Vec<u8>; 2]) {
    let folder = site.path("plugins");
    let name = format!("{}.wasm", plugin(way));
    let file = folder.join(&name);
    match way {
        "git" => {
            git(&folder, &["init", "-q", "-b", "odd"]);
            for (branch, bytes) in [("odd", &versions[1]), ("even", &versions[0])] {
                std::fs::write(&file, bytes).unwrap();
                if branch == "even" {
                    git(&folder, &["checkout", "-q", "-b", branch]);
                }
                git(&folder, &["add", &name]);
                git(&folder, &["commit", "-q", "-m", branch]);
            }
        }
        "kubernetes" => {
            (WAYS[5].1)(&file, &versions[0], 0);
            std::os::unix::fs::symlink(format!("..data/{name}"), &file).unwrap();
        }
        _ => std::fs::write(&file, &versions[0]).unwrap(),
    }
}

fn jobs() -> String {
    let job = |(way, _): &Way| {
        let plugin = plugin(way);
        format!(
            "[jobs.tick-{way}]\nplugin = '{plugin}'\nhandler = 'ok'\ntrigger = 'every 500ms'\n\
             coalesce = 'all'\nmax_instances = 1000\nhistory = {{ keep = 100000 }}\n\
             [jobs.long-{way}]\nplugin = '{plugin}'\nhandler = 'sleep'\nargs = {{ ms = 300 }}\n\
             max_instances = 1000\nhistory = {{ keep = 100000 }}\n"
        )
    };
    WAYS.iter().map(job).collect()
}

/// Pages that the host has in memory.
fn pages(host: &Host) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", host.pid())).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Descriptors that the host has open, and its threads.
fn held(host: &Host) -> (usize, usize) {
    let count =
        |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", host.pid())).unwrap().count();
    (count("fd"), count("task"))
}

fn all(host: &Host, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = host.get(&format!("{path}&limit=1000{cursor}"));
        assert_eq!(status, 200, "{page}");
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[test]
fn no_way_to_replace_a_file_costs_a_fire_or_a_run() {
    let versions = [1, 2].map(|number| guests::version(&guests::bytes("behave"), number));
    let digests = versions.each_ref().map(|bytes| Digest::of(bytes).to_string());
    let site = Site::new(&jobs());
    for (way, _) in WAYS {
        lay(&site, way, &versions);
    }
    let host = site.start();
    let mut warm = None;
    for round in 1..=ROUNDS {
        for (way, _) in WAYS {
            let (status, run) = host.post(&format!("/v1/jobs/long-{way}/run"), &json!({}));
            assert_eq!(status, 202, "{run}");
        }
        for (way, replace) in WAYS {
            let file = site.path(&format!("plugins/{}.wasm", plugin(way)));
            replace(&file, &versions[round % 2], round);
        }
        eventually(&format!("the new versions of round {round}"), || {
            let plugins = host.items("/v1/plugins");
            let is_new = |plugin: &Value| {
                let touched = plugin["name"] == "bell-touched";
                plugin["digest"] == digests[if touched { 0 } else { round % 2 }]
            };
            (plugins.len() == WAYS.len() && plugins.iter().all(is_new)).then_some(())
        });
        if round == WARM {
            warm = Some((held(&host), pages(&host)));
        }
    }
    let ((warm, pages_then), now) = (warm.unwrap(), held(&host));
    assert!(now.0 <= warm.0 + 8 && now.1 <= warm.1 + 8, "descriptors, threads: {warm:?}, {now:?}");
    // More than a thousand swaps later: what one left behind would be in it a thousand times.
    let more = pages(&host) as f64 / pages_then as f64;
    assert!(more < 1.5, "{more} times the memory of round {WARM}");

    for (way, _) in WAYS {
        eventually("the last runs", || {
            let live = |state| host.items(&format!("/v1/runs?job=long-{way}&state={state}")).len();
            (live("running") + live("queued") == 0).then_some(())
        });
        let long = all(&host, &format!("/v1/runs?job=long-{way}"));
        assert_eq!(long.len(), ROUNDS, "{way}: each that was asked for");
        let ticks = all(&host, &format!("/v1/runs?job=tick-{way}&state=done"));
        for run in long.iter().chain(&ticks) {
            assert_eq!(run["outcome"], "succeeded", "{way}: {run}");
            let attempts = run["attempts"].as_array().unwrap();
            assert_eq!(attempts.len(), 1, "{way}: {run}");
            let digest = run["digest"].as_str().unwrap();
            assert!(digests.iter().any(|known| known == digest), "{way}: {run}");
            assert_eq!(attempts[0]["digest"], digest, "{way}: {run}");
        }
        let ran: BTreeSet<&str> = ticks.iter().filter_map(|run| run["digest"].as_str()).collect();
        assert_eq!(ran.len(), if way == "touched" { 1 } else { 2 }, "{way}");
        let ledger = all(&host, &format!("/v1/jobs/tick-{way}/ledger?"));
        let mut fires: Vec<&str> = Vec::new();
        for item in &ledger {
            assert_eq!(
                (&item["verdict"], &item["count"]),
                (&json!("ran"), &json!(1)),
                "{way}: {item}"
            );
            fires.push(item["first"].as_str().unwrap());
        }
        // Every half second one, from the first to the last: none is missing and none is twice.
        let at = |text: &str| campanile::time::Timestamp::parse(text).unwrap().micros();
        let mut fires: Vec<i64> = fires.into_iter().map(at).collect();
        fires.sort_unstable();
        assert!(fires.len() > ROUNDS / 4, "{way}: {} fires", fires.len());
        for pair in fires.windows(2) {
            assert_eq!(pair[1] - pair[0], 500_000, "{way}: {pair:?}");
        }
    }
    let touched = host.get("/v1/plugins/bell-touched").1;
    assert_eq!(touched["versions"].as_array().unwrap().len(), 1, "{touched}");
    assert!(host.terminate().0.success());
}
