//! Workers KV for workerd: a small server of the protocol that a KV binding speaks there.
//!
//! A stand-in: what is written is seen at once, and nothing is limited.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::loopback::{Answers, Loopback, response};

/// A namespace of KV. Dropped, it is gone.
#[derive(Debug)]
pub struct KvServer {
    server: Loopback,
    values: Arc<Values>,
}

#[derive(Debug, Default)]
struct Values(Mutex<HashMap<String, (Bytes, Option<Instant>)>>);

impl KvServer {
    /// Starts an empty one on a free port.
    pub fn start() -> Result<Self> {
        let values = Arc::<Values>::default();
        let server = Loopback::start(Namespace(values.clone()))?;
        Ok(Self { server, values })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The keys that are there, as they are written in addresses.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.values.lock().keys().cloned().collect();
        keys.sort();
        keys
    }

    /// What is there for a key as it is written in addresses.
    pub fn value(&self, key: &str) -> Option<Bytes> {
        let values = self.values.lock();
        values.get(key).map(|(value, _)| value.clone())
    }
}

impl Values {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Bytes, Option<Instant>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Namespace(Arc<Values>);

impl Namespace {
    /// The keys that begin so and are not expired, in one page.
    fn list(&self, prefix: &str) -> String {
        let now = Instant::now();
        let values = self.0.lock();
        let there = values
            .iter()
            .filter(|(_, (_, until))| until.is_none_or(|until| now < until));
        let mut names: Vec<String> = there.map(|(key, _)| decoded(key)).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        let keys: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        json!({ "keys": keys, "list_complete": true }).to_string()
    }
}

/// A key as it is meant, from how it is written in an address.
fn decoded(key: &str) -> String {
    percent_decode_str(key).decode_utf8_lossy().into_owned()
}

impl Answers for Namespace {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let key = request.uri().path().trim_start_matches('/').to_owned();
        let query = request.uri().query().unwrap_or_default();
        let ttl = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("expiration_ttl="))
            .and_then(|seconds| seconds.parse::<u64>().ok());
        match *request.method() {
            Method::GET if key.is_empty() => {
                let prefix = query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("prefix="))
                    .unwrap_or_default();
                response(StatusCode::OK, self.list(&decoded(prefix)))
            }
            Method::GET => {
                let now = Instant::now();
                let values = self.0.lock();
                let value = values
                    .get(&key)
                    .filter(|(_, until)| until.is_none_or(|until| now < until));
                match value {
                    Some((value, _)) => response(StatusCode::OK, value.clone()),
                    None => response(StatusCode::NOT_FOUND, Bytes::new()),
                }
            }
            Method::PUT if ttl.is_some_and(|seconds| seconds < 60) => {
                let text = "Invalid expiration_ttl: it must be at least 60.";
                response(StatusCode::BAD_REQUEST, text)
            }
            Method::PUT => {
                let until = ttl.map(|seconds| Instant::now() + Duration::from_secs(seconds));
                let value = (request.into_body(), until);
                self.0.lock().insert(key, value);
                response(StatusCode::OK, Bytes::new())
            }
            Method::DELETE => {
                self.0.lock().remove(&key);
                response(StatusCode::OK, Bytes::new())
            }
            _ => response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
        }
    }
}
