//! The outbox: what changes left to be delivered, in order for each aggregate, at least once.
//!
//! Every origin relays. A round is a transaction around the delivery: it holds what it delivers, so that
//! several relays share the work and none delivers a later event of an aggregate before an earlier one;
//! a relay that is killed leaves everything as it was. Consumers see some things twice.
//!
//! The order is that of the rows' numbers. It is the order of the changes where writers hold the row of the
//! aggregate, as all do for pitches, NDAs and interests. Notifications of one account that are written at
//! the same moment have none.
//!
//! A relay is woken in three ways: by [`OutboxWrites`] when its own process wrote, by [`OutboxListener`] when
//! an operator did, and by its own timer for what other origins left behind. A trigger that notifies is not
//! used, since every notifying commit waits for a lock of the whole server.

use crate::PgStore;
use crate::error::store_error;
use pitchey_store::StoreError;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::collections::HashSet;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

/// What operators' transactions notify.
const CHANNEL: &str = "outbox";
/// The most rows or aggregates of a round.
const MAX_ROUND: i64 = 1000;
/// The most events of one aggregate in a round: one that is busy must not keep the others waiting.
const MAX_OF_AGGREGATE: i64 = 16;
/// Where the counts of [`OutboxStatus`] end.
const MAX_COUNT: i64 = 100_000;
/// How many rows are replayed at once.
const REPLAY_BATCH: i64 = 5000;

/// An event to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its number. It goes up with time for each aggregate; a consumer that has seen it has seen the event.
    pub id: i64,
    /// What kind of thing its order is kept for.
    pub aggregate_kind: String,
    /// The thing its order is kept for.
    pub aggregate_id: Uuid,
    /// Its kind, as in its JSON.
    pub event_kind: String,
    /// A [`pitchey_model::event::Event`] as JSON.
    pub payload: String,
    /// When it happened.
    pub created_at: OffsetDateTime,
    /// How often its delivery has failed.
    pub attempts: i32,
}

/// An invalidation to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxTag {
    /// Its number.
    pub id: i64,
    /// A [`pitchey_model::event::Tag`] as text; the same one may be there several times.
    pub tag: String,
    /// When it was left.
    pub created_at: OffsetDateTime,
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayRound {
    /// Rows that were handed over. None: there is nothing to do, or others are at it.
    pub taken: usize,
    /// Rows that were delivered.
    pub delivered: usize,
}

impl RelayRound {
    /// Whether another round at once may find more: something was there, and all of it was delivered.
    pub const fn go_on(self) -> bool {
        self.taken > 0 && self.taken == self.delivered
    }
}

/// How far deliveries of one sort are behind.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Backlog {
    /// Rows to be delivered, counted up to 100,000.
    pub pending: i64,
    /// The age of the oldest of them, in seconds.
    pub oldest_s: Option<f64>,
    /// Rows delivered within the last hour, counted up to 100,000.
    pub delivered_last_hour: i64,
}

/// How far deliveries are behind.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct OutboxStatus {
    /// Invalidations.
    pub tags: Backlog,
    /// Events.
    pub events: Backlog,
    /// The most failures of an event that is to be delivered.
    pub attempts_max: i32,
}

/// What is to be delivered once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// Invalidations.
    Tags,
    /// Events, of one kind or of all.
    Events(Option<String>),
}

impl PgStore {
    /// Hands pending events of at most `limit` aggregates, the longest waiting first, to `deliver`, in
    /// order, and marks those whose numbers come back as delivered.
    ///
    /// What follows an event of its aggregate that does not come back counts as not delivered, and that event
    /// is tried again after a pause that grows to 16 s. `deliver` ends within a deadline of its
    /// own, well below the server's for idle transactions: nothing is marked if the transaction has gone.
    pub async fn relay_events<F, Fut>(
        &self,
        limit: i64,
        deliver: F,
    ) -> Result<RelayRound, StoreError>
    where
        F: FnOnce(Vec<OutboxEvent>) -> Fut,
        Fut: Future<Output = Vec<i64>>,
    {
        self.event_round(limit, deliver).await.map_err(store_error)
    }

