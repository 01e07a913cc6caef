//! The effects that nobody can be granted yet: each call fails, and names the key it would need.
//!
//! The guest gets the refusal as an error of the interface it called, with the text where the
//! interface has room for one; the same text stands in the run's log.

use wasmtime::component::Resource;

use super::bindings::campanile::job::{jobs, state};
use super::bindings::wasi::keyvalue::{atomics, store};
use super::guest::Guest;

/// An opened bucket. None exists: opening is denied.
pub enum Bucket {}

impl store::Host for Guest {
    fn open(
        &mut self,
        identifier: String,
    ) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
        let message = self.deny(&format!("the key-value bucket `{identifier}`"), "kv = true");
        Ok(Err(store::Error::Other(message)))
    }
}

impl store::HostBucket for Guest {
    fn get(
        &mut self,
        _: Resource<Bucket>,
        _: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }

    fn set(
        &mut self,
        _: Resource<Bucket>,
        _: String,
        _: Vec<u8>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }

    fn delete(
        &mut self,
        _: Resource<Bucket>,
        _: String,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }

    fn exists(
        &mut self,
        _: Resource<Bucket>,
        _: String,
    ) -> wasmtime::Result<Result<bool, store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }

    fn list_keys(
        &mut self,
        _: Resource<Bucket>,
        _: Option<u64>,
    ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }

    fn drop(&mut self, _: Resource<Bucket>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl atomics::Host for Guest {
    fn increment(
        &mut self,
        _: Resource<Bucket>,
        _: String,
        _: u64,
    ) -> wasmtime::Result<Result<u64, store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }
}

impl state::Host for Guest {
    fn compare_and_swap(
        &mut self,
        bucket: String,
        _key: String,
        _expect: Option<Vec<u8>>,
        _new: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, String>> {
        Ok(Err(self.deny(&format!("the key-value bucket `{bucket}`"), "kv = true")))
    }
}

impl jobs::Host for Guest {
    fn enqueue(
        &mut self,
        job: String,
        _args: String,
        _delay_ms: u64,
        _idempotency_key: Option<String>,
    ) -> wasmtime::Result<Result<String, String>> {
        Ok(Err(self.deny(&format!("a run of job `{job}`"), "jobs = true")))
    }

    fn put(&mut self, _definition: String) -> wasmtime::Result<Result<(), String>> {
        Ok(Err(self.deny("making a job", "jobs = true")))
    }

    fn pause(&mut self, job: String) -> wasmtime::Result<Result<(), String>> {
        Ok(Err(self.deny(&format!("pausing job `{job}`"), "jobs = true")))
    }

    fn resume(&mut self, job: String) -> wasmtime::Result<Result<(), String>> {
        Ok(Err(self.deny(&format!("resuming job `{job}`"), "jobs = true")))
    }

    fn remove(&mut self, job: String) -> wasmtime::Result<Result<(), String>> {
        Ok(Err(self.deny(&format!("removing job `{job}`"), "jobs = true")))
    }
}
