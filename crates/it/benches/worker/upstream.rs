//! The server behind both: it answers as the origin answers an edge, for a pitch of each size.

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pitchey_api::edge::{AGE_MS, KEY, STAMP, TAGS, write_as_of};
use pitchey_cache::{AsOf, Epoch, Seq};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) const SECRET: &str = "what edges show to origins in this bench";

/// The pitches, and how many bytes each has.
pub(crate) const PITCHES: [(&str, usize); 2] = [
    ("01939000-0000-7000-8000-000000000001", 1024),
    ("01939000-0000-7000-8000-000000000016", 16 * 1024),
];

/// Runs until it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        let asked = Arc::<AtomicU64>::default();
        runtime.spawn(serve(listener, asked.clone()));
        Ok(Self {
            address,
            asked,
            _runtime: runtime,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked for a pitch.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, asked: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let asked = asked.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &asked)))
            });
            // An edge that leaves is no fault.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, asked: &AtomicU64) -> Response<Full<Bytes>> {
    let id = request.uri().path().strip_prefix("/api/pitches/");
    let pitch = PITCHES.into_iter().find(|(one, _)| Some(*one) == id);
    let known = request.headers().get(KEY).is_some_and(|key| key == SECRET);
    let Some((id, bytes)) = pitch.filter(|_| known) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    asked.fetch_add(1, Ordering::Relaxed);
    let frame = format!("{{\"id\":\"{id}\",\"synopsis\":\"\"}}").len();
    let text = "x".repeat(bytes - frame);
    let body = format!("{{\"id\":\"{id}\",\"synopsis\":\"{text}\"}}");
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "application/json");
    say(header::CACHE_CONTROL, "public, max-age=60");
    say(header::ETAG, "\"1.AAAAAAAAAAAAAAAAAAAAAA\"");
    let policy =
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";
    say(header::CONTENT_SECURITY_POLICY, policy);
    say(header::REFERRER_POLICY, "no-referrer");
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(AGE_MS, "0");
    let as_of = AsOf {
        epoch: Epoch(1),
        seq: Seq(1),
    };
    headers.insert(STAMP, write_as_of(as_of));
    if let Ok(tags) = HeaderValue::try_from(format!("pitch:{id}")) {
        headers.insert(TAGS, tags);
    }
    response
}
