//! Whom the host answers: everybody on this machine, or those who have a token.
//!
//! What a route asks for stands in `routes`; here it is held against who asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use serde_json::Value;
use tokio::sync::watch;

use super::App;
use super::error::{ApiError, Kind};
use super::params::{foreign_tenant, no_such_tenant};
use super::routes::{Need, no_such_route};
use crate::access::penalty::Penalties;
use crate::access::{Principal, Refused, Role, Tokens};
use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::job::names::TenantId;
use crate::time::Timestamp;

/// What a token is sent as.
const SCHEME: &str = "Bearer";

/// Whom a host answers.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever is on this machine.
    Local,
    /// Those who have one of these.
    Tokens {
        /// The tokens as the file has them now.
        tokens: watch::Receiver<Arc<Tokens>>,
        /// Those who guess.
        penalties: Arc<Mutex<Penalties>>,
    },
}

impl Access {
    /// Those who have one of these, and nobody else.
    pub fn tokens(tokens: watch::Receiver<Arc<Tokens>>) -> Self {
        Self::Tokens { tokens, penalties: Arc::default() }
    }
}

/// Where a request came from, and how.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end of its connection.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From where; `None`: from within this process.
    pub peer: Option<SocketAddr>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| no_token(NO_TOKEN.to_owned()))
    }
}

/// Who changes something, as pauses and the audit name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who: `local`, `token ID` or `job ID`.
    pub who: String,
    /// From which address.
    pub from: Option<String>,
}

impl By {
    /// Whoever asks over REST.
    pub fn caller(caller: &Caller) -> Self {
        let from = caller.peer.map(|peer| peer.ip().to_canonical().to_string());
        Self { who: caller.principal.to_string(), from }
    }

    /// A job.
    pub fn job(job: impl std::fmt::Display) -> Self {
        Self { who: format!("job {job}"), from: None }
    }

    /// The name that a pause carries: callers without a token have none.
    pub fn of_pause(&self) -> String {
        if self.who == Principal::Local.to_string() { "api".to_owned() } else { self.who.clone() }
    }

    /// Keeps a line about a change; the tenant is `None` for what is the host's.
    pub async fn note(
        &self,
        app: &App,
        action: Action,
        tenant: Option<&TenantId>,
        target: impl ToString,
        [before, after]: [Value; 2],
    ) {
        let context = &app.context;
        let note = Note {
            time: context.clock.now(),
            who: self.who.clone(),
            from: self.from.clone(),
            action,
            tenant: tenant.cloned(),
            target: target.to_string(),
            before,
            after,
        };
        audit::note(&context.store, note).await;
    }
}

const NO_TOKEN: &str = "this host wants a token: send the header `Authorization: Bearer camp_...`; on \
                        the command line use `--token` or CAMPANILE_TOKEN";
const UNKNOWN: &str = "the token is none of this host's; it may have been revoked, or be cut off: make \
                       one with `host token create`";

/// Whose token a request carries.
///
/// # Errors
///
/// It carries none that counts; or it comes from where somebody guesses.
pub fn identify(
    tokens: &Tokens,
    penalties: &Mutex<Penalties>,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    now: Timestamp,
) -> Result<Principal, ApiError> {
    let address = peer.map(|peer| peer.ip());
    let mut penalties = penalties.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(left) = address.and_then(|address| penalties.left(address, now)) {
        let seconds = left.as_secs_f64().ceil().max(1.0) as u64;
        let detail =
            format!("too many wrong tokens came from this address; try again in {seconds} s");
        return Err(ApiError::new(Kind::TooManyFailures, detail).retry_after(seconds));
    }
    let given = bearer(headers).ok_or_else(|| no_token(NO_TOKEN.to_owned()))?;
    tokens.identify(given, now).map_err(|refused| match refused {
        Refused::Unknown => {
            if let Some(address) = address {
                penalties.failed(address, now);
                if penalties.left(address, now).is_some() {
                    tracing::warn!(%address, "somebody guesses tokens; the address is not heard for a while");
                }
            }
            no_token(UNKNOWN.to_owned())
        }
        Refused::Expired(id, at) => no_token(format!(
            "the token `{id}` expired at {at}; make another with `host token create`"
        )),
    })
}

fn no_token(detail: String) -> ApiError {
    ApiError::new(Kind::NoToken, detail)
}

/// The token that stands in the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (given.next()?.to_str().ok()?, given.next()) else { return None };
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim())
}

/// Lets a request through to its route when whoever asks may.
pub async fn authorize(need: Need, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    match allowed(need, caller.map(|caller| &caller.principal), &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn allowed(need: Need, who: Option<&Principal>, request: &Request) -> Result<(), ApiError> {
    let (role, is_host) = match need {
        Need::Nothing => return Ok(()),
        Need::Tenant(role) => (role, false),
        Need::Host(role) => (role, true),
    };
    let who = who.ok_or_else(|| no_token(NO_TOKEN.to_owned()))?;
    if is_host && who.tenant().is_some() {
        return Err(no_such_route(request.method(), request.uri()));
    }
    if let Some(tenant) = who.tenant().and_then(|own| foreign_tenant(request.uri(), own)) {
        return Err(no_such_tenant(&tenant));
    }
    if who.may(role) { Ok(()) } else { Err(forbidden(who, role)) }
}

fn forbidden(who: &Principal, wanted: Role) -> ApiError {
    let has = match who {
        Principal::Token { role, .. } => role.word(),
        Principal::Local => "no",
    };
    let detail = format!("this needs the role `{wanted}`, and {who} has the role `{has}`");
    ApiError::new(Kind::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_in_one_header_after_its_scheme() {
        for (values, expected) in [
            (&["Bearer camp_a_b"][..], Some("camp_a_b")),
            (&["bearer  camp_a_b "], Some("camp_a_b")),
            (&["Basic camp_a_b"], None),
            (&["camp_a_b"], None),
            (&["Bearer a", "Bearer b"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_good_token_works_beside_wrong_ones_until_the_address_is_not_heard() {
        use crate::access::token::{Secret, Token};
        let secret = Secret::of([1; 32]);
        let id: crate::job::names::TokenId = "ci".parse().unwrap();
        let tokens = Tokens::new([Token {
            id: id.clone(),
            tenant: None,
            role: Role::Viewer,
            hash: secret.hash(),
            created: Timestamp::from_secs(0),
            expires: None,
        }]);
        let (penalties, now) = (Mutex::default(), Timestamp::from_secs(100));
        let ask = |token: &str, from: &str, now| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            let peer = Some(from.parse().unwrap());
            let found = identify(&tokens, &penalties, &headers, peer, now);
            found.map_or_else(|error| error.status().as_u16(), |_| 200)
        };
        let (good, bad) = (secret.shown(&id), "camp_ci_0");
        for _ in 0..9 {
            assert_eq!(ask(bad, "10.0.0.1:1", now), 401);
        }
        assert_eq!(ask(&good, "10.0.0.1:2", now), 200);
        assert_eq!(ask(bad, "10.0.0.1:3", now), 401);
        assert_eq!(ask(&good, "10.0.0.1:4", now), 429);
        assert_eq!(ask(&good, "10.0.0.2:4", now), 200);
        assert_eq!(ask(&good, "10.0.0.1:4", Timestamp::from_secs(160)), 200);
    }
}
