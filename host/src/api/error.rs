//! Why a request is refused: the value that handlers return and `problem+json` is made of.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::view::problem::{PartView, ProblemView};
use crate::problem::Problem;
use crate::store::error::StoreError;

/// Seconds after which a client may try again when the store does not answer.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What a client without a token is told to send.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"campanile\"");

/// The kinds of problem. Each has one status, one code and one title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No token was given, or none that counts.
    NoToken,
    /// The token may not do that.
    Forbidden,
    /// Too many wrong tokens came from the same address.
    TooManyFailures,
    /// There is no such route.
    NoSuchRoute,
    /// There is no such tenant, or not for this client.
    NoSuchTenant,
    /// There is no such job.
    NoSuchJob,
    /// There is no such run.
    NoSuchRun,
    /// There is no such plugin.
    NoSuchPlugin,
    /// The plugin's version can't be made to run, or not now.
    NotThatVersion,
    /// What was put is no plugin, or not one that may be here.
    PluginRefused,
    /// The route does not take this method.
    WrongMethod,
    /// Parameters or body are wrong.
    Invalid,
    /// The file of configuration has errors.
    ConfigRefused,
    /// The body is not JSON by its content type.
    WrongContentType,
    /// The body is too long.
    TooLarge,
    /// The request did not come from this machine, as far as its headers tell.
    Foreign,
    /// The run is over.
    AlreadyDone,
    /// What was read is no longer what stands.
    Changed,
    /// A job of this name is there.
    JobExists,
    /// The job, plugin or tenant is defined by a file or a plugin.
    ManagedByFile,
    /// The tenant is being removed.
    Draining,
    /// What would be deleted is to be confirmed first.
    Confirm,
    /// The idempotency key was used for something else.
    KeyReused,
    /// The version that was asked for is not the one that stands.
    Stale,
    /// There is too much already of what was asked for.
    Busy,
    /// The tenant has as much as its quota lets it.
    Quota,
    /// The job can't be run as it is defined.
    Unusable,
    /// Documented, and not there yet.
    NotBuilt,
    /// The host does not take work.
    NotReady,
    /// The store does not answer.
    StoreUnavailable,
    /// The store has no room.
    StoreFull,
    /// Something is broken inside.
    Broken,
    /// It took too long.
    TimedOut,
}

impl Kind {
    /// Status, code and title.
    const fn words(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoToken => (S::UNAUTHORIZED, "no_token", "token needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "forbidden"),
            Self::TooManyFailures => {
                (S::TOO_MANY_REQUESTS, "too_many_failures", "too many wrong tokens")
            }
            Self::NoSuchRoute => (S::NOT_FOUND, "no_such_route", "no such route"),
            Self::NoSuchTenant => (S::NOT_FOUND, "no_such_tenant", "no such tenant"),
            Self::NoSuchJob => (S::NOT_FOUND, "no_such_job", "no such job"),
            Self::NoSuchRun => (S::NOT_FOUND, "no_such_run", "no such run"),
            Self::NoSuchPlugin => (S::NOT_FOUND, "no_such_plugin", "no such plugin"),
            Self::NotThatVersion => (S::CONFLICT, "not_that_version", "not that version"),
            Self::PluginRefused => (S::UNPROCESSABLE_ENTITY, "plugin_refused", "plugin refused"),
            Self::WrongMethod => (S::METHOD_NOT_ALLOWED, "wrong_method", "wrong method"),
            Self::Invalid => (S::UNPROCESSABLE_ENTITY, "invalid", "invalid request"),
            Self::ConfigRefused => {
                (S::UNPROCESSABLE_ENTITY, "config_refused", "configuration refused")
            }
            Self::WrongContentType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", "wrong content type")
            }
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large", "body too large"),
            Self::Foreign => (S::FORBIDDEN, "foreign", "foreign request"),
            Self::AlreadyDone => (S::CONFLICT, "already_done", "already done"),
            Self::Changed => (S::CONFLICT, "changed", "changed meanwhile"),
            Self::JobExists => (S::CONFLICT, "job_exists", "job exists"),
            Self::ManagedByFile => (S::CONFLICT, "managed_by_file", "managed by a file"),
            Self::Draining => (S::CONFLICT, "draining", "tenant is being removed"),
            Self::Confirm => (S::CONFLICT, "confirm", "confirmation needed"),
            Self::KeyReused => (S::CONFLICT, "key_reused", "idempotency key used before"),
            Self::Stale => (S::PRECONDITION_FAILED, "stale", "another version stands"),
            Self::Busy => (S::CONFLICT, "busy", "too much at once"),
            Self::Quota => (S::CONFLICT, "quota", "quota reached"),
            Self::Unusable => (S::CONFLICT, "unusable", "unusable job"),
            Self::NotBuilt => (S::NOT_IMPLEMENTED, "not_built", "not built yet"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "not ready"),
            Self::StoreUnavailable => {
                (S::SERVICE_UNAVAILABLE, "store_unavailable", "store unavailable")
            }
            Self::StoreFull => (S::INSUFFICIENT_STORAGE, "store_full", "store full"),
            Self::Broken => (S::INTERNAL_SERVER_ERROR, "broken", "internal error"),
            Self::TimedOut => (S::SERVICE_UNAVAILABLE, "timed_out", "timed out"),
        }
    }
}

/// A refused request.
#[derive(Clone, Debug)]
pub struct ApiError {
    kind: Kind,
    detail: String,
    errors: Vec<Problem>,
    /// Seconds until it may be tried again.
    retry_after: Option<u64>,
}

impl ApiError {
    /// A refusal with what is wrong and what would help.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// A refusal of parameters or a body, with all that is wrong.
    pub fn invalid(errors: Vec<Problem>) -> Self {
        let all = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self::new(Kind::Invalid, all).with(errors)
    }

    /// The same with the seconds after which it may be tried again.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same with what is wrong with each part.
    pub fn with(self, errors: Vec<Problem>) -> Self {
        Self { errors, ..self }
    }

    /// What is wrong and what would help, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.kind.words().0
    }

    /// What is shown of it.
    pub fn view(&self) -> ProblemView {
        let (status, code, title) = self.kind.words();
        let part = |problem: &Problem| PartView {
            path: problem.path.clone(),
            message: problem.message.clone(),
        };
        ProblemView {
            kind: format!("urn:campanile:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            code: code.to_owned(),
            errors: self.errors.iter().map(part).collect(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Unavailable(_)
            | StoreError::Unknown(_)
            | StoreError::Denied(_)
            | StoreError::Unfit(_) => Kind::StoreUnavailable,
            StoreError::Conflict { .. } | StoreError::Fenced => Kind::Changed,
            StoreError::Full(_) => Kind::StoreFull,
            StoreError::Incompatible { .. } | StoreError::Corrupt(_) => Kind::Broken,
            StoreError::Invalid(_) => Kind::Invalid,
            StoreError::Quota { .. } => Kind::Quota,
            StoreError::NotFound(_) => Kind::NoSuchJob,
        };
        if kind == Kind::Broken {
            tracing::error!(%error, "a request failed");
        }
        if let StoreError::Invalid(why) = error {
            // Here the caller is the client: it gave a cursor that is none.
            return Self::new(kind, why);
        }
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self.view())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
