//! What happens, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use pitchey_runtime::{Monotonic, Random as _, SeededRandom};

use super::client::{Client, Seen, Truth};
use crate::guard::Guards;
use crate::rooms::{Access, Action, Authority, Now, Rooms, SocketId, Unavailable};
use crate::{CloseCode, History, Keep, MemLog, Position, RoomName, Settings, Update};

const ROOMS: [&str; 3] = ["lists", "pitch:1", "nda:2"];
const NODES: usize = 2;
const CLIENTS: usize = 4;
/// Faults for so long, in milliseconds; then all is well for as long.
const FAULTS: u64 = 6_000;
const END: u64 = 16_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Played {
    pub(super) updates: u64,
    pub(super) recovered: u64,
    pub(super) unrecovered: u64,
    pub(super) unavailable: u64,
    pub(super) gaps: u64,
}

impl Played {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            updates: self.updates + other.updates,
            recovered: self.recovered + other.recovered,
            unrecovered: self.unrecovered + other.unrecovered,
            unavailable: self.unavailable + other.unavailable,
            gaps: self.gaps + other.gaps,
        }
    }
}

/// Anyone may do anything.
struct Open;

impl Authority for Open {
    type Who = ();

    fn access(&self, (): &(), _: &RoomName) -> Access {
        Access {
            subscribe: true,
            publish: true,
            members: true,
        }
    }

    fn member<'a>(&self, (): &'a ()) -> Option<&'a str> {
        None
    }
}

enum Event {
    Publish,
    /// A client does something of its own accord.
    Act(usize),
    /// A node dies, or the log loses everything.
    Disaster,
    Revive(usize),
    /// To a node that has lived since.
    ToNode(usize, u64, Input),
    /// To a client over a connection.
    Frame(usize, u64, Bytes),
    Closed(usize, u64, Option<CloseCode>),
}

enum Input {
    Tick,
    Frame(SocketId, String),
    Gone(SocketId),
    Updated(RoomName, Update),
    Load(RoomName),
    Loaded(RoomName, Result<History, Unavailable>),
    Heads(Vec<(RoomName, Position)>),
}

struct Node {
    rooms: Option<Rooms<Open>>,
    /// Grows with each life.
    life: u64,
}

struct Connection {
    client: usize,
    /// When the last of what is under way to each side arrives: connections keep their order.
    to_client: u64,
    to_node: u64,
}

pub(super) struct World {
    random: SeededRandom,
    guards: Guards,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    log: MemLog,
    epochs: u64,
    truth: Truth,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    published: u64,
    gaps: u64,
}

fn settings() -> Settings {
    Settings {
        keep: keep(),
        check: Duration::from_millis(500),
        ..Settings::default()
    }
}

fn keep() -> Keep {
    Keep {
        updates: 12,
        age: Duration::from_secs(3),
        ..Keep::default()
    }
}

impl World {
    pub(super) fn new(seed: u64, guards: Guards) -> Self {
        let mut world = Self {
            random: SeededRandom::new(seed),
            guards,
            now: 0,
            events: BTreeMap::new(),
            next_event: 0,
            log: MemLog::new("0".to_owned(), keep()),
            epochs: 0,
            truth: Truth::new(),
            nodes: Vec::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            connections: BTreeMap::new(),
            next_connection: 0,
            published: 0,
            gaps: 0,
        };
        for life in 0..NODES {
            world.nodes.push(Node {
                rooms: Some(world.rooms()),
                life: life as u64,
            });
        }
        for client in 0..CLIENTS {
            let at = world.below(200);
            world.at(at, Event::Act(client));
        }
        world.at(0, Event::Publish);
        let at = world.below(2000);
        world.at(at, Event::Disaster);
        world
    }

