//! Over real sockets, and without timing: every step waits for the one before.

use std::sync::Mutex;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

struct Server {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    cut: JoinSet<usize>,
}

impl Server {
    /// Waits for the end, and returns how many connections were cut.
    async fn stopped(&mut self) -> usize {
        let ended = self.cut.join_next().await.expect("one task");
        ended.expect("no panic")
    }
}

async fn start(router: Router, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let runtime = SystemRuntime::new();
    let mut cut = JoinSet::new();
    cut.spawn(run(listener, router, limits, runtime, stop.clone()));
    Server { address, stop, cut }
}

fn limits() -> Limits {
    Limits {
        listener: "test",
        max_connections: 100,
        header_timeout: Duration::from_mins(1),
        idle_timeout: Duration::from_mins(1),
        max_header_bytes: 64 * 1024,
        shutdown_timeout: Duration::from_mins(1),
    }
}

async fn request(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("the server reads");
}

/// Reads one answer, whose body ends with an exclamation mark.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"!") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(answer).expect("text")
}

/// A router whose handler says that it has begun and waits to be told to go on.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let handler = async move || {
        tell.notify_one();
        wait.notified().await;
        "done!"
    };
    (Router::new().route("/", get(handler)), begun, go_on)
}

#[tokio::test]
async fn a_stop_refuses_new_connections_and_finishes_the_request_in_flight() {
    let (router, begun, go_on) = gated();
    let mut server = start(router, limits()).await;
    let mut client = TcpStream::connect(server.address).await.expect("connected");
    request(&mut client, "/").await;
    begun.notified().await;

    server.stop.cancel();
    // The listener closes as soon as the server's task has run.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();

    assert!(answer(&mut client).await.ends_with("\r\n\r\ndone!"));
    assert_eq!(server.stopped().await, 0);
    let end = client.read_u8().await;
    assert!(end.is_err(), "the connection is closed behind the answer");
}

#[tokio::test]
async fn a_request_that_outlasts_the_shutdown_timeout_is_cut_and_counted() {
    let (router, begun, _) = gated();
    let shutdown_timeout = Duration::from_millis(1);
    let mut server = start(
        router,
        Limits {
            shutdown_timeout,
            ..limits()
        },
    )
    .await;
    let mut client = TcpStream::connect(server.address).await.expect("connected");
    request(&mut client, "/").await;
    begun.notified().await;

    server.stop.cancel();

    assert_eq!(server.stopped().await, 1);
    assert!(client.read_u8().await.is_err(), "no answer comes");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_free_slot() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let log = order.clone();
    let handler = async move |Path(name): Path<String>| {
        log.lock().expect("not poisoned").push(name);
        "done!"
    };
    let router = Router::new().route("/{name}", get(handler));
    let server = start(
        router,
        Limits {
            max_connections: 1,
            ..limits()
        },
    )
    .await;

    let mut first = TcpStream::connect(server.address).await.expect("connected");
    request(&mut first, "/first").await;
    answer(&mut first).await;
    let mut second = TcpStream::connect(server.address)
        .await
        .expect("in the queue");
    request(&mut second, "/second").await;
    for _ in 0..10 {
        request(&mut first, "/first").await;
        answer(&mut first).await;
    }
    drop(first);
    answer(&mut second).await;

    let order = order.lock().expect("not poisoned");
    assert_eq!(order.len(), 12);
    assert_eq!(
        order.last().map(String::as_str),
        Some("second"),
        "{order:?}"
    );
}
