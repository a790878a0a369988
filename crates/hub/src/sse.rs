//! `GET /sse`: the same rooms for those who only listen, as server-sent events.
//!
//! The ticket is the bearer token of `Authorization`; the rooms are `rooms=lists,pitch:…`. The `id` of
//! each event names where all rooms stand, and `Last-Event-ID` goes on from there.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use pitchey_realtime::{CloseCode, RoomName, SocketId};
use serde_json::{Value, json};

use crate::authority::Guest;
use crate::connect::{Entrance, NotLetIn, Place};
use crate::mailbox::{Mail, Mailbox};
use crate::node::Node;

/// The most rooms of one stream.
const MAX_ROOMS: usize = 32;

/// Where a room stands.
type Places = BTreeMap<RoomName, (String, u64)>;

/// Answers with the stream.
pub(crate) async fn events(
    State(entrance): State<Arc<Entrance>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Some(rooms) = rooms(&uri) else {
        let text = "name up to 32 rooms, as ?rooms=lists,pitch:…\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    match admit(&entrance, peer, &headers) {
        Err(refusal) => refusal.response(),
        Ok((place, guest)) => {
            let Ok((id, mailbox)) = entrance.node.connect(guest) else {
                return NotLetIn::Draining.response();
            };
            let stream = Stream {
                node: Arc::clone(&entrance.node),
                id,
                mailbox,
                asked: Vec::new(),
                places: Places::new(),
                is_over: false,
                _place: place,
            };
            stream.answer(rooms, &places(&headers))
        }
    }
}

fn admit(
    entrance: &Entrance,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(Place, Guest), NotLetIn> {
    entrance.check_origin(headers)?;
    if entrance.node.is_draining() {
        return Err(NotLetIn::Draining);
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = token
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or(NotLetIn::Ticket)?;
    let ticket = entrance.ticket(token).map_err(|_| NotLetIn::Ticket)?;
    Ok((entrance.place(&ticket, peer)?, Guest::new(ticket)))
}

fn rooms(uri: &Uri) -> Option<Vec<RoomName>> {
    let names = uri.query()?.strip_prefix("rooms=")?;
    let rooms: Option<Vec<RoomName>> = names.split(',').map(RoomName::new).collect();
    rooms.filter(|rooms| rooms.len() <= MAX_ROOMS)
}

/// Where the client stands. What cannot be read is left out: the client is told that nothing was
/// recovered.
fn places(headers: &HeaderMap) -> Places {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let parts = last.unwrap_or_default().split(',').filter_map(|part| {
        let mut fields = part.split('@');
        let (room, epoch, offset) = (fields.next()?, fields.next()?, fields.next()?);
        Some((
            RoomName::new(room)?,
            (epoch.to_owned(), offset.parse().ok()?),
        ))
    });
    parts.take(MAX_ROOMS).collect()
}

struct Stream {
    node: Arc<Node>,
    id: SocketId,
    mailbox: Arc<Mailbox>,
    /// The rooms that were asked for; the place in the list is the id of the question.
    asked: Vec<RoomName>,
    places: Places,
    is_over: bool,
    _place: Place,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.node.disconnect(self.id);
    }
}

impl Stream {
    fn answer(mut self, rooms: Vec<RoomName>, since: &Places) -> Response {
        for (id, room) in rooms.iter().enumerate() {
            let mut frame = json!({"id": id, "op": "subscribe", "room": room.as_str()});
            if let Some((epoch, offset)) = since.get(room) {
                frame["since"] = json!({"epoch": epoch, "offset": offset});
            }
            self.node.frame(self.id, &frame.to_string());
        }
        self.asked = rooms;
        let events = futures::stream::unfold(self, |mut stream| async move {
            if stream.is_over {
                return None;
            }
            let event = match stream.mailbox.next().await {
                Mail::Frame(text) => stream.event(text.as_str()),
                // That it was taken is all that can be known of one who only listens.
                Mail::Ping => {
                    stream.node.heard(stream.id);
                    ": ping\n\n".to_owned()
                }
                Mail::Close(code) => {
                    stream.is_over = true;
                    closing(code)
                }
            };
            Some((Ok::<_, Infallible>(Bytes::from(event)), stream))
        });
        let mut response = Body::from_stream(events).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// A frame as an event. What was published has line breaks nowhere.
    fn event(&mut self, text: &str) -> String {
        self.note(text);
        let mut event = String::with_capacity(text.len() + 80);
        let places = self
            .places
            .iter()
            .map(|(room, (epoch, offset))| format!("{room}@{epoch}@{offset}"));
        let places = places.collect::<Vec<_>>().join(",");
        if !places.is_empty() {
            let _ = writeln!(event, "id: {places}");
        }
        let _ = write!(event, "data: {text}\n\n");
        event
    }

    /// Where the rooms stand after a frame.
    fn note(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        for item in frame["batch"].as_array().into_iter().flatten() {
            let room = item["room"].as_str().and_then(RoomName::new);
            if let Some((_, offset)) = room.and_then(|room| self.places.get_mut(&room))
                && let Some(newer) = item["offset"].as_u64()
            {
                *offset = newer;
            }
        }
        let ok = &frame["ok"];
        let asked = frame["id"]
            .as_u64()
            .and_then(|id| self.asked.get(usize::try_from(id).ok()?));
        if let (Some(room), Some(epoch), Some(offset)) =
            (asked, ok["epoch"].as_str(), ok["offset"].as_u64())
        {
            self.places.insert(room.clone(), (epoch.to_owned(), offset));
        }
    }
}

fn closing(code: CloseCode) -> String {
    let data = json!({"code": code.code(), "reason": code.reason()});
    format!("event: close\ndata: {data}\n\n")
}
