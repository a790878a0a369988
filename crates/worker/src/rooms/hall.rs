//! The shell around the rooms of a Durable Object: events of the platform go in, and what the rooms decide
//! is done at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use pitchey_lobby::events::{self, Events};
use pitchey_lobby::{
    EndedSession, Guest, NotLetIn, PlaceLimits, Places, Publications, Tickets, Used,
};
use pitchey_model::UserId;
use pitchey_model::room::SESSIONS;
use pitchey_model::ticket::Ticket;
use pitchey_realtime::{
    Action, Attachment, CloseCode, Now, Position, RoomName, Rooms, Settings, SocketId, Unavailable,
    Update,
};
use pitchey_runtime::Monotonic;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::answer::tell_panics;
use crate::config::Config;
use crate::glue;
use crate::platform::milliseconds;
use crate::rooms::Realtime;
use crate::rooms::door::{Admitted, responded};
use crate::rooms::log::StoredLog;
use crate::rooms::platform::{House, Sql};

/// The rooms of one object.
#[wasm_bindgen]
pub struct Hall {
    rooms: Rooms<Tickets>,
    log: StoredLog,
    house: House,
    used: Used,
    places: Places,
    limits: PlaceLimits,
    seats: BTreeMap<SocketId, Seat>,
    /// Connections that have outlived the memory before this one, until all are told.
    outlived: Vec<(SocketId, Attachment<Guest>)>,
    last_socket: u64,
    /// The latest time that was told: the clock may be set back.
    latest_ms: u64,
}

/// A connection, beside what the rooms know of it.
struct Seat {
    user: Option<UserId>,
    address: IpAddr,
    /// Of one who only listens.
    events: Option<Events>,
    /// The frames by which they enter their rooms, until their stream is there.
    entering: Vec<String>,
}

/// What is kept of a socket while the object sleeps.
#[derive(Serialize, Deserialize)]
struct Kept {
    ticket: Ticket,
    address: IpAddr,
    rooms: Vec<RoomName>,
    watched: Vec<RoomName>,
}

#[wasm_bindgen]
impl Hall {
    /// The rooms of an object with these connections and this database. Fails if the variables are wrong, or
    /// the database is.
    #[wasm_bindgen(constructor)]
    pub fn new(house: House, sql: Sql, variables: &str) -> Result<Hall, JsValue> {
        tell_panics();
        let config = Config::parse(variables).map_err(|problems| JsValue::from_str(&problems))?;
        let Some(Realtime::Here(here)) = config.realtime else {
            return Err(JsValue::from_str("no rooms are to be here"));
        };
        let settings = Settings {
            window: Duration::from_millis(here.window_ms.into()),
            ..Settings::default()
        };
        let mut epoch = [0; 8];
        glue::random(&mut epoch);
        let log = StoredLog::open(sql, settings.keep, u64::from_le_bytes(epoch))?;
        let seconds = seconds(milliseconds());
        let mut used = Used::default();
        for (id, expires_at) in log.used_tickets(seconds)? {
            if let Ok(id) = id.parse() {
                used.first_use(id, expires_at, seconds);
            }
        }
        Ok(Self {
            rooms: Rooms::hibernating(Tickets, settings),
            log,
            house,
            used,
            places: Places::default(),
            limits: here.places,
            seats: BTreeMap::new(),
            outlived: Vec::new(),
            last_socket: 0,
            latest_ms: 0,
        })
    }

    /// A socket has outlived the memory before this one.
    pub fn outlived(&mut self, id: f64, attachment: &str) {
        let Ok(kept) = serde_json::from_str::<Kept>(attachment) else {
            let code = CloseCode::Drain;
            self.house.shut(id, code.code(), code.reason(), "");
            return;
        };
        let socket = socket(id);
        let user = kept.ticket.holder.map(|holder| holder.user);
        // It has its place, whatever the limits are now.
        let unlimited = PlaceLimits {
            all: usize::MAX,
            per_user: usize::MAX,
            per_address: usize::MAX,
        };
        if self.places.take(unlimited, user, kept.address) {
            let seat = Seat {
                user,
                address: kept.address,
                events: None,
                entering: Vec::new(),
            };
            self.seats.insert(socket, seat);
        }
        self.last_socket = self.last_socket.max(socket.0);
        let attachment = Attachment {
            who: Guest::new(kept.ticket),
            rooms: kept.rooms,
            watched: kept.watched,
        };
        self.outlived.push((socket, attachment));
    }

    /// All are told that have.
    pub fn restore(&mut self) {
        let outlived = std::mem::take(&mut self.outlived);
        self.with(|hall, now| hall.rooms.restore(now, outlived));
    }

