//! The demos: everything built, a configuration served, what happens on show.
//!
//! ```text
//! demo ── starts ──> watch: a table every few seconds, as the store has it; at the end what was used
//!   └── becomes ──> host: in the foreground, as if it had been typed; or a shell that runs it
//! ```
//!
//! The demo's process becomes the host, so Ctrl-C, a second Ctrl-C and the exit code are the host's
//! own. The watch is its child, sees when it is gone, and ends too.

use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cargo;
use crate::command_line::{Show, WATCH};
use crate::house::House;
use crate::plugins::{self, Wanted};
use crate::progress::Progress;
use crate::tools::{self, Need};

/// What is served to three tenants.
const TENANTS_CONFIG: &str = "demo/tenants.toml";
/// Where the tenants' plugins are put, as their configuration says.
const TENANTS_PLUGINS: &str = "target/demo/tenants/plugins";
/// The tenants of that configuration, and the order in which their use is shown.
const TENANTS: [&str; 3] = ["good", "greedy", "hostile"];
/// From one table to the next.
const EVERY: Duration = Duration::from_secs(5);
/// How often the watch looks whether the host is still there.
const GLANCE: Duration = Duration::from_millis(200);
/// Runs shown.
const ROWS: &str = "8";
/// Tables that fail, one after the other, before the watch says why. A host that is starting up
/// has no store yet.
const PATIENCE: u32 = 3;

const TRY_TENANTS: &str = "\
Ctrl-C ends the demo, and shows what each tenant used. Meanwhile, from another terminal in this folder:
      alias host='target/debug/host --config demo/tenants.toml'
      host tenants show greedy                      what it may have, and has
      host jobs show pulse --tenant good            which loses no fire
      host runs ls --tenant hostile                 how its runs end
      host usage --tenant greedy                    what a bill is made from";

const TRY_NEXT: &str = "\
Ctrl-C ends the demo. Meanwhile, from another terminal in this folder:
      target/debug/host jobs ls                     what is scheduled
      target/debug/host next hello                  when it fires next
      target/debug/host trigger hello --wait        run it now, and see its log
      target/debug/host runs ls                     what has run
      target/debug/host logs RUN                    what a run said
      target/debug/host inspect plugins/report.wasm what a plugin may use
      cp YOURS.wasm plugins/                        a job of your own, without a restart";

/// Builds all, then serves until Ctrl-C or for `ends_after`. Returns on errors alone: when all goes
/// well, this process becomes the host.
///
/// # Errors
///
/// A tool is missing, something does not build, the host can't be started.
pub fn run(
    house: &House,
    progress: &Progress,
    show: Show,
    ends_after: Option<Duration>,
) -> Result<()> {
    tools::ensure(progress, &[Need::Guests, Need::Host])?;
    plugins::build(house, progress, Wanted::Examples)?;
    progress.note("compiling the host; the first time takes a few minutes");
    progress.step("host", || {
        cargo::run(&mut cargo::cargo(house.root(), ["build", "--workspace", "--locked"]))
    })?;
    let host = house.host()?;
    if show == Show::Tenants {
        plugins::tenants(house, &house.root().join(TENANTS_PLUGINS))?;
    }
    progress.note(match show {
        Show::Jobs => TRY_NEXT,
        Show::Tenants => TRY_TENANTS,
    });
    let error = match show {
        Show::Jobs => {
            start_watch(house, ends_after)?;
            command(house, &host, show).exec()
        }
        Show::Tenants => with_bill(house, &host, ends_after)?.exec(),
    };
    Err(error).with_context(|| format!("cannot start `{}`", host.display()))
}

/// Shows the latest runs of the host, whose child this process is, until it is gone. After
/// `ends_after` asks it to stop.
///
/// # Errors
///
/// This program can't tell where it is, or can't print.
pub fn watch(
    house: &House,
    progress: &Progress,
    (show, host): (Show, u32),
    ends_after: Option<Duration>,
) -> Result<()> {
    let started = Instant::now();
    let program = house.host()?;
    let mut next_table = started + EVERY;
    let mut table = Table::default();
    let mut asked_to_stop = false;
    // The host, or the shell that waits for it.
    let parent = parent_id();
    while parent_id() == parent {
        sleep(GLANCE);
        let now = Instant::now();
        if !asked_to_stop && ends_after.is_some_and(|limit| now - started >= limit) {
            progress.note("the time is up; the host is asked to stop");
            interrupt(host)?;
            asked_to_stop = true;
        }
        if !asked_to_stop && now >= next_table {
            next_table = now + EVERY;
            let mut list = command(house, &program, show);
            let listed = cargo::output(match show {
                Show::Jobs => list.args(["runs", "ls", "--limit", ROWS]),
                Show::Tenants => list.args(["tenants", "ls"]),
            });
            match table.update(listed, show) {
                Some(News::Runs(runs)) => progress.show(&runs)?,
                Some(News::Trouble(reason)) => progress.note(reason),
                None => (),
            }
        }
    }
    Ok(())
}

