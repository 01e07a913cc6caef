//! The hosts that share the store.

use axum::Json;
use axum::extract::State;

use super::App;
use super::error::ApiError;
use super::params::Params;
use super::view::List;
use super::view::host::{HostView, Own};

/// `GET /v1/hosts`, by name: every open session.
pub async fn list(
    State(app): State<App>,
    params: Params,
) -> Result<Json<List<HostView>>, ApiError> {
    params.finish()?;
    let context = &app.context;
    let hosts = context.store.hosts().await?;
    let own = context.session.as_ref().map(|cell| Own {
        session: cell.current().session.id,
        plugins: context.catalog.borrow().digests(),
        running: context.status.running(),
        config_refused: context.status.config_refused(),
    });
    Ok(Json(List::whole(HostView::of_all(&hosts, own.as_ref(), context.clock.now()))))
}
