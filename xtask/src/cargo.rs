//! Cargo, and other programs, as steps of a task.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Cargo in `folder`, free of what the cargo that started this program has set for it.
pub fn cargo<const N: usize>(folder: &Path, args: [&str; N]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(folder).args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_about_this_program) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it in the foreground.
///
/// # Errors
///
/// It can't be started, or did not end well.
pub fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); what it printed above says why");
    }
    Ok(())
}

/// What it prints to standard output.
///
/// # Errors
///
/// It can't be started, or did not end well; then with the last line that it printed as an error.
pub fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stderr);
        let reason = printed.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason");
        bail!("`{line}` failed ({}): {reason}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether cargo has set the variable for the program that it runs. What people set to steer
/// cargo, like `CARGO_HOME` or `RUSTFLAGS`, is handed on.
fn is_about_this_program(variable: &str) -> bool {
    const EXACTLY: [&str; 8] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MAKEFLAGS",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "OUT_DIR",
    ];
    EXACTLY.contains(&variable) || variable.starts_with("CARGO_PKG_")
}

/// The line as it would be typed, with the program's name instead of its path.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let mut line = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cargo_set_for_this_program_is_taken_away() {
        for (variable, taken) in [
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_PKG_VERSION", true),
            ("CARGO_HOME", false),
            ("CARGO_TARGET_DIR", false),
            ("CARGO_TERM_COLOR", false),
            ("RUSTFLAGS", false),
            ("RUSTUP_TOOLCHAIN", false),
            ("PATH", false),
        ] {
            assert_eq!(is_about_this_program(variable), taken, "{variable}");
        }
        assert!(cargo(Path::new("/"), []).get_envs().all(|(_, value)| value.is_none()));
    }

    #[test]
    fn a_failure_names_the_line_and_the_reason() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo no luck >&2; exit 3"]);
        let error = output(&mut command).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c ") && error.ends_with(": no luck"), "{error}");
        assert!(run(Command::new("sh").args(["-c", "exit 3"])).is_err());
        assert_eq!(output(Command::new("sh").args(["-c", "echo fine"])).unwrap(), "fine\n");
    }
}
