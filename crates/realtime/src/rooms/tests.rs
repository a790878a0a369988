use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::log::{Keep, MemLog};
use crate::protocol::MAX_FRAME;

/// Members are there by name; nobody may enter `ops`, and only `ann` may publish.
struct House;

impl Authority for House {
    type Who = Option<&'static str>;

    fn access(&self, who: &Self::Who, room: &RoomName) -> Access {
        Access {
            subscribe: room.as_str() != "ops",
            publish: *who == Some("ann"),
            members: who.is_some(),
        }
    }

    fn member<'a>(&self, who: &'a Self::Who) -> Option<&'a str> {
        *who
    }
}

/// A node with a log beside it that answers at once, unless it is away.
struct Bed {
    rooms: Rooms<House>,
    log: MemLog,
    now: Duration,
    away: bool,
    sent: Vec<(u64, Value)>,
    frames: Vec<(u64, Bytes)>,
    closed: Vec<(u64, CloseCode)>,
    pings: Vec<u64>,
}

impl Bed {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let now = Now {
            monotonic: Monotonic::START,
            wall_ms: 0,
        };
        Self {
            rooms: Rooms::new(House, settings, now),
            log: MemLog::new("e".to_owned(), settings.keep),
            now: Duration::ZERO,
            away: false,
            sent: Vec::new(),
            frames: Vec::new(),
            closed: Vec::new(),
            pings: Vec::new(),
        }
    }

    fn clock(&self) -> Now {
        Now {
            monotonic: Monotonic::from_start(self.now),
            wall_ms: crate::log::millis(self.now),
        }
    }

    fn connect(&mut self, socket: u64, who: Option<&'static str>) {
        self.rooms.connect(self.clock(), SocketId(socket), who);
    }

    fn say(&mut self, socket: u64, frame: &Value) {
        self.say_text(socket, &frame.to_string());
    }

    fn say_text(&mut self, socket: u64, frame: &str) {
        self.rooms.frame(self.clock(), SocketId(socket), frame);
        self.act();
    }

    fn subscribe(&mut self, socket: u64, room: &str) {
        self.say(socket, &json!({"id": 1, "op": "subscribe", "room": room}));
    }

    fn publish(&mut self, room: &str, data: &Value) {
        let room = RoomName::new(room).expect("a name");
        let update = self
            .log
            .append(&room, data.to_string().into(), self.clock().wall_ms);
        self.rooms.updated(self.clock(), &room, update);
        self.act();
    }

    /// Moves the time on, and does what is due on the way.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.rooms.next_tick()
            && next.since_start() <= end
        {
            self.now = next.since_start();
            self.rooms.tick(self.clock());
            self.act();
        }
        self.now = end;
    }

    fn act(&mut self) {
        loop {
            let actions = self.rooms.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Send { socket, frame } => {
                        let value = serde_json::from_slice(&frame).expect("JSON");
                        self.sent.push((socket.0, value));
                        self.frames.push((socket.0, frame));
                    }
                    Action::Close { socket, code } => self.closed.push((socket.0, code)),
                    Action::Ping(socket) => self.pings.push(socket.0),
                    Action::Load(room) => {
                        let history = self.log.history(&room, self.clock().wall_ms);
                        let outcome = if self.away {
                            Err(Unavailable)
                        } else {
                            Ok(history)
                        };
                        self.rooms.loaded(self.clock(), &room, outcome);
                    }
                    Action::Append {
                        room,
                        data,
                        socket,
                        id,
                    } => {
                        if self.away {
                            self.rooms.appended(socket, id, Err(Unavailable));
                            continue;
                        }
                        let update = self.log.append(&room, data, self.clock().wall_ms);
                        self.rooms.appended(socket, id, Ok(update.position.clone()));
                        self.rooms.updated(self.clock(), &room, update);
                    }
                    Action::Leave(_) | Action::Check(_) | Action::Keep(_) => {}
                }
            }
        }
    }

    fn told(&mut self, socket: u64) -> Vec<Value> {
        let told = self.sent.extract_if(.., |(to, _)| *to == socket);
        told.map(|(_, frame)| frame).collect()
    }

    fn offsets(frames: &[Value]) -> Vec<Vec<u64>> {
        let batches = frames.iter().filter_map(|frame| frame["batch"].as_array());
        let offsets = batches.map(|batch| batch.iter().filter_map(|item| item["offset"].as_u64()));
        offsets.map(Iterator::collect).collect()
    }
}

