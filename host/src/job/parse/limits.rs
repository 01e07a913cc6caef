//! The table `limits` of a job.

use std::time::Duration;

use serde_json::Value;

use super::super::bound::{Bound, Bounds};
use super::super::limits::{Limits, amount};
use super::{MAX_TEXT, keys};
use crate::table::value::{flag, shown};
use crate::table::{Table, unit};

/// What a layer says about `limits`.
#[derive(Clone, Default)]
pub struct LimitsDraft {
    timeout: Option<Duration>,
    grace: Option<Duration>,
    memory: Option<u64>,
    fuel: Option<Option<u64>>,
    meter: Option<bool>,
    log: Option<u64>,
    result: Option<u64>,
    args: Option<u64>,
    bounds: [Option<u64>; Bound::ALL.len()],
}

impl LimitsDraft {
    /// What this says, and where it says nothing what `below` says.
    pub fn over(self, below: &Self) -> Self {
        Self {
            timeout: self.timeout.or(below.timeout),
            grace: self.grace.or(below.grace),
            memory: self.memory.or(below.memory),
            fuel: self.fuel.or(below.fuel),
            meter: self.meter.or(below.meter),
            log: self.log.or(below.log),
            result: self.result.or(below.result),
            args: self.args.or(below.args),
            bounds: Bound::ALL
                .map(|bound| self.bounds[bound as usize].or(below.bounds[bound as usize])),
        }
    }

    /// The limits, when each has been said.
    pub fn finish(self) -> Option<Limits> {
        let mut bounds = Bounds::default();
        for bound in Bound::ALL {
            bounds = bounds.with(bound, self.bounds[bound as usize]?);
        }
        Some(Limits {
            timeout: self.timeout?,
            grace: self.grace?,
            memory: self.memory?,
            fuel: self.fuel?,
            meter: self.meter?,
            log: self.log?,
            result: self.result?,
            args: self.args?,
            bounds,
        })
    }
}

/// Reads `limits` of `job`.
pub fn limits(job: &mut Table<'_>) -> LimitsDraft {
    let Some(mut table) = job.table("limits", &keys::LIMITS) else {
        return LimitsDraft::default();
    };
    let draft = LimitsDraft {
        timeout: table.read("timeout", unit::positive_duration),
        grace: table.read("grace", unit::duration),
        memory: table.read("memory", |value| amount("memory", value)),
        fuel: table.read("fuel", unit::or_none(unit::fuel)),
        meter: table.read("meter", flag),
        log: table.read("log", |value| size_within(value, MAX_TEXT)),
        result: table.read("result", |value| size_within(value, MAX_TEXT)),
        args: table.read("args", |value| size_within(value, MAX_TEXT)),
        bounds: Bound::ALL.map(|bound| table.read(bound.spec().key, |value| bound.read(value))),
    };
    job.absorb(table.finish());
    draft
}

/// A size of `most` bytes at most.
fn size_within(value: &Value, most: u64) -> Result<u64, String> {
    match unit::size(value)? {
        size if size > most => {
            Err(format!("must be at most {}, not {}", unit::show_size(most), shown(value)))
        }
        size => Ok(size),
    }
}
