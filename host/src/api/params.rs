//! What stands in a request's URL: the parameters after `?`, and the names in its path.
//!
//! Reading collects all that is wrong, so that one answer names every problem. A parameter that
//! nobody asked for is one: a misspelt filter must not list everything.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use http::{Method, Uri};
use serde_json::Value;

use super::App;
use super::access::Caller;
use super::error::{ApiError, Kind};
use super::tenant_define::draining;
use crate::config::Config;
use crate::job::names::TenantId;
use crate::problem::{Problem, nearest};
use crate::record::query::{DEFAULT_PAGE, MAX_PAGE, Page};
use crate::table::unit;
use crate::time::Timestamp;

/// Bytes of `2026-01-01T`.
const DATE_BYTES: usize = 11;

/// The parameters of one request.
pub struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
    config: Arc<Config>,
    /// Whether something may begin by the request.
    begins: bool,
    /// The one tenant that whoever asks may see; `None`: all.
    own: Option<TenantId>,
}

impl FromRequestParts<App> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>();
        let own = caller.and_then(|caller| caller.principal.tenant().cloned());
        Ok(Self::of(parts, Arc::clone(&app.context.config.borrow()), own))
    }
}

impl Params {
    /// The parameters of a request to a host that is configured so, by somebody who sees `own` only.
    fn of(parts: &Parts, config: Arc<Config>, own: Option<TenantId>) -> Self {
        let given = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let (given, problems) = match given {
            Ok(Query(given)) => (given, Vec::new()),
            Err(error) => (Vec::new(), vec![Problem::new("", error.to_string())]),
        };
        let begins = begins(&parts.method, parts.uri.path());
        Self { given, known: vec!["tenant"], problems, config, begins, own }
    }

    /// The parameter `key` as `read` understands it; `None` when it is missing or wrong.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let mut given = self.given.iter().filter(|(name, _)| name == key);
        let (_, text) = given.next()?;
        let value =
            if given.next().is_some() { Err("is given twice".to_owned()) } else { read(text) };
        value.map_err(|message| self.problems.push(Problem::new(key, message))).ok()
    }

    /// `limit` and `cursor`.
    pub fn page(&mut self) -> Page {
        let limit = self.read("limit", |text| whole(text, 1, MAX_PAGE));
        let cursor = self.read("cursor", |text| Ok(text.to_owned()));
        Page { limit: limit.unwrap_or(DEFAULT_PAGE), cursor }
    }

    /// Ends the reading: the tenant that the request is about.
    ///
    /// # Errors
    ///
    /// All that is wrong; or the tenant is unknown.
    pub fn finish(mut self) -> Result<TenantId, ApiError> {
        let tenant =
            self.read("tenant", |text| text.parse::<TenantId>().map_err(|error| error.to_string()));
        self.end(tenant)
    }

    /// The same where the path names the tenant; `-` is the one that is meant when none is named.
    ///
    /// # Errors
    ///
    /// All that is wrong; or the tenant is unknown.
    pub fn finish_about(mut self, name: &str) -> Result<TenantId, ApiError> {
        self.known.retain(|key| *key != "tenant");
        let tenant = match name {
            "-" => None,
            name => Some(name.parse().map_err(|_| no_tenant_called(name))?),
        };
        self.end(tenant)
    }

    /// Notes what is wrong with a parameter beside others that was understood by itself.
    pub fn refuse(&mut self, wrong: Option<(&'static str, String)>) {
        let told = |key| self.problems.iter().any(|problem| problem.path == key);
        if let Some((key, message)) = wrong
            && !told(key)
        {
            self.problems.push(Problem::new(key, message));
        }
    }

    fn end(mut self, tenant: Option<TenantId>) -> Result<TenantId, ApiError> {
        for (key, _) in &self.given {
            if !self.known.contains(&key.as_str()) {
                self.problems.push(Problem::new(key, unknown(key, &self.known)));
            }
        }
        if !self.problems.is_empty() {
            return Err(ApiError::invalid(self.problems));
        }
        let usual = || self.own.clone().unwrap_or_else(TenantId::default_tenant);
        let tenant = tenant.unwrap_or_else(usual);
        let is_seen = self.own.as_ref().is_none_or(|own| *own == tenant);
        if !is_seen || !self.config.tenants.contains_key(&tenant) {
            return Err(no_such_tenant(&tenant));
        }
        match self.begins && self.config.is_draining(&tenant) {
            true => Err(draining(&tenant)),
            false => Ok(tenant),
        }
    }
}

/// Whether something of a tenant may begin by a request: all but reading, cancelling and removing.
fn begins(method: &Method, path: &str) -> bool {
    let begins = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    begins && !path.ends_with("/cancel")
}

