//! `docs/what-happens-when.md`, `docs/access.md`, `docs/reload.md`, `docs/tenants.md`,
//! `docs/usage.md` and a part of `README.md`: what they show is what the real binary prints.
//!
//! A section (`## `) is a folder of its own. A `toml` block is its `host.toml`, or the file that its first
//! line `# FILE.toml` names; in a `console` block
//! the shell runs what follows `$ `, a command of the host or `sed -i`, and prints the lines below. A last line `...` stands for
//! an empty line and all that follows. Between the blocks comments say what happens meanwhile:
//!
//! ```text
//! <!-- plugin: behave as late -->          a guest is dropped into the plugins folder
//! <!-- serve: TOML -->                     a host with this `host.toml`
//! <!-- start -->, <!-- kill -->            a host, and kill -9
//! <!-- tokens -->                          the host is gone, and will ask for tokens
//! <!-- wait: JOB is running -->            or queued, or done: TIME is its run's fire time
//! <!-- wait: 4 fire times of JOB pass -->  TIME is the first of them
//! <!-- wait: JOB is decided -->            TIME has its verdict, and its run is over
//! <!-- wait: the tokens are read again --> the host has noticed what was written
//! ```
//!
//! What a simulation prints is compared as it is. What a host prints is masked first, on both sides:
//! ids, digests, times and measured numbers.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};

use campanile::clock::{Clock, SystemClock};
use campanile::job::quota::QuotaKey;
use campanile::run::Verdict;
use campanile::run::outcome::Outcome;
use campanile::run::reason::RATE_LIMIT;
use campanile::schedule::reconcile::{RESCHEDULED, UNDECLARED};
use serde_json::Value;

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site, binary};

/// Plugins that are there unless a section drops plugins itself.
const PLUGIN: &str = "report";
/// An empty line and all that follows.
const REST: &str = "...";

/// A section of a page.
struct Section<'a> {
    title: &'a str,
    steps: Vec<Step<'a>>,
}

/// What is done, in the order of the page.
enum Step<'a> {
    Configure(String),
    Write { file: &'a str, text: String },
    Plugin { guest: &'a str, name: &'a str },
    Serve(&'a str),
    Start,
    Kill,
    Tokens,
    Wait(&'a str),
    Command(Transcript<'a>),
}

/// A command and what it prints.
struct Transcript<'a> {
    command: String,
    printed: Vec<&'a str>,
}

/// The page.
fn page() -> String {
    std::fs::read_to_string(guests::root().join("docs/what-happens-when.md")).unwrap()
}

/// Replays a page; answers with everything that is not as it says.
fn replay(page: &str) -> Result<(), Vec<String>> {
    let sections = sections(page).map_err(|why| vec![why])?;
    if !sections.iter().any(|section| section.has(|step| matches!(step, Step::Command(_)))) {
        return Err(vec!["the page has no transcript".into()]);
    }
    let wrong: Vec<_> = sections.iter().flat_map(|section| Stage::new().play(section)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn sections(page: &str) -> Result<Vec<Section<'_>>, String> {
    let mut sections = vec![Section { title: "the head of the page", steps: Vec::new() }];
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title, steps: Vec::new() });
            continue;
        }
        let steps = &mut sections.last_mut().unwrap().steps;
        if let Some(comment) = line.strip_prefix("<!-- ") {
            let comment = comment.strip_suffix(" -->").unwrap_or(comment);
            steps.push(directive(comment).ok_or(format!("`{comment}` is no directive"))?);
        } else if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            match language {
                "toml" => {
                    steps.push(match block.first().and_then(|line| line.strip_prefix("# ")) {
                        Some(file) if file.ends_with(".toml") => {
                            Step::Write { file, text: block.join("\n") }
                        }
                        Some(_) | None => Step::Configure(block.join("\n")),
                    })
                }
                "console" => steps.extend(transcripts(&block)?.into_iter().map(Step::Command)),
                _ => return Err(format!("a block is toml or console, not `{language}`")),
            }
        }
    }
    Ok(sections)
}

