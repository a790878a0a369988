//! A client that does what the protocol asks of it, and notices whatever it should not see.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::log::Position;

/// What was published at each place: room, epoch, offset.
pub(super) type Truth = BTreeMap<(String, String, u64), u64>;

#[derive(Default)]
pub(super) struct Client {
    /// The node and the connection, if there is one.
    pub(super) connection: Option<(usize, u64)>,
    pub(super) rooms: BTreeMap<String, Place>,
    next_id: u64,
    pub(super) seen: Seen,
}

#[derive(Default)]
pub(super) struct Place {
    /// The newest update that was seen.
    pub(super) last: Option<Position>,
    /// The id of the question, and from where on it asked.
    asked: Option<(u64, Option<Position>)>,
    pub(super) inside: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) updates: u64,
    pub(super) recovered: u64,
    pub(super) unrecovered: u64,
    pub(super) unavailable: u64,
}

impl Client {
    pub(super) fn disconnected(&mut self) {
        self.connection = None;
        for place in self.rooms.values_mut() {
            place.asked = None;
            place.inside = false;
        }
    }

    /// The frame that asks for a room, with all that was seen of it.
    pub(super) fn subscribe(&mut self, room: &str) -> Option<String> {
        let place = self.rooms.entry(room.to_owned()).or_default();
        if place.inside || place.asked.is_some() {
            return None;
        }
        self.next_id += 1;
        let id = self.next_id;
        place.asked = Some((id, place.last.clone()));
        let since = match &place.last {
            Some(last) => serde_json::json!({"epoch": &*last.epoch, "offset": last.offset}),
            None => return Some(format!(r#"{{"id":{id},"op":"subscribe","room":"{room}"}}"#)),
        };
        Some(format!(
            r#"{{"id":{id},"op":"subscribe","room":"{room}","since":{since}}}"#
        ))
    }

    /// The frame that leaves a room; what comes until the answer is still checked.
    pub(super) fn unsubscribe(&mut self, room: &str) -> Option<String> {
        let place = self.rooms.get_mut(room)?;
        if !place.inside || place.asked.is_some() {
            return None;
        }
        self.next_id += 1;
        let id = self.next_id;
        place.asked = Some((id, None));
        Some(format!(
            r#"{{"id":{id},"op":"unsubscribe","room":"{room}"}}"#
        ))
    }

    pub(super) fn frame(&mut self, text: &[u8], truth: &Truth) -> Result<(), String> {
        let frame: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if let Some(items) = frame["batch"].as_array() {
            for item in items {
                let room = item["room"].as_str().unwrap_or_default();
                let place = self.rooms.get_mut(room).filter(|place| place.inside);
                let place = place.ok_or_else(|| format!("not in {room}: {item}"))?;
                place.next(room, item, truth)?;
                self.seen.updates += 1;
            }
            return Ok(());
        }
        let id = frame["id"]
            .as_u64()
            .ok_or_else(|| format!("not understood: {frame}"))?;
        let asked = |place: &Place| place.asked.as_ref().is_some_and(|(asked, _)| *asked == id);
        let asked = self.rooms.iter_mut().find(|(_, place)| asked(place));
        let (room, place) = asked.ok_or_else(|| format!("nobody asked: {frame}"))?;
        let Some((_, since)) = place.asked.take() else {
            return Ok(());
        };
        if frame["error"]["code"] == "unavailable" {
            self.seen.unavailable += 1;
            return Ok(());
        }
        if place.inside {
            place.inside = false;
            return Ok(());
        }
        let ok = frame["ok"]
            .as_object()
            .ok_or_else(|| format!("refused: {frame}"))?;
        let head = Position {
            epoch: ok["epoch"].as_str().unwrap_or_default().into(),
            offset: ok["offset"].as_u64().unwrap_or_default(),
        };
        place.inside = true;
        if ok["recovered"] == true {
            self.seen.recovered += 1;
            for item in ok["updates"].as_array().into_iter().flatten() {
                place.next(room, item, truth)?;
            }
            if place.last.as_ref() != Some(&head) {
                return Err(format!("recovered a part, up to {:?}: {frame}", place.last));
            }
        } else {
            self.seen.unrecovered += u64::from(since.is_some());
            place.last = Some(head);
        }
        Ok(())
    }
}

impl Place {
    fn next(&mut self, room: &str, item: &Value, truth: &Truth) -> Result<(), String> {
        let last = self.last.as_mut().ok_or("an update before any position")?;
        let offset = item["offset"].as_u64().unwrap_or_default();
        if offset != last.offset + 1 {
            return Err(format!("{room}: {offset} after {}", last.offset));
        }
        let key = (room.to_owned(), last.epoch.to_string(), offset);
        let published = truth.get(&key);
        if published.is_none_or(|published| item["data"] != *published) {
            return Err(format!(
                "{room}: {item} is not what was published: {published:?}"
            ));
        }
        last.offset = offset;
        Ok(())
    }
}
