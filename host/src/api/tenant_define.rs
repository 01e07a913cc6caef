//! Tenants made and changed over REST.
//!
//! A body is the table of a tenant (`config::given`), without its jobs. It is kept as a document of the
//! store, and counts on this host when the answer is given, on the others soon after.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::access::{By, Caller};
use super::body::Fields;
use super::conditions::Conditions;
use super::error::{ApiError, Kind};
use super::params::{Name, Params};
use super::repeat::MAX_ROUNDS;
use super::tenants::viewed;
use super::{App, Context};
use crate::access::Principal;
use crate::audit::action::Action;
use crate::config::{Config, given, load};
use crate::job::names::TenantId;
use crate::problem::Problem;
use crate::record::tenant::{KeptTenant, TenantDoc};
use crate::store::error::StoreError;
use crate::table::Entries;
use crate::tenants;

/// How long an answer waits until this host shows what was changed; later it shows what is so until
/// then.
const SHOWN: std::time::Duration = std::time::Duration::from_secs(10);

/// `PUT /v1/tenants/{tenant}`: 201 when it is made, 200 when it is changed.
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    conditions: Conditions,
    fields: Fields,
) -> Result<Response, ApiError> {
    params.finish()?;
    let name = name_of(&name)?;
    let mut keys = fields.into_entries();
    if let Some(other) = keys.remove("name").filter(|other| other != name.as_str()) {
        let message = format!("must be `{name}` as in the path, or left out, not {other}");
        return Err(ApiError::invalid(vec![Problem::new("name", message)]));
    }
    let by = By::caller(&caller);
    let (version, before) = write(&app, &caller, &name, &conditions, keys.clone()).await?;
    if before.as_ref() != Some(&keys) {
        let sides = [json!(before), Value::Object(keys)];
        by.note(&app, Action::TenantChanged, None, &name, sides).await;
    }
    shown(&app, |config| {
        let given = config.tenants.get(&name).and_then(|tenant| tenant.given.as_ref());
        given.is_some_and(|given| version <= given.version)
    })
    .await;
    let view = viewed(&app.context, &name).await?;
    let status = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    let tag = [(header::ETAG, format!("\"{version}\""))];
    let place = (status == StatusCode::CREATED)
        .then(|| [(header::LOCATION, format!("/v1/tenants/{name}"))]);
    Ok((status, tag, place, Json(view)).into_response())
}

/// Writes the document, again and again while others do. Answers its version, and the keys before.
async fn write(
    app: &App,
    caller: &Caller,
    name: &TenantId,
    conditions: &Conditions,
    keys: Entries,
) -> Result<(u64, Option<Entries>), ApiError> {
    let store = app.context.store.as_ref();
    refuse_of_file(&app.context, name)?;
    // What stood before a write whose answer was lost.
    let mut unsure = None;
    for _ in 0..MAX_ROUNDS {
        let kept = tenants::get(store, name).await?;
        conditions.check(kept.as_ref().map(|kept| kept.version))?;
        let version = kept.as_ref().map_or(0, |kept| kept.version);
        let before = kept.map(|kept| kept.doc);
        if before.as_ref().is_some_and(|doc| doc.removal.is_some()) {
            return Err(draining(name));
        }
        let before = before.map(|doc| doc.keys);
        check(app, caller, name, keys.clone())?;
        if before.as_ref() == Some(&keys) {
            return Ok((version, unsure.unwrap_or(before)));
        }
        let doc = TenantDoc { keys: keys.clone(), removal: None };
        match tenants::put(store, name, version, Some(&doc)).await {
            Ok(version) => return Ok((version, before)),
            Err(StoreError::Conflict { .. }) => (),
            Err(StoreError::Unknown(_)) => unsure = Some(before),
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy(name))
}

/// Refuses a body that makes no tenant here.
fn check(app: &App, caller: &Caller, name: &TenantId, keys: Entries) -> Result<(), ApiError> {
    let mut problems = match caller.principal {
        Principal::Local => given::for_files_only(&keys),
        Principal::Token { .. } => Vec::new(),
    };
    let mut config = Config::clone(&app.context.config.borrow());
    config.tenants.remove(name);
    config.secrets.named.remove(name);
    let most = tenants::MAX_KEPT;
    if most <= config.tenants.len() {
        let message = format!("there are {most} tenants already, as many as there may be");
        problems.push(Problem::new("", message));
    }
    let kept =
        KeptTenant { name: name.clone(), version: 0, doc: TenantDoc { keys, removal: None } };
    problems.extend(given::with(config, &kept, load::real).err().unwrap_or_default());
    if problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(problems)) }
}

/// The tenant that a path names.
///
/// # Errors
///
/// Why that is no name.
pub fn name_of(name: &str) -> Result<TenantId, ApiError> {
    name.parse().map_err(|error: <TenantId as std::str::FromStr>::Err| {
        ApiError::invalid(vec![Problem::new("name", error.to_string())])
    })
}

/// Refuses what is about a tenant that a file names.
///
/// # Errors
///
/// It is one.
pub fn refuse_of_file(context: &Context, name: &TenantId) -> Result<(), ApiError> {
    let config = context.config.borrow();
    let Some(file) = given::file_of(&config, name) else { return Ok(()) };
    let detail = match *name == TenantId::default_tenant() {
        true => "the tenant `default` is the host's own: write `[tenants.default]` in `host.toml`"
            .to_owned(),
        false => format!(
            "tenant `{name}` is defined in `{file}`; change it there, or take it out of the file \
             first"
        ),
    };
    Err(ApiError::new(Kind::ManagedByFile, detail))
}

/// What is said of a tenant that is being removed.
pub fn draining(name: &TenantId) -> ApiError {
    let detail = format!(
        "tenant `{name}` is being removed: nothing of it begins any more; `GET /v1/tenants/{name}` \
         says how far that is"
    );
    ApiError::new(Kind::Draining, detail)
}

/// Others were faster too often.
pub fn busy(name: &TenantId) -> ApiError {
    let detail = format!("others change tenant `{name}` at the same time; read it and try again");
    ApiError::new(Kind::Changed, detail)
}

/// Waits until the configuration that counts here is so, for a while at most.
pub async fn shown(app: &App, mut is_so: impl FnMut(&Config) -> bool) {
    let mut config = app.context.config.clone();
    if let Some(intake) = &app.context.intake {
        intake.tell();
    }
    // Later the answer shows what is so until now, and the rest comes.
    let _ = tokio::time::timeout(SHOWN, config.wait_for(|config| is_so(config))).await;
}
