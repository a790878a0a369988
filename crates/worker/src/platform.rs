//! The platform of the edge on Workers.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, StatusCode};
use js_sys::Array;
use pitchey_edge::{AssetBody, FetchError, Layered, Platform, Store as _, asset};
use pitchey_http_cache::{SharedCache, Timestamp};
use pitchey_runtime::{Clock, Monotonic, Random, Spawn, Timer};
use send_wrapper::SendWrapper;
use time::OffsetDateTime;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::JsFuture;

use crate::body::{Download, Upload, said};
use crate::bucket::Bucket;
use crate::config::{Assets, Config};
use crate::memory::IsolateStore;
use crate::nearby::CacheApi;
use crate::scope::Scope;
use crate::{fields, glue};

/// The platform. Clones share everything.
#[derive(Clone)]
pub(crate) struct Workers(Arc<Parts>);

/// Memory, and the Cache API behind it.
pub(crate) type Kept = Layered<IsolateStore, CacheApi>;

struct Parts {
    store: Kept,
    /// Where what is not kept comes from, if not from the origin.
    bucket: Option<Bucket>,
    response_timeout_ms: u32,
    stall_timeout_ms: u32,
    /// The latest time that was told, in milliseconds: the clock may be set back.
    latest: AtomicU64,
}

impl Workers {
    /// What asks the origin.
    pub(crate) fn new(config: &Config) -> Self {
        // What Pitchey's own edge keeps is not in this store.
        let shared = config.pitchey.is_none();
        let nearby = shared.then(|| CacheApi::new(config, "site")).flatten();
        Self::with(config, config.memory_mib, nearby, None)
    }

    /// What asks R2 for static files.
    pub(crate) fn of_files(config: &Config, assets: Assets) -> Self {
        let bucket = Bucket {
            patience_ms: assets.timeout_ms,
            stall_ms: config.stall_timeout_ms,
        };
        let nearby = CacheApi::new(config, "assets");
        Self::with(config, assets.memory_mib, nearby, Some(bucket))
    }

    /// Whether it asks R2.
    pub(crate) fn is_of_files(&self) -> bool {
        self.0.bucket.is_some()
    }

    fn with(
        config: &Config,
        memory_mib: u64,
        nearby: Option<CacheApi>,
        bucket: Option<Bucket>,
    ) -> Self {
        let bytes = usize::try_from(memory_mib << 20).unwrap_or(usize::MAX);
        let memory = IsolateStore::new(bytes, config.largest_body_kib << 10);
        // The seed of its options is for answers, which it does not give.
        let cache = SharedCache::default();
        Self(Arc::new(Parts {
            store: Layered::new(memory, nearby, cache, unix),
            bucket,
            response_timeout_ms: config.response_timeout_ms,
            stall_timeout_ms: config.stall_timeout_ms,
            latest: AtomicU64::new(0),
        }))
    }
}

/// What is known of the time.
#[derive(Clone, Copy)]
pub(crate) enum Time {
    /// Nothing: no request is being worked for.
    Unknown,
    /// It stands still until this request waits again, and was not looked for yet.
    Standing,
    /// It stands still at this.
    At(u64),
}

thread_local! {
    static TIME: Cell<Time> = const { Cell::new(Time::Unknown) };
}

impl Time {
    /// This is known from now on; what was known before.
    pub(crate) fn replace(self) -> Self {
        TIME.replace(self)
    }
}

/// Milliseconds since 1970. The time stands still between two waits of a request, so JavaScript is asked for it
/// once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number of milliseconds after 1970"
)]
pub(crate) fn milliseconds() -> u64 {
    match TIME.get() {
        Time::At(time) => time,
        known => {
            let time = js_sys::Date::now() as u64;
            if matches!(known, Time::Standing) {
                TIME.set(Time::At(time));
            }
            time
        }
    }
}

fn unix() -> Timestamp {
    let seconds = i64::try_from(milliseconds() / 1000);
    Timestamp::from_unix(seconds.unwrap_or(i64::MAX))
}

