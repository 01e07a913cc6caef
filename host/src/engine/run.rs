//! One attempt: a fresh instance, one call, under all limits, and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::bindings::JobPre;
use super::bindings::exports::campanile::job::guest::{Cause, Failure, Handler, Invocation};
use super::control::Control;
use super::cpu::CpuMeter;
use super::gate::{self, Gate};
use super::guest::Guest;
use super::log::Log;
use super::plugin::Plugin;
use super::{Engine, Metering};
use crate::job::{Capabilities, Limits};
use crate::lease::Lapsed;
use crate::run::outcome::{Outcome, RunError, Usage};
use crate::time::Timestamp;

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

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// In a word.
    pub outcome: Outcome,
    /// What it returned.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<RunError>,
    /// What it used.
    pub usage: Usage,
}

/// Why a call ended.
enum End {
    Returned(Result<String, Failure>),
    Broke(wasmtime::Error),
    TimedOut,
    Cancelled(String),
    /// Its host's session is over.
    HandedOn,
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
            let message = over_limit("arguments", request.args.len() as u64, limits.args, "args");
            return Ok(Report::failed(Outcome::LimitExceeded, message, Usage::default()));
        }
        let metering =
            if limits.fuel.is_some() || limits.meter { Metering::On } else { Metering::Off };
        let pre = self.prepared(plugin, metering)?;
        let started = Instant::now();
        let deadline = started.checked_add(limits.timeout);
        let guest = Guest::new(
            &request.capabilities,
            limits.memory,
            Arc::clone(&request.config),
            Arc::clone(control),
            deadline,
        );
        let guest = match guest {
            Ok(guest) => guest,
            Err(message) => {
                return Ok(Report::failed(Outcome::Failed, message, Usage::default()));
            }
        };
        let mut store = self.store(metering, guest, limits.fuel)?;
        let cpu = Arc::new(AtomicU64::new(0));
        let invocation = invocation(request);
        let call = CpuMeter::new(
            async {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.campanile_job_guest().call_run(&mut store, &invocation).await
            },
            Arc::clone(&cpu),
        );
        let call = Gate::new(call, control.lease());
        let end = until_the_end(call, limits.timeout, control).await;
        let usage = Usage {
            wall_ms: millis(started.elapsed()),
            cpu_ms: cpu.load(Ordering::Relaxed) / 1_000_000,
            fuel: fuel_used(&store, metering, limits.fuel),
            peak_memory_bytes: store.data().memory.peak_bytes(),
            host_calls: store.data().host_calls,
        };
        judge(end, &store, &limits, usage, control.log())
    }

    /// Asks a plugin for its handlers, in an instance that may use nothing.
    ///
    /// Answers with the rest of a sentence when it can't: "trapped: ...".
    pub(super) async fn call_describe(
        &self,
        pre: &JobPre<Guest>,
        timeout: Duration,
        memory: u64,
    ) -> Result<Vec<Handler>, String> {
        let log = Log::new(16 * 1024, Arc::clone(&self.settings.clock));
        let control = Arc::new(Control::new(log));
        let guest = Guest::new(
            &Capabilities::default(),
            memory,
            Arc::new(BTreeMap::new()),
            Arc::clone(&control),
            None,
        )?;
        let store = self.store(Metering::Off, guest, None);
        let mut store = store.map_err(|error| format!("could not be called: {error:#}"))?;
        let call = async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.campanile_job_guest().call_describe(&mut store).await
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(handlers)) => Ok(handlers),
            Ok(Err(error)) => {
                let said = control.log().last_stderr();
                let said = said.map(|line| format!(" ({line})")).unwrap_or_default();
                Err(format!("trapped: {}{said}", cause(&error)))
            }
            Err(_) => Err(format!("took longer than {timeout:?}")),
        }
    }

    fn store(
        &self,
        metering: Metering,
        guest: Guest,
        fuel: Option<u64>,
    ) -> anyhow::Result<Store<Guest>> {
        let lease = Arc::clone(guest.control.lease());
        let mut store = Store::new(&self.variant(metering)?.engine, guest);
        gate::guard(&mut store, &lease);
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        if metering == Metering::On {
            store.set_fuel(fuel.unwrap_or(u64::MAX))?;
        }
        Ok(store)
    }
}

