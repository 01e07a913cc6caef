//! One attempt: a fresh instance, one call, under all limits, and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Store, UpdateDeadline};

use super::bindings::JobPre;
use super::bindings::exports::campanile::job::guest::{Cause, Failure, Handler, Invocation};
use super::budget::{Burnt, FUEL_STEP, Frugal};
use super::control::Control;
use super::cpu::{CpuMeter, Polled};
use super::ending::{End, HANDED_ON, Report, broken, judge};
use super::files::{self, Files};
use super::guest::{Guest, Surroundings};
use super::hold::{self, Hold};
use super::log::Log;
use super::plugin::Plugin;
use super::services::Services;
use super::{Engine, Metering};
use crate::job::bound::Bound;
use crate::job::capabilities::Capabilities;
use crate::job::limits::Limits;
use crate::lease::Lapsed;
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::secrets::Secrets;
use crate::table::unit::show_duration;
use crate::time::Timestamp;

/// What a call may hand over beside a result of the largest size: names, lists, messages.
const CALL_SLACK: u64 = 64 * 1024;

/// How long a run waits at most for word that an instance is free, before it looks by itself.
const ROOM_POLL: Duration = Duration::from_millis(100);

/// What a run hands to its guest and may use.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tenant's name.
    pub tenant: String,
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// The handler to call.
    pub handler: String,
    /// Why the run was made.
    pub cause: crate::run::Cause,
    /// The instant that the trigger asked for.
    pub fire_time: Timestamp,
    /// When the job last succeeded.
    pub previous_success: Option<Timestamp>,
    /// 1 for the first.
    pub attempt: u32,
    /// The fencing token.
    pub fence: u64,
    /// Fire times that it stands for.
    pub covers: u64,
    /// JSON text.
    pub args: String,
    /// What it may use.
    pub limits: Limits,
    /// What it may touch.
    pub capabilities: Capabilities,
    /// What `wasi:config` answers beside the secrets.
    pub config: Arc<BTreeMap<String, String>>,
    /// The secrets that it was granted.
    pub secrets: Arc<Secrets>,
    /// The host around it; `None`: it has neither buckets nor other jobs.
    pub services: Option<Services>,
}

impl Engine {
    /// Runs a handler once in a fresh instance.
    ///
    /// # Errors
    ///
    /// The host could not do it: its pool is used up, code can't be made. The guest is not to blame.
    pub async fn run(
        &self,
        plugin: &Plugin,
        mut request: Request,
        control: &Arc<Control>,
    ) -> anyhow::Result<Report> {
        let limits = request.limits.clone();
        if request.args.len() as u64 > limits.args {
            return Ok(Report::too_many_args(request.args.len(), &limits));
        }
        let metering =
            if limits.fuel.is_some() || limits.meter { Metering::On } else { Metering::Off };
        let entry = self.prepared(plugin, metering).await?;
        let start = entry.start(&request);
        let capabilities = std::mem::take(&mut request.capabilities);
        let (config, secrets) = (Arc::clone(&request.config), Arc::clone(&request.secrets));
        let services = request.services.take();
        let invocation = invocation(request);
        loop {
            let started = Instant::now();
            let deadline = started.checked_add(limits.timeout);
            let files = match self.granted_folders(&capabilities, &limits, control).await {
                Ok(files) => files,
                Err((outcome, message)) => {
                    let wall_ms = millis(started.elapsed());
                    let usage = Usage { wall_ms, waited_ms: wall_ms, ..Usage::default() };
                    return Ok(Report::failed(outcome, message, usage));
                }
            };
            let surroundings = Surroundings {
                granted: &capabilities,
                files,
                limits: &limits,
                config: Arc::clone(&config),
                start: start.as_ref(),
                net: &self.net,
                deadline,
            };
            let guest = Guest {
                secrets: Arc::clone(&secrets),
                services: services.clone(),
                ..Guest::new(surroundings, Arc::clone(control))
            };
            let burnt = Arc::new(Burnt::default());
            let mut store = self.store(metering, guest, &limits, &burnt)?;
            let polled = Arc::new(Polled::default());
            let call = CpuMeter::new(entry.call(&mut store, &invocation), Arc::clone(&polled));
            let call = Frugal::new(call, control.tab(), &polled, &burnt);
            let call = Hold::new(call, control.lease());
            let end = until_the_end(call, &limits, control).await.without(secrets.redactor());
            if matches!(&end, End::Broke(error) if no_room(error)) {
                drop(store);
                self.wait_for_room().await;
                continue;
            }
            let wall = started.elapsed();
            let guest = store.data();
            let usage = Usage {
                wall_ms: millis(wall),
                cpu_ms: millis(polled.cpu()),
                waited_ms: millis(wall.saturating_sub(polled.wall())),
                fuel: fuel_used(&store, metering, limits.fuel),
                peak_memory_bytes: guest.limiter.peak_bytes(),
                host_calls: guest.meter.calls(),
                io: guest.meter.uses(),
            };
            let report = judge(end, guest, &limits, usage).without(secrets.redactor());
            drop(store);
            self.freed.notify_one();
            return Ok(report);
        }
    }

