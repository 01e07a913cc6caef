//! The listening side: takes connections while there is room, encrypts them when it has a certificate,
//! and ends them when told to.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::Peer;
use super::doors::Tls;

/// Connections at once at most; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may take to send a request's head, or stay without one.
const HEAD: Duration = Duration::from_secs(60);
/// How long a connection may take until it is encrypted.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests under way may take when the host shuts down.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be taken, for example for want of file descriptors.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Serves `router` on `listener` until `stop` holds true or its sender is gone; then lets requests
/// under way end for a while.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
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
        let Some((stream, peer, place)) = accepted else { continue };
        let (router, tls) = (router.clone(), tls.clone());
        let stop = ending.clone();
        connections.spawn(async move {
            open(stream, tls, peer, router, stop).await;
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
) -> io::Result<Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)>> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, peer)) => Ok(Some((stream, peer, place))),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            Ok(None)
        }
    }
}

/// Encrypts a connection when there is a certificate, and serves it.
async fn open(
    stream: TcpStream,
    tls: Option<Tls>,
    peer: SocketAddr,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    // Answers are small, and followed logs are to be seen at once.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return connection(stream, Peer { address: peer, scheme: "http" }, router, stop).await;
    };
    let acceptor = TlsAcceptor::from(tls.current());
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            connection(stream, Peer { address: peer, scheme: "https" }, router, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a connection was not encrypted"),
        Err(_) => tracing::debug!(%peer, "a connection was not encrypted in time"),
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    peer: Peer,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
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