#[test]
fn a_lone_update_goes_at_once_and_what_follows_goes_together() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    bed.subscribe(1, "lists");
    for n in 1..=4 {
        bed.publish("lists", &json!(n));
    }
    assert_eq!(Bed::offsets(&bed.told(1)), [[1]]);
    bed.wait(Duration::from_millis(49));
    assert!(bed.told(1).is_empty(), "the window is 50 ms");
    bed.wait(Duration::from_millis(1));
    assert_eq!(Bed::offsets(&bed.told(1)), [[2, 3, 4]]);
    bed.wait(Duration::from_millis(50));
    bed.publish("lists", &json!(5));
    assert_eq!(
        Bed::offsets(&bed.told(1)),
        [[5]],
        "the room was quiet again"
    );
}

#[test]
fn a_batch_that_is_full_does_not_wait() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    bed.subscribe(1, "lists");
    for n in 0..65 {
        bed.publish("lists", &json!(n));
    }
    let lengths: Vec<usize> = Bed::offsets(&bed.told(1)).iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 64]);
    bed.publish("lists", &json!("x".repeat(16 * 1024)));
    assert_eq!(Bed::offsets(&bed.told(1)).len(), 1, "16 KiB are enough");
}

#[test]
fn a_frame_is_written_once_for_all_in_the_room() {
    let mut bed = Bed::new();
    for socket in 1..=3 {
        bed.connect(socket, None);
        bed.subscribe(socket, "lists");
    }
    bed.frames.clear();
    bed.publish("lists", &json!(1));
    let places: Vec<_> = bed.frames.iter().map(|(_, frame)| frame.as_ptr()).collect();
    assert_eq!(places.len(), 3);
    assert!(
        places.iter().all(|place| *place == places[0]),
        "one copy in memory"
    );
}

#[test]
fn who_was_away_gets_exactly_what_they_missed_or_is_told_to_load_anew() {
    let mut bed = Bed::with(Settings {
        keep: Keep {
            updates: 3,
            ..Keep::default()
        },
        ..Settings::default()
    });
    bed.connect(1, None);
    bed.subscribe(1, "lists");
    let epoch = bed.told(1)[0]["ok"]["epoch"].clone();
    for n in 1..=5 {
        bed.publish("lists", &json!(n));
    }
    for (since, recovered, missed) in [
        (json!({"epoch": epoch, "offset": 2}), true, vec![3, 4, 5]),
        (json!({"epoch": epoch, "offset": 5}), true, vec![]),
        (json!({"epoch": epoch, "offset": 1}), false, vec![]),
        (json!({"epoch": epoch, "offset": 9}), false, vec![]),
        (json!({"epoch": "another", "offset": 4}), false, vec![]),
    ] {
        bed.connect(2, None);
        bed.say(
            2,
            &json!({"id": 1, "op": "subscribe", "room": "lists", "since": since}),
        );
        let answer = &bed.told(2)[0]["ok"];
        let data = answer["updates"].as_array().expect("a list").iter();
        let data: Vec<_> = data
            .map(|item| item["data"].as_u64().expect("a number"))
            .collect();
        assert_eq!(
            (
                answer["offset"].as_u64(),
                answer["recovered"].as_bool(),
                data
            ),
            (Some(5), Some(recovered), missed),
            "{since}"
        );
        bed.rooms.disconnect(bed.clock(), SocketId(2));
    }
}

#[test]
fn history_is_five_minutes_old_at_most() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    bed.subscribe(1, "lists");
    let epoch = bed.told(1)[0]["ok"]["epoch"].clone();
    bed.publish("lists", &json!(1));
    let since = json!({"epoch": epoch, "offset": 0});
    for (socket, recovered) in [(2, true), (3, false)] {
        bed.connect(socket, None);
        bed.say(
            socket,
            &json!({"id": 1, "op": "subscribe", "room": "lists", "since": since}),
        );
        assert_eq!(bed.told(socket)[0]["ok"]["recovered"], recovered);
        bed.now += Duration::from_mins(5) + Duration::from_millis(1);
    }
}

#[test]
fn what_is_lost_closes_those_who_missed_it_and_nobody_else() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    bed.connect(2, None);
    bed.subscribe(1, "lists");
    bed.subscribe(2, "pitch:1");
    bed.publish("lists", &json!(1));
    bed.log = MemLog::new("f".to_owned(), Keep::default());
    bed.publish("lists", &json!(2));
    assert_eq!(bed.closed, [(1, CloseCode::Gap)]);
    assert_eq!(bed.rooms.socket_count(), 1);
}

