//! What happens on the site, told as it happens: from a change through the API to a socket.

use super::client::{PATIENCE, Socket};
use super::contract::well;
use super::desk::load;
use super::shell::with_rooms;
use crate::client::Client;
use crate::origin::Origin;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_model::room::Room;
use pitchey_testkit::{Hub, TestDb, TestRedis, Worker};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::task::block_in_place;

/// The rooms are at a hub, told through Redis.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_nda_arrives_at_the_socket_of_who_asked() -> Result<()> {
    let database = TestDb::new().await;
    let redis = TestRedis::new().await;
    let (url, prefix) = (redis.url(), redis.prefix().to_owned());
    let origin = Origin::start_with(
        database.url(),
        &[
            ("PITCHEY_CACHE__URL", &url),
            ("PITCHEY_CACHE__PREFIX", &prefix),
            ("PITCHEY_CACHE__WARM", "false"),
            ("PITCHEY_REALTIME__TICKET_KEY", Hub::TICKET_KEY),
        ],
    )
    .await?;
    let hub = tokio::task::spawn_blocking(move || {
        Hub::start(&[("REDIS_URL", &url), ("HUB_REDIS__PREFIX", &prefix)])
    })
    .await??;
    well(hub.address()).await?;
    what_happens_is_told(&origin, hub.address()).await?;

    // A load gets its tickets like anybody.
    let (hubs, tickets) = (
        format!("http://{}", hub.address()),
        format!("http://{}", origin.address),
    );
    let more = [
        "--origin",
        &tickets,
        "--sockets",
        "5",
        "--rate",
        "20",
        "--duration",
        "1s",
    ];
    let (code, figures) = load(&hubs, &more).await?;
    ensure!(code == Some(0) && figures["deliveries"] == 100, "{figures}");
    origin.stop().await
}

/// The rooms are in a Durable Object, told by HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_nda_arrives_through_a_durable_object() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let database = TestDb::new().await;
    let worker =
        block_in_place(|| Worker::start(&with_rooms(Worker::program("http://127.0.0.1:1")?)))?;
    let url = format!("http://{}", worker.address());
    let origin = Origin::start_with(
        database.url(),
        &[
            ("PITCHEY_REALTIME__TICKET_KEY", Hub::TICKET_KEY),
            ("PITCHEY_REALTIME__PUBLISH_URL", &url),
            ("PITCHEY_REALTIME__PUBLISH_KEY", Hub::PUBLISH_SECRET),
        ],
    )
    .await?;
    what_happens_is_told(&origin, worker.address())
        .await
        .with_context(|| worker.log())?;
    origin.stop().await
}

/// From a change through the API to a socket, and from signing out to its end.
async fn what_happens_is_told(origin: &Origin, rooms: SocketAddr) -> Result<()> {
    let client: &Client = &origin.client;
    let creator = client.register("cleo", "creator").await?;
    let investor = client.register("ivo", "investor").await?;
    let content = json!({
        "title": "The Keeper", "format": "feature", "logline": "She stays.", "genres": ["drama"],
        "visibility": "nda", "full_synopsis": "She never left.",
    });
    let pitch = client
        .post(&creator, "/api/pitches", &content)
        .await?
        .expect(201)?;
    let pitch = pitch.header("location").to_owned();
    let step = async |thing: &str, action: &str| -> Result<()> {
        let read = client.read(&creator, thing).await?.expect(200)?;
        let headers = [("if-match", read.header("etag"))];
        let target = format!("{}/{action}", thing.trim_end_matches("/full"));
        let body = json!({});
        let asked = client.ask(&creator, Method::POST, &target, &headers, Some(&body));
        asked.await?.expect(200)?;
        Ok(())
    };
    step(&format!("{pitch}/full"), "publish").await?;
    let nda = client
        .post(&investor, &format!("{pitch}/ndas"), &json!({}))
        .await?
        .expect(201)?;
    let (place, id) = (nda.header("location").to_owned(), nda.json()["id"].clone());
    let room = format!("nda:{}", id.as_str().context("no id")?);

    // Who asked may enter; a stranger gets a ticket, but not for this room.
    let request = json!({"rooms": [room, "ops", "lists"]});
    let ticket = client
        .post(&investor, "/api/realtime/ticket", &request)
        .await?
        .expect(200)?
        .json();
    ensure!(ticket["rooms"] == json!([room, "lists"]), "{ticket}");
    let stranger = client.register("sid", "investor").await?;
    let theirs = client
        .post(&stranger, "/api/realtime/ticket", &request)
        .await?
        .expect(200)?
        .json();
    ensure!(theirs["rooms"] == json!(["lists"]), "{theirs}");
    let anonymous = client
        .send(Method::POST, "/api/realtime/ticket", &[], Some(&request))
        .await?;
    ensure!(anonymous.expect(200)?.json()["rooms"] == json!(["lists"]));

    let token = ticket["ticket"].as_str().context("no ticket")?;
    let mut socket = Socket::with_ticket(rooms, token).await?;
    let entered: Room = room.parse()?;
    socket.subscribe(entered).await?;
    step(&place, "approve").await?;
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            let update: Value = socket.updates(1).await?.remove(0);
            if update["data"]["status"] == "approved" {
                return anyhow::Ok(update);
            }
        }
    })
    .await
    .context("nobody is told")??;
    ensure!(
        told["data"]["kind"] == "nda_changed" && told["data"]["nda_id"] == id,
        "{told}"
    );

    // Signing out ends the connection.
    let out = client
        .post(&investor, "/api/auth/logout", &json!({}))
        .await?;
    ensure!(out.status < 300, "{}", out.summary());
    ensure!(socket.closed().await? == 4003);
    Ok(())
}