    /// Somebody was let in at the door. Gives the number of their connection; nothing, if their ticket was
    /// used before; or a response that says why they are not let in.
    pub fn enter(&mut self, admitted: &str) -> JsValue {
        let Ok(Admitted {
            ticket,
            address,
            listens,
        }) = serde_json::from_str(admitted)
        else {
            return responded(&NotLetIn::Ticket.response()).into();
        };
        let now = seconds(milliseconds());
        if !self.used.first_use(ticket.id, ticket.expires_at, now) {
            return match listens {
                None => JsValue::NULL,
                Some(_) => responded(&NotLetIn::Ticket.response()).into(),
            };
        }
        let id = ticket.id.to_string();
        if self.log.use_ticket(&id, ticket.expires_at).is_err() {
            return unavailable().into();
        }
        let user = ticket.holder.map(|holder| holder.user);
        if !self.places.take(self.limits, user, address) {
            return responded(&NotLetIn::Full.response()).into();
        }
        self.last_socket += 1;
        let socket = SocketId(self.last_socket);
        let (events, entering) = listens
            .map(|(rooms, last)| Events::begin(rooms, &last))
            .unzip();
        let seat = Seat {
            user,
            address,
            events,
            entering: entering.unwrap_or_default(),
        };
        self.seats.insert(socket, seat);
        self.with(|hall, now| {
            hall.rooms.connect(now, socket, Guest::new(ticket));
            hall.plan_sweep();
        });
        number(socket).into()
    }

    /// The stream of one who only listens is there.
    pub fn listen(&mut self, id: f64) {
        let seat = self.seats.get_mut(&socket(id));
        let entering = seat.map(|seat| std::mem::take(&mut seat.entering));
        for frame in entering.unwrap_or_default() {
            self.frame(id, &frame);
        }
    }

    /// Keeps what must be known of a socket that was accepted.
    pub fn keep(&mut self, id: f64) {
        self.keep_socket(socket(id));
    }

    /// A text frame has come.
    pub fn frame(&mut self, id: f64, text: &str) {
        self.with(|hall, now| hall.rooms.frame(now, socket(id), text));
    }

    /// A binary frame has come.
    pub fn binary(&mut self, id: f64) {
        self.with(|hall, now| hall.rooms.close(now, socket(id), CloseCode::NotText));
    }

    /// A connection has ended by itself.
    pub fn gone(&mut self, id: f64) {
        self.leave(socket(id));
        self.with(|hall, now| hall.rooms.disconnect(now, socket(id)));
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        self.with(|hall, now| hall.rooms.tick(now));
    }

    /// In how many milliseconds something will be due, if anything waits.
    #[wasm_bindgen(js_name = due)]
    pub fn due(&mut self) -> Option<f64> {
        let now = self.now().monotonic;
        let next = self.rooms.next_tick()?;
        Some((next - now).as_secs_f64() * 1000.0)
    }

    /// The site publishes.
    pub fn publish(&mut self, body: &str) -> glue::Response {
        let publications = match Publications::parse(body.as_bytes()) {
            Ok(publications) => publications,
            Err(error) => {
                let mut response = Response::new(format!("{error}\n"));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return responded(&response);
            }
        };
        let mut positions = Vec::with_capacity(publications.all().len());
        for publication in publications.all() {
            let data = pitchey_realtime::protocol::one_line(publication.data.get());
            let id = publication.id.as_deref();
            let published = self.with(|hall, now| hall.append(now, &publication.room, data, id));
            match published {
                Ok(position) => positions.push(position),
                Err(Unavailable) => return unavailable(),
            }
        }
        // Positions never fail to be JSON.
        let json = match publications {
            Publications::One(_) => serde_json::to_string(&positions.pop()),
            Publications::Many(_) => serde_json::to_string(&positions),
        };
        let mut response = Response::new(json.unwrap_or_default());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        responded(&response)
    }

    /// Forgets what is old; it was time to.
    pub fn sweep(&mut self) {
        let now_ms = self.now().wall_ms;
        let in_use: Vec<&RoomName> = self.rooms.rooms().map(|(name, _)| name).collect();
        // After a failure it is looked for again.
        if self.log.sweep(&in_use, now_ms).unwrap_or(true) {
            self.plan_sweep();
        }
    }
}

impl Hall {
    fn now(&mut self) -> Now {
        let wall_ms = milliseconds();
        self.latest_ms = self.latest_ms.max(wall_ms);
        Now {
            monotonic: Monotonic::from_start(Duration::from_millis(self.latest_ms)),
            wall_ms,
        }
    }

