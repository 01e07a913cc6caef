//! Why an exchange did not come about: an error for the guest, and words for the run's log.
//!
//! The words name the origin and the reason. Paths, queries and headers may hold secrets and are
//! never repeated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use wasmtime_wasi_http::Error;

use super::origin::Origin;
use crate::engine::control::Control;
use crate::engine::meter::Meter;
use crate::job::bound::{Bound, Exceeded};
use crate::plugin::wants::Want;
use crate::run::LogLevel;
use crate::run::usage::Effect;
use crate::table::unit::show_duration;

/// Bytes of a header beside its name and value: `: ` and the end of the line.
const HEADER_SLACK: u64 = 4;

/// A part of an exchange that has its time.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The name, the connection, TLS.
    Connection,
    /// Until the head of the answer.
    FirstByte,
    /// From one part of the body to the next.
    NextByte,
    /// All of it.
    LastByte,
}

/// Sees to it that what goes wrong with one exchange is told and noted.
#[derive(Clone)]
pub(super) struct Witness {
    origin: Arc<str>,
    pub(super) control: Arc<Control>,
    pub(super) meter: Arc<Meter>,
}

impl Witness {
    pub(super) fn new(origin: &Origin, control: &Arc<Control>, meter: &Arc<Meter>) -> Self {
        let origin = origin.to_string().into();
        Self { origin, control: Arc::clone(control), meter: Arc::clone(meter) }
    }

    /// Refuses something that was not granted.
    pub(super) fn denied(&self, what: &str, needs: &str) -> Error {
        let message = format!("denied: {what}; {needs}");
        self.control.deny(Some(Want::Http), message.clone());
        Error::InternalError(Some(message))
    }

    /// Tells why it failed.
    pub(super) fn failed(&self, reason: impl fmt::Display, error: Error) -> Error {
        let message = format!("the request to {} failed: {reason}", self.origin);
        self.control.log().remark(LogLevel::Warn, message);
        error
    }

    /// Tells which limit it went over.
    pub(super) fn over(&self, exceeded: Exceeded, error: Error) -> Error {
        self.failed(exceeded, error)
    }

    /// Tells that a part took too long: longer than `own`, the guest's limit, or than the job's.
    pub(super) fn late(&self, part: Part, own: Option<Duration>, limit: Duration) -> Error {
        let (what, error) = match part {
            Part::Connection => ("there was no connection", Error::ConnectionTimeout),
            Part::FirstByte => ("there was no answer", Error::HttpResponseTimeout),
            Part::LastByte => ("the answer was not whole", Error::HttpResponseTimeout),
            Part::NextByte => ("the answer did not go on", Error::HttpResponseTimeout),
        };
        match own.filter(|own| *own < limit) {
            Some(own) => self.failed(format!("{what} within {own:?}, its own limit"), error),
            None => {
                let limit = show_duration(limit);
                let help = "the limit of one exchange; `limits.http_timeout` raises it";
                self.failed(format!("{what} within {limit}, {help}"), error)
            }
        }
    }

    /// Holds the head of a request or response to its limit.
    pub(super) fn headers(
        &self,
        line: u64,
        headers: &HeaderMap,
        error: impl FnOnce(Option<u32>) -> Error,
    ) -> Result<(), Error> {
        let bytes = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
            name.as_str().len() as u64 + value.len() as u64 + HEADER_SLACK
        };
        let size = line + headers.iter().map(bytes).sum::<u64>();
        let allowed = self.meter.allow(Bound::HttpHeaders, size);
        allowed.map_err(|exceeded| self.over(exceeded, error(u32::try_from(size).ok())))
    }

    /// Holds a body whose length is told beforehand to its limit.
    pub(super) fn declared(
        &self,
        headers: &HeaderMap,
        error: impl FnOnce(Option<u64>) -> Error,
    ) -> Result<(), Error> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        match length.and_then(|length| length.parse().ok()) {
            Some(length) => self.body(length, error),
            None => Ok(()),
        }
    }

    /// Holds a body that has come to so many bytes to its limit.
    pub(super) fn body(
        &self,
        bytes: u64,
        error: impl FnOnce(Option<u64>) -> Error,
    ) -> Result<(), Error> {
        let allowed = self.meter.allow(Bound::HttpBody, bytes);
        allowed.map_err(|exceeded| self.over(exceeded, error(Some(bytes))))
    }

    /// The guest got so many bytes of a body.
    pub(super) fn got(&self, bytes: usize) {
        self.meter.bytes_in(Effect::Http, bytes);
    }

    /// The guest gave so many.
    pub(super) fn gave(&self, bytes: usize) {
        self.meter.bytes_out(Effect::Http, bytes);
    }

    /// Tells what hyper says of an exchange.
    pub(super) fn hyper(&self, error: &hyper::Error) -> Error {
        if error.is_parse_too_large() {
            let limit = self.meter.limit(Bound::HttpHeaders);
            let error = Error::HttpResponseHeaderSectionSize(u32::try_from(limit).ok());
            return match self.meter.allow(Bound::HttpHeaders, limit.saturating_add(1)) {
                Ok(()) => error,
                Err(exceeded) => self.over(exceeded, error),
            };
        }
        if error.is_parse() {
            return self.failed("the answer is not HTTP/1.1", Error::HttpProtocolError);
        }
        if error.is_user() {
            let reason = "the guest did not finish the request's body";
            return self.failed(reason, Error::HttpProtocolError);
        }
        let reason = "the connection was closed before the answer was whole";
        self.failed(reason, Error::ConnectionTerminated)
    }
}
