//! `[reload]`, for all tenants and for one: what happens to a plugin that comes in another version.

use serde_json::Value;

use super::keys;
use crate::plugin::signature::Key;
use crate::table::Table;
use crate::table::value::{flag, texts, whole};

/// Versions of one plugin that are kept at most.
const MAX_KEPT: u64 = 100;
/// Runs that may fail at most before the version before comes back.
const MAX_FAILURES: u64 = 1_000;
/// Public keys of one tenant at most.
const MAX_KEYS: usize = 100;

/// What happens to a plugin that comes in another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Versions that are kept, 1 to 100.
    pub keep_versions: usize,
    /// Failures from a version's first run on after which the one before comes back; 0: never.
    pub auto_rollback: u32,
    /// Whether one that wants more than the one before waits for approval.
    pub hold_new_capabilities: bool,
    /// Whether only signed plugins are taken.
    pub require_signature: bool,
    /// Who may sign them.
    pub signature_keys: Vec<Key>,
}

impl Reload {
    /// What holds when nothing is written. A tenant that has its own table need not be trusted with
    /// what its next version wants.
    pub fn built_in(is_default: bool) -> Self {
        Self {
            keep_versions: 5,
            auto_rollback: 3,
            hold_new_capabilities: !is_default,
            require_signature: false,
            signature_keys: Vec::new(),
        }
    }
}

/// What one table says; what it leaves out is told by the table above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    keep_versions: Option<usize>,
    auto_rollback: Option<u32>,
    hold_new_capabilities: Option<bool>,
    require_signature: Option<bool>,
    signature_keys: Option<Vec<Key>>,
}

impl Said {
    /// What stands under `reload` of a table.
    pub fn read(above: &mut Table<'_>) -> Self {
        let mut said = Self::default();
        let Some(mut table) = above.table("reload", &keys::RELOAD) else { return said };
        let keep = table.read("keep_versions", whole(1..=MAX_KEPT));
        said.keep_versions = keep.and_then(|number| usize::try_from(number).ok());
        let failures = table.read("auto_rollback", whole(0..=MAX_FAILURES));
        said.auto_rollback = failures.and_then(|number| u32::try_from(number).ok());
        said.hold_new_capabilities = table.read("hold_new_capabilities", flag);
        said.require_signature = table.read("require_signature", flag);
        said.signature_keys = table.read("signature_keys", signature_keys);
        above.absorb(table.finish());
        said
    }

    /// This over `base`.
    pub fn over(&self, base: Reload) -> Reload {
        Reload {
            keep_versions: self.keep_versions.unwrap_or(base.keep_versions),
            auto_rollback: self.auto_rollback.unwrap_or(base.auto_rollback),
            hold_new_capabilities: self.hold_new_capabilities.unwrap_or(base.hold_new_capabilities),
            require_signature: self.require_signature.unwrap_or(base.require_signature),
            signature_keys: self.signature_keys.clone().unwrap_or(base.signature_keys),
        }
    }
}

fn signature_keys(value: &Value) -> Result<Vec<Key>, String> {
    let keys = texts(value)?;
    if MAX_KEYS < keys.len() {
        return Err(format!("are {} keys, more than {MAX_KEYS}", keys.len()));
    }
    keys.iter().map(|key| Key::read(key)).collect()
}