#[test]
fn without_the_log_known_rooms_go_on_and_say_so() {
    let mut bed = Bed::new();
    bed.connect(1, Some("ann"));
    bed.subscribe(1, "lists");
    bed.publish("lists", &json!(1));
    bed.told(1);
    bed.away = true;
    bed.rooms.set_degraded(true);
    bed.connect(2, Some("ann"));
    bed.subscribe(2, "lists");
    assert_eq!(bed.told(2)[0]["ok"]["degraded"], true);
    bed.say(
        2,
        &json!({"id": 2, "op": "publish", "room": "lists", "data": 1}),
    );
    assert_eq!(bed.told(2)[0]["error"]["code"], "unavailable");
    bed.subscribe(2, "pitch:1");
    assert_eq!(
        bed.told(2)[0]["error"]["code"],
        "unavailable",
        "nothing is known of it"
    );
    bed.say(2, &json!({"id": 3, "op": "unsubscribe", "room": "pitch:1"}));
    assert_eq!(bed.told(2)[0]["error"]["code"], "not_subscribed");
    bed.away = false;
    bed.rooms.set_degraded(false);
    bed.subscribe(2, "pitch:1");
    assert_eq!(bed.told(2)[0]["ok"]["offset"], 0);
}

#[test]
fn connections_outlive_the_memory_by_attachments_and_the_log() {
    let mut bed = Bed::new();
    bed.rooms = Rooms::hibernating(House, Settings::default());
    for (socket, who) in [(1, "ann"), (2, "bob")] {
        bed.connect(socket, Some(who));
        bed.subscribe(socket, "lists");
    }
    bed.say(1, &json!({"id": 2, "op": "presence", "room": "lists"}));
    bed.publish("lists", &json!(1));
    bed.wait(Duration::from_secs(2));
    assert_eq!(bed.rooms.next_tick(), None, "nothing is to be done");
    let kept = [1, 2].map(|socket| {
        let attachment = bed.rooms.attachment(SocketId(socket));
        (SocketId(socket), attachment.expect("it is there"))
    });
    assert_eq!(kept[0].1.watched, kept[0].1.rooms);
    assert!(kept[1].1.watched.is_empty());
    for socket in [1, 2] {
        bed.told(socket);
    }

    bed.rooms = Rooms::hibernating(House, Settings::default());
    let clock = bed.clock();
    bed.rooms.restore(clock, kept);
    bed.act();
    assert_eq!(bed.rooms.next_tick(), None, "nobody has come by that");
    bed.publish("lists", &json!(2));
    assert_eq!(Bed::offsets(&bed.told(1)), [[2]]);
    assert_eq!(Bed::offsets(&bed.told(2)), [[2]]);
    // Who is in the room is known, and who wants to be told.
    let clock = bed.clock();
    bed.rooms.disconnect(clock, SocketId(2));
    bed.wait(Duration::from_secs(1));
    assert_eq!(
        bed.told(1)[0]["batch"][0]["presence"],
        json!({"count": 1, "left": ["bob"]})
    );
    // So is what was published before.
    bed.connect(3, Some("cid"));
    let epoch = bed.rooms.position(&RoomName::new("lists").expect("a name"));
    let epoch = epoch.expect("it is loaded").epoch.to_string();
    let since = json!({"epoch": epoch, "offset": 0});
    bed.say(
        3,
        &json!({"id": 1, "op": "subscribe", "room": "lists", "since": since}),
    );
    let answer = bed.told(3).remove(0);
    assert_eq!(answer["ok"]["recovered"], true);
    assert_eq!(answer["ok"]["updates"].as_array().map(Vec::len), Some(2));
}

#[test]
fn rights_and_the_number_of_rooms_are_checked() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    bed.subscribe(1, "ops");
    assert_eq!(bed.told(1)[0]["error"]["code"], "forbidden");
    bed.say(
        1,
        &json!({"id": 2, "op": "publish", "room": "lists", "data": 1}),
    );
    assert_eq!(bed.told(1)[0]["error"]["code"], "forbidden");
    bed.say(1, &json!({"id": 2, "op": "presence", "room": "lists"}));
    assert_eq!(bed.told(1)[0]["error"]["code"], "not_subscribed");
    bed.subscribe(1, "lists");
    bed.subscribe(1, "lists");
    assert_eq!(bed.told(1)[1]["error"]["code"], "already_subscribed");
    for n in 1..128 {
        bed.now += Duration::from_secs(1);
        bed.subscribe(1, &format!("pitch:{n}"));
        assert!(bed.told(1)[0]["ok"].is_object());
    }
    bed.subscribe(1, "pitch:128");
    assert_eq!(bed.told(1)[0]["error"]["code"], "too_many_rooms");
    bed.connect(2, Some("ann"));
    let data = "x".repeat(16 * 1024);
    bed.say(
        2,
        &json!({"id": 2, "op": "publish", "room": "lists", "data": data}),
    );
    assert_eq!(bed.told(2)[0]["error"]["code"], "too_large");
}

#[test]
fn a_flood_is_told_and_then_closed() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    for _ in 0..150 {
        bed.say(1, &json!({"op": "ping"}));
    }
    assert!(bed.told(1).iter().all(|frame| frame["op"] == "pong"));
    for _ in 0..50 {
        bed.say(1, &json!({"op": "ping"}));
    }
    assert!(
        bed.told(1)
            .iter()
            .all(|frame| frame["error"]["code"] == "rate_limited")
    );
    assert!(bed.closed.is_empty());
    bed.say(1, &json!({"op": "ping"}));
    assert_eq!(bed.closed, [(1, CloseCode::Limits)]);
}

