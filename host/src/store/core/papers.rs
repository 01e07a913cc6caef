//! Steps on documents and counters, and on what is forgotten. None of these is live.

use std::sync::Arc;

use super::effects::{CounterKey, DocKey, Effects, Write};
use super::rounds::{Look, Looked};
use super::{Core, Past};
use crate::record::Doc;
use crate::record::step::Trimmed;
use crate::record::used::Bucket;
use crate::run::id::Uid;
use crate::run::{Run, RunKey};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// What need not be kept any longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Victims {
    /// Done runs.
    pub runs: Vec<RunKey>,
    /// Ranges.
    pub ranges: Vec<RangeMark>,
    /// Done runs that stay without log, arguments and result.
    pub bodies: Vec<RunKey>,
    /// Buckets of what was used.
    pub buckets: Vec<Bucket>,
    /// Documents.
    pub docs: Vec<DocKey>,
    /// Counters.
    pub counters: Vec<CounterKey>,
    /// Whose they are, and who else was looked at.
    pub looked: Looked,
}

/// A range as it was when it was found not to be needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeMark {
    /// Its place in the ledger.
    pub id: u64,
    /// The creation of its job.
    pub uid: Uid,
    /// Its last fire time. Once it has grown, it is needed again.
    pub last: Timestamp,
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

    /// Whose past is to be looked at now, to find what need not be kept.
    pub fn look(&mut self) -> Look {
        self.rounds.next()
    }

    /// Forgets what was found not to be needed any longer; whatever is live stays.
    ///
    /// # Errors
    ///
    /// Those of reading what is kept.
    pub fn forget(
        &mut self,
        past: &dyn Past,
        mut victims: Victims,
        fx: &mut Effects,
    ) -> Result<Trimmed> {
        let more = self.rounds.looked(std::mem::take(&mut victims.looked));
        let trimmed = self.let_go(past, victims, fx)?;
        Ok(Trimmed { more, ..trimmed })
    }

    /// The same of what was found out of any turn.
    ///
    /// # Errors
    ///
    /// Those of reading what is kept.
    pub fn let_go(
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
        let mut trimmed = Trimmed { records: 0, bodies: bare.len() as u64, more: false };
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
        for RangeMark { id, uid, last } in victims.ranges {
            if let Some(newest) = self.newest_range.get(&uid)
                && newest.id == id
            {
                if newest.range.last != last {
                    continue;
                }
                // It must not come back by growing.
                self.newest_range.remove(&uid);
            }
            trimmed.records += 1;
            fx.write(Write::RangeGone(id, last));
        }
        for bucket in victims.buckets {
            trimmed.records += 1;
            fx.write(Write::Bucket(bucket, None));
        }
        for doc in victims.docs {
            trimmed.records += 1;
            fx.write(Write::Doc(doc, None));
        }
        for counter in victims.counters {
            trimmed.records += 1;
            fx.write(Write::CounterGone(counter));
        }
        Ok(trimmed)
    }
}
