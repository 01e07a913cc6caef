//! What the tasks need from outside: how it is found, and how it gets here.
//!
//! [`TOOLS`] is the one list; what nothing uses does not stand in it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::cargo;
use crate::house::{CORE_TARGET, GUEST_TARGET};
use crate::progress::Progress;

/// A task's reason to need tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Plugins are built.
    Guests,
    /// The host is built.
    Host,
    /// Core modules are built, which only tests run.
    CoreGuests,
    /// Hosts that share a store are tested.
    Fleet,
    /// Format and lints are looked at.
    Lints,
    /// The benchmark compares with others; without them it says so.
    Rivals,
}

/// Something that is not part of the repository.
#[derive(Debug)]
struct Tool {
    name: &'static str,
    /// Completes "needed …".
    why: &'static str,
    need: Need,
    found: Found,
    source: Source,
}

/// How a tool is looked for.
#[derive(Debug)]
enum Found {
    /// The Rust target's libraries are there.
    Target(&'static str),
    /// The program starts; the variable names another one that does as well.
    Program { name: &'static str, variable: &'static str },
    /// Cargo knows the command.
    CargoCommand(&'static str),
    /// The program understands these words.
    Answers(&'static str, &'static [&'static str]),
}

/// Where a tool comes from.
#[derive(Debug)]
enum Source {
    /// From rustup, with these words.
    Rustup(&'static [&'static str]),
    /// From the packages of Debian and Ubuntu; the hint is for other systems. A service that they
    /// start is ended at once, and not started again: nothing here wants it.
    Apt { packages: &'static [&'static str], service: Option<&'static str>, hint: &'static str },
    /// From the Python Package Index, into [`VENV`].
    Pip(&'static str),
    /// From the registry of npm, into this package's folder, as its lock file says.
    Npm(&'static str),
}

/// Where Python packages go, in the checkout that this program was built in.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv");
/// The Python that knows them.
const VENV_PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python");

/// The package that brings BullMQ.
const BULLMQ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/benches/bullmq");
/// Where npm puts it.
const BULLMQ_ITSELF: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../host/benches/bullmq/node_modules/bullmq");

const TOOLS: [Tool; 12] = [
    Tool {
        name: "the Rust target `wasm32-wasip2`",
        why: "to build plugins",
        need: Need::Guests,
        found: Found::Target(GUEST_TARGET),
        source: Source::Rustup(&["target", "add", GUEST_TARGET]),
    },
    Tool {
        name: "the Rust target `wasm32-unknown-unknown`",
        why: "to build a core module that the tests run",
        need: Need::CoreGuests,
        found: Found::Target(CORE_TARGET),
        source: Source::Rustup(&["target", "add", CORE_TARGET]),
    },
    Tool {
        name: "a C compiler",
        why: "to build SQLite",
        need: Need::Host,
        found: Found::Program { name: "cc", variable: "CC" },
        source: Source::Apt {
            packages: &["gcc", "libc6-dev"],
            service: None,
            hint: "install a C compiler that is called `cc`: `xcode-select --install` on macOS, \
                   the package `gcc` elsewhere",
        },
    },
    Tool {
        name: "a Redis server",
        why: "to test hosts that share a store",
        need: Need::Fleet,
        found: Found::Program { name: "redis-server", variable: "REDIS_SERVER" },
        source: Source::Apt {
            packages: &["redis-server"],
            service: Some("redis-server"),
            hint: "install a Redis server from 7.0 on that is called `redis-server`, or name another \
                   in the variable `REDIS_SERVER`",
        },
    },
    Tool {
        name: "rustfmt",
        why: "to look at the format",
        need: Need::Lints,
        found: Found::CargoCommand("fmt"),
        source: Source::Rustup(&["component", "add", "rustfmt"]),
    },
    Tool {
        name: "Clippy",
        why: "to look for lints",
        need: Need::Lints,
        found: Found::CargoCommand("clippy"),
        source: Source::Rustup(&["component", "add", "clippy"]),
    },
    Tool {
        name: "Python 3 with `venv`",
        why: "for APScheduler",
        need: Need::Rivals,
        found: Found::Answers("python3", &["-c", "import ensurepip, venv"]),
        source: Source::Apt {
            packages: &["python3", "python3-venv"],
            service: None,
            hint: "install a Python 3 that is called `python3` and has the module `venv`",
        },
    },
    Tool {
        name: "APScheduler 3.11",
        why: "to compare the benchmark with",
        need: Need::Rivals,
        found: Found::Answers(
            VENV_PYTHON,
            &["-c", "import apscheduler; assert apscheduler.version.startswith('3.11.')"],
        ),
        source: Source::Pip("apscheduler==3.11.*"),
    },
    Tool {
        name: "the Redis client for Python",
        why: "for APScheduler's Redis store",
        need: Need::Rivals,
        found: Found::Answers(VENV_PYTHON, &["-c", "import redis"]),
        source: Source::Pip("redis==8.*"),
    },
    Tool {
        name: "Celery 5.7",
        why: "to compare the benchmark with",
        need: Need::Rivals,
        found: Found::Answers(
            VENV_PYTHON,
            &["-c", "import celery; assert celery.__version__.startswith('5.7.')"],
        ),
        source: Source::Pip("celery==5.7.*"),
    },
    Tool {
        name: "Node.js with npm",
        why: "for BullMQ",
        need: Need::Rivals,
        found: Found::Program { name: "npm", variable: "NPM" },
        source: Source::Apt {
            packages: &["nodejs", "npm"],
            service: None,
            hint: "install Node.js 20 or later, whose programs are called `node` and `npm`",
        },
    },
    Tool {
        name: "BullMQ 6",
        why: "to compare the benchmark with",
        need: Need::Rivals,
        found: Found::Answers("node", &["-e", "require(process.argv[1])", BULLMQ_ITSELF]),
        source: Source::Npm(BULLMQ),
    },
];

/// Sees to it that all tools for these needs are there.
///
/// # Errors
///
/// Something lacks that can't be installed without asking; the message holds the command.
pub fn ensure(progress: &Progress, needs: &[Need]) -> Result<()> {
    let needed = TOOLS.iter().filter(|tool| needs.contains(&tool.need));
    let lacking: Vec<&Tool> = needed.filter(|tool| !tool.found.is_there()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    match plan(&lacking, Machine::look()) {
        Plan::Tell(message) => bail!(message),
        Plan::Install(commands) => {
            for tool in &lacking {
                progress.note(format_args!("{} is missing, needed {}", tool.name, tool.why));
            }
            progress.step("install what is missing", || {
                commands.iter().try_for_each(|words| install(words))
            })?;
            match lacking.iter().find(|tool| !tool.found.is_there()) {
                Some(tool) => bail!("{} was installed and is still not found", tool.name),
                None => Ok(()),
            }
        }
    }
}

/// What decides how a tool can get here.
#[derive(Clone, Copy, Debug)]
struct Machine {
    root: bool,
    apt: bool,
    rustup: bool,
}

impl Machine {
    fn look() -> Self {
        let id = cargo::output(Command::new("id").arg("-u"));
        Self {
            root: id.is_ok_and(|id| id.trim() == "0"),
            apt: starts("apt-get", &["--version"]),
            rustup: starts("rustup", &["--version"]),
        }
    }
}

/// What to do about lacking tools.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Run these.
    Install(Vec<Vec<&'static str>>),
    /// Leave it to the person, with this message.
    Tell(String),
}

/// Installs what it can without asking; when one tool needs a person, nothing is installed.
fn plan(lacking: &[&Tool], machine: Machine) -> Plan {
    let mut commands = Vec::new();
    let mut packages = Vec::new();
    let mut services = Vec::new();
    let mut wheels = Vec::new();
    let mut modules = Vec::new();
    let mut by_hand = Vec::new();
    for tool in lacking {
        match &tool.source {
            Source::Rustup(words) => {
                commands.push([&["rustup"], *words].concat());
                if !machine.rustup {
                    by_hand.push("install rustup, which brings Rust and its targets".to_owned());
                }
            }
            Source::Apt { packages: names, service, hint } if machine.apt => {
                packages.extend_from_slice(names);
                services.extend(service);
                if !machine.root {
                    by_hand.push(format!("ask an administrator, or use sudo; else {hint}"));
                }
            }
            Source::Apt { hint, .. } => by_hand.push((*hint).to_owned()),
            Source::Pip(wheel) => wheels.push(*wheel),
            Source::Npm(folder) => modules.push(*folder),
        }
    }
    if !packages.is_empty() {
        commands.push(vec!["apt-get", "update"]);
        let options = ["apt-get", "install", "-y", "--no-install-recommends"];
        commands.push([&options[..], &packages].concat());
    }
    for service in services {
        commands.push(vec!["update-rc.d", service, "disable"]);
        commands.push(vec!["service", service, "stop"]);
    }
    if !wheels.is_empty() {
        commands.push(vec!["python3", "-m", "venv", VENV]);
        let options = [VENV_PYTHON, "-m", "pip", "install", "--quiet"];
        commands.push([&options[..], &wheels].concat());
    }
    for folder in modules {
        // What packages bring along to be run at once is not.
        let options = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
        commands.push([&options[..], &[folder]].concat());
    }
    if by_hand.is_empty() {
        return Plan::Install(commands);
    }
    by_hand.dedup();
    Plan::Tell(message(lacking, &commands, &by_hand, machine))
}

/// What lacks, what to do by hand, and the one line that does the rest.
fn message(
    lacking: &[&Tool],
    commands: &[Vec<&str>],
    by_hand: &[String],
    machine: Machine,
) -> String {
    let mut message = String::from("this machine lacks");
    for tool in lacking {
        message.push_str(&format!("\n  {}, needed {}", tool.name, tool.why));
    }
    for hint in by_hand {
        message.push_str(&format!("\n{hint}"));
    }
    if !commands.is_empty() {
        let line = |words: &Vec<&str>| {
            let for_all = ["apt-get", "update-rc.d", "service"];
            let sudo = words.first().is_some_and(|word| for_all.contains(word)) && !machine.root;
            format!("{}{}", if sudo { "sudo " } else { "" }, words.join(" "))
        };
        let lines: Vec<String> = commands.iter().map(line).collect();
        message.push_str(&format!("\nrun: {}", lines.join(" && ")));
    }
    message
}

fn install(words: &[&str]) -> Result<()> {
    let [program, args @ ..] = words else { return Ok(()) };
    cargo::run(Command::new(program).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
}

impl Found {
    fn is_there(&self) -> bool {
        match self {
            Self::Target(target) => {
                let mut rustc = Command::new("rustc");
                rustc.args(["--print", "target-libdir", "--target", target]);
                cargo::output(&mut rustc).is_ok_and(|folder| Path::new(folder.trim()).is_dir())
            }
            Self::Program { name, variable } => {
                let named = std::env::var(variable).is_ok_and(|name| starts(&name, &["--version"]));
                named || starts(name, &["--version"])
            }
            Self::CargoCommand(command) => starts("cargo", &[command, "--version"]),
            Self::Answers(program, words) => starts(program, words),
        }
    }
}

fn starts(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Machine = Machine { root: true, apt: true, rustup: true };
    const DESK: Machine = Machine { root: false, ..SERVER };
    const OTHER: Machine = Machine { root: false, apt: false, rustup: true };

    /// The tools whose names contain one of `names`.
    fn lacking(names: &[&str]) -> Vec<&'static Tool> {
        static ALL: [Tool; 12] = TOOLS;
        ALL.iter().filter(|tool| names.iter().any(|name| tool.name.contains(name))).collect()
    }

    fn told(names: &[&str], machine: Machine) -> String {
        match plan(&lacking(names), machine) {
            Plan::Tell(message) => message,
            Plan::Install(commands) => panic!("it would run {commands:?}"),
        }
    }

    #[test]
    fn rustup_may_install_everywhere_and_apt_as_root_alone() {
        let target = vec!["rustup", "target", "add", "wasm32-wasip2"];
        for machine in [SERVER, DESK, OTHER] {
            let plan = plan(&lacking(&["wasip2"]), machine);
            assert_eq!(plan, Plan::Install(vec![target.clone()]), "{machine:?}");
        }
        let update = vec!["apt-get", "update"];
        let get = "apt-get install -y --no-install-recommends gcc libc6-dev";
        let get: Vec<&str> = get.split(' ').collect();
        let both = plan(&lacking(&["wasip2", "C compiler"]), SERVER);
        assert_eq!(both, Plan::Install(vec![target, update, get]));
    }

    #[test]
    fn without_root_the_one_line_is_told() {
        let message = told(&["wasip2", "C compiler"], DESK);
        let line = "run: rustup target add wasm32-wasip2 && sudo apt-get update && \
                    sudo apt-get install -y --no-install-recommends gcc libc6-dev";
        assert!(message.ends_with(line), "{message}");
        assert!(message.contains("a C compiler, needed to build SQLite"), "{message}");
    }

    #[test]
    fn without_apt_a_hint_is_told() {
        let message = told(&["C compiler"], OTHER);
        assert!(message.contains("xcode-select --install"), "{message}");
        assert!(!message.contains("apt-get"), "{message}");
    }

    #[test]
    fn without_rustup_it_comes_first_and_is_told_once() {
        let message = told(&["rustfmt", "Clippy"], Machine { rustup: false, ..SERVER });
        assert_eq!(message.matches("install rustup").count(), 1, "{message}");
        assert!(message.ends_with("rustup component add clippy"), "{message}");
    }

    #[test]
    fn a_service_that_came_along_is_ended() {
        let Plan::Install(commands) = plan(&lacking(&["Redis server"]), SERVER) else {
            panic!("as root on a server all can be installed");
        };
        let get = "apt-get install -y --no-install-recommends redis-server";
        let lines: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
        let ended = ["update-rc.d redis-server disable", "service redis-server stop"];
        assert_eq!(lines, ["apt-get update", get, ended[0], ended[1]]);
        let message = told(&["Redis server"], DESK);
        assert!(message.ends_with("sudo service redis-server stop"), "{message}");
    }

    #[test]
    fn a_python_package_comes_after_the_python_that_gets_it() {
        let Plan::Install(commands) = plan(&lacking(&["APScheduler", "Python"]), SERVER) else {
            panic!("as root on a server all can be installed");
        };
        let programs: Vec<&str> = commands.iter().map(|words| words[0]).collect();
        assert_eq!(programs, ["apt-get", "apt-get", "python3", VENV_PYTHON]);
    }

    #[test]
    fn a_node_package_comes_after_the_npm_that_gets_it() {
        let Plan::Install(commands) = plan(&lacking(&["Node.js", "BullMQ"]), SERVER) else {
            panic!("as root on a server all can be installed");
        };
        let programs: Vec<&str> = commands.iter().map(|words| words[0]).collect();
        assert_eq!(programs, ["apt-get", "apt-get", "npm"]);
        let message = told(&["Node.js", "BullMQ"], OTHER);
        assert!(message.contains("npm ci --ignore-scripts"), "{message}");
    }

    #[test]
    fn a_program_is_found_by_starting_it() {
        assert!(starts("sh", &["-c", "exit 0"]));
        assert!(!starts("sh", &["-c", "exit 1"]));
        assert!(!starts("no-such-program", &[]));
    }
}
