//! One token: `camp_<id>_<64 hexadecimal digits>`, of which the file keeps the SHA-256 of the digits.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Principal, Role};
use crate::job::names::{TenantId, TokenId};
use crate::time::Timestamp;

/// How every token begins, so that whoever finds one knows what it is.
const PREFIX: &str = "camp_";
/// How a hash begins in the file.
const HASHED: &str = "sha256:";
/// Random bytes of a secret: 256 bits, which nobody guesses.
const SECRET_BYTES: usize = 32;
/// Random bytes of an id that nobody chose.
const ID_BYTES: usize = 4;

/// What a host knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub id: TokenId,
    /// Whose things it sees; `None`: everybody's.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub role: Role,
    /// Of its secret.
    pub hash: Hash,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is none; `None`: never.
    pub expires: Option<Timestamp>,
}

/// A token without its hash, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// What it is called.
    pub id: TokenId,
    /// Whose things it sees; null: everybody's.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is none; null: never.
    pub expires: Option<Timestamp>,
}

impl Token {
    /// Who has it.
    pub fn principal(&self) -> Principal {
        Principal::Token { id: self.id.clone(), tenant: self.tenant.clone(), role: self.role }
    }

    /// What is shown of it.
    pub fn view(&self) -> TokenView {
        let Self { id, tenant, role, created, expires, hash: _ } = self.clone();
        TokenView { id, tenant, role, created, expires }
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash([u8; SECRET_BYTES]);

impl Hash {
    /// That of a secret's digits.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// One that no secret is known to have.
    pub const fn nobodys() -> Self {
        Self([0; SECRET_BYTES])
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    ///
    /// What it should look like. What was given is not shown: it may be the secret itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(HASHED).and_then(unhex);
        digits.map(Self).ok_or_else(|| {
            format!(
                "must be `{HASHED}` and 64 hexadecimal digits, as `host token create` writes it"
            )
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASHED}{}", hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// What only the owner of a token knows. Never logged: it has no `Debug` that shows it.
pub struct Secret(String);

impl Secret {
    /// A new one, from the machine's source of randomness.
    ///
    /// # Errors
    ///
    /// The machine has none.
    pub fn fresh() -> Result<Self, String> {
        random::<SECRET_BYTES>().map(Self::of)
    }

    /// That of these bytes.
    pub fn of(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(hex(&bytes))
    }

    /// What a host keeps of it.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }

    /// The token that its owner sends.
    pub fn shown(&self, id: &TokenId) -> String {
        format!("{PREFIX}{id}_{}", self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// An id for a token that nobody has named.
///
/// # Errors
///
/// The machine has no source of randomness.
pub fn fresh_id() -> Result<TokenId, String> {
    let id = hex(&random::<ID_BYTES>()?);
    id.parse().map_err(|error: <TokenId as std::str::FromStr>::Err| error.to_string())
}

/// The id in a token, when it has the shape of one.
pub fn id_part(given: &str) -> Option<TokenId> {
    given.strip_prefix(PREFIX)?.rsplit_once('_')?.0.parse().ok()
}

/// What stands in a token where its secret stands.
pub fn secret_part(given: &str) -> &str {
    given.rsplit_once('_').map_or(given, |(_, secret)| secret)
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("this machine gives no random numbers: {error}"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || text.len() != 2 * SECRET_BYTES {
        return None;
    }
    let mut bytes = [0; SECRET_BYTES];
    for (number, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * number..2 * number + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_id_and_a_secret_that_nothing_else_shows() {
        let secret = Secret::of([0xab; 32]);
        let text = secret.shown(&"ci_2".parse().unwrap());
        assert_eq!(text, format!("camp_ci_2_{}", "ab".repeat(32)));
        assert_eq!(id_part(&text).unwrap().as_str(), "ci_2");
        assert_eq!(secret_part(&text), "ab".repeat(32));
        let shown = format!("{secret:?} {:?} {}", secret.hash(), secret.hash());
        assert!(!shown.contains("abab"), "{shown}");
        assert_ne!(Secret::fresh().unwrap().0, Secret::fresh().unwrap().0);
        assert_eq!(fresh_id().unwrap().as_str().len(), 8);
    }

    #[test]
    fn a_hash_reads_back_and_a_wrong_one_is_not_shown() {
        let hash = Secret::of([7; 32]).hash();
        assert_eq!(Hash::parse(&hash.to_string()).unwrap(), hash);
        for wrong in ["", "sha256:", &"a".repeat(64), &format!("sha256:{}", "A".repeat(64))] {
            let why = Hash::parse(wrong).unwrap_err();
            assert!(why.contains("64 hexadecimal digits") && !why.contains("aaaa"), "{why}");
        }
    }
}
