//! One exchange: a connection, a request, its answer.
//!
//! Runs as a task that ends with the guest's hold on it, and so with the run. Nothing of it outlives
//! the run, and nothing of it waits on the guest's thread.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout_at};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Times;
use super::body::{Answer, Outgoing};
use super::connect::Way;
use super::reason::{Part, Witness};
use super::toll;
use crate::engine::meter::Meter;
use crate::job::bound::{Bound, Exceeded};

/// Headers of one answer; `limits.http_headers` bounds their bytes.
const MAX_HEADERS: usize = 1_000;
/// The least buffer that hyper works with, in bytes.
const MIN_BUFFER_BYTES: usize = 8 * 1024;

/// A request that may be sent.
pub(super) struct Exchange {
    pub(super) way: Way,
    /// With the path alone for its URI, as it stands in the request's first line.
    pub(super) request: Request<WasiBody>,
    pub(super) times: Times,
    pub(super) permit: Permit,
}

/// An answer whose head has come.
pub(super) struct Answered<R> {
    pub(super) response: Response<WasiBody>,
    /// Moves the bodies; to be polled beside.
    pub(super) rest: R,
}

/// Leave for one more exchange at once; given back when it is dropped.
pub(super) struct Permit(Arc<Meter>);

impl Permit {
    /// Takes leave for one more.
    pub(super) fn take(meter: &Arc<Meter>) -> Result<Self, Exceeded> {
        meter.spend(Bound::HttpConnections, 1)?;
        Ok(Self(Arc::clone(meter)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back(Bound::HttpConnections, 1);
    }
}

impl Exchange {
    /// Sends the request and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// What the guest is told; the log was told too.
    pub(super) async fn run(
        self,
    ) -> Result<Answered<impl Future<Output = Result<(), Error>> + Send + use<>>, Error> {
        let Self { way, request, times, permit } = self;
        let witness = way.witness.clone();
        timeout_at(times.deadline, toll::request(&witness))
            .await
            .unwrap_or_else(|_| Err(witness.late(Part::Connection, None, times.limit)))?;
        let connect_by = times.by(times.connect);
        let connected = async {
            let wire = way.connect(connect_by).await?;
            // A run that this host may not hold at the moment sends nothing.
            witness.control.lease().held().await;
            Ok(wire)
        };
        let wire = timeout_at(connect_by, connected)
            .await
            .unwrap_or_else(|_| Err(witness.late(Part::Connection, times.connect, times.limit)))?;

        let limit = witness.meter.limit(Bound::HttpHeaders);
        let buffer = usize::try_from(limit).unwrap_or(usize::MAX).max(MIN_BUFFER_BYTES);
        let handshake = http1::Builder::new()
            .max_buf_size(buffer)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(wire))
            .await;
        let (mut sender, connection) = handshake.map_err(|error| witness.hyper(&error))?;
        let cut = Arc::new(OnceLock::new());
        let request = request.map(|body| Outgoing::new(body, &cut, &witness));

        let mut connection = Box::pin(connection);
        let mut closed = false;
        let mut answer = Box::pin(sender.send_request(request));
        let answer = std::future::poll_fn(|context| {
            // How it ended is told to the request that waits for it.
            closed = closed || connection.as_mut().poll(context).is_ready();
            answer.as_mut().poll(context)
        });
        let response = match timeout_at(times.by(times.first_byte), answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(cut
                    .get()
                    .map_or_else(|| witness.hyper(&error), |cut| cut.error(&witness)));
            }
            Err(_) => return Err(witness.late(Part::FirstByte, times.first_byte, times.limit)),
        };
        let line = status_line(&response);
        check(&witness, line, response.headers())?;

        let (ended, end) = oneshot::channel();
        let open = (permit, ended);
        let response =
            response.map(|body| UnsyncBoxBody::new(Answer::new(body, times, open, cut, witness)));
        let rest = async move {
            let moved = async {
                if !closed {
                    // How it ended is told to whoever reads the body.
                    let _ = connection.await;
                }
            };
            tokio::select! {
                () = moved => {}
                () = sleep_until(times.deadline) => {}
                _ = end => {}
            }
            Ok(())
        };
        Ok(Answered { response, rest })
    }
}

/// Holds the head of an answer to its limits.
fn check(witness: &Witness, line: u64, headers: &HeaderMap) -> Result<(), Error> {
    witness.headers(line, headers, Error::HttpResponseHeaderSectionSize)?;
    witness.declared(headers, Error::HttpResponseBodySize)
}

/// Bytes of the first line that are not fixed.
fn status_line<B>(response: &Response<B>) -> u64 {
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    reason.map_or(0, |reason| reason.as_bytes().len() as u64)
}
