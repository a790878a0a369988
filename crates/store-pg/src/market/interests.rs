//! Expressions of interest. Locks are taken in one order everywhere: the pitch, then the interest.

use super::pitches::hold_pitch;
use super::rows::{InterestColumns, conflict_on, one_row, time_key};
use crate::PgStore;
use crate::effects::Made;
use crate::pitches::page_of;
use pitchey_model::decide::{self, Conflict, Expected, Refusal};
use pitchey_model::lifecycle::InterestAction;
use pitchey_model::{
    Actor, Interest, InterestId, NewInterest, Page, Position, Side, SortKey, UserId,
};
use pitchey_store::StoreError;
use pitchey_store::accounts::Origin;
use pitchey_store::market::{Created, Once, Outcome};
use time::OffsetDateTime;

impl PgStore {
    pub(super) async fn begin_interest(
        &self,
        actor: &Actor,
        new: &NewInterest,
        once: Option<&Once<Interest>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Created<Interest>> {
        self.run_once("interests.express", actor, once, now, |mut tx| async move {
            let pitch = hold_pitch(&mut tx, new.pitch).await?;
            // A live interest is only in the way, whatever becomes of it: no lock.
            let row = sqlx::query_file_as!(
                InterestColumns,
                "../sql/statements/interests/live.sql",
                new.pitch.0,
                actor.id.0
            )
            .fetch_optional(&mut *tx)
            .await?;
            let live = row.map(Interest::try_from).transpose()?;
            let (interest, effects) =
                decide::express_interest(actor, &pitch, live.as_ref(), new.clone(), now)?;
            sqlx::query_file!(
                "../sql/statements/interests/create.sql",
                interest.id.0,
                interest.pitch.0,
                interest.investor.id.0,
                interest.creator.id.0,
                interest.amount.amount,
                interest.amount.currency.as_str(),
                interest.message,
                interest.created_at
            )
            .execute(&mut *tx)
            .await
            .map_err(conflict_on("interests_live", Conflict::InterestExists))?;
            self.write_effects(&mut tx, &effects, Made::by(actor, origin, now))
                .await?;
            Ok((tx, interest))
        })
        .await
    }

    pub(super) async fn one_interest(
        &self,
        id: InterestId,
    ) -> Result<Option<Interest>, StoreError> {
        let row = self
            .read("interests.by_id", |mut lease| {
                let query = sqlx::query_file_as!(
                    InterestColumns,
                    "../sql/statements/interests/by_id.sql",
                    id.0
                );
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(Interest::try_from).transpose()
    }

    pub(super) async fn move_interest(
        &self,
        actor: &Actor,
        id: InterestId,
        expected: &Expected,
        action: InterestAction,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Interest> {
        self.run_tx("interests.step", |mut tx| async move {
            let row = sqlx::query_file_as!(
                InterestColumns,
                "../sql/statements/interests/lock.sql",
                id.0
            )
            .fetch_optional(&mut *tx)
            .await?;
            let before = Interest::try_from(row.ok_or(Refusal::NotFound)?)?;
            let (after, effects) = decide::step_interest(actor, &before, expected, action, now)?;
            let done = sqlx::query_file!(
                "../sql/statements/interests/update.sql",
                id.0,
                before.version,
                after.status.as_str(),
                after.decided_at,
                now,
                after.version
            )
            .execute(&mut *tx)
            .await?;
            one_row(&done, "investment_interests.version")?;
            self.write_effects(&mut tx, &effects, Made::by(actor, origin, now))
                .await?;
            Ok((tx, after))
        })
        .await
    }

    pub(super) async fn interests_of(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Interest>, StoreError> {
        let (time, id) = time_key(after)?;
        let fetch = i64::from(limit) + 1;
        let rows = match side {
            Side::Outgoing => {
                self.read("interests.of_investor", |mut lease| {
                    let query = sqlx::query_file_as!(
                        InterestColumns,
                        "../sql/statements/interests/of_investor.sql",
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
                self.read("interests.of_creator", |mut lease| {
                    let query = sqlx::query_file_as!(
                        InterestColumns,
                        "../sql/statements/interests/of_creator.sql",
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
        Ok(page_of(items, limit, |interest: &Interest| interest.id.0))
    }
}
