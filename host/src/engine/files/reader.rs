//! A stream out of a file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::blocking::{Blocking, Task};
use super::{Held, MAX_PIECE_BYTES};
use crate::engine::meter::Meter;
use crate::run::usage::Effect;

/// A stream out of a file, from a position on.
pub(in crate::engine) struct Reader {
    file: Arc<File>,
    position: u64,
    state: State,
    blocking: Blocking,
    meter: Arc<Meter>,
    held: Arc<Held>,
}

enum State {
    Idle,
    Reading(Task<std::io::Result<Bytes>>),
    Ready(Bytes),
    Failed(std::io::Error),
    Closed,
}

impl Reader {
    /// Reads nothing yet.
    pub(in crate::engine) fn new(
        file: Arc<File>,
        position: u64,
        blocking: Blocking,
        meter: Arc<Meter>,
        held: Arc<Held>,
    ) -> Self {
        Self { file, position, state: State::Idle, blocking, meter, held }
    }

    fn begin(&mut self, size: usize) {
        let (file, held, position) =
            (Arc::clone(&self.file), Arc::clone(&self.held), self.position);
        self.state = State::Reading(self.blocking.run(move || {
            let read = read(&file, position, size);
            drop(held);
            read
        }));
    }

    async fn read_begun(&mut self) {
        if let State::Reading(task) = &mut self.state {
            self.state = match task.await.flatten() {
                Ok(bytes) if bytes.is_empty() => State::Closed,
                Ok(bytes) => State::Ready(bytes),
                Err(error) => State::Failed(error),
            };
        }
    }
}

fn read(file: &File, position: u64, size: usize) -> std::io::Result<Bytes> {
    let mut buffer = BytesMut::zeroed(size.min(MAX_PIECE_BYTES));
    loop {
        match file.read_at(&mut buffer, position) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer.freeze());
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[async_trait::async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Idle => {
                self.state = State::Idle;
                if size > 0 {
                    self.begin(size);
                }
                Ok(Bytes::new())
            }
            State::Reading(task) => {
                self.state = State::Reading(task);
                Ok(Bytes::new())
            }
            State::Ready(mut bytes) => {
                let piece = bytes.split_to(bytes.len().min(size));
                self.position += piece.len() as u64;
                self.meter.bytes_in(Effect::Filesystem, piece.len());
                self.state = if bytes.is_empty() { State::Idle } else { State::Ready(bytes) };
                Ok(piece)
            }
            State::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            State::Closed => Err(StreamError::Closed),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size > 0 && matches!(self.state, State::Idle) {
            self.begin(size);
        }
        self.read_begun().await;
        self.read(size)
    }
}

#[async_trait::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if matches!(self.state, State::Idle) {
            self.begin(MAX_PIECE_BYTES);
        }
        self.read_begun().await;
    }
}
