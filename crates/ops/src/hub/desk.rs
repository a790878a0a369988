//! `pitchey hub status`, `rooms`, `kick`, `publish` and `drain`: one hub, asked at its inner side.

use super::address::Address;
use super::ask::Asker;
use crate::figures::grouped;
use crate::output::Output;
use crate::table::{Table, fields};
use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode};
use pitchey_runtime::{Clock as _, SystemRuntime, Timer as _};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;
use uuid::Uuid;

/// The largest publication, with its address a little less.
const MAX_DATA: usize = 60 * 1024;

/// How long a hub may take to go away: longer than any drain may.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(250);

/// Which hub is asked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Door {
    /// The hub's inner side, where its figures are.
    #[arg(
        long,
        env = "PITCHEY_HUB",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:9789"
    )]
    hub: Address,
    /// The secret that the hub takes publications with.
    #[arg(
        long,
        env = "HUB_PUBLISH__SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    publish_secret: Option<SecretString>,
}

/// Which rooms are listed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RoomsOptions {
    #[command(flatten)]
    door: Door,
    /// How many rooms, those with the most connections first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// Who is sent away.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KickOptions {
    #[command(flatten)]
    door: Door,
    /// The account, by its id.
    #[arg(value_name = "USER")]
    user: Uuid,
    /// Only the connections of this session.
    #[arg(long, value_name = "ID")]
    session: Option<Uuid>,
}

/// What is told, and where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PublishOptions {
    #[command(flatten)]
    door: Door,
    /// The room, as `lists` or `pitch:0191f0aa-…`.
    room: String,
    /// Any JSON, or - to read it from standard input.
    data: String,
}

/// How a hub goes away.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DrainOptions {
    #[command(flatten)]
    door: Door,
    /// Wait until it is gone, a minute at most.
    #[arg(long)]
    wait: bool,
}

/// One hub, and the right to ask it.
struct Hub {
    asker: Asker,
    address: Address,
    runtime: SystemRuntime,
}

impl Hub {
    fn new(door: Door) -> anyhow::Result<Self> {
        let runtime = SystemRuntime::new();
        let Some(secret) = &door.publish_secret else {
            bail!("no secret: set HUB_PUBLISH__SECRET or give --publish-secret");
        };
        Ok(Self {
            asker: Asker::new(Some(secret), runtime)?,
            address: door.hub,
            runtime,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<T> {
        let answer = self.asker.ask(&method, &self.address, path, body).await?;
        let address = &self.address;
        match answer.status {
            status if status.is_success() => serde_json::from_slice(&answer.body)
                .with_context(|| format!("{address} does not answer as a hub does")),
            StatusCode::UNAUTHORIZED => bail!("{address} takes another secret"),
            StatusCode::NOT_FOUND => bail!(
                "{address} has no such door: it is no hub's inner side, or the hub was given no secret"
            ),
            StatusCode::SERVICE_UNAVAILABLE => bail!("{address} cannot reach its log just now"),
            status => {
                let said = String::from_utf8_lossy(&answer.body);
                bail!("{address} refuses ({}): {}", status.as_u16(), said.trim())
            }
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Status {
    version: String,
    #[serde(rename = "status")]
    health: String,
    connections: u64,
    rooms: u64,
    accounts: u64,
    log: String,
}

pub(crate) async fn status(door: Door, output: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let status: Status = Hub::new(door)?
        .ask(Method::GET, "/admin/status", None)
        .await?;
    output.show(&status, || {
        fields(&[
            ("status", status.health.clone()),
            ("version", status.version.clone()),
            ("connections", grouped(status.connections)),
            ("accounts", grouped(status.accounts)),
            ("rooms", grouped(status.rooms)),
            ("log", status.log.clone()),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize, Deserialize)]
struct RoomState {
    room: String,
    connections: u64,
    epoch: Option<String>,
    offset: Option<u64>,
}

pub(crate) async fn rooms(
    options: RoomsOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/rooms?limit={}", options.limit);
    let rooms: Vec<RoomState> = Hub::new(options.door)?
        .ask(Method::GET, &path, None)
        .await?;
    output.show(&rooms, || {
        let mut table = Table::new(&["room", ">connections", ">offset", "epoch"]);
        for room in &rooms {
            let dash = || "–".to_owned();
            table.row([
                room.room.clone(),
                grouped(room.connections),
                room.offset.map_or_else(dash, grouped),
                room.epoch.clone().unwrap_or_else(dash),
            ]);
        }
        table.to_text()
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize, Deserialize)]
struct Connections {
    connections: u64,
}

impl Connections {
    fn text(&self) -> String {
        let s = if self.connections == 1 { "" } else { "s" };
        format!("{} connection{s}", grouped(self.connections))
    }
}

pub(crate) async fn kick(
    options: KickOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "user_id": options.user });
    if let Some(session) = options.session {
        body["session_id"] = json!(session);
    }
    let body = Some(body.to_string());
    let hub = Hub::new(options.door)?;
    let kicked: Connections = hub.ask(Method::POST, "/admin/kick", body).await?;
    output.show(&kicked, || {
        format!(
            "{} to this hub closed, and those to others\n",
            kicked.text()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize, Deserialize)]
struct Position {
    epoch: String,
    offset: u64,
}

pub(crate) async fn publish(
    options: PublishOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let data = match options.data.as_str() {
        "-" => read_input()?,
        data => data.to_owned(),
    };
    ensure!(data.len() <= MAX_DATA, "more than 60 KiB of data");
    // Written out anew, it cannot end the frame that it is put into.
    let data: &serde_json::value::RawValue =
        serde_json::from_str(data.trim()).context("the data is no JSON")?;
    let body = json!({ "room": options.room, "data": data }).to_string();
    let hub = Hub::new(options.door)?;
    let position: Position = hub.ask(Method::POST, "/publish", Some(body)).await?;
    output.show(&position, || {
        let Position { epoch, offset } = &position;
        format!("published as {} of {epoch}\n", grouped(*offset))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn read_input() -> anyhow::Result<String> {
    let mut text = String::new();
    let input = std::io::stdin().lock();
    input.take(MAX_DATA as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) async fn drain(
    options: DrainOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let hub = Hub::new(options.door)?;
    let leaving: Connections = hub.ask(Method::POST, "/admin/drain", None).await?;
    output.show(&leaving, || format!("{} sent elsewhere\n", leaving.text()))?;
    if !options.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let began = hub.runtime.now();
    while hub.runtime.now() - began < GONE_WITHIN {
        // Its inner side is there until all have left.
        let asked = hub.asker.ask(&Method::GET, &hub.address, "/metrics", None);
        if asked.await.is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        hub.runtime.sleep(LOOK).await;
    }
    bail!("{} is not gone within {GONE_WITHIN:?}", hub.address)
}
