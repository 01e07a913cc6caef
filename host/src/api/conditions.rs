//! Which version of a thing a request is about: `If-Match` and `If-None-Match`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::header::{self, HeaderName};
use http::request::Parts;

use super::error::{ApiError, Kind};

/// What must stand for the request to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// One of these.
    this: Option<Versions>,
    /// None of these.
    not_this: Option<Versions>,
}

/// What a header names.
#[derive(Debug, PartialEq, Eq)]
enum Versions {
    /// `*`: whatever stands.
    Any,
    /// Versions; what is no tag of ours is none and so never stands.
    These(Vec<u64>),
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let read = |name: HeaderName| {
            let given = parts.headers.get_all(name);
            let lines: Vec<_> =
                given.iter().map(|line| line.to_str().unwrap_or_default()).collect();
            (!lines.is_empty()).then(|| versions(&lines.join(",")))
        };
        Ok(Self { this: read(header::IF_MATCH), not_this: read(header::IF_NONE_MATCH) })
    }
}

fn versions(text: &str) -> Versions {
    if text.trim() == "*" {
        return Versions::Any;
    }
    let tag = |tag: &str| {
        let tag = tag.trim();
        // A proxy that packs answers makes tags weak; the version is the same.
        tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').parse().ok()
    };
    Versions::These(text.split(',').filter_map(tag).collect())
}

impl Versions {
    fn hold(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (Self::Any, current) => current.is_some(),
            (Self::These(versions), Some(current)) => versions.contains(&current),
            (Self::These(_), None) => false,
        }
    }
}

impl Conditions {
    /// Compares with the version that stands; `None`: there is no such thing.
    ///
    /// # Errors
    ///
    /// Another one stands.
    pub fn check(&self, current: Option<u64>) -> Result<(), ApiError> {
        if self.not_this.as_ref().is_some_and(|versions| versions.hold(current)) {
            let detail = "`If-None-Match` asks that it is not there, and it is";
            return Err(ApiError::new(Kind::Stale, detail));
        }
        if self.this.as_ref().is_none_or(|versions| versions.hold(current)) {
            return Ok(());
        }
        let stands = match current {
            Some(version) => format!("version {version} stands; read it and decide again"),
            None => "there is none".to_owned(),
        };
        Err(ApiError::new(Kind::Stale, format!("`If-Match` names another version: {stands}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn conditions(name: &'static str, value: &str) -> Conditions {
        let request = http::Request::builder().header(name, value).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let Ok(conditions) = Conditions::from_request_parts(&mut parts, &()).await;
        conditions
    }

    #[tokio::test]
    async fn a_request_is_done_on_the_version_it_names_only() {
        for (name, value, current, done) in [
            ("if-match", "\"3\"", Some(3), true),
            ("if-match", "W/\"3\"", Some(3), true),
            ("if-match", "\"2\", \"3\"", Some(3), true),
            ("if-match", "\"2\"", Some(3), false),
            ("if-match", "\"3\"", None, false),
            ("if-match", "\"other\"", Some(3), false),
            ("if-match", "*", Some(3), true),
            ("if-match", "*", None, false),
            ("if-none-match", "*", Some(3), false),
            ("if-none-match", "*", None, true),
            ("if-none-match", "\"2\"", Some(3), true),
            ("x-other", "*", None, true),
        ] {
            let checked = conditions(name, value).await.check(current);
            assert_eq!(checked.is_ok(), done, "{name}: {value} on {current:?}");
            if let Err(error) = checked {
                assert_eq!(error.status(), 412);
            }
        }
    }
}
