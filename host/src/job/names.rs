//! The names that people give to things: checked once, safe in a key, a URL and a log line ever after.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no {1}: use letters, digits, `.`, `_`, `-`, starting with a letter or digit, \
     at most {MAX_NAME_BYTES} of them"
)]
pub struct InvalidName(String, &'static str);

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $lower:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_name(text, $lower) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName(text.chars().take(MAX_NAME_BYTES).collect(), $what))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A job's name, unique in its tenant.
    JobId, "job name", false
);
name!(
    /// A plugin's name: its file's name without `.wasm`.
    PluginName, "plugin name", false
);
name!(
    /// The name of a handler, unique in its plugin.
    HandlerName, "handler name", false
);
name!(
    /// A secret's name, unique in its tenant.
    SecretName, "secret name", false
);
name!(
    /// A tenant's name, in lower case.
    TenantId, "tenant name (lower case)", true
);

name!(
    /// The public part of a token: what logs, lists and the audit call it.
    TokenId, "token id", false
);
name!(
    /// The name of a queue: hosts say which they serve.
    QueueName, "queue name", false
);

impl Default for QueueName {
    /// The queue of runs whose job names none.
    fn default() -> Self {
        Self("default".into())
    }
}

impl TenantId {
    /// The tenant of everything that names none.
    pub fn default_tenant() -> Self {
        Self("default".into())
    }
}

impl HandlerName {
    /// The handler that is meant when none is named.
    pub fn run() -> Self {
        Self("run".into())
    }
}

fn is_name(text: &str, lower_case_only: bool) -> bool {
    let allowed = |byte: u8| {
        matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
            || (!lower_case_only && byte.is_ascii_uppercase())
    };
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(|first| allowed(first) && first.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ascii_words_that_start_with_a_letter_or_digit() {
        for good in ["a", "9", "Nightly-report_2.0", &"x".repeat(MAX_NAME_BYTES)] {
            assert!(good.parse::<JobId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ü", "a\0", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tenants_are_lower_case() {
        assert!("acme".parse::<TenantId>().is_ok());
        assert!("Acme".parse::<TenantId>().is_err());
    }
}
