//! A client of the realtime protocol, and the tickets it comes with.

use anyhow::{Context as _, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use pitchey_model::room::Room;
use pitchey_model::ticket::{Holder, LIFETIME, Ticket, TicketKeys};
use pitchey_model::{Role, SessionId, UserId};
use pitchey_runtime::{Clock as _, Random as _, SystemRuntime};
use pitchey_testkit::Hub;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

/// For a busy machine, not for the hub.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn keys() -> TicketKeys {
    TicketKeys::new(Hub::TICKET_KEY.as_bytes(), None).expect("long enough")
}

/// A ticket of a person, by number, for these rooms; of nobody without one.
pub(crate) fn ticket(person: Option<u128>, rooms: &[Room]) -> Ticket {
    let runtime = SystemRuntime::new();
    let mut id = [0; 16];
    runtime.fill(&mut id);
    Ticket {
        id: Uuid::from_bytes(id),
        holder: person.map(|person| Holder {
            user: UserId(Uuid::from_u128(person)),
            role: Role::Investor,
            session: SessionId(Uuid::from_u128(person)),
        }),
        rooms: rooms.iter().copied().collect(),
        expires_at: (runtime.wall() + LIFETIME).unix_timestamp(),
    }
}

pub(crate) fn signed(person: Option<u128>, rooms: &[Room]) -> String {
    keys().sign(&ticket(person, rooms))
}

/// The request that opens a connection.
pub(crate) fn request(hub: SocketAddr, protocols: &str) -> Request {
    let mut request = format!("ws://{hub}/ws")
        .into_client_request()
        .expect("an address");
    let protocols = protocols.parse().expect("a header value");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocols);
    request
}

/// What a client hears.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Frame(Value),
    Closed(u16),
    /// The connection was cut.
    Gone,
}

pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    next_id: u64,
}

impl Socket {
    pub(crate) async fn connect(
        hub: SocketAddr,
        person: Option<u128>,
        rooms: &[Room],
    ) -> Result<Self> {
        Self::with_ticket(hub, &signed(person, rooms)).await
    }

    pub(crate) async fn with_ticket(hub: SocketAddr, ticket: &str) -> Result<Self> {
        Self::open(request(hub, &format!("pitchey.v1, ticket.{ticket}")), hub).await
    }

    pub(crate) async fn open(request: Request, hub: SocketAddr) -> Result<Self> {
        let connecting = async {
            let stream = TcpStream::connect(hub).await?;
            let (stream, answer) = tokio_tungstenite::client_async(request, stream).await?;
            let protocol = answer.headers().get("sec-websocket-protocol");
            ensure!(protocol.is_some_and(|protocol| protocol == "pitchey.v1"));
            Ok(Self { stream, next_id: 0 })
        };
        tokio::time::timeout(PATIENCE, connecting)
            .await
            .context("connecting")?
    }

    pub(crate) async fn send(&mut self, message: Message) -> Result<()> {
        Ok(tokio::time::timeout(PATIENCE, self.stream.send(message)).await??)
    }

    pub(crate) async fn say(&mut self, frame: &Value) -> Result<()> {
        self.send(Message::text(frame.to_string())).await
    }

    /// The stream below, for those who break rules.
    pub(crate) fn raw(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    pub(crate) async fn hear(&mut self) -> Result<Heard> {
        tokio::time::timeout(PATIENCE, self.hear_ever())
            .await
            .context("nothing is heard")?
    }

    async fn hear_ever(&mut self) -> Result<Heard> {
        loop {
            return Ok(match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Heard::Frame(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(Some(frame)))) => Heard::Closed(frame.code.into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(other)) => bail!("heard {other:?}"),
                None | Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))) => {
                    Heard::Gone
                }
                Some(Err(error)) => return Err(error.into()),
            });
        }
    }

    /// Says something that is answered, and hears the answer; what comes before it is left out.
    pub(crate) async fn ask(&mut self, frame: Value) -> Result<Value> {
        let (answer, _) = self.ask_hearing(frame).await?;
        Ok(answer)
    }

    /// The same, with what came before it.
    pub(crate) async fn ask_hearing(&mut self, mut frame: Value) -> Result<(Value, Vec<Value>)> {
        self.next_id += 1;
        frame["id"] = json!(self.next_id);
        self.say(&frame).await?;
        let mut before = Vec::new();
        loop {
            match self.hear().await? {
                Heard::Frame(answer) if answer["id"] == self.next_id => {
                    return Ok((answer, before));
                }
                Heard::Frame(other) => before.push(other),
                other => bail!("{other:?} instead of an answer"),
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, room: Room) -> Result<Value> {
        self.ask(json!({"op": "subscribe", "room": room})).await
    }

    /// The next update, whatever else is heard, and the room it is of.
    pub(crate) async fn updates(&mut self, count: usize) -> Result<Vec<Value>> {
        let mut updates = Vec::new();
        while updates.len() < count {
            match self.hear().await? {
                Heard::Frame(frame) => {
                    let items = frame["batch"].as_array().into_iter().flatten();
                    updates.extend(items.filter(|item| item["offset"].is_u64()).cloned());
                }
                other => bail!("{other:?} after {updates:?}"),
            }
        }
        Ok(updates)
    }

    /// The code with which the hub closes, whatever is heard before.
    pub(crate) async fn closed(&mut self) -> Result<u16> {
        loop {
            match self.hear().await? {
                Heard::Closed(code) => return Ok(code),
                Heard::Frame(_) => {}
                Heard::Gone => bail!("cut without a code"),
            }
        }
    }
}
