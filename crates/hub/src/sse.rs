//! `GET /sse`: the same rooms for those who only listen, as server-sent events. The ticket is the bearer
//! token of `Authorization`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use pitchey_lobby::events::{self, Events};
use pitchey_lobby::{Guest, NotLetIn, ask_for_events};
use pitchey_realtime::{RoomName, SocketId};

use crate::connect::{Entrance, Place, refusal};
use crate::mailbox::{Mail, Mailbox};
use crate::node::Node;

/// Answers with the stream.
pub(crate) async fn events(
    State(entrance): State<Arc<Entrance>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Some(rooms) = uri.query().and_then(events::rooms) else {
        let text = "name up to 32 rooms, as ?rooms=lists,pitch:…\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    match admit(&entrance, peer, &headers).await {
        Err(not_let_in) => refusal(not_let_in),
        Ok((place, guest)) => {
            let Ok((id, mailbox)) = entrance.node.connect(guest) else {
                return refusal(NotLetIn::Draining);
            };
            let last = headers
                .get("last-event-id")
                .and_then(|value| value.to_str().ok());
            Stream::answer(&entrance.node, (id, mailbox), place, rooms, last)
        }
    }
}

async fn admit(
    entrance: &Entrance,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(Place, Guest), NotLetIn> {
    let shown = ask_for_events(headers, &entrance.http.allowed_origins)?;
    if entrance.node.is_draining() {
        return Err(NotLetIn::Draining);
    }
    let ticket = entrance.ticket(shown).await;
    let ticket = ticket.map_err(|_| NotLetIn::Ticket)?;
    Ok((entrance.place(&ticket, peer)?, Guest::new(ticket)))
}

struct Stream {
    node: Arc<Node>,
    id: SocketId,
    mailbox: Arc<Mailbox>,
    events: Events,
    is_over: bool,
    _place: Place,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.node.disconnect(self.id);
    }
}

impl Stream {
    fn answer(
        node: &Arc<Node>,
        (id, mailbox): (SocketId, Arc<Mailbox>),
        place: Place,
        rooms: Vec<RoomName>,
        last: Option<&str>,
    ) -> Response {
        let (events, entering) = Events::begin(rooms, last.unwrap_or_default());
        let stream = Self {
            node: Arc::clone(node),
            id,
            mailbox,
            events,
            is_over: false,
            _place: place,
        };
        for frame in entering {
            node.frame(id, &frame);
        }
        let events = futures::stream::unfold(stream, |mut stream| async move {
            if stream.is_over {
                return None;
            }
            let event = match stream.mailbox.next().await {
                Mail::Frame(text) => stream.events.event(text.as_str()),
                // That it was taken is all that can be known of one who only listens.
                Mail::Ping => {
                    stream.node.heard(stream.id);
                    events::PING.to_owned()
                }
                Mail::Close(code) => {
                    stream.is_over = true;
                    events::closing(code)
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
}
