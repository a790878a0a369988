//! Saved pitches.

use super::rows::{PitchColumns, time_key};
use crate::PgStore;
use crate::pitches::page_of;
use crate::rows::card_columns;
use pitchey_model::decide::{self, Refusal};
use pitchey_model::{Actor, Page, PitchCard, PitchId, Position, SortKey, UserId};
use pitchey_store::StoreError;
use pitchey_store::market::{Outcome, Saved};
use time::OffsetDateTime;

impl PgStore {
    pub(super) async fn keep_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        now: OffsetDateTime,
    ) -> Outcome<()> {
        self.run_tx("saved.add", |mut tx| async move {
            // Not locked: what leaves the site just now is saved and not shown, as if it had left later.
            let row =
                sqlx::query_file_as!(PitchColumns, "../sql/statements/pitches/full.sql", id.0)
                    .fetch_optional(&mut *tx)
                    .await?;
            let pitch = row.ok_or(Refusal::NotFound)?.try_into()?;
            decide::save(actor, &pitch)?;
            sqlx::query_file!("../sql/statements/saved/add.sql", actor.id.0, id.0, now)
                .execute(&mut *tx)
                .await?;
            Ok((tx, ()))
        })
        .await
    }

    pub(super) async fn forget_pitch(&self, user: UserId, id: PitchId) -> Result<(), StoreError> {
        self.run_write("saved.remove", |mut tx| async move {
            sqlx::query_file!("../sql/statements/saved/remove.sql", user.0, id.0)
                .execute(&mut *tx)
                .await?;
            Ok((tx, ()))
        })
        .await
    }

    pub(super) async fn saved_by(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Saved>, StoreError> {
        let (time, id) = time_key(after)?;
        let fetch = i64::from(limit) + 1;
        let rows = self
            .read("saved.of_user", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/saved/of_user.sql",
                    user.0,
                    time,
                    id,
                    fetch
                );
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        let items = rows
            .into_iter()
            .map(|row| {
                let saved_at = row.sort_key;
                let card = PitchCard::try_from(card_columns!(row))?;
                Ok((SortKey::Time(saved_at), Saved { card, saved_at }))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page_of(items, limit, |saved: &Saved| saved.card.id.0))
    }
}
