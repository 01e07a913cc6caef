//! What a request carries: bounded, in time, and JSON by its own word.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::error::{ApiError, Kind};
use crate::problem::{Problem, unknown_key};
use crate::table::Entries;
use crate::table::value::shown;

/// Bytes of a body at most.
pub const MAX_BODY_BYTES: usize = 2 << 20;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A JSON object, or nothing. Reading collects all that is wrong, as with parameters.
#[derive(Debug)]
pub struct Fields {
    given: Entries,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = collect(body).await?;
        if bytes.is_empty() {
            return Ok(Self::of(Entries::new()));
        }
        if !is_json(&parts.headers) {
            return Err(ApiError::new(
                Kind::WrongContentType,
                "the body must be JSON; send the header `Content-Type: application/json`",
            ));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self::of(fields)),
            Ok(other) => {
                let message = format!("the body must be a JSON object, not {}", shown(&other));
                Err(ApiError::invalid(vec![Problem::new("", message)]))
            }
            Err(error) => {
                let message = format!("the body is not JSON: {error}");
                Err(ApiError::invalid(vec![Problem::new("", message)]))
            }
        }
    }
}

impl Fields {
    fn of(given: Entries) -> Self {
        Self { given, known: Vec::new(), problems: Vec::new() }
    }

    /// The field `key` as `read` understands it; `None` when it is missing, null or wrong.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.given.get(key).filter(|value| !value.is_null())?;
        read(value).map_err(|message| self.problems.push(Problem::new(key, message))).ok()
    }

    /// Whether one of these fields is given, and not null.
    pub fn any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.given.get(*key).is_some_and(|value| !value.is_null()))
    }

    /// Notes what is wrong with each of these fields that is given.
    pub fn refuse(&mut self, keys: &[&str], message: &str) {
        for key in keys.iter().filter(|key| self.given.get(**key).is_some_and(|it| !it.is_null())) {
            self.problems.push(Problem::new(*key, message));
        }
    }

    /// Notes what is missing with each of these fields that is not given.
    pub fn require(&mut self, keys: &[&str], message: &str) {
        for key in keys.iter().filter(|key| self.given.get(**key).is_none_or(Value::is_null)) {
            self.problems.push(Problem::new(*key, message));
        }
    }

    /// Notes that something is wrong with a field.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(key, message));
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// All that is wrong; a field that was not read is unknown.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for key in self.given.keys().filter(|key| !self.known.contains(&key.as_str())) {
            self.problems.push(Problem::new(key, unknown_key(key, &self.known)));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.problems)) }
    }

    /// The whole object, for another reader.
    pub fn into_entries(self) -> Entries {
        self.given
    }
}

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(ARRIVAL, axum::body::to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(ApiError::new(
            Kind::TooLarge,
            format!("the body is longer than {MAX_BODY_BYTES} bytes, or did not arrive whole"),
        )),
        Err(_) => Err(ApiError::new(
            Kind::TimedOut,
            format!("the body did not arrive within {ARRIVAL:?}; send it again"),
        )),
    }
}

/// Whether the body says that it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}
