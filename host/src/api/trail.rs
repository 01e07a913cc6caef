//! Who changed what.

use axum::Json;
use axum::extract::State;

use super::App;
use super::access::Caller;
use super::error::ApiError;
use super::params::{self, Params};
use super::view::List;
use crate::audit::action::Action;
use crate::audit::{Filter, Note, lines};

/// `GET /v1/audit`, newest first. What changed of the host itself is told with the tenant `default`,
/// and to those who see all tenants.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Note>>, ApiError> {
    let filter = Filter {
        since: params.read("since", params::time),
        action: params.read("action", |text| Action::try_from(text.to_owned())),
        target: params.read("target", |text| Ok(text.to_owned())),
        of_host: caller.principal.tenant().is_none(),
    };
    let page = params.page();
    let tenant = params.finish()?;
    let found = lines(app.context.store.as_ref(), &tenant, &filter, page).await?;
    Ok(Json(List { items: found.items, next_cursor: found.next_cursor }))
}
