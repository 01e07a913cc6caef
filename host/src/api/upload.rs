//! Plugins over REST: put, fetched and removed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::App;
use super::access::{By, Caller};
use super::error::{ApiError, Kind};
use super::params::{self, Name, Params, no_such_tenant};
use super::plugins::no_such_plugin;
use super::tenant_define::draining;
use super::versions::{intake, when};
use super::view::plugin::PluginView;
use crate::access::Principal;
use crate::audit::action::Action;
use crate::catalog::FoundIn;
use crate::catalog::intake::{Offer, Refused};
use crate::catalog::records::{self, Change};
use crate::engine::form::MAX_PLUGIN_BYTES;
use crate::engine::plugin::Digest;
use crate::job::PluginKey;
use crate::plugin::signature::MAX_SIGNATURE_BYTES;
use crate::plugin::versions::Way;
use crate::problem::Problem;

/// How long a plugin may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(120);
/// What a plugin is by its content type.
const WASM: &str = "application/wasm";
/// The header with the signature, its text in base64.
const SIGNATURE: &str = "campanile-signature";
/// The headers with the digest of the body: `sha-256=:BASE64:` (RFC 9530).
const DIGESTS: [&str; 2] = ["repr-digest", "content-digest"];

/// `PUT /v1/plugins/{name}`: 201 when there was none of this name, else 200. What is wrong with it
/// changes nothing.
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    mut params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let expected = params.read("digest", params::name::<Expected>);
    let tenant = params.finish()?;
    let intake = intake(&app)?;
    let plugin = name.parse().map_err(
        |error: <crate::job::names::PluginName as std::str::FromStr>::Err| {
            ApiError::invalid(vec![Problem::new("name", error.to_string())])
        },
    )?;
    let key = PluginKey { tenant, plugin };
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != WASM.as_bytes()) {
        let detail = format!("the body must be a plugin; send the header `Content-Type: {WASM}`");
        return Err(ApiError::new(Kind::WrongContentType, detail));
    }
    let signature = signature(&headers)?;
    let bytes = collect(body).await?;
    check_digest(&bytes, expected.as_ref(), &headers)?;
    let (is_new, was) = {
        let catalog = app.context.catalog.borrow();
        let before = catalog.get(&key).map(PluginView::of);
        (before.is_none(), before.map_or(Value::Null, |before| json!({"digest": before.digest})))
    };
    let offer = Offer {
        bytes: Arc::from(bytes),
        signature,
        written_at: app.context.clock.now(),
        by: Way::Rest,
        unnamed: caller.principal == Principal::Local,
        any_age: true,
    };
    let answer = intake.take(&key, offer).await.map_err(|refused| match refused {
        Refused::Plugin(why) => {
            ApiError::new(Kind::PluginRefused, format!("plugin `{name}`: {why}"))
        }
        refused @ Refused::Quota { .. } => ApiError::new(Kind::Quota, refused.to_string()),
        Refused::Draining(tenant) => draining(&tenant),
        Refused::NoTenant(tenant) => no_such_tenant(&tenant),
        Refused::Store(error) => error.into(),
    })?;
    let sides = [was, json!({"digest": answer.digest})];
    let by = By::caller(&caller);
    by.note(&app, Action::PluginPut, Some(&key.tenant), &key.plugin, sides).await;
    let catalog = when(&app, &intake, |catalog| {
        let versions = catalog.get(&key).and_then(|entry| entry.versions.as_ref());
        versions.is_some_and(|versions| versions.offered.digest == answer.digest)
    })
    .await;
    let entry = catalog.get(&key).ok_or_else(|| {
        ApiError::new(Kind::TimedOut, "it is kept, and this host does not show it yet; look again")
    })?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(PluginView::of(entry))).into_response())
}

