//! The node: the rooms behind a lock, and the doing of what they decide.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use pitchey_lobby::{EndedSession, Guest, Tickets};
use pitchey_model::room::SESSIONS;
use pitchey_realtime::{
    Action, CloseCode, Now, Others, Position, RoomName, Rooms, Settings, SocketId, Unavailable,
    Update,
};
use pitchey_runtime::{Clock as _, Monotonic, Random as _, SystemRuntime, Timer as _, timeout};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::log::{Log, wall_ms};
use crate::mailbox::Mailbox;

/// Frames handed to connections.
const FRAMES: &str = "hub_frames_sent_total";
/// Connections that the hub has ended. Label: `reason`.
const CLOSED: &str = "hub_closed_total";
/// Open connections.
pub(crate) const SOCKETS: &str = "hub_connections";
/// Rooms that somebody is in.
const ROOMS: &str = "hub_rooms";
/// 1 while the shared log cannot be reached.
const DEGRADED: &str = "hub_degraded";

/// So many questions are put to the log at once; those about one room one after the other.
const WORKERS: usize = 32;
/// So many wait for each worker.
const WAITING: usize = 8192;

/// How often hubs tell each other who is there.
const PRESENCE: Duration = Duration::from_secs(2);

/// How long an `XREAD` waits: what a room that is new to a shard waits for at most.
const READ: Duration = Duration::from_millis(100);

/// How long an answer may take beyond that.
const FEED_TIMEOUT: Duration = Duration::from_secs(1);

/// How often rooms of a log in memory are looked at that nobody is in.
const SWEEP: Duration = Duration::from_mins(1);

/// Connections and rooms of this process.
pub(crate) struct Node {
    state: Mutex<State>,
    log: Log,
    runtime: SystemRuntime,
    /// The next tick is earlier than it was.
    earlier: Notify,
    workers: Vec<mpsc::Sender<Question>>,
    hasher: RandomState,
    name: String,
}

struct State {
    rooms: Rooms<Tickets>,
    mailboxes: HashMap<SocketId, Arc<Mailbox>>,
    next_socket: u64,
    draining: bool,
    degraded: bool,
    next_tick: Option<Monotonic>,
}

/// What the log is asked.
enum Question {
    Load(RoomName),
    Append {
        room: RoomName,
        data: Bytes,
        socket: SocketId,
        id: u64,
    },
    Check(Vec<RoomName>),
}

/// A room, as operators see it.
#[derive(Serialize)]
pub(crate) struct RoomState {
    room: RoomName,
    connections: usize,
    /// Where it stands, unless it is still read.
    #[serde(flatten)]
    position: Option<Position>,
}

/// Who is in a room of one hub, as the others read it.
#[derive(Serialize, Deserialize)]
struct Said {
    members: std::collections::BTreeSet<String>,
    anonymous: usize,
}

/// The hub goes away, and takes nobody any more.
#[derive(Debug, thiserror::Error)]
#[error("the hub is going away")]
pub(crate) struct Draining;

/// Asks the log, one question after the other.
pub(crate) struct Worker(mpsc::Receiver<Question>);

impl Node {
    /// The node, and the workers that are to be run beside it.
    pub(crate) fn new(
        log: Log,
        settings: Settings,
        runtime: SystemRuntime,
    ) -> (Arc<Self>, Vec<Worker>) {
        let now = now(&runtime);
        let rooms = Rooms::new(Tickets, settings, now);
        let (workers, receivers) = (0..WORKERS).map(|_| mpsc::channel(WAITING)).unzip();
        let receivers: Vec<mpsc::Receiver<Question>> = receivers;
        let node = Self {
            state: Mutex::new(State {
                rooms,
                mailboxes: HashMap::new(),
                next_socket: 0,
                draining: false,
                degraded: false,
                next_tick: None,
            }),
            log,
            runtime,
            earlier: Notify::new(),
            workers,
            hasher: RandomState::new(),
            name: format!("{:016x}", runtime.next_u64()),
        };
        (Arc::new(node), receivers.into_iter().map(Worker).collect())
    }

