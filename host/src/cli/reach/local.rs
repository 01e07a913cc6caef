//! A store that no host is using, asked inside this process.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::Answer;
use crate::api::{self, Context};
use crate::catalog::Catalog;
use crate::catalog::jobs::JobCache;
use crate::cli::exit::Failure;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::store::StoreAddress;
use crate::status::Status;
use crate::store::embedded::EmbeddedStore;

/// A store and the routes over it.
pub struct Local {
    runtime: tokio::runtime::Runtime,
    router: Router,
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
        let path = match &config.store {
            StoreAddress::Memory => return Err(no_host("its store was in memory")),
            StoreAddress::Sqlite { path } => path,
        };
        let place = format!("`{}`", path.display());
        if !path.exists() {
            return Err(no_host(&format!("there is no store at {place} yet")));
        }
        let store = EmbeddedStore::open_read_only(path)
            .map_err(|error| Failure::failed(format!("can't read the store {place}: {error}")))?;
        let context = Context {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            catalog: watch::Sender::new(Arc::new(Catalog::default())).subscribe(),
            jobs: Arc::new(JobCache::default()),
            status: Arc::new(Status::default()),
            host: String::new(),
            listen,
        };
        // Its sender is gone at once: nothing in here waits.
        let stop = watch::Sender::new(true).subscribe();
        let runtime = crate::cli::runtime()?;
        Ok((Self { runtime, router: api::router(context, stop) }, place))
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let request = Request::get(path)
            .header(header::HOST, "localhost")
            .body(Body::empty())
            .map_err(Failure::usage)?;
        let service = TowerToHyperService::new(self.router.clone());
        self.runtime.block_on(async {
            let Ok(response) = service.call(request).await;
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            let body = body.map_err(Failure::failed)?.to_vec();
            Ok(Answer { status, body })
        })
    }
}