    /// Waits until an instance may be free: the pool is full of others' parts, which is no guest's
    /// fault.
    async fn wait_for_room(&self) {
        // A look now and then, in case that word was given to somebody who did not need it.
        let _ = tokio::time::timeout(ROOM_POLL, self.freed.notified()).await;
    }

    /// Asks a plugin for its handlers, in an instance that may use nothing.
    ///
    /// Answers with the rest of a sentence when it can't: "trapped: ...".
    pub(super) async fn call_describe(
        &self,
        pre: &JobPre<Guest>,
        limits: &Limits,
    ) -> Result<Vec<Handler>, String> {
        let log = Log::new(limits.log, Arc::clone(&self.settings.clock));
        let control = Arc::new(Control::new(log));
        let nothing = Capabilities::default();
        loop {
            let surroundings = Surroundings {
                granted: &nothing,
                files: Files::default(),
                limits,
                config: Arc::new(BTreeMap::new()),
                start: None,
                net: &self.net,
                deadline: None,
            };
            let guest = Guest::new(surroundings, Arc::clone(&control));
            let store = self.store(Metering::Off, guest, limits, &Arc::default());
            let mut store = store.map_err(|error| format!("could not be called: {error:#}"))?;
            let call = async {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.campanile_job_guest().call_describe(&mut store).await
            };
            match tokio::time::timeout(limits.timeout, call).await {
                Ok(Ok(handlers)) => return Ok(handlers),
                Ok(Err(error)) if no_room(&error) => {
                    drop(store);
                    self.wait_for_room().await;
                }
                Ok(Err(error)) => return Err(broken(&error, &store, limits)),
                Err(_) => return Err(format!("took longer than {:?}", limits.timeout)),
            }
        }
    }

    /// Opens what was granted, on a thread that may wait: a disk may hang.
    async fn granted_folders(
        &self,
        granted: &Capabilities,
        limits: &Limits,
        control: &Control,
    ) -> Result<Files, (Outcome, String)> {
        if granted.dirs.is_empty() {
            return Ok(Files::default());
        }
        let dirs = granted.dirs.clone();
        let lane = self.lanes.enter(dirs.iter().map(|dir| dir.host.clone()).collect());
        let opened = lane.run(move || files::open_folders(&dirs));
        tokio::select! {
               biased;
               why = control.wait_cancelled() => Err((Outcome::Cancelled, why)),
               () = control.lease().over() => Err((Outcome::Abandoned, HANDED_ON.to_owned())),
               opened = tokio::time::timeout(limits.timeout, opened) => match opened {
                   Ok(Ok(opened)) => match opened {
        Ok(folders) => Ok(Files::new(folders, lane)),
        Err(message) => Err((Outcome::Failed, message)),
        },
                   Ok(Err(error)) => Err((Outcome::Failed, error.to_string())),
                   Err(_) => {
                       let message = format!(
                           "its granted folders were not opened within its limit of {}; look at the \
                            disks that `capabilities.dirs` leads to",
                           show_duration(limits.timeout)
                       );
                       Err((Outcome::TimedOut, message))
                   }
               },
           }
    }

