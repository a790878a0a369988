//! An origin that answers what a test has it answer, and remembers what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How many came before it.
    pub(crate) before: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("-")
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// The body breaks off behind this.
    breaks: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn breaking_off(self) -> Self {
        Self {
            breaks: true,
            ..self
        }
    }
}

struct Pieces {
    /// What is before the break has gone out.
    flushed: bool,
    rest: VecDeque<Result<Bytes, std::io::Error>>,
    length: Option<u64>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if matches!(self.rest.front(), Some(Err(_))) && !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.rest.pop_front();
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.length.map_or_else(
            hyper::body::SizeHint::default,
            hyper::body::SizeHint::with_exact,
        )
    }
}

type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// The origin. Dropped, it is gone.
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    changed: Arc<tokio::sync::Notify>,
    _serving: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start<F: Future<Output = Reply> + Send + 'static>(
        answer: impl Fn(Seen) -> F + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let changed: Arc<tokio::sync::Notify> = Arc::default();
        let answer: Arc<dyn Fn(Seen) -> Answering + Send + Sync> =
            Arc::new(move |seen| Box::pin(answer(seen)));
        let mut serving = JoinSet::new();
        let (log, notify) = (seen.clone(), changed.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log, notify) = (answer.clone(), log.clone(), notify.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        handle(request, answer.clone(), log.clone(), notify.clone())
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let io = TokioIo::new(stream);
                    let _ = server.serve_connection(io, service).await;
                });
            }
        });
        Ok(Self {
            address,
            seen,
            changed,
            _serving: serving,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that it was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until it was asked so often.
    pub(crate) async fn asked(&self, times: usize) -> Result<()> {
        let asked = async {
            loop {
                let changed = self.changed.notified();
                if self.seen().len() >= times {
                    return;
                }
                changed.await;
            }
        };
        let hangs = std::time::Duration::from_mins(1);
        Ok(tokio::time::timeout(hangs, asked).await?)
    }
}

async fn handle(
    request: Request<Incoming>,
    answer: Arc<dyn Fn(Seen) -> Answering + Send + Sync>,
    log: Arc<Mutex<Vec<Seen>>>,
    notify: Arc<tokio::sync::Notify>,
) -> Result<Response<Pieces>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let seen = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen {
            method: parts.method,
            target: parts.uri.to_string(),
            headers: parts.headers,
            body: body.unwrap_or_default(),
            before: log.len(),
        };
        log.push(seen.clone());
        seen
    };
    notify.notify_waiters();
    let reply = answer(seen).await;
    let length = u64::try_from(reply.body.len()).unwrap_or_default();
    let mut pieces = VecDeque::from([Ok(reply.body)]);
    if reply.breaks {
        pieces.push_back(Err(std::io::ErrorKind::ConnectionReset.into()));
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    let length = (!reply.breaks).then_some(length);
    Ok(response
        .body(Pieces {
            flushed: false,
            rest: pieces,
            length,
        })
        .expect("the test names proper headers"))
}
