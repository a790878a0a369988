//! What is told as it happens: `/ws` and `/sse` go to the hub, which reads tickets and origins itself.
//!
//! A WebSocket is a tunnel of bytes once the hub has agreed to it; events are passed on as they come.
//! Nothing of it is kept. When the gateway is to stop, each ends at a time of its own within the drain,
//! told so between two frames or events, so that not all clients come again at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::{self, OnUpgrade};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pitchey_edge::{Body, refusal};
use pitchey_runtime::{Random as _, SystemRuntime, Timer as _, timeout};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ms};
use crate::frames::Frames;
use crate::native::{Native, connector};
use crate::paced::{Farewell, Paced};
use crate::shares::{Share, Shares};
use pitchey_edge::limits::subscriber;

/// Fields of requests that mean something to the hub. Cookies are none of them: it reads tickets.
const TO_HUB: [HeaderName; 8] = [
    ACCEPT,
    AUTHORIZATION,
    ORIGIN,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    HeaderName::from_static("last-event-id"),
];

/// Fields of its answers that mean something to clients.
const TO_CLIENT: [HeaderName; 9] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    UPGRADE,
    HeaderName::from_static("x-accel-buffering"),
];

/// What a tunnel reads at once, in either direction.
const BUFFER: usize = 4096;

/// How long the two ends may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// "The server goes away", 1001, as a whole frame (RFC 6455, sections 5.2 and 7.4.1): what the hub says,
/// too, when it drains.
const GOING_AWAY: &[u8] = b"\x88\x07\x03\xe9drain";

/// The same, as an event.
const GOING_AWAY_EVENT: &[u8] = b"event: close\ndata: {\"code\":1001,\"reason\":\"drain\"}\n\n";

/// The way to the hub. Clones share everything.
#[derive(Clone)]
pub(crate) struct Live(Arc<Parts>);

struct Parts {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    hub: Uri,
    places: Arc<Semaphore>,
    /// Which of them are whose.
    shares: Shares<IpAddr>,
    tunnels: TaskTracker,
    limits: Limits,
    runtime: SystemRuntime,
    stop: CancellationToken,
}

/// A connection's place among all, and among those of its client; both are free when it is dropped.
struct Place {
    _any: OwnedSemaphorePermit,
    _own: Share<IpAddr>,
}

#[derive(Clone, Copy)]
struct Limits {
    most: usize,
    response: Duration,
    idle: Duration,
    stall: Duration,
    drain: Duration,
}

impl Live {
    /// The way to the hub of the configuration, if there is one.
    pub(crate) fn new(
        config: &Config,
        runtime: SystemRuntime,
        stop: CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let hub = &config.hub;
        if hub.url.is_empty() {
            return Ok(None);
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(ms(config.origin.idle_timeout_ms))
            .build(connector(ms(hub.connect_timeout_ms))?);
        Ok(Some(Self(Arc::new(Parts {
            client,
            hub: hub.uri().map_err(anyhow::Error::msg)?,
            places: Arc::new(Semaphore::new(hub.max_connections)),
            shares: Shares::new(hub.max_per_address),
            tunnels: TaskTracker::new(),
            limits: Limits {
                most: hub.max_connections,
                response: ms(hub.response_timeout_ms),
                idle: ms(hub.idle_timeout_ms),
                stall: ms(config.http.stall_timeout_ms),
                drain: ms(hub.drain_ms),
            },
            runtime,
            stop,
        }))))
    }

    /// Whether what is asked for is the hub's.
    pub(crate) fn takes(path: &str) -> bool {
        matches!(path, "/ws" | "/sse")
    }

    /// Asks the hub.
    pub(crate) async fn answer(
        &self,
        mut request: Request<Incoming>,
        client: IpAddr,
    ) -> Response<Body<Native>> {
        let parts = &*self.0;
        if request.method() != Method::GET {
            let text = "This is read, with GET.";
            return refusal(StatusCode::METHOD_NOT_ALLOWED, text);
        }
        let Some(share) = parts.shares.take(subscriber(client)) else {
            return too_many("This address has as many connections as one may have.");
        };
        let Ok(place) = parts.places.clone().try_acquire_owned() else {
            return unavailable("There are as many connections as may be.");
        };
        let place = Place {
            _any: place,
            _own: share,
        };
        let Some(asking) = parts.to_hub(&request) else {
            return refusal(StatusCode::BAD_REQUEST, "This is no address.");
        };
        let asking = parts.client.request(asking);
        let asked = timeout(&parts.runtime, parts.limits.response, asking).await;
        let mut response = match asked {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no hub");
                return unavailable("The hub cannot be reached.");
            }
            Err(_) => return unavailable("The hub did not answer in time."),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let ends = [upgrade::on(&mut request), upgrade::on(&mut response)];
            self.open(ends, place);
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *answer.headers_mut() = chosen(response.headers(), &TO_CLIENT);
            let upgrade = HeaderValue::from_static("upgrade");
            answer.headers_mut().insert(CONNECTION, upgrade);
            return answer;
        }
        let (head, body) = response.into_parts();
        let body = Paced::new(body, parts.runtime, parts.limits.idle, u64::MAX);
        let ending = parts.ending();
        let body = body.with_farewell(Farewell::new(
            async move {
                // It is taken for as long as the stream.
                let _place = place;
                ending.await;
            },
            Bytes::from_static(GOING_AWAY_EVENT),
        ));
        let mut answer = Response::new(Body::Passed(body));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = chosen(&head.headers, &TO_CLIENT);
        let no_store = HeaderValue::from_static("no-store");
        answer.headers_mut().insert(CACHE_CONTROL, no_store);
        answer
    }

