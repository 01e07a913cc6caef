//! `campanile:job/jobs`: jobs and runs of the run's own tenant.

use std::time::Duration;

use crate::engine::bindings::campanile::job::jobs;
use crate::engine::guest::Guest;
use crate::engine::services::JobCall;
use crate::run::usage::Effect;

/// Calls that one attempt may make.
const MAX_CALLS: u32 = 1_000;

impl Guest {
    /// Has the call carried out by the host, if the run may.
    async fn order(&mut self, what: &str, call: JobCall) -> Result<String, String> {
        if !self.granted.jobs {
            return Err(self.refuse(what, "jobs = true"));
        }
        let services = self.services()?;
        if self.job_calls >= MAX_CALLS {
            return Err(format!(
                "{what} is refused: one attempt may call `campanile:job/jobs` {MAX_CALLS} times; \
                 let what it starts do the rest"
            ));
        }
        if call.texts().any(|text| self.secrets.redactor().finds(text)) {
            return Err(format!(
                "{what} is refused: a secret stands in it, and would be kept with the job; grant \
                 it to that job by its `capabilities.secrets`"
            ));
        }
        self.job_calls += 1;
        self.meter.bytes_out(Effect::Jobs, call.texts().map(str::len).sum());
        services.order(call).await
    }
}

impl jobs::Host for Guest {
    async fn enqueue(
        &mut self,
        job: String,
        args: String,
        delay_ms: u64,
        idempotency_key: Option<String>,
    ) -> wasmtime::Result<Result<String, String>> {
        self.gate(Effect::Jobs)?;
        let what = format!("a run of job `{job}`");
        let delay = Duration::from_millis(delay_ms);
        Ok(self.order(&what, JobCall::Enqueue { job, args, delay, idempotency_key }).await)
    }

    async fn put(&mut self, definition: String) -> wasmtime::Result<Result<(), String>> {
        self.gate(Effect::Jobs)?;
        Ok(self.order("making a job", JobCall::Put(definition)).await.map(drop))
    }

    async fn pause(&mut self, job: String) -> wasmtime::Result<Result<(), String>> {
        self.gate(Effect::Jobs)?;
        Ok(self.order(&format!("pausing job `{job}`"), JobCall::Pause(job)).await.map(drop))
    }

    async fn resume(&mut self, job: String) -> wasmtime::Result<Result<(), String>> {
        self.gate(Effect::Jobs)?;
        Ok(self.order(&format!("resuming job `{job}`"), JobCall::Resume(job)).await.map(drop))
    }

    async fn remove(&mut self, job: String) -> wasmtime::Result<Result<(), String>> {
        self.gate(Effect::Jobs)?;
        Ok(self.order(&format!("removing job `{job}`"), JobCall::Remove(job)).await.map(drop))
    }
}

impl JobCall {
    /// What the guest says.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::Enqueue { job, args, idempotency_key, .. } => {
                [job.as_str(), args.as_str(), idempotency_key.as_deref().unwrap_or_default()]
            }
            Self::Put(text) | Self::Pause(text) | Self::Resume(text) | Self::Remove(text) => {
                [text.as_str(), "", ""]
            }
        };
        texts.into_iter()
    }
}