    async fn event_round<F, Fut>(&self, limit: i64, deliver: F) -> Result<RelayRound, sqlx::Error>
    where
        F: FnOnce(Vec<OutboxEvent>) -> Fut,
        Fut: Future<Output = Vec<i64>>,
    {
        let mut tx = self.begin().await?;
        let aggregates = sqlx::query_file_scalar!(
            "../sql/statements/outbox/event_heads.sql",
            limit.clamp(1, MAX_ROUND)
        )
        .fetch_all(&mut *tx)
        .await?;
        if aggregates.is_empty() {
            return Ok(RelayRound::default());
        }
        // A new statement sees what the relay before this one has marked.
        let events = sqlx::query_file_as!(
            OutboxEvent,
            "../sql/statements/outbox/event_pending.sql",
            &aggregates,
            MAX_OF_AGGREGATE
        )
        .fetch_all(&mut *tx)
        .await?;
        let order: Vec<_> = events.iter().map(|e| (e.id, e.aggregate_id)).collect();
        let marks = Marks::of(&order, &deliver(events).await.into_iter().collect());
        sqlx::query_file!(
            "../sql/statements/outbox/event_mark.sql",
            &marks.delivered,
            &marks.failed
        )
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await?;
        Ok(RelayRound {
            taken: order.len(),
            delivered: marks.delivered.len(),
        })
    }

    /// Hands at most `limit` pending invalidations, the oldest first, to `deliver`, and marks those whose
    /// numbers come back as delivered. The deadline is as with [`relay_events`](Self::relay_events).
    pub async fn relay_tags<F, Fut>(&self, limit: i64, deliver: F) -> Result<RelayRound, StoreError>
    where
        F: FnOnce(Vec<OutboxTag>) -> Fut,
        Fut: Future<Output = Vec<i64>>,
    {
        self.tag_round(limit, deliver).await.map_err(store_error)
    }

    async fn tag_round<F, Fut>(&self, limit: i64, deliver: F) -> Result<RelayRound, sqlx::Error>
    where
        F: FnOnce(Vec<OutboxTag>) -> Fut,
        Fut: Future<Output = Vec<i64>>,
    {
        let mut tx = self.begin().await?;
        let tags = sqlx::query_file_as!(
            OutboxTag,
            "../sql/statements/outbox/cache_pending.sql",
            limit.clamp(1, MAX_ROUND)
        )
        .fetch_all(&mut *tx)
        .await?;
        if tags.is_empty() {
            return Ok(RelayRound::default());
        }
        let held: HashSet<i64> = tags.iter().map(|tag| tag.id).collect();
        let mut delivered = deliver(tags).await;
        delivered.retain(|id| held.contains(id));
        delivered.sort_unstable();
        delivered.dedup();
        sqlx::query_file!("../sql/statements/outbox/cache_mark.sql", &delivered)
            .execute(&mut *tx)
            .await?;
        self.commit(tx).await?;
        Ok(RelayRound {
            taken: held.len(),
            delivered: delivered.len(),
        })
    }

    /// How far deliveries are behind.
    pub async fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        let row = self
            .read("outbox.status", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/outbox/status.sql", MAX_COUNT);
                async move { query.fetch_one(&mut *lease).await }
            })
            .await?;
        Ok(OutboxStatus {
            tags: Backlog {
                pending: row.tags_pending,
                oldest_s: row.tags_oldest_s,
                delivered_last_hour: row.tags_delivered,
            },
            events: Backlog {
                pending: row.events_pending,
                oldest_s: row.events_oldest_s,
                delivered_last_hour: row.events_delivered,
            },
            attempts_max: row.attempts,
        })
    }

    /// Makes what was delivered since a moment pending again, oldest first and in batches, and wakes the
    /// relays of every origin. Gives how many rows; those older than a day are gone.
    pub async fn replay(&self, what: &Replay, since: OffsetDateTime) -> Result<u64, StoreError> {
        // What the relays deliver while this runs must not be replayed again.
        let until = self
            .run_write("outbox.wake", |mut tx| async move {
                let now = sqlx::query_file_scalar!("../sql/statements/outbox/wake.sql")
                    .fetch_one(&mut *tx)
                    .await?;
                Ok((tx, now))
            })
            .await?;
        let mut replayed = 0;
        loop {
            let batch = self.replay_batch(what, since, until).await?;
            replayed += batch;
            if batch < REPLAY_BATCH.unsigned_abs() {
                return Ok(replayed);
            }
        }
    }

    async fn replay_batch(
        &self,
        what: &Replay,
        since: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        self.run_write("outbox.replay", |mut tx| async move {
            let done = match what {
                Replay::Tags => {
                    sqlx::query_file!(
                        "../sql/statements/outbox/cache_replay.sql",
                        since,
                        until,
                        REPLAY_BATCH
                    )
                    .execute(&mut *tx)
                    .await?
                }
                Replay::Events(kind) => {
                    sqlx::query_file!(
                        "../sql/statements/outbox/event_replay.sql",
                        since,
                        until,
                        kind.as_deref(),
                        REPLAY_BATCH
                    )
                    .execute(&mut *tx)
                    .await?
                }
            };
            sqlx::query_file_scalar!("../sql/statements/outbox/wake.sql")
                .fetch_one(&mut *tx)
                .await?;
            tx.wrote_events = true;
            Ok((tx, done.rows_affected()))
        })
        .await
    }

    /// Tells when this process has left something in the outbox.
    pub fn outbox_written(&self) -> OutboxWrites {
        OutboxWrites(self.outbox.0.subscribe())
    }

    /// Listens for the wake-ups of other processes, over a connection of its own.
    pub async fn listen_outbox(&self) -> Result<OutboxListener, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.pool.options().get_acquire_timeout())
            .connect_lazy_with((*self.pool.connect_options()).clone());
        let mut listener = OutboxListener {
            pool,
            listener: None,
        };
        listener.connect().await?;
        Ok(listener)
    }
}

