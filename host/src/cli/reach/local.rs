//! A store that no host is using, asked inside this process.

use std::sync::Arc;

use tokio::sync::watch;

use super::Answer;
use crate::api::Context;
use crate::api::access::Access;
use crate::api::in_process::InProcess;
use crate::catalog::Catalog;
use crate::catalog::fleet::Fleet;
use crate::catalog::jobs::JobCache;
use crate::cli::exit::Failure;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::status::Status;

/// A store and the routes over it.
pub struct Local {
    runtime: tokio::runtime::Runtime,
    api: InProcess,
}

impl Local {
    /// Opens the configured store to read it. Answers with its name for people, too.
    ///
    /// # Errors
    ///
    /// There is none, or it can't be read.
    pub(super) fn open(config: &Config) -> Result<(Self, String), Failure> {
        let listen = config.api.listen;
        let no_host = |why: &str| {
            Failure::failed(format!(
                "no host is running at {listen}, and {why}; start one with `host serve`, or name \
                 another with --url"
            ))
        };
        let runtime = crate::cli::runtime()?;
        let place = crate::cli::kept::place(&config.store);
        let store = match runtime.block_on(crate::cli::kept::open(&config.store)) {
            Ok(Some(store)) => store,
            Ok(None) => return Err(no_host(&format!("there is no store at {place} yet"))),
            Err(error) => {
                return Err(Failure::failed(format!("can't read the store {place}: {error}")));
            }
        };
        let config = runtime.block_on(crate::cli::kept::all(config.clone(), store.as_ref()));
        let config = config
            .map_err(|error| Failure::failed(format!("can't read the store {place}: {error}")))?;
        let catalog = watch::Sender::new(Arc::new(Catalog::default())).subscribe();
        let context = Context {
            store,
            clock: Arc::new(SystemClock),
            fleet: Fleet::alone(catalog.clone()),
            catalog,
            intake: None,
            jobs: Arc::new(JobCache::default()),
            config: watch::Sender::new(Arc::new(config)).subscribe(),
            status: Arc::new(Status::default()),
            host: String::new(),
            metrics: Arc::default(),
            session: None,
            reload: None,
            listen,
            access: Access::Local,
        };
        Ok((Self { runtime, api: InProcess::new(context) }, place))
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let (status, body) = self.runtime.block_on(self.api.get(path)).map_err(Failure::failed)?;
        Ok(Answer { status, body })
    }
}
