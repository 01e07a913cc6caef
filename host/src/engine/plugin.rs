//! A compiled plugin, ready to be instantiated.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::call::Entry;
use crate::plugin::About;

/// The SHA-256 of a plugin's file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(Sha256::digest(bytes)) {
            *to = from;
        }
        Self(digest)
    }

    /// 32 bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `sha256:` and 64 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A compiled plugin. Runs in flight keep theirs while the catalog moves on.
pub struct Plugin {
    /// What it says about itself.
    pub about: About,
    pub(super) bytes: Arc<[u8]>,
    pub(super) digest: Digest,
    pub(super) entry: Entry,
    /// The same, compiled with fuel, on first need.
    pub(super) metered: OnceCell<Result<Entry, String>>,
}

impl Plugin {
    /// The file that it was compiled from.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("digest", &self.digest).finish_non_exhaustive()
    }
}
