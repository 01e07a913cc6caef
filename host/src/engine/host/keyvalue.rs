//! `wasi:keyvalue` and `campanile:job/state`: buckets that outlive the run.

use std::collections::VecDeque;

use wasmtime::component::Resource;

use crate::engine::bindings::campanile::job::state;
use crate::engine::bindings::wasi::keyvalue::{atomics, store};
use crate::engine::guest::Guest;
use crate::engine::kv::{Bucket, Change, KvError, MAX_KEY_BYTES};
use crate::engine::services::Services;
use crate::job::bound::{Bound, Exceeded};
use crate::run::usage::Effect;

/// Places in a list of keys that an opened bucket remembers; older ones can't be gone on from.
const MAX_CURSORS: usize = 64;

/// What a run without a host is told.
const NO_HOST: &str = "`host run` has neither buckets nor other jobs; let a host run it as a job";

/// A bucket that a guest has opened.
pub struct Opened {
    bucket: Bucket,
    cursors: VecDeque<(u64, String)>,
    next_cursor: u64,
}

/// What a call of a bucket comes to.
type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl Guest {
    /// The bucket of a name, if the run may have it.
    fn bucket(&self, name: &str) -> Result<Bucket, String> {
        if !self.granted.kv {
            return Err(self.refuse(&format!("the key-value bucket `{name}`"), "kv = true"));
        }
        Bucket::named(&self.services()?.job, name)
    }

    /// What the run may ask of its host.
    pub(super) fn services(&self) -> Result<Services, String> {
        self.services.clone().ok_or_else(|| NO_HOST.to_owned())
    }

    /// Refuses what only a host has.
    pub(super) fn refuse(&self, what: &str, key: &str) -> String {
        let refused = self.deny(what, key);
        match self.services {
            Some(_) => refused,
            None => format!("{refused}; {NO_HOST}"),
        }
    }

    fn opened(&self, bucket: &Resource<Opened>) -> wasmtime::Result<(Services, Bucket)> {
        let bucket = self.table.get(bucket)?.bucket.clone();
        Ok((self.services().map_err(wasmtime::Error::msg)?, bucket))
    }

    async fn change<T>(
        &mut self,
        (services, bucket): (Services, Bucket),
        key: &str,
        decide: impl FnMut(Option<&[u8]>) -> Result<Change<T>, KvError>,
    ) -> Result<T, String> {
        check(key)?;
        let limit = self.meter.limit(Bound::KvTotal);
        let changed = bucket.change(&services.desk, key, (limit, &mut self.may_recount), decide);
        changed.await.map_err(|error| self.failed(error))
    }

    /// Notes that a bucket is full.
    fn failed(&mut self, error: KvError) -> String {
        match error {
            KvError::Full(wanted) => match self.meter.allow(Bound::KvTotal, wanted) {
                Err(exceeded) => self.in_words(exceeded),
                // Its bucket is full for another run, which may hold less.
                Ok(()) => KvError::Full(wanted).to_string(),
            },
            error => error.to_string(),
        }
    }

    /// A limit was gone over: in words, for the guest.
    fn in_words(&mut self, exceeded: Exceeded) -> String {
        self.tell(exceeded);
        exceeded.to_string()
    }

    /// Holds a value to its size.
    fn fits(&mut self, value: &[u8]) -> Result<(), String> {
        let fits = self.meter.allow(Bound::KvValue, value.len() as u64);
        fits.map_err(|exceeded| self.in_words(exceeded))?;
        self.meter.bytes_out(Effect::Keyvalue, value.len());
        Ok(())
    }
}

impl store::Host for Guest {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Opened>> {
        self.gate(Effect::Keyvalue)?;
        match self.bucket(&identifier) {
            Ok(bucket) => {
                let opened = Opened { bucket, cursors: VecDeque::new(), next_cursor: 1 };
                Ok(Ok(self.table.push(opened)?))
            }
            Err(why) => Ok(Err(store::Error::Other(why))),
        }
    }
}

impl store::HostBucket for Guest {
    async fn get(&mut self, bucket: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        self.gate(Effect::Keyvalue)?;
        let (services, bucket) = self.opened(&bucket)?;
        if let Err(why) = check(&key) {
            return Ok(Err(store::Error::Other(why)));
        }
        let value = bucket.get(&services.desk, &key).await;
        if let Ok(Some(value)) = &value {
            self.meter.bytes_in(Effect::Keyvalue, value.len());
        }
        Ok(value.map_err(|error| store::Error::Other(error.to_string())))
    }

