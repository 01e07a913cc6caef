//! The keys of `host.toml` outside its jobs. The keys of a job are `job`'s.
//!
//! Each list is contract: a key that is added here goes into the shipped `host.toml` too, and a
//! test holds the two together.

use crate::job::limits::CAP_KEYS;
use crate::job::quota::QuotaKey;
use crate::table::Keys;

/// The keys at the top.
pub const TOP: Keys = Keys {
    built: &[
        "plugins",
        "state_dir",
        "store",
        "timezone",
        "roles",
        "auto_schedule",
        "config_version",
        "executor",
        "api",
        "job_defaults",
        "jobs",
        "secrets",
        "secrets_dir",
        "tenants",
        "reload",
        "include",
        "queues",
    ],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys of `store` when it is a table.
pub const STORE: Keys = Keys {
    built: &[
        "url",
        "username",
        "password",
        "ca_file",
        "durability",
        "allow_volatile",
        "ttl",
        "prefix",
    ],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys that say where a secret stands.
pub const SECRET: Keys =
    Keys { built: &["env", "file"], planned: &[], reserved: &[], refused: &[] };

/// The keys of `executor`.
pub const EXECUTOR: Keys = Keys {
    built: &["max_running", "queues", "memory", "drain", "caps"],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys of `executor.caps` and of a tenant's `caps`.
pub const CAPS: Keys = Keys { built: &CAP_KEYS, planned: &[], reserved: &[], refused: &[] };

/// The keys of `reload`, at the top and of a tenant.
pub const RELOAD: Keys = Keys {
    built: &[
        "keep_versions",
        "auto_rollback",
        "hold_new_capabilities",
        "require_signature",
        "signature_keys",
    ],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys of one tenant.
pub const TENANT: Keys = Keys {
    built: &[
        "allow",
        "caps",
        "reload",
        "plugins_dir",
        "job_defaults",
        "secrets",
        "jobs",
        "quota",
        "weight",
    ],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys of a tenant's `quota`.
pub const QUOTA: Keys = Keys { built: &QuotaKey::NAMES, planned: &[], reserved: &[], refused: &[] };

/// The keys of one queue of the fleet.
pub const QUEUE: Keys = Keys { built: &["max_running"], planned: &[], reserved: &[], refused: &[] };

/// The keys of `api`.
pub const API: Keys =
    Keys { built: &["listen", "tokens", "tls"], planned: &[], reserved: &[], refused: &[] };

/// The keys of `api.tls`.
pub const TLS: Keys = Keys { built: &["cert", "key"], planned: &[], reserved: &[], refused: &[] };

/// Why a key of `host.toml` may not stand in a sidecar.
const HOST_ONLY: &str = "stands in `host.toml` only; a sidecar has `[jobs.ID]` tables";

/// Why a key of `host.toml` may not stand in a file that it includes.
const TENANTS_ONLY: &str = "stands in `host.toml` only; an included file has `[tenants.X]` tables";

/// The keys of a file that is included.
pub const INCLUDED: Keys = Keys {
    built: &["tenants"],
    planned: &[],
    reserved: &[],
    refused: &[
        ("plugins", TENANTS_ONLY),
        ("state_dir", TENANTS_ONLY),
        ("store", TENANTS_ONLY),
        ("timezone", TENANTS_ONLY),
        ("roles", TENANTS_ONLY),
        ("auto_schedule", TENANTS_ONLY),
        ("config_version", TENANTS_ONLY),
        ("executor", TENANTS_ONLY),
        ("api", TENANTS_ONLY),
        ("job_defaults", TENANTS_ONLY),
        ("jobs", TENANTS_ONLY),
        ("secrets", TENANTS_ONLY),
        ("secrets_dir", TENANTS_ONLY),
        ("reload", TENANTS_ONLY),
        ("include", TENANTS_ONLY),
        ("queues", TENANTS_ONLY),
    ],
};

/// The keys of a sidecar.
pub const SIDECAR: Keys = Keys {
    built: &["jobs"],
    planned: &[],
    reserved: &[],
    refused: &[
        ("plugins", HOST_ONLY),
        ("state_dir", HOST_ONLY),
        ("store", HOST_ONLY),
        ("timezone", HOST_ONLY),
        ("roles", HOST_ONLY),
        ("auto_schedule", HOST_ONLY),
        ("config_version", HOST_ONLY),
        ("executor", HOST_ONLY),
        ("api", HOST_ONLY),
        ("job_defaults", HOST_ONLY),
        ("secrets", HOST_ONLY),
        ("secrets_dir", HOST_ONLY),
        ("tenants", HOST_ONLY),
        ("reload", HOST_ONLY),
        ("include", HOST_ONLY),
        ("queues", HOST_ONLY),
    ],
};
