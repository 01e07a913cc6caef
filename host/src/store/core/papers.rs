//! Steps on documents and counters, and on what is forgotten. None of these is live.

use std::collections::HashSet;
use std::sync::Arc;

use super::effects::{CounterKey, DocKey, Effects, Write};
use super::{Core, Past};
use crate::record::Doc;
use crate::record::step::Trimmed;
use crate::run::{Run, RunKey};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// What need not be kept any longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Victims {
    /// Done runs.
    pub runs: Vec<RunKey>,
    /// Ranges, with the last fire time they had.
    pub ranges: Vec<(u64, Timestamp)>,
    /// Done runs that stay without log, arguments and result.
    pub bodies: Vec<RunKey>,
}

impl Core {
    /// Writes a document whose version is `expect`, or removes it. Answers the new version.
    ///
    /// # Errors
    ///
    /// `Conflict` when it has another version.
    pub fn doc_put(
        past: &dyn Past,
        doc: DocKey,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        fx: &mut Effects,
    ) -> Result<u64> {
        let old = past.doc(&doc)?;
        let current = old.as_ref().map_or(0, |old| old.version);
        let Some(value) = value else {
            if expect.is_some_and(|expect| expect != current) && current != 0 {
                return Err(StoreError::Conflict { current });
            }
            if current != 0 {
                fx.write(Write::Doc(doc, None));
            }
            return Ok(0);
        };
        if let Some(expect) = expect
            && expect != current
        {
            let is_noted = old.is_some_and(|old| old.version == expect + 1 && old.value == value);
            return if is_noted { Ok(current) } else { Err(StoreError::Conflict { current }) };
        }
        let version = current + 1;
        let kept = Doc { key: doc.key.clone(), version, value };
        fx.write(Write::Doc(doc, Some(kept)));
        Ok(version)
    }

    /// Adds to a counter unless it would pass `limit`.
    ///
    /// # Errors
    ///
    /// `Invalid` when the sum is no 64-bit number.
    pub fn counter_add(
        past: &dyn Past,
        counter: CounterKey,
        by: i64,
        limit: Option<i64>,
        fx: &mut Effects,
    ) -> Result<Option<i64>> {
        let sum = past
            .counter(&counter)?
            .checked_add(by)
            .ok_or_else(|| StoreError::Invalid(format!("counter {} overflows", counter.key)))?;
        if 0 < by && limit.is_some_and(|limit| limit < sum) {
            return Ok(None);
        }
        fx.write(Write::Counter(counter, sum));
        Ok(Some(sum))
    }

    /// Forgets what was found not to be needed any longer; whatever is live stays.
    ///
    /// # Errors
    ///
    /// Those of reading what is kept.
    pub fn forget(
        &mut self,
        past: &dyn Past,
        victims: Victims,
        fx: &mut Effects,
    ) -> Result<Trimmed> {
        let mut bare = Vec::new();
        for key in victims.bodies {
            if !self.live.contains_key(&key)
                && let Some(run) = past.run(&key)?
            {
                let mut run = Run::clone(&run);
                (run.args, run.result) = (None, None);
                bare.push((key, Arc::new(run)));
            }
        }
        let mut trimmed = Trimmed { records: 0, bodies: bare.len() as u64 };
        for (key, run) in bare {
            fx.write(Write::LogGone(key));
            fx.write(Write::Run(run));
        }
        for key in victims.runs {
            if !self.live.contains_key(&key) {
                trimmed.records += 1;
                fx.write(Write::RunGone(key));
            }
        }
        // A range that is forgotten must not come back by growing.
        let gone: HashSet<(u64, Timestamp)> = victims.ranges.iter().copied().collect();
        self.newest_range.retain(|_, kept| !gone.contains(&(kept.id, kept.range.last)));
        for (id, last) in victims.ranges {
            trimmed.records += 1;
            fx.write(Write::RangeGone(id, last));
        }
        Ok(trimmed)
    }
}

impl Victims {
    /// Keeps `budget` of them: records first, since they take their bodies with them.
    pub fn hold_within(&mut self, budget: usize) {
        self.runs.truncate(budget);
        self.ranges.truncate(budget.saturating_sub(self.runs.len()));
        let gone: HashSet<&RunKey> = self.runs.iter().collect();
        self.bodies.retain(|run| !gone.contains(run));
        self.bodies.truncate(budget.saturating_sub(self.runs.len() + self.ranges.len()));
    }
}
