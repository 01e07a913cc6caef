//! Which path leads where, and who may ask for it: one table, of which the router is built. Paths of
//! the contract that are not built yet say so.

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, Uri};

use super::access::authorize;
use super::error::{ApiError, Kind};
use super::{
    App, define, enqueue, events, guard, health, hosts, jobs, logs, metrics, plugins, reload, runs,
    start, steer, tenant_define, tenant_remove, tenants, trail, upload, usage, versions, why,
};
use crate::access::Role;

/// What whoever asks must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: whoever reaches the host may ask.
    Nothing,
    /// At least this role, over the things of the tenant that is asked about.
    Tenant(Role),
    /// At least this role, over the host: a token of a tenant does not find the route.
    Host(Role),
}

/// One method of one path.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with names in braces.
    pub path: &'static str,
    /// Who may ask.
    pub need: Need,
    serve: MethodRouter<App>,
}

const READ: Need = Need::Tenant(Role::Viewer);
const WORK: Need = Need::Tenant(Role::Operator);
const RULE: Need = Need::Tenant(Role::Admin);
const READ_HOST: Need = Need::Host(Role::Viewer);
const RULE_HOST: Need = Need::Host(Role::Admin);
const WORK_HOST: Need = Need::Host(Role::Operator);

/// Every route.
pub fn table() -> Vec<Route> {
    vec![
        get("/healthz", Need::Nothing, health::alive),
        get("/readyz", Need::Nothing, health::ready),
        get("/metrics", READ, metrics::show),
        get("/v1/jobs", READ, jobs::list),
        post("/v1/jobs", WORK, define::create),
        get("/v1/jobs/{id}", READ, jobs::show),
        put("/v1/jobs/{id}", WORK, define::replace),
        patch("/v1/jobs/{id}", WORK, define::patch),
        delete("/v1/jobs/{id}", WORK, define::remove),
        get("/v1/jobs/{id}/next", READ, jobs::next),
        get("/v1/jobs/{id}/explain", READ, jobs::explain),
        get("/v1/jobs/{id}/ledger", READ, jobs::ledger),
        get("/v1/jobs/{id}/why", READ, why::why),
        post("/v1/jobs/{id}/run", WORK, start::now),
        post("/v1/jobs/{id}/pause", WORK, steer::pause_job),
        post("/v1/jobs/{id}/resume", WORK, steer::resume_job),
        get("/v1/runs", READ, runs::list),
        post("/v1/runs", WORK, enqueue::create),
        get("/v1/runs/{id}", READ, runs::show),
        get("/v1/runs/{id}/logs", READ, logs::read),
        post("/v1/runs/{id}/cancel", WORK, runs::cancel),
        get("/v1/plugins", READ, plugins::list),
        get("/v1/plugins/{name}", READ, plugins::show),
        put("/v1/plugins/{name}", RULE, upload::put),
        delete("/v1/plugins/{name}", RULE, upload::remove),
        post("/v1/plugins/{name}/rollback", WORK, versions::rollback),
        post("/v1/plugins/{name}/pin", WORK, versions::pin),
        post("/v1/plugins/{name}/unpin", WORK, versions::unpin),
        post("/v1/plugins/{name}/canary", WORK, versions::canary),
        post("/v1/plugins/{name}/approve", RULE, versions::approve),
        get("/v1/audit", RULE, trail::list),
        get("/v1/events", READ, events::stream),
        get("/v1/openapi.json", READ, not_built),
        get("/v1/hosts", READ_HOST, hosts::list),
        get("/v1/tenants", READ_HOST, tenants::list),
        get("/v1/tenants/{tenant}", READ, tenants::show),
        put("/v1/tenants/{tenant}", RULE_HOST, tenant_define::put),
        delete("/v1/tenants/{tenant}", RULE_HOST, tenant_remove::remove),
        get("/v1/tenants/{tenant}/usage", READ, usage::show),
        post("/v1/reload", WORK_HOST, reload::reload),
        post("/v1/scheduler/pause", WORK_HOST, steer::pause_scheduler),
        post("/v1/scheduler/resume", WORK_HOST, steer::resume_scheduler),
    ]
}

/// Every path, behind the guard.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for Route { path, need, serve, .. } in table() {
        let held = from_fn(move |request, next| authorize(need, request, next));
        router = router.route(path, serve.layer(held));
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// Whether anybody who reaches the host may ask for the path.
pub fn is_open(path: &str) -> bool {
    // Known without the table, which is costly to build; a test holds the two together.
    OPEN.contains(&path)
}

/// The paths that need nothing.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

fn get<T: 'static>(path: &'static str, need: Need, to: impl Handler<T, App>) -> Route {
    Route { method: Method::GET, path, need, serve: on(MethodFilter::GET, to) }
}

fn post<T: 'static>(path: &'static str, need: Need, to: impl Handler<T, App>) -> Route {
    Route { method: Method::POST, path, need, serve: on(MethodFilter::POST, to) }
}

fn put<T: 'static>(path: &'static str, need: Need, to: impl Handler<T, App>) -> Route {
    Route { method: Method::PUT, path, need, serve: on(MethodFilter::PUT, to) }
}

fn patch<T: 'static>(path: &'static str, need: Need, to: impl Handler<T, App>) -> Route {
    Route { method: Method::PATCH, path, need, serve: on(MethodFilter::PATCH, to) }
}

fn delete<T: 'static>(path: &'static str, need: Need, to: impl Handler<T, App>) -> Route {
    Route { method: Method::DELETE, path, need, serve: on(MethodFilter::DELETE, to) }
}

async fn not_built(State(_): State<App>, method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::NotBuilt, format!("`{method} {}` is not built yet", uri.path()))
}

async fn no_route(method: Method, uri: Uri) -> ApiError {
    no_such_route(&method, &uri)
}

/// There is no such route, or not for whoever asks.
pub fn no_such_route(method: &Method, uri: &Uri) -> ApiError {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_needs_nothing_and_what_changes_something_needs_more_than_reading() {
        for route in table() {
            let (path, need) = (route.path, route.need);
            assert_eq!(is_open(path), need == Need::Nothing, "{path}");
            let reads = matches!(need, Need::Nothing | READ | READ_HOST) || path == "/v1/audit";
            assert_eq!(reads, route.method == Method::GET, "{} {path}", route.method);
        }
    }
}
