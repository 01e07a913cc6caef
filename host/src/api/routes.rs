//! Which path leads where. Paths of the contract that are not built yet say so.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::{Method, Uri};

use super::error::{ApiError, Kind};
use super::{
    App, define, enqueue, events, guard, health, hosts, jobs, logs, metrics, plugins, runs, start,
    steer, upload, versions, why,
};

/// Every path, behind the guard.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .merge(jobs_and_runs())
        .merge(plugins_and_hosts())
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

fn jobs_and_runs() -> Router<App> {
    let job = get(jobs::show).put(define::replace).patch(define::patch).delete(define::remove);
    Router::new()
        .route("/v1/jobs", get(jobs::list).post(define::create))
        .route("/v1/jobs/{id}", job)
        .route("/v1/jobs/{id}/next", get(jobs::next))
        .route("/v1/jobs/{id}/explain", get(jobs::explain))
        .route("/v1/jobs/{id}/ledger", get(jobs::ledger))
        .route("/v1/jobs/{id}/why", get(why::why))
        .route("/v1/jobs/{id}/run", post(start::now))
        .route("/v1/jobs/{id}/pause", post(steer::pause_job))
        .route("/v1/jobs/{id}/resume", post(steer::resume_job))
        .route("/v1/runs", get(runs::list).post(enqueue::create))
        .route("/v1/runs/{id}", get(runs::show))
        .route("/v1/runs/{id}/logs", get(logs::read))
        .route("/v1/runs/{id}/cancel", post(runs::cancel))
}

fn plugins_and_hosts() -> Router<App> {
    let plugin = get(plugins::show).put(upload::put).delete(upload::remove);
    let mut router = Router::new()
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/{name}", plugin)
        .route("/v1/plugins/{name}/rollback", post(versions::rollback))
        .route("/v1/plugins/{name}/pin", post(versions::pin))
        .route("/v1/plugins/{name}/unpin", post(versions::unpin))
        .route("/v1/plugins/{name}/approve", post(versions::approve))
        .route("/v1/plugins/{name}/canary", post(versions::canary));
    for path in
        ["/v1/tenants", "/v1/tenants/{tenant}", "/v1/tenants/{tenant}/usage", "/v1/openapi.json"]
    {
        router = router.route(path, get(not_built));
    }
    router
        .route("/v1/hosts", get(hosts::list))
        .route("/v1/events", get(events::stream))
        .route("/v1/reload", post(not_built))
        .route("/v1/scheduler/pause", post(steer::pause_scheduler))
        .route("/v1/scheduler/resume", post(steer::resume_scheduler))
}

async fn not_built(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::NotBuilt, format!("`{method} {}` is not built yet", uri.path()))
}

async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        Kind::NoSuchRoute,
        format!(
            "there is no `{method} {}`; jobs are under `/v1/jobs`, runs under `/v1/runs`, plugins \
             under `/v1/plugins`",
            uri.path()
        ),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message =
        format!("`{}` does not take `{method}`; the header `Allow` says what", uri.path());
    ApiError::new(Kind::WrongMethod, message)
}
