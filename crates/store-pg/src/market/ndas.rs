//! NDAs. Locks are taken in one order everywhere: the pitch, then the NDA.

use super::pitches::hold_pitch;
use super::rows::{NdaColumns, conflict_on, one_row, time_key};
use crate::PgStore;
use crate::effects::Made;
use crate::pitches::page_of;
use crate::tx::{Abort, Tx};
use pitchey_model::decide::{self, Conflict, Expected, NdaStep, Refusal};
use pitchey_model::{Actor, Nda, NdaId, NewNda, Page, Position, Side, SortKey, UserId};
use pitchey_store::StoreError;
use pitchey_store::accounts::Origin;
use pitchey_store::market::{Created, Once, Outcome};
use time::OffsetDateTime;

impl PgStore {
    pub(super) async fn ask_for_nda(
        &self,
        actor: &Actor,
        new: &NewNda,
        once: Option<&Once<Nda>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Created<Nda>> {
        self.run_once("ndas.request", actor, once, now, |mut tx| async move {
            let pitch = hold_pitch(&mut tx, new.pitch).await?;
            let live = lock_live(&mut tx, new, actor).await?;
            let ((nda, expired), effects) =
                decide::request_nda(actor, &pitch, live.as_ref(), new.clone(), now)?;
            if let (Some(live), Some(expired)) = (&live, &expired) {
                write_nda(&mut tx, live, expired, now).await?;
            }
            sqlx::query_file!(
                "../sql/statements/ndas/create.sql",
                nda.id.0,
                nda.pitch.0,
                nda.requester.id.0,
                nda.creator.id.0,
                nda.message,
                nda.created_at
            )
            .execute(&mut *tx)
            .await
            .map_err(conflict_on("ndas_live", Conflict::NdaExists))?;
            self.write_effects(&mut tx, &effects, Made::by(actor, origin, now))
                .await?;
            Ok((tx, nda))
        })
        .await
    }

    pub(super) async fn one_nda(&self, id: NdaId) -> Result<Option<Nda>, StoreError> {
        let row = self
            .read("ndas.by_id", |mut lease| {
                let query =
                    sqlx::query_file_as!(NdaColumns, "../sql/statements/ndas/by_id.sql", id.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(Nda::try_from).transpose()
    }

    pub(super) async fn move_nda(
        &self,
        actor: &Actor,
        id: NdaId,
        expected: &Expected,
        step: &NdaStep,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Nda> {
        self.run_tx("ndas.step", |mut tx| async move {
            let row = sqlx::query_file_as!(NdaColumns, "../sql/statements/ndas/lock.sql", id.0)
                .fetch_optional(&mut *tx)
                .await?;
            let before = Nda::try_from(row.ok_or(Refusal::NotFound)?)?;
            let (after, effects) = decide::step_nda(actor, &before, expected, step.clone(), now)?;
            write_nda(&mut tx, &before, &after, now).await?;
            self.write_effects(&mut tx, &effects, Made::by(actor, origin, now))
                .await?;
            Ok((tx, after))
        })
        .await
    }

    pub(super) async fn ndas_of(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Nda>, StoreError> {
        let (time, id) = time_key(after)?;
        let fetch = i64::from(limit) + 1;
        let rows = match side {
            Side::Outgoing => {
                self.read("ndas.of_requester", |mut lease| {
                    let query = sqlx::query_file_as!(
                        NdaColumns,
                        "../sql/statements/ndas/of_requester.sql",
                        user.0,
                        time,
                        id,
                        fetch
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?
            }
            Side::Incoming => {
                self.read("ndas.of_creator", |mut lease| {
                    let query = sqlx::query_file_as!(
                        NdaColumns,
                        "../sql/statements/ndas/of_creator.sql",
                        user.0,
                        time,
                        id,
                        fetch
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?
            }
        };
        let items = rows
            .into_iter()
            .map(|row| Ok((SortKey::Time(row.created_at), row.try_into()?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page_of(items, limit, |nda: &Nda| nda.id.0))
    }
}

/// The requester's NDA that waits or was approved.
async fn lock_live(tx: &mut Tx, new: &NewNda, actor: &Actor) -> Result<Option<Nda>, Abort> {
    let row = sqlx::query_file_as!(
        NdaColumns,
        "../sql/statements/ndas/lock_live.sql",
        new.pitch.0,
        actor.id.0
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(Nda::try_from).transpose()?)
}

async fn write_nda(
    tx: &mut Tx,
    before: &Nda,
    after: &Nda,
    now: OffsetDateTime,
) -> Result<(), Abort> {
    let done = sqlx::query_file!(
        "../sql/statements/ndas/update.sql",
        before.id.0,
        before.version,
        after.status.as_str(),
        after.decision,
        after.decided_at,
        after.expires_at,
        now,
        after.version
    )
    .execute(&mut **tx)
    .await?;
    one_row(&done, "ndas.version")
}