/// Serves, with the watch beside, and shows what each tenant used once the host has ended. Ctrl-C
/// reaches the host by itself; whoever asks the shell to end asks the host.
const SERVE_AND_SHOW: &str = r#"
program=$1 config=$2 watch=$3; shift 3
"$program" --config "$config" & host=$!
"$watch" "$WORD" --tenants $host $SECONDS_LEFT & watch=$!
trap : INT
trap 'kill -TERM $host' TERM
code=0
while kill -0 $host 2>/dev/null; do wait $host; code=$?; done
kill $watch 2>/dev/null
for tenant in "$@"; do
    echo
    echo "used by $tenant"
    "$program" --config "$config" usage --tenant "$tenant" 2>/dev/null
done
exit $code
"#;

/// The shell that does it. The host's own log would hide what the tables show: only errors of it.
fn with_bill(house: &House, host: &Path, ends_after: Option<Duration>) -> Result<Command> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let seconds = ends_after.map(|limit| limit.as_secs().to_string()).unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.current_dir(house.root()).env("WORD", WATCH).env("SECONDS_LEFT", seconds);
    if std::env::var_os("RUST_LOG").is_none() {
        shell.env("RUST_LOG", "error");
    }
    shell.args(["-c", SERVE_AND_SHOW, "sh"]).arg(host).arg(TENANTS_CONFIG).arg(own).args(TENANTS);
    Ok(shell)
}

fn start_watch(house: &House, ends_after: Option<Duration>) -> Result<()> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let mut watch = Command::new(own);
    watch.arg(WATCH).arg(std::process::id().to_string());
    if let Some(limit) = ends_after {
        watch.arg(limit.as_secs().to_string());
    }
    watch.current_dir(house.root()).stdin(Stdio::null());
    watch.spawn().context("cannot start the watch of the demo")?;
    Ok(())
}

fn command(house: &House, host: &Path, show: Show) -> Command {
    let config = match show {
        Show::Jobs => "host.toml",
        Show::Tenants => TENANTS_CONFIG,
    };
    let mut command = Command::new(host);
    command.current_dir(house.root()).args(["--config", config]);
    command
}

/// What Ctrl-C does, for one process. Every shell brings `kill`; as a program it may be missing.
fn interrupt(process: u32) -> Result<()> {
    let mut shell = Command::new("sh");
    cargo::run(shell.args(["-c", "kill -INT \"$1\"", "sh"]).arg(process.to_string()))
}

/// What was shown last.
#[derive(Debug, Default)]
struct Table {
    shown: String,
    failures: u32,
}

/// What is worth showing.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// Runs that were not shown yet, under a heading.
    Runs(String),
    /// Why there are none.
    Trouble(String),
}

impl Table {
    fn update(&mut self, listed: Result<String>, show: Show) -> Option<News> {
        let what = match show {
            Show::Jobs => "latest runs",
            Show::Tenants => "tenants",
        };
        match listed {
            Ok(runs) => {
                self.failures = 0;
                if runs.trim().is_empty() || runs == self.shown {
                    return None;
                }
                self.shown.clone_from(&runs);
                Some(News::Runs(format!("\n{what}\n{runs}\n")))
            }
            Err(error) => {
                self.failures += 1;
                let reason = format!("cannot list {what}: {error:#}");
                (self.failures == PATIENCE).then_some(News::Trouble(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_shown_when_they_are_new() {
        let mut table = Table::default();
        assert_eq!(table.update(Ok(String::new()), Show::Jobs), None);
        let News::Runs(shown) = table.update(Ok("hello  succeeded\n".into()), Show::Jobs).unwrap()
        else {
            panic!("these are runs");
        };
        assert!(shown.contains("latest runs\nhello  succeeded\n"), "{shown}");
        assert_eq!(table.update(Ok("hello  succeeded\n".into()), Show::Jobs), None);
        assert!(
            table.update(Ok("report  succeeded\nhello  succeeded\n".into()), Show::Jobs).is_some()
        );
    }

    #[test]
    fn trouble_is_told_once_and_not_while_the_host_starts() {
        let mut table = Table::default();
        let told: Vec<bool> = (0..6)
            .map(|_| table.update(Err(anyhow::anyhow!("no store")), Show::Jobs).is_some())
            .collect();
        assert_eq!(told, [false, false, true, false, false, false]);
        assert!(table.update(Ok("hello\n".into()), Show::Jobs).is_some());
    }
}
