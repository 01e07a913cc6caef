//! The limits that are plain amounts: one table of all, from which keys, defaults, messages and the
//! documentation are made.
//!
//! Time, fuel and memory have outcomes of their own and stand in [`Limits`](super::Limits); what
//! stands here ends a run as `limit_exceeded`, or is refused at the call.

use std::fmt;
use std::ops::Index;
use std::time::Duration;

use serde_json::Value;

use crate::table::unit;
use crate::table::value::{shown, whole};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How the amount of a limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes: `64KiB`.
    Size,
    /// So many.
    Count,
    /// Milliseconds, written as a duration: `30s`.
    Millis,
}

/// One limit that is a plain amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Elements over all tables of the instance.
    TableElements,
    /// Core instances of one component.
    CoreInstances,
    /// Bytes that one call may hand to the host.
    CallBytes,
    /// Component handles at once.
    Handles,
    /// Things of the host that the guest holds at once: streams, files, requests, pollables.
    Resources,
    /// Calls to the host in one second.
    HostCalls,
    /// Random bytes of one run.
    Random,
    /// Files and folders open at once.
    OpenFiles,
    /// Streams open at once.
    OpenStreams,
    /// Files and folders made by one run.
    Files,
    /// Bytes written to files by one run.
    Written,
    /// Bytes of one value in a bucket.
    KvValue,
    /// Bytes of all values and keys of one bucket.
    KvTotal,
    /// HTTP exchanges under way at once.
    HttpConnections,
    /// Bytes of one request's or response's body.
    HttpBody,
    /// Bytes of the headers of one request or response.
    HttpHeaders,
    /// From the call until the last byte of the response.
    HttpTimeout,
    /// Sockets open at once.
    Sockets,
}

/// What there is to know of a [`Bound`].
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its key in `limits`.
    pub key: &'static str,
    /// How its amount is written.
    pub unit: Unit,
    /// What stands when nothing is written.
    pub default: u64,
    /// It can't be set lower.
    pub least: u64,
    /// It can't be set higher.
    pub most: u64,
    /// What it bounds, for messages: "its 70 open files".
    pub what: &'static str,
}

impl Bound {
    /// All there are, in the order in which they are shown.
    pub const ALL: [Self; 18] = [
        Self::TableElements,
        Self::CoreInstances,
        Self::CallBytes,
        Self::Handles,
        Self::Resources,
        Self::HostCalls,
        Self::Random,
        Self::OpenFiles,
        Self::OpenStreams,
        Self::Files,
        Self::Written,
        Self::KvValue,
        Self::KvTotal,
        Self::HttpConnections,
        Self::HttpBody,
        Self::HttpHeaders,
        Self::HttpTimeout,
        Self::Sockets,
    ];

    /// The keys of all, in the same order.
    pub const KEYS: [&'static str; Self::ALL.len()] = {
        let mut keys = [""; Self::ALL.len()];
        let mut index = 0;
        while index < keys.len() {
            keys[index] = Self::ALL[index].spec().key;
            index += 1;
        }
        keys
    };

    /// What there is to know of it.
    pub const fn spec(self) -> Spec {
        const fn spec(
            key: &'static str,
            unit: Unit,
            default: u64,
            (least, most): (u64, u64),
            what: &'static str,
        ) -> Spec {
            Spec { key, unit, default, least, most, what }
        }
        use Unit::{Count, Millis, Size};
        match self {
            Self::TableElements => {
                spec("table_elements", Count, 100_000, (0, 1_000_000), "table elements")
            }
            Self::CoreInstances => spec("core_instances", Count, 64, (1, 256), "core instances"),
            Self::CallBytes => {
                spec("call_bytes", Size, 16 * MIB, (64 * KIB, GIB), "bytes in one host call")
            }
            Self::Handles => spec("handles", Count, 10_000, (16, 1_000_000), "handles at once"),
            Self::Resources => {
                spec("resources", Count, 1_000, (16, 1_000_000), "resources of the host at once")
            }
            Self::HostCalls => {
                let most = 1_000_000_000;
                spec("host_calls", Count, 1_000_000, (1, most), "host calls in one second")
            }
            Self::Random => spec("random", Size, 64 * MIB, (0, GIB), "random bytes"),
            Self::OpenFiles => spec("open_files", Count, 64, (0, 10_000), "open files and folders"),
            Self::OpenStreams => spec("open_streams", Count, 256, (4, 100_000), "open streams"),
            Self::Files => spec("files", Count, 10_000, (0, 100_000_000), "files and folders made"),
            Self::Written => spec("written", Size, GIB, (0, 1 << 50), "bytes written to files"),
            Self::KvValue => spec("kv_value", Size, MIB, (0, 16 * MIB), "bytes in one value"),
            Self::KvTotal => spec("kv_total", Size, 16 * MIB, (0, GIB), "bytes in one bucket"),
            Self::HttpConnections => {
                spec("http_connections", Count, 16, (0, 1_000), "HTTP exchanges at once")
            }
            Self::HttpBody => {
                spec("http_body", Size, 16 * MIB, (0, 1 << 40), "bytes in one HTTP body")
            }
            Self::HttpHeaders => {
                spec("http_headers", Size, 64 * KIB, (KIB, MIB), "bytes of HTTP headers")
            }
            Self::HttpTimeout => {
                let day = 24 * 3_600 * 1_000;
                spec("http_timeout", Millis, 30_000, (1, day), "time of one HTTP exchange")
            }
            Self::Sockets => spec("sockets", Count, 64, (0, 1_000), "open sockets"),
        }
    }

