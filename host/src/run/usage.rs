//! What a run used: time, fuel, memory, and its calls to the host by kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// What a call to the host is about. Each passes the gate, which counts it under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The run itself: its progress, the time that it has left.
    Context,
    /// Its configuration and secrets.
    Config,
    /// Lines of its log.
    Log,
    /// Standard input, output and error.
    Stdio,
    /// Random bytes.
    Random,
    /// Granted folders.
    Filesystem,
    /// Buckets of keys and values.
    Keyvalue,
    /// Jobs of its tenant.
    Jobs,
    /// HTTP requests.
    Http,
    /// Names and TCP connections.
    Sockets,
    /// Reading and writing of whatever it has open.
    Streams,
    /// Waiting for whatever it has open.
    Poll,
}

impl Effect {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Context,
        Self::Config,
        Self::Log,
        Self::Stdio,
        Self::Random,
        Self::Filesystem,
        Self::Keyvalue,
        Self::Jobs,
        Self::Http,
        Self::Sockets,
        Self::Streams,
        Self::Poll,
    ];
}

impl Effect {
    /// The word that REST, the store and the metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Config => "config",
            Self::Log => "log",
            Self::Stdio => "stdio",
            Self::Random => "random",
            Self::Filesystem => "filesystem",
            Self::Keyvalue => "keyvalue",
            Self::Jobs => "jobs",
            Self::Http => "http",
            Self::Sockets => "sockets",
            Self::Streams => "streams",
            Self::Poll => "poll",
        }
    }
}

/// Calls of one kind, and the bytes that they moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoUse {
    /// Calls.
    pub calls: u64,
    /// Bytes that the guest got.
    pub bytes_in: u64,
    /// Bytes that the guest gave.
    pub bytes_out: u64,
}

/// What a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end, milliseconds.
    pub wall_ms: u64,
    /// On a processor, milliseconds.
    pub cpu_ms: u64,
    /// Of the time from start to end what it spent waiting for host calls and for its turn,
    /// milliseconds.
    #[serde(default)]
    pub waited_ms: u64,
    /// Units of fuel, when it was metered.
    pub fuel: Option<u64>,
    /// The largest sum of the instance's memories and tables, bytes.
    pub peak_memory_bytes: u64,
    /// Calls from the guest to the host that pass the gate.
    pub host_calls: u64,
    /// The same calls by kind; kinds without calls are left out.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "none_as_empty"
    )]
    pub io: BTreeMap<Effect, IoUse>,
}

impl Usage {
    /// Adds another attempt's use: sums, and the larger of the peaks.
    pub fn add(&mut self, other: &Self) {
        self.wall_ms += other.wall_ms;
        self.cpu_ms += other.cpu_ms;
        self.waited_ms += other.waited_ms;
        self.fuel = match (self.fuel, other.fuel) {
            (None, fuel) | (fuel, None) => fuel,
            (Some(mine), Some(theirs)) => Some(mine.saturating_add(theirs)),
        };
        self.peak_memory_bytes = self.peak_memory_bytes.max(other.peak_memory_bytes);
        self.host_calls += other.host_calls;
        for (effect, theirs) in &other.io {
            let mine = self.io.entry(*effect).or_default();
            mine.calls += theirs.calls;
            mine.bytes_in += theirs.bytes_in;
            mine.bytes_out += theirs.bytes_out;
        }
    }
}

/// A record without names has a hole where nothing stands.
fn none_as_empty<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Effect, IoUse>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_add_up_by_kind_and_the_larger_peak_stands() {
        let http = IoUse { calls: 1, bytes_in: 10, bytes_out: 3 };
        let one = Usage {
            wall_ms: 5,
            peak_memory_bytes: 7,
            host_calls: 1,
            io: BTreeMap::from([(Effect::Http, http)]),
            ..Usage::default()
        };
        let mut sum = Usage { fuel: Some(2), peak_memory_bytes: 3, ..Usage::default() };
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.wall_ms, sum.fuel, sum.peak_memory_bytes), (10, Some(2), 7));
        assert_eq!(sum.io[&Effect::Http], IoUse { calls: 2, bytes_in: 20, bytes_out: 6 });
        assert_eq!(Effect::ALL.len(), Effect::Poll as usize + 1);
    }
}
