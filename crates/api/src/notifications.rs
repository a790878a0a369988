//! What one was told: `GET /api/notifications`, and that one has read it.

use crate::body::OptionalFields;
use crate::extract::{NoQuery, Signed};
use crate::listing::{List, Listing, PageParams};
use crate::problem::{BodyProblems, Problem, ReadProblems, SignedProblems};
use crate::site::Site;
use axum::Json;
use axum::extract::{RawQuery, State};
use pitchey_model::event::Notification;
use pitchey_model::{InterestId, NdaId, NoticeKind, NotificationId, PitchId, Username};
use pitchey_store::FullStore;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most that one request marks as read by name.
const MAX_IDS: usize = 100;

/// Something one was told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationView {
    id: NotificationId,
    /// What happened.
    kind: NoticeKind,
    /// Who did it.
    username: Username,
    /// Their name on pages.
    display_name: String,
    /// To which pitch.
    pitch_id: Option<PitchId>,
    pitch_title: Option<String>,
    /// To which NDA.
    nda_id: Option<NdaId>,
    /// To which interest.
    interest_id: Option<InterestId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    read_at: Option<OffsetDateTime>,
}

impl From<Notification> for NotificationView {
    fn from(told: Notification) -> Self {
        Self {
            id: told.id,
            kind: told.kind,
            username: told.notice.username,
            display_name: told.notice.display_name,
            pitch_id: told.notice.pitch_id,
            pitch_title: told.notice.pitch_title,
            nda_id: told.notice.nda_id,
            interest_id: told.notice.interest_id,
            created_at: told.created_at,
            read_at: told.read_at,
        }
    }
}

/// A page of what one was told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationList {
    #[serde(flatten)]
    page: List<NotificationView>,
    /// How many are unread, counted up to 100.
    unread: i64,
}

/// What was read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `read` reads")]
pub(crate) struct ReadNotifications {
    /// These; all if absent.
    #[schema(min_items = 1, max_items = 100, nullable = false)]
    ids: Option<Vec<Uuid>>,
}

/// How many were unread.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadView {
    read: u64,
}

/// What one was told
#[utoipa::path(
    get, path = "/api/notifications", tag = "readers",
    params(PageParams),
    responses(
        (status = 200, description = "A page, newest first", body = NotificationList),
        (status = 304, description = "Still the page that If-None-Match names"),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn notifications<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    RawQuery(query): RawQuery,
) -> Result<Json<NotificationList>, Problem> {
    let user = signed.actor().id;
    let listing = Listing::read(&site, query.as_deref(), &format!("notifications|{user}"))?;
    let store = &site.api.store;
    let page = store
        .notifications(user, listing.after, listing.limit)
        .await?;
    let unread = store.unread_notifications(user).await?;
    let Json(page) = listing.page(&site, page);
    Ok(Json(NotificationList { page, unread }))
}

/// Mark as read
#[utoipa::path(
    post, path = "/api/notifications/read", tag = "readers",
    request_body = Option<ReadNotifications>,
    responses(
        (status = 200, description = "They are read", body = ReadView),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn read<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<ReadView>, Problem> {
    let ids = fields.array("ids", MAX_IDS, |ids, name| {
        ids.uuid(name).map(NotificationId)
    });
    if ids.as_ref().is_some_and(Vec::is_empty) {
        fields.fail("ids", "empty", "must not be empty");
    }
    fields.finish()?;
    let user = signed.actor().id;
    let store = &site.api.store;
    let read = store.read_notifications(user, ids.as_deref(), site.now());
    Ok(Json(ReadView { read: read.await? }))
}
