//! What one attempt may use, and the most that operators let any job have.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::bound::{Bound, Bounds};
use crate::table::unit;
use crate::table::value::shown;

/// `memory` at least: one page of WebAssembly, in bytes.
pub const MIN_MEMORY: u64 = 64 << 10;

/// What one attempt may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From start to end, host calls included.
    pub timeout: Duration,
    /// How long before its end `cancelled` is true already, so that the guest may end by itself.
    pub grace: Duration,
    /// Sum over all memories and tables of the instance, in bytes.
    pub memory: u64,
    /// Units of fuel, about one per instruction; `None`: not limited.
    pub fuel: Option<u64>,
    /// Count fuel even when it is not limited.
    pub meter: bool,
    /// Bytes of log kept, head and tail.
    pub log: u64,
    /// Bytes of result; a longer one fails the run.
    pub result: u64,
    /// Bytes of arguments as JSON text.
    pub args: u64,
    /// All else.
    pub bounds: Bounds,
}

impl Default for Limits {
    /// What is built in.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            grace: Duration::ZERO,
            memory: 64 << 20,
            fuel: None,
            meter: false,
            log: 64 << 10,
            result: 64 << 10,
            args: 1 << 20,
            bounds: Bounds::default(),
        }
    }
}

impl Limits {
    /// All of them as they are written in a file.
    pub fn written(&self) -> Value {
        let mut written = json!({
            "timeout": unit::show_duration(self.timeout),
            "grace": unit::show_duration(self.grace),
            "memory": unit::show_size(self.memory),
            "fuel": self.fuel.map_or_else(|| "none".to_owned(), unit::show_fuel),
            "meter": self.meter,
            "log": unit::show_size(self.log),
            "result": unit::show_size(self.result),
            "args": unit::show_size(self.args),
        });
        for bound in Bound::ALL {
            written[bound.spec().key] = bound.show(self.bounds[bound]);
        }
        written
    }
}

impl Limits {
    /// These, and of each no more than `caps` let any job have.
    #[must_use]
    pub fn held_to(&self, caps: &Caps) -> Self {
        let most = |key| caps.get(key).unwrap_or(u64::MAX);
        let time = |key, time: Duration| match most(key) {
            u64::MAX => time,
            most => time.min(Duration::from_nanos(most)),
        };
        let fuel = self.fuel.unwrap_or(u64::MAX).min(most("fuel"));
        let bounds = Bound::ALL.into_iter().fold(self.bounds.clone(), |bounds, bound| {
            let amount = bounds[bound].min(most(bound.spec().key));
            bounds.with(bound, amount)
        });
        Self {
            timeout: time("timeout", self.timeout),
            grace: time("grace", self.grace),
            memory: self.memory.min(most("memory")),
            fuel: (fuel != u64::MAX).then_some(fuel),
            meter: self.meter,
            log: self.log.min(most("log")),
            result: self.result.min(most("result")),
            args: self.args.min(most("args")),
            bounds,
        }
    }
}

/// The keys of `limits` that [`Bound`] does not have and that have an order: more is more.
const OWN_KEYS: [&str; 7] = ["timeout", "grace", "memory", "fuel", "log", "result", "args"];

/// The keys that a table of caps may have: all of `limits` but `meter`.
pub const CAP_KEYS: [&str; OWN_KEYS.len() + Bound::KEYS.len()] = {
    let mut keys = [""; OWN_KEYS.len() + Bound::KEYS.len()];
    let mut index = 0;
    while index < keys.len() {
        keys[index] = if index < OWN_KEYS.len() {
            OWN_KEYS[index]
        } else {
            Bound::KEYS[index - OWN_KEYS.len()]
        };
        index += 1;
    }
    keys
};

