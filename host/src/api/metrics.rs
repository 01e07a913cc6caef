//! `GET /metrics`: what the host counts, for Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::error::{ApiError, Kind};
use super::{App, Context};
use crate::metrics::{CONTENT_TYPE, Snapshot};

/// A store that says nothing for so long does not answer.
const STORE_ANSWER: Duration = Duration::from_secs(2);

/// All of it as text. A store that does not answer is told as such, and the rest all the same.
pub async fn show(State(app): State<App>) -> Result<Response, ApiError> {
    let context = &app.context;
    let waiting = tokio::time::timeout(STORE_ANSWER, waiting(context)).await.unwrap_or_else(|_| {
        context.metrics.store_answers(false);
        None
    });
    let snapshot = Snapshot {
        now: context.clock.now(),
        running: context.status.running(),
        waiting,
        unserved: context.status.unserved(),
        ledger_alarms: context.status.faults() as u64,
        passes: context.status.passes(),
    };
    let text = context.metrics.text(&snapshot).map_err(|error| {
        ApiError::new(Kind::Broken, format!("the metrics can't be written: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Runs of the store that are live and run on no host, as far as the hosts have said.
async fn waiting(context: &Context) -> Option<u64> {
    let health = context.store.health().await.ok()?;
    let elsewhere = match context.store.caps().shared {
        true => {
            let hosts = context.store.hosts().await.ok()?;
            let own = context.session.as_ref().map(|cell| cell.current().session.id);
            let others = hosts.iter().filter(|host| Some(host.session.id) != own);
            others.map(|host| host.info.running).sum()
        }
        false => 0,
    };
    Some(health.live_runs.saturating_sub(context.status.running()).saturating_sub(elsewhere))
}
