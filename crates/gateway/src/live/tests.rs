//! The gateway before a hub that says what a test has it say.

use super::*;
use crate::serve;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// For a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bed {
    hub: TcpListener,
    at: SocketAddr,
    stop: CancellationToken,
    gateway: JoinSet<anyhow::Result<()>>,
}

/// There is neither origin nor Redis: nothing here needs them.
async fn open(places: usize) -> Bed {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (hub, listener) = (bind().await.expect("a port"), bind().await.expect("a port"));
    let at = listener.local_addr().expect("bound");
    let mut config = Config::default();
    config.origin.url = "http://127.0.0.1:1".to_owned();
    config.pitchey.enabled = true;
    config.pitchey.secret = "what edges show to origins in tests".into();
    config.pitchey.redis_url = "redis://127.0.0.1:1/0".into();
    config.hub.url = format!("http://{}", hub.local_addr().expect("bound"));
    config.hub.max_connections = places;
    config.hub.drain_ms = 0;
    assert_eq!(config.validate(), Vec::<String>::new());
    let stop = CancellationToken::new();
    let mut gateway = JoinSet::new();
    gateway.spawn(serve(listener, None, config, stop.clone()));
    Bed {
        hub,
        at,
        stop,
        gateway,
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(&SystemRuntime::new(), PATIENCE, work)
        .await
        .expect("it hangs")
}

impl Bed {
    async fn ask(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.expect("it listens");
        let head = format!("{head}\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        stream
    }

    /// What the hub is asked, and its side.
    async fn asked(&self, answer: &str) -> (TcpStream, String) {
        loop {
            let (mut stream, _) = within(self.hub.accept()).await.expect("a connection");
            let head = until(&mut stream, "\r\n\r\n").await;
            // How it is, the gateway asks for itself, and not in the middle of what a test is about.
            if head.starts_with("GET /healthz ") {
                continue;
            }
            stream.write_all(answer.as_bytes()).await.expect("written");
            return (stream, head);
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        let ended = within(self.gateway.join_next()).await.expect("one");
        ended.expect("no panic").expect("well");
    }
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(within(stream.read_u8()).await.expect("more"));
    }
    String::from_utf8(text).expect("text")
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.expect("an end");
    rest
}

const UPGRADE_REQUEST: &str = "GET /ws?a=b HTTP/1.1\r\nconnection: keep-alive, Upgrade\r\n\
     upgrade: WebSocket\r\norigin: https://x.example\r\ncookie: a=b\r\nx-forwarded-for: 1.1.1.1\r\n\
     sec-websocket-protocol: pitchey.v1, ticket.t";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-accept: s\r\nset-cookie: a=b\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: max-age=60\r\n\
     transfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_socket_is_a_tunnel_until_the_end_which_comes_between_two_frames() {
    let bed = open(4).await;
    let mut client = bed.ask(UPGRADE_REQUEST).await;
    let (mut hub, asked) = bed.asked(AGREED).await;
    assert!(asked.starts_with("GET /ws?a=b HTTP/1.1\r\n"), "{asked}");
    for (line, is_there) in [
        ("upgrade: websocket", true),
        ("origin: https://x.example", true),
        ("sec-websocket-protocol: pitchey.v1, ticket.t", true),
        ("cookie", false),
        ("x-forwarded-for", false),
    ] {
        assert_eq!(asked.contains(line), is_there, "{line} in {asked}");
    }
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s"), "{answer}");
    assert!(!answer.contains("set-cookie"), "{answer}");

    client.write_all(b"up").await.expect("written");
    assert_eq!(until(&mut hub, "up").await, "up");
    // A frame of four bytes, of which one is late.
    hub.write_all(b"\x01\x04dow").await.expect("written");
    assert_eq!(until(&mut client, "dow").await, "\u{1}\u{4}dow");
    bed.stop.cancel();
    hub.write_all(b"n").await.expect("written");
    until(&mut client, "n").await;
    let mut goodbye = [0; GOING_AWAY.len()];
    within(client.read_exact(&mut goodbye)).await.expect("told");
    assert_eq!(goodbye, GOING_AWAY);
    client.write_all(b"answer").await.expect("written");
    assert_eq!(until(&mut hub, "answer").await, "answer");
    drop(hub);
    assert!(rest(&mut client).await.is_empty());
    bed.end().await;
}

#[tokio::test]
async fn events_come_as_they_are_said_and_end_with_one() {
    let bed = open(4).await;
    let head = "GET /sse?rooms=lists HTTP/1.1\r\nauthorization: Bearer t\r\nlast-event-id: 7";
    let mut client = bed.ask(head).await;
    let (mut hub, asked) = bed.asked(EVENTS).await;
    assert!(asked.contains("authorization: Bearer t"), "{asked}");
    assert!(asked.contains("last-event-id: 7"), "{asked}");
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.contains("cache-control: no-store"), "{answer}");
    assert!(!answer.contains("max-age"), "{answer}");
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        let chunk = format!("9\r\n{event}\r\n");
        hub.write_all(chunk.as_bytes()).await.expect("written");
        assert!(until(&mut client, "\n\n").await.ends_with(event));
    }
    bed.stop.cancel();
    let rest = String::from_utf8(rest(&mut client).await).expect("text");
    assert!(
        rest.contains("event: close\ndata: {\"code\":1001"),
        "{rest}"
    );
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest:?}");
    bed.end().await;
}

#[tokio::test]
async fn who_cannot_be_taken_is_told_at_once() {
    let bed = open(1).await;
    let mut taken = bed.ask(UPGRADE_REQUEST).await;
    let (hub, _) = bed.asked(AGREED).await;
    until(&mut taken, "\r\n\r\n").await;
    let mut refused = bed.ask("GET /sse HTTP/1.1").await;
    let answer = until(&mut refused, "}").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    // The hub's end is the client's, and its place is free before that.
    drop(hub);
    assert!(rest(&mut taken).await.is_empty());
    let at_once = async {
        loop {
            let mut again = bed.ask("GET /ws HTTP/1.1").await;
            let answering = async {
                let no = "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n";
                let _hub = bed.asked(no).await;
                std::future::pending::<()>().await;
            };
            let answer = tokio::select! {
                answer = until(&mut again, "\r\n\r\n") => answer,
                () = answering => String::new(),
            };
            if answer.starts_with("HTTP/1.1 426 ") {
                return;
            }
        }
    };
    within(at_once).await;
    let Bed {
        hub,
        at,
        stop,
        mut gateway,
    } = bed;
    drop(hub);
    let mut client = TcpStream::connect(at).await.expect("it listens");
    client
        .write_all(b"GET /ws HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("written");
    let answer = until(&mut client, "}").await;
    assert!(answer.contains("The hub cannot be reached."), "{answer}");
    stop.cancel();
    let ended = within(gateway.join_next()).await.expect("one");
    ended.expect("no panic").expect("well");
}
