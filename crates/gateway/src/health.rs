//! The health of Pitchey as its edge last knew it: `GET /api/health`, which waits for nobody.
//!
//! What is asked of others is asked behind, on a timer: the origin for its own health, which tells of the
//! database, the hub, and whatever else the configuration names.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pitchey_edge::Body;
use pitchey_runtime::{Clock as _, Monotonic, Random as _, SystemRuntime, Timer as _, timeout};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};
use crate::native::{Native, connector};
use crate::pitchey::NativeSite;
use crate::regions::Regional;

/// Where it is asked for.
const PATH: &str = "/api/health";

/// How long an answer is given again.
const KEPT: Duration = Duration::from_secs(10);

/// How long one that is not good is: a recovery is seen soon.
const KEPT_BAD: Duration = Duration::from_secs(1);

/// The most bytes of an answer that are read.
const MOST: usize = 16 * 1024;

type Asker = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// What is known of the parts. Clones share it.
#[derive(Clone)]
pub(crate) struct Health(Arc<Parts>);

struct Parts {
    site: NativeSite,
    regional: Option<Regional>,
    targets: Vec<Target>,
    client: Asker,
    interval: Duration,
    patience: Duration,
    runtime: SystemRuntime,
    answer: Mutex<Option<(Monotonic, Bytes)>>,
}

/// One that is asked how it is.
struct Target {
    name: String,
    uri: Uri,
    known: Mutex<Known>,
}

/// What was last known of one.
#[derive(Clone, Debug, Default, Serialize)]
struct Known {
    /// `ok`, `down`, or `unknown` as long as it was not asked.
    status: &'static str,
    /// When it was asked.
    at: Option<String>,
    /// How long it took, in milliseconds.
    ms: Option<u64>,
    /// What it said of the database.
    #[serde(skip)]
    database: Option<bool>,
}

/// What an origin says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    status: String,
    database: String,
}

impl Health {
    /// The health of what the configuration names.
    pub(crate) fn new(
        config: &Config,
        site: NativeSite,
        regional: Option<Regional>,
        runtime: SystemRuntime,
    ) -> anyhow::Result<Self> {
        let health = &config.health;
        let mut targets = vec![(
            "origin".to_owned(),
            format!("{}{PATH}", trim(&config.origin.url)),
        )];
        if !config.hub.url.is_empty() {
            targets.push((
                "hub".to_owned(),
                format!("{}/healthz", trim(&config.hub.url)),
            ));
        }
        let more = health.targets.iter();
        targets.extend(more.map(|target| (target.name.clone(), target.url.clone())));
        let targets = targets.into_iter().map(|(name, url)| {
            anyhow::Ok(Target {
                name,
                uri: url.parse()?,
                known: Mutex::new(Known {
                    status: "unknown",
                    ..Known::default()
                }),
            })
        });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector(ms(health.timeout_ms))?);
        Ok(Self(Arc::new(Parts {
            site,
            regional,
            targets: targets.collect::<anyhow::Result<_>>()?,
            client,
            interval: ms(health.interval_ms),
            patience: ms(health.timeout_ms),
            runtime,
            answer: Mutex::default(),
        })))
    }

    /// Whether this is what is asked for.
    pub(crate) fn takes(method: &Method, path: &str) -> bool {
        path == PATH && matches!(*method, Method::GET | Method::HEAD)
    }

    /// What is known, at once.
    pub(crate) fn answer(&self, method: &Method) -> Response<Body<Native>> {
        let parts = &*self.0;
        let now = parts.runtime.now();
        let mut answer = lock(&parts.answer);
        let text = match &*answer {
            Some((until, text)) if now < *until => text.clone(),
            _ => {
                let (is_well, text) = parts.told();
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
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        response
    }

    /// Who was asked, and whether they were well.
    pub(crate) fn known(&self) -> impl Iterator<Item = (String, bool)> {
        let targets = self.0.targets.iter();
        targets.map(|target| (target.name.clone(), lock(&target.known).status == "ok"))
    }

    /// Asks everybody again and again, until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let asking = self
            .0
            .targets
            .iter()
            .map(|target| self.0.keep_asking(target));
        stop.run_until_cancelled(futures::future::join_all(asking))
            .await;
    }
}

impl Parts {
    async fn keep_asking(&self, target: &Target) {
        loop {
            let began = self.runtime.now();
            let asked = timeout(&self.runtime, self.patience, self.ask(target)).await;
            let said = asked.ok().flatten();
            let took = self.runtime.now().since(began).as_millis();
            let known = Known {
                status: if said.is_some() { "ok" } else { "down" },
                at: rfc3339(self.runtime.wall()),
                ms: u64::try_from(took).ok(),
                database: said.and_then(|said| match &*said.database {
                    "ok" => Some(true),
                    "" => None,
                    _ => Some(false),
                }),
            };
            let before = std::mem::replace(&mut *lock(&target.known), known.clone());
            if before.status != known.status {
                // What is told from now on is what is known from now on.
                *lock(&self.answer) = None;
                let (name, status) = (&target.name, known.status);
                tracing::info!(target_name = %name, status, was = before.status, "a probe tells news");
            }
            // Edges that began together shall not ask together ever after.
            let jitter = self.runtime.next_u64() % 400;
            let pause = self
                .interval
                .mul_f64(0.8 + f64::from(jitter as u32) / 1000.0);
            self.runtime.sleep(pause).await;
        }
    }

    /// What a target says of itself, if it is well.
    async fn ask(&self, target: &Target) -> Option<Said> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.uri.clone();
        let response = self.client.request(request).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST)
            .collect()
            .await
            .ok()?;
        let said: Said = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        (status == StatusCode::OK).then_some(said)
    }

    /// Whether all is well, and what is told.
    fn told(&self) -> (bool, Bytes) {
        let mut parts = serde_json::Map::new();
        let mut is_well = true;
        let mut database = "unknown";
        for target in &self.targets {
            let known = lock(&target.known).clone();
            is_well &= known.status == "ok";
            if let Some(is_up) = known.database {
                database = if is_up { "ok" } else { "down" };
                is_well &= is_up;
            }
            parts.insert(target.name.clone(), json!(known));
        }
        let redis = Known {
            status: if self.site.hearing().attached {
                "ok"
            } else {
                "down"
            },
            at: rfc3339(self.runtime.wall()),
            ..Known::default()
        };
        is_well &= redis.status == "ok";
        parts.insert("redis".to_owned(), json!(redis));
        let regions = self.regional.as_ref().map(Regional::told);
        is_well &= regions.as_ref().is_none_or(|(are_well, _)| *are_well);
        let mut answer = json!({
            "status": if is_well { "ok" } else { "degraded" },
            "version": env!("CARGO_PKG_VERSION"),
            "database": database,
            "parts": parts,
        });
        if let Some((_, regions)) = regions {
            answer["regions"] = regions;
        }
        (is_well, answer.to_string().into())
    }
}

fn trim(url: &str) -> &str {
    url.trim_end_matches('/')
}

pub(crate) fn rfc3339(time: OffsetDateTime) -> Option<String> {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).ok()
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic happens between two changes of it.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