/// A limit as one number, so that limits can be compared: nanoseconds, bytes, units.
///
/// # Errors
///
/// What is wrong with the value. `none` is more than anything.
pub fn amount(key: &str, value: &Value) -> Result<u64, String> {
    match key {
        "timeout" => Ok(nanos(unit::positive_duration(value)?)),
        "grace" => Ok(nanos(unit::duration(value)?)),
        "fuel" => Ok(unit::or_none(unit::fuel)(value)?.unwrap_or(u64::MAX)),
        "memory" => match unit::size(value)? {
            size if size < MIN_MEMORY => Err(format!(
                "must be at least {}, not {}",
                unit::show_size(MIN_MEMORY),
                shown(value)
            )),
            size => Ok(size),
        },
        "log" | "result" | "args" => unit::size(value),
        key => match Bound::of_key(key) {
            Some(bound) => bound.read(value),
            None => Err(format!("`{key}` is no limit that has an order")),
        },
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The most that any job gets, by the keys of `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The table that they stand in: `executor.caps`.
    pub place: String,
    /// Each as it was written, and as one number.
    capped: BTreeMap<&'static str, (Value, u64)>,
}

impl Caps {
    /// No caps.
    pub fn none(place: &str) -> Self {
        Self { place: place.to_owned(), capped: BTreeMap::new() }
    }

    /// Sets one, if `value` is a limit of that key.
    ///
    /// # Errors
    ///
    /// What is wrong with the value.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let known = CAP_KEYS.into_iter().find(|known| *known == key);
        let known = known.ok_or_else(|| format!("`{key}` can't be capped"))?;
        self.capped.insert(known, (value.clone(), amount(key, value)?));
        Ok(())
    }

    /// The cap of a key, as one number.
    pub fn get(&self, key: &str) -> Option<u64> {
        self.capped.get(key).map(|(_, amount)| *amount)
    }

    /// Every cap: its key, as it is written, as one number.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value, u64)> {
        self.capped.iter().map(|(key, (value, amount))| (*key, value, *amount))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_of_any_unit_are_compared_as_numbers() {
        assert!(amount("timeout", &json!("90m")) > amount("timeout", &json!("1h")));
        assert!(amount("fuel", &json!("none")) > amount("fuel", &json!("900G")));
        assert!(amount("written", &json!("1GiB")) > amount("written", &json!("1000MiB")));
        assert!(amount("meter", &json!(true)).is_err());
    }

    #[test]
    fn every_limit_is_held_to_its_cap_and_none_is_raised() {
        let limits = Limits { fuel: Some(700), ..Limits::default() };
        assert_eq!(limits.held_to(&Caps::none("executor.caps")), limits);
        for key in CAP_KEYS {
            let mut caps = Caps::none("executor.caps");
            let written = limits.written();
            caps.set(key, &written[key]).unwrap();
            assert_eq!(limits.held_to(&caps), limits, "{key}: its own value");
            let lower = match key {
                "timeout" => json!("1s"),
                "grace" => continue,
                "memory" => json!("64KiB"),
                "fuel" => json!(600),
                "log" | "result" | "args" => json!(5),
                key => Bound::of_key(key).unwrap().show(Bound::of_key(key).unwrap().spec().least),
            };
            caps.set(key, &lower).unwrap();
            let held = limits.held_to(&caps);
            assert_eq!(amount(key, &held.written()[key]), amount(key, &lower), "{key}");
            let mut written = written;
            written[key] = held.written()[key].clone();
            assert_eq!(held.written(), written, "{key}: others changed");
        }
        let mut caps = Caps::none("executor.caps");
        caps.set("grace", &json!("1s")).unwrap();
        caps.set("fuel", &json!(9)).unwrap();
        let held = Limits { grace: Duration::MAX, ..Limits::default() }.held_to(&caps);
        assert_eq!((held.grace, held.fuel), (Duration::from_secs(1), Some(9)));
    }

    #[test]
    fn a_cap_is_one_of_a_known_key() {
        let mut caps = Caps::none("executor.caps");
        assert_eq!(caps.set("open_files", &json!(8)), Ok(()));
        assert_eq!(caps.get("open_files"), Some(8));
        assert!(caps.set("meter", &json!(true)).is_err());
        assert!(caps.set("memory", &json!("much")).is_err());
        assert_eq!(caps.iter().count(), 1);
    }
}
