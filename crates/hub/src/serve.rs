//! Putting the parts together, and taking them apart in order.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pitchey_lobby::{Secret, Used};
use pitchey_realtime::{Keep, MemLog};
use pitchey_runtime::{Random as _, SystemRuntime, Timer as _, timeout};
use pitchey_telemetry::{Build, Metrics, UPKEEP_INTERVAL};
use pitchey_tiers::{RedisConfig, RedisLink, RedisRooms};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::Config;
use crate::connect::{Entrance, Seats, websocket};
use crate::internal::{self, Internal};
use crate::log::Log;
use crate::node::Node;
use crate::{publish, sse};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A few scrapers come every few seconds.
const SCRAPERS: usize = 16;

/// The longest head of a request: a ticket with every room fits.
const MAX_HEAD: usize = 16 * 1024;

/// How long the last connections may take to say goodbye, beyond the waves of the drain.
const GOODBYES: Duration = Duration::from_secs(5);

/// How long to wait when no connection can be taken, as there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on `listener`, and figures on `metrics_listener`, until `shutdown` is ready. Then nobody is
/// taken any more, and everyone is sent elsewhere in waves. An error means that the hub could not start.
pub async fn serve(
    listener: TcpListener,
    metrics_listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let runtime = SystemRuntime::new();
    let metrics = Metrics::install(Build {
        name: "hub",
        version: VERSION,
    })?;
    let settings = config.rooms.settings();
    let log = log(&config, settings.keep, runtime)?;
    let (node, workers) = Node::new(log, settings, runtime);
    let connections = Connections::default();
    let entrance = Arc::new(Entrance {
        node: Arc::clone(&node),
        runtime,
        keys: config.tickets.keys()?,
        secret: Secret::new(config.publish.secret.expose_secret()),
        used: Mutex::new(Used::default()),
        places: Arc::new(Seats::default()),
        guests: connections.tasks.clone(),
        http: config.http.clone(),
    });

    tracing::info!(
        address = %listener.local_addr()?,
        metrics = %metrics_listener.local_addr()?,
        version = VERSION,
        "listening"
    );

    // What runs beside the connections ends with them, when the set is dropped.
    let stop = CancellationToken::new();
    let mut beside = JoinSet::new();
    for worker in workers {
        let node = Arc::clone(&node);
        beside.spawn(async move { node.run_worker(worker).await });
    }
    let ticking = Arc::clone(&node);
    beside.spawn(async move { ticking.run_ticks().await });
    let (following, log_stop) = (Arc::clone(&node), stop.clone());
    beside.spawn(async move { Box::pin(following.run_log(&log_stop)).await });
    let upkeep = metrics.clone();
    beside.spawn(async move {
        loop {
            runtime.sleep(UPKEEP_INTERVAL).await;
            upkeep.upkeep();
        }
    });
    let recorded = Arc::clone(&node);
    let render = async move || {
        recorded.record_metrics();
        ([(header::CONTENT_TYPE, TEXT_FORMAT)], metrics.render())
    };
    let leave = CancellationToken::new();
    let internal = Internal {
        entrance: Arc::clone(&entrance),
        leave: leave.clone(),
    };
    let inner = Router::new()
        .route("/metrics", get(render))
        .merge(internal::router(internal));
    let header_timeout = Duration::from_millis(config.http.header_timeout_ms);
    beside.spawn(async move {
        let limits = (SCRAPERS, header_timeout);
        let scrapers = Connections::default();
        accept(metrics_listener, inner, limits, &scrapers).await;
    });

    // Those who are not let in need a place until they are told so.
    let limits = (config.http.max_connections + 64, header_timeout);
    let accepting = accept(listener, router(entrance), limits, &connections);
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
        () = leave.cancelled() => {}
        Some(ended) = beside.join_next() => {
            ended?;
            anyhow::bail!("a part ended that should not have");
        }
    }
    tracing::info!(connections = node.sockets(), "going away");
    node.drain();
    connections.closing.cancel();
    connections.tasks.close();
    let patience = settings.drain + GOODBYES;
    if timeout(&runtime, patience, connections.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.tasks.len(),
            "not everyone has left in time"
        );
    }
    stop.cancel();
    tracing::info!("stopped");
    Ok(())
}

fn log(config: &Config, keep: Keep, runtime: SystemRuntime) -> anyhow::Result<Log> {
    let redis = &config.redis;
    if redis.url.expose_secret().is_empty() {
        let epoch = format!("{:016x}", runtime.next_u64());
        return Ok(Log::Memory(Mutex::new(MemLog::new(epoch, keep)), runtime));
    }
    let link = RedisConfig {
        prefix: redis.prefix.clone(),
        call_timeout: Duration::from_millis(redis.timeout_ms),
        reconnect_after: (Duration::from_millis(100), Duration::from_secs(1)),
        ..RedisConfig::new(redis.url.clone())
    };
    let link = RedisLink::new(link, runtime).context("redis.url")?;
    Ok(Log::Redis(RedisRooms::new(link.clone(), keep), link))
}

fn router(entrance: Arc<Entrance>) -> Router {
    Router::new()
        .route("/ws", get(websocket))
        .route("/sse", get(sse::events))
        .route(
            "/publish",
            post(publish::publish).layer(DefaultBodyLimit::max(pitchey_lobby::MAX_BODY)),
        )
        .route("/healthz", get(health))
        .with_state(entrance)
}

/// Whether the hub takes connections.
async fn health(State(entrance): State<Arc<Entrance>>) -> Response {
    let node = &entrance.node;
    let (takes_connections, word) = node.health();
    let status = if takes_connections {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({"status": word, "connections": node.sockets(), "version": VERSION});
    (status, Json(body)).into_response()
}

/// The connections of a listener, upgraded ones included, and the word that ends those that wait for a
/// request.
#[derive(Default)]
struct Connections {
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// Takes connections until dropped.
async fn accept(
    listener: TcpListener,
    router: Router,
    (max_connections, header_timeout): (usize, Duration),
    connections: &Connections,
) {
    let runtime = SystemRuntime::new();
    let places = Arc::new(Semaphore::new(max_connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                let closing = connections.closing.clone();
                connections.tasks.spawn(async move {
                    serve_connection(stream, peer, router, (header_timeout, closing)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    (header_timeout, closing): (Duration, CancellationToken),
) {
    let _ = stream.set_nodelay(true);
    let service = router
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(axum::body::Body::new)
        })
        .map_err(|never: Infallible| never);
    let mut serving = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades()
    );
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = closing.cancelled() => {
            // What is answered is answered; nothing is asked any more.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection has ended");
    }
}
