//! How one subscribes and publishes at each server.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use futures::{SinkExt as _, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use pitchey_model::PitchId;
use pitchey_model::room::Room;
use pitchey_model::ticket::{LIFETIME, Ticket, TicketKeys};
use pitchey_runtime::{Clock as _, Random as _, SystemRuntime};
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use uuid::Uuid;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// `pitchey.v1`; tickets are signed by `HUB_TICKETS__KEY`, and `HUB_PUBLISH__SECRET` publishes.
    Hub,
    /// Engine.IO 4 and Socket.IO 5, over `WebSockets` from the beginning.
    #[value(name = "socket.io")]
    SocketIo,
    /// JSON of its own over bare `WebSockets`.
    Ws,
    /// nchan's: what is published over HTTP comes out of a `WebSocket` as it is.
    Nchan,
    /// Pusher 7, of the application that the constants below name.
    Sockudo,
}

/// The application at Sockudo.
const APP: &str = "bench";
const APP_KEY: &str = "bench-key";
const APP_SECRET: &str = "bench-secret";

/// As many rooms, by names that the server takes.
pub(super) fn rooms(dialect: Dialect, count: u32) -> Vec<String> {
    let ids = (1..=u128::from(count)).map(Uuid::from_u128);
    let rooms = ids.map(|id| Room::Pitch(PitchId(id)).to_string());
    match dialect {
        // Its channels have no colons in their names.
        Dialect::Sockudo => rooms.map(|room| room.replace(':', "-")).collect(),
        _ => rooms.collect(),
    }
}

fn secret(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

async fn open(
    dialect: Dialect,
    address: SocketAddr,
    room: &str,
    protocols: Option<String>,
) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let path = match dialect {
        Dialect::Hub | Dialect::Ws => "/ws".to_owned(),
        Dialect::SocketIo => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        Dialect::Nchan => format!("/sub?room={room}"),
        Dialect::Sockudo => format!("/app/{APP_KEY}?protocol=7"),
    };
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    if let Some(protocols) = protocols {
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", protocols.parse()?);
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0);
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
    Ok(opened.0)
}

/// One who listens in a room.
pub(super) struct Subscriber {
    dialect: Dialect,
    stream: WebSocketStream<TcpStream>,
}