    async fn set(&mut self, bucket: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        self.gate(Effect::Keyvalue)?;
        let opened = self.opened(&bucket)?;
        if let Err(why) = self.fits(&value) {
            return Ok(Err(store::Error::Other(why)));
        }
        let set = self.change(opened, &key, |_| Ok(Change::Set(value.clone(), ())));
        Ok(set.await.map_err(store::Error::Other))
    }

    async fn delete(&mut self, bucket: Resource<Opened>, key: String) -> Answer<()> {
        self.gate(Effect::Keyvalue)?;
        let opened = self.opened(&bucket)?;
        let deleted = self.change(opened, &key, |_| Ok(Change::Delete(())));
        Ok(deleted.await.map_err(store::Error::Other))
    }

    async fn exists(&mut self, bucket: Resource<Opened>, key: String) -> Answer<bool> {
        self.gate(Effect::Keyvalue)?;
        let (services, bucket) = self.opened(&bucket)?;
        if let Err(why) = check(&key) {
            return Ok(Err(store::Error::Other(why)));
        }
        let value = bucket.get(&services.desk, &key).await;
        let exists = value.map(|value| value.is_some());
        Ok(exists.map_err(|error| store::Error::Other(error.to_string())))
    }

    async fn list_keys(
        &mut self,
        handle: Resource<Opened>,
        cursor: Option<u64>,
    ) -> Answer<store::KeyResponse> {
        self.gate(Effect::Keyvalue)?;
        let (services, bucket) = self.opened(&handle)?;
        let from = match cursor {
            None => None,
            Some(number) => match self.table.get(&handle)?.place(number) {
                Some(place) => Some(place),
                None => {
                    let why = format!(
                        "cursor {number} is not one of the last {MAX_CURSORS} that this bucket \
                         gave since it was opened; begin without one"
                    );
                    return Ok(Err(store::Error::Other(why)));
                }
            },
        };
        let found = match bucket.keys(&services.desk, from).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(store::Error::Other(error.to_string()))),
        };
        self.meter.bytes_in(Effect::Keyvalue, found.keys.iter().map(String::len).sum());
        let opened = self.table.get_mut(&handle)?;
        let cursor = found.next.map(|place| opened.remember(place));
        Ok(Ok(store::KeyResponse { keys: found.keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Guest {
    async fn increment(
        &mut self,
        bucket: Resource<Opened>,
        key: String,
        delta: u64,
    ) -> Answer<u64> {
        self.gate(Effect::Keyvalue)?;
        let opened = self.opened(&bucket)?;
        let sum = self.change(opened, &key, |old| {
            let sum = add(old, delta).map_err(|why| {
                KvError::Unfit(format!("`{key}` can't be incremented by {delta}: {why}"))
            })?;
            Ok(Change::Set(sum.to_string().into_bytes(), sum))
        });
        Ok(sum.await.map_err(store::Error::Other))
    }
}

impl state::Host for Guest {
    async fn compare_and_swap(
        &mut self,
        bucket: String,
        key: String,
        expect: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, String>> {
        self.gate(Effect::Keyvalue)?;
        let opened = match self.bucket(&bucket) {
            Ok(bucket) => (self.services().map_err(wasmtime::Error::msg)?, bucket),
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = new.as_deref().map_or(Ok(()), |new| self.fits(new)) {
            return Ok(Err(why));
        }
        let swapped = self.change(opened, &key, |old| {
            if old != expect.as_deref() {
                return Ok(Change::Keep(false));
            }
            Ok(match &new {
                Some(new) => Change::Set(new.clone(), true),
                None => Change::Delete(true),
            })
        });
        Ok(swapped.await)
    }
}

impl Opened {
    fn place(&self, cursor: u64) -> Option<String> {
        let known = self.cursors.iter().find(|(number, _)| *number == cursor);
        known.map(|(_, place)| place.clone())
    }

    fn remember(&mut self, place: String) -> u64 {
        if MAX_CURSORS <= self.cursors.len() {
            self.cursors.pop_front();
        }
        let cursor = self.next_cursor;
        self.next_cursor += 1;
        self.cursors.push_back((cursor, place));
        cursor
    }
}

fn check(key: &str) -> Result<(), String> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(format!("a key of {} bytes is too long: {MAX_KEY_BYTES} at most", key.len()))
}

/// Numbers are kept as decimal text; nothing counts as zero.
fn add(old: Option<&[u8]>, delta: u64) -> Result<u64, String> {
    let old: u64 = match old {
        None => 0,
        Some(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or("its value is no whole number in decimal digits below 2^64")?,
    };
    old.checked_add(delta).ok_or_else(|| "the sum is over 2^64".to_owned())
}
