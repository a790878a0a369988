//! Over pipes in memory and with tokio's time paused: it jumps to the next timer whenever nothing
//! else can happen, so that the times here are exact and cost nothing.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

const LIMITS: Limits = Limits {
    listener: "test",
    max_connections: 1,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(75),
    max_header_bytes: 64 * 1024,
    shutdown_timeout: Duration::from_secs(10),
};

const PEER: PeerAddress = PeerAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

struct Client {
    io: DuplexStream,
    runtime: SystemRuntime,
    closing: Closing,
    server: JoinSet<()>,
}

/// A client whose connection to `router` has just been accepted.
fn connect(router: Router) -> Client {
    let (io, server_io) = tokio::io::duplex(64 * 1024);
    let runtime = SystemRuntime::new();
    let closing = Closing::default();
    let mut server = JoinSet::new();
    server.spawn({
        let closing = closing.clone();
        async move { serve_connection(server_io, PEER, router, &LIMITS, runtime, closing).await }
    });
    Client {
        io,
        runtime,
        closing,
        server,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("the server reads");
    }

    /// Reads one answer whose body is `hello`.
    async fn receive_hello(&mut self) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            let mut byte = [0];
            self.io.read_exact(&mut byte).await.expect("an answer");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    /// Reads to the end of the connection.
    async fn receive_all(&mut self) -> String {
        let mut answer = Vec::new();
        self.io.read_to_end(&mut answer).await.expect("the end");
        String::from_utf8(answer).expect("text")
    }

    /// Waits until the server is done with the connection.
    async fn ended(&mut self) {
        let ended = self.server.join_next().await.expect("one task");
        ended.expect("no panic");
    }

    /// The whole seconds since the connection was made; tokio's timers are up to a millisecond late.
    fn seconds(&self) -> u64 {
        self.runtime.now().since_start().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_cut_after_the_header_timeout() {
    let mut client = connect(hello());
    assert_eq!(client.receive_all().await, "");
    assert_eq!(client.seconds(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_its_header_is_cut_after_the_header_timeout() {
    let mut client = connect(hello());
    client.send(b"GET / HTTP/1.1\r\n").await;
    for _ in 0..3 {
        client.runtime.sleep(Duration::from_secs(3)).await;
        client.send(b"x: y\r\n").await;
    }
    assert_eq!(client.receive_all().await, "");
    assert_eq!(client.seconds(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_drips_after_an_answer_is_cut_after_the_header_timeout() {
    let mut client = connect(hello());
    client.send(REQUEST).await;
    client.receive_hello().await;
    client.runtime.sleep(Duration::from_secs(15)).await;
    client.send(b"GET / HTTP/1.1\r\n").await;
    for _ in 0..3 {
        client.runtime.sleep(Duration::from_secs(3)).await;
        client.send(b"x: y\r\n").await;
    }
    assert_eq!(client.receive_all().await, "");
    assert_eq!(client.seconds(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_idle_for_longer_than_a_header_may_take() {
    let mut client = connect(hello());
    for _ in 0..3 {
        client.send(REQUEST).await;
        client.receive_hello().await;
        client.runtime.sleep(Duration::from_secs(74)).await;
    }
    assert_eq!(client.receive_all().await, "");
    assert_eq!(client.seconds(), 2 * 74 + 75);
    client.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_longer_than_both_timeouts() {
    let runtime = SystemRuntime::new();
    let slow = Router::new().route(
        "/",
        get(async move || {
            runtime.sleep(Duration::from_secs(200)).await;
            "hello"
        }),
    );
    let mut client = connect(slow);
    client.send(REQUEST).await;
    client.receive_hello().await;
    assert_eq!(client.seconds(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_cut() {
    let large = Router::new().route("/", get(async || vec![b'x'; 1024 * 1024]));
    let mut client = connect(large);
    client.send(REQUEST).await;
    client.ended().await;
    assert_eq!(client.seconds(), 75 + GOODBYE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_lives_on_its_pings_and_ends_in_time() {
    let mut client = connect(hello());
    let (io, _) = tokio::io::duplex(1);
    let io = TokioIo::new(std::mem::replace(&mut client.io, io));
    let (mut requests, connection) = http2::handshake(TokioExecutor::new(), io)
        .await
        .expect("HTTP/2");
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    for _ in 0..2 {
        let request = Request::new(Empty::<bytes::Bytes>::new());
        let answer = requests.send_request(request).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "hello");
        client.runtime.sleep(Duration::from_secs(74)).await;
    }
    let ended = connections.join_next().await.expect("one task");
    ended.expect("no panic").expect("a goodbye");
    client.ended().await;
    assert_eq!(client.seconds(), 74 + 75);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_too_large_is_answered_with_431() {
    let mut client = connect(hello());
    let mut request = b"GET / HTTP/1.1\r\nx: ".to_vec();
    request.resize(2 * LIMITS.max_header_bytes, b'y');
    // The server does not read to the end.
    assert!(client.io.write_all(&request).await.is_err());
    let answer = client.receive_all().await;
    assert!(
        answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_header_lines_are_answered_with_431() {
    let mut client = connect(hello());
    let mut request = b"GET / HTTP/1.1\r\n".to_vec();
    for _ in 0..=MAX_HEADERS {
        request.extend_from_slice(b"x: y\r\n");
    }
    request.extend_from_slice(b"\r\n");
    client.send(&request).await;
    let answer = client.receive_all().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// A router whose one handler says that it has begun and waits to be told to go on.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let router = Router::new().route(
        "/",
        get(async move || {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>("hello")
        }),
    );
    (router, begun, go_on)
}

#[tokio::test(start_paused = true)]
async fn a_graceful_close_lets_the_request_in_flight_finish_and_ends_the_connection() {
    let (router, begun, go_on) = gated();
    let mut client = connect(router);
    client.send(REQUEST).await;
    begun.notified().await;
    client.closing.gracefully.cancel();
    tokio::task::yield_now().await;
    go_on.notify_one();
    let answer = client.receive_all().await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    client.ended().await;
    assert_eq!(client.seconds(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_graceful_close_ends_an_idle_connection_at_once() {
    let mut client = connect(hello());
    client.send(REQUEST).await;
    client.receive_hello().await;
    client.closing.gracefully.cancel();
    assert_eq!(client.receive_all().await, "");
    assert_eq!(client.seconds(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_at_once_ends_even_a_request_in_flight() {
    let (router, begun, _) = gated();
    let mut client = connect(router);
    client.send(REQUEST).await;
    begun.notified().await;
    client.closing.at_once.cancel();
    assert_eq!(client.receive_all().await, "");
}

#[tokio::test(start_paused = true)]
async fn every_request_carries_the_address_of_its_peer() {
    let hello = async |axum::Extension(peer): axum::Extension<PeerAddress>| {
        assert_eq!(peer, PEER);
        "hello"
    };
    let mut client = connect(Router::new().route("/", get(hello)));
    for _ in 0..2 {
        client.send(REQUEST).await;
        client.receive_hello().await;
    }
}
