//! Sends every message back: the hub's own `WebSocket`s, as a foreign test suite wants to meet them.
//!
//! `cargo xtask autobahn` runs it. Buffers, masking and how connections end are the hub's; only the limits are
//! larger, as the suite sends messages of 16 MiB, and binary messages are taken.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use clap::Parser;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pitchey_hub::wire::{Limits, answer_goodbye, close_code, configured, say_goodbye};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

const LIMITS: Limits = Limits {
    message: 32 << 20,
    waiting: 64 << 20,
};

/// Sends every message back.
#[derive(Debug, Parser)]
struct Options {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:9001")]
    address: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.address).await?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        while connections.try_join_next().is_some() {}
        let router = Router::new().fallback(get(answer));
        let service = router
            .map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new));
        connections.spawn(async move {
            // A client that breaks off is no fault.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                .with_upgrades()
                .await;
        });
    }
}

async fn answer(upgrade: WebSocketUpgrade) -> Response {
    configured(upgrade, LIMITS).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    loop {
        match socket.recv().await {
            None => return,
            Some(Ok(Message::Close(_))) => return answer_goodbye(&mut socket).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(message)) => {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                if let Some(code) = close_code(error) {
                    say_goodbye(&mut socket, code).await;
                }
                return;
            }
        }
    }
}
