//! Tenants removed over REST: what that deletes is told first, and done when it is confirmed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::access::{By, Caller};
use super::conditions::Conditions;
use super::error::{ApiError, Kind};
use super::params::{self, Name, Params, no_such_tenant};
use super::repeat::MAX_ROUNDS;
use super::tenant_define::{busy, name_of, refuse_of_file, shown};
use super::tenants::viewed;
use super::{App, Context};
use crate::audit::action::Action;
use crate::catalog::records;
use crate::job::names::TenantId;
use crate::problem::Problem;
use crate::record::query::{JobFilter, MAX_PAGE, Page, RunFilter};
use crate::record::tenant::{Holdings, Removal, Step, TenantDoc};
use crate::run::RunState;
use crate::store::SPARED;
use crate::store::error::StoreError;
use crate::table::unit::show_size;
use crate::tenants;
use crate::tenants::removal::{MAX_DRAIN, export_name};

/// How the kinds of documents begin that jobs keep keys and values in.
const KEYS: &str = "kv.";

/// `DELETE /v1/tenants/{tenant}`: 202 when it is confirmed, and else 409 with what it would delete.
pub async fn remove(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    mut params: Params,
    conditions: Conditions,
) -> Result<Response, ApiError> {
    let confirm = params.read("confirm", |text| Ok(text.to_owned()));
    let drain = params.read("drain", |text| params::duration(text, MAX_DRAIN));
    params.finish()?;
    let name = name_of(&name)?;
    refuse_of_file(&app.context, &name)?;
    let drain = drain.unwrap_or_else(|| app.context.config.borrow().executor.drain);
    let by = By::caller(&caller);
    for _ in 0..MAX_ROUNDS {
        let kept = tenants::get(app.context.store.as_ref(), &name).await?;
        let version = kept.as_ref().map(|kept| kept.version);
        conditions.check(version)?;
        if kept.as_ref().is_some_and(|kept| kept.doc.removal.is_some()) {
            // As whoever asks wants it.
            return answer(&app, &name).await;
        }
        let has = Has::of(&app.context, &name).await?;
        if kept.is_none() && has.is_nothing() {
            return Err(no_such_tenant(&name));
        }
        match &confirm {
            None => return Err(has.told(&name)),
            Some(confirm) if confirm != name.as_str() => {
                let message = format!("must be `{name}`, the name of the tenant");
                return Err(ApiError::invalid(vec![Problem::new("confirm", message)]));
            }
            Some(_) => (),
        }
        let removal = removal(&app.context, &name, &by, drain)?;
        let keys = kept.map(|kept| kept.doc.keys).unwrap_or_default();
        let doc = TenantDoc { keys, removal: Some(removal) };
        let store = app.context.store.as_ref();
        match tenants::put(store, &name, version.unwrap_or(0), Some(&doc)).await {
            Ok(_) => {
                let sides = [has.json(), json!({"export": doc.removal.map(|it| it.export)})];
                by.note(&app, Action::TenantDraining, None, &name, sides).await;
                return answer(&app, &name).await;
            }
            Err(StoreError::Conflict { .. } | StoreError::Unknown(_)) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy(&name))
}

/// The removal that begins now, on this host.
fn removal(
    context: &Context,
    name: &TenantId,
    by: &By,
    drain: Duration,
) -> Result<Removal, ApiError> {
    let session = context.session.as_ref().ok_or_else(|| {
        ApiError::new(Kind::NotReady, "no host is running, and so nothing is removed")
    })?;
    let now = context.clock.now();
    Ok(Removal {
        since: now,
        by: by.who.clone(),
        until: now.after(drain),
        step: Step::Draining,
        export: export_name(name, now),
        host: context.host.clone(),
        session: session.current().session.id,
    })
}

/// What is shown of one that is being removed, as soon as this host knows.
async fn answer(app: &App, name: &TenantId) -> Result<Response, ApiError> {
    shown(app, |config| config.is_draining(name)).await;
    Ok((StatusCode::ACCEPTED, Json(viewed(&app.context, name).await?)).into_response())
}

/// What a tenant has that is deleted with it.
#[derive(Debug, Default)]
struct Has {
    jobs: u64,
    live_runs: u64,
    plugins: u64,
    versions: u64,
    version_bytes: u64,
    holdings: Holdings,
}

impl Has {
    async fn of(context: &Context, tenant: &TenantId) -> Result<Self, ApiError> {
        let store = context.store.as_ref();
        let mut has = Self { holdings: store.holdings(tenant).await?, ..Self::default() };
        let mut cursor = None;
        loop {
            let filter = JobFilter { tenant: Some(tenant.clone()) };
            let page = store.list(filter, Page { limit: MAX_PAGE, cursor }).await?;
            has.jobs += page.items.len() as u64;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        loop {
            let states = vec![RunState::Queued, RunState::Running, RunState::Retrying];
            let filter = RunFilter { tenant: Some(tenant.clone()), states, ..RunFilter::default() };
            let page = store.runs(filter, Page { limit: MAX_PAGE, cursor }).await?;
            has.live_runs += page.items.len() as u64;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        for versions in records::list(store, tenant).await?.into_values() {
            has.plugins += 1;
            has.versions += versions.kept.len() as u64;
            has.version_bytes += versions.kept.iter().map(|version| version.size).sum::<u64>();
        }
        Ok(has)
    }

    fn is_nothing(&self) -> bool {
        let mut kinds = self.holdings.documents.keys();
        self.jobs + self.holdings.records + self.holdings.counters == 0
            && kinds.all(|kind| SPARED.contains(&kind.as_str()))
    }

    fn keys(&self) -> u64 {
        let kinds = self.holdings.documents.iter().filter(|(kind, _)| kind.starts_with(KEYS));
        kinds.map(|(_, count)| count).sum()
    }

    /// Each thing with how much there is of it.
    fn parts(&self) -> [(&'static str, String); 6] {
        let Self { jobs, live_runs, plugins, versions, version_bytes, holdings } = self;
        let done = holdings.records.saturating_sub(*live_runs);
        let bytes = show_size(*version_bytes);
        [
            ("jobs", counted(*jobs, "job", "jobs")),
            ("live_runs", counted(*live_runs, "live run", "live runs")),
            (
                "runs",
                counted(done, "run or verdict that is kept", "runs and verdicts that are kept"),
            ),
            (
                "plugins",
                format!(
                    "{} in {} of {bytes}",
                    counted(*plugins, "plugin", "plugins"),
                    counted(*versions, "version", "versions")
                ),
            ),
            ("keys", counted(self.keys(), "key with a value", "keys with values")),
            ("counters", counted(holdings.counters, "counter", "counters")),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "jobs": self.jobs,
            "live_runs": self.live_runs,
            "runs": self.holdings.records.saturating_sub(self.live_runs),
            "plugins": self.plugins,
            "versions": self.versions,
            "version_bytes": self.version_bytes,
            "keys": self.keys(),
            "counters": self.holdings.counters,
        })
    }

    /// What is told to whoever has not confirmed it yet.
    fn told(&self, name: &TenantId) -> ApiError {
        let all: Vec<String> = self.parts().map(|(_, part)| part).to_vec();
        let detail = format!(
            "removing tenant `{name}` deletes {}; all of it is exported to a file first. Kept are \
             what it used, for 400 days, the audit, the folder of its plugins, and the file of \
             tokens, whose tokens of this tenant find nothing from then on. Ask again with \
             `?confirm={name}` to do it",
            all.join(", ")
        );
        let part = |(path, message): (&str, String)| Problem::new(path, message);
        ApiError::new(Kind::Confirm, detail).with(self.parts().map(part).to_vec())
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
