//! Plugins as this host holds them, refused ones too.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;

use super::App;
use super::error::{ApiError, Kind};
use super::params::{Name, Params};
use super::upload::{bytes, wants_bytes};
use super::view::List;
use super::view::plugin::PluginView;
use crate::catalog::{Catalog, Entry};
use crate::job::names::TenantId;
use crate::problem::nearest;

/// `GET /v1/plugins`, by name.
pub async fn list(
    State(app): State<App>,
    mut params: Params,
) -> Result<Json<List<PluginView>>, ApiError> {
    let page = params.page();
    let tenant = params.finish()?;
    let catalog = app.context.catalog.borrow().clone();
    let after = page.cursor.as_deref().unwrap_or_default();
    let mut rest = of(&catalog, &tenant).filter(|entry| entry.key.plugin.as_str() > after);
    let items: Vec<_> = rest.by_ref().take(page.limit).map(PluginView::of).collect();
    let more = rest.next().is_some();
    let next_cursor = items.last().filter(|_| more).map(|last| last.name.to_string());
    Ok(Json(List { items, next_cursor }))
}

/// `GET /v1/plugins/{name}`; with `Accept: application/wasm` its file.
pub async fn show(
    State(app): State<App>,
    Name(name): Name,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let catalog = app.context.catalog.borrow().clone();
    let found = of(&catalog, &tenant).find(|entry| entry.key.plugin.as_str() == name);
    let entry = found.ok_or_else(|| no_such_plugin(&app, &tenant, &name))?;
    match entry.active().filter(|_| wants_bytes(&headers)) {
        Some(plugin) => Ok(bytes(plugin)),
        None => Ok(Json(PluginView::of(entry)).into_response()),
    }
}

/// There is no such plugin.
pub fn no_such_plugin(app: &App, tenant: &TenantId, name: &str) -> ApiError {
    let catalog = app.context.catalog.borrow().clone();
    let names: Vec<_> = of(&catalog, tenant).map(|entry| entry.key.plugin.as_str()).collect();
    let help = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "put its `.wasm` into the folder of plugins".to_owned(),
    };
    ApiError::new(Kind::NoSuchPlugin, format!("there is no plugin `{name}`; {help}"))
}

fn of<'a>(catalog: &'a Catalog, tenant: &'a TenantId) -> impl Iterator<Item = &'a Entry> {
    catalog.entries().filter(move |entry| entry.key.tenant == *tenant)
}
