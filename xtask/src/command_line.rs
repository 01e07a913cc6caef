//! The command line: words in, a [`Task`] out.

use std::time::Duration;

use crate::chaos;
use crate::plugins::Wanted;

/// What `cargo xtask --help` prints.
pub const HELP: &str = "\
Set-up and tasks of Campanile.

Usage: cargo xtask <COMMAND>

Commands:
  plugins [--guests]    build the example plugins into plugins/; with --guests
                        the test guests too, which stay in target/guests
  demo [--tenants] [--seconds N]
                        build everything, serve host.toml and show the latest
                        runs every few seconds, until Ctrl-C or for N seconds;
                        with --tenants serve demo/tenants.toml: a good, a greedy
                        and a hostile tenant, and what each used at the end
  test [ARGS...]        build plugins and test guests, then run every test; ARGS
                        go to `cargo test --workspace`, and only that runs then
  ci                    format, lints, then all that `test` does
  bench [ARGS...]       measure; ARGS go to the benchmark: --check, --full, names of sections
  chaos [--minutes N] [--seed S] [--hosts H] [--store redis|sqlite] [--only KINDS]
                        kill, freeze and cut off H hosts (3) for N minutes (5) and
                        check that no promise was broken; a seed does the same again,
                        KINDS of `kill,freeze,redis,wire` leave out the others

What is missing for a command (a Rust target, a C compiler, a Redis server) is installed when
that can be done without asking: by rustup, and as root on Debian or Ubuntu by apt-get.
Elsewhere the command to run is printed. What the benchmark compares with is put into target/venv by pip, and beside its script by npm.

Examples:
  cargo xtask demo
  cargo xtask demo --seconds 20
  cargo xtask demo --tenants --seconds 30
  cargo xtask test scheduler
  cargo xtask test --test it -- --nocapture
  cargo xtask bench --check
  cargo xtask bench lateness burst
  cargo xtask bench rivals hosts far idle fleet restart
  cargo xtask chaos --minutes 20 --seed 7
";

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Print [`HELP`].
    Help,
    /// Build plugins.
    Plugins(Wanted),
    /// Serve an example configuration.
    Demo {
        /// Which.
        show: Show,
        /// End by itself after so long.
        ends_after: Option<Duration>,
    },
    /// Show the runs of a demo. Started by `demo` alone.
    Watch {
        /// What it serves.
        show: Show,
        /// The process that serves.
        host: u32,
        /// End it after so long.
        ends_after: Option<Duration>,
    },
    /// Run the tests.
    Test {
        /// For `cargo test`.
        args: Vec<String>,
    },
    /// Run what a change must pass.
    Ci,
    /// Run the benchmark.
    Bench {
        /// For the benchmark.
        args: Vec<String>,
    },
    /// Run hosts under faults.
    Chaos(chaos::Settings),
}

/// What a demo shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Jobs of one owner.
    Jobs,
    /// Three tenants.
    Tenants,
}

/// The word of [`Show::Tenants`].
const TENANTS: &str = "--tenants";

/// The word that starts [`Task::Watch`].
pub const WATCH: &str = "demo-watch";

/// Reads the words after `cargo xtask`.
///
/// # Errors
///
/// What is wrong with them and what would be right, for people.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let words: Vec<String> = words.into_iter().collect();
    let Some((command, rest)) = words.split_first() else {
        return Err(format!("a command is missing\n\n{HELP}"));
    };
    let own = rest.iter().take_while(|word| *word != "--");
    if is_help(command) || command == "help" || own.clone().any(|word| is_help(word)) {
        return Ok(Task::Help);
    }
    let rest_words: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (command.as_str(), rest_words.as_slice()) {
        ("plugins", []) => Ok(Task::Plugins(Wanted::Examples)),
        ("plugins", ["--guests"]) => Ok(Task::Plugins(Wanted::ExamplesAndGuests)),
        ("plugins", _) => Err("`plugins` takes `--guests` and nothing else".to_owned()),
        ("demo", words) => demo(words),
        ("test", _) => Ok(Task::Test { args: rest.to_vec() }),
        ("ci", []) => Ok(Task::Ci),
        ("ci", _) => Err("`ci` takes no arguments; `test` does".to_owned()),
        ("bench", _) => Ok(Task::Bench { args: for_the_benchmark(rest) }),
        ("chaos", words) => Ok(Task::Chaos(chaos(words)?)),
        (WATCH, words) => watch(words),
        _ => Err(format!(
            "there is no command `{command}`; `cargo xtask --help` lists what there is"
        )),
    }
}

const DEMO_TAKES: &str = "`demo` takes `--tenants` and `--seconds N` and nothing else";

/// What may stand after `demo`, in any order.
fn demo(mut words: &[&str]) -> Result<Task, String> {
    let (mut show, mut ends_after) = (Show::Jobs, None);
    while let [word, rest @ ..] = words {
        words = rest;
        match (*word, rest, word.strip_prefix("--seconds=")) {
            (TENANTS, ..) if show == Show::Jobs => show = Show::Tenants,
            ("--seconds", [text, rest @ ..], _) if ends_after.is_none() => {
                ends_after = Some(seconds(text)?);
                words = rest;
            }
            (_, _, Some(text)) if ends_after.is_none() => ends_after = Some(seconds(text)?),
            _ => return Err(DEMO_TAKES.to_owned()),
        }
    }
    Ok(Task::Demo { show, ends_after })
}

