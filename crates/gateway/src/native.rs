//! The platform of the edge on an operating system: tokio, hyper's client, memory.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pitchey_edge::{AssetBody, BoxError, FetchError, Objects, Platform, Slot, Store, asset};
use pitchey_runtime::{Background, Clock, Monotonic, Random, Spawn, SystemRuntime, Timer, timeout};
use pitchey_tiers::MokaMap;
use time::OffsetDateTime;

use crate::config::{Config, ms};
use crate::folder::Folder;
use crate::paced::{Paced, Stalled, TooLarge};
use crate::s3::S3;

/// The platform. Clones share everything.
#[derive(Clone, Debug)]
pub struct Native {
    tasks: Background,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    system: SystemRuntime,
    origin: Origin,
    store: MemoryStore,
    response_timeout: Duration,
    stall_timeout: Duration,
}

/// Where what is not kept comes from.
#[derive(Debug)]
enum Origin {
    Network(Box<Client<HttpsConnector<HttpConnector>, Paced>>),
    Folder(Folder),
    S3(Box<S3>),
}

impl Native {
    /// What the configuration asks for.
    pub fn new(config: &Config, system: SystemRuntime) -> anyhow::Result<Self> {
        let origin = &config.origin;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(ms(origin.idle_timeout_ms))
            .pool_max_idle_per_host(origin.idle_connections)
            .build(connector(ms(origin.connect_timeout_ms))?);
        Ok(Self::with(
            config,
            system,
            Origin::Network(Box::new(client)),
        ))
    }

    /// The same, whose origin is where static files lie, if they are to be served.
    pub(crate) fn of_files(config: &Config, system: SystemRuntime) -> anyhow::Result<Option<Self>> {
        let origin = if let Some(directory) = config.assets.directory() {
            Origin::Folder(Folder::open(directory, system)?)
        } else if config.assets.s3.is_on() {
            Origin::S3(Box::new(S3::new(&config.assets, &config.origin, system)?))
        } else {
            return Ok(None);
        };
        Ok(Some(Self::with(config, system, origin)))
    }

    fn with(config: &Config, system: SystemRuntime, origin: Origin) -> Self {
        let memory_mib = match origin {
            Origin::Network(_) => config.store.memory_mib,
            Origin::Folder(_) | Origin::S3(_) => config.assets.memory_mib,
        };
        let largest_body = config.store.largest_body_kib << 10;
        Self {
            tasks: Background::new(system),
            parts: Arc::new(Parts {
                system,
                origin,
                store: MemoryStore {
                    slots: MokaMap::new(memory_mib << 20, Slot::weight),
                    largest_body,
                },
                response_timeout: ms(config.origin.response_timeout_ms),
                stall_timeout: ms(config.origin.stall_timeout_ms),
            }),
        }
    }

    /// What a store of objects has for a request.
    async fn file(
        &self,
        objects: &impl Objects<Body = Paced>,
        request: Request<Paced>,
    ) -> Result<Response<Paced>, FetchError> {
        let (asked, _) = request.into_parts();
        let Parts { store, system, .. } = &*self.parts;
        let response = asset(objects, &asked, store.largest_body).await?;
        Ok(response.map(|body| match body {
            AssetBody::Text(text) => Paced::ready(text.into(), *system),
            AssetBody::Object(body) => body,
        }))
    }

    /// Waits for what goes on behind the answers, for at most `patience`; whether all has ended.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.tasks.finish(patience).await
    }
}

/// What opens connections, which may take this long.
pub(crate) fn connector(patience: Duration) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(patience));
    Ok(HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector))
}

impl Clock for Native {
    fn now(&self) -> Monotonic {
        self.parts.system.now()
    }

    fn wall(&self) -> OffsetDateTime {
        self.parts.system.wall()
    }
}

impl Timer for Native {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.parts.system.sleep(duration)
    }
}

impl Random for Native {
    fn fill(&self, bytes: &mut [u8]) {
        self.parts.system.fill(bytes);
    }
}

impl Spawn for Native {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }
}

impl Platform for Native {
    type Upload = Paced;
    type Download = Paced;
    type Store = MemoryStore;

    const COALESCES: bool = true;

    async fn fetch(&self, request: Request<Paced>) -> Result<Response<Paced>, FetchError> {
        let Parts {
            system,
            origin,
            response_timeout,
            stall_timeout,
            ..
        } = &*self.parts;
        let client = match origin {
            Origin::Network(client) => client,
            Origin::Folder(folder) => return self.file(folder, request).await,
            Origin::S3(bucket) => return self.file(&**bucket, request).await,
        };
        let asking = timeout(system, *response_timeout, client.request(request));
        match asking.await {
            Err(_) => Err(FetchError::Timeout),
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no response");
                Err(failure(error))
            }
            Ok(Ok(response)) => {
                let paced = |body| Paced::new(body, *system, *stall_timeout, u64::MAX);
                Ok(response.map(paced))
            }
        }
    }

    fn store(&self) -> &MemoryStore {
        &self.parts.store
    }
}

/// Whether it was the body of the client's own request.
fn failure(error: hyper_util::client::legacy::Error) -> FetchError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if cause.is::<Stalled>() || cause.is::<TooLarge>() {
            return FetchError::Upload(Box::new(error));
        }
        source = cause.source();
    }
    let error: BoxError = Box::new(error);
    FetchError::Failed(error)
}

/// A [`Store`] in the memory of the process.
#[derive(Debug)]
pub struct MemoryStore {
    slots: MokaMap<Slot>,
    largest_body: u64,
}

impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Option<Arc<Slot>> {
        self.slots.get(key)
    }

    async fn update(
        &self,
        key: &str,
        change: impl Fn(Option<&Arc<Slot>>) -> Option<Arc<Slot>> + Send + Sync,
    ) {
        self.slots.update(key, change);
    }

    async fn remove_prefix(&self, prefix: &str) -> bool {
        self.slots.remove_prefix(prefix);
        true
    }

    fn largest_body(&self) -> u64 {
        self.largest_body
    }

    fn size(&self) -> (u64, u64) {
        self.slots.size()
    }
}
