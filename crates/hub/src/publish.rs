//! `POST /publish`: what happens on the site, told by who knows the secret. For a hub that is alone; many
//! are told through Redis.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pitchey_lobby::Publications;
use pitchey_realtime::Unavailable;

use crate::connect::Entrance;

pub(crate) async fn publish(
    State(entrance): State<Arc<Entrance>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(status) = entrance.secret.check(&headers) {
        return status.into_response();
    }
    let publications = match Publications::parse(&body) {
        Ok(publications) => publications,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
    };
    let mut positions = Vec::with_capacity(publications.all().len());
    for publication in publications.all() {
        let data = pitchey_realtime::protocol::one_line(publication.data.get());
        let id = publication.id.as_deref();
        match entrance.node.publish(&publication.room, data, id).await {
            Ok(position) => positions.push(position),
            Err(Unavailable) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    match publications {
        Publications::One(_) => axum::Json(positions.pop()).into_response(),
        Publications::Many(_) => axum::Json(positions).into_response(),
    }
}
