//! One client: it connects, enters its room, reads, and comes back when it was cut off.

use super::place::{Frame, Place, Position};
use super::{CONNECT_WITHIN, SETTLE, Shared, Stage};
use anyhow::{Context as _, bail};
use futures::{SinkExt as _, StreamExt as _};
use pitchey_model::room::Room;
use pitchey_realtime::protocol::SUBPROTOCOL;
use pitchey_runtime::{Clock as _, Monotonic, Random as _, Timer as _, timeout};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long one attempt may take, until the answer of the room.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Between attempts: a random time up to twice the one before, at most the second of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// As much as a recovery of the whole history can be.
const MAX_MESSAGE: usize = 8 << 20;

/// There is one for each client.
const READ_BUFFER: usize = 4096;

type Socket = WebSocketStream<TcpStream>;

#[derive(Debug)]
pub(super) struct Client {
    number: u32,
    reads_nothing: bool,
    /// The place in the list of rooms.
    room: usize,
    /// How often another hub was gone to.
    turn: usize,
    has_entered: bool,
    /// The storm that has cut it.
    cut: Option<Monotonic>,
    place: Place,
    shared: Arc<Shared>,
}

/// What is left of a client.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) room: usize,
    pub(super) place: Place,
    /// It was never in its room, or was to read nothing.
    pub(super) is_bystander: bool,
}

/// Why a connection has ended.
enum Parted {
    /// It was closed or lost; the hub may have said how long to stay away.
    Lost(Duration),
    /// It was cut by this load at that time.
    Cut(Monotonic),
    /// Nothing more is to come.
    Done,
}

impl Client {
    pub(super) fn new(number: u32, reads_nothing: bool, shared: &Arc<Shared>) -> Self {
        Self {
            number,
            reads_nothing,
            room: number as usize % shared.rooms.len(),
            turn: if shared.failover { 0 } else { number as usize },
            has_entered: false,
            cut: None,
            place: Place::default(),
            shared: Arc::clone(shared),
        }
    }

    pub(super) async fn run(
        mut self,
        mut stage: watch::Receiver<Stage>,
        entered: mpsc::Sender<()>,
    ) -> Ended {
        let mut entered = Some(entered);
        let runtime = self.shared.runtime;
        let began = runtime.now();
        let mut backoff = BACKOFF.0;
        let mut cut_at = None;
        loop {
            if self.is_over(&stage) || (entered.is_some() && runtime.now() - began > CONNECT_WITHIN)
            {
                break;
            }
            let wait = match self.enter(cut_at).await {
                Ok(socket) => {
                    backoff = BACKOFF.0;
                    // The channel has a place for each client, and each says it once.
                    if let Some(entered) = entered.take() {
                        let _ = entered.try_send(());
                    }
                    match self.listen(socket, &mut stage).await {
                        Parted::Done => break,
                        Parted::Lost(wait) => {
                            cut_at = None;
                            wait
                        }
                        Parted::Cut(at) => {
                            cut_at = Some(at);
                            Duration::ZERO
                        }
                    }
                }
                Err(error) => {
                    self.shared.tally.lock().error(&kind(&error));
                    self.turn += 1;
                    backoff = (backoff * 2).min(BACKOFF.1);
                    let share = runtime.next_u64() as f64 / u64::MAX as f64;
                    backoff.mul_f64(share)
                }
            };
            runtime.sleep(wait).await;
        }
        Ended {
            room: self.room,
            is_bystander: self.reads_nothing || !self.has_entered,
            place: self.place,
        }
    }

    /// Whether there is nothing to come back for.
    fn is_over(&self, stage: &watch::Receiver<Stage>) -> bool {
        match &*stage.borrow() {
            Stage::Over(heads, until) => {
                let is_late = self.shared.runtime.now() >= *until;
                self.reads_nothing || self.has_all(heads) || is_late
            }
            Stage::Running | Stage::Storm(..) => false,
        }
    }

    fn has_all(&self, heads: &[Option<Position>]) -> bool {
        let head = heads.get(self.room).and_then(Option::as_ref);
        head.is_none_or(|head| self.place.has_reached(head))
    }

    /// Connects and enters the room.
    async fn enter(&mut self, cut_at: Option<Monotonic>) -> anyhow::Result<Socket> {
        let shared = Arc::clone(&self.shared);
        let runtime = shared.runtime;
        let _turn = shared.connecting.acquire().await?;
        let started = runtime.now();
        let room = shared.rooms[self.room];
        let hub = &shared.hubs[self.turn % shared.hubs.len()];
        let attempt = async {
            let ticket = shared.tickets.take(room, &runtime).await?;
            let mut socket = connect(hub.authority(), &ticket).await?;
            self.subscribe(&mut socket, room).await?;
            anyhow::Ok(socket)
        };
        let socket = timeout(&runtime, ATTEMPT, attempt)
            .await
            .context("no answer in time")??;
        let now = runtime.now();
        let mut counts = shared.tally.lock();
        counts.connects.record(now - started);
        if self.has_entered {
            counts.reconnects += 1;
        } else {
            counts.entered += 1;
        }
        if let Some(at) = cut_at {
            counts.storm.record(now - at);
        }
        self.has_entered = true;
        Ok(socket)
    }

