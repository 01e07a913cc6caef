//! A stream into a file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::blocking::{Blocking, Task};
use super::{Held, MAX_PIECE_BYTES};
use crate::engine::meter::Meter;
use crate::job::bound::{Bound, Exceeded};
use crate::run::usage::Effect;

/// Where a stream writes.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Place {
    /// From here on.
    At(u64),
    /// At the end, wherever that is by then.
    End,
}

/// A stream into a file.
pub(in crate::engine) struct Writer {
    file: Arc<File>,
    place: Place,
    state: State,
    blocking: Blocking,
    meter: Arc<Meter>,
    held: Arc<Held>,
}

enum State {
    Ready,
    Writing(Task<wasmtime::Result<usize>>),
    Failed(wasmtime::Error),
    Closed,
}

/// Counts what is written at a place, and what a file grows by when that is behind its end. Waits
/// for the disk.
///
/// # Errors
///
/// The file can't be looked at; [`Exceeded`] as an error.
pub(in crate::engine) fn spend(
    meter: &Meter,
    file: &File,
    place: Place,
    bytes: usize,
) -> std::io::Result<Result<(), Exceeded>> {
    let gap = match place {
        Place::At(position) => position.saturating_sub(file.metadata()?.len()),
        Place::End => 0,
    };
    Ok(meter.spend(Bound::Written, gap.saturating_add(bytes as u64)))
}

impl Writer {
    /// Writes nothing yet.
    pub(in crate::engine) fn new(
        file: Arc<File>,
        place: Place,
        blocking: Blocking,
        meter: Arc<Meter>,
        held: Arc<Held>,
    ) -> Self {
        Self { file, place, state: State::Ready, blocking, meter, held }
    }

    fn begin(&mut self, bytes: Bytes) {
        let (file, held, meter) =
            (Arc::clone(&self.file), Arc::clone(&self.held), Arc::clone(&self.meter));
        let place = self.place;
        self.state = State::Writing(self.blocking.run(move || {
            let written = write(&meter, &file, place, &bytes);
            drop(held);
            written
        }));
    }

    async fn write_begun(&mut self) {
        if let State::Writing(task) = &mut self.state {
            self.state = match task.await.map_err(wasmtime::Error::from).flatten() {
                Ok(written) => {
                    if let Place::At(position) = &mut self.place {
                        *position += written as u64;
                    }
                    State::Ready
                }
                Err(error) => State::Failed(error),
            };
        }
    }

    /// Whether it can be written to; a failure is told once.
    fn usable(&mut self) -> StreamResult<bool> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Failed(error) => Err(StreamError::LastOperationFailed(error)),
            State::Closed => Err(StreamError::Closed),
            state => {
                let ready = matches!(state, State::Ready);
                self.state = state;
                Ok(ready)
            }
        }
    }
}

fn write(meter: &Meter, file: &File, place: Place, bytes: &[u8]) -> wasmtime::Result<usize> {
    spend(meter, file, place, bytes.len())??;
    match place {
        Place::At(position) => file.write_all_at(bytes, position)?,
        Place::End => append(file, bytes)?,
    }
    meter.bytes_out(Effect::Filesystem, bytes.len());
    Ok(bytes.len())
}

/// Each piece goes to the end as it is then.
#[cfg(target_os = "linux")]
fn append(file: &File, mut bytes: &[u8]) -> std::io::Result<()> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    while !bytes.is_empty() {
        match pwritev2(file, &[std::io::IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where no call does it at once, the end is looked up first.
#[cfg(not(target_os = "linux"))]
fn append(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all_at(bytes, file.metadata()?.len())
}

#[async_trait::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.usable()? || bytes.len() > MAX_PIECE_BYTES {
            return Err(StreamError::trap("it wrote more than `check-write` had allowed"));
        }
        self.begin(bytes);
        Ok(())
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_begun().await;
        self.write(bytes)?;
        self.write_begun().await;
        self.usable().map(drop)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.usable().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.usable()? { MAX_PIECE_BYTES } else { 0 })
    }

    /// What was given away is written before the stream is gone.
    async fn cancel(&mut self) {
        self.write_begun().await;
    }
}

#[async_trait::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        self.write_begun().await;
    }
}
