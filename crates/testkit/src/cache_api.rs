//! The Cache API for workerd: a small server of the protocol that caches speak there.
//!
//! A stand-in: one data centre, without an end of its room. `GET` of an address asks for what is kept, and
//! `cf-cache-status` says whether there is anything; `PUT` carries a whole response of HTTP as its body; `PURGE`
//! removes. Only what says how long it may be kept is kept, for as long, by `max-age` alone; the rest of HTTP's
//! rules is not here, since the edge gives nothing that needs them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, HOST};
use hyper::{HeaderMap, Request, Response, StatusCode};

use crate::loopback::{Answers, Loopback, response};

/// What is kept in one data centre. Dropped, it is gone.
#[derive(Debug)]
pub struct CacheServer {
    server: Loopback,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    ones: Mutex<HashMap<String, One>>,
    puts: AtomicU64,
}

#[derive(Clone, Debug)]
struct One {
    body: Bytes,
    until: Instant,
}

impl CacheServer {
    /// Starts an empty one on a free port.
    pub fn start() -> Result<Self> {
        let kept = Arc::<Kept>::default();
        let server = Loopback::start(Served(kept.clone()))?;
        Ok(Self { server, kept })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The addresses under which something is kept, each behind the name of its cache.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.kept.lock().keys().cloned().collect();
        keys.sort();
        keys
    }

    /// How often something was put there.
    pub fn puts(&self) -> u64 {
        self.kept.puts.load(Ordering::Relaxed)
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, One>> {
        self.ones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Served(Arc<Kept>);

impl Answers for Served {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let field = |name: &str| {
            let value = request.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        let name = field("cf-cache-namespace");
        let key = format!("{name} {}{}", field(HOST.as_str()), request.uri().path());
        let mut kept = self.0.lock();
        match request.method().as_str() {
            "GET" => {
                let now = Instant::now();
                let found = kept.get(&key).filter(|one| now < one.until);
                let (status, body, said) = match found {
                    Some(one) => (StatusCode::OK, one.body.clone(), "HIT"),
                    None => (StatusCode::GATEWAY_TIMEOUT, Bytes::new(), "MISS"),
                };
                let mut response = response(status, body);
                if let Ok(said) = said.parse() {
                    response.headers_mut().insert("cf-cache-status", said);
                }
                response
            }
            "PUT" => match parsed(request.body()) {
                Some((headers, body)) if lasting(&headers) > Duration::ZERO => {
                    let until = Instant::now() + lasting(&headers);
                    kept.insert(key, One { body, until });
                    self.0.puts.fetch_add(1, Ordering::Relaxed);
                    response(StatusCode::NO_CONTENT, Bytes::new())
                }
                _ => response(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
            },
            "PURGE" => {
                let was_there = kept.remove(&key).is_some();
                let status = if was_there {
                    StatusCode::OK
                } else {
                    StatusCode::NOT_FOUND
                };
                response(status, Bytes::new())
            }
            _ => response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
        }
    }
}

/// The fields and the body of a response as it is written.
fn parsed(written: &Bytes) -> Option<(HeaderMap, Bytes)> {
    let end = written.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&written[..end]).ok()?;
    let mut lines = head.split("\r\n");
    lines.next().filter(|status| status.contains(" 200 "))?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name: hyper::header::HeaderName = name.parse().ok()?;
        headers.insert(name, value.trim().parse().ok()?);
    }
    Some((headers, written.slice(end + 4..)))
}

fn lasting(headers: &HeaderMap) -> Duration {
    let control = headers.get(CACHE_CONTROL);
    let control = control.and_then(|control| control.to_str().ok());
    let mut parts = control.unwrap_or_default().split(',');
    let seconds = parts.find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}
