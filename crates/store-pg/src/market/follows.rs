//! Who follows whom.

use super::rows::{person, time_key};
use crate::PgStore;
use crate::effects::Made;
use crate::pitches::page_of;
use pitchey_model::decide::{self, Refusal};
use pitchey_model::{Actor, Page, Position, SortKey, UserId};
use pitchey_runtime::Clock as _;
use pitchey_store::StoreError;
use pitchey_store::accounts::Origin;
use pitchey_store::market::{Followed, Outcome};
use time::OffsetDateTime;

impl PgStore {
    pub(super) async fn begin_to_follow(
        &self,
        actor: &Actor,
        followed: UserId,
        now: OffsetDateTime,
    ) -> Outcome<()> {
        self.run_tx("follows.add", |mut tx| async move {
            let effects = decide::follow(actor, followed)?;
            let row = sqlx::query_file!(
                "../sql/statements/follows/add.sql",
                actor.id.0,
                followed.0,
                now
            )
            .fetch_one(&mut *tx)
            .await?;
            if !row.is_there {
                return Err(Refusal::NotFound.into());
            }
            if row.is_new {
                let origin = Origin::default();
                self.write_effects(&mut tx, &effects, Made::by(actor, &origin, now))
                    .await?;
            }
            Ok((tx, ()))
        })
        .await
    }

    pub(super) async fn stop_following(
        &self,
        actor: &Actor,
        followed: UserId,
    ) -> Result<(), StoreError> {
        self.run_write("follows.remove", |mut tx| async move {
            let done = sqlx::query_file!(
                "../sql/statements/follows/remove.sql",
                actor.id.0,
                followed.0
            )
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() > 0 {
                let effects = decide::unfollow(followed);
                let origin = Origin::default();
                let made = Made::by(actor, &origin, self.clock.wall());
                self.write_effects(&mut tx, &effects, made).await?;
            }
            Ok((tx, ()))
        })
        .await
    }

    pub(super) async fn followed_by(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Followed>, StoreError> {
        let (time, id) = time_key(after)?;
        let fetch = i64::from(limit) + 1;
        let rows = self
            .read("follows.following", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/follows/following.sql",
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
                let followed = Followed {
                    person: person(row.id, &row.username, row.display_name)?,
                    followed_at: row.sort_key,
                };
                Ok((SortKey::Time(row.sort_key), followed))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page_of(items, limit, |followed: &Followed| {
            followed.person.id.0
        }))
    }
}
