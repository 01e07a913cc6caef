//! `cargo xtask`: what a developer or a build machine does with this repository.
//!
//! ```text
//! command_line ──> Task ──> demo, plugins, checks, chaos ──> tools (is it there?), cargo, progress
//! ```
//!
//! Set-up and tasks only: nothing of the product is decided here. It stands on the standard library
//! and `anyhow`, so that the first command on a fresh checkout starts soon.

mod cargo;
mod chaos;
mod checks;
mod command_line;
mod demo;
mod house;
mod plugins;
mod progress;
mod tools;

use std::process::ExitCode;

use anyhow::Result;

use command_line::Task;
use house::House;
use progress::Progress;

/// The exit code of a command line that nobody understands.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let progress = Progress::start();
    let task = match command_line::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(misuse) => {
            progress.error(&misuse);
            return ExitCode::from(USAGE);
        }
    };
    match House::find().and_then(|house| perform(task, &house, &progress)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress.error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task, house: &House, progress: &Progress) -> Result<()> {
    match task {
        Task::Help => progress.show(command_line::HELP),
        Task::Plugins(wanted) => plugins::build(house, progress, wanted),
        Task::Demo { show, ends_after } => demo::run(house, progress, show, ends_after),
        Task::Watch { show, host, ends_after } => {
            demo::watch(house, progress, (show, host), ends_after)
        }
        Task::Test { args } => checks::test(house, progress, &args),
        Task::Ci => checks::ci(house, progress),
        Task::Bench { args } => checks::bench(house, progress, &args),
        Task::Chaos(settings) => chaos::run(house, progress, &settings),
    }
}
