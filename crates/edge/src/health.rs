//! The health of Pitchey as its edge last knew it: `GET /api/health`, which waits for nobody.
//!
//! Others are asked how they are behind the answers: on a timer where there are timers, and else when an answer
//! is given that is no longer new.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use pitchey_runtime::{Monotonic, timeout};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::body::Body;
use crate::platform::Platform;

/// Where it is asked for, here and at an origin.
pub const HEALTH: &str = "/api/health";

/// How long an answer is given again.
const KEPT: Duration = Duration::from_secs(10);

/// How long one that is not good is: a recovery is seen soon.
const KEPT_BAD: Duration = Duration::from_secs(1);

/// The most bytes of an answer that are read.
const MOST: usize = 16 * 1024;

/// What is known of the parts. Clones share it.
#[derive(Clone)]
pub struct Health<P>(Arc<Parts<P>>);

struct Parts<P> {
    platform: P,
    targets: Vec<Target>,
    patience: Duration,
    answer: Mutex<Option<(Monotonic, Bytes)>>,
    /// Until when nobody is asked behind an answer: somebody does that, or has just done it.
    rests: Mutex<Monotonic>,
}

/// One that is asked how it is.
struct Target {
    name: String,
    how: Asking,
    known: Mutex<Known>,
}

/// How one is asked.
pub enum Asking {
    /// At this address: it is well if it answers 200, and may tell of its database.
    Http(Uri),
    /// By this, which tells whether it is well.
    By(Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>),
}

/// What was last known of one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Known {
    status: Status,
    /// When that was so.
    at: Option<String>,
    /// How long it took to say it, in milliseconds.
    ms: Option<u64>,
    /// What it said of the database.
    #[serde(skip)]
    database: Option<bool>,
}

/// How one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It is well.
    Ok,
    /// It says that it is not, or nothing in time.
    Down,
}

impl From<bool> for Status {
    fn from(is_well: bool) -> Self {
        if is_well { Self::Ok } else { Self::Down }
    }
}

impl Known {
    /// What is known without asking, at this moment.
    pub fn now(status: Status, now: OffsetDateTime) -> Self {
        Self {
            status,
            at: rfc3339(now).filter(|_| status != Status::Unknown),
            ..Self::default()
        }
    }
}

/// What the edge knows of its own parts, which it need not ask.
#[derive(Debug, Default)]
pub struct Own {
    /// By name.
    pub parts: Vec<(&'static str, Known)>,
    /// Of the databases near readers, and whether they are well.
    pub regions: Option<(bool, Value)>,
}

/// News of a part: its name, how it is, and how it was.
pub type News<'a> = &'a (dyn Fn(&str, Status, Status) + Send + Sync);

/// What an origin says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    database: String,
}

impl<P: Platform> Health<P> {
    /// The health of these, each with its name and with how it is asked, for `patience` each.
    pub fn new(platform: P, targets: Vec<(String, Asking)>, patience: Duration) -> Self {
        let targets = targets.into_iter().map(|(name, how)| Target {
            name,
            how,
            known: Mutex::default(),
        });
        Self(Arc::new(Parts {
            targets: targets.collect(),
            patience,
            answer: Mutex::default(),
            rests: Mutex::new(Monotonic::START),
            platform,
        }))
    }

    /// Whether this is what is asked for.
    pub fn takes(method: &Method, path: &str) -> bool {
        path == HEALTH && matches!(*method, Method::GET | Method::HEAD)
    }

    /// What is known, at once.
    pub fn answer(&self, method: &Method, own: impl FnOnce() -> Own) -> Response<Body<P>> {
        let parts = &*self.0;
        let now = parts.platform.now();
        let mut answer = lock(&parts.answer);
        let text = match &*answer {
            Some((until, text)) if now < *until => text.clone(),
            _ => {
                let (is_well, text) = parts.told(own());
                let kept = if is_well { KEPT } else { KEPT_BAD };
                *answer = Some((now + kept, text.clone()));
                text
            }
        };
        drop(answer);
        let length = text.len();
        let body = if *method == Method::HEAD {
            Bytes::new()
        } else {
            text
        };
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    }

