//! The rows of generated data, each with the columns that it fills. Times are microseconds since 1970.

use super::copy::CopyRows;
use pitchey_model::{
    Format, Genre, InterestStatus, NdaStatus, PitchStatus, Role, Stage, Visibility,
};
use uuid::Uuid;

/// A row that can be copied into a table.
pub trait CopyRow {
    /// The table.
    const TABLE: &'static str;
    /// The columns, in the order in which `write` writes them.
    const COLUMNS: &'static [&'static str];
    /// Adds the row.
    fn write(&self, rows: &mut CopyRows);
}

const fn fields(columns: &[&str]) -> i16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "no table has so many columns"
    )]
    let count = columns.len() as i16;
    count
}

/// An account.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct UserRow<'a> {
    pub id: Uuid,
    pub username: &'a str,
    pub email: &'a str,
    pub role: Role,
    pub display_name: &'a str,
    pub bio: &'a str,
    pub company: &'a str,
    pub location: &'a str,
    pub website: Option<&'a str>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

impl CopyRow for UserRow<'_> {
    const TABLE: &'static str = "users";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "username",
        "email",
        "role",
        "display_name",
        "bio",
        "company",
        "location",
        "website",
        "created_at",
        "updated_at",
        "deleted_at",
    ];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .text(self.username)
            .text(self.email)
            .text(self.role.as_str())
            .text(self.display_name)
            .text(self.bio)
            .text(self.company)
            .text(self.location)
            .optional(self.website, CopyRows::text)
            .timestamp(self.created_at)
            .timestamp(self.updated_at)
            .optional(self.deleted_at, CopyRows::timestamp);
    }
}

/// A session.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct SessionRow<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub token_hash: [u8; 32],
    pub user_agent: &'a str,
    pub created_at: i64,
    pub last_seen_at: i64,
    pub idle_expires_at: i64,
    pub expires_at: i64,
    pub revoked_at: Option<i64>,
}

impl CopyRow for SessionRow<'_> {
    const TABLE: &'static str = "sessions";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "user_id",
        "token_hash",
        "user_agent",
        "created_at",
        "last_seen_at",
        "idle_expires_at",
        "expires_at",
        "revoked_at",
    ];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .uuid(self.user_id)
            .bytea(&self.token_hash)
            .text(self.user_agent)
            .timestamp(self.created_at)
            .timestamp(self.last_seen_at)
            .timestamp(self.idle_expires_at)
            .timestamp(self.expires_at)
            .optional(self.revoked_at, CopyRows::timestamp);
    }
}

/// A pitch.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct PitchRow<'a> {
    pub id: Uuid,
    pub creator_id: Uuid,
    pub title: &'a str,
    pub logline: &'a str,
    pub synopsis: &'a str,
    pub genres: &'a [Genre],
    pub format: Format,
    pub stage: Stage,
    pub release_year: Option<i16>,
    pub cast_members: &'a [String],
    pub full_synopsis: &'a str,
    /// In minor units, with its currency.
    pub budget: Option<(i64, &'a str)>,
    pub status: PitchStatus,
    pub visibility: Visibility,
    pub published_at: Option<i64>,
    pub archived_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
    pub version: i64,
    pub view_count: i64,
    pub trending_score: f64,
}

impl CopyRow for PitchRow<'_> {
    const TABLE: &'static str = "pitches";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "creator_id",
        "title",
        "logline",
        "synopsis",
        "genres",
        "format",
        "stage",
        "release_year",
        "cast_members",
        "full_synopsis",
        "budget_minor",
        "budget_currency",
        "status",
        "visibility",
        "published_at",
        "archived_at",
        "created_at",
        "updated_at",
        "deleted_at",
        "version",
        "view_count",
        "trending_score",
    ];

    fn write(&self, rows: &mut CopyRows) {
        // Eight genres at most, so this stays on the stack.
        let mut genres = [""; 8];
        let count = self.genres.len().min(genres.len());
        for (word, genre) in genres.iter_mut().zip(self.genres) {
            *word = genre.as_str();
        }
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .uuid(self.creator_id)
            .text(self.title)
            .text(self.logline)
            .text(self.synopsis)
            .texts(&genres[..count])
            .text(self.format.as_str())
            .text(self.stage.as_str())
            .optional(self.release_year, CopyRows::i16)
            .texts(self.cast_members)
            .text(self.full_synopsis)
            .optional(self.budget.map(|(minor, _)| minor), CopyRows::i64)
            .optional(self.budget.map(|(_, currency)| currency), CopyRows::text)
            .text(self.status.as_str())
            .text(self.visibility.as_str())
            .optional(self.published_at, CopyRows::timestamp)
            .optional(self.archived_at, CopyRows::timestamp)
            .timestamp(self.created_at)
            .timestamp(self.updated_at)
            .optional(self.deleted_at, CopyRows::timestamp)
            .i64(self.version)
            .i64(self.view_count)
            .f64(self.trending_score);
    }
}

/// A view of a pitch.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct ViewRow {
    pub pitch_id: Uuid,
    /// Days since 1970.
    pub day: i64,
    pub viewer_key: [u8; 16],
    pub viewed_at: i64,
}

impl CopyRow for ViewRow {
    const TABLE: &'static str = "pitch_views";
    const COLUMNS: &'static [&'static str] = &["pitch_id", "day", "viewer_key", "viewed_at"];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.pitch_id)
            .date(self.day)
            .bytea(&self.viewer_key)
            .timestamp(self.viewed_at);
    }
}

