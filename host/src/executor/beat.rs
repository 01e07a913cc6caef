//! The beat of a host: on a thread of its own it renews the session, however busy guests are, tells
//! how far they are, hears who is to be cancelled and which other hosts are dead.
//!
//! ```text
//! beat --Ok--> the lease is renewed; cancels; runs held unknowingly are adopted; dead peers reaped
//!      --Fenced--> the session is over: nothing of it goes on, a new one is opened
//!      --no answer--> guests rest when the lease's time has come, until a beat succeeds
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::Claimed;
use super::follow::{After, Follower};
use super::live::Live;
use super::slots::Slots;
use crate::catalog::Catalog;
use crate::clock::SharedClock;
use crate::engine::log::Log;
use crate::lease::boot;
use crate::lease::cell::{Held, SessionCell};
use crate::lease::observer::Observer;
use crate::record::HostInfo;
use crate::record::step::{Beat, Pulse, Reaped, RunProgress};
use crate::run::RunKey;
use crate::run::id::Fence;
use crate::status::{Asker, Status};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// How often what guests wrote is appended to their logs.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What a host's beat needs. Its fields are its whole surface.
pub struct Beater {
    /// Where the session is.
    pub store: Arc<dyn Store>,
    /// The session, renewed here and opened anew when it is over.
    pub session: Arc<SessionCell>,
    /// What time it is.
    pub clock: SharedClock,
    /// What is under way.
    pub live: Arc<Live>,
    /// Slots for runs that are adopted.
    pub slots: Slots,
    /// Where adopted runs go; nobody adopts when it is closed.
    pub claims: mpsc::Sender<Claimed>,
    /// How many runs are under way.
    pub status: Arc<Status>,
    /// The plugins that are here.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// What the host said of itself when it opened the session.
    pub info: HostInfo,
}

/// A host that beats. Stops when it is dropped; the session stays open.
pub struct Beating {
    stop: Option<watch::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Beater {
    /// Beats on a thread of its own from now on.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn start(self) -> std::io::Result<Beating> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, mut stopped) = watch::channel(());
        let beats = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = self.run() => (),
                    // The other end is dropped.
                    _ = stopped.changed() => (),
                }
            });
        };
        let thread = std::thread::Builder::new().name("beat".to_owned()).spawn(beats)?;
        Ok(Beating { stop: Some(stop), thread: Some(thread) })
    }

    async fn run(self) {
        let (after, follow) = mpsc::channel(1);
        let follower = Follower {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            live: Arc::clone(&self.live),
            slots: self.slots.clone(),
            claims: self.claims.clone(),
        };
        // A slow log or a slow take-over must not make a beat late.
        tokio::join!(self.beats(after), self.logs(), follower.run(follow));
    }

    async fn beats(&self, after: mpsc::Sender<After>) {
        let term = self.session.term();
        let mut observer = Observer::new(term);
        let mut said = self.info.clone();
        let mut rests = false;
        loop {
            tokio::time::sleep(term.beat()).await;
            let held = self.session.current();
            if held.lease.is_over() {
                self.reopen(&mut said).await;
                continue;
            }
            let sent = boot::now();
            match self.beat(&held, &mut said).await {
                Ok(beat) => {
                    self.session.renewed(&held, sent);
                    if std::mem::take(&mut rests) {
                        info!("the store answers again; guests go on");
                    }
                    for (run, why) in &beat.cancels {
                        debug!(%run, "is to be cancelled");
                        self.live.cancel(run, why);
                    }
                    self.status.store_works(Asker::Session);
                    let dead = observer.look(boot::now(), &beat.peers);
                    // While the last one is still followed this one is not: the next one says the
                    // same.
                    let _ = after.try_send(After { held, runs: beat.held, dead });
                }
                Err(StoreError::Fenced) => {
                    warn!(
                        "this host was silent for too long and its session was ended; what ran \
                        here was handed on"
                    );
                    held.lease.end();
                    self.reopen(&mut said).await;
                }
                Err(error) => {
                    let so = "the store did not take the heartbeat";
                    self.status.store_failed(Asker::Session, &error, so);
                }
            }
            let held = self.session.current();
            if !rests && !held.lease.is_over() && !held.lease.holds() {
                rests = true;
                warn!("guests rest until the store answers: others may take their runs over soon");
            }
        }
    }

    async fn beat(&self, held: &Held, said: &mut HostInfo) -> Result<Beat> {
        let info = self.info();
        let news = (info != *said).then(|| info.clone());
        let pulse = Pulse { progress: self.progress(), info: news };
        let beat = self.store.beat(&held.session, pulse, self.clock.now());
        let beat = self.in_time(beat).await?;
        *said = info;
        Ok(beat)
    }

    /// Opens a session in the place of one that is over.
    async fn reopen(&self, said: &mut HostInfo) {
        let info = self.info();
        let sent = boot::now();
        match self.in_time(self.store.attach(info.clone(), self.clock.now())).await {
            Ok(attached) => {
                info!(session = %attached.session.id, "a new session was opened");
                self.status.store_works(Asker::Session);
                self.session.replace(attached.session, sent);
                *said = info;
                tell(&attached.reaped);
            }
            Err(error) => {
                let so = "no new session could be opened; trying again soon";
                self.status.store_failed(Asker::Session, &error, so);
            }
        }
    }

    /// Waits for an answer for no longer than it is worth.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.session.term().patience() {
            None => call.await,
            Some(patience) => tokio::time::timeout(patience, call).await.unwrap_or_else(|_| {
                Err(StoreError::Unknown(format!("no answer within {patience:?}")))
            }),
        }
    }

    /// What the host says of itself now.
    fn info(&self) -> HostInfo {
        let plugins = self.catalog.borrow().digests();
        HostInfo { plugins, running: self.status.running(), ..self.info.clone() }
    }

    /// How far guests say they are.
    fn progress(&self) -> Vec<RunProgress> {
        let running = self.live.running().into_iter();
        let said = running.filter_map(|(run, fence, control)| {
            Some(RunProgress { run, fence, progress: control.progress()? })
        });
        said.collect()
    }

    /// Appends what guests wrote to their logs, over and over.
    async fn logs(&self) {
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            for (run, fence, control) in self.live.running() {
                self.flush_log(&run, fence, control.log()).await;
            }
        }
    }

    /// Appends what is final of a log. Piece by piece, so that no fire waits for all of it.
    async fn flush_log(&self, run: &RunKey, fence: Fence, log: &Log) {
        loop {
            let lines = log.take_ready();
            if lines.is_empty() {
                return;
            }
            match self.store.log_append(run, fence, lines.clone()).await {
                Ok(()) => (),
                Err(StoreError::Unavailable(_)) => {
                    log.put_back(lines);
                    return;
                }
                Err(error) => warn!(%run, %error, "lines of its log may be missing"),
            }
        }
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Says what became of the runs of a host that died.
pub fn tell(reaped: &Reaped) {
    for run in &reaped.rescued {
        warn!(%run, "was interrupted when its host died; it runs again");
    }
    for run in &reaped.abandoned {
        warn!(%run, "was interrupted when its host died; it is abandoned");
    }
}
