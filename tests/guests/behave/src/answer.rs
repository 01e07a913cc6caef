//! What became of something that the host may refuse.

/// Serialized as `{"ok": ...}` or `{"error": "..."}`.
#[derive(serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer<T> {
    Ok(T),
    Error(String),
}

impl<T, E: ToString> From<Result<T, E>> for Answer<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(error) => Self::Error(error.to_string()),
        }
    }
}
