//! HTTP requests, to the origins that the operator grants the job in `capabilities.http`.
//!
//! ```no_run
//! use campanile_sdk::{Context, Result, http, job, retryable};
//!
//! /// Tells a hook that the night is over.
//! #[job(cron = "0 6 * * *")]
//! fn run(ctx: &Context) -> Result<String> {
//!     let token = ctx.config("HOOK_TOKEN").unwrap_or_default();
//!     let answer = http::Request::post("https://hooks.example.com/morning")
//!         .header("authorization", format!("Bearer {token}"))
//!         .header("content-type", "application/json")
//!         .body(r#"{"night": "over"}"#)
//!         .send()?;
//!     match answer.status() {
//!         200..=299 => answer.text(),
//!         status => Err(retryable(format!("the hook answered {status}"))),
//!     }
//! }
//! ```
//!
//! A request that was not granted, or is malformed, fails for good; whatever the network does is a
//! failure that another attempt may cure. An answer is an answer whatever its status. Redirects are
//! not followed: [`Response::header`] has the `location`, and going there is another request that
//! needs a grant of its own. Only in a plugin: elsewhere, as in unit tests, each request fails.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use crate::error::{Result, permanent};
use crate::host::http as host;

/// Asks for a URL: [`Request::get`] and [`Request::send`] in one.
///
/// # Errors
///
/// As of [`Request::send`].
pub fn get(url: impl Into<String>) -> Result<Response> {
    Request::get(url).send()
}

/// A request that is being made up.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

impl Request {
    /// A request with this method, like `PUT`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, headers: Vec::new(), body: Vec::new(), timeout: None }
    }

    /// A request that asks.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A request that tells.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header. `host`, `connection`, `transfer-encoding` and their like are the host's.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets what is sent. Its length is told; nothing is said of its type.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// How long the connection, the answer's beginning and each pause in it may take. Shortens what
    /// the operator allows, and can't make it longer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// Permanent when it was denied or is malformed, retryable when the network failed.
    pub fn send(self) -> Result<Response> {
        let url = Url::of(&self.url)?;
        host::send(&self, &url).map(Response)
    }
}

/// An answer whose head has come. Its body is read as [`Read`], or at once.
pub struct Response(host::Answer);

impl Response {
    /// The status, like 200.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The first header of this name, if it is text. Case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        let (_, value) = headers.find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The rest of the body.
    ///
    /// # Errors
    ///
    /// It broke off, took too long or is larger than the operator allows; retryable.
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The rest of the body as text.
    ///
    /// # Errors
    ///
    /// As of [`Self::bytes`], or it is not UTF-8.
    pub fn text(self) -> Result<String> {
        Ok(String::from_utf8(self.bytes()?)?)
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) path: String,
}

impl<'a> Url<'a> {
    /// The parts of `url`; what stands after a `#` is not sent.
    fn of(url: &'a str) -> Result<Self> {
        let whole = url.split_once('#').map_or(url, |(whole, _)| whole);
        let parts =
            whole.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        let (scheme, rest) = parts.ok_or_else(|| {
            permanent("a URL is to begin with `http://` or `https://`".to_owned())
        })?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return Err(permanent("a URL is to name a host, as in `https://host/path`"));
        }
        if authority.contains('@') {
            return Err(permanent("a URL holds no secrets; they go into a header"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { scheme, authority, path: format!("{slash}{path}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, scheme, authority, path) in [
            ("http://host", "http", "host", "/"),
            ("https://host:81/a/b?c#d", "https", "host:81", "/a/b?c"),
            ("https://host?c=d", "https", "host", "/?c=d"),
        ] {
            let parts = Url { scheme, authority, path: path.into() };
            assert_eq!(Url::of(url), Ok(parts), "{url}");
        }
        for wrong in ["host/path", "ftp://host/", "https:///path", "http://ada:word@host/"] {
            let error = Url::of(wrong).unwrap_err();
            assert!(!error.is_retryable() && !error.message().contains("word"), "{error}");
        }
    }

    #[test]
    fn outside_a_host_a_request_fails() {
        assert!(get("http://127.0.0.1:1/").is_err());
    }
}
