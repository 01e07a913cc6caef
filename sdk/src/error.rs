//! How a job says that it failed, and whether another attempt may help.

use std::fmt;

/// What a job returns; [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run did not succeed. The text is shown to people and kept with the run.
///
/// Any standard error becomes a retryable one by `?`; [`ResultExt::permanent`] makes it permanent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    retryable: bool,
}

impl Error {
    /// Another attempt may succeed: a service was away, a lock was held.
    pub fn retryable(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), retryable: true }
    }

    /// No further attempt can succeed: the arguments are wrong, a file is malformed.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), retryable: false }
    }

    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The text, without anything about attempts.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same failure, its text preceded by what was being done.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Self { message: format!("{doing}: {}", self.message), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `Error` is no `std::error::Error` itself: this conversion could not exist otherwise.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors already print what they were caused by.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self { message, retryable: true }
    }
}

/// A failure that another attempt may cure: `Err(retryable("the queue is empty"))`.
pub fn retryable(message: impl fmt::Display) -> Error {
    Error::retryable(message)
}

/// A failure for good: `Err(permanent("no such customer"))`.
pub fn permanent(message: impl fmt::Display) -> Error {
    Error::permanent(message)
}

/// Says on the way out what kind of failure an error is, and what was being done.
pub trait ResultExt<T> {
    /// Makes the failure one that another attempt may cure.
    ///
    /// # Errors
    ///
    /// The same as `self`.
    fn retryable(self) -> Result<T>;

    /// Makes the failure one for good.
    ///
    /// # Errors
    ///
    /// The same as `self`.
    fn permanent(self) -> Result<T>;

    /// Puts what was being done before the failure's text. Its kind stays as it is.
    ///
    /// # Errors
    ///
    /// The same as `self`.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for Result<T, E> {
    fn retryable(self) -> Result<T> {
        self.map_err(|error| Error { retryable: true, ..error.into() })
    }

    fn permanent(self) -> Result<T> {
        self.map_err(|error| Error { retryable: false, ..error.into() })
    }

    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<i32> {
        Ok(text.parse()?)
    }

    #[test]
    fn a_standard_error_becomes_a_retryable_one() {
        let error = number("x").unwrap_err();
        assert_eq!(error, retryable("invalid digit found in string"));
    }

    #[test]
    fn the_kind_can_be_changed_on_the_way_out() {
        assert!(!number("").permanent().unwrap_err().is_retryable());
        assert_eq!(Err::<(), _>(permanent("x")).retryable(), Err(retryable("x")));
    }

    #[test]
    fn context_stands_before_the_text_and_keeps_the_kind() {
        let failed: Result<()> = Err(permanent("it is empty"));
        assert_eq!(
            failed.context("cannot read `a`"),
            Err(permanent("cannot read `a`: it is empty"))
        );
    }

    #[test]
    fn sources_are_named_once() {
        #[derive(Debug)]
        struct Outer(&'static str, std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.1)
            }
        }
        for (text, message) in [
            ("bad row", "bad row: invalid digit found in string"),
            ("invalid digit found in string", "invalid digit found in string"),
        ] {
            let error = Outer(text, "x".parse::<i32>().unwrap_err());
            assert_eq!(Error::from(error).message(), message);
        }
    }
}
