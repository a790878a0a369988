//! Putting the parts together, and taking them apart in order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pitchey_api::ports::Boxed;
use pitchey_api::{ApiState, CursorKey, MemoryReads, Readiness, Site};
use pitchey_runtime::{SystemRuntime, Timer as _, timeout};
use pitchey_store_pg::{PgStore, migrate};
use pitchey_telemetry::{Build, Metrics, UPKEEP_INTERVAL};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::background::Background;
use crate::caches::OriginCaches;
use crate::config::Config;
use crate::overload::FrontDoor;
use crate::passwords::Argon2Passwords;
use crate::pipeline::{self, PipelineSettings, RequestLimits};
use crate::rooms::HttpRooms;
use crate::{metrics_server, server, warming};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the start waits for the database to tell its schema and its limits.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end waits for refreshes that go on behind the answers.
const REFRESHES_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the end waits for connections of the pool that are still in use.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the API on `listener` and the figures on `metrics_listener` until `shutdown` is ready.
///
/// Then readiness is refused, after the drain delay the listener closes, requests in flight finish
/// within the shutdown timeout, what was counted is written, the relay ends its round, and the pool
/// closes. An error means that the origin could not start (the database does not answer, or has a
/// schema that this build does not know), or that a part of it has broken down.
pub async fn serve(
    listener: TcpListener,
    metrics_listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let runtime = SystemRuntime::new();
    let metrics = Metrics::install(Build {
        name: "origin",
        version: VERSION,
    })?;
    let database = &config.database;
    let store = PgStore::connect_lazy(&database.url, &database.pool, runtime)?
        .with_replicas(&database.replicas, &database.pool)?;
    timeout(&runtime, CHECKS_TIMEOUT, async {
        migrate::check(&store).await?;
        store.check_limits().await?;
        anyhow::Ok(())
    })
    .await
    .context("the database does not tell its schema and limits in time")??;
    let cursor_key = CursorKey::new(config.cursor.key.expose_secret().as_bytes())
        .context("cursor.key is too short")?;

    let caches = OriginCaches::new(&config.cache, config.http.request_timeout(), runtime)?;
    let store = match &caches {
        Some(caches) => store.with_invalidation(caches.invalidation()),
        None => store,
    };
    let (counters, mut background) = Background::start(
        &store,
        &config.counters,
        &config.duties,
        caches.as_ref(),
        HttpRooms::new(&config.realtime, runtime)?,
        runtime,
    );
    let passwords = Argon2Passwords::start(&config.passwords, runtime)
        .context("no threads to hash passwords on")?;
    let readiness = Readiness::default();
    let api = ApiState::new(
        store.clone(),
        runtime,
        cursor_key,
        readiness.clone(),
        VERSION,
    );
    let api = match &caches {
        Some(caches) => api
            .with_caches(caches.responses(), caches.sessions())
            .with_cache_desk(Arc::new(caches.clone())),
        None => api,
    };
    let api = match caches.as_ref().and_then(OriginCaches::limits) {
        Some(limits) => api.with_shared_limits(limits),
        None => api,
    };
    let api = match config.realtime.keys()? {
        Some(keys) => api.with_tickets(keys),
        None => api,
    };
    let limits = RequestLimits {
        timeout: config.http.request_timeout(),
        max_body_bytes: config.http.max_body_bytes,
    };
    let settings = PipelineSettings {
        limits,
        trusted_proxies: config.http.trusted_networks(),
        database_time: config.http.database_time,
        edge: config.cache.edge(),
    };
    let door = Arc::new(FrontDoor::new(config.overload.settings(), runtime));
    let warming = caches
        .clone()
        .filter(|_| config.cache.warm)
        .map(|caches| warming::run(pitchey_api::public_reads(&api), caches, runtime));
    let site = Site::new(api, runtime, passwords, counters, config.site_settings());
    let service = pipeline::front(
        pitchey_api::full_router(site.clone()),
        MemoryReads::new(site),
        settings,
        door.clone(),
        runtime,
    );

    tracing::info!(
        address = %listener.local_addr()?,
        metrics = %metrics_listener.local_addr()?,
        version = VERSION,
        "listening"
    );

    // What runs beside the server ends with it, when the set is dropped.
    let mut beside = JoinSet::new();
    beside.spawn(upkeep(metrics.clone(), runtime));
    if let Some(warming) = warming {
        // In a box, or the type of what runs there would be deeper than the compiler follows.
        let warming: Boxed<'static, ()> = Box::pin(warming);
        beside.spawn(warming);
    }
    let (pool, recorded) = (store.clone(), caches.clone());
    beside.spawn(metrics_server::run(
        metrics_listener,
        metrics_server::router(metrics, move || {
            pool.record_pool_metrics();
            if let Some(caches) = &recorded {
                caches.record_metrics();
            }
            door.record_metrics();
        }),
        runtime,
    ));

    let stop = CancellationToken::new();
    let serving = server::run(
        listener,
        service,
        config.http.limits(),
        runtime,
        stop.clone(),
    );
    let stopping = async {
        let broken = tokio::select! {
            () = shutdown => None,
            // Whoever watches the process starts it anew, whole.
            part = background.broken() => Some(part),
        };
        readiness.drain();
        runtime.sleep(config.http.drain_delay()).await;
        stop.cancel();
        broken
    };
    let (cut, broken) = tokio::join!(serving, stopping);
    if cut > 0 {
        tracing::warn!(connections = cut, "requests in flight took too long");
    }
    if let Some(caches) = &caches {
        caches.finish(REFRESHES_TIMEOUT).await;
    }
    background.stop().await;
    if timeout(&runtime, POOL_CLOSE_TIMEOUT, store.close())
        .await
        .is_err()
    {
        tracing::warn!("connections to the database are still in use");
    }
    tracing::info!("stopped");
    match broken {
        None => Ok(()),
        Some(part) => anyhow::bail!("a part ended that should not have: {part}"),
    }
}

async fn upkeep(metrics: Metrics, runtime: SystemRuntime) {
    loop {
        runtime.sleep(UPKEEP_INTERVAL).await;
        metrics.upkeep();
    }
}
