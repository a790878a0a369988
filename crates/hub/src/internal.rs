//! The hub's inner side, beside its figures: what operators ask and do, by the secret that publishing takes.
//!
//! Without a secret there are no such doors. They are on the listener that is not for the public.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use pitchey_lobby::EndedSession;
use pitchey_model::room::SESSIONS;
use pitchey_model::{SessionId, UserId};
use pitchey_realtime::{RoomName, Unavailable};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::connect::Entrance;
use crate::publish;
use crate::serve::VERSION;

/// The most bytes of a request that is no publication.
const MAX_BODY: usize = 1024;

/// How many rooms are listed unless another number is asked for, and at most.
const ROOMS: (usize, usize) = (50, 1000);

/// What the doors lead to.
#[derive(Clone)]
pub(crate) struct Internal {
    pub(crate) entrance: Arc<Entrance>,
    /// Has the hub go away, as a signal has.
    pub(crate) leave: CancellationToken,
}

pub(crate) fn router(internal: Internal) -> Router {
    let publishing = Router::new()
        .route("/publish", post(publish::publish))
        .layer(DefaultBodyLimit::max(pitchey_lobby::MAX_BODY))
        .with_state(Arc::clone(&internal.entrance));
    Router::new()
        .route("/admin/status", get(status))
        .route("/admin/rooms", get(rooms))
        .route("/admin/kick", post(kick))
        .route("/admin/drain", post(drain))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(internal.clone(), only_with_the_secret))
        .with_state(internal)
        .merge(publishing)
}

async fn only_with_the_secret(
    State(internal): State<Internal>,
    request: Request,
    next: Next,
) -> Response {
    match internal.entrance.secret.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_response(),
    }
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    #[serde(rename = "status")]
    health: &'static str,
    connections: usize,
    rooms: usize,
    /// Who is signed in and connected.
    accounts: usize,
    /// Where updates get their order.
    log: &'static str,
}

async fn status(State(internal): State<Internal>) -> Json<Status> {
    let node = &internal.entrance.node;
    let (_, health) = node.health();
    Json(Status {
        version: VERSION,
        health,
        connections: node.sockets(),
        rooms: node.rooms(),
        accounts: internal.entrance.places.accounts(),
        log: node.log_name(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    limit: Option<usize>,
}

/// The rooms with the most connections.
async fn rooms(State(internal): State<Internal>, Query(listing): Query<Listing>) -> Response {
    let limit = listing.limit.unwrap_or(ROOMS.0);
    if !(1..=ROOMS.1).contains(&limit) {
        let text = format!("limit: from 1 to {}\n", ROOMS.1);
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    Json(internal.entrance.node.largest_rooms(limit)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    user_id: UserId,
    session_id: Option<SessionId>,
}

#[derive(Serialize)]
struct Kicked {
    /// Connections to this hub; those to others are closed as well.
    connections: usize,
}

/// Ends the connections of an account, or of one of its sessions, at all hubs.
async fn kick(State(internal): State<Internal>, body: Bytes) -> Response {
    let kick: Kick = match serde_json::from_slice(&body) {
        Ok(kick) => kick,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let ended = EndedSession {
        user_id: kick.user_id,
        session_id: kick.session_id,
    };
    let node = &internal.entrance.node;
    let connections = node.connections_of(&ended);
    let Some(room) = RoomName::new(SESSIONS) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // Nothing in it fails to be JSON.
    let data = serde_json::to_vec(&ended).unwrap_or_default();
    match node.publish(&room, data.into(), None).await {
        Ok(_) => Json(Kicked { connections }).into_response(),
        Err(Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[derive(Serialize)]
struct Leaving {
    /// Connections that are sent elsewhere.
    connections: usize,
}

/// Has the hub go away in order, as a signal has.
async fn drain(State(internal): State<Internal>) -> (StatusCode, Json<Leaving>) {
    let connections = internal.entrance.node.sockets();
    internal.leave.cancel();
    (StatusCode::ACCEPTED, Json(Leaving { connections }))
}
