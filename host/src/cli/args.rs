//! What may stand on the command line, as far as commands share it.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::exit::Failure;
use super::logging::LogFormat;
use super::{
    audit, cancel, events, explain, hosts, import, init, inspect, jobs, logs, next, pause, plan,
    plugins, reload, run, runs, serve, simulate, store, tenants, token, trigger, usage, validate,
    why,
};
use crate::config::Config;
use crate::config::load;
use crate::time::Timestamp;

/// Runs jobs as sandboxed WebAssembly components, on time.
///
/// Without a command it serves: `host --config host.toml` is `host serve --config host.toml`.
#[derive(Debug, Parser)]
#[command(name = "host", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten, next_help_heading = "Common options")]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  host init                        write a commented host.toml
  host                             serve with ./host.toml
  host jobs ls                     what is scheduled, and when it fires next
  host trigger nightly --wait      run a job now and watch it
  host run plugins/hello.wasm      try a plugin once, without a host

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a limit was hit,
4 something would change (`plan --detailed-exitcode`).
Each command has its own --help with examples.";

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The configuration; without it ./host.toml if there is one, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON: the objects of the REST interface, one a line
    #[arg(long, global = true)]
    pub json: bool,
    /// How the program's own log looks: human or json; without it human on a terminal, else json
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}

/// A token as somebody gave it. Not shown by anything.
#[derive(Clone)]
struct Given(String);

impl From<String> for Given {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given")
    }
}

/// Which host is asked, and about whose things.
#[derive(Clone, Debug, Args)]
pub struct Whom {
    /// The host to ask, like http://127.0.0.1:7600; without it the configuration's `[api] listen`
    #[arg(long, env = "CAMPANILE_URL", value_name = "URL")]
    url: Option<String>,
    /// Whose jobs, runs and plugins; without it the token's tenant, else `default`
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// What to prove oneself with, where the host wants it: camp_...
    #[arg(long, env = "CAMPANILE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<Given>,
    /// Certificates to believe besides this machine's, as PEM; for a host with one of its own
    #[arg(long, env = "CAMPANILE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: schedule and run jobs until told to stop
    Serve(serve::Serve),
    /// Write a commented host.toml
    Init(init::Init),
    /// Check the configuration and the files beside plugins
    Validate(validate::Validate),
    /// Tell what a start would add, change and park
    Plan(plan::Plan),
    /// Show a job's values in force and where each came from
    Explain(explain::Explain),
    /// Take over jobs of other schedulers
    #[command(subcommand)]
    Import(import::Import),
    /// Run a plugin once, here, without a host
    Run(run::Run),
    /// Show what a plugin is, does and may use
    Inspect(inspect::Inspect),
    /// Show when a trigger or a job fires
    Next(next::Next),
    /// Show what the policies would do from one instant to another, in virtual time
    Simulate(simulate::Simulate),
    /// List, show, make and remove jobs
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// List and show runs
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Print the log of a run
    Logs(logs::Logs),
    /// Run a job now, later, or for fire times of the past
    Trigger(trigger::Trigger),
    /// Pause a job, or the whole scheduler
    Pause(pause::Pause),
    /// Let a job go on, or the whole scheduler
    Resume(pause::Resume),
    /// Tell what became of an instant, and why
    Why(why::Why),
    /// Tell what happens, as it happens
    Events(events::Events),
    /// Cancel a run
    Cancel(cancel::Cancel),
    /// List and show plugins
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// Make a running host look at host.toml and plugins now
    Reload(reload::Reload),
    /// List the hosts that share the store
    Hosts(hosts::Hosts),
    /// List and show tenants: who shares the host
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// Make, list and revoke tokens: who may use the host
    #[command(subcommand)]
    Token(token::Token),
    /// Tell what a tenant's jobs used: what a bill is made from
    Usage(usage::Usage),
    /// Tell who changed what
    Audit(audit::Audit),
    /// Move, check and back up what the store holds
    #[command(subcommand)]
    Store(store::Store),
}

impl Whom {
    /// The host that was named. An empty variable names none.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }

    /// The token that was given. An empty variable gives none.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.0.trim()).filter(|token| !token.is_empty())
    }

    /// The certificates that are to be believed besides the machine's.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref().filter(|file| !file.as_os_str().is_empty())
    }

    /// The parameters that say whose things are asked for: none when it is not said.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        self.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect()
    }
}

impl Common {
    /// The configuration that was named, or that lies here, or the defaults.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn load(&self) -> Result<Config, Failure> {
        load::load(self.config.as_deref(), &cwd()?).map_err(Failure::usage)
    }

    /// Reads an instant of the command line: RFC 3339, or a wall time of the configuration's zone.
    ///
    /// # Errors
    ///
    /// It is none; or the configuration is wrong.
    pub fn instant(&self, flag: &str, text: &str) -> Result<Timestamp, Failure> {
        if let Ok(time) = Timestamp::parse(text) {
            return Ok(time);
        }
        next::instant(text, self.load()?.timezone)
            .map_err(|message| Failure::usage(format!("{flag}: {message}")))
    }
}

/// The working folder.
///
/// # Errors
///
/// It is gone.
pub fn cwd() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::failed(format!("the working folder can't be found: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together_and_every_command_has_examples() {
        Cli::command().debug_assert();
        fn check(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn config_may_stand_before_and_after_the_command() {
        for line in [
            "host --config x.toml",
            "host --config x.toml serve",
            "host serve --config x.toml",
            "host jobs --config x.toml ls",
            "host jobs ls --config x.toml --json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.common.config, Some("x.toml".into()), "{line}");
        }
    }
}
