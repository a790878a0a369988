//! What is told of a Durable Object alone: its sleep, its storage, and a module that fails.

use super::client::{PATIENCE, Socket, signed};
use super::contract::{event, events, publish, site_publishes};
use super::shell::with_rooms;
use crate::client::Client;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_model::NdaId;
use pitchey_model::room::Room;
use pitchey_testkit::{Hub, Worker};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::task::block_in_place;
use uuid::Uuid;

const ROOM: Room = Room::Nda(NdaId(Uuid::from_u128(1)));

/// So long workerd leaves an object in memory that has nothing to do, and a little.
const ASLEEP: Duration = Duration::from_secs(12);

/// An edge that fails on demand, and says how often an object has come to life.
fn with_faults() -> Result<Worker> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/edge/tests");
    let program = Worker::with_config(&directory.join("faults.capnp"))?;
    let program = with_rooms(program.env("WORKER_ORIGIN__URL", "http://127.0.0.1:1"));
    block_in_place(|| Worker::start(&program))
}

async fn born(at: SocketAddr) -> Result<u64> {
    let answer = Client::new(at).get("/test/born", &[]).await?.expect(200)?;
    answer.json().as_u64().context("no number")
}

async fn subscribe_since(socket: &mut Socket, epoch: &Value, offset: u64) -> Result<Value> {
    let since = json!({"epoch": epoch, "offset": offset});
    let frame = json!({"op": "subscribe", "room": ROOM, "since": since});
    Ok(socket.ask(frame).await?["ok"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn history_epochs_and_used_tickets_outlive_the_process() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let kept = tempfile::tempdir()?;
    let start = || {
        let program = with_rooms(Worker::program("http://127.0.0.1:1")?);
        block_in_place(|| Worker::start_keeping(&program, kept.path()))
    };
    let ticket = signed(Some(1), &[ROOM]);
    let mut worker = start()?;
    let mut ann = Socket::with_ticket(worker.address(), &ticket).await?;
    let epoch = ann.subscribe(ROOM).await?["ok"]["epoch"].clone();
    let list: Vec<Value> = (1..=5)
        .map(|n| json!({"room": ROOM, "data": n, "id": format!("event:{n}")}))
        .collect();
    publish(worker.address(), &json!(list)).await?;
    ann.updates(5).await?;
    block_in_place(|| worker.process().kill())?;

    let worker = start()?;
    let mut again = Socket::with_ticket(worker.address(), &ticket).await?;
    ensure!(again.closed().await? == 4001, "the ticket was used before");
    let mut bob = Socket::connect(worker.address(), Some(2), &[ROOM]).await?;
    let entered = subscribe_since(&mut bob, &epoch, 2).await?;
    ensure!(entered["recovered"] == true && entered["epoch"] == epoch);
    let missed = entered["updates"].as_array().into_iter().flatten();
    let missed: Vec<Value> = missed.map(|update| update["data"].clone()).collect();
    ensure!(missed == [3, 4, 5], "{entered}");
    // What was told once is not told again, and what follows has the next number.
    let told = publish(worker.address(), &list[4]).await?;
    ensure!(told == json!({"epoch": epoch, "offset": 5}), "{told}");
    site_publishes(worker.address(), &ROOM.to_string(), &json!(6)).await?;
    ensure!(bob.updates(1).await?[0]["offset"] == 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_outlive_the_sleep_of_the_object() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let worker = with_faults()?;
    let at = worker.address();
    let mut ann = Socket::connect(at, Some(1), &[ROOM]).await?;
    let mut bob = Socket::connect(at, Some(2), &[ROOM]).await?;
    let epoch = ann.subscribe(ROOM).await?["ok"]["epoch"].clone();
    ann.ask(json!({"op": "presence", "room": ROOM})).await?;
    bob.subscribe(ROOM).await?;
    ann.hear().await?;
    let once = born(at).await?;
    let mut offset = 0;
    // Nothing else happens here: when it falls asleep is for workerd to say.
    for _ in 0..4 {
        tokio::time::sleep(ASLEEP).await;
        // Answered without waking anybody.
        bob.say(&json!({"op": "ping"})).await?;
        ensure!(bob.hear().await? == super::client::Heard::Frame(json!({"op": "pong"})));
        let asleep = born(at).await? == once;
        ensure!(asleep || offset > 0, "a ping has woken the object");
        // Both are told, the one who asks as well, and nobody is told that somebody has come.
        let said = json!({"op": "publish", "room": ROOM, "data": offset});
        let answer = bob.ask(said).await?;
        offset += 1;
        ensure!(
            answer["ok"] == json!({"epoch": epoch, "offset": offset}),
            "{answer}"
        );
        let heard = ann.updates(1).await?;
        ensure!(heard[0]["offset"] == offset, "{heard:?}");
        if born(at).await? > once {
            break;
        }
    }
    ensure!(born(at).await? > once, "it did not sleep");
    // Presence and the end of a session are of those who were there before.
    let user = Uuid::from_u128(2);
    let ended = json!({"user_id": user, "session_id": user});
    site_publishes(at, "sessions", &ended).await?;
    ensure!(bob.closed().await? == 4003);
    let left = ann.hear().await?;
    let change = json!({"count": 1, "left": [user.to_string()]});
    let expected = json!({"batch": [{"room": ROOM, "presence": change}]});
    ensure!(left == super::client::Heard::Frame(expected), "{left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_fails_sends_all_elsewhere_and_loses_nothing() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let worker = with_faults()?;
    let at = worker.address();
    let mut ann = Socket::connect(at, Some(1), &[ROOM]).await?;
    let epoch = ann.subscribe(ROOM).await?["ok"]["epoch"].clone();
    site_publishes(at, &ROOM.to_string(), &json!(1)).await?;
    ann.updates(1).await?;
    let mut stream = events(at, "lists", "").await?;
    event(&mut stream).await?;

    let authorization = format!("Bearer {}", Hub::PUBLISH_SECRET);
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-test-fault", "/test/error"),
    ];
    let body = json!({"room": ROOM, "data": 2});
    let failed = Client::new(at)
        .send(Method::POST, "/publish", &headers, Some(&body))
        .await?
        .expect(503)?;
    ensure!(failed.header("retry-after") == "1");
    ensure!(ann.closed().await? == 1001);
    let mut rest = Vec::new();
    let cut = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    let _ = tokio::time::timeout(PATIENCE, cut)
        .await
        .context("the stream does not end")?;

    site_publishes(at, &ROOM.to_string(), &json!(3)).await?;
    let mut ann = Socket::connect(at, Some(1), &[ROOM]).await?;
    let entered = subscribe_since(&mut ann, &epoch, 1).await?;
    ensure!(entered["recovered"] == true, "{entered}");
    ensure!(entered["updates"][0]["data"] == 3, "{entered}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_rooms_passes_on_to_a_hub() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let hub = block_in_place(|| Hub::start(&[]))?;
    let program = Worker::program("http://127.0.0.1:1")?
        .env("WORKER_REALTIME__URL", format!("http://{}", hub.address()));
    let worker = block_in_place(|| Worker::start(&program))?;
    let at = worker.address();
    let mut ann = Socket::connect(at, Some(1), &[ROOM]).await?;
    ann.subscribe(ROOM).await?;
    let mut stream = events(at, "lists", "").await?;
    event(&mut stream).await?;
    site_publishes(hub.address(), &ROOM.to_string(), &json!(1)).await?;
    site_publishes(hub.address(), "lists", &json!(2)).await?;
    ensure!(ann.updates(1).await?[0]["data"] == 1);
    ensure!(event(&mut stream).await?.contains("\"data\":2"));
    let mut forged = Socket::with_ticket(at, "forged").await?;
    ensure!(forged.closed().await? == 4001);
    let client = Client::new(at);
    client.get("/ws", &[]).await?.expect(426)?;
    let published = client.send(Method::POST, "/publish", &[], None).await?;
    ensure!(published.status == 404, "{}", published.status);
    drop(hub);
    let away = client.get("/sse?rooms=lists", &[]).await?.expect(503)?;
    ensure!(away.header("retry-after") == "1");
    Ok(())
}