impl Subscriber {
    pub(super) async fn connect(
        dialect: Dialect,
        address: SocketAddr,
        room: &str,
        runtime: SystemRuntime,
    ) -> anyhow::Result<Self> {
        let protocols = match dialect {
            Dialect::Hub => Some(format!("pitchey.v1, ticket.{}", ticket(room, runtime)?)),
            _ => None,
        };
        let stream = open(dialect, address, room, protocols).await?;
        let mut subscriber = Self { dialect, stream };
        match dialect {
            Dialect::Hub => {
                let frame = format!(r#"{{"id":1,"op":"subscribe","room":"{room}"}}"#);
                subscriber.ask(frame, "{\"id\":1,\"ok\"").await?;
            }
            Dialect::Ws => {
                let frame = format!(r#"{{"op":"subscribe","room":"{room}"}}"#);
                subscriber.ask(frame, "{\"ok\"").await?;
            }
            Dialect::SocketIo => {
                subscriber.greet().await?;
                let frame = format!(r#"420["subscribe","{room}"]"#);
                subscriber.ask(frame, "430").await?;
            }
            // Who is connected is in.
            Dialect::Nchan => {}
            Dialect::Sockudo => {
                let open = subscriber.next().await?;
                ensure!(open.contains("pusher:connection_established"), "{open}");
                let frame =
                    format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{room}"}}}}"#);
                subscriber.stream.send(Message::text(frame)).await?;
                let heard = subscriber.next().await?;
                ensure!(heard.contains("subscription_succeeded"), "{heard}");
            }
        }
        Ok(subscriber)
    }

    /// Engine.IO's open packet, and Socket.IO's connection to the default namespace.
    async fn greet(&mut self) -> anyhow::Result<()> {
        let open = self.next().await?;
        ensure!(open.starts_with('0'), "no open packet: {open}");
        self.ask("40".to_owned(), "40").await
    }

    async fn ask(&mut self, frame: String, answer: &str) -> anyhow::Result<()> {
        self.stream.send(Message::text(frame)).await?;
        let heard = self.next().await?;
        ensure!(heard.starts_with(answer), "no answer: {heard}");
        Ok(())
    }

    /// The next text that is no heartbeat.
    pub(super) async fn next(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.stream.next().await.context("cut off")?? {
                Message::Text(text)
                    if self.dialect == Dialect::SocketIo && text.as_str() == "2" =>
                {
                    self.stream.send(Message::text("3")).await?;
                }
                Message::Text(text) => return Ok(text),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("heard {other:?}"),
            }
        }
    }
}

fn ticket(room: &str, runtime: SystemRuntime) -> anyhow::Result<String> {
    let keys = TicketKeys::new(secret("HUB_TICKETS__KEY")?.as_bytes(), None)?;
    let mut id = [0; 16];
    runtime.fill(&mut id);
    Ok(keys.sign(&Ticket {
        id: Uuid::from_bytes(id),
        holder: None,
        rooms: [room.parse()?].into(),
        expires_at: (runtime.wall() + LIFETIME).unix_timestamp(),
    }))
}

/// One who publishes, by the way that a site would take.
pub(super) enum Publisher {
    /// Requests over a connection that stays open as long as the server lets it.
    Http {
        dialect: Dialect,
        address: SocketAddr,
        open: Option<TcpStream>,
    },
    /// Frames over a connection as subscribers have it.
    Frames(Box<Subscriber>),
}

impl Publisher {
    pub(super) async fn connect(dialect: Dialect, address: SocketAddr) -> anyhow::Result<Self> {
        if !matches!(dialect, Dialect::SocketIo | Dialect::Ws) {
            return Ok(Self::Http {
                dialect,
                address,
                open: None,
            });
        }
        let stream = open(dialect, address, "", None).await?;
        let mut publisher = Subscriber { dialect, stream };
        if dialect == Dialect::SocketIo {
            publisher.greet().await?;
        }
        Ok(Self::Frames(Box::new(publisher)))
    }

    pub(super) async fn publish(&mut self, room: &str, data: &str) -> anyhow::Result<()> {
        match self {
            Self::Http {
                dialect,
                address,
                open,
            } => {
                let request = request(*dialect, room, data)?;
                let mut stream = match open.take() {
                    Some(stream) => stream,
                    None => TcpStream::connect(*address).await?,
                };
                stream.set_nodelay(true)?;
                stream.write_all(request.as_bytes()).await?;
                let answer = answer(&mut stream).await?;
                ensure!(answer.starts_with("HTTP/1.1 20"), "refused: {answer}");
                // Sockudo closes after each.
                if !answer.to_ascii_lowercase().contains("connection: close") {
                    *open = Some(stream);
                }
            }
            Self::Frames(publisher) => {
                let frame = match publisher.dialect {
                    Dialect::SocketIo => format!(r#"42["publish","{room}",{data}]"#),
                    _ => format!(r#"{{"op":"publish","room":"{room}","data":{data}}}"#),
                };
                publisher.stream.send(Message::text(frame)).await?;
            }
        }
        Ok(())
    }
}

/// A request that publishes.
fn request(dialect: Dialect, room: &str, data: &str) -> anyhow::Result<String> {
    let (target, more, body) = match dialect {
        Dialect::Nchan => (format!("/pub?room={room}"), String::new(), data.to_owned()),
        Dialect::Sockudo => {
            let body = json!({"name": "update", "channel": room, "data": data}).to_string();
            (signed(&body)?, String::new(), body)
        }
        _ => {
            let secret = secret("HUB_PUBLISH__SECRET")?;
            let body = format!(r#"{{"room":"{room}","data":{data}}}"#);
            let more = format!("authorization: Bearer {secret}\r\n");
            ("/publish".to_owned(), more, body)
        }
    };
    let length = body.len();
    Ok(format!(
        "POST {target} HTTP/1.1\r\nhost: rooms\r\n{more}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    ))
}

/// The address to which a body is published at Sockudo, signed as Pusher's protocol wants it.
fn signed(body: &str) -> anyhow::Result<String> {
    let path = format!("/apps/{APP}/events");
    let now = SystemRuntime::new().wall().unix_timestamp();
    let digest = hex::encode(Md5::digest(body));
    let query =
        format!("auth_key={APP_KEY}&auth_timestamp={now}&auth_version=1.0&body_md5={digest}");
    let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes())?;
    mac.update(format!("POST\n{path}\n{query}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    Ok(format!("{path}?{query}&auth_signature={signature}"))
}

/// A whole answer, whose header says how long it is.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await?;
        ensure!(read > 0, "cut off");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length:").nth(1).unwrap_or("0");
        let length = length.lines().next().unwrap_or_default().trim();
        if body.len() >= length.parse()? {
            return Ok(text.into_owned());
        }
    }
}