fn directive(text: &str) -> Option<Step<'_>> {
    match text.split_once(": ") {
        None if text == "start" => Some(Step::Start),
        None if text == "kill" => Some(Step::Kill),
        None if text == "tokens" => Some(Step::Tokens),
        Some(("plugin", which)) => {
            which.split_once(" as ").map(|(guest, name)| Step::Plugin { guest, name })
        }
        Some(("serve", toml)) => Some(Step::Serve(toml)),
        Some(("wait", what)) => Some(Step::Wait(what)),
        None | Some(_) => None,
    }
}

fn transcripts<'a>(block: &[&'a str]) -> Result<Vec<Transcript<'a>>, String> {
    let mut transcripts: Vec<Transcript<'a>> = Vec::new();
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            if !["host ", "sed -i ", "echo oops > "].iter().any(|known| command.starts_with(known))
            {
                return Err(format!("`{command}` is no command of the host"));
            }
            transcripts.push(Transcript { command: command.to_owned(), printed: Vec::new() });
            continue;
        }
        let last = transcripts.last_mut().ok_or("a transcript begins with a command")?;
        if last.printed.is_empty() && last.command.ends_with('\\') {
            last.command.push_str(&format!("\n{line}"));
        } else {
            last.printed.push(line);
        }
    }
    Ok(transcripts)
}

impl Section<'_> {
    fn has(&self, like: impl Fn(&Step<'_>) -> bool) -> bool {
        self.steps.iter().any(like)
    }
}

/// Where a section is played.
struct Stage {
    site: Site,
    host: Option<Host>,
    /// What TIME stands for in commands.
    time: String,
}

impl Stage {
    fn new() -> Self {
        Self { site: Site::new(""), host: None, time: "TIME".to_owned() }
    }