#[test]
fn what_is_not_of_the_protocol_ends_the_connection() {
    let mut bed = Bed::new();
    bed.connect(1, None);
    bed.connect(2, None);
    bed.say_text(1, "hello");
    bed.say_text(2, &" ".repeat(MAX_FRAME + 1));
    assert_eq!(
        bed.closed,
        [(1, CloseCode::Protocol), (2, CloseCode::TooBig)]
    );
    bed.say(1, &json!({"op": "ping"}));
    assert!(bed.told(1).is_empty(), "it is not known any more");
}

#[test]
fn presence_is_told_together_to_those_who_asked() {
    let mut bed = Bed::new();
    for (socket, who) in [
        (1, Some("ann")),
        (2, None),
        (3, Some("bob")),
        (4, Some("bob")),
    ] {
        bed.connect(socket, who);
    }
    bed.subscribe(1, "lists");
    bed.subscribe(2, "lists");
    bed.say(1, &json!({"id": 2, "op": "presence", "room": "lists"}));
    bed.say(2, &json!({"id": 2, "op": "presence", "room": "lists"}));
    assert_eq!(
        bed.told(1)[1]["ok"],
        json!({"count": 2, "members": ["ann"]})
    );
    assert_eq!(
        bed.told(2)[1]["ok"],
        json!({"count": 2}),
        "who has no name learns none"
    );
    bed.subscribe(3, "lists");
    bed.subscribe(4, "lists");
    let others = Others {
        members: ["eve".to_owned(), "ann".to_owned()].into(),
        anonymous: 2,
    };
    let lists = RoomName::new("lists").expect("a name");
    bed.rooms.others(bed.clock(), &lists, others);
    assert!(bed.told(1).is_empty());
    bed.wait(Duration::from_secs(1));
    let change = json!({"count": 6, "joined": ["bob", "eve"]});
    assert_eq!(
        bed.told(1),
        [json!({"batch": [{"room": "lists", "presence": change}]})]
    );
    let change = json!({"count": 6});
    assert_eq!(
        bed.told(2),
        [json!({"batch": [{"room": "lists", "presence": change}]})]
    );
    bed.rooms.disconnect(bed.clock(), SocketId(3));
    bed.wait(Duration::from_secs(2));
    assert!(bed.told(1).is_empty(), "bob is there by another connection");
    bed.rooms.disconnect(bed.clock(), SocketId(4));
    bed.wait(Duration::from_secs(1));
    let change = json!({"count": 5, "left": ["bob"]});
    assert_eq!(
        bed.told(1),
        [json!({"batch": [{"room": "lists", "presence": change}]})]
    );
}

#[test]
fn who_is_silent_is_pinged_and_then_swept() {
    let mut bed = Bed::new();
    for socket in 0..50 {
        bed.connect(socket, None);
    }
    bed.wait(Duration::from_secs(25));
    bed.pings.sort_unstable();
    assert_eq!(bed.pings, (0..50).collect::<Vec<_>>(), "each once in 25 s");
    for socket in 0..49 {
        bed.rooms.heard(bed.clock(), SocketId(socket));
    }
    bed.wait(Duration::from_secs(36));
    assert_eq!(bed.closed, [(49, CloseCode::Stale)]);
}

#[test]
fn a_drain_goes_in_waves_and_loses_nobody() {
    let mut bed = Bed::with(Settings {
        wave: 10,
        ..Settings::default()
    });
    for socket in 0..25 {
        bed.connect(socket, None);
    }
    bed.rooms.drain(bed.clock(), 42);
    bed.act();
    assert_eq!(bed.closed.len(), 10);
    bed.wait(Duration::from_secs(1));
    assert_eq!(bed.closed.len(), 20);
    bed.wait(Duration::from_secs(1));
    assert_eq!(bed.closed.len(), 25);
    assert!(bed.closed.iter().all(|(_, code)| *code == CloseCode::Drain));
    assert_eq!(bed.sent.len(), 25);
    assert!(bed.sent.iter().all(|(_, frame)| frame["op"] == "drain"));
    assert_eq!(bed.rooms.socket_count(), 0);
}

#[test]
fn the_connections_of_one_session_can_be_ended() {
    let mut bed = Bed::new();
    bed.connect(1, Some("ann"));
    bed.connect(2, Some("bob"));
    let ended = bed
        .rooms
        .close_where(bed.clock(), CloseCode::Forbidden, |who| *who == Some("ann"));
    bed.act();
    assert_eq!(
        (ended, &bed.closed[..]),
        (1, &[(1, CloseCode::Forbidden)][..])
    );
}
