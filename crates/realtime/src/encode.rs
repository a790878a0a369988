//! What the server says, as frames: each is written once and shared by all who get it.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Serialize;

use crate::log::{Position, Update};
use crate::protocol::{Refusal, RoomName};

/// An answer to an id.
#[derive(Serialize)]
struct Answer<'a, T> {
    id: u64,
    ok: &'a T,
}

/// The same, refused. The id is null if it could not be read.
#[derive(Serialize)]
struct Refused<'a> {
    id: Option<u64>,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: crate::protocol::ErrorCode,
    message: &'a str,
}

#[derive(Serialize)]
struct Published<'a> {
    epoch: &'a str,
    offset: u64,
}

/// Who is in a room.
#[derive(Serialize)]
pub(crate) struct Present<'a> {
    pub(crate) count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) members: Option<&'a BTreeSet<String>>,
}

#[derive(Serialize)]
struct PresenceItem<'a> {
    room: &'a RoomName,
    presence: Change<'a>,
}

/// How that has changed.
#[derive(Serialize)]
pub(crate) struct Change<'a> {
    pub(crate) count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) joined: Vec<&'a String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<&'a String>,
}

/// Nothing that is written here can fail: no maps with other keys than text, no writer but memory.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// One update, as it stands in batches and in answers.
pub(crate) fn item(room: &RoomName, update: &Update) -> Bytes {
    let mut item = Vec::with_capacity(update.data.len() + 128);
    item.extend_from_slice(b"{\"room\":");
    item.extend_from_slice(&json(room));
    let (offset, at) = (update.position.offset, update.at_ms);
    item.extend_from_slice(format!(",\"offset\":{offset},\"at\":{at},\"data\":").as_bytes());
    item.extend_from_slice(&update.data);
    item.push(b'}');
    item.into()
}

/// A batch of items.
pub(crate) fn batch<'a>(items: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Bytes {
    let length: usize = items.clone().map(|item| item.len() + 1).sum();
    let mut frame = Vec::with_capacity(length + 12);
    frame.extend_from_slice(b"{\"batch\":");
    list(&mut frame, items);
    frame.push(b'}');
    frame.into()
}

fn list<'a>(frame: &mut Vec<u8>, items: impl Iterator<Item = &'a Bytes>) {
    frame.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            frame.push(b',');
        }
        frame.extend_from_slice(item);
    }
    frame.push(b']');
}

/// The answer to one who has entered: where the room stands, and what was missed if that is known.
pub(crate) fn subscribed(
    id: u64,
    head: &Position,
    missed: Option<&[Bytes]>,
    degraded: bool,
) -> Bytes {
    let mut frame = format!("{{\"id\":{id},\"ok\":{{\"epoch\":").into_bytes();
    frame.extend_from_slice(&json(&&*head.epoch));
    let (offset, recovered) = (head.offset, missed.is_some());
    frame.extend_from_slice(
        format!(",\"offset\":{offset},\"recovered\":{recovered},\"updates\":").as_bytes(),
    );
    list(&mut frame, missed.unwrap_or_default().iter());
    if degraded {
        frame.extend_from_slice(b",\"degraded\":true");
    }
    frame.extend_from_slice(b"}}");
    frame.into()
}

pub(crate) fn refused(refusal: &Refusal) -> Bytes {
    let error = ErrorBody {
        code: refusal.code,
        message: &refusal.message,
    };
    let id = refusal.id;
    json(&Refused { id, error }).into()
}

pub(crate) fn published(id: u64, position: &Position) -> Bytes {
    let ok = &Published {
        epoch: &position.epoch,
        offset: position.offset,
    };
    json(&Answer { id, ok }).into()
}

pub(crate) fn done(id: u64) -> Bytes {
    format!("{{\"id\":{id},\"ok\":{{}}}}").into()
}

pub(crate) fn present(id: u64, ok: &Present<'_>) -> Bytes {
    json(&Answer { id, ok }).into()
}

pub(crate) fn presence_change(room: &RoomName, presence: Change<'_>) -> Bytes {
    let item = json(&PresenceItem { room, presence }).into();
    batch([item].iter())
}

pub(crate) fn pong() -> Bytes {
    Bytes::from_static(b"{\"op\":\"pong\"}")
}

pub(crate) fn drain(reconnect_after_ms: u64) -> Bytes {
    format!("{{\"op\":\"drain\",\"reconnect_after_ms\":{reconnect_after_ms}}}").into()
}
