//! One connection: HTTP/1.1 or HTTP/2 without TLS, whichever the client speaks, with every wait
//! bounded.
//!
//! hyper bounds the time a header may take only together with the time between requests. A client
//! that keeps connections in a pool needs a long time between requests, and a client that sends a
//! byte every few seconds to hold a connection (Slowloris) must not get it. So an [`Activity`] is
//! kept here: what the connection waits for, and since when.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pitchey_runtime::{Clock, Monotonic, SystemRuntime, Timer as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Answers, Closing, Limits, PeerAddress};
use crate::chain::Chain;

/// Header lines of a request. hyper keeps room for as many on the stack.
const MAX_HEADERS: usize = 100;

/// Requests that one HTTP/2 connection may have in flight.
const HTTP2_STREAMS: u32 = 128;

/// Streams that a client may reset before they are answered, and those that we had to reset: more
/// is an attack ("rapid reset", CVE-2023-44487 and its relatives), and ends the connection.
const HTTP2_RESETS: usize = 32;

/// What is kept for a client that reads slowly, for each stream.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;

/// A silent HTTP/2 client is asked for a sign of life this often, and has as long to give it.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// How long a connection that was idle for too long may still take to say goodbye, or to read the
/// rest of the last answer.
const GOODBYE: Duration = Duration::from_secs(10);

/// Serves one connection of `peer` until it ends, is idle for too long, is too slow, or is told to close.
pub async fn serve_connection<Io, S>(
    io: Io,
    peer: PeerAddress,
    service: S,
    limits: &Limits,
    runtime: SystemRuntime,
    closing: Closing,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let activity = Arc::new(Activity::new(runtime));
    let io = TokioIo::new(WatchedIo {
        io,
        activity: activity.clone(),
    });
    let requests = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(&requests, request.version());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        // What is served is ready at any time: it waits, if at all, once it is called.
        let answer = service.clone().call(request);
        async move {
            let answer = answer.await;
            drop(in_flight);
            answer
        }
    });
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut next_look = pin!(runtime.sleep(limits.header_timeout));
    let mut goodbye: Option<Monotonic> = None;
    let mut told_to_close = false;

    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    // The client's doing: it left, or what it sent was no HTTP.
                    tracing::debug!(error = %Chain(error.as_ref()), "connection ended");
                }
                return;
            }
            () = closing.at_once.cancelled() => return,
            () = closing.gracefully.cancelled(), if !told_to_close => {
                told_to_close = true;
                connection.as_mut().graceful_shutdown();
            }
            () = next_look.as_mut() => {
                let now = runtime.now();
                let pause = match (goodbye, activity.verdict(limits, now)) {
                    (Some(until), _) if until <= now => return,
                    (Some(until), _) => until - now,
                    (None, Verdict::Wait(pause)) => pause,
                    (None, Verdict::Cut) => {
                        tracing::debug!("header took too long");
                        return;
                    }
                    (None, Verdict::Close) => {
                        connection.as_mut().graceful_shutdown();
                        goodbye = Some(now + GOODBYE);
                        GOODBYE
                    }
                };
                next_look.set(runtime.sleep(pause));
            }
        }
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_RESETS)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

/// What a connection waits for, and since when.
struct Activity {
    runtime: SystemRuntime,
    state: Mutex<State>,
}

struct State {
    in_flight: usize,
    phase: Phase,
    since: Monotonic,
    http2: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the rest of a header, or for the first one.
    Header,
    /// For an answer of ours, or for the next request.
    Other,
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Look again after this time.
    Wait(Duration),
    /// Say goodbye.
    Close,
    /// End it.
    Cut,
}

impl Activity {
    fn new(runtime: SystemRuntime) -> Self {
        Self {
            state: Mutex::new(State {
                in_flight: 0,
                phase: Phase::Header,
                since: runtime.now(),
                http2: false,
            }),
            runtime,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come. Between requests they open a header, unless HTTP/2 has frames of its own
    /// to send; there a header that does not end blocks every other request of the connection, so
    /// that it goes idle.
    fn received(&self) {
        let mut state = self.lock();
        if state.in_flight == 0 && state.phase == Phase::Other && !state.http2 {
            state.phase = Phase::Header;
            state.since = self.runtime.now();
        }
    }

    fn verdict(&self, limits: &Limits, now: Monotonic) -> Verdict {
        let state = self.lock();
        let waited = now.since(state.since);
        let (allowed, verdict) = match state.phase {
            Phase::Header => (limits.header_timeout, Verdict::Cut),
            // The deadline of the request bounds it.
            Phase::Other if state.in_flight > 0 => return Verdict::Wait(limits.header_timeout),
            Phase::Other => (limits.idle_timeout, Verdict::Close),
        };
        match allowed.checked_sub(waited) {
            // A header may begin meanwhile, and that has to be seen in time.
            Some(left) if !left.is_zero() => Verdict::Wait(left.min(limits.header_timeout)),
            _ => verdict,
        }
    }
}

/// A request between its header and its answer.
struct InFlight {
    activity: Arc<Activity>,
}

impl InFlight {
    fn begin(activity: &Arc<Activity>, version: Version) -> Self {
        let mut state = activity.lock();
        state.in_flight += 1;
        state.phase = Phase::Other;
        state.http2 = version == Version::HTTP_2;
        drop(state);
        Self {
            activity: activity.clone(),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.in_flight -= 1;
        state.since = self.activity.runtime.now();
    }
}

/// Tells the activity when bytes come.
struct WatchedIo<Io> {
    io: Io,
    activity: Arc<Activity>,
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        result
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
