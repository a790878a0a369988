//! What operators see of a hub and do to it, by `pitchey hub`; and its load, against hubs and against a liar.

use super::client::{PATIENCE, Socket};
use super::contract::well;
use crate::client::Client;
use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http::Method;
use pitchey_model::room::Room;
use pitchey_testkit::native::Output;
use pitchey_testkit::{Hub, Program, TestRedis};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use uuid::Uuid;

fn program(arguments: &[&str]) -> Program {
    Program::pitchey()
        .args([&["hub"], arguments].concat())
        .env("HUB_TICKETS__KEY", Hub::TICKET_KEY)
        .env("HUB_PUBLISH__SECRET", Hub::PUBLISH_SECRET)
}

async fn run(program: Program) -> Result<Output> {
    tokio::task::spawn_blocking(move || program.run(PATIENCE * 3)).await?
}

/// `pitchey hub`, asking a hub; the JSON that it prints.
async fn asked(hub: &Hub, arguments: &[&str]) -> Result<Value> {
    let door = format!("http://{}", hub.metrics_address());
    let output = run(program(&[arguments, &["--hub", &door, "--json"]].concat())).await?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    Ok(serde_json::from_str(&output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_and_steer_a_hub() -> Result<()> {
    let mut hub = tokio::task::spawn_blocking(|| Hub::start(&[])).await??;
    let at = hub.address();
    let mut ann = Socket::connect(at, Some(1), &[]).await?;
    let mut bob = Socket::connect(at, Some(2), &[]).await?;
    let mut nobody = Socket::connect(at, None, &[]).await?;
    ann.subscribe(Room::Lists).await?;
    bob.subscribe(Room::Lists).await?;

    let mut status = asked(&hub, &["status"]).await?;
    status["version"].take();
    let expected = json!({
        "version": null, "status": "ok", "connections": 3, "rooms": 1, "accounts": 2, "log": "memory",
    });
    assert_eq!(status, expected);

    let position = asked(&hub, &["publish", "lists", r#"{"n": 1}"#]).await?;
    assert_eq!(position["offset"], 1);
    for socket in [&mut ann, &mut bob] {
        assert_eq!(socket.updates(1).await?[0]["data"], json!({"n": 1}));
    }
    let rooms = asked(&hub, &["rooms", "--limit", "10"]).await?;
    let epoch = &position["epoch"];
    let expected = json!([{"room": "lists", "connections": 2, "epoch": epoch, "offset": 1}]);
    assert_eq!(rooms, expected);

    let bobs = Uuid::from_u128(2).to_string();
    let others = Uuid::from_u128(3).to_string();
    let kicked = asked(&hub, &["kick", &bobs, "--session", &others]).await?;
    assert_eq!(kicked, json!({"connections": 0}), "it is none of his");
    let kicked = asked(&hub, &["kick", &bobs]).await?;
    assert_eq!(kicked, json!({"connections": 1}));
    assert_eq!(bob.closed().await?, 4003);

    let door = format!("http://{}", hub.metrics_address());
    let draining = tokio::spawn(run(program(&["drain", "--wait", "--hub", &door])));
    assert_eq!(ann.closed().await?, 1001);
    assert_eq!(nobody.closed().await?, 1001);
    let output = draining.await??;
    assert_eq!(
        (output.status.code(), output.stdout.as_str()),
        (Some(0), "2 connections sent elsewhere\n"),
        "{output:?}"
    );
    let ended = tokio::task::spawn_blocking(move || hub.process().wait(PATIENCE)).await??;
    ensure!(ended.success(), "a drain is an orderly end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inner_side_opens_to_the_secret_alone() -> Result<()> {
    let hub = tokio::task::spawn_blocking(|| Hub::start(&[])).await??;
    let closed =
        tokio::task::spawn_blocking(|| Hub::start(&[("HUB_PUBLISH__SECRET", "")])).await??;
    for (method, path) in [
        (Method::GET, "/admin/status"),
        (Method::GET, "/admin/rooms"),
        (Method::POST, "/admin/kick"),
        (Method::POST, "/admin/drain"),
        (Method::POST, "/publish"),
    ] {
        let wrong = [(
            "authorization",
            "Bearer another secret, as long as the right one is",
        )];
        for headers in [&[][..], &wrong[..]] {
            let inner = Client::new(hub.metrics_address());
            let answer = inner.send(method.clone(), path, headers, None).await?;
            assert_eq!(answer.status, 401, "{path}");
        }
        let without = Client::new(closed.metrics_address());
        let secret = format!("Bearer {}", Hub::PUBLISH_SECRET);
        let headers = [("authorization", secret.as_str())];
        let answer = without.send(method.clone(), path, &headers, None).await?;
        assert_eq!(answer.status, 404, "{path}");
        if path != "/publish" {
            let outside = Client::new(hub.address());
            let answer = outside.send(method, path, &headers, None).await?;
            assert_eq!(answer.status, 404, "{path} is not for the public");
        }
    }
    assert_eq!(asked(&hub, &["status"]).await?["status"], "ok");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_told_in_a_line() -> Result<()> {
    let hub = tokio::task::spawn_blocking(|| Hub::start(&[])).await??;
    let door = format!("http://{}", hub.metrics_address());
    let outside = format!("http://{}", hub.address());
    let cases: [(&[&str], String); 6] = [
        (
            &["status", "--hub", &door, "--publish-secret", "wrong"],
            format!("{door} takes another secret"),
        ),
        (
            &["status", "--hub", &outside],
            format!(
                "{outside} has no such door: it is no hub's inner side, or the hub was given no secret"
            ),
        ),
        (
            &["publish", "--hub", &door, "Lists", "1"],
            format!("{door} refuses (400): is no name of a room at line 1 column 25"),
        ),
        (
            &["publish", "--hub", &door, "lists", "{"],
            "the data is no JSON: EOF while parsing an object at line 1 column 1".to_owned(),
        ),
        (
            &["load", "--hub", "http://192.0.2.1:8789"],
            "http://192.0.2.1:8789 is not on this machine; --remote allows that".to_owned(),
        ),
        (
            &["load", "--ticket-key", "short"],
            "--ticket-key: a key for tickets has 32 bytes at least".to_owned(),
        ),
    ];
    for (arguments, error) in cases {
        let output = run(program(arguments)).await?;
        assert_eq!(
            output.stderr,
            format!("pitchey: {error}\n"),
            "{arguments:?}"
        );
        assert_eq!(
            (output.status.code(), output.stdout.as_str()),
            (Some(1), "")
        );
    }
    let bare = Program::pitchey();
    let output = run(bare.args(["hub", "load"])).await?;
    assert_eq!(
        output.stderr,
        "pitchey: nothing can be published: set HUB_PUBLISH__SECRET or give --publish-secret; \
         --rate 0 publishes nothing\n"
    );
    let bare = Program::pitchey();
    let output = run(bare.args(["hub", "load", "--rate", "0"])).await?;
    assert_eq!(
        output.stderr,
        "pitchey: no tickets: set HUB_TICKETS__KEY, or give --ticket-key or --origin\n"
    );
    Ok(())
}

/// Runs a load and gives back its exit code and figures.
pub(crate) async fn load(hubs: &str, more: &[&str]) -> Result<(Option<i32>, Value)> {
    let output = run(program(
        &[&["load", "--json", "--hub", hubs], more].concat(),
    ))
    .await?;
    let figures = serde_json::from_str(&output.stdout);
    Ok((
        output.status.code(),
        figures.with_context(|| format!("{output:?}"))?,
    ))
}

/// Each update comes to each client of its room, by whichever way.
fn everyone_has_everything(figures: &Value, clients_of_a_room: u64) -> Result<()> {
    let number = |name: &str| figures[name].as_u64().with_context(|| name.to_owned());
    let came = number("deliveries")? + number("recovered_updates")?;
    ensure!(
        number("published")? > 0 && came == number("published")? * clients_of_a_room,
        "{figures}"
    );
    for promised in [
        "twice",
        "out_of_order",
        "missed",
        "behind",
        "publish_failed",
        "unrecovered",
    ] {
        ensure!(number(promised)? == 0, "{promised}: {figures}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_with_a_storm_finds_the_promise_kept() -> Result<()> {
    let hub = tokio::task::spawn_blocking(|| Hub::start(&[])).await??;
    let more = [
        "--sockets",
        "40",
        "--rooms",
        "4",
        "--rate",
        "200",
        "--duration",
        "2s",
        "--storm",
        "20",
    ];
    let (code, figures) = load(&format!("http://{}", hub.address()), &more).await?;
    ensure!(code == Some(0), "{figures}");
    everyone_has_everything(&figures, 10)?;
    assert_eq!(figures["entered"], 40);
    assert_eq!(
        (&figures["reconnects"], &figures["recovered"]),
        (&json!(20), &json!(20))
    );
    assert_eq!(figures["storm"]["count"], 20);
    assert_eq!(figures["connect"]["count"], 60);
    assert_eq!(figures["latency"]["count"], figures["deliveries"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_loses_nothing() -> Result<()> {
    let redis = TestRedis::new().await;
    let (url, prefix) = (redis.url(), redis.prefix().to_owned());
    let start = move || {
        let environment = [("REDIS_URL", url.as_str()), ("HUB_REDIS__PREFIX", &prefix)];
        anyhow::Ok([Hub::start(&environment)?, Hub::start(&environment)?])
    };
    let hubs = tokio::task::spawn_blocking(start).await??;
    for hub in &hubs {
        well(hub.address()).await?;
    }
    let addresses = format!("http://{},http://{}", hubs[0].address(), hubs[1].address());
    let more = [
        "--sockets",
        "20",
        "--rooms",
        "2",
        "--rate",
        "100",
        "--duration",
        "4s",
    ];
    let loading = tokio::spawn(async move { load(&addresses, &more).await });
    while asked(&hubs[0], &["status"]).await?["connections"] != 10 {
        ensure!(!loading.is_finished(), "{:?}", loading.await?);
    }
    asked(&hubs[0], &["drain"]).await?;
    let (code, figures) = loading.await??;
    ensure!(code == Some(0), "{figures}");
    everyone_has_everything(&figures, 10)?;
    assert_eq!(figures["closed"], json!({"1001": 10}), "{figures}");
    assert_eq!(figures["recovered"], 10);
    Ok(())
}

/// Tells updates twice, leaves one out, and brings one late.
async fn liar(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        #[expect(clippy::result_large_err, reason = "the callback's type is given")]
        let choose = |_: &Request, mut answer: Response| {
            let chosen = "pitchey.v1".parse().expect("a header value");
            answer
                .headers_mut()
                .insert("sec-websocket-protocol", chosen);
            Ok(answer)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, choose).await?;
        let asked = socket.next().await.context("nothing is asked")??;
        let asked: Value = serde_json::from_str(asked.to_text()?)?;
        let update =
            |offset: u64| json!({"room": asked["room"], "offset": offset, "at": 0, "data": {}});
        let entered = json!({"epoch": "e", "offset": 0, "recovered": false, "updates": []});
        for frame in [
            json!({"id": asked["id"], "ok": entered}),
            json!({"batch": [update(1), update(1)]}),
            json!({"batch": [update(4), update(3)]}),
        ] {
            socket.send(Message::text(frame.to_string())).await?;
        }
        // Until the client goes.
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_the_promise_is_found_out() -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let lying = tokio::spawn(liar(listener));
    let more = [
        "--sockets",
        "1",
        "--rooms",
        "1",
        "--rate",
        "0",
        "--duration",
        "1s",
    ];
    let (code, figures) = load(&address, &more).await?;
    lying.abort();
    ensure!(code == Some(1), "{figures}");
    let broken = ["twice", "out_of_order", "missed"].map(|name| figures[name].as_u64());
    assert_eq!(broken, [Some(1); 3], "{figures}");
    Ok(())
}
