//! What keeps the database in order, on a schedule: partitions ahead of time, removal of what is over, the
//! figures that lists and dashboards show.
//!
//! Every origin has the schedule; [`PgStore::with_duty`] lets one of them at a time do it. Nothing here harms
//! if it is done twice.

use crate::PgStore;
use crate::error::store_error;
use crate::inspect::{PartitionedTable, Step};
use crate::tx::Tx;
use pitchey_store::StoreError;
use time::{Duration, OffsetDateTime};

/// Months of events for which there are partitions ahead of time.
const MONTHS_AHEAD: i64 = 2;
/// Days of measurements for which there are partitions ahead of time.
const DAYS_AHEAD: i64 = 7;
/// How long delivered rows of the outbox stay: as long as they can be replayed.
const KEEP_DELIVERED: Duration = Duration::DAY;
/// The most batches of one sort that a clean-up removes.
const MAX_BATCHES: u32 = 100;

/// Refreshing figures takes minutes on millions of rows, where other statements take milliseconds.
const LONG: &str = "SET LOCAL statement_timeout = '10min'";
/// Making a partition locks its table against writers, who would wait behind it.
const SOON: &str = "SET LOCAL lock_timeout = '2s'";

/// How many rows a clean-up removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CleanedUp {
    /// Sessions that have ended.
    pub sessions: u64,
    /// Idempotency keys whose answers are no longer kept.
    pub idempotency_keys: u64,
    /// Invalidations delivered more than a day ago.
    pub tags: u64,
    /// Events delivered more than a day ago.
    pub events: u64,
}

/// Scores that changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rescored {
    /// Pitches with another score.
    pub pitches: u64,
    /// Rows of lists with another score or number of views.
    pub listings: u64,
}

/// What a clean-up removes.
#[derive(Debug, Clone, Copy)]
enum Waste {
    Sessions,
    IdempotencyKeys,
    Tags,
    Events,
}

impl PgStore {
    /// Makes the partitions that are missing for the events and measurements of the near future; how many.
    pub async fn ensure_partitions(&self, now: OffsetDateTime) -> Result<u32, StoreError> {
        let mut made = 0;
        for table in PartitionedTable::ALL {
            let ahead = match table.step {
                // Two months are at most 62 days.
                Step::Month => Duration::days(31 * MONTHS_AHEAD),
                Step::Day => Duration::days(DAYS_AHEAD),
            };
            made += self
                .run_write("partitions.ensure", |mut tx| async move {
                    sqlx::query(SOON).execute(&mut *tx).await?;
                    let made = sqlx::query_file_scalar!(
                        "../sql/statements/partitions/ensure.sql",
                        table.name,
                        table.step.as_str(),
                        now,
                        now + ahead
                    )
                    .fetch_one(&mut *tx)
                    .await?;
                    Ok((tx, made.unsigned_abs()))
                })
                .await?;
        }
        Ok(made)
    }

    /// Removes what is over, `batch` rows at a time, each a transaction of its own.
    pub async fn clean_up(&self, now: OffsetDateTime, batch: u32) -> Result<CleanedUp, StoreError> {
        let delivered = now - KEEP_DELIVERED;
        Ok(CleanedUp {
            sessions: self.remove(Waste::Sessions, now, batch).await?,
            idempotency_keys: self.remove(Waste::IdempotencyKeys, now, batch).await?,
            tags: self.remove(Waste::Tags, delivered, batch).await?,
            events: self.remove(Waste::Events, delivered, batch).await?,
        })
    }

    async fn remove(
        &self,
        waste: Waste,
        before: OffsetDateTime,
        batch: u32,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        for _ in 0..MAX_BATCHES {
            let gone = self
                .run_write("clean_up", |mut tx| async move {
                    let gone = waste.remove(&mut tx, before, batch.into()).await?;
                    Ok((tx, gone))
                })
                .await?;
            removed += gone;
            if gone < u64::from(batch) {
                break;
            }
        }
        Ok(removed)
    }

    /// Scores anew what was viewed since a moment, and copies the scores to where lists sort by them.
    pub async fn refresh_scores(&self, since: OffsetDateTime) -> Result<Rescored, StoreError> {
        let pitches = self
            .run_write("trending.refresh", |mut tx| async move {
                sqlx::query(LONG).execute(&mut *tx).await?;
                let done = sqlx::query_file!("../sql/statements/trending/refresh.sql", since)
                    .execute(&mut *tx)
                    .await?;
                Ok((tx, done.rows_affected()))
            })
            .await?;
        let listings = self
            .run_write("listings.refresh_scores", |mut tx| async move {
                sqlx::query(LONG).execute(&mut *tx).await?;
                let done =
                    sqlx::query_file!("../sql/statements/listings/refresh_scores.sql", since)
                        .execute(&mut *tx)
                        .await?;
                Ok((tx, done.rows_affected()))
            })
            .await?;
        Ok(Rescored { pitches, listings })
    }

    /// Brings the figures of dashboards up to date, without locking out their readers.
    pub async fn refresh_stats(&self) -> Result<(), StoreError> {
        self.run_write("stats.refresh", |mut tx| async move {
            sqlx::query(LONG).execute(&mut *tx).await?;
            sqlx::query_file!("../sql/statements/stats/refresh.sql")
                .execute(&mut *tx)
                .await?;
            Ok((tx, ()))
        })
        .await
    }

    /// Does `work` unless another process is at this duty; `None` if one is.
    ///
    /// A connection of the pool holds the lock meanwhile, and is closed afterwards: however `work` ends, and
    /// should it be dropped, the lock ends with it. Should the connection be lost, another process may begin.
    pub async fn with_duty<T, Fut>(
        &self,
        duty: &str,
        work: impl FnOnce() -> Fut,
    ) -> Result<Option<T>, StoreError>
    where
        Fut: Future<Output = T>,
    {
        let mut connection = self.pool.acquire().await.map_err(store_error)?;
        // From here on the lock may be had, whether the answer arrives or not.
        connection.close_on_drop();
        let claimed = sqlx::query_file_scalar!("../sql/statements/duty/claim.sql", duty)
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)?;
        let done = if claimed { Some(work().await) } else { None };
        if claimed {
            // Closing would let others in as well, only later. What was done is done if this fails.
            let released = sqlx::query_file_scalar!("../sql/statements/duty/release.sql", duty)
                .fetch_one(&mut *connection)
                .await;
            if let Err(error) = released {
                tracing::warn!(duty, %error, "the lock of a duty ends with its connection");
            }
        }
        Ok(done)
    }
}

impl Waste {
    async fn remove(
        self,
        tx: &mut Tx,
        before: OffsetDateTime,
        batch: i64,
    ) -> Result<u64, sqlx::Error> {
        macro_rules! delete {
            ($path:literal) => {
                sqlx::query_file!($path, before, batch)
                    .execute(&mut **tx)
                    .await?
                    .rows_affected()
            };
        }
        Ok(match self {
            Self::Sessions => delete!("../sql/statements/sessions/expired.sql"),
            Self::IdempotencyKeys => delete!("../sql/statements/idempotency/expired.sql"),
            Self::Tags => delete!("../sql/statements/outbox/cache_delivered.sql"),
            Self::Events => delete!("../sql/statements/outbox/event_delivered.sql"),
        })
    }
}
