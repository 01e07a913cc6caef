//! The keys of a job, and who may write which.
//!
//! Each list is contract: a key that is added here goes into the shipped `host.toml` too, and a
//! test holds the two together.

use super::super::Source;
use super::super::limits::CAP_KEYS;
use super::super::merge::Layer;
use crate::table::Keys;

/// The keys of a job.
pub const JOB: Keys = Keys {
    built: &[
        "plugin",
        "handler",
        "trigger",
        "args",
        "config",
        "tags",
        "queue",
        "priority",
        "misfire_grace_time",
        "coalesce",
        "max_catchup",
        "max_instances",
        "overlap",
        "queue_limit",
        "retry",
        "pause_after_failures",
        "rate_limit",
        "expires",
        "delivery",
        "max_rescues",
        "plugin_wait",
        "history",
        "limits",
        "capabilities",
        "smoke",
    ],
    planned: &[("result", "null")],
    reserved: &["on_success", "on_failure", "mutex", "calendar"],
    refused: &[],
};

/// The keys of `history`.
pub const HISTORY: Keys =
    Keys { built: &["keep", "max_age"], planned: &[], reserved: &[], refused: &[] };

/// The keys of `limits`.
pub const LIMITS: Keys = Keys { built: &LIMIT_KEYS, planned: &[], reserved: &[], refused: &[] };

const LIMIT_KEYS: [&str; CAP_KEYS.len() + 1] = {
    let mut keys = ["meter"; CAP_KEYS.len() + 1];
    let mut index = 0;
    while index < CAP_KEYS.len() {
        keys[index] = CAP_KEYS[index];
        index += 1;
    }
    keys
};

/// The keys of `retry`.
pub const RETRY: Keys = Keys {
    built: &["max_attempts", "backoff", "factor", "max_backoff", "jitter"],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys of `capabilities`.
pub const CAPABILITIES: Keys = Keys {
    built: &["dirs", "http", "tcp", "env", "secrets", "kv", "jobs"],
    planned: &[],
    reserved: &[],
    refused: &[],
};

/// The keys of a tenant's `allow`: the same, since it bounds them.
pub const ALLOW: Keys = CAPABILITIES;

/// The keys of one granted folder.
pub const DIR: Keys =
    Keys { built: &["host", "guest", "mode"], planned: &[], reserved: &[], refused: &[] };

const NOT_FOR_A_FILE: &[(&str, &str)] =
    &[("id", "`id` stands in REST bodies only; here the table's name is the id")];

const NOT_FOR_ALL_JOBS: &[(&str, &str)] = &[
    ("id", "`id` belongs to one job, not to `job_defaults`"),
    ("plugin", "`plugin` belongs to one job, not to `job_defaults`"),
    ("handler", "`handler` belongs to one job, not to `job_defaults`"),
    ("trigger", "`trigger` belongs to one job, not to `job_defaults`"),
    ("smoke", "`smoke` belongs to one job, not to `job_defaults`"),
    ("args", "`args` belong to one job, not to `job_defaults`"),
    ("capabilities", "`capabilities` are granted to one job, not by `job_defaults`"),
];

const NOT_FOR_A_HANDLER: &[(&str, &str)] = &[
    ("id", "`id` is given by the host, not by a handler"),
    ("plugin", "`plugin` is clear from the plugin itself; leave it out"),
    ("handler", "`handler` is clear from the handler itself; leave it out"),
];

const NOT_OVER_REST: &[(&str, &str)] = &[(
    "smoke",
    "`smoke` stands in files only: it is run for a plugin's file before anybody asks for its jobs",
)];

/// The keys of a job that `layer` may write.
pub fn of_layer(layer: Layer) -> Keys {
    let refused = match layer {
        Layer::Handler => NOT_FOR_A_HANDLER,
        Layer::JobDefaults | Layer::TenantDefaults => NOT_FOR_ALL_JOBS,
        Layer::Job(Source::File | Source::Sidecar) => NOT_FOR_A_FILE,
        // A REST body's `id` is taken out by whoever reads the body.
        Layer::Job(Source::Api | Source::Guest) => NOT_OVER_REST,
        Layer::BuiltIn | Layer::Job(Source::Plugin) => &[],
    };
    Keys { refused, ..JOB }
}

/// Whether `layer` may grant any capability: whoever writes `host.toml` owns the machine.
pub fn may_grant(layer: Layer) -> bool {
    match layer {
        Layer::BuiltIn | Layer::Job(Source::File) => true,
        Layer::Handler
        | Layer::JobDefaults
        | Layer::TenantDefaults
        | Layer::Job(Source::Sidecar | Source::Plugin | Source::Api | Source::Guest) => false,
    }
}