    fn store(
        &self,
        metering: Metering,
        guest: Guest,
        limits: &Limits,
        burnt: &Arc<Burnt>,
    ) -> anyhow::Result<Store<Guest>> {
        let lease = Arc::clone(guest.control.lease());
        let mut store = Store::new(&self.variant(metering)?.engine, guest);
        hold::guard(&mut store, &lease);
        store.limiter(|guest| &mut guest.limiter);
        // A result is handed to the host like any argument, so it must fit.
        let largest = limits.bounds[Bound::CallBytes].max(limits.result.saturating_add(CALL_SLACK));
        store.set_hostcall_fuel(usize::try_from(largest).unwrap_or(usize::MAX));
        let handles = limits.bounds[Bound::Handles];
        store.set_max_component_handles(usize::try_from(handles).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        if metering == Metering::On {
            let (fuel, burnt) = (limits.fuel.unwrap_or(u64::MAX), Arc::clone(burnt));
            store.set_fuel(fuel)?;
            // Else what a loop burns is not seen until it ends.
            store.fuel_async_yield_interval(Some(FUEL_STEP))?;
            store.epoch_deadline_callback(move |guest| {
                let used = fuel.saturating_sub(guest.get_fuel()?);
                burnt.see(used);
                Ok(UpdateDeadline::Yield(1))
            });
        } else {
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        }
        Ok(store)
    }
}

/// Whether an instance could not be made because the pool has no room.
fn no_room(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::PoolConcurrencyLimitError>()
}

/// Polls the call until it ends, its time is up, or somebody wants it stopped. Dropping the call
/// ends the guest wherever it is: it yields at each epoch tick. A guest with a grace is asked first:
/// `cancelled` is true from then on.
async fn until_the_end(
    call: impl Future<Output = wasmtime::Result<Result<String, Failure>>>,
    limits: &Limits,
    control: &Control,
) -> End {
    let mut call = std::pin::pin!(call);
    let asked = tokio::select! {
        biased;
        why = control.wait_cancelled() => Some(why),
        () = control.lease().over() => return End::HandedOn,
        ended = tokio::time::timeout(limits.timeout, call.as_mut()) => match ended {
            Ok(Ok(returned)) => return End::Returned(returned),
            Ok(Err(error)) => return End::Broke(error),
            Err(_) => None,
        },
    };
    let own = if limits.grace.is_zero() {
        false
    } else {
        control.ask_to_end();
        tokio::select! {
            biased;
            () = control.lease().over() => return End::HandedOn,
            () = control.wait_forced() => false,
            ended = tokio::time::timeout(limits.grace, call) => match ended {
                Ok(Ok(_)) => true,
                Ok(Err(error)) if error.is::<Lapsed>() => return End::Broke(error),
                Ok(Err(_)) | Err(_) => false,
            },
        }
    };
    match asked {
        Some(why) => End::Cancelled(why),
        None => End::TimedOut { own },
    }
}

/// The request as the guest gets it.
pub(super) fn invocation(request: Request) -> Invocation {
    Invocation {
        tenant: request.tenant,
        job: request.job,
        run: request.run,
        handler: request.handler,
        cause: match request.cause {
            crate::run::Cause::Schedule => Cause::Schedule,
            crate::run::Cause::Manual => Cause::Manual,
            crate::run::Cause::Enqueued => Cause::Enqueued,
            crate::run::Cause::Backfill => Cause::Backfill,
        },
        fire_time_us: request.fire_time.micros(),
        previous_success_us: request.previous_success.map(Timestamp::micros),
        attempt: request.attempt,
        fence: request.fence,
        covers: u32::try_from(request.covers).unwrap_or(u32::MAX),
        args: request.args,
    }
}

fn fuel_used(store: &Store<Guest>, metering: Metering, limit: Option<u64>) -> Option<u64> {
    match metering {
        Metering::Off => None,
        Metering::On => {
            store.get_fuel().ok().map(|left| limit.unwrap_or(u64::MAX).saturating_sub(left))
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
