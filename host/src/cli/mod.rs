//! The program `host`: what stands on its command line, and what each command does.
//!
//! One file a command. Commands that look at jobs and runs ask a host over REST (`reach`), or read
//! its store when none is running; both show the same views. Results go to standard output,
//! everything else to standard error, and the exit code says how it went.

mod args;
mod audit;
mod cancel;
mod carried;
mod difference;
mod events;
mod exit;
mod explain;
mod hosts;
mod import;
mod init;
mod inspect;
mod jobs;
mod kept;
mod line;
mod logging;
mod logs;
mod next;
mod pause;
mod plan;
mod plugins;
mod reach;
mod reload;
mod run;
mod runs;
mod screen;
mod serve;
mod simulate;
mod store;
mod table;
mod tenants;
mod tenants_change;
mod token;
mod trigger;
mod usage;
mod validate;
mod versions;
mod why;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Common};
use exit::{Exit, Failure};

/// The program: reads the command line, does what it says, and answers with the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // When help can't be printed there is nobody left to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let command = cli.command.unwrap_or(Command::Serve(serve::Serve::default()));
    match run_command(command, &cli.common) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            screen::complain(&failure);
            failure.exit.into()
        }
    }
}

fn run_command(command: Command, common: &Common) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::serve(&args, common),
        Command::Init(_) => init::init(common),
        Command::Validate(_) => validate::validate(common),
        Command::Plan(args) => plan::plan(&args, common),
        Command::Explain(args) => explain::explain(&args, common),
        Command::Import(args) => import::import(&args, common),
        Command::Run(args) => run::run(&args, common),
        Command::Inspect(args) => inspect::inspect(&args, common),
        Command::Next(args) => next::next(&args, common),
        Command::Simulate(args) => simulate::simulate(&args, common),
        Command::Jobs(args) => jobs::jobs(&args, common),
        Command::Runs(args) => runs::runs(&args, common),
        Command::Logs(args) => logs::logs(&args, common),
        Command::Trigger(args) => trigger::trigger(&args, common),
        Command::Pause(args) => pause::pause(&args, common),
        Command::Resume(args) => pause::resume(&args, common),
        Command::Why(args) => why::why(&args, common),
        Command::Events(args) => events::events(&args, common),
        Command::Cancel(args) => cancel::cancel(&args, common),
        Command::Plugins(args) => plugins::plugins(&args, common),
        Command::Reload(args) => reload::reload(&args, common),
        Command::Hosts(args) => hosts::hosts(&args, common),
        Command::Tenants(args) => tenants::tenants(&args, common),
        Command::Token(args) => token::token(&args, common),
        Command::Usage(args) => usage::usage(&args, common),
        Command::Audit(args) => audit::audit(&args, common),
        Command::Store(args) => store::store(&args, common),
    }
}

/// A runtime for one command: everything in it happens on the calling thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("this machine gives no runtime: {error}")))
}