/// Which events of a round were delivered, and which were tried in vain.
#[derive(Debug, PartialEq, Eq)]
struct Marks {
    delivered: Vec<i64>,
    failed: Vec<i64>,
}

impl Marks {
    /// `order` is what was handed over; an aggregate ends with its first event that was not delivered.
    fn of(order: &[(i64, Uuid)], confirmed: &HashSet<i64>) -> Self {
        let mut marks = Self {
            delivered: Vec::with_capacity(order.len()),
            failed: Vec::new(),
        };
        let mut stopped = HashSet::new();
        for (id, aggregate) in order {
            if stopped.contains(aggregate) {
                continue;
            }
            if confirmed.contains(id) {
                marks.delivered.push(*id);
            } else {
                stopped.insert(*aggregate);
                marks.failed.push(*id);
            }
        }
        marks
    }
}

/// Rung after each commit that left something in the outbox.
#[derive(Debug, Clone)]
pub(crate) struct OutboxBell(Arc<watch::Sender<()>>);

impl Default for OutboxBell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl OutboxBell {
    fn ring(&self) {
        self.0.send_replace(());
    }

    /// Rings when the guard is dropped, however that comes about, unless it is muffled before.
    pub(crate) fn ring_at_the_end(&self, rings: bool) -> Ring {
        Ring(rings.then(|| self.clone()))
    }
}

/// Rings the bell when it is dropped.
#[derive(Debug)]
pub(crate) struct Ring(Option<OutboxBell>);

impl Ring {
    /// There is nothing left to do for the relay.
    pub(crate) fn muffle(mut self) {
        self.0 = None;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(bell) = self.0.take() {
            bell.ring();
        }
    }
}

/// Tells a relay that its own process has left something in the outbox. Each has its own.
#[derive(Debug)]
pub struct OutboxWrites(watch::Receiver<()>);

impl OutboxWrites {
    /// Waits until something was left since the call before, or since this was made. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The store has gone, and nobody is left to write.
            std::future::pending::<()>().await;
        }
    }
}

/// Hears the wake-ups of other processes.
#[derive(Debug)]
pub struct OutboxListener {
    pool: sqlx::PgPool,
    listener: Option<PgListener>,
}

impl OutboxListener {
    /// Waits until somebody wakes the relays. A connection that was lost counts as well, since a wake-up may
    /// have been lost with it; it is made anew. After an error wait a little and call again.
    ///
    /// A peer that has silently gone is not noticed: the relay's timer is there for that. Dropping the future
    /// loses nothing.
    pub async fn woken(&mut self) -> Result<(), StoreError> {
        if self.listener.is_none() {
            self.connect().await?;
            return Ok(());
        }
        let heard = match &mut self.listener {
            Some(listener) => listener.try_recv().await,
            None => Ok(None),
        };
        if let Err(error) = heard {
            self.listener = None;
            return Err(store_error(error));
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), StoreError> {
        let mut listener = PgListener::connect_with(&self.pool)
            .await
            .map_err(store_error)?;
        listener.listen(CHANNEL).await.map_err(store_error)?;
        self.listener = Some(listener);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_failure_of_its_aggregate_counts_as_not_delivered() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let order = [(1, a), (2, b), (3, a), (4, b), (5, a)];
        let marks = Marks::of(&order, &[1, 4, 5, 99].into());
        assert_eq!(
            marks,
            Marks {
                delivered: vec![1],
                failed: vec![2, 3]
            }
        );
    }
}