impl Report {
    fn failed(outcome: Outcome, message: String, usage: Usage) -> Self {
        let error = Some(RunError { message, retryable: false });
        Self { outcome, result: None, error, usage }
    }
}

/// Polls the call until it ends, its time is up, or somebody wants it stopped. Dropping the call
/// ends the guest wherever it is: it yields at each epoch tick.
async fn until_the_end(
    call: impl Future<Output = wasmtime::Result<Result<String, Failure>>>,
    timeout: Duration,
    control: &Control,
) -> End {
    tokio::select! {
        biased;
        why = control.wait_cancelled() => End::Cancelled(why),
        () = control.lease().over() => End::HandedOn,
        ended = tokio::time::timeout(timeout, call) => match ended {
            Ok(Ok(returned)) => End::Returned(returned),
            Ok(Err(error)) => End::Broke(error),
            Err(_) => End::TimedOut,
        },
    }
}

fn judge(
    end: End,
    store: &Store<Guest>,
    limits: &Limits,
    usage: Usage,
    log: &Log,
) -> anyhow::Result<Report> {
    let refused = store.data().memory.refused();
    let failed = |outcome, message| Ok(Report::failed(outcome, message, usage));
    match end {
        End::Cancelled(why) => failed(Outcome::Cancelled, why),
        End::HandedOn => failed(Outcome::Abandoned, "another host has taken it over".to_owned()),
        End::TimedOut => failed(
            Outcome::TimedOut,
            format!("it ran past its limit of {:?}; `limits.timeout` raises it", limits.timeout),
        ),
        End::Returned(Ok(result)) => {
            if result.len() as u64 > limits.result {
                let message = over_limit("result", result.len() as u64, limits.result, "result");
                return failed(Outcome::LimitExceeded, message);
            }
            match serde_json::from_str(&result) {
                Ok(result) => {
                    Ok(Report { outcome: Outcome::Succeeded, result, error: None, usage })
                }
                Err(error) => failed(
                    Outcome::Failed,
                    format!("its result is not JSON ({error}); return JSON text, or `null`"),
                ),
            }
        }
        End::Returned(Err(failure)) => {
            let (message, retryable) = match failure {
                Failure::Retryable(message) => (message, true),
                Failure::Permanent(message) => (message, false),
            };
            let message = bounded(message, limits.result);
            if refused {
                return failed(Outcome::OutOfMemory, out_of_memory(limits, &message));
            }
            let error = Some(RunError { message, retryable });
            Ok(Report { outcome: Outcome::Failed, result: None, error, usage })
        }
        End::Broke(error) if error.is::<Lapsed>() => failed(Outcome::Abandoned, cause(&error)),
        End::Broke(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            Err(anyhow::anyhow!("no instance is free: {error:#}"))
        }
        End::Broke(error) => {
            let said = log.last_stderr();
            let said = said.map(|line| format!(" ({line})")).unwrap_or_default();
            if let Some(Trap::OutOfFuel) = error.downcast_ref::<Trap>() {
                let fuel = limits.fuel.unwrap_or(u64::MAX);
                return failed(
                    Outcome::OutOfFuel,
                    format!("it used up its fuel of {fuel}; `limits.fuel` raises it"),
                );
            }
            if refused {
                return failed(Outcome::OutOfMemory, out_of_memory(limits, &cause(&error)));
            }
            if error.is::<I32Exit>() {
                return failed(
                    Outcome::Failed,
                    "it called `exit` instead of returning from `run`".to_owned(),
                );
            }
            failed(Outcome::Trapped, format!("{}{said}", cause(&error)))
        }
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

/// The innermost error: what happened, without the path of frames that led to it.
fn cause(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

fn out_of_memory(limits: &Limits, then: &str) -> String {
    format!(
        "it wanted more than its {} of memory, then: {then}; `limits.memory` raises it",
        bytesize::ByteSize::b(limits.memory).display().iec()
    )
}

fn over_limit(what: &str, size: u64, limit: u64, key: &str) -> String {
    format!("its {what} of {size} bytes is over the limit of {limit}; `limits.{key}` raises it")
}

fn bounded(mut text: String, limit: u64) -> String {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    text
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
