//! What every request passes before its route: it must have a token, or come from this machine, and
//! end in time.
//!
//! Without tokens the loopback address is the only wall. A browser goes through it for any page it
//! shows: a page of another origin says so in `Origin`, a name that was rebound to 127.0.0.1 shows in
//! `Host`, and a form sends what no program of ours sends. All three are refused. No page can send a
//! token that it does not have, so with tokens a host may have any name.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::App;
use super::access::{Access, Caller, Peer, identify};
use super::body::is_json;
use super::error::{ApiError, Kind};
use super::held::held;
use super::routes::is_open;
use super::runs::MAX_WAIT;
use crate::access::Principal;

/// How long a request may take until its answer begins: the longest wait, and time for the store.
const ANSWER: Duration = MAX_WAIT.saturating_add(Duration::from_secs(30));

/// Bytes of a refused request's body that are read at most.
const MOST_DISCARDED: usize = 64 << 20;
/// How long that may take.
const DISCARDING: Duration = Duration::from_secs(1);

/// What plugins are sent as.
const WASM: HeaderValue = HeaderValue::from_static("application/wasm");

/// Lets a request through, with who asks, or refuses it.
pub async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let caller = known(&app, &request, peer);
    if let Ok(Some(principal)) = &caller {
        request
            .extensions_mut()
            .insert(Caller { principal: principal.clone(), peer: peer.map(|peer| peer.address) });
    }
    let mut response = match caller {
        Err(refused) => {
            discard(request.into_body()).await;
            refused.into_response()
        }
        Ok(caller) => match tokio::time::timeout(ANSWER, next.run(request)).await {
            Ok(response) => while_known(response, &app, caller),
            Err(_) => {
                ApiError::new(Kind::TimedOut, format!("no answer within {ANSWER:?}; try again"))
                    .into_response()
            }
        },
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Reads what a refused request has sent, as far as that is soon here: who still writes when the
/// connection ends may never see the answer.
async fn discard(mut body: Body) {
    let read = async {
        let mut left = MOST_DISCARDED;
        while let Some(Ok(frame)) =
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Who is slower is not waited for.
    let _ = tokio::time::timeout(DISCARDING, read).await;
}

/// The answer, which ends when whoever asked for it is nobody any more.
fn while_known(response: Response, app: &App, caller: Option<Principal>) -> Response {
    match (&app.context.access, caller) {
        (Access::Tokens { tokens, .. }, Some(who)) => {
            held(response, who, tokens.clone(), Arc::clone(&app.context.clock))
        }
        (_, _) => response,
    }
}

/// Who asks; `None`: nobody who is known, for what anybody may ask.
fn known(app: &App, request: &Request, peer: Option<Peer>) -> Result<Option<Principal>, ApiError> {
    let (headers, context) = (request.headers(), &app.context);
    match &context.access {
        Access::Local => {
            let scheme = peer.map_or("http", |peer| peer.scheme);
            check(request.uri(), headers, scheme, context.listen)?;
            check_content(request.method(), headers)?;
            Ok(Some(Principal::Local))
        }
        Access::Tokens { .. } if is_open(request.uri().path()) => Ok(None),
        Access::Tokens { tokens, penalties } => {
            let tokens = tokens.borrow().clone();
            let address = peer.map(|peer| peer.address);
            identify(&tokens, penalties, headers, address, context.clock.now()).map(Some)
        }
    }
}

/// Refuses what a form of a page would send: browsers ask before they send JSON elsewhere.
fn check_content(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let empty = HeaderValue::from_static("0");
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| *length != empty);
    let is_ours = match headers.get(header::CONTENT_TYPE) {
        None => !has_body,
        Some(kind) => is_json(headers) || *kind == WASM,
    };
    if is_ours {
        return Ok(());
    }
    let detail = "what changes something is sent as `Content-Type: application/json`, a plugin as \
                  `application/wasm`";
    Err(ApiError::new(Kind::WrongContentType, detail))
}

fn check(uri: &Uri, headers: &HeaderMap, scheme: &str, listen: SocketAddr) -> Result<(), ApiError> {
    let foreign = |detail: String| Err(ApiError::new(Kind::Foreign, detail));
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next().map(|host| host.to_str()), hosts.next()) {
        (Some(Ok(host)), None) => host,
        _ => return foreign("the request must have one `Host` header; send `localhost`".into()),
    };
    for authority in [Some(host), uri.authority().map(Authority::as_str)].into_iter().flatten() {
        if !is_local(authority, listen) {
            return foreign(format!(
                "this host answers to `localhost` and loopback addresses only, not to \
                 `{authority}`; use {scheme}://{listen}"
            ));
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        let own = format!("{scheme}://{host}");
        if !origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(&own)) {
            return foreign(
                "a page of another origin may not use this interface; call it without a browser"
                    .into(),
            );
        }
    }
    Ok(())
}

fn is_local(authority: &str, listen: SocketAddr) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == listen.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(uri: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check(&uri.parse().unwrap(), &map, "http", "127.0.0.1:7600".parse().unwrap()).is_ok()
    }

    #[test]
    fn what_a_form_sends_changes_nothing() {
        for (method, headers, expected) in [
            ("POST", &[("content-type", "application/json"), ("content-length", "2")][..], true),
            ("POST", &[("content-type", "application/json; charset=utf-8")], true),
            ("PATCH", &[("content-type", "application/merge-patch+json")], true),
            ("PUT", &[("content-type", "application/wasm"), ("content-length", "9")], true),
            ("POST", &[("content-type", "text/plain"), ("content-length", "2")], false),
            ("POST", &[("content-type", "application/x-www-form-urlencoded")], false),
            ("DELETE", &[("content-type", "multipart/form-data")], false),
            ("POST", &[("content-length", "2")], false),
            ("POST", &[("transfer-encoding", "chunked")], false),
            ("POST", &[("content-length", "0")], true),
            ("POST", &[], true),
            ("DELETE", &[], true),
            ("GET", &[("content-type", "text/plain")], true),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            let method: Method = method.parse().unwrap();
            let checked = check_content(&method, &map);
            assert_eq!(checked.is_ok(), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn only_this_machine_is_answered() {
        for (host, expected) in [
            ("localhost:7600", true),
            ("LOCALHOST", true),
            ("127.0.0.1:7600", true),
            ("127.1.2.3", true),
            ("[::1]:7600", true),
            ("evil.example:7600", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil@localhost", false),
            ("10.0.0.1:7600", false),
            ("0.0.0.0:7600", false),
            ("", false),
        ] {
            assert_eq!(allowed("/v1/jobs", &[("host", host)]), expected, "{host}");
        }
        assert!(!allowed("/v1/jobs", &[]));
        assert!(!allowed("/v1/jobs", &[("host", "localhost"), ("host", "localhost")]));
        assert!(!allowed("http://evil.example/v1/jobs", &[("host", "localhost")]));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        for (origin, expected) in [
            ("http://localhost:7600", true),
            ("http://localhost:3000", false),
            ("https://localhost:7600", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            let headers = [("host", "localhost:7600"), ("origin", origin)];
            assert_eq!(allowed("/v1/jobs", &headers), expected, "{origin}");
        }
    }
}
