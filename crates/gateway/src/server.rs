//! Accepting connections, and ending them well: HTTP/1.1 or HTTP/2, whichever the client speaks, with or
//! without TLS, with every wait bounded.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pitchey_edge::{Body, Platform};
use pitchey_runtime::{SystemRuntime, Timer as _, timeout};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{HttpConfig, ms};

/// The pause after an error of the listener that is not a single client's: most often there are no file
/// descriptors left, and the error would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Header lines of a request. hyper keeps room for as many on the stack.
const MAX_HEADERS: usize = 100;

/// Requests that one HTTP/2 connection may have in flight.
const HTTP2_STREAMS: u32 = 128;

/// Streams that a client may reset before they are answered; more is an attack ("rapid reset").
const HTTP2_RESETS: usize = 32;

/// What is kept for a client that reads slowly, for each stream.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;

/// A silent HTTP/2 client is asked for a sign of life this often, and has as long to give it.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// From where.
    pub address: IpAddr,
    /// Whether nobody between could read along.
    pub secure: bool,
}

/// What answers requests.
pub trait Answers<P: Platform>: Clone + Send + Sync + 'static {
    /// The answer to a request of this client.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Body<P>>> + Send;
}

/// Serves connections until `stop` is cancelled, then lets the requests in flight finish for up to the
/// shutdown timeout. Returns the number of connections that had to be cut.
pub async fn run<P: Platform>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: impl Answers<P>,
    config: &HttpConfig,
    runtime: SystemRuntime,
    stop: CancellationToken,
) -> usize {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let connections = TaskTracker::new();
    let at_once = CancellationToken::new();
    let config = Arc::new(config.clone());
    loop {
        let accepting = stop.run_until_cancelled(async {
            // It is never closed.
            let slot = slots.clone().acquire_owned().await.ok();
            (accept(&listener, runtime).await, slot)
        });
        let Some(((stream, peer), slot)) = accepting.await else {
            break;
        };
        let (tls, service, config) = (tls.clone(), service.clone(), config.clone());
        let (stop, at_once) = (stop.clone(), at_once.clone());
        connections.spawn(async move {
            let stream = Patient {
                stream,
                runtime,
                stall: ms(config.stall_timeout_ms),
                waiting: None,
            };
            let serving = async {
                let peer = |secure| Peer {
                    address: peer,
                    secure,
                };
                let Some(tls) = tls else {
                    return connection(stream, peer(false), service, &config, runtime, stop).await;
                };
                let greeting = tls.accept(stream);
                let patience = ms(config.header_timeout_ms);
                let greeting = timeout(&runtime, patience, greeting);
                match stop.run_until_cancelled(greeting).await {
                    Some(Ok(Ok(stream))) => {
                        connection(stream, peer(true), service, &config, runtime, stop).await;
                    }
                    Some(Ok(Err(error))) => tracing::debug!(%error, "no TLS"),
                    Some(Err(_)) | None => {}
                }
            };
            at_once.run_until_cancelled(serving).await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    let patience = ms(config.shutdown_timeout_ms);
    if timeout(&runtime, patience, connections.wait())
        .await
        .is_ok()
    {
        return 0;
    }
    let cut = connections.len();
    at_once.cancel();
    connections.wait().await;
    cut
}

async fn accept(listener: &TcpListener, runtime: SystemRuntime) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is written in one piece; waiting to fill a packet only delays it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot disable Nagle's algorithm");
                }
                return (stream, peer.ip().to_canonical());
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

/// Serves one connection until it ends, is idle for too long, is too slow, or is told to close.
async fn connection<P: Platform>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    service: impl Answers<P>,
    config: &HttpConfig,
    runtime: SystemRuntime,
    stop: CancellationToken,
) {
    let asked = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(stream);
    let noted = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        noted.store(true, Ordering::Relaxed);
        let service = service.clone();
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, peer).await) }
    });
    let builder = builder(config);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    // Until it is known which protocol the client speaks, hyper bounds nothing.
    let mut first = pin!(runtime.sleep(ms(config.header_timeout_ms)));
    let (mut told, mut began) = (false, false);
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    // The client's doing: it left, or what it sent was no HTTP.
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first.as_mut(), if !began => {
                began = true;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

fn builder(config: &HttpConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(ms(config.header_timeout_ms))
        .max_buf_size(config.max_header_bytes)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_RESETS)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

/// A connection that gives up a client which reads nothing for too long.
struct Patient {
    stream: TcpStream,
    runtime: SystemRuntime,
    stall: Duration,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Patient {
    fn bounded<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let (runtime, stall) = (self.runtime, self.stall);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(runtime.sleep(stall)));
        match waiting.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.bounded(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.bounded(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