    fn play(mut self, section: &Section<'_>) -> Vec<String> {
        if !section.has(|step| matches!(step, Step::Plugin { .. })) {
            self.site.plugin(PLUGIN, PLUGIN);
        }
        let mut wrong = Vec::new();
        for step in &section.steps {
            match step {
                Step::Configure(toml) => match toml.split_once("[api]\n") {
                    Some((config, api)) => self.site.configure_api(config, api),
                    None => self.site.configure(toml),
                },
                Step::Write { file, text } => {
                    let file = self.site.path(file);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, text).unwrap();
                }
                Step::Plugin { guest, name } => self.site.plugin(guest, name),
                Step::Serve(toml) => {
                    self.site.configure(toml);
                    self.host = Some(self.site.start());
                }
                Step::Start => self.host = Some(self.site.start()),
                Step::Kill => self.host.take().expect("a host to kill").kill(),
                Step::Tokens => {
                    self.host = None;
                    let file = self.site.path("host.toml");
                    let text = std::fs::read_to_string(&file).unwrap();
                    std::fs::write(&file, text + "tokens = \"tokens.toml\"\n").unwrap();
                }
                Step::Wait(what) => self.wait(what),
                Step::Command(transcript) => {
                    let difference = self.run(transcript).err();
                    wrong.extend(difference.map(|why| format!("{}: {why}", section.title)));
                }
            }
        }
        wrong
    }

    fn wait(&mut self, what: &str) {
        let host = self.host.as_ref().expect("a host to wait for");
        match what.split(' ').collect::<Vec<_>>()[..] {
            ["the", "tokens", "are", "read", "again"] => {
                host.says("the file of tokens was read again");
            }
            [job, "is", "decided"] => {
                let path = format!("/v1/jobs/{job}/why?at={}", self.time);
                eventually(what, || {
                    let why = host.get(&path).1;
                    let is_over = why["run"].is_null() || why["run"]["state"] == "done";
                    (why["standing"] == "decided" && is_over).then_some(())
                });
            }
            [job, "is", state] => {
                let path = format!("/v1/runs?job={job}&cause=schedule&state={state}");
                let run = host.item(what, &path, |_| true);
                self.time = text(&run["fire_time"]);
            }
            [count, "fire", "times", "of", job, "pass"] => {
                // Also of a job that is paused, which has no next fire time.
                let why = |at: &str| host.get(&format!("/v1/jobs/{job}/why?at={at}")).1;
                let mut last = SystemClock.now().to_string();
                let times = (0..count.parse().expect("a number")).map(|_| {
                    last = text(&why(&last)["next"]);
                    last.clone()
                });
                let times: Vec<_> = times.collect();
                self.time = times.first().expect("a fire time").clone();
                eventually(what, || (why(&last)["standing"] != "not_yet_due").then_some(()));
            }
            _ => panic!("nobody knows how to wait for `{what}`"),
        }
    }

    fn run(&self, transcript: &Transcript<'_>) -> Result<(), String> {
        let Transcript { command, printed } = transcript;
        let found = self.printed(&command.replace("TIME", &self.time));
        let (expected, found) = match command.starts_with("host simulate ") {
            true => (printed.join("\n"), found),
            false => (masked(&printed.join("\n")), masked(&found)),
        };
        compare(&expected, &found).map_err(|why| format!("`{command}`: {why}; it printed\n{found}"))
    }

    /// What the shell prints, on whichever channel, in the section's folder.
    fn printed(&self, command: &str) -> String {
        let file = self.site.path("printed");
        let (out, err) = {
            let file = File::create(&file).unwrap();
            (file.try_clone().unwrap(), file)
        };
        let folder = std::path::Path::new(binary()).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.site.path(".")).env("PATH", path);
        match &self.host {
            Some(host) => shell.env("CAMPANILE_URL", host.url()),
            None => shell.env_remove("CAMPANILE_URL"),
        };
        shell.env_remove("CAMPANILE_TOKEN");
        let status = shell.stdin(Stdio::null()).stdout(out).stderr(err).status().unwrap();
        let mut printed = std::fs::read_to_string(file).unwrap();
        if !status.success() {
            printed.push_str(&format!("[{status}]\n"));
        }
        printed
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Line by line, less blanks at their ends.
fn compare(expected: &str, found: &str) -> Result<(), String> {
    let lines =
        |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect();
    let (mut expected, mut found): (Vec<String>, Vec<String>) = (lines(expected), lines(found));
    if expected.last().is_some_and(|last| last == REST) {
        expected.pop();
        if found.get(expected.len()).is_none_or(|line| !line.is_empty()) {
            return Err(format!(
                "`{REST}` stands for something that does not follow an empty line"
            ));
        }
        found.truncate(expected.len());
    }
    if expected == found {
        return Ok(());
    }
    let same =
        expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
    let line = |lines: &[String]| lines.get(same).cloned().unwrap_or("nothing".into());
    Err(format!("expected `{}`, not `{}`", line(&expected), line(&found)))
}

/// With RUN and SESSION for ids, SECRET for the end of a token, FENCE for fences, TIME for times, N
/// for what was measured or counted, HOST for the machine, and one blank between words.
fn masked(text: &str) -> String {
    text.lines().map(|line| masked_line(line) + "\n").collect()
}

fn masked_line(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let mask = |(number, word): (usize, &&str)| {
        let core = word.trim_matches(|c| "`.,;:()".contains(c));
        if let Some((token, secret)) = core.rsplit_once('_')
            && token.starts_with("camp_")
            && secret.len() == 64
        {
            return word.replacen(secret, "SECRET", 1);
        }
        if core.starts_with("sha256:") {
            return word.replacen(core, "sha256:DIGEST", 1);
        }
        if let Some((tenant, _)) = core.strip_suffix(".jsonl").and_then(|it| it.rsplit_once('-')) {
            return word.replacen(core, &format!("{tenant}-TIME.jsonl"), 1);
        }
        let next = words.get(number + 1).copied().unwrap_or_default();
        let mask = if core.len() == 32 && core.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            if words[..number].ends_with(&["session"]) { "SESSION" } else { "RUN" }
        } else if words[..number].ends_with(&["fence"]) {
            "FENCE"
        } else if campanile::time::Timestamp::parse(core).is_ok() {
            "TIME"
        } else if core.parse::<f64>().is_ok()
            && ["ms", "ms,", "ms:", "s", "KiB", "MiB", "fire"].contains(&next)
        {
            "N"
        } else if words[..number].ends_with(&["on", "host"]) {
            "HOST"
        } else {
            core
        };
        if core.is_empty() { (*word).to_owned() } else { word.replacen(core, mask, 1) }
    };
    words.iter().enumerate().map(mask).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_transcript_of_the_page_is_what_the_host_prints() {
    if let Err(wrong) = replay(&page()) {
        panic!("{}", wrong.join("\n\n"));
    }
}