/// What a demo starts its watch with.
fn watch(words: &[&str]) -> Result<Task, String> {
    let (show, words) = match words {
        [TENANTS, rest @ ..] => (Show::Tenants, rest),
        all => (Show::Jobs, all),
    };
    match words {
        [host] => Ok(Task::Watch { show, host: process(host)?, ends_after: None }),
        [host, text] => {
            Ok(Task::Watch { show, host: process(host)?, ends_after: Some(seconds(text)?) })
        }
        _ => Err("a demo starts this by itself".to_owned()),
    }
}

fn is_help(word: &str) -> bool {
    word == "--help" || word == "-h"
}

/// The benchmark gets its words with or without `--` before them.
fn for_the_benchmark(words: &[String]) -> Vec<String> {
    words.strip_prefix(&["--".to_owned()]).unwrap_or(words).to_vec()
}

/// Reads pairs of an option and its value.
fn chaos(words: &[&str]) -> Result<chaos::Settings, String> {
    let mut settings = chaos::Settings {
        minutes: 5,
        seed: None,
        hosts: 3,
        store: "redis".to_owned(),
        only: String::new(),
    };
    for pair in words.chunks(2) {
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("`{}` wants a whole number of at least 1, not `{text}`", pair[0])),
        };
        match *pair {
            ["--minutes", text] => settings.minutes = number(text)?,
            ["--hosts", text] => settings.hosts = number(text)?,
            ["--seed", text] => settings.seed = Some(number(text)?.into()),
            ["--store", store @ ("redis" | "sqlite")] => settings.store = store.to_owned(),
            ["--only", kinds] if kinds.split(',').all(|kind| KINDS.contains(&kind)) => {
                settings.only = kinds.to_owned();
            }
            _ => return Err(CHAOS_TAKES.to_owned()),
        }
    }
    if settings.store == "sqlite" && settings.hosts != 1 {
        return Err("a file of SQLite is for one host: add `--hosts 1`".to_owned());
    }
    Ok(settings)
}

/// What can be disturbed: hosts in two ways, the server, the wires to it.
const KINDS: [&str; 4] = ["kill", "freeze", "redis", "wire"];

const CHAOS_TAKES: &str = "`chaos` takes `--minutes N`, `--seed S`, `--hosts H`, \
                           `--store redis|sqlite` and `--only kill,freeze,redis,wire`";

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(format!("`--seconds` wants a whole number of at least 1, not `{text}`")),
    }
}

fn process(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{WATCH}` wants the number of a process, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn each_command_has_its_words() {
        let ends_after = Some(Duration::from_secs(20));
        let show = Show::Jobs;
        let all = chaos::Settings {
            minutes: 5,
            seed: None,
            hosts: 3,
            store: "redis".to_owned(),
            only: String::new(),
        };
        for (line, task) in [
            ("--help", Task::Help),
            ("help", Task::Help),
            ("demo -h", Task::Help),
            ("plugins", Task::Plugins(Wanted::Examples)),
            ("plugins --guests", Task::Plugins(Wanted::ExamplesAndGuests)),
            ("demo", Task::Demo { show, ends_after: None }),
            ("demo --tenants", Task::Demo { show: Show::Tenants, ends_after: None }),
            ("demo --seconds 20 --tenants", Task::Demo { show: Show::Tenants, ends_after }),
            (
                "demo-watch --tenants 7",
                Task::Watch { show: Show::Tenants, host: 7, ends_after: None },
            ),
            ("demo --seconds 20", Task::Demo { show, ends_after }),
            ("demo --seconds=20", Task::Demo { show, ends_after }),
            ("demo-watch 7 20", Task::Watch { show, host: 7, ends_after }),
            ("test", Task::Test { args: words("") }),
            ("test it:: -- --nocapture", Task::Test { args: words("it:: -- --nocapture") }),
            ("test -- --help", Task::Test { args: words("-- --help") }),
            ("ci", Task::Ci),
            ("bench", Task::Bench { args: words("") }),
            ("bench --check", Task::Bench { args: words("--check") }),
            ("chaos", Task::Chaos(all.clone())),
            (
                "chaos --minutes 20 --seed 7 --hosts 1 --store sqlite",
                Task::Chaos(chaos::Settings {
                    minutes: 20,
                    seed: Some(7),
                    hosts: 1,
                    store: "sqlite".to_owned(),
                    ..all.clone()
                }),
            ),
            ("bench -- --check", Task::Bench { args: words("--check") }),
        ] {
            assert_eq!(parsed(line), Ok(task), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_is_told_what_would_be_right() {
        for (line, hint) in [
            ("", "cargo xtask <COMMAND>"),
            ("plugin", "`cargo xtask --help`"),
            ("plugins --all", "`--guests`"),
            ("demo 20", "`--seconds N`"),
            ("demo --seconds 0", "at least 1"),
            ("demo --seconds soon", "`soon`"),
            ("ci --fast", "`test` does"),
            ("chaos --minutes", "`--minutes N`"),
            ("chaos --minutes 0", "at least 1"),
            ("chaos --store file", "`--store redis|sqlite`"),
            ("chaos --store sqlite", "`--hosts 1`"),
            ("chaos --only kill,rain", "`--only kill,freeze,redis,wire`"),
        ] {
            let misuse = parsed(line).unwrap_err();
            assert!(misuse.contains(hint), "`{line}`: {misuse}");
        }
    }
}
