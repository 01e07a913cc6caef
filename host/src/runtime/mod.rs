//! Builds a host from its configuration, starts its tasks in order, and stops them in order.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let config = campanile::config::load::load(None, std::path::Path::new("/srv/jobs"))?;
//! let host = campanile::runtime::Host::start(config).await?;
//! println!("{}", host.summary());
//! host.shutdown().await
//! # }
//! ```
//!
//! The scheduler has a thread of its own, guests a runtime of their own, one nice level lower, and
//! the API a third, so that neither a busy guest nor a slow client makes a fire late.

mod failure;
mod fleet;
mod guests;
mod news;
mod open;
mod roles;
mod runtimes;
mod session;
pub mod summary;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::api;
use crate::auditor::Auditor;
use crate::catalog::Catalog;
use crate::catalog::intake::Intake;
use crate::catalog::jobs::JobCache;
use crate::catalog::shelf::Shelf;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::services::{Desk, MAX_ORDERS};
use crate::executor::beat::{Beater, Beating};
use crate::executor::live::Live;
use crate::executor::{Executor, Stop};
use crate::lease::cell::SessionCell;
use crate::metrics::Metrics;
use crate::record::Role;
use crate::reloader::asked::{Handle, NotReloaded, Reloaded};
use crate::reloader::host_file::HostFile;
use crate::reloader::{Parts, Reloader};
use crate::scheduler::Scheduler;
use crate::scheduler::wake::Wake;
use crate::status::{SchedulerPause, Status};
use crate::store::Store;
use crate::store::measured::Measured;
use crate::tenants::remover::Remover;
use runtimes::Runtimes;

/// How long cancelled runs may take to end.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// A running host.
pub struct Host {
    store: Arc<dyn Store>,
    session: Arc<SessionCell>,
    beating: Option<Beating>,
    clock: SharedClock,
    catalog: watch::Receiver<Arc<Catalog>>,
    jobs: Arc<JobCache>,
    status: Arc<Status>,
    listen: Option<SocketAddr>,
    summary: String,
    config: watch::Receiver<Arc<Config>>,
    reload: Handle,
    wake: Arc<Wake>,
    stop_scheduler: Arc<AtomicBool>,
    scheduler: Option<std::thread::JoinHandle<()>>,
    reloader: Option<crate::reloader::looks::Running>,
    stop_executor: watch::Sender<Stop>,
    executor: Option<JoinHandle<()>>,
    stop_api: watch::Sender<bool>,
    failed: watch::Receiver<Option<String>>,
    runtimes: Option<Runtimes>,
}

