//! Streams that count what moves through them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError,
};

use super::meter::Meter;
use crate::run::usage::Effect;

/// A stream, and where its bytes are counted.
pub(super) struct Counted<S> {
    inner: S,
    meter: Arc<Meter>,
    effect: Effect,
}

impl<S> Counted<S> {
    /// Counts the bytes of `inner` as those of `effect`.
    pub(super) fn new(inner: S, meter: Arc<Meter>, effect: Effect) -> Self {
        Self { inner, meter, effect }
    }
}

#[async_trait]
impl Pollable for Counted<DynInputStream> {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl InputStream for Counted<DynInputStream> {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        let bytes = self.inner.read(size)?;
        self.meter.bytes_in(self.effect, bytes.len());
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for Counted<DynOutputStream> {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl OutputStream for Counted<DynOutputStream> {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let size = bytes.len();
        self.inner.write(bytes)?;
        self.meter.bytes_out(self.effect, size);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
