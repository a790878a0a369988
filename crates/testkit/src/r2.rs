//! R2 for workerd: a small server of the protocol that an R2 binding speaks there.
//!
//! A stand-in: it has reading alone (`head` and `get`, with one range and tags as conditions), which is all that
//! the edge does, and its objects are put there by the test. A read is a `GET` whose field `cf-r2-request` says
//! in JSON what is wanted; the answer is what is known of the object, in JSON, as long as `cf-r2-metadata-size`
//! says, and its bytes behind that.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::loopback::{Answers, Loopback, response};

const REQUEST: &str = "cf-r2-request";
const METADATA_SIZE: &str = "cf-r2-metadata-size";
const ERROR: &str = "cf-r2-error";

/// A bucket. Dropped, it is gone.
#[derive(Debug)]
pub struct R2Server {
    server: Loopback,
    bucket: Arc<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<String, Bytes>,
    reads: Vec<String>,
}

impl R2Server {
    /// Starts an empty one on a free port.
    pub fn start() -> Result<Self> {
        let bucket = Arc::<Bucket>::default();
        let server = Loopback::start(Served(bucket.clone()))?;
        Ok(Self { server, bucket })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Puts an object there.
    pub fn put(&self, name: &str, content: impl Into<Bytes>) {
        let mut inner = self.bucket.lock();
        inner.objects.insert(name.to_owned(), content.into());
    }

    /// What was asked for so far, in its order.
    pub fn reads(&self) -> Vec<String> {
        self.bucket.lock().reads.clone()
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Served(Arc<Bucket>);

impl Answers for Served {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let asked = request.headers().get(REQUEST);
        let asked: Option<Value> =
            asked.and_then(|asked| serde_json::from_slice(asked.as_bytes()).ok());
        let Some(asked) = asked.filter(|_| request.method() == Method::GET) else {
            return refused(
                StatusCode::BAD_REQUEST,
                10029,
                "Metadata missing or invalid",
            );
        };
        let name = asked["object"].as_str().unwrap_or_default();
        let mut inner = self.0.lock();
        inner.reads.push(name.to_owned());
        let Some(content) = inner.objects.get(name).cloned() else {
            let text = "The specified key does not exist.";
            return refused(StatusCode::NOT_FOUND, 10007, text);
        };
        drop(inner);
        match asked["method"].as_str() {
            Some("head") => found(StatusCode::OK, name, &content, 0, 0),
            Some("get") => got(name, &content, &asked),
            _ => refused(StatusCode::BAD_REQUEST, 10029, "This is not done here."),
        }
    }
}

/// Its tag, as long as the MD5 digests of R2.
fn tag(content: &Bytes) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(content);
    digest[..16].iter().fold(String::new(), |mut tag, byte| {
        // Writing to text cannot fail.
        let _ = write!(tag, "{byte:02x}");
        tag
    })
}

fn got(name: &str, content: &Bytes, asked: &Value) -> Response<Full<Bytes>> {
    let only = &asked["onlyIf"];
    let tag = tag(content);
    let has_it = |list: &Value| {
        let mut tags = list.as_array().into_iter().flatten();
        tags.any(|one| one["value"].as_str() == Some(&*tag))
    };
    let is_met = (only["etagMatches"].is_null() || has_it(&only["etagMatches"]))
        && !has_it(&only["etagDoesNotMatch"]);
    if !is_met {
        return found(StatusCode::PRECONDITION_FAILED, name, content, 0, 0);
    }
    // 64-bit numbers are texts in the JSON of Cap'n Proto.
    let number = |value: &Value| {
        let text = value.as_str().and_then(|text| text.parse().ok());
        let number = value.as_u64().or(text)?;
        usize::try_from(number).ok()
    };
    let range = &asked["range"];
    let first = number(&range["offset"]).unwrap_or_default();
    let most = content.len().checked_sub(first);
    let Some(most) = most.filter(|most| *most > 0 || range.is_null()) else {
        let text = "The requested range is not satisfiable";
        return refused(StatusCode::RANGE_NOT_SATISFIABLE, 10039, text);
    };
    let length = number(&range["length"]).unwrap_or(most).min(most);
    found(StatusCode::OK, name, content, first, length)
}

fn found(
    status: StatusCode,
    name: &str,
    content: &Bytes,
    first: usize,
    length: usize,
) -> Response<Full<Bytes>> {
    let known = json!({
        "name": name,
        "version": "1",
        "size": content.len(),
        "etag": tag(content),
        "uploaded": 1_700_000_000_000_u64,
        "httpFields": {},
        "customFields": [],
        "range": {"offset": first, "length": length},
        "checksums": {},
    });
    let mut body = known.to_string().into_bytes();
    let size = body.len();
    body.extend_from_slice(&content[first..first + length]);
    let mut response = response(status, body);
    let headers = response.headers_mut();
    headers.insert(METADATA_SIZE, size.into());
    if status != StatusCode::OK {
        told(&mut response, 10031, "A condition did not hold.");
    }
    response
}

fn refused(status: StatusCode, code: u32, text: &str) -> Response<Full<Bytes>> {
    let mut response = response(status, Bytes::new());
    told(&mut response, code, text);
    response
}

fn told(response: &mut Response<Full<Bytes>>, code: u32, text: &str) {
    let error = json!({"message": text, "version": 1, "v4code": code});
    if let Ok(error) = error.to_string().parse() {
        response.headers_mut().insert(ERROR, error);
    }
}