impl Host {
    /// Starts a host with the machine's clock.
    ///
    /// # Errors
    ///
    /// What keeps it from starting, with what would help: a store that can't be opened, an address
    /// in use, a folder that can't be read.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_with_clock(config, Arc::new(SystemClock)).await
    }

    /// Starts a host that reads `clock`.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub async fn start_with_clock(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        Self::start_as(config, clock, None, None).await
    }

    /// Starts a host whose scheduler looks at nothing until somebody resumes it
    /// (`POST /v1/scheduler/resume`); then what came due is judged as after downtime.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub async fn start_paused(config: Config) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let pause = SchedulerPause {
            by: "host".to_owned(),
            why: "it was started paused".to_owned(),
            since: clock.now(),
        };
        Self::start_as(config, clock, Some(pause), None).await
    }

    /// Starts a host on a store that the caller has opened, whatever `store` of the configuration
    /// says.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub async fn start_on(config: Config, store: Arc<dyn Store>) -> anyhow::Result<Self> {
        Self::start_as(config, Arc::new(SystemClock), None, Some(store)).await
    }

    async fn start_as(
        config: Config,
        clock: SharedClock,
        pause: Option<SchedulerPause>,
        store: Option<Arc<dyn Store>>,
    ) -> anyhow::Result<Self> {
        let store = match store {
            Some(store) => store,
            None => open::store(&config).await?,
        };
        // Before anything that takes time: what is written from now on is read again.
        let host_file = HostFile::new(&config, clock.now());
        let metrics = Arc::new(Metrics::default());
        let measured = Arc::new(Measured::new(store, Arc::clone(&metrics)));
        let store: Arc<dyn Store> = Arc::<Measured>::clone(&measured);
        let doors = open::doors(&config)?;
        let listener = open::listener(&config)?;
        let listen = listener.as_ref().map(|(_, listen)| *listen);
        let engine =
            Engine::new(open::settings(&config, &clock)).context("the sandbox can't start")?;
        let name = open::host_name();
        let info = roles::info(&config, &name);
        let queues = Arc::new(info.queues.clone());
        let (catalog_sender, catalog) = watch::channel(Arc::new(Catalog::default()));
        let (status, live) = (Arc::new(Status::default()), Arc::new(Live::default()));
        let (config_sender, live_config) = watch::channel(Arc::new(config.clone()));
        let slots = roles::slots(&live_config, &catalog);
        let (claims_sender, claims) = mpsc::channel(config.executor.max_running);
        let session = session::open(store.as_ref(), &config, info.clone(), &clock).await?;
        // At once: loading plugins may take longer than a host may be silent.
        let beater = Beater {
            store: Arc::clone(&store),
            session: Arc::clone(&session),
            clock: Arc::clone(&clock),
            live: Arc::clone(&live),
            slots: slots.clone(),
            claims: claims_sender.clone(),
            status: Arc::clone(&status),
            catalog: catalog.clone(),
            info,
        };
        let beating = Some(beater.start().context("the beat's thread can't start")?);

        let wake = Arc::new(Wake::default());
        let shelf = Shelf::new(Arc::clone(&store), config.versions_dir());
        let (engine_, clock_) = (Arc::clone(&engine), Arc::clone(&clock));
        let intake = Intake::new(engine_, shelf, clock_, live_config.clone(), Arc::clone(&metrics));
        let mut reloader = Reloader::new(Parts {
            config: config_sender,
            host_file,
            intake: Arc::clone(&intake),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            catalog: catalog_sender,
            wake: Arc::clone(&wake),
            session: Arc::clone(&session),
            status: Arc::clone(&status),
            metrics: Arc::clone(&metrics),
        });
        let reload = reloader.handle();
        let unscheduled = reloader.load_all().await?;

        let (fleet, sight) = fleet::fleet(&store, &session, catalog.clone(), &queues)
            .await
            .context("looking for other hosts")?;
        let jobs = Arc::new(JobCache::default());
        let kept_pause = api::pause::kept(store.as_ref()).await.context("the scheduler")?;
        if let Some(pause) = kept_pause.or(pause) {
            warn!(by = %pause.by, why = %pause.why, since = %pause.since,
                "the scheduler is paused; `host resume --all` lets it go on");
            status.set_paused(Some(pause));
        }
        let runtimes = Runtimes::new()?;
        let (stop_executor, executor_stop) = watch::channel(Stop::No);
        let (orders_sender, orders) = mpsc::channel(MAX_ORDERS);
        let executor = Executor {
            store: Arc::clone(&store),
            session: Arc::clone(&session),
            engine,
            catalog: catalog.clone(),
            intake: Some(Arc::clone(&intake)),
            jobs: Arc::clone(&jobs),
            clock: Arc::clone(&clock),
            slots: slots.clone(),
            status: Arc::clone(&status),
            live,
            queues: Arc::clone(&queues),
            config: live_config.clone(),
            desk: Arc::new(
                Desk::new(Arc::clone(&store), Arc::clone(&clock), orders_sender)
                    .with_quotas(live_config.clone()),
            ),
        };
        let (failed_sender, failed) = watch::channel(None);
        let executor = runtimes
            .guests
            .as_ref()
            .map(|guests| guests.spawn(executor.run(claims, executor_stop)));

        let stop_scheduler = Arc::new(AtomicBool::new(false));
        let scheduler = Scheduler {
            store: Arc::clone(&store),
            session: Arc::clone(&session),
            clock: Arc::clone(&clock),
            jobs: Arc::clone(&jobs),
            fleet: fleet.clone(),
            slots,
            queues,
            claims: claims_sender,
            status: Arc::clone(&status),
            wake: Arc::clone(&wake),
            stop: Arc::clone(&stop_scheduler),
        };
        let schedules = config.roles.contains(&Role::Scheduler);
        let scheduler = match schedules {
            true => Some(roles::scheduler(scheduler, failed_sender.clone())?),
            false => {
                status.set_no_scheduler();
                None
            }
        };

        let (stop_api, api_stop) = watch::channel(false);
        let context = api::Context {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            catalog: catalog.clone(),
            intake: Some(intake),
            fleet,
            jobs: Arc::clone(&jobs),
            config: live_config.clone(),
            status: Arc::clone(&status),
            host: name,
            metrics,
            session: Some(Arc::clone(&session)),
            reload: Some(reload.clone()),
            listen: listen.unwrap_or(config.api.listen),
            access: doors.access,
        };
        if let Some(runtime) = &runtimes.guests {
            runtime.spawn(api::guests::serve(context.clone(), orders));
        }
        if let (Some(runtime), Some((listener, _))) = (&runtimes.api, listener) {
            let keeper =
                doors.keeper.keep(Arc::clone(&store), Arc::clone(&clock), api_stop.clone());
            runtime.spawn(keeper);
            runtime.spawn(roles::api(listener, doors.tls, context, api_stop, failed_sender));
        }
        if let (Some(runtime), Some(sight)) = (&runtimes.api, sight) {
            runtime.spawn(sight.keep());
        }
        if let Some(runtime) = &runtimes.api {
            let remover = Remover {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                config: live_config.clone(),
                session: Arc::clone(&session),
                shelf: Shelf::new(Arc::clone(&store), config.versions_dir()),
            };
            runtime.spawn(remover.run(stop_api.subscribe()));
        }
        if let (Some(runtime), true) = (&runtimes.api, schedules) {
            let auditor = Auditor {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                jobs: Arc::clone(&jobs),
                status: Arc::clone(&status),
            };
            runtime.spawn(auditor.run(stop_api.subscribe()));
            runtime.spawn(measured.look_after());
            runtime.spawn(news::wake_on_change(
                Arc::clone(&store),
                status.pauses(),
                Arc::clone(&wake),
            ));
        }

        let summary = summary::text(
            &live_config.borrow().clone(),
            store.as_ref(),
            &jobs,
            &catalog.borrow(),
            &unscheduled,
            listen,
        )
        .await
        .context("reading the jobs back")?;
        let reloader = Some(reloader.watch()?);
        Ok(Self {
            store,
            session,
            beating,
            clock,
            catalog,
            jobs,
            status,
            listen,
            summary,
            config: live_config,
            reload,
            wake,
            stop_scheduler,
            scheduler,
            reloader,
            stop_executor,
            executor,
            stop_api,
            failed,
            runtimes: Some(runtimes),
        })
    }

    /// Where the API listens; `None`: the host has no role `api`.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// What was found and started, for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Where schedules and runs are kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How its tasks are.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The plugins that are here now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// Jobs as values.
    pub fn jobs(&self) -> &Arc<JobCache> {
        &self.jobs
    }

    /// The configuration that counts now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// Looks at the file of configuration, at plugins and at the files beside them now; answers
    /// when all of it counts. They are looked at when they change, too.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, which changes nothing then; or the store did not take the jobs
    /// yet.
    pub async fn reload(&self) -> Result<Reloaded, NotReloaded> {
        self.reload.reload().await
    }

    /// Something that does the same wherever it is held.
    pub fn reloads(&self) -> Handle {
        self.reload.clone()
    }

    /// Waits until a task of the host has died, and says which.
    pub async fn failed(&self) -> anyhow::Error {
        let mut failed = self.failed.clone();
        let said = match failed.wait_for(Option::is_some).await {
            Ok(said) => said.clone(),
            Err(_) => None,
        };
        match said {
            Some(what) => anyhow::anyhow!("the host's {what} ended by itself"),
            None => std::future::pending().await,
        }
    }

    /// Something that cancels what still runs when it is called; a shutdown that waits for that
    /// goes on then.
    pub fn canceller(&self) -> impl Fn() + Send + 'static {
        let stop = self.stop_executor.clone();
        move || {
            stop.send_replace(Stop::Now);
        }
    }

    /// Stops in order: takes no more work, lets runs end for `executor.drain`, cancels the rest,
    /// hands back what had not started, closes the store.
    ///
    /// # Errors
    ///
    /// The store did not take the session's end; the next start finds what was left.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        let drain = self.config.borrow().executor.drain;
        info!(?drain, running = self.status.running(), "stopping");
        self.status.set_draining();
        drop(self.reloader.take());
        self.stop_scheduler.store(true, Ordering::Release);
        self.wake.call();
        if let Some(scheduler) = self.scheduler.take() {
            let joined = tokio::task::spawn_blocking(move || scheduler.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                warn!("the scheduler's thread had failed");
            }
        }
        self.stop_executor.send_if_modified(|stop| {
            let running = *stop == Stop::No;
            if running {
                *stop = Stop::Drain;
            }
            running
        });
        if let Some(mut executor) = self.executor.take()
            && tokio::time::timeout(drain, &mut executor).await.is_err()
        {
            warn!("runs did not end within `executor.drain`; they are cancelled");
            self.stop_executor.send_replace(Stop::Now);
            if tokio::time::timeout(CANCEL_TIME, executor).await.is_err() {
                warn!("cancelled runs did not end in time; they are left behind");
            }
        }
        self.stop_api.send_replace(true);
        // Until here the session was renewed, so that what still ran could end.
        drop(self.beating.take());
        let held = self.session.current();
        let detached = self.store.detach(&held.session, self.clock.now()).await;
        if let Some(runtimes) = self.runtimes.take() {
            runtimes.end().await;
        }
        info!("stopped");
        detached.context("ending the session")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop_scheduler.store(true, Ordering::Release);
        self.wake.call();
        self.stop_executor.send_replace(Stop::Now);
        self.stop_api.send_replace(true);
    }
}