    async fn subscribe(&mut self, socket: &mut Socket, room: Room) -> anyhow::Result<()> {
        let mut frame = json!({"id": 1, "op": "subscribe", "room": room});
        let since = self.place.last.as_ref();
        if let Some(last) = since {
            frame["since"] = json!({"epoch": last.epoch, "offset": last.offset});
        }
        socket.send(Message::text(frame.to_string())).await?;
        loop {
            let text = match socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    bail!("closed with {code} before the room was entered");
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(error.into()),
                None => bail!("cut off before the room was entered"),
            };
            let frame: Frame<'_> = serde_json::from_str(&text).context("not understood")?;
            if let Some(refused) = frame.error {
                bail!("the room was refused: {}", refused.code);
            }
            let Some(answer) = frame.ok else { continue };
            let mut counts = self.shared.tally.lock();
            match (self.has_entered, answer.recovered) {
                (true, true) => counts.recovered += 1,
                (true, false) => counts.unrecovered += 1,
                (false, _) => {}
            }
            for offset in answer.updates.iter().filter_map(|update| update.offset) {
                self.place.update(offset);
                counts.recovered_updates += 1;
            }
            let (epoch, offset) = (answer.epoch, answer.offset);
            self.place
                .entered(Position { epoch, offset }, answer.recovered);
            return Ok(());
        }
    }

    /// Reads until the connection ends, is cut, or everything has come.
    async fn listen(&mut self, mut socket: Socket, stage: &mut watch::Receiver<Stage>) -> Parted {
        let shared = Arc::clone(&self.shared);
        let runtime = shared.runtime;
        if self.reads_nothing {
            // The sender lives until the end.
            let _ = stage
                .wait_for(|stage| matches!(stage, Stage::Over(..)))
                .await;
            return self.read_rest(socket).await;
        }
        let mut away = Duration::ZERO;
        let mut patience = None;
        stage.mark_changed();
        loop {
            tokio::select! {
                biased;
                changed = stage.changed() => {
                    if changed.is_err() {
                        return Parted::Done;
                    }
                    match &*stage.borrow_and_update() {
                        // Who was cut by this storm sees it again when back.
                        Stage::Storm(most, at) if self.number < *most && self.cut.is_none() => {
                            self.cut = Some(*at);
                            // Without a goodbye, as when a network is gone.
                            let _ = socket.get_ref().set_zero_linger();
                            return Parted::Cut(*at);
                        }
                        Stage::Running | Stage::Storm(..) => {}
                        Stage::Over(heads, _) if self.has_all(heads) => return Parted::Done,
                        Stage::Over(_, until) => {
                            patience = Some(Box::pin(runtime.sleep(*until - runtime.now())));
                        }
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        match self.frame(&text) {
                            Ok(None) => {}
                            Ok(Some(wait)) => away = wait,
                            Err(_) => shared.tally.lock().error("a frame was not understood"),
                        }
                        if patience.is_some() && self.is_over(stage) {
                            return Parted::Done;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or(1005, |frame| frame.code.into());
                        *shared.tally.lock().closed.entry(code).or_default() += 1;
                        self.turn += 1;
                        return Parted::Lost(away);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        shared.tally.lock().error(&kind(&error.into()));
                        self.turn += 1;
                        return Parted::Lost(away);
                    }
                    None => return Parted::Lost(away),
                },
                () = async {
                    match &mut patience {
                        Some(patience) => patience.await,
                        None => std::future::pending().await,
                    }
                } => return Parted::Done,
            }
        }
    }

    /// What a frame says; how long to stay away, if the hub goes.
    fn frame(&mut self, text: &str) -> serde_json::Result<Option<Duration>> {
        let frame: Frame<'_> = serde_json::from_str(text)?;
        let runtime = self.shared.runtime;
        let now = runtime.now().since_start();
        let mut counts = self.shared.tally.lock();
        counts.frames += u64::from(!frame.batch.is_empty());
        for item in &frame.batch {
            let Some(offset) = item.offset else { continue };
            self.place.update(offset);
            counts.deliveries += 1;
            if let Some(due) = item.due_us() {
                let due = Duration::from_micros(due);
                counts.latency.record(now.saturating_sub(due));
            }
        }
        Ok(frame.reconnect_after_ms.map(Duration::from_millis))
    }

    /// Reads what waits for one who has read nothing, until the hub has nothing more or has closed.
    async fn read_rest(&mut self, mut socket: Socket) -> Parted {
        let runtime = self.shared.runtime;
        let reading = async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                }
            }
        };
        if timeout(&runtime, SETTLE / 3, reading).await.is_ok() {
            self.shared.tally.lock().slow_closed += 1;
        }
        Parted::Done
    }
}

/// Opens a connection.
async fn connect(authority: &str, ticket: &str) -> anyhow::Result<Socket> {
    let mut request = format!("ws://{authority}/ws").into_client_request()?;
    let protocols = format!("{SUBPROTOCOL}, ticket.{ticket}");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocols.parse()?);
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let connecting =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    Ok(connecting?.0)
}

/// What kind of error it is: without what differs from client to client.
fn kind(error: &anyhow::Error) -> String {
    if let Some(Error::Http(answer)) = error.downcast_ref::<Error>() {
        let status: StatusCode = answer.status();
        return format!("not let in: {}", status.as_u16());
    }
    if let Some(Error::Io(error)) = error.downcast_ref::<Error>() {
        return format!("connection: {}", error.kind());
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return format!("connection: {}", error.kind());
    }
    format!("{error:#}")
}
