//! Tickets for the realtime server: who connects there, and which rooms about one thing they may enter.

use crate::body::{Fields, OptionalFields};
use crate::extract::{MaybeSigned, NoQuery};
use crate::problem::{BodyProblems, Problem, ReadProblems, SignedProblems};
use crate::site::Site;
use axum::Json;
use axum::extract::State;
use pitchey_model::decide;
use pitchey_model::permission::{RoomRight, Verdict};
use pitchey_model::room::Room;
use pitchey_model::ticket::{Holder, LIFETIME, MAX_ROOMS, Ticket};
use pitchey_model::{Actor, UserId};
use pitchey_store::FullStore;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Where no realtime server is set up, there may be one after the next deployment.
const RETRY: Duration = Duration::from_mins(5);

/// What a ticket is to be good for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `ticket` reads")]
pub(crate) struct TicketRequest {
    /// Rooms about one thing, as `pitch:<id>` or `nda:<id>`. `lists`, one's own `user:<id>` and, for admins,
    /// `ops` need not be named.
    #[schema(max_items = 32, nullable = false)]
    rooms: Option<Vec<String>>,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketView {
    /// Offered as the subprotocol `ticket.<ticket>` beside `pitchey.v1`. It lets one connect once.
    ticket: String,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// Those of the rooms that were named which one may enter.
    #[schema(value_type = Vec<String>)]
    rooms: BTreeSet<Room>,
}

/// A ticket for the realtime server
///
/// For whoever is signed in, or for nobody. A room that one may not enter, or that is not there, is left
/// out.
#[utoipa::path(
    post, path = "/api/realtime/ticket", tag = "realtime",
    request_body = Option<TicketRequest>,
    responses(
        (status = 200, description = "The ticket", body = TicketView),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn ticket<S: FullStore>(
    State(site): State<Site<S>>,
    MaybeSigned(session): MaybeSigned,
    _: NoQuery,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<TicketView>, Problem> {
    let named = fields.array("rooms", MAX_ROOMS, Fields::word::<Room>);
    fields.finish()?;
    let keys = site.api.tickets.clone();
    let keys = keys.ok_or_else(|| Problem::unavailable(RETRY))?;
    let actor = session.as_ref().map(|session| &session.actor);
    let expires_at = site.now() + LIFETIME;
    let mut ticket = Ticket {
        id: site.new_id(),
        holder: actor.map(|actor| Holder {
            user: actor.id,
            role: actor.role,
            session: actor.session,
        }),
        rooms: BTreeSet::new(),
        expires_at: expires_at.unix_timestamp(),
    };
    let mut rooms = BTreeSet::new();
    for room in named.into_iter().flatten() {
        if is_theirs(&site, actor, room).await? {
            ticket.rooms.insert(room);
        }
        if ticket.may(room, RoomRight::Enter) == Verdict::Allowed {
            rooms.insert(room);
        }
    }
    Ok(Json(TicketView {
        ticket: keys.sign(&ticket),
        expires_at,
        rooms,
    }))
}

/// Whether the thing that a room is about is somebody's to read.
async fn is_theirs<S: FullStore>(
    site: &Site<S>,
    actor: Option<&Actor>,
    room: Room,
) -> Result<bool, Problem> {
    let user: Option<UserId> = actor.map(|actor| actor.id);
    Ok(match room {
        Room::Pitch(id) => {
            let found = site.api.store.full_pitch(id, user).await?;
            found.is_some_and(|found| decide::read_public(actor, &found.pitch).is_ok())
        }
        Room::Nda(id) => match actor {
            Some(actor) => {
                let found = site.api.store.nda(id).await?;
                found.is_some_and(|nda| decide::read_nda(actor, &nda).is_ok())
            }
            None => false,
        },
        Room::User(_) | Room::Lists | Room::Ops => false,
    })
}
