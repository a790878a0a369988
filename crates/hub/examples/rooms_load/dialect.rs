//! How one subscribes and publishes at each server.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use futures::{SinkExt as _, StreamExt as _};
use pitchey_model::PitchId;
use pitchey_model::room::Room;
use pitchey_model::ticket::{LIFETIME, Ticket, TicketKeys};
use pitchey_runtime::{Clock as _, Random as _, SystemRuntime};
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
}

/// As many rooms, by names that each server takes.
pub(super) fn rooms(count: u32) -> Vec<String> {
    let ids = (1..=u128::from(count)).map(Uuid::from_u128);
    ids.map(|id| Room::Pitch(PitchId(id)).to_string()).collect()
}

fn secret(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

async fn open(
    dialect: Dialect,
    address: SocketAddr,
    protocols: Option<String>,
) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let path = match dialect {
        Dialect::Hub | Dialect::Ws => "/ws",
        Dialect::SocketIo => "/socket.io/?EIO=4&transport=websocket",
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
            Dialect::SocketIo | Dialect::Ws => None,
        };
        let stream = open(dialect, address, protocols).await?;
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
    /// Requests over a connection that stays open.
    Http {
        stream: TcpStream,
        head: String,
    },
    Frames(Box<Subscriber>),
}

impl Publisher {
    pub(super) async fn connect(dialect: Dialect, address: SocketAddr) -> anyhow::Result<Self> {
        if dialect == Dialect::Hub {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let secret = secret("HUB_PUBLISH__SECRET")?;
            let head = format!(
                "POST /publish HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {secret}\r\n"
            );
            return Ok(Self::Http { stream, head });
        }
        let stream = open(dialect, address, None).await?;
        let mut publisher = Subscriber { dialect, stream };
        if dialect == Dialect::SocketIo {
            publisher.greet().await?;
        }
        Ok(Self::Frames(Box::new(publisher)))
    }

    pub(super) async fn publish(&mut self, room: &str, data: &str) -> anyhow::Result<()> {
        match self {
            Self::Http { stream, head } => {
                let body = format!(r#"{{"room":"{room}","data":{data}}}"#);
                let length = body.len();
                let request = format!("{head}content-length: {length}\r\n\r\n{body}");
                stream.write_all(request.as_bytes()).await?;
                // The answer is short and ends with the only brace of it.
                let mut answer = Vec::new();
                while answer.last() != Some(&b'}') {
                    let read = stream.read_buf(&mut answer).await?;
                    ensure!(read > 0, "cut off");
                }
                let answer = String::from_utf8_lossy(&answer);
                ensure!(answer.starts_with("HTTP/1.1 200 "), "refused: {answer}");
            }
            Self::Frames(publisher) => {
                let frame = match publisher.dialect {
                    Dialect::SocketIo => format!(r#"42["publish","{room}",{data}]"#),
                    Dialect::Ws | Dialect::Hub => {
                        format!(r#"{{"op":"publish","room":"{room}","data":{data}}}"#)
                    }
                };
                publisher.stream.send(Message::text(frame)).await?;
            }
        }
        Ok(())
    }
}
