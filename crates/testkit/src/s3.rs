//! S3 for the gateway: a small server of as much of its protocol as reads objects.
//!
//! A stand-in: one bucket, addressed by path, whose objects are put there by the test. It checks what a presigned
//! address says by Signature Version 4 with its own key, and knows `If-None-Match`, `If-Match` and one range.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper::header::{CONTENT_RANGE, ETAG, HOST, IF_MATCH, IF_NONE_MATCH, RANGE};
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::loopback::{Answers, Loopback, response};

/// The name of the bucket.
const BUCKET: &str = "files";
const REGION: &str = "eu-test-1";
const ACCESS_KEY: &str = "AKIDTESTKIT";
const SECRET_KEY: &str = "a secret of the stand-in for S3";

/// A server with one bucket. Dropped, it is gone.
#[derive(Debug)]
pub struct S3Server {
    server: Loopback,
    objects: Arc<Objects>,
}

#[derive(Debug, Default)]
struct Objects(Mutex<HashMap<String, Bytes>>);

impl S3Server {
    /// Starts it on a free port, with nothing in its bucket.
    pub fn start() -> Result<Self> {
        let objects = Arc::<Objects>::default();
        let server = Loopback::start(Served(objects.clone()))?;
        Ok(Self { server, objects })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Puts an object there.
    pub fn put(&self, name: &str, content: impl Into<Bytes>) {
        self.objects.lock().insert(name.to_owned(), content.into());
    }

    /// What a client must know, by the names of the gateway's settings, but for the address.
    pub fn settings() -> [(&'static str, &'static str); 4] {
        [
            ("BUCKET", BUCKET),
            ("REGION", REGION),
            ("ACCESS_KEY", ACCESS_KEY),
            ("SECRET_KEY", SECRET_KEY),
        ]
    }
}

impl Objects {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Served(Arc<Objects>);

impl Answers for Served {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        }
        if !is_signed(&request) {
            return response(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
        }
        let path = request.uri().path().strip_prefix('/');
        let object = path.and_then(|path| path.split_once('/'));
        let content = object
            .filter(|(bucket, _)| *bucket == BUCKET)
            .and_then(|(_, name)| self.0.lock().get(name).cloned());
        match content {
            Some(content) => found(&request, &content),
            None => response(StatusCode::NOT_FOUND, "NoSuchKey"),
        }
    }
}

fn found(request: &Request<Bytes>, content: &Bytes) -> Response<Full<Bytes>> {
    let field = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let tag = format!("\"{}\"", &digest(content)[..32]);
    let (status, body, range) = if field(IF_MATCH).is_some_and(|only| only != tag) {
        (StatusCode::PRECONDITION_FAILED, Bytes::new(), None)
    } else if field(IF_NONE_MATCH) == Some(&*tag) {
        (StatusCode::NOT_MODIFIED, Bytes::new(), None)
    } else if let Some(range) = field(RANGE) {
        let span = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)))
            .filter(|(first, last): &(usize, usize)| first <= last && *last < content.len());
        match span {
            Some((first, last)) => {
                let said = format!("bytes {first}-{last}/{}", content.len());
                let part = content.slice(first..=last);
                (StatusCode::PARTIAL_CONTENT, part, Some(said))
            }
            None => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new(), None),
        }
    } else {
        (StatusCode::OK, content.clone(), None)
    };
    let mut response = response(status, body);
    let told = [(ETAG, Some(tag)), (CONTENT_RANGE, range)];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whether the query of a request signs it, as "Authenticating Requests: Using Query Parameters" has it.
fn is_signed(request: &Request<Bytes>) -> bool {
    const SIGNATURE: &str = "X-Amz-Signature=";
    let query = request.uri().query().unwrap_or_default();
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    let given = pairs
        .iter()
        .find_map(|pair| pair.strip_prefix(SIGNATURE))
        .unwrap_or_default();
    pairs.retain(|pair| !pair.starts_with(SIGNATURE));
    let value = |name: &str| {
        let mut values = pairs.iter().filter_map(|pair| pair.split_once('='));
        values
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    };
    let time = value("X-Amz-Date");
    let day = time.get(..8).unwrap_or_default();
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let credential = format!("{ACCESS_KEY}/{scope}").replace('/', "%2F");
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let canonical = format!(
        "{}\n{}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD",
        request.method(),
        request.uri().path(),
        pairs.join("&")
    );
    let hashed = digest(canonical.as_bytes());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
    let key = [day, REGION, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| {
            signed(&key, part.as_bytes())
        });
    value("X-Amz-Algorithm") == "AWS4-HMAC-SHA256"
        && value("X-Amz-Credential") == credential
        && value("X-Amz-SignedHeaders") == "host"
        && given == hexadecimal(&signed(&key, text.as_bytes()))
}

fn signed(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Any length of key will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
