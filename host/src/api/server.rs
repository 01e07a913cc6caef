//! The listening side: takes connections while there is room, and ends them when told to.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at once at most; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may take to send a request's head, or stay without one.
const HEAD: Duration = Duration::from_secs(60);
/// How long requests under way may take when the host shuts down.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be taken, for example for want of file descriptors.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Serves `router` on `listener` until `stop` holds true or its sender is gone; then lets requests
/// under way end for a while.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut ending = stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            accepted = accept(&listener, &places) => accepted?,
        };
        let Some((stream, place)) = accepted else { continue };
        let router = router.clone();
        let stop = ending.clone();
        connections.spawn(async move {
            connection(stream, router, stop).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stopped(&mut ending).await;
    let ended = async { while connections.join_next().await.is_some() {} };
    // What is still open after that is cut off when the set is dropped.
    let _ = tokio::time::timeout(GRACE, ended).await;
    Ok(())
}

/// Waits until the host shuts down.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone: so is the host.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next connection with its place; `None` when it broke before it was taken.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)>> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, _)) => Ok(Some((stream, place))),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            Ok(None)
        }
    }
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Answers are small, and followed logs are to be seen at once.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
