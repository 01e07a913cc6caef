//! How runs, schedules and attempts are told apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::job::names::TenantId;
use crate::time::Timestamp;

/// 128 bits as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id128(u128);

/// One creation of a schedule: a job that is removed and made again has another.
pub type Uid = Id128;

/// One run: for a fire the hash of what it is for, else chosen by whoever asks.
pub type RunId = Id128;

/// One life of one host.
pub type SessionId = Id128;

/// Grows with each attempt; a write with an old one is refused. Given to the guest.
pub type Fence = u64;

impl Id128 {
    /// The id with these bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// A fresh id that sorts by time (UUID version 7).
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().as_u128())
    }

    /// The id of the one run for a fire: the same whoever computes it, and after data loss.
    pub fn of_fire(tenant: &TenantId, uid: Uid, fire_time: Timestamp) -> Self {
        let mut hash = Sha256::new();
        hash.update(tenant.as_str().as_bytes());
        hash.update([0]);
        hash.update(uid.0.to_be_bytes());
        hash.update(fire_time.micros().to_be_bytes());
        Self::of_hash(hash)
    }

    /// The id of the one run for an idempotency key, whoever asks and how often.
    pub fn of_key(tenant: &TenantId, key: &str) -> Self {
        let mut hash = Sha256::new();
        // No tenant has this name, so that no fire has such an id.
        hash.update(b"idempotency key\0");
        hash.update(tenant.as_str().as_bytes());
        hash.update([0]);
        hash.update(key.as_bytes());
        Self::of_hash(hash)
    }

    /// The id of a text: the same for the same text.
    pub fn of_text(text: &str) -> Self {
        Self::of_hash(Sha256::new_with_prefix(text.as_bytes()))
    }

    fn of_hash(hash: Sha256) -> Self {
        let digest = hash.finalize();
        Self(digest.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

impl fmt::Display for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Id128 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no id: ids are 32 hexadecimal digits, lower case"))
    }
}

impl TryFrom<String> for Id128 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Id128> for String {
    fn from(id: Id128) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fire_has_the_same_run_id_whoever_computes_it() {
        let tenant = TenantId::default_tenant();
        let id = |uid, secs| Id128::of_fire(&tenant, Id128(uid), Timestamp::from_secs(secs));
        assert_eq!(id(1, 2), id(1, 2));
        assert_ne!(id(1, 2), id(1, 3));
        assert_ne!(id(1, 2), id(2, 2));
        assert_eq!(id(1, 2).to_string().parse(), Ok(id(1, 2)));
    }

    #[test]
    fn a_key_has_the_same_run_id_in_one_tenant_and_another_in_another() {
        let id = |tenant: &str, key| Id128::of_key(&tenant.parse().unwrap(), key);
        assert_eq!(id("default", "k"), id("default", "k"));
        assert_ne!(id("default", "k"), id("default", "l"));
        assert_ne!(id("default", "k"), id("acme", "k"));
    }
}
