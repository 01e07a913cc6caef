//! What every request passes before its route: it must come from this machine, and end in time.
//!
//! Without tokens the loopback address is the only wall. A browser goes through it for any page it
//! shows: a page of another origin says so in `Origin`, and a name that was rebound to 127.0.0.1
//! shows in `Host`. Both are refused.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, header};

use super::App;
use super::error::{ApiError, Kind};
use super::runs::MAX_WAIT;

/// How long a request may take until its answer begins: the longest wait, and time for the store.
const ANSWER: Duration = MAX_WAIT.saturating_add(Duration::from_secs(30));

/// Lets a request through, or refuses it.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let checked = check(request.uri(), request.headers(), app.context.listen);
    let mut response = match checked {
        Err(refused) => refused.into_response(),
        Ok(()) => match tokio::time::timeout(ANSWER, next.run(request)).await {
            Ok(response) => response,
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

fn check(uri: &Uri, headers: &HeaderMap, listen: SocketAddr) -> Result<(), ApiError> {
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
                 `{authority}`; use http://{listen}"
            ));
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        let own = format!("http://{host}");
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
        check(&uri.parse().unwrap(), &map, "127.0.0.1:7600".parse().unwrap()).is_ok()
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
