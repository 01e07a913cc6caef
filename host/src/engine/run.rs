//! One attempt: a fresh instance, one call, under all limits, and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Store, UpdateDeadline};

use super::bindings::JobPre;
use super::bindings::exports::campanile::job::guest::{Cause, Failure, Handler, Invocation};
use super::control::Control;
use super::cpu::{CpuMeter, Polled};
use super::ending::{End, HANDED_ON, Report, cause, judge};
use super::files::{self, Files};
use super::guest::Guest;
use super::hold::{self, Hold};
use super::log::Log;
use super::plugin::Plugin;
use super::{Engine, Metering};
use crate::job::bound::Bound;
use crate::job::capabilities::Capabilities;
use crate::job::limits::Limits;
use crate::lease::Lapsed;
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::table::unit::show_duration;
use crate::time::Timestamp;

/// What a call may hand over beside a result of the largest size: names, lists, messages.
const CALL_SLACK: u64 = 64 * 1024;

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
    /// What `wasi:config` answers.
    pub config: Arc<BTreeMap<String, String>>,
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
        request: Request,
        control: &Arc<Control>,
    ) -> anyhow::Result<Report> {
        let limits = request.limits.clone();
        if request.args.len() as u64 > limits.args {
            return Ok(Report::too_many_args(request.args.len(), &limits));
        }
        let metering =
            if limits.fuel.is_some() || limits.meter { Metering::On } else { Metering::Off };
        let pre = self.prepared(plugin, metering)?;
        let started = Instant::now();
        let deadline = started.checked_add(limits.timeout);
        let files = match self.granted_folders(&request.capabilities, &limits, control).await {
            Ok(files) => files,
            Err((outcome, message)) => {
                let wall_ms = millis(started.elapsed());
                let usage = Usage { wall_ms, waited_ms: wall_ms, ..Usage::default() };
                return Ok(Report::failed(outcome, message, usage));
            }
        };
        let guest = Guest::new(
            &request.capabilities,
            files,
            &limits,
            Arc::clone(&request.config),
            Arc::clone(control),
            deadline,
        );
        let mut store = self.store(metering, guest, &limits)?;
        let polled = Arc::new(Polled::default());
        let invocation = invocation(request);
        let call = CpuMeter::new(
            async {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.campanile_job_guest().call_run(&mut store, &invocation).await
            },
            Arc::clone(&polled),
        );
        let call = Hold::new(call, control.lease());
        let end = until_the_end(call, &limits, control).await;
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
        judge(end, &store, &limits, usage, control.log())
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
        let config = Arc::new(BTreeMap::new());
        let guest =
            Guest::new(&nothing, Files::default(), limits, config, Arc::clone(&control), None);
        let store = self.store(Metering::Off, guest, limits);
        let mut store = store.map_err(|error| format!("could not be called: {error:#}"))?;
        let call = async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.campanile_job_guest().call_describe(&mut store).await
        };
        match tokio::time::timeout(limits.timeout, call).await {
            Ok(Ok(handlers)) => Ok(handlers),
            Ok(Err(error)) => {
                let said = control.log().last_stderr();
                let said = said.map(|line| format!(" ({line})")).unwrap_or_default();
                Err(format!("trapped: {}{said}", cause(&error)))
            }
            Err(_) => Err(format!("took longer than {:?}", limits.timeout)),
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
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        if metering == Metering::On {
            store.set_fuel(limits.fuel.unwrap_or(u64::MAX))?;
        }
        Ok(store)
    }
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