    fn open(&self, ends: [OnUpgrade; 2], place: Place) {
        let parts = self.0.clone();
        self.0.tunnels.spawn(async move {
            parts.tunnel(ends).await;
            drop(place);
        });
    }

    /// How many are connected.
    pub(crate) fn connections(&self) -> usize {
        let parts = &*self.0;
        parts
            .limits
            .most
            .saturating_sub(parts.places.available_permits())
    }

    /// Waits for the tunnels to end, once all is to stop.
    pub(crate) async fn finish(&self) {
        let Parts {
            tunnels,
            limits,
            runtime,
            ..
        } = &*self.0;
        tunnels.close();
        let patience = limits.drain + 2 * GOODBYE;
        if timeout(runtime, patience, tunnels.wait()).await.is_err() {
            tracing::warn!(tunnels = tunnels.len(), "not everyone has left in time");
        }
    }
}

impl Parts {
    fn to_hub(&self, request: &Request<Incoming>) -> Option<Request<Empty<Bytes>>> {
        let mut target = self.hub.clone().into_parts();
        target.path_and_query = request.uri().path_and_query().cloned();
        let mut asking = Request::new(Empty::new());
        *asking.uri_mut() = Uri::from_parts(target).ok()?;
        let mut headers = chosen(request.headers(), &TO_HUB);
        let wanted = request.headers().get(UPGRADE);
        if wanted.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        *asking.headers_mut() = headers;
        Some(asking)
    }

    /// When one connection has to end.
    fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        let (stop, runtime) = (self.stop.clone(), self.runtime);
        let drain = u64::try_from(self.limits.drain.as_millis()).unwrap_or(u64::MAX);
        let after = ms(runtime.next_u64() % drain.saturating_add(1).max(1));
        async move {
            stop.cancelled().await;
            runtime.sleep(after).await;
        }
    }

    async fn tunnel(&self, [client, hub]: [OnUpgrade; 2]) {
        let both = async { tokio::try_join!(client, hub) };
        let Ok(Ok((client, hub))) = timeout(&self.runtime, self.limits.response, both).await else {
            return;
        };
        let (from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
        let (from_hub, mut to_hub) = tokio::io::split(TokioIo::new(hub));
        tokio::select! {
            () = self.up(from_client, &mut to_hub) => {}
            () = self.down(from_hub, &mut to_client) => {}
        }
        let ends = async { tokio::join!(to_client.shutdown(), to_hub.shutdown()) };
        let _ = timeout(&self.runtime, GOODBYE, ends).await;
    }

    /// From the client to the hub, until one of them ends.
    async fn up(&self, mut from: impl AsyncRead + Unpin, to: &mut (impl AsyncWrite + Unpin)) {
        let mut buffer = [0; BUFFER];
        while let Some(bytes) = self.read(&mut from, &mut buffer).await {
            if !self.write(to, bytes).await {
                return;
            }
        }
    }

    /// From the hub to the client, until one of them ends or all is to end.
    async fn down(&self, mut from: impl AsyncRead + Unpin, to: &mut (impl AsyncWrite + Unpin)) {
        let mut buffer = [0; BUFFER];
        let mut frames = Frames::default();
        let mut ending = Box::pin(self.ending());
        let mut is_over = false;
        loop {
            if is_over && frames.is_between() {
                break;
            }
            let read = tokio::select! {
                biased;
                () = ending.as_mut(), if !is_over => {
                    is_over = true;
                    continue;
                }
                read = self.read(&mut from, &mut buffer) => read,
            };
            let Some(bytes) = read else {
                return;
            };
            frames.pass(bytes);
            if !self.write(to, bytes).await {
                return;
            }
        }
        if self.write(to, GOING_AWAY).await {
            // The client's answer ends the hub's side, which has nothing more to say that would be heard.
            let rest = async { while matches!(from.read(&mut buffer).await, Ok(1..)) {} };
            let _ = timeout(&self.runtime, GOODBYE, rest).await;
        }
    }

    async fn read<'b>(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        buffer: &'b mut [u8],
    ) -> Option<&'b [u8]> {
        let reading = timeout(&self.runtime, self.limits.idle, from.read(buffer));
        match reading.await {
            Ok(Ok(length @ 1..)) => buffer.get(..length),
            _ => None,
        }
    }

    async fn write(&self, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
        let writing = async {
            to.write_all(bytes).await?;
            to.flush().await
        };
        let written = timeout(&self.runtime, self.limits.stall, writing).await;
        matches!(written, Ok(Ok(())))
    }
}

fn chosen(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let lines = names.iter().flat_map(|name| {
        let lines = headers.get_all(name).iter();
        lines.map(move |line| (name.clone(), line.clone()))
    });
    let mut chosen = HeaderMap::new();
    for (name, line) in lines {
        chosen.append(name, line);
    }
    chosen
}

fn too_many(text: &str) -> Response<Body<Native>> {
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, text);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

fn unavailable(text: &str) -> Response<Body<Native>> {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, text);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests;
