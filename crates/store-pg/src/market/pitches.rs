//! The life of a pitch.

use super::rows::{NdaColumns, PitchColumns, one_row, time_key};
use crate::PgStore;
use crate::effects::Made;
use crate::pitches::page_of;
use crate::tx::{Abort, Tx};
use pitchey_model::decide::{self, Expected, Refusal};
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{
    Actor, Genre, Nda, Page, Pitch, PitchChange, PitchContent, PitchId, Position, SortKey, UserId,
};
use pitchey_store::StoreError;
use pitchey_store::accounts::Origin;
use pitchey_store::market::{Created, FullPitch, Once, Outcome};
use time::OffsetDateTime;

impl PgStore {
    pub(super) async fn whole_pitch(
        &self,
        id: PitchId,
        reader: Option<UserId>,
    ) -> Result<Option<FullPitch>, StoreError> {
        let row = self
            .read("pitches.full", |mut lease| {
                let query =
                    sqlx::query_file_as!(PitchColumns, "../sql/statements/pitches/full.sql", id.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        let Some(pitch) = row.map(Pitch::try_from).transpose()? else {
            return Ok(None);
        };
        // Nobody has an NDA for what is theirs.
        let nda = match reader.filter(|reader| *reader != pitch.creator.id) {
            Some(reader) => self.live_nda(id, reader).await?,
            None => None,
        };
        Ok(Some(FullPitch { pitch, nda }))
    }

    async fn live_nda(&self, pitch: PitchId, reader: UserId) -> Result<Option<Nda>, StoreError> {
        let row = self
            .read("ndas.live", |mut lease| {
                let query = sqlx::query_file_as!(
                    NdaColumns,
                    "../sql/statements/ndas/live.sql",
                    pitch.0,
                    reader.0
                );
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(Nda::try_from).transpose()
    }

    pub(super) async fn pitches_of(
        &self,
        creator: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Pitch>, StoreError> {
        let (time, id) = time_key(after)?;
        let fetch = i64::from(limit) + 1;
        let rows = self
            .read("pitches.of_creator", |mut lease| {
                let query = sqlx::query_file_as!(
                    PitchColumns,
                    "../sql/statements/pitches/of_creator.sql",
                    creator.0,
                    time,
                    id,
                    fetch
                );
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        let items = rows
            .into_iter()
            .map(|row| Ok((SortKey::Time(row.updated_at), row.try_into()?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page_of(items, limit, |pitch: &Pitch| pitch.id.0))
    }

    pub(super) async fn begin_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        content: &PitchContent,
        once: Option<&Once<Pitch>>,
        now: OffsetDateTime,
    ) -> Outcome<Created<Pitch>> {
        self.run_once("pitches.create", actor, once, now, |mut tx| async move {
            let (pitch, effects) = decide::create_pitch(actor, id, content.clone(), now)?;
            sqlx::query_file!(
                "../sql/statements/pitches/create.sql",
                id.0,
                actor.id.0,
                content.title,
                content.logline,
                content.synopsis,
                &genres(content) as _,
                content.format.as_str(),
                content.stage.as_str(),
                content.release_year,
                &content.cast,
                content.visibility.as_str(),
                content.full_synopsis,
                content.budget.map(|budget| budget.amount),
                content
                    .budget
                    .as_ref()
                    .map(|budget| budget.currency.as_str()),
                now
            )
            .execute(&mut *tx)
            .await?;
            let origin = Origin::default();
            self.write_effects(&mut tx, &effects, Made::by(actor, &origin, now))
                .await?;
            Ok((tx, pitch))
        })
        .await
    }

    pub(super) async fn rewrite_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        change: &PitchChange,
        now: OffsetDateTime,
    ) -> Outcome<Pitch> {
        self.run_tx("pitches.edit", |mut tx| async move {
            let before = lock_pitch(&mut tx, id).await?;
            let (after, effects) =
                decide::edit_pitch(actor, &before, expected, change.clone(), now)?;
            write_pitch(&mut tx, &before, &after).await?;
            let origin = Origin::default();
            self.write_effects(&mut tx, &effects, Made::by(actor, &origin, now))
                .await?;
            Ok((tx, after))
        })
        .await
    }

    pub(super) async fn move_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        action: PitchAction,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Pitch> {
        self.run_tx("pitches.step", |mut tx| async move {
            let before = lock_pitch(&mut tx, id).await?;
            let (after, effects) = decide::step_pitch(actor, &before, expected, action, now)?;
            write_pitch(&mut tx, &before, &after).await?;
            self.write_effects(&mut tx, &effects, Made::by(actor, origin, now))
                .await?;
            Ok((tx, after))
        })
        .await
    }

    pub(super) async fn remove_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<()> {
        self.run_tx("pitches.delete", |mut tx| async move {
            let before = lock_pitch(&mut tx, id).await?;
            let (after, effects) = decide::delete_pitch(actor, &before, expected, now)?;
            let done = sqlx::query_file!(
                "../sql/statements/pitches/delete.sql",
                id.0,
                before.version,
                after.updated_at,
                after.version
            )
            .execute(&mut *tx)
            .await?;
            one_row(&done, "pitches.version")?;
            self.write_effects(&mut tx, &effects, Made::by(actor, origin, now))
                .await?;
            Ok((tx, ()))
        })
        .await
    }
}

/// A pitch that this transaction will change.
pub(crate) async fn lock_pitch(tx: &mut Tx, id: PitchId) -> Result<Pitch, Abort> {
    let row = sqlx::query_file_as!(PitchColumns, "../sql/statements/pitches/lock.sql", id.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.ok_or(Refusal::NotFound)?.try_into()?)
}

/// A pitch that stays as it is until this transaction ends: it is not archived under what is asked about it.
pub(super) async fn hold_pitch(tx: &mut Tx, id: PitchId) -> Result<Pitch, Abort> {
    let row = sqlx::query_file_as!(PitchColumns, "../sql/statements/pitches/hold.sql", id.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.ok_or(Refusal::NotFound)?.try_into()?)
}

pub(crate) async fn write_pitch(tx: &mut Tx, before: &Pitch, after: &Pitch) -> Result<(), Abort> {
    let content = &after.content;
    let done = sqlx::query_file!(
        "../sql/statements/pitches/update.sql",
        before.id.0,
        before.version,
        content.title,
        content.logline,
        content.synopsis,
        &genres(content) as _,
        content.format.as_str(),
        content.stage.as_str(),
        content.release_year,
        &content.cast,
        content.visibility.as_str(),
        content.full_synopsis,
        content.budget.map(|budget| budget.amount),
        content
            .budget
            .as_ref()
            .map(|budget| budget.currency.as_str()),
        after.status.as_str(),
        after.published_at,
        after.archived_at,
        after.updated_at,
        after.version
    )
    .execute(&mut **tx)
    .await?;
    one_row(&done, "pitches.version")
}

fn genres(content: &PitchContent) -> Vec<&'static str> {
    content.genres.iter().copied().map(Genre::as_str).collect()
}
