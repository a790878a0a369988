//! Transactions: begun, tried again where that is safe, committed or undone as a whole.

use crate::PgStore;
use crate::error::store_error;
use crate::invalidation::Raised;
use pitchey_model::decide::Refusal;
use pitchey_runtime::{Clock as _, Random as _, Timer as _};
use pitchey_store::StoreError;
use pitchey_store::market::Outcome;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{Postgres, Transaction};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Instrument as _;

/// A transaction in the hands of the work that it is for. Dropped, it is undone.
#[derive(Debug)]
pub(crate) struct Tx {
    /// Until it is committed or dropped.
    inner: Option<Transaction<'static, Postgres>>,
    left: Left,
    /// Whether it wrote events to the outbox, so that the relay has something to do once it is committed.
    pub(crate) wrote_events: bool,
    /// What it raised of the caches' tags.
    pub(crate) raised: Raised,
}

impl Tx {
    /// Whether it left anything in the outbox.
    pub(crate) fn wrote_outbox(&self) -> bool {
        self.wrote_events || !self.raised.rows.is_empty()
    }
}

/// Where work that fails leaves its transaction. The driver undoes a dropped one some time later: until then
/// its locks would turn away whoever asks next, although the answer was given.
#[derive(Debug, Clone, Default)]
struct Left(Arc<Mutex<Option<Transaction<'static, Postgres>>>>);

impl Left {
    fn slot(&self) -> MutexGuard<'_, Option<Transaction<'static, Postgres>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn roll_back(&self) {
        let left = self.slot().take();
        if let Some(left) = left {
            // A server that is not there any more undoes it by itself.
            let _ = left.rollback().await;
        }
    }
}

/// Why a [`Tx`] has a transaction whenever it can be reached.
const WHOLE: &str = "only a commit and a drop take the transaction, and both end the value";

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.inner.as_deref().expect(WHOLE)
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.inner.as_deref_mut().expect(WHOLE)
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(undone) = self.inner.take() {
            *self.left.slot() = Some(undone);
        }
    }
}

/// How often a transaction is tried that others keep from being done.
const ATTEMPTS: u32 = 3;
/// The longest pause before the second try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a transaction is undone.
#[derive(Debug)]
pub(crate) enum Abort {
    /// What was asked for is refused.
    Refused(Refusal),
    /// A statement failed.
    Database(sqlx::Error),
    /// A row is not what the schema promises.
    Store(StoreError),
}

impl From<Refusal> for Abort {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sqlx::Error> for Abort {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl PgStore {
    /// Runs `work` in a transaction and commits it. `work` gives the transaction back with its result; an
    /// error, or a refusal, undoes everything.
    ///
    /// Deadlocks and serialisation failures are tried again, all of it from the beginning, so `work` does
    /// nothing but what the transaction undoes. A connection lost at the commit leaves open whether it
    /// was done: that is an error, and it is never tried again here.
    pub(crate) async fn run_tx<T, F, Fut>(&self, name: &'static str, work: F) -> Outcome<T>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<(Tx, T), Abort>>,
    {
        let span = tracing::debug_span!("transaction", name);
        async {
            let start = self.clock.now();
            let result = self.attempts(name, work).await;
            metrics::histogram!("db_transaction_duration_seconds", "transaction" => name)
                .record(self.clock.now().since(start).as_secs_f64());
            match result {
                Ok(value) => Ok(Ok(value)),
                Err(Abort::Refused(refusal)) => Ok(Err(refusal)),
                Err(Abort::Store(error)) => Err(error),
                Err(Abort::Database(error)) => {
                    metrics::counter!("db_transaction_errors_total", "transaction" => name)
                        .increment(1);
                    Err(store_error(error))
                }
            }
        }
        .instrument(span)
        .await
    }

    /// A transaction that nothing is refused in.
    pub(crate) async fn run_write<T, F, Fut>(
        &self,
        name: &'static str,
        work: F,
    ) -> Result<T, StoreError>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<(Tx, T), Abort>>,
    {
        self.run_tx(name, work)
            .await?
            .map_err(|refusal| StoreError::Internal(refusal.into()))
    }

    async fn attempts<T, F, Fut>(&self, name: &'static str, work: F) -> Result<T, Abort>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<(Tx, T), Abort>>,
    {
        let mut attempt = 1;
        loop {
            let left = Left::default();
            let done = async {
                let (tx, value) = work(self.begin_in(&left).await?).await?;
                self.commit(tx).await?;
                Ok(value)
            };
            let done = done.await;
            left.roll_back().await;
            match done {
                Err(Abort::Database(error)) if attempt < ATTEMPTS && lost_to_another(&error) => {
                    metrics::counter!("db_transaction_retries_total", "transaction" => name)
                        .increment(1);
                    let longest = PAUSE * 2_u32.pow(attempt - 1);
                    let share = self.clock.next_u64() as f64 / u64::MAX as f64;
                    self.clock.sleep(longest.mul_f64(share)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Begins a transaction for work that no other waits for: dropped, it is undone some time later.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.begin_in(&Left::default()).await
    }

    /// A connection found dead is replaced once: nothing has been asked of it yet.
    async fn begin_in(&self, left: &Left) -> Result<Tx, sqlx::Error> {
        let begun = self.breaker.run(|| self.pool.begin()).await?;
        Ok(Tx {
            inner: Some(begun),
            left: left.clone(),
            wrote_events: false,
            raised: Raised::default(),
        })
    }

    /// Commits, has the caches drop what changed, and wakes this process's relay if that leaves it something
    /// to deliver. Should the caller go before the end, the relay does the rest.
    pub(crate) async fn commit(&self, mut tx: Tx) -> Result<(), sqlx::Error> {
        // Should the answer be lost, it may be committed all the same.
        let ring = self.outbox.ring_at_the_end(tx.wrote_outbox());
        let wrote_events = tx.wrote_events;
        let raised = std::mem::take(&mut tx.raised);
        if let Some(inner) = tx.inner.take() {
            inner.commit().await?;
        }
        if self.invalidate(raised).await && !wrote_events {
            ring.muffle();
        }
        Ok(())
    }
}

/// Serialisation failures (40001) and deadlocks (40P01): undone by the server for the sake of another
/// transaction, and fine the next time.
fn lost_to_another(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database
        .and_then(|database| database.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(|pg| matches!(pg.code(), "40001" | "40P01"))
}
