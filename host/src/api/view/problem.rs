//! Why a request was refused, as JSON (RFC 9457).

use serde::{Deserialize, Serialize};

/// An answer of the type `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// A name for the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and what would help.
    pub detail: String,
    /// The kind of problem for programs.
    pub code: String,
    /// What is wrong with each part of the request.
    pub errors: Vec<PartView>,
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// The key, with dots.
    pub path: String,
    /// What would be right.
    pub message: String,
}
