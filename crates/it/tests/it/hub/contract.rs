//! What rooms do, at a hub that is alone, at two over Redis, and in a Durable Object: written once, run
//! against each.

use super::client::{PATIENCE, Socket, signed};
use super::shell::{Shell, on_both_shells};
use crate::client::Client;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_model::NdaId;
use pitchey_model::room::Room;
use pitchey_testkit::{Hub, TestRedis};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

on_both_shells!(the_contract_is_kept,);

async fn the_contract_is_kept(shell: Shell) -> Result<()> {
    let rooms = shell.start(&[])?;
    contract([rooms.address(), rooms.address()])
        .await
        .with_context(|| rooms.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_over_redis_keep_the_contract() -> Result<()> {
    let redis = TestRedis::new().await;
    let environment = [
        ("REDIS_URL", redis.url()),
        ("HUB_REDIS__PREFIX", redis.prefix().to_owned()),
    ];
    let start = move || {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        anyhow::Ok([Hub::start(&environment)?, Hub::start(&environment)?])
    };
    let hubs = tokio::task::spawn_blocking(start).await??;
    for hub in &hubs {
        well(hub.address()).await?;
    }
    let outcome = contract([hubs[0].address(), hubs[1].address()]).await;
    outcome.with_context(|| format!("{}\n{}", hubs[0].log(), hubs[1].log()))
}

/// Waits until a hub has its log.
pub(crate) async fn well(hub: SocketAddr) -> Result<()> {
    let waiting = async {
        while Client::new(hub).get("/healthz", &[]).await?.json()["status"] != "ok" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .context("the hub has no log")?
}

fn nda(n: u128) -> Room {
    Room::Nda(NdaId(Uuid::from_u128(n)))
}

async fn contract(hubs: [SocketAddr; 2]) -> Result<()> {
    what_one_says_the_others_hear_in_one_order(hubs)
        .await
        .context("one order")?;
    who_was_away_recovers_at_the_other_hub(hubs)
        .await
        .context("recovery")?;
    who_leaves_hears_no_more(hubs).await.context("leaving")?;
    presence_is_of_both_hubs(hubs).await.context("presence")?;
    the_site_publishes_and_events_are_resumed(hubs)
        .await
        .context("events")?;
    what_has_an_id_is_published_once(hubs)
        .await
        .context("ids")?;
    a_ticket_lets_one_connect_once(hubs)
        .await
        .context("tickets")?;
    an_ended_session_ends_its_connections(hubs)
        .await
        .context("sessions")
}

async fn what_one_says_the_others_hear_in_one_order(hubs: [SocketAddr; 2]) -> Result<()> {
    let room = nda(1);
    let mut ann = Socket::connect(hubs[0], Some(1), &[room]).await?;
    let mut bob = Socket::connect(hubs[1], Some(2), &[room]).await?;
    let entered = ann.subscribe(room).await?;
    ensure!(
        entered["ok"] == bob.subscribe(room).await?["ok"],
        "both stand at the same place"
    );
    for n in 0..20 {
        let frame = json!({"op": "publish", "room": room, "data": n, "id": 100 + n});
        ann.say(&frame).await?;
        bob.say(&frame).await?;
    }
    let heard = ann.updates(40).await?;
    ensure!(heard == bob.updates(40).await?, "one order for all");
    let offsets: Vec<_> = heard
        .iter()
        .filter_map(|update| update["offset"].as_u64())
        .collect();
    ensure!(offsets == (1..=40).collect::<Vec<_>>(), "{offsets:?}");
    Ok(())
}

async fn who_was_away_recovers_at_the_other_hub(hubs: [SocketAddr; 2]) -> Result<()> {
    let room = nda(2);
    let mut ann = Socket::connect(hubs[0], Some(1), &[room]).await?;
    let epoch = ann.subscribe(room).await?["ok"]["epoch"].clone();
    for n in 1..=5 {
        let answer = ann
            .ask(json!({"op": "publish", "room": room, "data": n}))
            .await?;
        ensure!(
            answer["ok"] == json!({"epoch": epoch, "offset": n}),
            "{answer}"
        );
    }
    drop(ann);
    for (since, recovered, missed) in [
        (json!({"epoch": epoch, "offset": 3}), true, vec![4, 5]),
        (json!({"epoch": epoch, "offset": 5}), true, vec![]),
        (json!({"epoch": epoch, "offset": 6}), false, vec![]),
        (json!({"epoch": "another", "offset": 3}), false, vec![]),
    ] {
        let mut bob = Socket::connect(hubs[1], Some(2), &[room]).await?;
        let answer = bob
            .ask(json!({"op": "subscribe", "room": room, "since": since}))
            .await?;
        let updates = answer["ok"]["updates"]
            .as_array()
            .context("no updates")?
            .iter();
        let data: Vec<Value> = updates.map(|update| update["data"].clone()).collect();
        ensure!(
            answer["ok"]["recovered"] == recovered && data == missed,
            "{since}: {answer}"
        );
    }
    Ok(())
}

async fn who_leaves_hears_no_more(hubs: [SocketAddr; 2]) -> Result<()> {
    let room = nda(3);
    let mut ann = Socket::connect(hubs[0], Some(1), &[room]).await?;
    let mut bob = Socket::connect(hubs[1], Some(2), &[room]).await?;
    ann.subscribe(room).await?;
    bob.subscribe(room).await?;
    let left = bob.ask(json!({"op": "unsubscribe", "room": room})).await?;
    ensure!(left["ok"] == json!({}), "{left}");
    ann.say(&json!({"id": 9, "op": "publish", "room": room, "data": 1}))
        .await?;
    ann.updates(1).await?;
    let again = json!({"op": "subscribe", "room": room});
    let (answer, before) = bob.ask_hearing(again).await?;
    ensure!(
        before.is_empty() && answer["ok"]["offset"] == 1,
        "{before:?}, {answer}"
    );
    Ok(())
}

async fn presence_is_of_both_hubs(hubs: [SocketAddr; 2]) -> Result<()> {
    let room = nda(4);
    let mut ann = Socket::connect(hubs[0], Some(1), &[room]).await?;
    ann.subscribe(room).await?;
    let present = ann.ask(json!({"op": "presence", "room": room})).await?;
    let name = |n| Uuid::from_u128(n).to_string();
    ensure!(
        present["ok"] == json!({"count": 1, "members": [name(1)]}),
        "{present}"
    );
    let mut bob = Socket::connect(hubs[1], Some(2), &[room]).await?;
    bob.subscribe(room).await?;
    let joined = ann.hear().await?;
    let change = json!({"count": 2, "joined": [name(2)]});
    let expected = json!({"batch": [{"room": room, "presence": change}]});
    ensure!(
        joined == super::client::Heard::Frame(expected),
        "{joined:?}"
    );
    Ok(())
}

async fn the_site_publishes_and_events_are_resumed(hubs: [SocketAddr; 2]) -> Result<()> {
    let mut events = events(hubs[1], "lists", "").await?;
    let entered = event(&mut events).await?;
    ensure!(entered.contains("\"recovered\":false"), "{entered}");
    for n in 1..=2 {
        site_publishes(hubs[0], "lists", &json!({"n": n})).await?;
        let heard = event(&mut events).await?;
        ensure!(
            heard.contains(&format!("\"data\":{{\"n\":{n}}}")),
            "{heard}"
        );
        if n == 1 {
            let id = heard.lines().find_map(|line| line.strip_prefix("id: "));
            let id = id.context("no id")?.to_owned();
            drop(events);
            site_publishes(hubs[0], "lists", &json!({"n": "between"})).await?;
            events = self::events(hubs[1], "lists", &id).await?;
            let resumed = event(&mut events).await?;
            ensure!(resumed.contains("\"recovered\":true"), "{resumed}");
            ensure!(
                resumed.contains("between") && !resumed.contains("{\"n\":1}"),
                "{resumed}"
            );
        }
    }
    Ok(())
}

async fn an_ended_session_ends_its_connections(hubs: [SocketAddr; 2]) -> Result<()> {
    let mut ended = Socket::connect(hubs[1], Some(7), &[]).await?;
    let mut other = Socket::connect(hubs[1], Some(8), &[]).await?;
    let user = Uuid::from_u128(7);
    let data = json!({"user_id": user, "session_id": user});
    site_publishes(hubs[0], "sessions", &data).await?;
    ensure!(ended.closed().await? == 4003);
    other.subscribe(Room::Lists).await?;
    Ok(())
}

async fn what_has_an_id_is_published_once(hubs: [SocketAddr; 2]) -> Result<()> {
    let room = nda(5);
    let mut ann = Socket::connect(hubs[0], Some(1), &[room]).await?;
    ann.subscribe(room).await?;
    let one = |data: &str, id: &str| json!({"room": room, "data": data, "id": id});
    let first = publish(hubs[0], &one("a", "event:1")).await?;
    ensure!(first["offset"] == 1, "{first}");
    // It is delivered again, with others behind it, because nobody knows whether it was.
    let list = json!([
        one("a", "event:1"),
        one("b", "event:2"),
        one("c", "event:3")
    ]);
    let again = publish(hubs[1], &list).await?;
    ensure!(again[0] == first, "{again}");
    let offsets: Vec<_> = again
        .as_array()
        .into_iter()
        .flatten()
        .map(|position| position["offset"].clone())
        .collect();
    ensure!(offsets == [1, 2, 3], "{again}");
    let heard = ann.updates(3).await?;
    let heard: Vec<_> = heard.iter().map(|update| update["data"].clone()).collect();
    ensure!(heard == ["a", "b", "c"], "{heard:?}");
    Ok(())
}

async fn a_ticket_lets_one_connect_once(hubs: [SocketAddr; 2]) -> Result<()> {
    let ticket = signed(Some(6), &[]);
    let mut first = Socket::with_ticket(hubs[0], &ticket).await?;
    first.subscribe(Room::Lists).await?;
    for hub in hubs {
        let mut again = Socket::with_ticket(hub, &ticket).await?;
        ensure!(again.closed().await? == 4001, "it was used before");
    }
    Ok(())
}

/// Publishes by the endpoint of the site.
pub(crate) async fn site_publishes(hub: SocketAddr, room: &str, data: &Value) -> Result<()> {
    publish(hub, &json!({"room": room, "data": data})).await?;
    Ok(())
}

/// Asks that endpoint; the positions that it answers with.
pub(crate) async fn publish(hub: SocketAddr, body: &Value) -> Result<Value> {
    let authorization = format!("Bearer {}", Hub::PUBLISH_SECRET);
    let headers = [("authorization", authorization.as_str())];
    let client = Client::new(hub);
    let asking = client.send(Method::POST, "/publish", &headers, Some(body));
    let answer = tokio::time::timeout(PATIENCE, asking).await??;
    Ok(answer.expect(200)?.json())
}

pub(crate) async fn events(hub: SocketAddr, rooms: &str, last: &str) -> Result<TcpStream> {
    let ticket = signed(None, &[]);
    let last = if last.is_empty() {
        String::new()
    } else {
        format!("last-event-id: {last}\r\n")
    };
    let request = format!(
        "GET /sse?rooms={rooms} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {ticket}\r\n{last}\r\n"
    );
    let mut stream = TcpStream::connect(hub).await?;
    stream.write_all(request.as_bytes()).await?;
    let head = until(&mut stream, "\r\n\r\n").await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let fields = head.to_ascii_lowercase();
    ensure!(fields.contains("content-type: text/event-stream"), "{head}");
    Ok(stream)
}

/// The next event; the chunks around it are left in. Comments, which come now and then to keep the stream
/// alive, are none.
pub(crate) async fn event(stream: &mut TcpStream) -> Result<String> {
    let with_data = async {
        loop {
            let text = until(stream, "\n\n").await?;
            if text.lines().any(|line| line.starts_with("data:")) {
                return anyhow::Ok(text);
            }
        }
    };
    tokio::time::timeout(PATIENCE, with_data)
        .await
        .context("comments alone")?
}

async fn until(stream: &mut TcpStream, end: &str) -> Result<String> {
    let reading = async {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.push(stream.read_u8().await?);
        }
        Ok(String::from_utf8(text)?)
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .context("no event")?
}
