//! From rows to pitches, NDAs and interests. Statements that lock and statements that do not give the same
//! columns, which are read here alone.

use crate::error::corrupt;
use crate::rows::word;
use crate::tx::Abort;
use pitchey_model::decide::Conflict;
use pitchey_model::{Interest, Money, Nda, Person, Pitch, PitchContent, Position, SortKey};
use pitchey_store::StoreError;
use sqlx::postgres::PgQueryResult;
use time::OffsetDateTime;
use uuid::Uuid;

/// A pitch, whole, with its creator.
pub(super) struct PitchColumns {
    pub(super) id: Uuid,
    pub(super) title: String,
    pub(super) logline: String,
    pub(super) synopsis: String,
    pub(super) genres: Vec<String>,
    pub(super) format: String,
    pub(super) stage: String,
    pub(super) release_year: Option<i16>,
    pub(super) cast_members: Vec<String>,
    pub(super) visibility: String,
    pub(super) full_synopsis: String,
    pub(super) budget_minor: Option<i64>,
    pub(super) budget_currency: Option<String>,
    pub(super) cover_media_id: Option<Uuid>,
    pub(super) status: String,
    pub(super) published_at: Option<OffsetDateTime>,
    pub(super) archived_at: Option<OffsetDateTime>,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
    pub(super) version: i64,
    pub(super) view_count: i64,
    pub(super) creator_id: Uuid,
    pub(super) creator_username: String,
    pub(super) creator_display_name: String,
}

impl TryFrom<PitchColumns> for Pitch {
    type Error = StoreError;

    fn try_from(row: PitchColumns) -> Result<Self, StoreError> {
        let budget = match (row.budget_minor, row.budget_currency) {
            (Some(amount), Some(currency)) => Some(Money {
                amount,
                currency: word("budget_currency", &currency)?,
            }),
            _ => None,
        };
        Ok(Self {
            id: row.id.into(),
            creator: person(
                row.creator_id,
                &row.creator_username,
                row.creator_display_name,
            )?,
            content: PitchContent {
                title: row.title,
                logline: row.logline,
                synopsis: row.synopsis,
                genres: row
                    .genres
                    .iter()
                    .map(|genre| word("genres", genre))
                    .collect::<Result<_, _>>()?,
                format: word("format", &row.format)?,
                stage: word("stage", &row.stage)?,
                release_year: row.release_year,
                cast: row.cast_members,
                visibility: word("visibility", &row.visibility)?,
                full_synopsis: row.full_synopsis,
                budget,
            },
            cover: row.cover_media_id.map(Into::into),
            status: word("status", &row.status)?,
            published_at: row.published_at,
            archived_at: row.archived_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
            view_count: row.view_count,
        })
    }
}

/// An NDA with the title of its pitch and both sides.
pub(super) struct NdaColumns {
    pub(super) id: Uuid,
    pub(super) pitch_id: Uuid,
    pub(super) pitch_title: String,
    pub(super) requester_id: Uuid,
    pub(super) requester_username: String,
    pub(super) requester_display_name: String,
    pub(super) creator_id: Uuid,
    pub(super) creator_username: String,
    pub(super) creator_display_name: String,
    pub(super) status: String,
    pub(super) message: String,
    pub(super) decision: String,
    pub(super) created_at: OffsetDateTime,
    pub(super) decided_at: Option<OffsetDateTime>,
    pub(super) expires_at: Option<OffsetDateTime>,
    pub(super) version: i64,
}

impl TryFrom<NdaColumns> for Nda {
    type Error = StoreError;

    fn try_from(row: NdaColumns) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            pitch: row.pitch_id.into(),
            pitch_title: row.pitch_title,
            requester: person(
                row.requester_id,
                &row.requester_username,
                row.requester_display_name,
            )?,
            creator: person(
                row.creator_id,
                &row.creator_username,
                row.creator_display_name,
            )?,
            status: word("status", &row.status)?,
            message: row.message,
            decision: row.decision,
            created_at: row.created_at,
            decided_at: row.decided_at,
            expires_at: row.expires_at,
            version: row.version,
        })
    }
}

/// An interest with the title of its pitch and both sides.
pub(super) struct InterestColumns {
    pub(super) id: Uuid,
    pub(super) pitch_id: Uuid,
    pub(super) pitch_title: String,
    pub(super) investor_id: Uuid,
    pub(super) investor_username: String,
    pub(super) investor_display_name: String,
    pub(super) creator_id: Uuid,
    pub(super) creator_username: String,
    pub(super) creator_display_name: String,
    pub(super) status: String,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) message: String,
    pub(super) created_at: OffsetDateTime,
    pub(super) decided_at: Option<OffsetDateTime>,
    pub(super) version: i64,
}

impl TryFrom<InterestColumns> for Interest {
    type Error = StoreError;

    fn try_from(row: InterestColumns) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            pitch: row.pitch_id.into(),
            pitch_title: row.pitch_title,
            investor: person(
                row.investor_id,
                &row.investor_username,
                row.investor_display_name,
            )?,
            creator: person(
                row.creator_id,
                &row.creator_username,
                row.creator_display_name,
            )?,
            status: word("status", &row.status)?,
            amount: Money {
                amount: row.amount_minor,
                currency: word("currency", &row.currency)?,
            },
            message: row.message,
            created_at: row.created_at,
            decided_at: row.decided_at,
            version: row.version,
        })
    }
}

pub(super) fn person(id: Uuid, username: &str, display_name: String) -> Result<Person, StoreError> {
    Ok(Person {
        id: id.into(),
        username: word("username", username)?,
        display_name,
    })
}

/// Where a list that is in the order of time goes on.
pub(super) fn time_key(
    after: Option<Position>,
) -> Result<(Option<OffsetDateTime>, Option<Uuid>), StoreError> {
    match after {
        None => Ok((None, None)),
        Some(Position {
            key: SortKey::Time(time),
            id,
        }) => Ok((Some(time), Some(id))),
        Some(other) => Err(crate::pitches::wrong_sort(other)),
    }
}

/// A row that was locked and looked at is there to be written.
pub(super) fn one_row(result: &PgQueryResult, what: &'static str) -> Result<(), Abort> {
    match result.rows_affected() {
        1 => Ok(()),
        rows => Err(corrupt(what, &format!("{rows} rows at the version that was locked")).into()),
    }
}

/// Somebody else was faster: what a unique index keeps out is a conflict, not a fault.
pub(super) fn conflict_on(index: &str, conflict: Conflict) -> impl Fn(sqlx::Error) -> Abort {
    move |error| {
        let kept_out = error.as_database_error().is_some_and(|database| {
            database.is_unique_violation() && database.constraint() == Some(index)
        });
        if kept_out {
            Abort::Refused(conflict.into())
        } else {
            error.into()
        }
    }
}
