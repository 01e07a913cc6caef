//! The routes without a listener, for whoever asks from within the same process.

use axum::Router;
use axum::body::Body;
use http::{Request, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{Context, router};

/// The API of one store, asked by calls.
pub struct InProcess {
    router: Router,
}

impl InProcess {
    /// The routes over `context`. Nothing in them waits for news: `?follow` and `?wait` end at once.
    pub fn new(context: Context) -> Self {
        // The sender is gone at once, as if the host were stopping.
        let stop = watch::Sender::new(true).subscribe();
        Self { router: router(context, stop) }
    }

    /// Asks for a path; answers the status and the body.
    ///
    /// # Errors
    ///
    /// The path is none, or the body broke off.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = Request::get(path).header(header::HOST, "localhost").body(Body::empty())?;
        let Ok(response) = TowerToHyperService::new(self.router.clone()).call(request).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await?;
        Ok((status, body.to_vec()))
    }
}