    /// Does something, and then what the rooms have decided.
    fn with<T>(&mut self, change: impl FnOnce(&mut Self, Now) -> T) -> T {
        let now = self.now();
        let result = change(self, now);
        self.act(now);
        result
    }

    fn act(&mut self, now: Now) {
        loop {
            let mut actions = self.rooms.take_actions().into_iter().peekable();
            if actions.peek().is_none() {
                return;
            }
            while let Some(action) = actions.next() {
                match action {
                    Action::Send { socket, frame } => {
                        // A frame for many crosses once.
                        let mut sockets = vec![socket];
                        while let Some(Action::Send { socket, .. }) = actions.next_if(|next| {
                            matches!(next, Action::Send { frame: other, .. } if is_same(&frame, other))
                        }) {
                            sockets.push(socket);
                        }
                        self.send(now, sockets, &frame);
                    }
                    Action::Close { socket, code } => {
                        self.leave(socket);
                        let event = events::closing(code);
                        let (code, reason) = (code.code(), code.reason());
                        self.house.shut(number(socket), code, reason, &event);
                    }
                    Action::Keep(socket) => self.keep_socket(socket),
                    Action::Load(room) => {
                        let history = self.log.history(&room, now.wall_ms);
                        self.rooms.loaded(now, &room, history);
                    }
                    Action::Append {
                        room,
                        data,
                        socket,
                        id,
                    } => {
                        let outcome = self.append(now, &room, data, None);
                        self.rooms.appended(socket, id, outcome);
                    }
                    Action::Leave(_) => self.plan_sweep(),
                    // The platform looks after connections, and the log is here.
                    Action::Ping(_) | Action::Check(_) => {}
                }
            }
        }
    }

    fn send(&mut self, now: Now, sockets: Vec<SocketId>, frame: &Bytes) {
        let Ok(text) = std::str::from_utf8(frame) else {
            return;
        };
        let mut plain = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let seat = self.seats.get_mut(&socket);
            match seat.map(|seat| seat.events.as_mut()) {
                None => {}
                Some(None) => plain.push(number(socket)),
                Some(Some(events)) => {
                    let event = events.event(text);
                    if !self.house.event(number(socket), &event) {
                        self.rooms.close(now, socket, CloseCode::Slow);
                    }
                }
            }
        }
        if !plain.is_empty() {
            self.house.send(plain.into(), text);
        }
    }

    fn append(
        &mut self,
        now: Now,
        room: &RoomName,
        data: Bytes,
        id: Option<&str>,
    ) -> Result<Position, Unavailable> {
        let (position, update) = self.log.append(room, data, id, now.wall_ms)?;
        if let Some(update) = update {
            if room.as_str() == SESSIONS {
                self.end_sessions(now, &update);
            }
            self.rooms.updated(now, room, update);
            self.plan_sweep();
        }
        Ok(position)
    }

    /// Ends the connections of a session, or of all sessions of an account.
    fn end_sessions(&mut self, now: Now, update: &Update) {
        let Ok(ended) = serde_json::from_slice::<EndedSession>(&update.data) else {
            glue::log("the end of a session is not understood");
            return;
        };
        self.rooms.close_where(now, CloseCode::Forbidden, |guest| {
            ended.ends(&guest.ticket, update.at_ms)
        });
    }

    fn leave(&mut self, socket: SocketId) {
        if let Some(seat) = self.seats.remove(&socket) {
            self.places.free(seat.user, seat.address);
        }
    }

    fn keep_socket(&self, socket: SocketId) {
        let Some(seat) = self.seats.get(&socket) else {
            return;
        };
        // The object does not sleep while somebody is listening.
        if seat.events.is_some() {
            return;
        }
        if let Some(attachment) = self.rooms.attachment(socket) {
            let kept = Kept {
                ticket: (*attachment.who.ticket).clone(),
                address: seat.address,
                rooms: attachment.rooms,
                watched: attachment.watched,
            };
            // Nothing in it fails to be JSON.
            let text = serde_json::to_string(&kept).unwrap_or_default();
            self.house.keep(number(socket), &text);
        }
    }

    fn plan_sweep(&mut self) {
        let now_ms = self.now().wall_ms;
        if let Some(at) = self.log.plan_sweep(now_ms) {
            self.house.wake_at(at as f64);
        }
    }
}

fn unavailable() -> glue::Response {
    let mut response = NotLetIn::Draining.response();
    *response.body_mut() = "the log of rooms cannot be reached\n";
    responded(&response)
}

fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}

/// JavaScript's numbers hold those of connections exactly.
fn number(socket: SocketId) -> f64 {
    socket.0 as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number that was given out here"
)]
fn socket(id: f64) -> SocketId {
    SocketId(id as u64)
}