    pub(crate) fn connect(&self, guest: Guest) -> Result<(SocketId, Arc<Mailbox>), Draining> {
        let mailbox = Mailbox::new();
        self.with(|state, now| {
            if state.draining {
                return Err(Draining);
            }
            state.next_socket += 1;
            let socket = SocketId(state.next_socket);
            state.mailboxes.insert(socket, Arc::clone(&mailbox));
            state.rooms.connect(now, socket, guest);
            Ok(socket)
        })
        .map(|socket| (socket, mailbox))
    }

    pub(crate) fn disconnect(&self, socket: SocketId) {
        self.with(|state, now| {
            state.mailboxes.remove(&socket);
            state.rooms.disconnect(now, socket);
        });
    }

    pub(crate) fn frame(&self, socket: SocketId, text: &str) {
        self.with(|state, now| state.rooms.frame(now, socket, text));
    }

    pub(crate) fn heard(&self, socket: SocketId) {
        self.with(|state, now| state.rooms.heard(now, socket));
    }

    pub(crate) fn close(&self, socket: SocketId, code: CloseCode) {
        self.with(|state, now| state.rooms.close(now, socket, code));
    }

    /// Ends the connections of a session, or of all sessions of an account.
    fn end_sessions(&self, update: &Update) {
        let Ok(ended) = serde_json::from_slice::<EndedSession>(&update.data) else {
            tracing::warn!("the end of a session is not understood");
            return;
        };
        self.with(|state, now| {
            state.rooms.close_where(now, CloseCode::Forbidden, |guest| {
                ended.ends(&guest.ticket, update.at_ms)
            })
        });
    }

    /// Publishes for the site.
    pub(crate) async fn publish(
        &self,
        room: &RoomName,
        data: Bytes,
        id: Option<&str>,
    ) -> Result<Position, Unavailable> {
        let appended = self.log.append(room, data, id).await?;
        if let Some(update) = appended.update {
            self.updated(vec![(room.clone(), update)]);
        }
        Ok(appended.position)
    }

    /// Whether no hub has seen this ticket used; from now on all have. Without the log nobody can tell.
    pub(crate) async fn first_use(
        &self,
        ticket: Uuid,
        kept: Duration,
    ) -> Result<bool, Unavailable> {
        self.log.first_use(&ticket.to_string(), kept).await
    }

    /// Whether the hub takes connections, and how it is in a word. One without its log does: known rooms go on.
    pub(crate) fn health(&self) -> (bool, &'static str) {
        self.with(|state, _| match (state.draining, state.degraded) {
            (true, _) => (false, "draining"),
            (false, true) => (true, "degraded"),
            (false, false) => (true, "ok"),
        })
    }

