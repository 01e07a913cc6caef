//! What a request carries: bounded, in time, and JSON by its own word.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::error::{ApiError, Kind};
use crate::problem::{Problem, unknown_key};
use crate::table::value::shown;

/// Bytes of a body at most.
pub const MAX_BODY_BYTES: usize = 2 << 20;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A JSON object, or nothing.
pub struct Fields(Map<String, Value>);

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = collect(body).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        if !is_json(&parts.headers) {
            return Err(ApiError::new(
                Kind::WrongContentType,
                "the body must be JSON; send the header `Content-Type: application/json`",
            ));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
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
    /// Takes out one field.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// Ends the reading: what is left is unknown; `known` were taken.
    ///
    /// # Errors
    ///
    /// All unknown fields.
    pub fn finish(self, known: &[&str]) -> Result<(), ApiError> {
        let problems: Vec<_> =
            self.0.keys().map(|key| Problem::new(key, unknown_key(key, known))).collect();
        if problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(problems)) }
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

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}
