//! Rooms for those who only listen, as server-sent events (HTML Living Standard, section 9.2): each event
//! carries one frame of the server.
//!
//! The rooms are `rooms=lists,pitch:…`. The `id` of each event names where all rooms stand, and
//! `Last-Event-ID` goes on from there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pitchey_realtime::{CloseCode, RoomName};
use serde_json::{Value, json};

/// The most rooms of one stream.
pub const MAX_ROOMS: usize = 32;

/// The longest `Last-Event-ID` that is read, in bytes: as long as one with every room.
pub const MAX_LAST: usize = 8 * 1024;

/// What is said when nothing else is.
pub const PING: &str = ": ping\n\n";

/// Where rooms stand: epoch and offset.
type Places = BTreeMap<RoomName, (String, u64)>;

/// The rooms that a query asks for, if it does so as it should.
pub fn rooms(query: &str) -> Option<Vec<RoomName>> {
    let names = query.strip_prefix("rooms=")?;
    let rooms: Option<Vec<RoomName>> = names.split(',').map(RoomName::new).collect();
    rooms.filter(|rooms| rooms.len() <= MAX_ROOMS)
}

/// One stream of events: which rooms it is of, and where they stand.
#[derive(Debug)]
pub struct Events {
    /// The rooms that were asked for; the place in the list is the id of the question.
    asked: Vec<RoomName>,
    places: Places,
}

impl Events {
    /// The stream of these rooms, and the frames by which it enters them; from where `last` (the
    /// `Last-Event-ID`) says that the client stands. What cannot be read of that is left out: the client is
    /// told that nothing was recovered.
    pub fn begin(rooms: Vec<RoomName>, last: &str) -> (Self, Vec<String>) {
        let since = places(last);
        let entering = rooms.iter().enumerate().map(|(id, room)| {
            let mut frame = json!({"id": id, "op": "subscribe", "room": room.as_str()});
            if let Some((epoch, offset)) = since.get(room) {
                frame["since"] = json!({"epoch": epoch, "offset": offset});
            }
            frame.to_string()
        });
        let entering = entering.collect();
        let events = Self {
            asked: rooms,
            places: Places::new(),
        };
        (events, entering)
    }

    /// A frame as an event. What was published has line breaks nowhere.
    pub fn event(&mut self, text: &str) -> String {
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

/// The last event: why there are no more.
pub fn closing(code: CloseCode) -> String {
    let data = json!({"code": code.code(), "reason": code.reason()});
    format!("event: close\ndata: {data}\n\n")
}

fn places(last: &str) -> Places {
    let parts = last.split(',').filter_map(|part| {
        let mut fields = part.split('@');
        let (room, epoch, offset) = (fields.next()?, fields.next()?, fields.next()?);
        Some((
            RoomName::new(room)?,
            (epoch.to_owned(), offset.parse().ok()?),
        ))
    });
    parts.take(MAX_ROOMS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_from_the_id_of_its_last_event() {
        let asked = rooms("rooms=lists,pitch:1").expect("two rooms");
        let (mut events, entering) = Events::begin(asked.clone(), "");
        assert!(!entering[0].contains("since"), "{entering:?}");
        events.event(r#"{"id":0,"ok":{"epoch":"e","offset":3,"recovered":false,"updates":[]}}"#);
        let event = events.event(r#"{"batch":[{"room":"lists","offset":4,"at":0,"data":1}]}"#);
        let id = event
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("id: "));
        assert_eq!(id, Some("lists@e@4"));
        let (_, entering) = Events::begin(asked, "lists@e@4,pitch:1@,nonsense");
        let frame: Value = serde_json::from_str(&entering[0]).expect("JSON");
        assert_eq!(frame["since"], json!({"epoch": "e", "offset": 4}));
        assert!(!entering[1].contains("since"), "{entering:?}");
    }

    #[test]
    fn what_names_no_rooms_is_refused() {
        for query in [
            "",
            "room=lists",
            "rooms=",
            "rooms=Lists",
            "rooms=lists,,ops",
        ] {
            assert_eq!(rooms(query), None, "{query}");
        }
        let many = vec!["lists"; MAX_ROOMS + 1].join(",");
        assert_eq!(rooms(&format!("rooms={many}")), None);
    }
}
