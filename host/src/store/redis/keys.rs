//! Where everything is: a fixed, small set of keys, each declared by each script.
//!
//! One hash tag for a shard, `{PREFIX:SHARD}`, so that one node of a cluster holds all of it. Nothing
//! has a time to live: no key ever goes by itself.

/// The one shard of a store on a single server.
const SHARD: u32 = 0;

/// The keys in the order that scripts name them: the name in Lua, the name in the store.
///
/// | key | type | what |
/// |---|---|---|
/// | `m` | hash | `schema`, `store_id`, `server`, `gen`, `fence`, `tag` (the largest that a tenant ever had), `range`, `docs`, `importing`, `allot` (what queues may have), `allot_by`, `base:...` (what is built in) |
/// | `def`, `pl` | hash | by job: definition (opaque); last run and planning record |
/// | `job`, `due` | sorted sets | jobs by name; by when they are due |
/// | `run`, `hr` | hash | by run: live records, done records |
/// | `jl` | sorted set by text | live runs of a job, by creation: who has a slot, who waits for one |
/// | `q` | sorted set by text | `tenant/queue/plugin`, then priority, fire time, run: who may start |
/// | `lt`, `dl` | sorted sets | runs that wait for a time; by when they are given up |
/// | `own`, `ses`, `sei` | | what each session holds; its counter; what its host says |
/// | `ra`, `lv` | sorted sets by text | runs by age, all and live |
/// | `jr`, `jf`, `jd`, `jb` | sorted sets by text | of a job: its runs, fires, done runs, bodies |
/// | `rg`, `ro`, `rj`, `rn` | | ranges by id; the open one of a uid; of a job by time, by age |
/// | `lg`, `ln` | hash | by run: log, its number of lines |
/// | `doc`, `dk`, `ctr` | | documents, their names, counters |
/// | `us` | hash | what was used, by bucket: `tenant`, hour, job |
/// | `ub`, `ua` | sorted sets by text | buckets by tenant; by age |
/// | `al`, `ac` | hash | by tenant: what it may have; what it has |
/// | `qr` | hash | by queue: attempts under way |
/// | `wt` | sorted set by text | tenants whose runs may begin: tag, tenant |
/// | `sv` | sorted set by text | what each session serves: queues, plugins, the digest of them |
/// | `log` | stream | the feed of changes |
/// | `w` | channel | hints |
const NAMES: [(&str, &str); 38] = [
    ("META", "m"),
    ("DEF", "def"),
    ("PLAN", "pl"),
    ("JOB", "job"),
    ("DUE", "due"),
    ("LIVE", "run"),
    ("PAST", "hr"),
    ("JOB_LIVE", "jl"),
    ("READY", "q"),
    ("LATER", "lt"),
    ("DEADLINE", "dl"),
    ("OWN", "own"),
    ("SES", "ses"),
    ("HOST", "sei"),
    ("BY_AGE", "ra"),
    ("LIVE_AGE", "lv"),
    ("JOB_RUN", "jr"),
    ("JOB_FIRE", "jf"),
    ("JOB_DONE", "jd"),
    ("JOB_BODY", "jb"),
    ("RANGE", "rg"),
    ("RANGE_OPEN", "ro"),
    ("RANGE_JOB", "rj"),
    ("RANGE_AGE", "rn"),
    ("LOG", "lg"),
    ("LINES", "ln"),
    ("DOC", "doc"),
    ("DOC_KEY", "dk"),
    ("COUNTER", "ctr"),
    ("USED", "us"),
    ("USED_BY", "ub"),
    ("USED_AGE", "ua"),
    ("ALLOT", "al"),
    ("ACCOUNT", "ac"),
    ("RUNNING", "qr"),
    ("WAITING", "wt"),
    ("SERVES", "sv"),
    ("FEED", "log"),
];
/// The channel of hints; declared like a key, and last.
const HINT: (&str, &str) = ("HINT", "w");

/// How many keys each script is given.
pub(super) const COUNT: usize = NAMES.len() + 1;

/// The full names of one store's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    names: Vec<String>,
}

impl Keys {
    /// Those of the store with this prefix.
    pub(super) fn new(prefix: &str) -> Self {
        let tag = format!("{{{prefix}:{SHARD}}}");
        let names = NAMES.iter().chain([&HINT]).map(|(_, short)| format!("{tag}:{short}"));
        Self { names: names.collect() }
    }

    /// All of them, in the order of the scripts' `KEYS`.
    pub(super) fn all(&self) -> &[String] {
        &self.names
    }

    /// The one that scripts call `lua`.
    pub(super) fn of(&self, lua: &str) -> &str {
        let place = NAMES.iter().chain([&HINT]).position(|(name, _)| *name == lua);
        place.and_then(|place| self.names.get(place)).map_or("", String::as_str)
    }
}

/// The line that gives each script its names for the keys.
pub(super) fn lua_header() -> String {
    let names: Vec<&str> = NAMES.iter().chain([&HINT]).map(|(name, _)| *name).collect();
    format!("local {} = unpack(KEYS)\n", names.join(", "))
}
