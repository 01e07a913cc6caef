//! The two kinds of plugin, and how each is called: a component of our world, and a program.

use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::bindings::JobPre;
use super::bindings::exports::campanile::job::guest::{Failure, Invocation};
use super::guest::Guest;
use super::run::Request;

/// A compiled component, linked, of one of the kinds.
#[derive(Clone)]
pub(super) enum Entry {
    /// It exports `campanile:job/guest`.
    Job(JobPre<Guest>),
    /// It exports `wasi:cli/run`.
    Program(CommandPre<Guest>),
}

/// What a program is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) argv: Vec<String>,
    pub(super) stdin: String,
    pub(super) env: Vec<(String, String)>,
}

impl Entry {
    /// The entry of a linked component that exports one.
    ///
    /// # Errors
    ///
    /// It exports neither as this host expects it.
    pub(super) fn new(pre: InstancePre<Guest>, program: bool) -> wasmtime::Result<Self> {
        if program {
            CommandPre::new(pre).map(Self::Program)
        } else {
            JobPre::new(pre).map(Self::Job)
        }
    }

    /// What a program is started with; a job gets its invocation instead.
    pub(super) fn start(&self, request: &Request) -> Option<Start> {
        match self {
            Self::Job(_) => None,
            Self::Program(_) => Some(Start::of(request)),
        }
    }

    /// Makes an instance and calls it once.
    ///
    /// # Errors
    ///
    /// It trapped, or could not be made.
    pub(super) async fn call(
        &self,
        store: &mut Store<Guest>,
        invocation: &Invocation,
    ) -> wasmtime::Result<Result<String, Failure>> {
        match self {
            Self::Job(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                instance.campanile_job_guest().call_run(store, invocation).await
            }
            Self::Program(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                let ended = instance.wasi_cli_run().call_run(&mut *store).await;
                program_ended(ended, store)
            }
        }
    }
}

/// A program ends in three ways: it returns well or badly, or it exits. WASI 0.2 keeps of an exit
/// code only whether it is 0.
fn program_ended(
    ended: wasmtime::Result<Result<(), ()>>,
    store: &Store<Guest>,
) -> wasmtime::Result<Result<String, Failure>> {
    let code = match ended {
        Ok(Ok(())) => 0,
        Ok(Err(())) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => *code,
            None => return Err(error),
        },
    };
    if code == 0 {
        return Ok(Ok("null".to_owned()));
    }
    let said = store.data().control.log().last_stderr();
    let said = said.map(|line| format!(": {line}")).unwrap_or_default();
    Ok(Err(Failure::Retryable(format!("it ended with a failure (exit code {code}){said}"))))
}

impl Start {
    /// `args` become arguments when they are a list of texts; as JSON they stand on standard input
    /// either way. Who is called, and why, is in the environment.
    fn of(request: &Request) -> Self {
        let mut argv = vec![request.job.clone()];
        if let Ok(Value::Array(items)) = serde_json::from_str(&request.args) {
            let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            argv.extend(texts.unwrap_or_default().into_iter().map(str::to_owned));
        }
        let variables = [
            ("CAMPANILE_TENANT", request.tenant.clone()),
            ("CAMPANILE_JOB", request.job.clone()),
            ("CAMPANILE_RUN", request.run.clone()),
            ("CAMPANILE_FIRE_TIME", request.fire_time.to_string()),
            ("CAMPANILE_ATTEMPT", request.attempt.to_string()),
            ("CAMPANILE_FENCE", request.fence.to_string()),
            ("CAMPANILE_CAUSE", request.cause.as_str().to_owned()),
        ];
        let env = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { argv, stdin: request.args.clone(), env }
    }
}
