//! What a host has to tell when a test of it fails: whether it lives, what it says of itself, what
//! its threads wait for, and the end of its log.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// A host that is asked how it is may take so long.
const ANSWER: Duration = Duration::from_secs(5);
/// Lines of its log.
const LINES: usize = 60;

/// All of it, in one block, of a host that listens at `url` and has `said` so much.
pub fn told(child: &mut Child, url: Option<String>, said: &str) -> String {
    let mut block = String::from("---- the host when the test failed ----\n");
    let pid = child.id();
    match child.try_wait() {
        Ok(Some(status)) => _ = writeln!(block, "process {pid} has ended: {status}"),
        Ok(None) => {
            _ = writeln!(block, "process {pid} lives\n/readyz: {}", readiness(url));
            block += &threads(pid);
        }
        Err(error) => _ = writeln!(block, "process {pid} can't be asked: {error}"),
    }
    let lines: Vec<&str> = said.lines().collect();
    let left_out = lines.len().saturating_sub(LINES);
    _ = writeln!(block, "its log, but for the first {left_out} lines:");
    for line in &lines[left_out..] {
        _ = writeln!(block, "  {line}");
    }
    block + "---- that was the host ----"
}

fn readiness(url: Option<String>) -> String {
    let Some(url) = url else { return "it has not said where it listens".to_owned() };
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.timeout_global(Some(ANSWER)).build().into();
    match agent.get(format!("{url}/readyz")).call() {
        Ok(mut answer) => {
            let body = answer.body_mut().read_to_string();
            format!("{} {}", answer.status(), body.unwrap_or_else(|error| error.to_string()))
        }
        Err(error) => format!("no answer: {error}"),
    }
}

/// Name, state and, where the system tells, what in the kernel each thread waits in: a disk that
/// stalls shows as `D`.
fn threads(pid: u32) -> String {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return String::new() };
    let mut lines = Vec::new();
    for task in tasks.flatten().map(|task| task.path()) {
        let read = |name: &str| std::fs::read_to_string(Path::new(&task).join(name));
        let (Ok(name), Ok(stat)) = (read("comm"), read("stat")) else { continue };
        // The name before the state may hold anything but ends at the last parenthesis.
        let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
        let waits_in = read("wchan").unwrap_or_default();
        lines.push(format!("  {:<16} {} {waits_in}\n", name.trim(), state.unwrap_or("?")));
    }
    lines.sort();
    format!("its threads:\n{}", lines.concat())
}
