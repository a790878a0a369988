//! The figures of the dashboards.

use crate::PgStore;
use pitchey_model::UserId;
use pitchey_store::StoreError;
use pitchey_store::market::{CreatorFigures, InvestorFigures};
use time::OffsetDateTime;

/// Counting stops here: so many of each kind are looked at, which is all that most people ever have.
const MOST_COUNTED: i64 = 10_000;

impl PgStore {
    pub(super) async fn figures_of_creator(
        &self,
        user: UserId,
    ) -> Result<CreatorFigures, StoreError> {
        let now = self
            .read("stats.creator_now", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/stats/creator_now.sql",
                    user.0,
                    MOST_COUNTED
                );
                async move { query.fetch_one(&mut *lease).await }
            })
            .await?;
        let ever = self
            .read("stats.of_creator", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/stats/of_creator.sql", user.0);
                async move { query.fetch_one(&mut *lease).await }
            })
            .await?;
        Ok(CreatorFigures {
            drafts: now.drafts,
            published: now.published,
            archived: now.archived,
            followers: now.followers,
            ndas_waiting: now.ndas_waiting,
            interests_waiting: now.interests_waiting,
            views: ever.views,
            views_7d: ever.views_7d,
            saves: ever.saves,
            ndas_requested: ever.ndas_requested,
            ndas_approved: ever.ndas_approved,
            interests: ever.interests,
        })
    }

    pub(super) async fn figures_of_investor(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<InvestorFigures, StoreError> {
        let row = self
            .read("stats.investor_now", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/stats/investor_now.sql",
                    user.0,
                    now,
                    MOST_COUNTED
                );
                async move { query.fetch_one(&mut *lease).await }
            })
            .await?;
        Ok(InvestorFigures {
            saved: row.saved,
            following: row.following,
            ndas_waiting: row.ndas_waiting,
            ndas_approved: row.ndas_approved,
            interests_waiting: row.interests_waiting,
            interests_accepted: row.interests_accepted,
        })
    }
}
