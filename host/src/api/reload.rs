//! `POST /v1/reload`: everything is looked at now, `host.toml`, plugins and the files beside them.

use axum::Json;
use axum::extract::State;

use super::App;
use super::access::{By, Caller};
use super::error::{ApiError, Kind};
use super::params::Params;
use super::view::reload::ReloadView;
use crate::reloader::asked::NotReloaded;

/// `POST /v1/reload`. Answers once all of it counts. A file with errors changes nothing and is told
/// with all of them.
pub async fn reload(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<ReloadView>, ApiError> {
    params.finish()?;
    let By { who, from } = By::caller(&caller);
    let Some(handle) = &app.context.reload else {
        return Err(ApiError::new(Kind::NotReady, "no host is running here"));
    };
    handle
        .reload_for(who, from)
        .await
        .map(|reloaded| Json(ReloadView::of(reloaded)))
        .map_err(refusal)
}

fn refusal(why: NotReloaded) -> ApiError {
    let detail = why.to_string();
    match why {
        NotReloaded::Refused(error) => {
            ApiError::new(Kind::ConfigRefused, detail).with(error.problems)
        }
        NotReloaded::Behind(_) => ApiError::new(Kind::StoreUnavailable, detail),
        NotReloaded::Busy => ApiError::new(Kind::Busy, detail),
        NotReloaded::Gone => ApiError::new(Kind::NotReady, detail),
    }
}
