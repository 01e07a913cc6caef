//! Bodies on their way: counted, held to their limit, quota and time, never kept.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Times;
use super::exchange::Permit;
use super::reason::{Part, Witness};
use super::toll::{self, Toll};
use crate::engine::tab::Refused;

/// Why the host cut a request's body off.
#[derive(Debug)]
pub(super) enum Cut {
    /// It was too large: it had come to so many bytes. Told when it happened.
    TooLarge(u64),
    /// Its tenant's quota has no room for it.
    Refused(Refused),
}

impl Cut {
    /// What the guest is told.
    pub(super) fn error(&self, witness: &Witness) -> Error {
        match self {
            Self::TooLarge(size) => Error::HttpRequestBodySize(Some(*size)),
            Self::Refused(refused) => toll::told(refused, witness),
        }
    }
}

/// The body of a request, as the guest writes it.
pub(super) struct Outgoing {
    pub(super) body: WasiBody,
    pub(super) sent: u64,
    /// Set when the host cut it off.
    pub(super) cut: Arc<OnceLock<Cut>>,
    pub(super) toll: Toll,
    /// A part that is not paid for yet.
    pub(super) held: Option<Frame<Bytes>>,
    pub(super) witness: Witness,
}

impl Outgoing {
    /// Nothing of it was sent.
    pub(super) fn new(body: WasiBody, cut: &Arc<OnceLock<Cut>>, witness: &Witness) -> Self {
        let toll = Toll::new(witness, body.size_hint().exact());
        Self { body, sent: 0, cut: Arc::clone(cut), toll, held: None, witness: witness.clone() }
    }

    fn data(&mut self, bytes: usize) -> Result<(), Error> {
        let sent = self.sent.saturating_add(bytes as u64);
        if let Err(error) = self.witness.body(sent, Error::HttpRequestBodySize) {
            let _ = self.cut.set(Cut::TooLarge(sent));
            return Err(error);
        }
        self.sent = sent;
        Ok(())
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.held.is_none() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            if let Some(data) = frame.data_ref()
                && let Err(error) = this.data(data.len())
            {
                return Poll::Ready(Some(Err(error)));
            }
            this.held = Some(frame);
        }
        let data = this.held.as_ref().and_then(|frame| frame.data_ref());
        if let Some(bytes) = data.map(Bytes::len) {
            if let Err(refused) = ready!(this.toll.poll_pay(bytes as u64, context)) {
                let error = toll::told(&refused, &this.witness);
                let _ = this.cut.set(Cut::Refused(refused));
                return Poll::Ready(Some(Err(error)));
            }
            this.witness.gave(bytes);
        }
        Poll::Ready(this.held.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
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
    pub(super) cut: Arc<OnceLock<Cut>>,
    pub(super) toll: Toll,
    pub(super) held: Option<Frame<Bytes>>,
    pub(super) witness: Witness,
}

impl Answer {
    /// An answer of which nothing was read.
    pub(super) fn new(
        body: Incoming,
        times: Times,
        open: Open,
        cut: Arc<OnceLock<Cut>>,
        witness: Witness,
    ) -> Self {
        // One without a body is over as it begins.
        let open = (!body.is_end_stream()).then_some(open);
        let pause = Box::pin(sleep_until(times.by(times.between_bytes)));
        let toll = Toll::new(&witness, body.size_hint().exact());
        Self { body, got: 0, times, pause, open, cut, toll, held: None, witness }
    }

    fn data(&mut self, frame: &Frame<Bytes>) -> Result<(), Error> {
        if let Some(data) = frame.data_ref() {
            self.got = self.got.saturating_add(data.len() as u64);
            self.witness.body(self.got, Error::HttpResponseBodySize)?;
        }
        let pause = self.times.by(self.times.between_bytes);
        self.pause.as_mut().reset(pause);
        Ok(())
    }

    /// The next part that is paid for.
    fn poll_paid(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.held.is_none() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broke(&error)))),
                Some(Ok(frame)) => frame,
            };
            if let Err(error) = self.data(&frame) {
                return Poll::Ready(Some(Err(error)));
            }
            self.held = Some(frame);
        }
        let data = self.held.as_ref().and_then(|frame| frame.data_ref());
        if let Some(bytes) = data.map(Bytes::len) {
            if let Err(refused) = ready!(self.toll.poll_pay(bytes as u64, context)) {
                return Poll::Ready(Some(Err(toll::told(&refused, &self.witness))));
            }
            self.witness.got(bytes);
        }
        Poll::Ready(self.held.take().map(Ok))
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
        match self.cut.get() {
            None if Instant::now() >= self.times.deadline => self.late(),
            None => self.witness.hyper(error),
            Some(cut) => cut.error(&self.witness),
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
        let this = &mut *self;
        let ended = match this.poll_paid(context) {
            Poll::Ready(Some(Ok(frame))) if !this.body.is_end_stream() => {
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(ended) => ended,
            Poll::Pending => match this.pause.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => Some(Err(this.late())),
            },
        };
        self.open = None;
        Poll::Ready(ended)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
