//! The databases near readers, as the gateway asks them: a small pool for each, and a probe again and again.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use hyper_rustls::ConfigBuilderExt as _;
use pitchey_api::RegionalReads;
use pitchey_edge::regions::{Region, Regions, Told};
use pitchey_model::WalPosition;
use pitchey_regional::{Connections, RegionalStore, options, store_error};
use pitchey_runtime::{Clock as _, SystemRuntime, Timer as _, timeout};
use pitchey_store::StoreError;
use secrecy::ExposeSecret as _;
use serde_json::json;
use time::OffsetDateTime;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};

/// The pool of one region.
#[derive(Clone)]
struct Pooled(Pool);

/// A connection of it. Dropped before it is given back, it is closed: whoever waited for it has given up,
/// and the next one should not wait in their place.
struct Lent(Option<Object>);

/// Why a [`Lent`] has a connection whenever it can be reached.
const WHOLE: &str = "only giving it back takes the connection";

impl Deref for Lent {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        self.0.as_ref().expect(WHOLE)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(abandoned) = self.0.take() {
            drop(Object::take(abandoned));
        }
    }
}

impl Connections for Pooled {
    type Connection = Lent;

    async fn connection(&self) -> Result<Lent, StoreError> {
        let object = self.0.get().await;
        object
            .map(|object| Lent(Some(object)))
            .map_err(|error| match error {
                PoolError::Backend(error) => store_error(error),
                PoolError::Timeout(_) => StoreError::Timeout(error.into()),
                _ => StoreError::Unavailable(error.into()),
            })
    }

    fn release(&self, mut connection: Lent) {
        drop(connection.0.take());
    }
}

/// The regions, and what is asked of them. Clones share it.
#[derive(Clone)]
pub struct Regional(Arc<Parts>);

struct Parts {
    probed: Vec<Probed>,
    interval: Duration,
    patience: Duration,
    runtime: SystemRuntime,
}

struct Probed {
    region: Arc<Region>,
    store: RegionalStore<Pooled>,
    /// When it was asked last, and how long that took.
    last: Mutex<Option<(OffsetDateTime, Duration)>>,
}

impl Regional {
    /// The regions that the configuration names, and what asks them how they are; nothing if it names none.
    pub fn new(config: &Config, runtime: SystemRuntime) -> anyhow::Result<Option<(Regions, Self)>> {
        let Some(cursors) = config.regional.cursor_key() else {
            return Ok(None);
        };
        if config.regions.is_empty() {
            return Ok(None);
        }
        let regional = &config.regional;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_native_roots()?
            .with_no_client_auth();
        let tls = MakeRustlsConnect::new(tls);
        let mut probed = Vec::new();
        for region in &config.regions {
            let mut database: tokio_postgres::Config = region.url.expose_secret().parse()?;
            database
                .application_name("pitchey-edge")
                .options(options(regional.statement_timeout_ms))
                .connect_timeout(ms(regional.connect_timeout_ms));
            let recycling = ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            };
            let manager = Manager::from_config(database, tls.clone(), recycling);
            let patience = Some(ms(regional.connect_timeout_ms));
            let pool = Pool::builder(manager)
                .max_size(regional.max_connections)
                .wait_timeout(patience)
                .create_timeout(patience)
                .runtime(Runtime::Tokio1)
                .build()?;
            let store = RegionalStore::new(Pooled(pool));
            let reads = RegionalReads::new(store.clone(), runtime, cursors.clone());
            let place = region.place().context("regions: no place on the globe")?;
            let progress = store.progress().clone();
            let told = move || Told {
                replayed: progress.replayed().unwrap_or(WalPosition(u64::MAX)),
                times: progress.times(),
            };
            probed.push(Probed {
                region: Arc::new(Region::new(&region.name, place, reads, told)),
                store,
                last: Mutex::default(),
            });
        }
        let all = probed.iter().map(|probed| probed.region.clone()).collect();
        let regions = Regions::new(all, regional.place(), ms(regional.read_timeout_ms));
        let parts = Parts {
            probed,
            interval: ms(regional.interval_ms),
            patience: ms(regional.connect_timeout_ms),
            runtime,
        };
        Ok(Some((regions, Self(Arc::new(parts)))))
    }

    /// Asks all of them again and again, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let asking = self.0.probed.iter().map(|one| self.0.keep_asking(one));
        stop.run_until_cancelled(futures::future::join_all(asking))
            .await;
    }

    /// What is known of each, and whether all are well.
    pub(crate) fn told(&self) -> (bool, serde_json::Value) {
        let mut all = serde_json::Map::new();
        let mut are_well = true;
        for one in &self.0.probed {
            let status = one.region.status();
            let word = match status.probe {
                None => "unknown",
                Some(true) => "ok",
                Some(false) => "down",
            };
            are_well &= status.probe == Some(true) && !status.open;
            let last = *one.last.lock().unwrap_or_else(PoisonError::into_inner);
            let replayed = status.told.replayed;
            let is_replica = status.told.times > 0 && replayed != WalPosition(u64::MAX);
            let known = json!({
                "status": word,
                "at": last.and_then(|(at, _)| pitchey_edge::health::rfc3339(at)),
                "ms": last.and_then(|(_, took)| u64::try_from(took.as_millis()).ok()),
                "breaker": if status.open { "open" } else { "closed" },
                "replayed": is_replica.then(|| replayed.to_string()),
            });
            all.insert(one.region.name().to_owned(), known);
        }
        (are_well, all.into())
    }
}

impl Parts {
    async fn keep_asking(&self, one: &Probed) {
        loop {
            let began = self.runtime.now();
            let asked = timeout(&self.runtime, self.patience, one.store.probe()).await;
            let is_well = matches!(asked, Ok(Ok(())));
            let took = self.runtime.now().since(began);
            *one.last.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((self.runtime.wall(), took));
            if one.region.probed(is_well) {
                tracing::info!(region = one.region.name(), is_well, "a probe tells news");
            }
            self.runtime.sleep(self.interval).await;
        }
    }
}
