//! Answers that go on, like events and followed logs, end when the token that asked for them counts no
//! more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame};
use tokio::sync::watch;

use crate::access::{Principal, Tokens};
use crate::clock::SharedClock;

/// How often it is looked whether a token has expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The answer, which ends early when it has no length and `who` is nobody any more.
pub fn held(
    response: Response,
    who: Principal,
    tokens: watch::Receiver<Arc<Tokens>>,
    clock: SharedClock,
) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let end = Box::pin(gone(who, tokens, clock));
    response.map(|body| Body::new(Held { body, end }))
}

/// Waits until `who` may ask no more.
async fn gone(who: Principal, tokens: watch::Receiver<Arc<Tokens>>, clock: SharedClock) {
    while tokens.borrow().knows(&who, clock.now()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Held {
    body: Body,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
