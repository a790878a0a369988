//! Whether the service works: liveness, readiness and the health of what it needs.

use crate::ApiState;
use crate::params;
use crate::problem::{Problem, ReadProblems};
use axum::Json;
use axum::extract::{RawQuery, State};
use pitchey_runtime::Monotonic;
use pitchey_store::Store;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use utoipa::ToSchema;

/// `/api/health` asks the database at most this often, however often it is asked itself.
const REMEMBERED: Duration = Duration::from_secs(10);
/// A bad answer is asked again sooner, so that a recovery is seen.
const REMEMBERED_BAD: Duration = Duration::from_secs(1);

/// Whether this process takes requests: the shell clears it before it stops. Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ready: AtomicBool,
    database: Mutex<Option<(Monotonic, bool)>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Shared {
            ready: AtomicBool::new(true),
            database: Mutex::new(None),
        }))
    }
}

impl Readiness {
    /// From now on `/api/health/ready` says that this process is going away.
    pub fn drain(&self) {
        self.0.ready.store(false, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It works.
    Ok,
    /// It does not.
    Down,
}

/// The health of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// Of the whole.
    status: Status,
    /// Of the build.
    version: &'static str,
    /// Of the database, at most ten seconds ago.
    database: Status,
}

/// The state of this process.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    status: Status,
}

/// A trip to the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DbTestView {
    status: Status,
    /// How long it took.
    round_trip_ms: f64,
}

/// Health of the service and what it needs
///
/// Costs next to nothing: the database is asked at most every ten seconds. 200 also when it is down: the
/// process that answers is healthy; `status` tells.
#[utoipa::path(get, path = "/api/health", tag = "health", responses(
    (status = 200, description = "What works and what does not", body = HealthView),
    ReadProblems,
))]
pub(crate) async fn health<S: Store>(
    State(state): State<ApiState<S>>,
    RawQuery(query): RawQuery,
) -> Result<Json<HealthView>, Problem> {
    params::none(query.as_deref())?;
    let now = state.clock.now();
    let known = *state
        .readiness
        .0
        .database
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let recent =
        known.filter(|(at, up)| now.since(*at) < if *up { REMEMBERED } else { REMEMBERED_BAD });
    let up = if let Some((_, up)) = recent {
        up
    } else {
        let up = state.store.ping().await.is_ok();
        *state
            .readiness
            .0
            .database
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((now, up));
        up
    };
    let status = if up { Status::Ok } else { Status::Down };
    Ok(Json(HealthView {
        status,
        version: state.version,
        database: status,
    }))
}

/// Is the process alive
#[utoipa::path(get, path = "/api/health/live", tag = "health", responses(
    (status = 200, description = "It answers", body = StatusView),
    ReadProblems,
))]
pub(crate) async fn live(RawQuery(query): RawQuery) -> Result<Json<StatusView>, Problem> {
    params::none(query.as_deref())?;
    Ok(Json(StatusView { status: Status::Ok }))
}

/// Should requests be sent here
#[utoipa::path(get, path = "/api/health/ready", tag = "health", responses(
    (status = 200, description = "Yes", body = StatusView),
    ReadProblems,
))]
pub(crate) async fn ready<S: Store>(
    State(state): State<ApiState<S>>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatusView>, Problem> {
    params::none(query.as_deref())?;
    if !state.readiness.is_ready() {
        return Err(Problem::unavailable(Duration::from_secs(5)));
    }
    state.store.ping().await?;
    Ok(Json(StatusView { status: Status::Ok }))
}

/// One trip to the database and back
#[utoipa::path(get, path = "/api/db-test", tag = "health", responses(
    (status = 200, description = "It answers", body = DbTestView),
    ReadProblems,
))]
pub(crate) async fn db_test<S: Store>(
    State(state): State<ApiState<S>>,
    RawQuery(query): RawQuery,
) -> Result<Json<DbTestView>, Problem> {
    params::none(query.as_deref())?;
    let start = state.clock.now();
    state.store.ping().await?;
    let round_trip_ms = state.clock.now().since(start).as_secs_f64() * 1000.0;
    Ok(Json(DbTestView {
        status: Status::Ok,
        round_trip_ms,
    }))
}