/// `DELETE /v1/plugins/{name}`: 204. Its jobs wait for it as for any that is not there.
pub async fn remove(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
) -> Result<StatusCode, ApiError> {
    let tenant = params.finish()?;
    let intake = intake(&app)?;
    let missing = || no_such_plugin(&app, &tenant, &name);
    let key = PluginKey { tenant: tenant.clone(), plugin: name.parse().map_err(|_| missing())? };
    let catalog = Arc::clone(&app.context.catalog.borrow());
    if let Some(FoundIn::Folder(file)) = catalog.get(&key).map(|entry| &entry.from) {
        let file = app.context.config.borrow().short(file);
        let detail = format!("plugin `{name}` is the file `{file}`; remove that");
        return Err(ApiError::new(Kind::ManagedByFile, detail));
    }
    let removed = records::change(intake.shelf(), &key, |before| match before {
        Some(versions) => Change::Remove(Some(versions.current)),
        None => Change::Leave(None),
    });
    let Some(digest) = removed.await? else { return Err(missing()) };
    let sides = [json!({"digest": digest}), Value::Null];
    By::caller(&caller).note(&app, Action::PluginRemoved, Some(&tenant), &name, sides).await;
    when(&app, &intake, |catalog| catalog.get(&key).is_none_or(|it| it.from != FoundIn::Store))
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a client wants the file rather than what is known of it.
pub fn wants_bytes(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == WASM.as_bytes())
}

/// The file of a plugin that runs, with its digest.
pub fn bytes(plugin: &crate::engine::plugin::Plugin) -> Response {
    let digest = BASE64_STANDARD.encode(Digest::of(plugin.bytes()).bytes());
    let headers = [("content-type", WASM.to_owned()), (DIGESTS[0], format!("sha-256=:{digest}:"))];
    (headers, plugin.bytes().to_vec()).into_response()
}

/// A digest that a client expects.
struct Expected(String);

impl std::str::FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default().to_ascii_lowercase();
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_hex {
            true => Ok(Self(format!("sha256:{hex}"))),
            false => {
                Err(format!("`{text}` is no digest: write `sha256:` and 64 hexadecimal digits"))
            }
        }
    }
}

fn check_digest(
    bytes: &[u8],
    expected: Option<&Expected>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let digest = Digest::of(bytes);
    let wrong = |what: &str| {
        let message = format!("the body is {digest}, not what `{what}` says; send it again");
        ApiError::invalid(vec![Problem::new(what, message)])
    };
    if expected.is_some_and(|expected| expected.0 != digest.to_string()) {
        return Err(wrong("digest"));
    }
    for name in DIGESTS {
        let Some(said) = headers.get(name) else { continue };
        let said = said.to_str().map_err(|_| wrong(name))?;
        let own = format!("sha-256=:{}:", BASE64_STANDARD.encode(digest.bytes()));
        // Other algorithms may stand beside it.
        if said.split(',').map(str::trim).any(|part| part.starts_with("sha-256=") && part != own) {
            return Err(wrong(name));
        }
    }
    Ok(())
}

fn signature(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(text) = headers.get(SIGNATURE) else { return Ok(None) };
    let decoded = BASE64_STANDARD.decode(text.as_bytes()).ok();
    let text = decoded.filter(|text| text.len() <= MAX_SIGNATURE_BYTES);
    let text = text.and_then(|text| String::from_utf8(text).ok());
    text.map(Some).ok_or_else(|| {
        let message = "must be the text of a `.minisig` file in base64";
        ApiError::invalid(vec![Problem::new(SIGNATURE, message)])
    })
}

async fn collect(body: Body) -> Result<Vec<u8>, ApiError> {
    let most = usize::try_from(MAX_PLUGIN_BYTES).unwrap_or(usize::MAX);
    match tokio::time::timeout(ARRIVAL, axum::body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => {
            let most = MAX_PLUGIN_BYTES >> 20;
            let detail = format!("the plugin is larger than {most} MiB, or did not arrive whole");
            Err(ApiError::new(Kind::TooLarge, detail))
        }
        Err(_) => {
            let detail = format!("the plugin did not arrive within {ARRIVAL:?}; send it again");
            Err(ApiError::new(Kind::TimedOut, detail))
        }
    }
}