    pub(super) fn play(mut self) -> Result<Played, String> {
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > END {
                break;
            }
            self.now = at;
            self.happen(event)
                .map_err(|wrong| format!("at {at} ms: {wrong}"))?;
        }
        let mut seen = Seen::default();
        for (number, client) in self.clients.iter().enumerate() {
            for (room, place) in client.rooms.iter().filter(|(_, place)| place.inside) {
                let name = RoomName::new(room).ok_or("no name")?;
                let head = self.log.history(&name, self.now).head;
                if place.last.as_ref() != Some(&head) {
                    let last = &place.last;
                    return Err(format!(
                        "client {number} in {room} stays at {last:?}, not {head:?}"
                    ));
                }
            }
            seen.updates += client.seen.updates;
            seen.recovered += client.seen.recovered;
            seen.unrecovered += client.seen.unrecovered;
            seen.unavailable += client.seen.unavailable;
        }
        Ok(Played {
            updates: seen.updates,
            recovered: seen.recovered,
            unrecovered: seen.unrecovered,
            unavailable: seen.unavailable,
            gaps: self.gaps,
        })
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Publish => self.publish(),
            Event::Act(client) => self.act(client),
            Event::Disaster => self.disaster(),
            Event::Revive(node) => {
                let rooms = self.rooms();
                self.nodes[node].rooms = Some(rooms);
                self.nodes[node].life += NODES as u64;
            }
            Event::ToNode(node, life, input) => self.feed(node, life, input),
            Event::Frame(client, connection, frame) => {
                if self.is_on(client, connection) {
                    let truth = &self.truth;
                    return self.clients[client]
                        .frame(&frame, truth)
                        .map_err(|wrong| format!("client {client}: {wrong}"));
                }
            }
            Event::Closed(client, connection, code) => {
                if self.is_on(client, connection) {
                    self.gaps += u64::from(code == Some(CloseCode::Gap));
                    self.clients[client].disconnected();
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        if self.now > FAULTS {
            return;
        }
        // Bursts and silences.
        let next = if self.chance(80) {
            self.below(40)
        } else {
            self.below(800)
        };
        self.at(next, Event::Publish);
        let room = ROOMS[self.pick(ROOMS.len())];
        let name = RoomName::new(room).expect("a name");
        self.published += 1;
        let data = self.published.to_string();
        let update = self.log.append(&name, data.into(), self.now);
        let Position { epoch, offset } = &update.position;
        let key = (room.to_owned(), epoch.to_string(), *offset);
        self.truth.insert(key, self.published);
        for node in 0..NODES {
            if self.chance(4) {
                continue;
            }
            for _ in 0..=u64::from(self.chance(5)) {
                // Delays of their own: they overtake each other.
                let delay = if self.chance(70) {
                    self.below(3)
                } else {
                    self.below(150)
                };
                self.input(delay, node, Input::Updated(name.clone(), update.clone()));
            }
        }
    }

    /// A client connects, enters rooms, leaves one, or loses its connection.
    fn act(&mut self, client: usize) {
        let next = 20 + self.below(if self.now > FAULTS { 100 } else { 600 });
        self.at(next, Event::Act(client));
        let Some((node, connection)) = self.clients[client].connection else {
            self.connect(client);
            return;
        };
        let healed = self.now > FAULTS;
        let room = ROOMS[self.pick(ROOMS.len())];
        let fate = if healed { 100 } else { self.below(100) };
        if fate < 15 {
            // The client is gone at once; the node learns of it later.
            self.clients[client].disconnected();
            let delay = self.below(500);
            self.input(delay, node, Input::Gone(SocketId(connection)));
        } else if fate < 28 {
            if let Some(frame) = self.clients[client].unsubscribe(room) {
                self.say(node, connection, frame);
            }
        } else {
            for room in ROOMS {
                if let Some(frame) = self.clients[client].subscribe(room) {
                    self.say(node, connection, frame);
                }
            }
        }
    }

    fn connect(&mut self, client: usize) {
        let node = self.pick(NODES);
        let now = self.clock();
        let Some(rooms) = &mut self.nodes[node].rooms else {
            return;
        };
        self.next_connection += 1;
        let connection = self.next_connection;
        rooms.connect(now, SocketId(connection), ());
        self.clients[client].connection = Some((node, connection));
        let known = Connection {
            client,
            to_client: 0,
            to_node: 0,
        };
        self.connections.insert(connection, known);
        self.after(node);
        for room in ROOMS {
            if let Some(frame) = self.clients[client].subscribe(room) {
                self.say(node, connection, frame);
            }
        }
    }

    fn disaster(&mut self) {
        if self.now > FAULTS {
            for node in 0..NODES {
                if self.nodes[node].rooms.is_none() {
                    self.at(0, Event::Revive(node));
                }
            }
            return;
        }
        let next = 200 + self.below(3000);
        self.at(next, Event::Disaster);
        if self.chance(40) {
            self.epochs += 1;
            self.log = MemLog::new(self.epochs.to_string(), keep());
            return;
        }
        let node = self.pick(NODES);
        if self.nodes[node].rooms.take().is_some() {
            let back = 50 + self.below(1500);
            self.at(back, Event::Revive(node));
            for client in 0..CLIENTS {
                if let Some((of, connection)) = self.clients[client].connection
                    && of == node
                {
                    let delay = self.below(100);
                    self.at(delay, Event::Closed(client, connection, None));
                }
            }
        }
    }

    fn feed(&mut self, node: usize, life: u64, input: Input) {
        let now = self.clock();
        if self.nodes[node].life != life {
            return;
        }
        let Some(rooms) = &mut self.nodes[node].rooms else {
            return;
        };
        match input {
            Input::Tick => rooms.tick(now),
            Input::Frame(socket, text) => rooms.frame(now, socket, &text),
            Input::Gone(socket) => rooms.disconnect(now, socket),
            Input::Updated(room, update) => rooms.updated(now, &room, update),
            Input::Heads(heads) => rooms.heads(heads),
            Input::Loaded(room, outcome) => rooms.loaded(now, &room, outcome),
            Input::Load(room) => {
                let failed = self.now < FAULTS && self.chance(10);
                let history = self.log.history(&room, self.now);
                let outcome = if failed {
                    Err(Unavailable)
                } else {
                    Ok(history)
                };
                let delay = self.below(80);
                self.input(delay, node, Input::Loaded(room, outcome));
                return;
            }
        }
        self.after(node);
    }

    /// Does what the rooms ask for.
    fn after(&mut self, node: usize) {
        let Some(rooms) = &mut self.nodes[node].rooms else {
            return;
        };
        let actions = rooms.take_actions();
        let next = rooms.next_tick();
        for action in actions {
            match action {
                Action::Send { socket, frame } => {
                    if let Some((client, delay)) = self.on_the_way(socket) {
                        self.at(delay, Event::Frame(client, socket.0, frame));
                    }
                }
                Action::Close { socket, code } => {
                    if let Some((client, delay)) = self.on_the_way(socket) {
                        self.at(delay, Event::Closed(client, socket.0, Some(code)));
                    }
                }
                Action::Load(room) => {
                    let delay = self.below(40);
                    self.input(delay, node, Input::Load(room));
                }
                Action::Check(rooms) => {
                    let now = self.now;
                    let heads = rooms.into_iter().map(|room| {
                        let head = self.log.history(&room, now).head;
                        (room, head)
                    });
                    let heads = heads.collect();
                    let delay = self.below(60);
                    self.input(delay, node, Input::Heads(heads));
                }
                // Clients here do not publish, and answer pings without being asked.
                Action::Ping(_) | Action::Leave(_) | Action::Append { .. } | Action::Keep(_) => {}
            }
        }
        if let Some(next) = next {
            let at = u64::try_from(next.since_start().as_millis()).unwrap_or(u64::MAX);
            self.input(at.saturating_sub(self.now).max(1), node, Input::Tick);
        }
    }

    /// When a frame that is sent now arrives, after those before it.
    fn on_the_way(&mut self, socket: SocketId) -> Option<(usize, u64)> {
        let delay = self.below(30);
        let connection = self.connections.get_mut(&socket.0)?;
        connection.to_client = (self.now + delay).max(connection.to_client);
        Some((connection.client, connection.to_client - self.now))
    }

    fn say(&mut self, node: usize, connection: u64, frame: String) {
        let delay = self.below(30);
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.to_node = (self.now + delay).max(known.to_node);
        let delay = known.to_node - self.now;
        self.input(delay, node, Input::Frame(SocketId(connection), frame));
    }

    fn is_on(&self, client: usize, connection: u64) -> bool {
        let current = self.clients[client].connection;
        current.is_some_and(|(_, current)| current == connection)
    }

    fn rooms(&self) -> Rooms<Open> {
        let mut rooms = Rooms::new(Open, settings(), self.clock());
        rooms.guards = self.guards;
        rooms
    }

    fn clock(&self) -> Now {
        Now {
            monotonic: Monotonic::from_start(Duration::from_millis(self.now)),
            wall_ms: self.now,
        }
    }

    fn input(&mut self, delay: u64, node: usize, input: Input) {
        let life = self.nodes[node].life;
        self.at(delay, Event::ToNode(node, life, input));
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.next_event += 1;
        self.events
            .insert((self.now + delay, self.next_event), event);
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    fn pick(&mut self, among: usize) -> usize {
        usize::try_from(self.below(among as u64)).unwrap_or_default()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