    /// Who was asked, and how they were.
    pub fn known(&self) -> impl Iterator<Item = (&str, Status)> {
        let targets = self.0.targets.iter();
        targets.map(|target| (&*target.name, lock(&target.known).status))
    }

    /// Asks everybody again and again, each a fifth earlier or later than `interval` says.
    pub async fn keep_asking(&self, interval: Duration, news: News<'_>) {
        let asking = self.0.targets.iter().map(async |target| {
            loop {
                self.0.ask(target, news).await;
                // Edges that began together shall not ask together ever after.
                let jitter = u32::try_from(self.0.platform.next_u64() % 400).unwrap_or_default();
                let pause = interval.mul_f64(0.8 + f64::from(jitter) / 1000.0);
                self.0.platform.sleep(pause).await;
            }
        });
        join_all(asking).await;
    }

    /// Asks everybody once.
    pub async fn ask(&self, news: News<'_>) {
        let asking = self.0.targets.iter();
        join_all(asking.map(|target| self.0.ask(target, news))).await;
    }

    /// Whether it is time to ask anew, where no timer does: the caller is to do it, behind an answer.
    pub fn is_due(&self) -> bool {
        let parts = &*self.0;
        let now = parts.platform.now();
        let mut rests = lock(&parts.rests);
        if now < *rests {
            return false;
        }
        let are_well = self.known().all(|(_, status)| status == Status::Ok);
        let pause = if are_well { KEPT } else { KEPT_BAD };
        // Nobody asks beside one who is still waiting.
        *rests = now + pause.max(parts.patience);
        true
    }
}

impl<P: Platform> Parts<P> {
    async fn ask(&self, target: &Target, news: News<'_>) {
        let began = self.platform.now();
        let asked = timeout(&self.platform, self.patience, self.said(target)).await;
        let said = asked.ok().flatten();
        let took = self.platform.now().since(began).as_millis();
        let known = Known {
            status: said.is_some().into(),
            at: rfc3339(self.platform.wall()),
            ms: u64::try_from(took).ok(),
            database: said.and_then(|said| match &*said.database {
                "ok" => Some(true),
                "" => None,
                _ => Some(false),
            }),
        };
        let (status, is_database) = (known.status, known.database);
        let before = std::mem::replace(&mut *lock(&target.known), known);
        if before.status != status || before.database != is_database {
            // What is told from now on is what is known from now on.
            *lock(&self.answer) = None;
        }
        if before.status != status {
            news(&target.name, status, before.status);
        }
    }

    /// What a target says of itself, if it is well.
    async fn said(&self, target: &Target) -> Option<Said> {
        let uri = match &target.how {
            Asking::Http(uri) => uri,
            Asking::By(ask) => return ask().await.then(Said::default),
        };
        let mut request = Request::new(P::Upload::default());
        *request.uri_mut() = uri.clone();
        let response = self.platform.fetch(request).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST);
        let body = body.collect().await.ok()?.to_bytes();
        let said = serde_json::from_slice(&body).unwrap_or_default();
        (status == StatusCode::OK).then_some(said)
    }

    /// Whether all is well, and what is told.
    fn told(&self, own: Own) -> (bool, Bytes) {
        let mut parts = serde_json::Map::new();
        let mut is_well = true;
        let mut database = Status::Unknown;
        let asked = self.targets.iter();
        let asked = asked.map(|target| (&*target.name, lock(&target.known).clone()));
        for (name, known) in asked.chain(own.parts) {
            is_well &= known.status == Status::Ok;
            if let Some(is_up) = known.database {
                database = is_up.into();
                is_well &= is_up;
            }
            parts.insert(name.to_owned(), json!(known));
        }
        is_well &= own.regions.as_ref().is_none_or(|(are_well, _)| *are_well);
        let mut answer = json!({
            "status": if is_well { "ok" } else { "degraded" },
            "version": env!("CARGO_PKG_VERSION"),
            "database": database,
            "parts": parts,
        });
        if let Some((_, regions)) = own.regions {
            answer["regions"] = regions;
        }
        (is_well, answer.to_string().into())
    }
}

/// A time as it is told, to the second.
pub fn rfc3339(time: OffsetDateTime) -> Option<String> {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).ok()
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic happens between two changes of it.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
