//! `wasi:random`.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::engine::guest::Guest;
use crate::job::bound::Bound;
use crate::run::usage::Effect;

/// Bytes of one number.
const NUMBER_BYTES: u64 = 8;
/// Bytes in one call at most: they are made while other runs of the thread wait.
pub(in crate::engine) const MAX_CALL_BYTES: u64 = 64 * 1024;

impl Guest {
    /// Lets a call pass that gives so many bytes.
    fn pass_random(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.gate(Effect::Random)?;
        self.meter.spend(Bound::Random, bytes)?;
        if bytes > MAX_CALL_BYTES {
            return Err(wasmtime::format_err!(
                "it wanted {bytes} random bytes in one call; {MAX_CALL_BYTES} are the most"
            ));
        }
        self.meter.bytes_in(Effect::Random, usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(())
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.pass_random(len)?;
        self.wasi.random().get_random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.pass_random(NUMBER_BYTES)?;
        self.wasi.random().get_random_u64()
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.pass_random(len)?;
        self.wasi.random().get_insecure_random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.pass_random(NUMBER_BYTES)?;
        self.wasi.random().get_insecure_random_u64()
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.gate(Effect::Random)?;
        self.wasi.random().insecure_seed()
    }
}
