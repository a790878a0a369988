//! The server behind the caches: a body of each size, good for a day.

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The sizes of the bodies, in bytes: `/1024` and `/16384`.
pub(crate) const BODIES: [usize; 2] = [1024, 16 * 1024];

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

    /// How often it was asked for a body.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, asked: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let asked = asked.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(answer(request.uri().path(), &asked)))
            });
            // A cache that leaves is no fault.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(path: &str, asked: &AtomicU64) -> Response<Full<Bytes>> {
    let bytes = path.strip_prefix('/').and_then(|bytes| bytes.parse().ok());
    let Some(bytes) = bytes.filter(|bytes| BODIES.contains(bytes)) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    asked.fetch_add(1, Ordering::Relaxed);
    let mut response = Response::new(Full::from(vec![b'x'; bytes]));
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, http::HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "text/plain");
    say(header::CACHE_CONTROL, "public, max-age=86400");
    say(header::ETAG, "\"one\"");
    response
}
