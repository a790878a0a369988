//! What accounts are told.

use super::rows::time_key;
use crate::PgStore;
use crate::error::corrupt;
use crate::pitches::page_of;
use crate::rows::word;
use pitchey_model::event::Notification;
use pitchey_model::{NotificationId, Page, Position, SortKey, UserId};
use pitchey_store::StoreError;
use time::OffsetDateTime;
use uuid::Uuid;

/// Unread notifications are counted up to here.
const MOST_COUNTED: i64 = 100;
/// So many are marked as read in one transaction.
const BATCH: i64 = 1000;
/// So many batches at most: who has more unread ones asks again.
const BATCHES: u32 = 100;

impl PgStore {
    pub(super) async fn told(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Notification>, StoreError> {
        let (time, id) = time_key(after)?;
        let fetch = i64::from(limit) + 1;
        let rows = self
            .read("notifications.of_user", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/notifications/of_user.sql",
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
                let notification = Notification {
                    id: row.id.into(),
                    kind: word("kind", &row.kind)?,
                    notice: serde_json::from_value(row.payload)
                        .map_err(|error| corrupt("payload", &format!("{}: {error}", row.id)))?,
                    created_at: row.created_at,
                    read_at: row.read_at,
                };
                Ok((SortKey::Time(row.created_at), notification))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page_of(items, limit, |told: &Notification| told.id.0))
    }

    pub(super) async fn unread(&self, user: UserId) -> Result<i64, StoreError> {
        self.read("notifications.unread_count", |mut lease| {
            let query = sqlx::query_file_scalar!(
                "../sql/statements/notifications/unread_count.sql",
                user.0,
                MOST_COUNTED
            );
            async move { query.fetch_one(&mut *lease).await }
        })
        .await
    }

    pub(super) async fn mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let ids = ids.as_slice();
        self.run_write("notifications.read", |mut tx| async move {
            let done =
                sqlx::query_file!("../sql/statements/notifications/read.sql", user.0, ids, now)
                    .execute(&mut *tx)
                    .await?;
            Ok((tx, done.rows_affected()))
        })
        .await
    }

    /// In batches, each a transaction: years of notifications are not held locked at once.
    pub(super) async fn mark_all_read(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let mut all = 0;
        for _ in 0..BATCHES {
            let marked = self
                .run_write("notifications.read_all", |mut tx| async move {
                    let done = sqlx::query_file!(
                        "../sql/statements/notifications/read_all.sql",
                        user.0,
                        now,
                        BATCH
                    )
                    .execute(&mut *tx)
                    .await?;
                    Ok((tx, done.rows_affected()))
                })
                .await?;
            all += marked;
            if marked < BATCH.unsigned_abs() {
                break;
            }
        }
        Ok(all)
    }
}
