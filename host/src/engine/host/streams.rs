//! `wasi:io/streams`: reading and writing of whatever a run has open.
//!
//! Streams of files and of standard output count the bytes that they move; those of others are
//! counted here. However much is asked for, a call moves a piece of it.

use wasmtime::component::{Resource, ResourceTableError};
use wasmtime_wasi::p2::bindings::io::streams::{
    Host, HostInputStream, HostOutputStream, StreamError as Error,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use crate::engine::files::MAX_PIECE_BYTES;
use crate::engine::guest::Guest;
use crate::job::bound::{Bound, Exceeded};
use crate::run::usage::Effect;

impl Guest {
    /// A stream that counts its bytes itself and for which [`Bound::OpenStreams`] was spent: given
    /// back when the guest drops it.
    pub(in crate::engine) fn opened_stream<S: Send + 'static>(
        &mut self,
        stream: S,
    ) -> Result<Resource<S>, ResourceTableError> {
        let stream = self.table.push(stream)?;
        self.files.streams.insert(stream.rep());
        Ok(stream)
    }

    fn closed_stream(&mut self, rep: u32) {
        if self.files.streams.remove(&rep) {
            self.meter.give_back(Bound::OpenStreams, 1);
        }
    }

    /// Lets a call pass.
    fn pass_stream(&mut self) -> StreamResult<()> {
        self.gate(Effect::Streams).map_err(StreamError::Trap)
    }

    /// Notes what came out of a stream that does not count by itself, and a limit that was gone
    /// over in it.
    fn moved<R>(
        &mut self,
        rep: u32,
        result: StreamResult<R>,
        note: impl FnOnce(&Self, &R),
    ) -> StreamResult<R> {
        match &result {
            Ok(moved) if !self.files.streams.contains(&rep) => note(self, moved),
            Ok(_) | Err(StreamError::Closed | StreamError::Trap(_)) => {}
            Err(StreamError::LastOperationFailed(error)) => {
                if let Some(exceeded) = error.downcast_ref::<Exceeded>().copied() {
                    self.tell(exceeded);
                }
            }
        }
        result
    }

    fn came(&self, bytes: usize) {
        self.meter.bytes_in(Effect::Streams, bytes);
    }

    fn went(&self, bytes: usize) {
        self.meter.bytes_out(Effect::Streams, bytes);
    }
}

/// So much of what was asked for.
fn piece(len: u64) -> u64 {
    len.min(MAX_PIECE_BYTES as u64)
}

fn amount(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

impl Host for Guest {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<Error> {
        self.table.convert_stream_error(error)
    }
}

impl HostOutputStream for Guest {
    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        let rep = stream.rep();
        HostOutputStream::drop(&mut self.table, stream).await?;
        self.closed_stream(rep);
        Ok(())
    }

    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.pass_stream()?;
        let rep = stream.rep();
        let allowed = self.table.check_write(stream);
        self.moved(rep, allowed, |_, _| ())
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.pass_stream()?;
        let (rep, len) = (stream.rep(), bytes.len());
        let written = HostOutputStream::write(&mut self.table, stream, bytes);
        self.moved(rep, written, |guest, ()| guest.went(len))
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        HostOutputStream::subscribe(&mut self.table, stream)
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.pass_stream()?;
        let (rep, len) = (stream.rep(), bytes.len());
        let written = self.table.blocking_write_and_flush(stream, bytes).await;
        self.moved(rep, written, |guest, ()| guest.went(len))
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.pass_stream()?;
        let rep = stream.rep();
        let written = self.table.blocking_write_zeroes_and_flush(stream, len).await;
        self.moved(rep, written, |guest, ()| guest.went(amount(len)))
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.pass_stream()?;
        let rep = stream.rep();
        let written = self.table.write_zeroes(stream, len);
        self.moved(rep, written, |guest, ()| guest.went(amount(len)))
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.pass_stream()?;
        let rep = stream.rep();
        let flushed = self.table.flush(stream);
        self.moved(rep, flushed, |_, ()| ())
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.pass_stream()?;
        let rep = stream.rep();
        let flushed = self.table.blocking_flush(stream).await;
        self.moved(rep, flushed, |_, ()| ())
    }

    fn splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        source: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.pass_stream()?;
        let (to, from) = (stream.rep(), source.rep());
        let spliced = self.table.splice(stream, source, piece(len));
        let spliced = self.moved(to, spliced, |guest, len| guest.went(amount(*len)));
        self.moved(from, spliced, |guest, len| guest.came(amount(*len)))
    }

    async fn blocking_splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        source: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.pass_stream()?;
        let (to, from) = (stream.rep(), source.rep());
        let spliced = self.table.blocking_splice(stream, source, piece(len)).await;
        let spliced = self.moved(to, spliced, |guest, len| guest.went(amount(*len)));
        self.moved(from, spliced, |guest, len| guest.came(amount(*len)))
    }
}

impl HostInputStream for Guest {
    async fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        let rep = stream.rep();
        HostInputStream::drop(&mut self.table, stream).await?;
        self.closed_stream(rep);
        Ok(())
    }

    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.pass_stream()?;
        let rep = stream.rep();
        let read = self.table.read(stream, piece(len));
        self.moved(rep, read, |guest, bytes| guest.came(bytes.len()))
    }

    async fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<Vec<u8>> {
        self.pass_stream()?;
        let rep = stream.rep();
        let read = self.table.blocking_read(stream, piece(len)).await;
        self.moved(rep, read, |guest, bytes| guest.came(bytes.len()))
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.pass_stream()?;
        let rep = stream.rep();
        let skipped = self.table.skip(stream, piece(len));
        self.moved(rep, skipped, |guest, len| guest.came(amount(*len)))
    }

    async fn blocking_skip(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.pass_stream()?;
        let rep = stream.rep();
        let skipped = self.table.blocking_skip(stream, piece(len)).await;
        self.moved(rep, skipped, |guest, len| guest.came(amount(*len)))
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        HostInputStream::subscribe(&mut self.table, stream)
    }
}
