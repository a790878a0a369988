//! Accepting connections, and ending them well.
//!
//! The listener and the shutdown are passed in, so that tests own both. Nothing here knows the
//! API: it serves any service of this shape.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use pitchey_runtime::{SystemRuntime, Timer as _, timeout};
use pitchey_telemetry::names;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

mod connection;

pub use connection::serve_connection;

/// The pause after an error of the listener that is not a single client's: most often there are
/// no file descriptors left, and the error would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the server allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Which listener they hold for: a label of its figures.
    pub listener: &'static str,
    /// Connections served at once; further ones wait in the listener's queue.
    pub max_connections: usize,
    /// How long a client may take to send a request's header, the first one counted from the
    /// connection.
    pub header_timeout: Duration,
    /// How long a connection may lie idle between requests.
    pub idle_timeout: Duration,
    /// The size of a request's header.
    pub max_header_bytes: usize,
    /// How long requests in flight may take once the server is to stop.
    pub shutdown_timeout: Duration,
}

/// Who is at the other end of the connection: every request carries it in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// What can be served: it answers every request, is always ready for one, and is cheap to clone.
pub trait Answers:
    Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The two steps in which connections end.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Finish what is in flight, accept no more.
    pub gracefully: CancellationToken,
    /// End at once.
    pub at_once: CancellationToken,
}

/// Serves `service` on `listener` until `stop` is cancelled, then lets the requests in flight finish
/// for up to the shutdown timeout. Returns the number of connections that had to be cut.
pub async fn run(
    listener: TcpListener,
    service: impl Answers,
    limits: Limits,
    runtime: SystemRuntime,
    stop: CancellationToken,
) -> usize {
    let closing = Closing {
        gracefully: stop,
        at_once: CancellationToken::new(),
    };
    let limits = Arc::new(limits);
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let connections = TaskTracker::new();
    let open = metrics::gauge!(names::HTTP_CONNECTIONS, "listener" => limits.listener);

    while let Some((stream, peer, slot)) = closing
        .gracefully
        .run_until_cancelled(next_connection(&listener, &slots, runtime))
        .await
    {
        let service = service.clone();
        let limits = limits.clone();
        let closing = closing.clone();
        let open = open.clone();
        connections.spawn(async move {
            open.increment(1.0);
            serve_connection(stream, peer, service, &limits, runtime, closing).await;
            open.decrement(1.0);
            drop(slot);
        });
    }

    drop(listener);
    connections.close();
    if timeout(&runtime, limits.shutdown_timeout, connections.wait())
        .await
        .is_ok()
    {
        return 0;
    }
    let cut = connections.len();
    closing.at_once.cancel();
    connections.wait().await;
    cut
}

/// Waits for a free slot and then for a client.
async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    runtime: SystemRuntime,
) -> (TcpStream, PeerAddress, OwnedSemaphorePermit) {
    let slot = slots
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is written in one piece; waiting to fill a packet only delays it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot disable Nagle's algorithm");
                }
                return (stream, PeerAddress(peer.ip()), slot);
            }
            // The client has left already.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
