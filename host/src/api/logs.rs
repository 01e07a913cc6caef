//! A run's log: a page of it, or all of it as it grows.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::App;
use super::error::ApiError;
use super::params::{self, Name, Params};
use super::runs::{find, key, news};
use super::server::stopped;
use super::view::List;
use super::view::log::LogView;
use crate::record::query::MAX_PAGE;
use crate::run::RunKey;

/// How often a log is read again without news of its run.
const POLL: Duration = Duration::from_millis(500);
/// Pieces of a followed log that wait for a slow reader.
const AHEAD: usize = 4;

/// `GET /v1/runs/{id}/logs`: a list, or with `follow` one JSON line each until the run is over.
pub async fn read(
    State(app): State<App>,
    Name(name): Name,
    mut params: Params,
) -> Result<Response, ApiError> {
    let follow = params.read("follow", params::flag).unwrap_or(false);
    let page = params.page();
    let from = page.cursor.as_deref().map_or(Ok(0), |cursor| {
        cursor.parse::<u64>().map_err(|_| {
            let message = format!("`{cursor}` is no cursor; give `next_cursor` of the page before");
            ApiError::invalid(vec![crate::problem::Problem::new("cursor", message)])
        })
    });
    let key = key(params.finish()?, &name)?;
    let from = from?;
    find(&app, &key).await?;
    if follow {
        return Ok(followed(app, key, from));
    }
    let piece = app.context.store.log_read(&key, from, page.limit).await?;
    let more = piece.lines.len() >= page.limit;
    let items: Vec<_> = piece.lines.into_iter().map(LogView::of).collect();
    let next_cursor = more.then(|| piece.next.to_string());
    Ok(Json(List { items, next_cursor }).into_response())
}

fn followed(app: App, key: RunKey, from: u64) -> Response {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(follow(app, key, from, sender));
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (headers, Body::new(Lines { receiver })).into_response()
}

/// Sends pieces of the log until no more can come, the reader is gone, or the host shuts down.
async fn follow(app: App, key: RunKey, mut from: u64, sender: mpsc::Sender<Bytes>) {
    let mut changes = app.context.store.feed();
    let mut stop = app.stop.clone();
    loop {
        let piece = match app.context.store.log_read(&key, from, MAX_PAGE).await {
            Ok(piece) => piece,
            Err(error) => {
                tracing::warn!(run = %key, %error, "a followed log ended early");
                return;
            }
        };
        from = piece.next;
        if piece.lines.is_empty() {
            if piece.complete || *stop.borrow() {
                return;
            }
            tokio::select! {
                () = news(&mut changes, &key) => (),
                () = stopped(&mut stop) => (),
                () = sender.closed() => return,
                () = tokio::time::sleep(POLL) => (),
            }
            continue;
        }
        let mut text = Vec::new();
        for line in piece.lines {
            // Writing a line into memory can't fail.
            if serde_json::to_writer(&mut text, &LogView::of(line)).is_ok() {
                text.push(b'\n');
            }
        }
        if sender.send(text.into()).await.is_err() {
            return;
        }
    }
}

/// A body made of what comes through a channel.
pub struct Lines {
    receiver: mpsc::Receiver<Bytes>,
}

impl Lines {
    /// What comes through `receiver`, until its sender is gone.
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver }
    }
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.receiver.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