    /// The one of this key.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bound| bound.spec().key == key)
    }

    /// Reads an amount.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(self, value: &Value) -> Result<u64, String> {
        let Spec { unit, least, most, .. } = self.spec();
        let amount = match unit {
            Unit::Count => return whole(least..=most)(value),
            Unit::Size => unit::size(value)?,
            Unit::Millis => u64::try_from(unit::duration(value)?.as_millis()).unwrap_or(u64::MAX),
        };
        match amount {
            amount if amount < least => {
                Err(format!("must be at least {}, not {}", self.text(least), shown(value)))
            }
            amount if amount > most => {
                Err(format!("must be at most {}, not {}", self.text(most), shown(value)))
            }
            amount => Ok(amount),
        }
    }

    /// An amount as it is written in a file.
    pub fn show(self, amount: u64) -> Value {
        match self.spec().unit {
            Unit::Count => Value::from(amount),
            Unit::Size | Unit::Millis => Value::from(self.text(amount)),
        }
    }

    /// An amount for people.
    pub fn text(self, amount: u64) -> String {
        match self.spec().unit {
            Unit::Count => amount.to_string(),
            Unit::Size => unit::show_size(amount),
            Unit::Millis => unit::show_duration(Duration::from_millis(amount)),
        }
    }
}

/// An amount for each [`Bound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds([u64; Bound::ALL.len()]);

impl Bounds {
    /// The same, with another amount for one of them.
    #[must_use]
    pub fn with(mut self, bound: Bound, amount: u64) -> Self {
        self.0[bound as usize] = amount;
        self
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self(Bound::ALL.map(|bound| bound.spec().default))
    }
}

impl Index<Bound> for Bounds {
    type Output = u64;

    fn index(&self, bound: Bound) -> &u64 {
        &self.0[bound as usize]
    }
}

/// A limit that was gone over: which, how far, and the key that raises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit.
    pub bound: Bound,
    /// What was wanted; `None`: more than there is, nobody says how much.
    pub wanted: Option<u64>,
    /// What there is.
    pub limit: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { key, what, .. } = self.bound.spec();
        let wanted = self.wanted.map_or_else(|| "more".to_owned(), |it| self.bound.text(it));
        let limit = self.bound.text(self.limit);
        write!(
            f,
            "it wanted {wanted} ({what}), over its limit of {limit}; `limits.{key}` raises it"
        )
    }
}

impl std::error::Error for Exceeded {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_limit_has_a_key_of_its_own_and_a_default_within_its_range() {
        for (index, bound) in Bound::ALL.into_iter().enumerate() {
            let spec = bound.spec();
            assert_eq!(bound as usize, index, "{bound:?}");
            assert!((spec.least..=spec.most).contains(&spec.default), "{bound:?}");
            assert_eq!(Bound::of_key(spec.key), Some(bound), "{bound:?}");
            assert_eq!(bound.read(&bound.show(spec.default)), Ok(spec.default), "{bound:?}");
        }
    }

    #[test]
    fn an_amount_is_written_in_its_own_unit_and_held_within_its_range() {
        assert_eq!(Bound::Written.read(&json!("2MiB")), Ok(2 << 20));
        assert_eq!(Bound::HttpTimeout.read(&json!("2s")), Ok(2_000));
        assert_eq!(Bound::OpenFiles.read(&json!(3)), Ok(3));
        let error = Bound::HttpHeaders.read(&json!("1GiB")).unwrap_err();
        assert_eq!(error, "must be at most 1MiB, not `1GiB`");
        assert!(Bound::CoreInstances.read(&json!(0)).is_err());
    }

    #[test]
    fn what_was_gone_over_is_told_with_its_key() {
        let exceeded = Exceeded { bound: Bound::OpenFiles, wanted: Some(65), limit: 64 };
        assert_eq!(
            exceeded.to_string(),
            "it wanted 65 (open files and folders), over its limit of 64; `limits.open_files` \
             raises it"
        );
    }
}