#[test]
fn every_transcript_about_tenants_is_what_the_host_prints() {
    let page = std::fs::read_to_string(guests::root().join("docs/tenants.md")).unwrap();
    if let Err(wrong) = replay(&page) {
        panic!("{}", wrong.join("\n\n"));
    }
    // A transcript that says otherwise is rejected.
    let (section, doctored) = ("acme     1", "acme     2");
    assert!(page.contains(section));
    assert!(replay(&page.replacen(section, doctored, 1)).is_err());
}

#[test]
fn every_transcript_about_what_was_used_is_what_the_host_prints() {
    let page = std::fs::read_to_string(guests::root().join("docs/usage.md")).unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    if let Err(wrong) = replay(page) {
        panic!("{}", wrong.join("\n\n"));
    }
}

#[test]
fn every_transcript_about_access_is_what_the_host_prints() {
    let page = std::fs::read_to_string(guests::root().join("docs/access.md")).unwrap();
    if let Err(wrong) = replay(&page) {
        panic!("{}", wrong.join("\n\n"));
    }
    // A transcript that says otherwise is rejected.
    let (section, doctored) = ("ci         operator", "ci         viewer");
    assert!(page.contains(section));
    assert!(replay(&page.replacen(section, doctored, 1)).is_err());
}

/// The part of the README that is played: from its directive to the end of the section.
fn readme() -> String {
    let text = std::fs::read_to_string(guests::root().join("README.md")).unwrap();
    let start = text.find("<!-- plugin: ").expect("a directive");
    text[start..].split("\n## ").next().expect("a section").to_owned()
}

#[test]
fn what_is_shown_of_a_reload_is_what_the_host_prints() {
    let page = std::fs::read_to_string(guests::root().join("docs/reload.md")).unwrap();
    let versions = std::fs::read_to_string(guests::root().join("docs/versions.md")).unwrap();
    for text in [readme(), page, versions] {
        if let Err(wrong) = replay(&text) {
            panic!("{}", wrong.join("\n\n"));
        }
    }
    let doctored = readme().replacen("hour 2 -> 3", "hour 2 -> 4", 1).replacen("[exit", "[no", 1);
    assert_eq!(replay(&doctored).unwrap_err().len(), 2, "a doctored one was let pass");
}

/// A section of the page, as text.
fn section(title: &str) -> String {
    let page = page();
    let found = page.split("\n## ").find(|section| section.starts_with(title));
    format!("## {}", found.expect("a section"))
}

#[test]
fn a_doctored_transcript_is_rejected() {
    let section = section("A late start");
    assert_eq!(replay(&section), Ok(()));
    for (told, doctored) in [
        ("misfired  queued_too_long", "skipped   queued_too_long"),
        ("02:40:00Z  40m", "02:40:00Z  41m"),
        ("2026-12-01T02:00:00Z  export", "2026-12-01T02:00:01Z  export"),
        ("poll    1      -    1 ", "poll    1      1    - "),
        ("\n0     6     12    18\n", "\n"),
        ("\n0     6     12    18\n", "\n0     6     12    18\nall is well\n"),
        ("\nJOB     FIRES", "...\n```\n\n```\nJOB     FIRES"),
        ("export=40m --verdicts", "export=50m --verdicts"),
        ("misfire_grace_time = \"10m\"", "misfire_grace_time = \"1h\""),
        ("```console\n$ host simulate", "```console\n$ host simulat"),
    ] {
        assert!(section.contains(told), "{told}");
        assert!(replay(&section.replacen(told, doctored, 1)).is_err(), "{doctored}");
    }
}

