//! Which version of a plugin runs: going back, pinning, trying, approving.
//!
//! Each is a change of the plugin's record (`plugin::versions`); the answer comes once this host's
//! catalog shows it, and other hosts follow within seconds.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::access::{By, Caller};
use super::body::Fields;
use super::error::{ApiError, Kind};
use super::params::{Name, Params};
use super::plugins::no_such_plugin;
use super::view::plugin::PluginView;
use crate::audit::action::Action;
use crate::catalog::intake::Intake;
use crate::catalog::records::{self, Change};
use crate::catalog::{self, Catalog, Entry, FoundIn};
use crate::config::reload::Reload;
use crate::job::PluginKey;
use crate::job::names::TenantId;
use crate::plugin::share::Share;
use crate::plugin::versions::Versions;
use crate::table::value::text;

/// How long a change may take until the catalog shows it: a large plugin is compiled meanwhile.
const SHOWN: Duration = Duration::from_secs(10);
/// Characters of a reason at most.
const MAX_WHY: usize = 60;

/// `POST /v1/plugins/{name}/rollback`: to the version before, or to `digest`.
pub async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    mut fields: Fields,
) -> Result<Json<PluginView>, ApiError> {
    let tenant = params.finish()?;
    let digest = fields.read("digest", digest);
    let why =
        fields.read("why", |value| Ok(text(value)?.chars().take(MAX_WHY).collect::<String>()));
    fields.finish()?;
    let now = app.context.clock.now();
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let note = format!("rolled back by hand at {now}{why}");
    // A repeat must not go back once more.
    let mut target = None;
    change(&app, (&By::caller(&caller), Action::PluginRolledBack), tenant, &name, |versions, _| {
        let to = match &target {
            Some(to) => Some(to),
            None => digest.as_ref(),
        };
        let to = to.map(|text| versions.find(text)).transpose()?;
        target = Some(versions.roll_back(to.as_deref(), &note)?);
        Ok(())
    })
    .await
}

/// `POST /v1/plugins/{name}/pin`: what runs now, or `digest`.
pub async fn pin(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    mut fields: Fields,
) -> Result<Json<PluginView>, ApiError> {
    let tenant = params.finish()?;
    let digest = fields.read("digest", digest);
    fields.finish()?;
    change(&app, (&By::caller(&caller), Action::PluginPinned), tenant, &name, |versions, _| {
        let digest = digest.as_ref().map(|text| versions.find(text)).transpose()?;
        versions.pin(digest.as_deref())
    })
    .await
}

/// `POST /v1/plugins/{name}/unpin`.
pub async fn unpin(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    fields: Fields,
) -> Result<Json<PluginView>, ApiError> {
    let tenant = params.finish()?;
    fields.finish()?;
    change(&app, (&By::caller(&caller), Action::PluginUnpinned), tenant, &name, |versions, _| {
        versions.unpin();
        Ok(())
    })
    .await
}

/// `POST /v1/plugins/{name}/approve`: the version that is held, which must be `digest` if that is
/// given.
pub async fn approve(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    mut fields: Fields,
) -> Result<Json<PluginView>, ApiError> {
    let tenant = params.finish()?;
    let digest = fields.read("digest", digest);
    fields.finish()?;
    change(
        &app,
        (&By::caller(&caller), Action::PluginApproved),
        tenant,
        &name,
        |versions, reload| {
            let digest = digest.as_ref().map(|text| versions.find(text)).transpose()?;
            versions.approve(digest.as_deref(), reload.auto_rollback > 0).map(drop)
        },
    )
    .await
}

/// `POST /v1/plugins/{name}/canary`: gives `share` of the runs to `digest`; `0%` ends that.
pub async fn canary(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    mut fields: Fields,
) -> Result<Json<PluginView>, ApiError> {
    let tenant = params.finish()?;
    fields.require(&["digest", "share"], "is missing: say which version, and for how many runs");
    let digest = fields.read("digest", digest);
    let share = fields.read("share", |value| Share::read(text(value)?));
    fields.finish()?;
    let (digest, share) = (digest.unwrap_or_default(), share.flatten());
    change(&app, (&By::caller(&caller), Action::PluginTried), tenant, &name, |versions, _| {
        let digest = versions.find(&digest)?;
        versions.try_on(&digest, share)
    })
    .await
}

