//! Those who are not let in, and those who break rules: the right code each.

use super::client::{Heard, Socket, keys, request, signed, ticket};
use super::contract::site_publishes;
use super::shell::{Shell, on_both_shells};
use anyhow::{Context as _, Result, ensure};
use pitchey_model::room::Room;
use pitchey_model::ticket::TicketKeys;
use pitchey_model::{NdaId, UserId};
use pitchey_testkit::Hub;
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

async fn start(environment: &'static [(&str, &str)]) -> Result<Hub> {
    tokio::task::spawn_blocking(move || Hub::start(environment)).await?
}

/// The status of the answer to a plain request.
async fn status(hub: SocketAddr, target: &str, headers: &str) -> Result<String> {
    let mut stream = TcpStream::connect(hub).await?;
    let request =
        format!("GET {target} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split(' ').nth(1).context("no status")?.to_owned())
}

on_both_shells!(
    who_may_not_connect_is_told_why,
    rooms_are_entered_by_right_alone,
    who_breaks_the_protocol_is_closed_with_the_code_for_it,
    who_closes_is_answered_with_the_same_code,
);

async fn who_may_not_connect_is_told_why(shell: Shell) -> Result<()> {
    let rooms = shell.start(&[
        ("ALLOWED_ORIGINS", r#"["https://pitchey.example"]"#),
        ("MAX_PER_USER", "2"),
    ])?;
    let at = rooms.address();
    ensure!(status(at, "/ws", "").await? == "426");
    ensure!(status(at, "/sse", "").await? == "400");
    ensure!(status(at, "/sse?rooms=lists", "").await? == "401");
    ensure!(status(at, "/sse?rooms=lists", "origin: https://evil.example\r\n").await? == "403");
    let client = crate::client::Client::new(at);
    let posted = client.send(http::Method::POST, "/ws", &[], None).await?;
    ensure!(posted.status == 405, "{}", posted.status);

    let from = |origin: &'static str| async move {
        let mut request = request(at, &format!("pitchey.v1, ticket.{}", signed(None, &[])));
        request.headers_mut().insert("origin", origin.parse()?);
        match Socket::open(request, at).await {
            Ok(_) => anyhow::Ok(101),
            Err(error) => match error.downcast::<Error>()? {
                Error::Http(answer) => Ok(answer.status().as_u16()),
                other => Err(other.into()),
            },
        }
    };
    ensure!(from("https://pitchey.example").await? == 101);
    ensure!(from("https://evil.example").await? == 403);
    ensure!(from("null").await? == 403);

    // Tickets: none, forged, expired, used before.
    let mut expired = ticket(Some(1), &[]);
    expired.expires_at -= 61;
    let other = TicketKeys::new(&[7; 32], None).expect("long enough");
    let used = signed(Some(1), &[]);
    Socket::with_ticket(at, &used)
        .await?
        .subscribe(Room::Lists)
        .await?;
    for (name, protocols) in [
        ("none", "pitchey.v1".to_owned()),
        ("nonsense", "pitchey.v1, ticket.x".to_owned()),
        (
            "forged",
            format!("pitchey.v1, ticket.{}", other.sign(&ticket(Some(1), &[]))),
        ),
        (
            "expired",
            format!("pitchey.v1, ticket.{}", keys().sign(&expired)),
        ),
        ("used", format!("pitchey.v1, ticket.{used}")),
    ] {
        let mut socket = Socket::open(request(at, &protocols), at)
            .await
            .context(name)?;
        ensure!(socket.closed().await.context(name)? == 4001, "{name}");
    }

    let mut places = Vec::new();
    for _ in 0..2 {
        places.push(Socket::connect(at, Some(5), &[]).await?);
    }
    let full = Socket::connect(at, Some(5), &[])
        .await
        .err()
        .context("a third got in")?;
    ensure!(full.to_string().contains("429"), "{full}");
    Ok(())
}

async fn rooms_are_entered_by_right_alone(shell: Shell) -> Result<()> {
    let rooms = shell.start(&[])?;
    let id = Uuid::from_u128(9);
    let mine = Room::Nda(NdaId(id));
    let mut socket = Socket::connect(rooms.address(), Some(9), &[mine]).await?;
    for (room, may) in [
        (mine, true),
        (Room::Nda(NdaId(Uuid::from_u128(10))), false),
        (Room::User(UserId(id)), true),
        (Room::User(UserId(Uuid::from_u128(10))), false),
        (Room::Ops, false),
        (Room::Lists, true),
    ] {
        let answer = socket.subscribe(room).await?;
        let refused = answer["error"]["code"] == "forbidden";
        ensure!(refused != may, "{room}: {answer}");
    }
    let answer = socket
        .ask(json!({"op": "subscribe", "room": "sessions"}))
        .await?;
    ensure!(answer["error"]["code"] == "forbidden", "{answer}");
    let answer = socket
        .ask(json!({"op": "publish", "room": "lists", "data": 1}))
        .await?;
    ensure!(answer["error"]["code"] == "forbidden", "{answer}");
    Ok(())
}

async fn who_breaks_the_protocol_is_closed_with_the_code_for_it(shell: Shell) -> Result<()> {
    let rooms = shell.start(&[])?;
    let at = rooms.address();
    let connect = || Socket::connect(at, Some(1), &[]);

    let mut socket = connect().await?;
    socket.send(Message::text("hello")).await?;
    ensure!(socket.closed().await? == 1002, "no JSON");

    let mut socket = connect().await?;
    socket.send(Message::binary(vec![1_u8])).await?;
    ensure!(socket.closed().await? == 1003, "binary");

    let mut socket = connect().await?;
    socket
        .send(Message::text(" ".repeat(64 * 1024 + 1)))
        .await?;
    ensure!(socket.closed().await? == 1009, "too big");

    let mut socket = connect().await?;
    for _ in 0..400 {
        // It may be closed already.
        let frame = json!({"id": 1, "op": "unsubscribe", "room": "lists"});
        if socket.say(&frame).await.is_err() {
            break;
        }
    }
    ensure!(socket.closed().await? == 4029, "a flood");
    Ok(())
}

async fn who_closes_is_answered_with_the_same_code(shell: Shell) -> Result<()> {
    let rooms = shell.start(&[])?;
    for code in [CloseCode::Normal, CloseCode::Library(4999)] {
        let mut socket = Socket::connect(rooms.address(), Some(1), &[]).await?;
        let reason = "".into();
        let goodbye = CloseFrame { code, reason };
        socket.send(Message::Close(Some(goodbye))).await?;
        ensure!(socket.closed().await? == u16::from(code));
        ensure!(socket.hear().await? == Heard::Gone);
    }
    Ok(())
}

/// What workerd makes of such frames is its own.
#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_rfc_6455_is_closed_with_the_code_for_it() -> Result<()> {
    let hub = start(&[]).await?;
    let at = hub.address();
    ensure!(status(at, "/nothing", "").await? == "404");
    let connect = || Socket::connect(at, Some(1), &[]);

    let mut socket = connect().await?;
    // A text frame, masked with zeros, of one byte that is not UTF-8.
    socket
        .raw()
        .write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff])
        .await?;
    ensure!(socket.closed().await? == 1007, "not UTF-8");

    let mut socket = connect().await?;
    // A reserved opcode.
    socket.raw().write_all(&[0x83, 0x80, 0, 0, 0, 0]).await?;
    ensure!(socket.closed().await? == 1002, "RFC 6455");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_too_slowly_is_closed_and_nobody_waits_for_them() -> Result<()> {
    // It is not to be cut for what it takes on a busy machine to fill its mailbox.
    let hub = start(&[("HUB_HTTP__WRITE_TIMEOUT_MS", "60000")]).await?;
    let at = hub.address();
    let mut slow = Socket::connect(at, None, &[]).await?;
    let mut quick = Socket::connect(at, None, &[]).await?;
    slow.subscribe(Room::Lists).await?;
    quick.subscribe(Room::Lists).await?;
    // More than the kernel's buffers on both sides hold beside the mebibyte of the hub.
    let data = json!("x".repeat(60 * 1024));
    for n in 1..=400 {
        site_publishes(at, "lists", &data).await?;
        let heard = quick.updates(1).await?;
        ensure!(heard[0]["offset"] == n);
    }
    ensure!(slow.closed().await? == 4008);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_swept() -> Result<()> {
    let hub = start(&[
        ("HUB_ROOMS__STALE_MS", "1500"),
        ("HUB_ROOMS__SWEEP_MS", "200"),
        ("HUB_ROOMS__PING_S", "1"),
    ])
    .await?;
    let mut alive = Socket::connect(hub.address(), Some(1), &[]).await?;
    // It reads nothing, so it answers no ping.
    let silent = Socket::connect(hub.address(), Some(2), &[]).await?;
    let metrics = crate::client::Client::new(hub.metrics_address());
    let mut swept = false;
    for _ in 0..100 {
        // Hearing answers pings.
        let heard = tokio::time::timeout(std::time::Duration::from_millis(200), alive.hear()).await;
        ensure!(heard.is_err(), "{heard:?}");
        let figures = String::from_utf8(metrics.get("/metrics", &[]).await?.body)?;
        swept = figures.contains("hub_closed_total{reason=\"stale\"} 1");
        if swept {
            break;
        }
    }
    ensure!(swept, "it is still there");
    drop(silent);
    let answer = alive.subscribe(Room::Lists).await?;
    ensure!(
        answer["ok"].is_object(),
        "who answers pings stays: {answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_goes_away_tells_everyone_and_loses_nothing() -> Result<()> {
    let mut hub = start(&[]).await?;
    let at = hub.address();
    let mut sockets = Vec::new();
    for _ in 0..50 {
        let mut socket = Socket::connect(at, None, &[]).await?;
        socket.subscribe(Room::Lists).await?;
        sockets.push(socket);
    }
    for n in 0..10 {
        site_publishes(at, "lists", &json!(n)).await?;
    }
    let stopping = tokio::task::spawn_blocking(move || hub.stop());
    for socket in &mut sockets {
        let updates = socket.updates(10).await?;
        ensure!(updates.len() == 10);
        match socket.hear().await? {
            Heard::Frame(frame) => ensure!(frame["op"] == "drain", "{frame}"),
            other => anyhow::bail!("{other:?}"),
        }
        ensure!(socket.hear().await? == Heard::Closed(1001));
    }
    ensure!(stopping.await??.success());
    Ok(())
}
