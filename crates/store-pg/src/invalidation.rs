//! Having the caches drop what a transaction changed, right after its commit.
//!
//! The tags stand in the outbox, written in the transaction, so that they are delivered in any case. Here
//! the request that made the change delivers them itself, so that its answer means that no cache gives the
//! old version any more; the relay does what this leaves undone.

use crate::PgStore;
use pitchey_model::WalPosition;
use pitchey_runtime::timeout;
use pitchey_store::Freshness as _;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The longest that a write waits for the caches, and what is done about it, after its commit. The relay
/// goes on from there.
pub const INVALIDATION_TIMEOUT: Duration = Duration::from_secs(1);

/// Invalidations after commits. Label: `outcome` (`acknowledged`, `unacknowledged`, `timeout`).
const INVALIDATIONS: &str = "db_invalidations_total";

/// Where the tags of committed changes go.
pub trait Invalidate: Send + Sync + 'static {
    /// Drops what is cached under these tags. `position` is one that includes the change: what is loaded
    /// from a replica from now on must have seen it. It is absent where there are no replicas.
    ///
    /// `true` once the cache that all share has acknowledged it: nobody is given an older version any
    /// more. It has deadlines of its own; the caller waits for at most [`INVALIDATION_TIMEOUT`] and
    /// may drop the future at any moment.
    fn invalidate(
        &self,
        tags: Vec<String>,
        position: Option<WalPosition>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// Who is told, if anybody is.
#[derive(Clone, Default)]
pub(crate) struct Invalidation(Option<Arc<dyn Invalidate>>);

impl fmt::Debug for Invalidation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.is_some();
        formatter.debug_tuple("Invalidation").field(&told).finish()
    }
}

/// The tags that a transaction raised, and the rows of the outbox that they stand in.
#[derive(Debug, Default)]
pub(crate) struct Raised {
    pub(crate) tags: Vec<String>,
    pub(crate) rows: Vec<i64>,
}

/// What came of an invalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Unacknowledged,
    Timeout,
}

impl PgStore {
    /// The same, but every commit has `invalidate` drop the tags that it raised before it is acknowledged.
    #[must_use]
    pub fn with_invalidation(self, invalidate: Arc<dyn Invalidate>) -> Self {
        Self {
            invalidation: Invalidation(Some(invalidate)),
            ..self
        }
    }

    /// Has the caches drop what a committed transaction raised. Whether that leaves nothing of it to the
    /// relay.
    pub(crate) async fn invalidate(&self, mut raised: Raised) -> bool {
        let Some(told) = &self.invalidation.0 else {
            return false;
        };
        raised.tags.sort_unstable();
        raised.tags.dedup();
        let Raised { tags, rows } = raised;
        let acknowledged = async {
            // Without the position a cache might be filled from a replica that has not seen the change.
            let Ok(position) = self.written_position().await else {
                // Nor is it acknowledged without one; but what this process itself keeps must go.
                told.invalidate(tags, None).await;
                return None;
            };
            let acknowledged = told.invalidate(tags, position).await;
            Some(acknowledged).filter(|acknowledged| *acknowledged)
        };
        let outcome = match timeout(&self.clock, INVALIDATION_TIMEOUT, acknowledged).await {
            Ok(Some(_)) => Outcome::Acknowledged,
            Ok(None) => Outcome::Unacknowledged,
            Err(_) => Outcome::Timeout,
        };
        let label = match outcome {
            Outcome::Acknowledged => "acknowledged",
            Outcome::Unacknowledged => "unacknowledged",
            Outcome::Timeout => "timeout",
        };
        metrics::counter!(INVALIDATIONS, "outcome" => label).increment(1);
        // Both are extras: rows without a mark are delivered once more, and relays look by themselves.
        let after = async {
            if outcome == Outcome::Acknowledged {
                self.mark_delivered(&rows).await.is_ok()
            } else {
                // This process may be cut off from the cache alone: another's relay may not be.
                let _ = self.wake_relays().await;
                false
            }
        };
        timeout(&self.clock, INVALIDATION_TIMEOUT, after)
            .await
            .unwrap_or(false)
    }

    async fn mark_delivered(&self, rows: &[i64]) -> Result<(), sqlx::Error> {
        sqlx::query_file!("../sql/statements/outbox/cache_acknowledge.sql", rows)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn wake_relays(&self) -> Result<(), sqlx::Error> {
        sqlx::query_file_scalar!("../sql/statements/outbox/wake.sql")
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }
}