#[test]
fn a_doctored_transcript_of_a_host_that_serves_is_rejected() {
    let doctored = section("Failed and retried")
        .replacen("attempt 2 of run RUN", "attempt 4 of run RUN", 1)
        .replacen("run RUN is over: failed", "run RUN is over: succeeded", 1)
        .replacen("hopeless  paused", "hopeless  active", 1);
    let wrong = replay(&doctored).unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
    assert!(wrong[0].contains("`attempt 4 of run RUN started"), "{wrong:#?}");
}

#[test]
fn a_page_that_nobody_can_replay_is_rejected() {
    for (page, why) in [
        ("# Words\nalone\n", "no transcript"),
        ("<!-- stop -->\n", "no directive"),
        ("```sh\nhost jobs ls\n```\n", "toml or console"),
        ("```console\n$ ls\n```\n", "no command of the host"),
        ("```console\nJOB  STATE\n```\n", "begins with a command"),
    ] {
        let wrong = replay(page).unwrap_err();
        assert!(wrong.join("\n").contains(why), "{wrong:?}");
    }
}

#[test]
fn nothing_is_masked_but_ids_times_and_what_was_measured() {
    let printed = "run 2521b7aa3cc8e18275c271b8edf693e2 started on host `tower-1` at \
                   2026-11-20T07:24:44.074813Z, 12 ms after, fence 41 of session \
                   019c0000000070008000000000000001; attempt 2  of 3 failed";
    let shown = "run RUN started on host `HOST` at TIME, N ms after, fence FENCE of \
                 session SESSION; attempt 2 of 3 failed\n";
    assert_eq!(masked(printed), shown);
    let token = format!("camp_ci_2_{}", "0f".repeat(32));
    assert_eq!(masked(&token), "camp_ci_2_SECRET\n");
    assert_eq!(masked(shown), shown);
}

/// The words that serde knows for an enum, as its refusal of another word lists them.
fn words_of<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
    let refusal = serde_json::from_str::<T>("\"?\"").err().expect("no such word").to_string();
    let (_, words) = refusal.split_once("expected one of ").expect("a list");
    words.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The words in backticks in one column of the page's tables whose first head is this.
fn column(head: &str, column: usize) -> BTreeSet<String> {
    let page = page();
    let head = format!("| {head} |");
    let rows = page.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .filter_map(|row| row.split('|').nth(column)?.trim().strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_name_every_verdict_every_reason_and_every_outcome() {
    assert_eq!(column("Verdict", 1), words_of::<Verdict>());
    assert_eq!(words_of::<Verdict>(), Verdict::ALL.map(|it| it.word().to_owned()).into());
    assert_eq!(words_of::<Outcome>(), Outcome::ALL.map(|it| it.as_str().to_owned()).into());
    assert_eq!(column("Outcome", 1), words_of::<Outcome>());
    let source = std::fs::read_to_string(guests::root().join("host/src/run/mod.rs")).unwrap();
    let constants = source.lines().filter_map(|line| line.trim().strip_prefix("pub const "));
    let mut reasons: BTreeSet<_> = constants
        .filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"))
        .map(str::to_owned)
        .collect();
    assert!(10 < reasons.len(), "{reasons:?}");
    reasons.extend([RESCHEDULED, UNDECLARED].map(str::to_owned));
    let windows = QuotaKey::ALL.into_iter().filter(|key| key.window().is_some());
    reasons.extend(windows.map(|key| key.as_str().to_owned()));
    // Nothing is decided by it: a run waits.
    assert!(reasons.remove(RATE_LIMIT));
    assert_eq!(column("Verdict", 2), reasons);
}
