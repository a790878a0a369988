//! Pitches, whatever state they are in.

use crate::PgStore;
use crate::market::{lock_pitch, write_pitch};
use crate::rows::word;
use pitchey_model::decide;
use pitchey_model::{Person, Pitch, PitchId, PitchStatus, Visibility};
use pitchey_store::StoreError;
use pitchey_store::market::Outcome;
use time::OffsetDateTime;

/// Where a pitch is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PitchRecord {
    /// The pitch.
    pub id: PitchId,
    /// Its title.
    pub title: String,
    /// Who pitches.
    pub creator: Person,
    /// Where it is in its life.
    pub status: PitchStatus,
    /// Who may read it once it is published.
    pub visibility: Visibility,
    /// Since when it is there at all.
    pub created_at: OffsetDateTime,
    /// The last change.
    pub updated_at: OffsetDateTime,
    /// Since when it is on the site, or was last.
    pub published_at: Option<OffsetDateTime>,
    /// Since when it is off it.
    pub archived_at: Option<OffsetDateTime>,
    /// Since when it is removed.
    pub deleted_at: Option<OffsetDateTime>,
    /// Goes up with every change.
    pub version: i64,
    /// How often it was looked at.
    pub view_count: i64,
}

impl PgStore {
    /// A pitch in any state, also if it was removed.
    pub async fn pitch_record(&self, id: PitchId) -> Result<Option<PitchRecord>, StoreError> {
        let row = self
            .read("pitches.show", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/pitches/show.sql", id.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(|row| {
            Ok(PitchRecord {
                id: row.id.into(),
                title: row.title,
                creator: Person {
                    id: row.creator_id.into(),
                    username: word("username", &row.creator_username)?,
                    display_name: row.creator_display_name,
                },
                status: word("status", &row.status)?,
                visibility: word("visibility", &row.visibility)?,
                created_at: row.created_at,
                updated_at: row.updated_at,
                published_at: row.published_at,
                archived_at: row.archived_at,
                deleted_at: row.deleted_at,
                version: row.version,
                view_count: row.view_count,
            })
        })
        .transpose()
    }

    /// Takes a pitch off the site: [`decide::take_down`].
    pub async fn unpublish_pitch(
        &self,
        id: PitchId,
        operator: &str,
        reason: &str,
        now: OffsetDateTime,
    ) -> Outcome<Pitch> {
        self.run_tx("operate.unpublish", |mut tx| async move {
            let before = lock_pitch(&mut tx, id).await?;
            let (after, effects) = decide::take_down(&before, operator, reason, now)?;
            write_pitch(&mut tx, &before, &after).await?;
            self.write_operated(&mut tx, &effects, now).await?;
            Ok((tx, after))
        })
        .await
    }
}
