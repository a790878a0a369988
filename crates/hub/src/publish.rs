//! `POST /publish`: what happens on the site, told by who knows the secret. For a hub that is alone; many
//! are told through Redis.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
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
    let Some(secret) = &entrance.publish_secret else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let token = headers
        .get(header::AUTHORIZATION)
        .map_or(&b""[..], |value| value.as_bytes());
    if !is_same(token, format!("Bearer {secret}").as_bytes()) {
        return StatusCode::UNAUTHORIZED.into_response();
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

/// Takes as long whatever is the same at the beginning.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    one.len() == other.len() && differing == 0
}