/// A saved pitch.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct SavedRow {
    pub user_id: Uuid,
    pub pitch_id: Uuid,
    pub created_at: i64,
}

impl CopyRow for SavedRow {
    const TABLE: &'static str = "saved_pitches";
    const COLUMNS: &'static [&'static str] = &["user_id", "pitch_id", "created_at"];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.user_id)
            .uuid(self.pitch_id)
            .timestamp(self.created_at);
    }
}

/// Somebody follows somebody.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct FollowRow {
    pub follower_id: Uuid,
    pub followed_id: Uuid,
    pub created_at: i64,
}

impl CopyRow for FollowRow {
    const TABLE: &'static str = "follows";
    const COLUMNS: &'static [&'static str] = &["follower_id", "followed_id", "created_at"];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.follower_id)
            .uuid(self.followed_id)
            .timestamp(self.created_at);
    }
}

/// An NDA.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct NdaRow<'a> {
    pub id: Uuid,
    pub pitch_id: Uuid,
    pub requester_id: Uuid,
    pub creator_id: Uuid,
    pub status: NdaStatus,
    pub message: &'a str,
    pub decision: &'a str,
    pub created_at: i64,
    pub updated_at: i64,
    pub decided_at: Option<i64>,
    pub expires_at: Option<i64>,
    pub version: i64,
}

impl CopyRow for NdaRow<'_> {
    const TABLE: &'static str = "ndas";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "pitch_id",
        "requester_id",
        "creator_id",
        "status",
        "message",
        "decision",
        "created_at",
        "updated_at",
        "decided_at",
        "expires_at",
        "version",
    ];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .uuid(self.pitch_id)
            .uuid(self.requester_id)
            .uuid(self.creator_id)
            .text(self.status.as_str())
            .text(self.message)
            .text(self.decision)
            .timestamp(self.created_at)
            .timestamp(self.updated_at)
            .optional(self.decided_at, CopyRows::timestamp)
            .optional(self.expires_at, CopyRows::timestamp)
            .i64(self.version);
    }
}

/// An expression of interest.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct InterestRow<'a> {
    pub id: Uuid,
    pub pitch_id: Uuid,
    pub investor_id: Uuid,
    pub creator_id: Uuid,
    pub status: InterestStatus,
    pub amount_minor: i64,
    pub currency: &'a str,
    pub message: &'a str,
    pub created_at: i64,
    pub updated_at: i64,
    pub decided_at: Option<i64>,
    pub version: i64,
}

impl CopyRow for InterestRow<'_> {
    const TABLE: &'static str = "investment_interests";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "pitch_id",
        "investor_id",
        "creator_id",
        "status",
        "amount_minor",
        "currency",
        "message",
        "created_at",
        "updated_at",
        "decided_at",
        "version",
    ];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .uuid(self.pitch_id)
            .uuid(self.investor_id)
            .uuid(self.creator_id)
            .text(self.status.as_str())
            .i64(self.amount_minor)
            .text(self.currency)
            .text(self.message)
            .timestamp(self.created_at)
            .timestamp(self.updated_at)
            .optional(self.decided_at, CopyRows::timestamp)
            .i64(self.version);
    }
}

/// A notification.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct NotificationRow<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: &'a str,
    /// JSON.
    pub payload: &'a str,
    pub created_at: i64,
    pub read_at: Option<i64>,
}

impl CopyRow for NotificationRow<'_> {
    const TABLE: &'static str = "notifications";
    const COLUMNS: &'static [&'static str] =
        &["id", "user_id", "kind", "payload", "created_at", "read_at"];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .uuid(self.user_id)
            .text(self.kind)
            .jsonb(self.payload)
            .timestamp(self.created_at)
            .optional(self.read_at, CopyRows::timestamp);
    }
}

/// An event for figures.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct AnalyticsRow<'a> {
    pub id: Uuid,
    pub occurred_at: i64,
    pub kind: &'a str,
    pub user_id: Option<Uuid>,
    pub pitch_id: Option<Uuid>,
    pub client_key: [u8; 16],
    pub path: &'a str,
}

impl CopyRow for AnalyticsRow<'_> {
    const TABLE: &'static str = "analytics_events";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "occurred_at",
        "kind",
        "user_id",
        "pitch_id",
        "client_key",
        "path",
    ];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .timestamp(self.occurred_at)
            .text(self.kind)
            .optional(self.user_id, CopyRows::uuid)
            .optional(self.pitch_id, CopyRows::uuid)
            .bytea(&self.client_key)
            .text(self.path);
    }
}

/// What a reader's browser measured.
#[expect(missing_docs, reason = "the fields are the columns of the table")]
#[derive(Debug, Clone)]
pub struct RumRow<'a> {
    pub id: Uuid,
    pub occurred_at: i64,
    pub metric: &'a str,
    pub value: f64,
    pub route: &'a str,
    pub edge_location: &'a str,
    pub connection: &'a str,
}

impl CopyRow for RumRow<'_> {
    const TABLE: &'static str = "rum_events";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "occurred_at",
        "metric",
        "value",
        "route",
        "edge_location",
        "connection",
    ];

    fn write(&self, rows: &mut CopyRows) {
        rows.row(fields(Self::COLUMNS))
            .uuid(self.id)
            .timestamp(self.occurred_at)
            .text(self.metric)
            .f64(self.value)
            .text(self.route)
            .text(self.edge_location)
            .text(self.connection);
    }
}
