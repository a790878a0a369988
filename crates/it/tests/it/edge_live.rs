//! What is told as it happens, through the gateway: `/ws` and `/sse` at a real hub.

use crate::client::Client;
use crate::hub::client::{PATIENCE, Socket, request, signed};
use crate::hub::contract::{event, events, site_publishes};
use anyhow::{Context as _, Result, ensure};
use pitchey_model::NdaId;
use pitchey_model::room::Room;
use pitchey_testkit::{Gateway, Hub};
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

const PAGES: &str = "https://pitchey.example";
const ROOM: Room = Room::Nda(NdaId(Uuid::from_u128(1)));

struct Bed {
    gateway: Gateway,
    hub: Hub,
    at: SocketAddr,
}

/// There is neither origin nor Redis: rooms need neither.
async fn open(settings: &[(&str, &str)]) -> Result<Bed> {
    let settings: Vec<(String, String)> = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let start = move || {
        let pages = format!("[\"{PAGES}\"]");
        let hub = Hub::start(&[("HUB_HTTP__ALLOWED_ORIGINS", &pages)])?;
        let mut program = Gateway::program("http://127.0.0.1:1")
            .args(["--pitchey"])
            .env(
                "GATEWAY_PITCHEY__SECRET",
                "what edges show to origins in these tests",
            )
            .env("GATEWAY_PITCHEY__REDIS_URL", "redis://127.0.0.1:1/0")
            .env("GATEWAY_HUB__URL", format!("http://{}", hub.address()));
        for (name, value) in &settings {
            program = program.env(name, value);
        }
        let gateway = Gateway::start(&program)?;
        anyhow::Ok(Bed {
            at: gateway.address(),
            gateway,
            hub,
        })
    };
    tokio::task::spawn_blocking(start).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_at_the_hub_is_heard_through_the_gateway() -> Result<()> {
    let bed = open(&[]).await?;
    let mut ann = Socket::connect(bed.at, Some(1), &[ROOM]).await?;
    let mut bob = Socket::connect(bed.hub.address(), Some(2), &[ROOM]).await?;
    let entered = ann.subscribe(ROOM).await?;
    ensure!(entered["ok"] == bob.subscribe(ROOM).await?["ok"]);
    // Longer than what a tunnel reads at once.
    let long = "x".repeat(10_000);
    for n in 0..20_u64 {
        let who = if n % 2 == 0 { &mut ann } else { &mut bob };
        let data = json!({"n": n, "text": long});
        who.say(&json!({"op": "publish", "room": ROOM, "data": data, "id": 100 + n}))
            .await?;
        let heard = ann.updates(1).await?;
        ensure!(heard[0]["data"] == data, "{n}");
        ensure!(heard == bob.updates(1).await?, "one order for both");
    }

    let mut stream = events(bed.at, "lists", "").await?;
    ensure!(event(&mut stream).await?.contains("\"recovered\":false"));
    for n in 0..3 {
        site_publishes(bed.hub.address(), "lists", &json!({ "n": n })).await?;
        // It comes though the answer has no end.
        let heard = event(&mut stream).await?;
        ensure!(
            heard.contains(&format!("\"data\":{{\"n\":{n}}}")),
            "{heard}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_decides_who_may_connect() -> Result<()> {
    let bed = open(&[]).await?;
    let offer = || format!("pitchey.v1, ticket.{}", signed(Some(1), &[]));
    for (origin, is_let_in) in [(PAGES, true), ("https://foreign.example", false)] {
        let mut asking = request(bed.at, &offer());
        asking.headers_mut().insert("origin", origin.parse()?);
        let opened = Socket::open(asking, bed.at).await;
        ensure!(opened.is_ok() == is_let_in, "{origin}: {:?}", opened.err());
    }
    let mut forged = Socket::with_ticket(bed.at, "forged").await?;
    ensure!(forged.closed().await? == 4001);

    let client = Client::new(bed.at);
    client.get("/ws", &[]).await?.expect(426)?;
    let refused = client.get("/sse?rooms=lists", &[]).await?.expect(401)?;
    ensure!(refused.header("cache-control") == "no-store");
    let posted = client.send(http::Method::POST, "/ws", &[], None).await?;
    ensure!(posted.status == 405, "{}", posted.status);
    // Nothing else of the hub is to be reached.
    for target in ["/publish", "/healthz", "/ws/", "/sse/x"] {
        let answer = client.get(target, &[]).await?;
        ensure!(answer.status == 502, "{target}: {}", answer.status);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_away_is_told_at_once() -> Result<()> {
    let mut bed = open(&[]).await?;
    let mut cut = Socket::connect(bed.at, Some(1), &[ROOM]).await?;
    cut.subscribe(ROOM).await?;
    tokio::task::block_in_place(|| bed.hub.process().kill())?;
    ensure!(cut.closed().await.is_err(), "it has said goodbye");
    let client = Client::new(bed.at);
    for target in ["/ws", "/sse?rooms=lists"] {
        let answer = client.get(target, &[]).await?.expect(503)?;
        ensure!(answer.json()["status"] == 503, "{target}");
        ensure!(answer.header("retry-after") == "1", "{target}");
        ensure!(answer.header("cache-control") == "no-store", "{target}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_connections_as_may_be() -> Result<()> {
    let bed = open(&[("GATEWAY_HUB__MAX_CONNECTIONS", "2")]).await?;
    let client = Client::new(bed.at);
    let socket = Socket::connect(bed.at, Some(1), &[]).await?;
    let stream = events(bed.at, "lists", "").await?;
    client.get("/ws", &[]).await?.expect(503)?;
    // Both give back what they took.
    drop((socket, stream));
    let both = async {
        loop {
            let one = Socket::connect(bed.at, Some(1), &[]).await;
            if let Ok(one) = one
                && let Ok(other) = Socket::connect(bed.at, Some(2), &[]).await
            {
                return (one, other);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, both)
        .await
        .context("their places are not free again")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_gateway_stops_everyone_is_told_and_nobody_is_cut() -> Result<()> {
    let bed = open(&[("GATEWAY_HUB__DRAIN_MS", "100")]).await?;
    let mut sockets = Vec::new();
    for person in 0..8 {
        let mut socket = Socket::connect(bed.at, Some(person), &[ROOM]).await?;
        socket.subscribe(ROOM).await?;
        sockets.push(socket);
    }
    let mut stream = events(bed.at, "lists", "").await?;
    event(&mut stream).await?;
    let Bed {
        mut gateway, hub, ..
    } = bed;
    let stopping = tokio::task::spawn_blocking(move || gateway.stop());
    for socket in &mut sockets {
        ensure!(socket.closed().await? == 1001);
    }
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest))
        .await
        .context("the stream does not end")??;
    ensure!(
        rest.contains("event: close\ndata: {\"code\":1001"),
        "{rest}"
    );
    ensure!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    drop(sockets);
    let ended = stopping.await??;
    ensure!(ended.success(), "{ended}");
    // The hub has been told as well.
    let health = async {
        while Client::new(hub.address())
            .get("/healthz", &[])
            .await?
            .json()["connections"]
            != 0
        {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, health)
        .await
        .context("the hub has connections")?
}
