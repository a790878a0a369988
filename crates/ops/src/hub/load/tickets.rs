//! Tickets for the clients of the load: signed here, or asked from an origin as anybody may.

use super::super::address::Address;
use super::super::ask::Asker;
use anyhow::{Context as _, ensure};
use http::Method;
use pitchey_model::room::Room;
use pitchey_model::ticket::{LIFETIME, Ticket, TicketKeys};
use pitchey_runtime::{Clock as _, Random as _, SystemRuntime};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

/// Where tickets come from.
#[derive(Debug)]
pub(super) enum Tickets {
    /// From the key that hubs and origins share.
    Signed(TicketKeys),
    /// From an origin, for nobody: public rooms alone.
    Asked(Asker, Address),
}

impl Tickets {
    /// A new one for a room: each lets one connect once.
    pub(super) async fn take(&self, room: Room, runtime: &SystemRuntime) -> anyhow::Result<String> {
        match self {
            Self::Signed(keys) => {
                let mut id = [0; 16];
                runtime.fill(&mut id);
                Ok(keys.sign(&Ticket {
                    id: Uuid::from_bytes(id),
                    holder: None,
                    rooms: [room].into(),
                    expires_at: (runtime.wall() + LIFETIME).unix_timestamp(),
                }))
            }
            Self::Asked(asker, origin) => {
                #[derive(Deserialize)]
                struct Given {
                    ticket: String,
                }
                let body = json!({ "rooms": [room] }).to_string();
                let path = "/api/realtime/ticket";
                let answer = asker.ask(&Method::POST, origin, path, Some(body)).await?;
                let status = answer.status.as_u16();
                ensure!(
                    answer.status.is_success(),
                    "the origin gives no ticket: {status}"
                );
                let given: Given = serde_json::from_slice(&answer.body)
                    .context("the origin's answer is no ticket")?;
                Ok(given.ticket)
            }
        }
    }
}