impl Clock for Workers {
    fn now(&self) -> Monotonic {
        let now = milliseconds();
        let latest = self.0.latest.fetch_max(now, Ordering::Relaxed);
        Monotonic::from_start(Duration::from_millis(latest.max(now)))
    }

    fn wall(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_millis(milliseconds())
    }
}

impl Timer for Workers {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let wait = glue::Wait::new(duration.as_secs_f64() * 1000.0);
        SendWrapper::new(Sleep {
            over: JsFuture::from(wait.over()),
            wait,
        })
    }
}

/// A wait that ends when nobody waits.
struct Sleep {
    over: JsFuture,
    wait: glue::Wait,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.over).poll(context).map(|_| ())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.wait.leave();
    }
}

/// So many random bytes cross at a time.
const RANDOM_BYTES: usize = 1024;

thread_local! {
    /// Random bytes that were not given away yet, at the end, and how many they are.
    static RANDOM: RefCell<([u8; RANDOM_BYTES], usize)> = const { RefCell::new(([0; RANDOM_BYTES], 0)) };
}

impl Random for Workers {
    fn fill(&self, bytes: &mut [u8]) {
        RANDOM.with_borrow_mut(|(pool, left)| {
            if bytes.len() > RANDOM_BYTES {
                return glue::random(bytes);
            }
            if bytes.len() > *left {
                glue::random(pool);
                *left = RANDOM_BYTES;
            }
            let begin = RANDOM_BYTES - *left;
            let given = &mut pool[begin..begin + bytes.len()];
            bytes.copy_from_slice(given);
            given.fill(0);
            *left -= bytes.len();
        });
    }
}

impl Spawn for Workers {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // All work is some request's.
        if let Some(scope) = Scope::current() {
            scope.behind(work);
        }
    }
}

impl Platform for Workers {
    type Upload = Upload;
    type Download = Download;
    type Store = Kept;

    /// What one request waits for cannot come from another.
    const COALESCES: bool = false;

    async fn fetch(&self, request: Request<Upload>) -> Result<Response<Download>, FetchError> {
        let (parts, upload) = request.into_parts();
        if let Some(bucket) = &self.0.bucket {
            let response = asset(bucket, &parts, self.0.store.largest_body()).await?;
            return Ok(response.map(|body| match body {
                AssetBody::Text(text) => Download::ready(text.into()),
                AssetBody::Object(body) => body,
            }));
        }
        #[expect(clippy::cast_precision_loss, reason = "no body is as long")]
        let limit = upload.limit.map(|limit| limit as f64);
        let asking = SendWrapper::new(JsFuture::from(glue::ask(
            &parts.uri.to_string(),
            parts.method.as_str(),
            &fields::write(&parts.headers),
            upload.stream.take(),
            limit,
            self.0.response_timeout_ms,
        )));
        let told = asking.await;
        let told = told.map_err(|error| FetchError::Failed(said(&error).into()))?;
        let told: Array = told.unchecked_into();
        let status = told.get(0).as_f64().unwrap_or_default();
        if status == 0.0 {
            let text = said(&told.get(2));
            return Err(match told.get(1).as_string().as_deref() {
                Some("timeout") => FetchError::Timeout,
                Some("upload") => FetchError::Upload(text.into()),
                _ => FetchError::Failed(text.into()),
            });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "JavaScript's statuses are small whole numbers"
        )]
        let status = StatusCode::from_u16(status as u16)
            .map_err(|error| FetchError::Failed(error.into()))?;
        let headers = fields::read(&told.get(1).as_string().unwrap_or_default());
        let stream = told.get(2);
        let stream = (!stream.is_null()).then(|| stream.unchecked_into());
        let download = Download::new(stream, length(&headers), self.0.stall_timeout_ms);
        let mut response = Response::new(download);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn store(&self) -> &Kept {
        &self.0.store
    }
}

/// How long a message says that its body is.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
