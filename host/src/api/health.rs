//! Whether the host is alive, and whether it does its work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::error::{ApiError, Kind};
use crate::problem::Problem;

/// A store that says nothing for so long does not work.
const STORE_ANSWER: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// `GET /readyz`: the scheduler looks, the store works, nothing is overdue. A scheduler
/// that somebody paused is ready, and says so.
pub async fn ready(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let context = &app.context;
    let mut problems = context.status.problems(context.clock.now());
    match tokio::time::timeout(STORE_ANSWER, context.store.health()).await {
        Ok(Ok(health)) if health.ok => (),
        Ok(Ok(health)) => {
            let problem = health.problem.unwrap_or_else(|| "it takes no writes".to_owned());
            problems.push(format!("store: {problem}"));
        }
        Ok(Err(error)) => problems.push(format!("store: {error}")),
        Err(_) => problems.push(format!("store: no answer within {STORE_ANSWER:?}")),
    }
    // Several tasks may have heard the same.
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    if problems.is_empty() {
        let running = context.status.running();
        let paused = context.status.paused();
        return Ok(Json(
            json!({"status": "ready", "host": context.host, "running": running, "paused": paused}),
        ));
    }
    let detail = problems.join("; ");
    let parts = problems.into_iter().map(|problem| Problem::new("", problem)).collect();
    Err(ApiError::new(Kind::NotReady, detail).with(parts))
}
