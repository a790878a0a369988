//! `POST /publish`: what happens on the site, told by who knows the secret. For a hub that is alone; many
//! are told through Redis.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pitchey_realtime::{RoomName, Unavailable};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::connect::Entrance;

/// The most bytes of a request.
pub(crate) const MAX_BODY: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    room: RoomName,
    data: Box<RawValue>,
}

pub(crate) async fn publish(
    State(entrance): State<Arc<Entrance>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(status) = entrance.secret.check(&headers) {
        return status.into_response();
    }
    let publication: Publication = match serde_json::from_slice(&body) {
        Ok(publication) => publication,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
    };
    let data = pitchey_realtime::protocol::one_line(publication.data.get());
    match entrance.node.publish(&publication.room, data, None).await {
        Ok(position) => axum::Json(position).into_response(),
        Err(Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
