//! The tenants of this host: what each may have, and how much it has.

use std::ops::Bound;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::access::Caller;
use super::error::{ApiError, Kind};
use super::params::{Name, Params, no_such_tenant};
use super::view::List;
use super::view::tenant::{Counts, JobCounts, QuotaView, RunCounts, TenantView};
use super::{App, Context};
use crate::catalog::quota::counted;
use crate::config::Config;
use crate::engine::kv_bytes;
use crate::job::names::TenantId;
use crate::job::quota::QuotaKey;
use crate::record::account::Account;
use crate::record::query::{JobFilter, MAX_PAGE, Page, RunFilter};
use crate::run::RunState;
use crate::store::Store;
use crate::store::error::StoreError;

/// Jobs and live runs of one tenant that are counted at most: one page of each.
const MAX_COUNTED: usize = MAX_PAGE;
/// Tenants of one answer at most, whatever `limit` says: each is counted.
const MAX_LISTED: usize = 100;

/// `GET /v1/tenants`, by name.
pub async fn list(
    State(app): State<App>,
    mut params: Params,
) -> Result<Json<List<TenantView>>, ApiError> {
    let page = params.page();
    params.finish()?;
    let config = app.context.config.borrow().clone();
    let after: Option<TenantId> = page.cursor.and_then(|cursor| cursor.parse().ok());
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = config.tenants.range((start, Bound::Unbounded)).map(|(name, _)| name);
    let names: Vec<_> = rest.by_ref().take(page.limit.min(MAX_LISTED)).collect();
    let next_cursor = names.last().filter(|_| rest.next().is_some()).map(ToString::to_string);
    let mut items = Vec::new();
    for name in names {
        let counts = counts(&app.context, &config, name).await?;
        items.push(TenantView::of(&config, name, counts));
    }
    Ok(Json(List { items, next_cursor }))
}

/// `GET /v1/tenants/{tenant}`: to a token of a tenant only that one is there.
pub async fn show(
    State(app): State<App>,
    Name(name): Name,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let tenant: TenantId = name.parse().map_err(|error| {
        ApiError::new(Kind::NoSuchTenant, format!("there is no tenant `{name}`: {error}"))
    })?;
    let config = app.context.config.borrow().clone();
    let is_seen = caller.principal.tenant().is_none_or(|own| *own == tenant);
    if !is_seen || !config.tenants.contains_key(&tenant) {
        return Err(no_such_tenant(&tenant));
    }
    let given = config.tenants.get(&tenant).and_then(|tenant| tenant.given.as_ref());
    let tag = given.map(|given| [(header::ETAG, format!("\"{}\"", given.version))]);
    Ok((tag, Json(viewed(&app.context, &tenant).await?)).into_response())
}

/// What is shown of one that is there.
pub async fn viewed(context: &Context, tenant: &TenantId) -> Result<TenantView, ApiError> {
    let config = context.config.borrow().clone();
    if !config.tenants.contains_key(tenant) {
        return Err(no_such_tenant(tenant));
    }
    let counts = counts(context, &config, tenant).await?;
    Ok(TenantView::of(&config, tenant, counts))
}

/// How much a tenant has.
async fn counts(context: &Context, config: &Config, tenant: &TenantId) -> Result<Counts, ApiError> {
    let of_tenant = || Some(tenant.clone());
    let page = || Page { limit: MAX_COUNTED, cursor: None };
    let jobs = context.store.list(JobFilter { tenant: of_tenant() }, page()).await?;
    let states = vec![RunState::Queued, RunState::Running, RunState::Retrying];
    let live = RunFilter { tenant: of_tenant(), states, ..RunFilter::default() };
    let runs = context.store.runs(live, page()).await?;
    let catalog = context.catalog.borrow().clone();
    let plugins = catalog.entries().filter(|entry| entry.key.tenant == *tenant).count();
    Ok(Counts {
        quota: quotas(context, config, tenant).await?,
        plugins: plugins as u64,
        jobs: JobCounts::of(&jobs.items, jobs.next_cursor.is_some()),
        runs: RunCounts::of(&runs.items, runs.next_cursor.is_some()),
    })
}

/// What of a tenant's quota is used.
async fn quotas(
    context: &Context,
    config: &Config,
    tenant: &TenantId,
) -> Result<Vec<QuotaView>, ApiError> {
    let (quota, now, store) =
        (config.allotment(tenant).quota, context.clock.now(), context.store.as_ref());
    let account = match store.account(tenant, now).await {
        Ok(account) => Some(account),
        // It is open to be read only: no host runs.
        Err(StoreError::Denied(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let of_account = |count: fn(&Account) -> u64| account.as_ref().map(count);
    let mut views = Vec::new();
    for (key, limit) in quota.iter() {
        let used = match key {
            QuotaKey::MaxRunning => of_account(|account| account.running),
            QuotaKey::Memory => of_account(|account| account.memory),
            QuotaKey::Queued => of_account(Account::queued),
            QuotaKey::Jobs => Some(jobs(store, tenant).await?),
            QuotaKey::Plugins => Some(counted(store, tenant).await?.len() as u64),
            QuotaKey::PluginBytes => {
                let plugins = counted(store, tenant).await?;
                Some(plugins.into_values().fold(0, u64::saturating_add))
            }
            QuotaKey::Storage => Some(kv_bytes(store, tenant).await?),
            QuotaKey::RunsPerMinute
            | QuotaKey::CpuPerHour
            | QuotaKey::FuelPerHour
            | QuotaKey::HttpPerHour
            | QuotaKey::HttpBytesPerHour => account.map(|account| account.windows.used(key)),
        };
        views.push(QuotaView::new(key, limit, used, now));
    }
    Ok(views)
}

/// How many jobs a tenant has, whatever their state.
async fn jobs(store: &dyn Store, tenant: &TenantId) -> Result<u64, ApiError> {
    let (mut jobs, mut cursor) = (0, None);
    loop {
        let filter = JobFilter { tenant: Some(tenant.clone()) };
        let page = store.list(filter, Page { limit: MAX_PAGE, cursor }).await?;
        jobs += page.items.len() as u64;
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(jobs);
        }
    }
}
