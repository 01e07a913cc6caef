//! `host run`: a plugin once, here, without a host and a store.

mod wanted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use self::wanted::{choose_handler, job};
use super::args::Common;
use super::exit::{Exit, Failure};
use super::inspect::{engine, load};
use super::line::{ending, exit_of, log_line};
use super::logging;
use super::runtime;
use super::screen::{Channel, note, print, print_json};
use crate::api::view::log::LogView;
use crate::clock::{Clock, SystemClock};
use crate::engine::Engine;
use crate::engine::control::Control;
use crate::engine::ending::Report;
use crate::engine::log::Log;
use crate::engine::plugin::Plugin;
use crate::engine::run::Request;
use crate::job::Job;
use crate::run::id::RunId;
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{Cause, LogLine};

/// How often new lines of the log are shown.
const LOG_PAUSE: Duration = Duration::from_millis(20);

/// Which plugin, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host run plugins/hello.wasm
  host run plugins/report.wasm --args '{\"path\": \"/data/sales.csv\"}' --dir ./data:/data
  host run plugins/prune.wasm --handler plan --dir ./cache:/cache:rw --timeout 5s --fuel 5G
  host run plugins/report.wasm --env LANG --env MODE=fast
  host run plugins/probe.wasm --args '{\"url\": \"http://127.0.0.1:7600/healthz\"}' \\
      --allow-http http://127.0.0.1:7600

The log goes to standard error, the result as JSON to standard output. What is not given is the
plugin's own default, else the built-in one. It has no buckets, jobs and secrets: those are a
host's. Exit codes: 0 succeeded, 1 failed, 3 a limit was hit.")]
pub struct Run {
    /// The plugin's file
    #[arg(value_name = "PLUGIN.wasm")]
    file: PathBuf,
    /// Which of its handlers; without it `run`, or the only one
    #[arg(long, value_name = "HANDLER")]
    handler: Option<String>,
    /// What it is called with
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// How long it may take
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// How much memory it may use
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// How many instructions it may execute, like 5G; they are counted then
    #[arg(long, value_name = "FUEL")]
    fuel: Option<String>,
    /// A folder that it may read, or with :rw write
    #[arg(long, value_name = "HOST:GUEST[:rw]")]
    dir: Vec<String>,
    /// Where it may send HTTP requests, like https://api.example.com; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_http: Vec<String>,
    /// A variable of its environment; without a value this one's own
    #[arg(long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
}

/// How it ended, as JSON: the keys of a run that are known here.
#[derive(Serialize)]
struct Ended<'a> {
    outcome: Outcome,
    result: &'a Option<Value>,
    error: &'a Option<RunError>,
    usage: &'a Usage,
}

/// Runs the plugin.
///
/// # Errors
///
/// The command line is wrong, or the file is no plugin.
pub fn run(args: &Run, common: &Common) -> Result<Exit, Failure> {
    logging::init(common.log_format, "warn");
    let runtime = runtime()?;
    let exit = runtime.block_on(run_once(args, common));
    // A call that hangs in the kernel is not waited for.
    runtime.shutdown_background();
    exit
}

async fn run_once(args: &Run, common: &Common) -> Result<Exit, Failure> {
    // Any limit fits into a pool of the largest memory there is.
    let engine = engine(4 << 30)?;
    let plugin = load(&engine, &args.file).await?;
    let handler = choose_handler(args.handler.as_deref(), &plugin.about.handlers)?;
    let job = job(args, handler)?;
    let clock = Arc::new(SystemClock);
    // Lines are shown as they come, so none need be left out.
    let control = Arc::new(Control::new(Log::new(u64::MAX, clock)));
    let report = watched(&engine, &plugin, request(&job), &control, common).await?;
    if common.json {
        print_json(&Ended {
            outcome: report.outcome,
            result: &report.result,
            error: &report.error,
            usage: &report.usage,
        })?;
    } else if report.outcome == Outcome::Succeeded {
        print(report.result.as_ref().unwrap_or(&Value::Null))?;
    }
    note(ending(report.outcome, report.error.as_ref(), &report.usage));
    Ok(exit_of(report.outcome))
}

/// Runs it, showing the log as it grows; Ctrl-C cancels.
async fn watched(
    engine: &Engine,
    plugin: &Plugin,
    request: Request,
    control: &Arc<Control>,
    common: &Common,
) -> Result<Report, Failure> {
    let run = engine.run(plugin, request, control);
    tokio::pin!(run);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut listening = true;
    let report = loop {
        tokio::select! {
            report = &mut run => break report,
            heard = &mut interrupted, if listening => {
                listening = false;
                if heard.is_ok() {
                    control.cancel("interrupted");
                }
            }
            () = tokio::time::sleep(LOG_PAUSE) => show_ready(control.log(), common),
        }
    };
    show(control.log().take_rest(), common);
    report.map_err(|error| Failure::failed(format!("it could not be run: {error:#}")))
}

/// Shows all that is ready, so that nothing piles up.
fn show_ready(log: &Log, common: &Common) {
    loop {
        let lines = log.take_ready();
        if lines.is_empty() {
            return;
        }
        show(lines, common);
    }
}

fn show(lines: Vec<LogLine>, common: &Common) {
    for line in lines {
        let line = LogView::of(line);
        match serde_json::to_string(&line) {
            Ok(json) if common.json => note(json),
            Ok(_) | Err(_) => note(log_line(&line, Channel::Err)),
        }
    }
}

fn request(job: &Job) -> Request {
    Request {
        tenant: job.key.tenant.to_string(),
        job: job.key.job.to_string(),
        run: RunId::fresh().to_string(),
        handler: job.handler.to_string(),
        cause: Cause::Manual,
        fire_time: SystemClock.now(),
        previous_success: None,
        attempt: 1,
        fence: 1,
        covers: 1,
        args: job.args.to_string(),
        limits: job.limits.clone(),
        capabilities: job.capabilities.clone(),
        config: Arc::new(job.config.clone()),
        secrets: Arc::default(),
        services: None,
    }
}
