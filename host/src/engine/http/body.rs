//! Bodies on their way: counted, held to their limit and time, never kept.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Times;
use super::exchange::Permit;
use super::reason::{Part, Witness};

/// The body of a request, as the guest writes it.
pub(super) struct Outgoing {
    pub(super) body: WasiBody,
    pub(super) sent: u64,
    /// The size at which it was too large.
    pub(super) over: Arc<AtomicU64>,
    pub(super) witness: Witness,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let sent = self.sent.saturating_add(data.len() as u64);
            if let Err(error) = self.witness.body(sent, Error::HttpRequestBodySize) {
                self.over.store(sent, Ordering::Release);
                return Poll::Ready(Some(Err(error)));
            }
            self.sent = sent;
            self.witness.gave(data.len());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is held until the body of an answer has ended or is let go: leave for the exchange, and
/// what ends the connection by being dropped.
pub(super) type Open = (Permit, oneshot::Sender<()>);

/// The body of an answer, as the guest reads it.
pub(super) struct Answer {
    pub(super) body: Incoming,
    pub(super) got: u64,
    pub(super) times: Times,
    /// What is left of the time to the next part of it.
    pub(super) pause: Pin<Box<Sleep>>,
    pub(super) open: Option<Open>,
    /// As of the request's body.
    pub(super) over: Arc<AtomicU64>,
    pub(super) witness: Witness,
}

impl Answer {
    /// An answer of which nothing was read.
    pub(super) fn new(
        body: Incoming,
        times: Times,
        open: Open,
        over: Arc<AtomicU64>,
        witness: Witness,
    ) -> Self {
        // One without a body is over as it begins.
        let open = (!body.is_end_stream()).then_some(open);
        let pause = Box::pin(sleep_until(times.by(times.between_bytes)));
        Self { body, got: 0, times, pause, open, over, witness }
    }

    fn data(&mut self, frame: &Frame<Bytes>) -> Result<(), Error> {
        if let Some(data) = frame.data_ref() {
            self.got = self.got.saturating_add(data.len() as u64);
            self.witness.body(self.got, Error::HttpResponseBodySize)?;
            self.witness.got(data.len());
        }
        let pause = self.times.by(self.times.between_bytes);
        self.pause.as_mut().reset(pause);
        Ok(())
    }

    fn late(&self) -> Error {
        let Times { deadline, limit, between_bytes, .. } = self.times;
        if Instant::now() >= deadline {
            self.witness.late(Part::LastByte, None, limit)
        } else {
            self.witness.late(Part::NextByte, between_bytes, limit)
        }
    }

    fn broke(&self, error: &hyper::Error) -> Error {
        match self.over.load(Ordering::Acquire) {
            0 if Instant::now() >= self.times.deadline => self.late(),
            0 => self.witness.hyper(error),
            // It was told when it happened.
            over => Error::HttpRequestBodySize(Some(over)),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let ended = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match self.data(&frame) {
                Ok(()) if !self.body.is_end_stream() => return Poll::Ready(Some(Ok(frame))),
                Ok(()) => Some(Ok(frame)),
                Err(error) => Some(Err(error)),
            },
            Poll::Ready(Some(Err(error))) => Some(Err(self.broke(&error))),
            Poll::Ready(None) => None,
            Poll::Pending => match self.pause.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => Some(Err(self.late())),
            },
        };
        self.open = None;
        Poll::Ready(ended)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