/// Changes the record of a plugin, and answers with the plugin as it is then.
async fn change(
    app: &App,
    (by, action): (&By, Action),
    tenant: TenantId,
    name: &str,
    mut decide: impl FnMut(&mut Versions, &Reload) -> Result<(), String>,
) -> Result<Json<PluginView>, ApiError> {
    let intake = intake(app)?;
    let missing = || no_such_plugin(app, &tenant, name);
    let plugin = name.parse().map_err(|_| missing())?;
    let key = PluginKey { tenant: tenant.clone(), plugin };
    let reload = app.context.config.borrow().reload(&tenant);
    let changed = records::change(intake.shelf(), &key, |before| {
        let Some(mut versions) = before else { return Change::Leave(None) };
        let was = told(&versions);
        match decide(&mut versions, &reload) {
            Ok(()) => Change::Put(Box::new(versions.clone()), Some(Ok((was, versions)))),
            Err(why) => Change::Leave(Some(Err(why))),
        }
    });
    match changed.await? {
        None => Err(missing()),
        Some(Err(why)) => {
            Err(ApiError::new(Kind::NotThatVersion, format!("plugin `{name}`: {why}")))
        }
        Some(Ok((was, versions))) => {
            by.note(app, action, Some(&tenant), &key.plugin, [was, told(&versions)]).await;
            let is_here = app.context.catalog.borrow().get(&key).is_some();
            let shown = |entry: &Entry| {
                entry.is(&versions) && entry.versions.as_deref().map(told) == Some(told(&versions))
            };
            let catalog = match is_here {
                true => when(app, &intake, |catalog| catalog.get(&key).is_some_and(shown)).await,
                false => Arc::default(),
            };
            let view = catalog.get(&key).map(PluginView::of);
            Ok(Json(view.unwrap_or_else(|| PluginView::of(&elsewhere(key, versions)))))
        }
    }
}

/// A plugin that this host does not hold, and others do.
fn elsewhere(key: PluginKey, versions: Versions) -> Entry {
    let why = "this host does not hold it; hosts that need it do".to_owned();
    Entry {
        key,
        from: FoundIn::Store,
        about: None,
        loaded_at: versions.offered.written_at,
        state: catalog::State::Refused(why),
        update_refused: None,
        versions: Some(Arc::new(versions)),
        canary: None,
    }
}

/// What the audit tells of a plugin's versions.
fn told(versions: &Versions) -> Value {
    let Versions { current, pinned, canary, held, offered: _, kept: _, trial: _ } = versions;
    json!({"digest": current, "pinned": pinned, "canary": canary, "held": held})
}

/// Where plugins come in.
///
/// # Errors
///
/// No host answers, its store alone does.
pub fn intake(app: &App) -> Result<Arc<Intake>, ApiError> {
    let no_host = || ApiError::new(Kind::NotReady, "no host is running; start one: `host serve`");
    app.context.intake.clone().ok_or_else(no_host)
}

/// The catalog once `is_so` holds of it, or when that takes too long.
pub async fn when(
    app: &App,
    intake: &Intake,
    is_so: impl FnMut(&Arc<Catalog>) -> bool,
) -> Arc<Catalog> {
    let mut catalog = app.context.catalog.clone();
    intake.tell();
    // Later the answer shows what is so until now, and the rest comes.
    let _ = tokio::time::timeout(SHOWN, catalog.wait_for(is_so)).await;
    Arc::clone(&app.context.catalog.borrow())
}

/// A digest, or the beginning of one.
fn digest(value: &Value) -> Result<String, String> {
    Ok(text(value)?.to_owned())
}
