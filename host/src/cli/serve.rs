//! `host serve`: schedules and runs jobs until it is told to stop.

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::Common;
use super::exit::{Exit, Failure};
use super::logging::{self, LogFormat};
use super::screen::note;
use crate::config::Config;
use crate::reloader::asked::Handle;
use crate::runtime::Host;
use crate::schedule::preview::Total;

/// How to start.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  host serve                        with ./host.toml if there is one, else with the defaults
  host serve --config /etc/campanile/host.toml --log-format json
  host serve --paused               look at nothing until `host resume --all`

What changes in host.toml and in the folder of plugins counts while it serves; SIGHUP and `host reload`
make it look at once. SIGTERM or Ctrl-C: no more work is taken, and runs may end within `executor.drain`. Once more:
what still runs is cancelled now.")]
pub struct Serve {
    /// Start with the scheduler paused, until `host resume --all`; what came due is judged then
    #[arg(long)]
    paused: bool,
}

/// Serves.
///
/// # Errors
///
/// The configuration is wrong, the host can't start, or one of its tasks ended.
pub fn serve(args: &Serve, common: &Common) -> Result<Exit, Failure> {
    let config = common.load()?;
    let format = logging::init(common.log_format, "info");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("host")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("this machine gives no runtime: {error}")))?;
    allow_many_files();
    let ended = runtime.block_on(serve_until_told(args, config, format));
    // What is left behind must not keep the process from ending.
    runtime.shutdown_background();
    ended
}

async fn serve_until_told(
    args: &Serve,
    config: Config,
    format: LogFormat,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    // From now on it ends nothing; one that comes early is heard when the host serves.
    let mut hangup = listen(SignalKind::hangup())?;
    let start = async {
        if args.paused { Host::start_paused(config).await } else { Host::start(config).await }
    };
    let host = tokio::select! {
        host = start => host.map_err(|error| Failure::failed(format!("{error:#}")))?,
        () = signals.next() => return Ok(Exit::Done),
    };
    tell(host.summary(), format);
    let reloads = host.reloads();
    let failure = loop {
        tokio::select! {
            () = signals.next() => break None,
            error = host.failed() => break Some(Failure::failed(format!("{error:#}"))),
            _ = hangup.recv() => {
                let reloads = reloads.clone();
                tokio::spawn(async move { told_to_reload(&reloads).await });
            }
        }
    };
    let cancel = host.canceller();
    let mut stopping = std::pin::pin!(host.shutdown());
    let stopped = loop {
        tokio::select! {
            stopped = &mut stopping => break stopped,
            () = signals.next() => {
                tracing::warn!("told to stop again; what still runs is cancelled");
                cancel();
            }
        }
    };
    match (failure, stopped) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(Failure::failed(format!("{error:#}"))),
        (None, Ok(())) => Ok(Exit::Done),
    }
}

/// Looks at everything, and says what that changed. What is wrong with the file is told when it is
/// read.
async fn told_to_reload(reloads: &Handle) {
    match reloads.reload().await {
        Ok(reloaded) => {
            let Total { add, change, park, .. } = reloaded.preview.total();
            tracing::info!(add, change, park, "told by SIGHUP to look at everything");
        }
        Err(error) => tracing::warn!("told by SIGHUP to look at everything: {error}"),
    }
}

/// Lets the process have as many files open as the system lets it: runs count theirs themselves.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the process keeps its limit of open files");
    }
}

/// Prints the summary; line by line into the log where a program reads it.
fn tell(summary: &str, format: LogFormat) {
    match format {
        LogFormat::Human => note(summary),
        LogFormat::Json => summary.lines().for_each(|line| tracing::info!("{line}")),
    }
}

/// What tells the host to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Until it is to stop.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::failed(format!("can't wait for signals: {error}")))
}