/// The tenant that a request names and somebody who sees `own` only may not see, if it names one.
pub fn foreign_tenant(uri: &Uri, own: &TenantId) -> Option<TenantId> {
    let Ok(Query(given)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else { return None };
    let tenants = given.iter().filter(|(key, _)| key == "tenant");
    tenants.filter_map(|(_, text)| text.parse().ok()).find(|tenant| tenant != own)
}

/// Nobody is told which there are.
pub fn no_such_tenant(tenant: &TenantId) -> ApiError {
    no_tenant_called(tenant.as_str())
}

fn no_tenant_called(tenant: &str) -> ApiError {
    let help = "ask for one that the host's `[tenants.X]` tables name";
    ApiError::new(Kind::NoSuchTenant, format!("there is no tenant `{tenant}`; {help}"))
}

fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("unknown parameter `{key}`; did you mean `{near}`?"),
        None => format!("unknown parameter `{key}`; known here: {}", known.join(", ")),
    }
}

/// Reads a whole number from `min` to `max`.
pub fn whole(text: &str, min: usize, max: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("`{text}` is not a whole number from {min} to {max}"))
}

/// Reads a time.
pub fn time(text: &str) -> Result<Timestamp, String> {
    // A `+` in a query stands for a blank, and nobody who writes an offset thinks of it.
    let (date, clock) = text.split_at_checked(DATE_BYTES).unwrap_or((text, ""));
    Timestamp::parse(&format!("{date}{}", clock.replace(' ', "+")))
}

/// Reads a duration of at most `max`.
pub fn duration(text: &str, max: Duration) -> Result<Duration, String> {
    let duration = unit::duration(&Value::from(text))?;
    if duration > max {
        return Err(format!("`{text}` is longer than {}", unit::show_duration(max)));
    }
    Ok(duration)
}

/// Reads a name or an id.
pub fn name<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Reads whether something is wanted: `?follow` and `?follow=true` say so.
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("`{other}` is not understood; give `true` or `false`")),
    }
}

/// Reads one of the words of an enum, as JSON writes them.
pub fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|error| {
        // "unknown variant `x`, expected one of `a`, `b`"
        error.to_string().replace("unknown variant", "unknown word")
    })
}

/// The one name in a request's path, not yet checked.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(error) => Err(ApiError::new(Kind::NoSuchRoute, error.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Verdict;

    fn params(query: &str) -> Params {
        params_of(query, None)
    }

    fn params_of(query: &str, own: Option<&str>) -> Params {
        let request = http::Request::builder().uri(format!("/v1/runs?{query}")).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let here = std::path::Path::new("/");
        let text = "[tenants.acme]\n";
        let config = Config::parse(text, &here.join("host.toml"), here, 1).unwrap();
        Params::of(&parts, Arc::new(config), own.map(|own| own.parse().unwrap()))
    }

    fn detail(error: ApiError) -> (u16, String) {
        (error.status().as_u16(), format!("{error:?}"))
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let mut params = params("limit=0&verdikt=ran&job=a&job=b");
        params.page();
        assert_eq!(params.read("job", |text| Ok(text.to_owned())), None);
        assert_eq!(params.read("verdict", word::<Verdict>), None);
        let (status, text) = detail(params.finish().unwrap_err());
        assert_eq!(status, 422);
        for part in [
            "`0` is not a whole number from 1 to 1000",
            "job: is given twice",
            "unknown parameter `verdikt`; did you mean `verdict`?",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_request_is_about_a_tenant_that_there_is() {
        let named = |tenant: &str| tenant.parse::<TenantId>().unwrap();
        assert_eq!(params("").finish().unwrap(), named("default"));
        assert_eq!(params("tenant=acme").finish().unwrap(), named("acme"));
        assert_eq!(detail(params("tenant=other").finish().unwrap_err()).0, 404);
        assert_eq!(detail(params("tenant=A%20B").finish().unwrap_err()).0, 422);
    }

    #[test]
    fn whoever_sees_one_tenant_is_told_of_the_others_what_is_told_of_none() {
        let asked = |query: &str| params_of(query, Some("acme")).finish();
        let acme: TenantId = "acme".parse().unwrap();
        assert_eq!(asked("").unwrap(), acme);
        assert_eq!(asked("tenant=acme").unwrap(), acme);
        let (hidden, none) = (asked("tenant=default"), params("tenant=default2").finish());
        let said = |refused: Result<TenantId, ApiError>| refused.unwrap_err().detail().to_owned();
        assert_eq!(said(none).replace("default2", "default"), said(hidden));
        assert!(params_of("", Some("gone")).finish().is_err());
        let uri = "/v1/jobs?limit=3&tenant=acme&tenant=default".parse().unwrap();
        assert_eq!(foreign_tenant(&uri, &acme), Some(TenantId::default_tenant()));
        assert_eq!(foreign_tenant(&"/v1/jobs?tenant=acme".parse().unwrap(), &acme), None);
    }

    #[test]
    fn a_time_may_have_an_offset_whose_plus_became_a_blank() {
        let expected = Timestamp::parse("2026-01-01T00:00:00Z");
        assert_eq!(time("2026-01-01T01:00:00 01:00"), expected);
        assert_eq!(time("2026-01-01T01:00:00+01:00"), expected);
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        assert_eq!(word::<Verdict>("ran"), Ok(Verdict::Ran));
        let message = word::<Verdict>("run").unwrap_err();
        assert!(message.starts_with("unknown word `run`, expected one of `ran`"), "{message}");
    }
}