    /// Where updates get their order.
    pub(crate) fn log_name(&self) -> &'static str {
        match self.log {
            Log::Memory(..) => "memory",
            Log::Redis(..) => "redis",
        }
    }

    /// How many rooms somebody is in or waits for.
    pub(crate) fn rooms(&self) -> usize {
        self.with(|state, _| state.rooms.rooms().count())
    }

    /// The rooms with the most connections, those with as many by name.
    pub(crate) fn largest_rooms(&self, limit: usize) -> Vec<RoomState> {
        self.with(|state, _| {
            let mut rooms: Vec<(&RoomName, usize)> = state.rooms.rooms().collect();
            rooms.sort_unstable_by_key(|(name, connections)| (Reverse(*connections), *name));
            let rooms = rooms.into_iter().take(limit);
            rooms
                .map(|(room, connections)| RoomState {
                    room: room.clone(),
                    connections,
                    position: state.rooms.position(room).cloned(),
                })
                .collect()
        })
    }

    /// How many connections an account has here, or one of its sessions.
    pub(crate) fn connections_of(&self, session: &EndedSession) -> usize {
        self.with(|state, _| {
            let guests = state.rooms.everyone();
            guests.filter(|guest| session.is_of(&guest.ticket)).count()
        })
    }

    pub(crate) fn sockets(&self) -> usize {
        self.with(|state, _| state.mailboxes.len())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.with(|state, _| state.draining)
    }

    /// Takes nobody any more, and sends everyone elsewhere.
    pub(crate) fn drain(&self) {
        let seed = self.runtime.next_u64();
        self.with(|state, now| {
            state.draining = true;
            state.rooms.drain(now, seed);
        });
    }

    pub(crate) fn record_metrics(&self) {
        let (sockets, rooms, degraded) = self.with(|state, _| {
            (
                state.mailboxes.len(),
                state.rooms.rooms().count(),
                state.degraded,
            )
        });
        metrics::gauge!(SOCKETS).set(sockets as f64);
        metrics::gauge!(ROOMS).set(rooms as f64);
        metrics::gauge!(DEGRADED).set(f64::from(u8::from(degraded)));
    }

    fn updated(&self, updates: Vec<(RoomName, Update)>) {
        for (room, update) in &updates {
            if room.as_str() == SESSIONS {
                self.end_sessions(update);
            }
        }
        self.with(|state, now| {
            for (room, update) in updates {
                state.rooms.updated(now, &room, update);
            }
        });
    }

    /// Follows the ends of sessions, and does what was missed of them: again, if need be.
    async fn follow_sessions(&self) -> Result<(), Unavailable> {
        if let Some(room) = RoomName::new(SESSIONS) {
            for update in self.log.load(&room).await?.updates {
                self.end_sessions(&update);
            }
        }
        Ok(())
    }

    /// Does something with the state, and then what the rooms have decided.
    fn with<T>(&self, change: impl FnOnce(&mut State, Now) -> T) -> T {
        // Were it to panic half-way, what is left would still be the rooms of those who are here.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state, now(&self.runtime));
        self.act(&mut state);
        let next = state.rooms.next_tick();
        if next != state.next_tick {
            let earlier = state
                .next_tick
                .is_none_or(|before| next.is_some_and(|at| at < before));
            state.next_tick = next;
            if earlier {
                self.earlier.notify_one();
            }
        }
        result
    }

    fn act(&self, state: &mut State) {
        // A frame for many is checked to be text once.
        let mut last: Option<(Bytes, Utf8Bytes)> = None;
        loop {
            let actions = state.rooms.take_actions();
            if actions.is_empty() {
                return;
            }
            let mut slow = Vec::new();
            for action in actions {
                match action {
                    Action::Send { socket, frame } => {
                        let known = last.as_ref().filter(|(bytes, _)| {
                            bytes.as_ptr() == frame.as_ptr() && bytes.len() == frame.len()
                        });
                        let text = match known {
                            Some((_, text)) => text.clone(),
                            None => {
                                let Ok(text) = Utf8Bytes::try_from(frame.clone()) else {
                                    continue;
                                };
                                last = Some((frame, text.clone()));
                                text
                            }
                        };
                        let Some(mailbox) = state.mailboxes.get(&socket) else {
                            continue;
                        };
                        metrics::counter!(FRAMES).increment(1);
                        if mailbox.push(text).is_err() {
                            slow.push(socket);
                        }
                    }
                    Action::Ping(socket) => {
                        if let Some(mailbox) = state.mailboxes.get(&socket) {
                            mailbox.ping();
                        }
                    }
                    Action::Close { socket, code } => {
                        metrics::counter!(CLOSED, "reason" => code.reason()).increment(1);
                        if let Some(mailbox) = state.mailboxes.get(&socket) {
                            mailbox.close(code);
                        }
                    }
                    Action::Leave(room) => {
                        if !state.rooms.has_room(&room) {
                            self.log.leave(&room);
                        }
                    }
                    Action::Load(room) => {
                        if !self.ask(&room, Question::Load(room.clone())) {
                            state
                                .rooms
                                .loaded(now(&self.runtime), &room, Err(Unavailable));
                        }
                    }
                    Action::Append {
                        room,
                        data,
                        socket,
                        id,
                    } => {
                        let question = Question::Append {
                            room: room.clone(),
                            data,
                            socket,
                            id,
                        };
                        if !self.ask(&room, question) {
                            state.rooms.appended(socket, id, Err(Unavailable));
                        }
                    }
                    Action::Check(rooms) => {
                        // What is not asked now is asked with the next check.
                        self.ask(&"check", Question::Check(rooms));
                    }
                    // No connection outlives this process.
                    Action::Keep(_) => {}
                }
            }
            for socket in slow {
                state
                    .rooms
                    .close(now(&self.runtime), socket, CloseCode::Slow);
            }
        }
    }

    /// Whether a worker has taken the question.
    fn ask(&self, about: &impl Hash, question: Question) -> bool {
        let hash = self.hasher.hash_one(about);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below the number of workers"
        )]
        let worker = (hash % WORKERS as u64) as usize;
        self.workers[worker].try_send(question).is_ok()
    }

    /// Ticks when it is time.
    pub(crate) async fn run_ticks(&self) {
        loop {
            let next = self.with(|state, _| state.next_tick);
            let wait = next.map_or(SWEEP, |next| next - self.runtime.now());
            let _ = timeout(&self.runtime, wait, self.earlier.notified()).await;
            self.with(|state, now| state.rooms.tick(now));
        }
    }

    pub(crate) async fn run_worker(&self, mut worker: Worker) {
        while let Some(question) = worker.0.recv().await {
            match question {
                Question::Load(room) => {
                    let outcome = self.log.load(&room).await;
                    self.with(|state, now| {
                        state.rooms.loaded(now, &room, outcome);
                        // All may have left while it was loaded.
                        if !state.rooms.has_room(&room) {
                            self.log.leave(&room);
                        }
                    });
                }
                Question::Append {
                    room,
                    data,
                    socket,
                    id,
                } => {
                    let outcome = self.publish(&room, data, None).await;
                    self.with(|state, _| state.rooms.appended(socket, id, outcome));
                }
                Question::Check(rooms) => {
                    if let Ok(heads) = self.log.heads(&rooms).await {
                        self.with(|state, _| state.rooms.heads(heads));
                    }
                }
            }
        }
    }

    /// Follows the shared log, if there is one; in any case forgets what nobody needs.
    pub(crate) async fn run_log(&self, stop: &CancellationToken) {
        let Log::Redis(rooms, link) = &self.log else {
            loop {
                self.runtime.sleep(SWEEP).await;
                let used: std::collections::BTreeSet<RoomName> = self
                    .with(|state, _| state.rooms.rooms().map(|(name, _)| name.clone()).collect());
                self.log.sweep(|room| used.contains(room));
            }
        };
        let following = async {
            let mut feed = rooms.feed(FEED_TIMEOUT);
            loop {
                self.set_degraded(true);
                link.connected().await;
                if let Err(error) = feed.connect().await {
                    tracing::warn!(%error, "the log of rooms cannot be followed");
                    self.runtime.sleep(READ).await;
                    continue;
                }
                if self.follow_sessions().await.is_err() {
                    self.runtime.sleep(READ).await;
                    continue;
                }
                self.set_degraded(false);
                self.with(|state, _| state.rooms.reload_all());
                loop {
                    match feed.next(READ).await {
                        Ok(updates) => self.updated(updates),
                        Err(error) => {
                            tracing::warn!(%error, "the log of rooms is lost");
                            break;
                        }
                    }
                }
            }
        };
        tokio::join!(
            link.keep_connected(stop),
            following,
            self.exchange_presence()
        );
    }

    fn set_degraded(&self, degraded: bool) {
        self.with(|state, _| {
            state.degraded = degraded;
            state.rooms.set_degraded(degraded);
        });
    }

    async fn exchange_presence(&self) {
        loop {
            self.runtime.sleep(PRESENCE).await;
            let here = self.with(|state, _| state.rooms.present());
            let here: Vec<(RoomName, String)> = here
                .into_iter()
                .filter_map(|(room, others)| {
                    let said = Said {
                        members: others.members,
                        anonymous: others.anonymous,
                    };
                    Some((room, serde_json::to_string(&said).ok()?))
                })
                .collect();
            let Ok(told) = self.log.exchange_presence(&self.name, &here).await else {
                continue;
            };
            self.with(|state, now| {
                for (room, said) in told {
                    let mut others = Others::default();
                    for said in said
                        .iter()
                        .filter_map(|said| serde_json::from_str::<Said>(said).ok())
                    {
                        others.members.extend(said.members);
                        others.anonymous += said.anonymous;
                    }
                    state.rooms.others(now, &room, others);
                }
            });
        }
    }
}

fn now(runtime: &SystemRuntime) -> Now {
    Now {
        monotonic: runtime.now(),
        wall_ms: wall_ms(runtime),
    }
}
