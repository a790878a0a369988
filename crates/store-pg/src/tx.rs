//! Transactions: begun, tried again where that is safe, committed or undone as a whole.

use crate::PgStore;
use crate::error::{Failure, store_error};
use crate::invalidation::Raised;
use crate::lease::{Held, Lease};
use crate::outbox::Ring;
use crate::scope::RequestScope;
use pitchey_model::decide::Refusal;
use pitchey_resilience::Deadline;
use pitchey_runtime::{Clock as _, Random as _, Timer as _};
use pitchey_store::StoreError;
use pitchey_store::market::Outcome;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tracing::Instrument as _;

/// A transaction in the hands of the work that it is for. Dropped, it is undone.
#[derive(Debug)]
pub(crate) struct Tx {
    lease: Lease,
    /// Of a transaction that nobody else looks after; after the lease, which leaves it the connection.
    held: Option<Held>,
    /// Whether it wrote events to the outbox, so that the relay has something to do once it is committed.
    pub(crate) wrote_events: bool,
    /// What it raised of the caches' tags.
    pub(crate) raised: Raised,
}

impl Tx {
    fn new(lease: Lease, held: Option<Held>) -> Self {
        Self {
            lease,
            held,
            wrote_events: false,
            raised: Raised::default(),
        }
    }

    /// Whether it left anything in the outbox.
    pub(crate) fn wrote_outbox(&self) -> bool {
        self.wrote_events || !self.raised.rows.is_empty()
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.lease
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.lease
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

impl From<Failure> for Abort {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => Self::Database(error),
            other => Self::Store(other.into()),
        }
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
            let mut statements = 0;
            // Boxed, or the futures of handlers nest deeper than the compiler follows.
            let (result, committed) = Box::pin(self.attempts(name, &work, &mut statements)).await;
            let took = self.clock.now() - start;
            metrics::histogram!("db_transaction_duration_seconds", "transaction" => name)
                .record(took.as_secs_f64());
            self.account(name, &self.primary, statements, took);
            if let Some(committed) = committed {
                self.deliver(committed).await;
            }
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

    /// Tries until it is done, refused, or fails for good; with what it left in the outbox if it may have
    /// been committed.
    async fn attempts<T, F, Fut>(
        &self,
        name: &'static str,
        work: &F,
        statements: &mut u64,
    ) -> (Result<T, Abort>, Option<Committed>)
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<(Tx, T), Abort>>,
    {
        let mut attempt = 1;
        loop {
            let mut committed = None;
            let done = self.attempt(work, statements, &mut committed).await;
            match done {
                Err(Abort::Database(error)) if attempt < ATTEMPTS && lost_to_another(&error) => {
                    metrics::counter!("db_transaction_retries_total", "transaction" => name)
                        .increment(1);
                    let longest = PAUSE * 2_u32.pow(attempt - 1);
                    let share = self.clock.next_u64() as f64 / u64::MAX as f64;
                    self.clock.sleep(longest.mul_f64(share)).await;
                    attempt += 1;
                }
                result => return (result, committed),
            }
        }
    }

    async fn attempt<T, F, Fut>(
        &self,
        work: &F,
        statements: &mut u64,
        committed: &mut Option<Committed>,
    ) -> Result<T, Abort>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<(Tx, T), Abort>>,
    {
        let scope = RequestScope::current();
        let deadline = scope.map(|scope| scope.deadline());
        let (held, lease) = self.begin_by(deadline).await?;
        let begun = self.clock.now();
        let done = async {
            let (tx, value) = work(Tx::new(lease, None)).await?;
            *committed = Some(self.commit_left(tx).await?);
            Ok(value)
        };
        let done = done.await;
        self.primary.observe(begun);
        *statements += held.finish().await;
        done
    }

    /// Begins a transaction for work behind the answers, that no other waits for: dropped, it is undone some
    /// time later.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let begin = || async {
            let acquired = self.primary.acquire_behind().await;
            self.begin_once(acquired, None).await
        };
        let begun = self.breaker.run(begin).await;
        match begun {
            Ok((held, lease)) => Ok(Tx::new(lease, Some(held))),
            Err(Failure::Database(error)) => Err(error),
            Err(Failure::Overloaded(_) | Failure::TooLate) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Begins a transaction whose statements the server ends at the deadline. A connection found dead is
    /// replaced once: nothing has been asked of it yet.
    async fn begin_by(&self, deadline: Option<Deadline>) -> Result<(Held, Lease), Failure> {
        let begin = || async {
            let acquired = self.primary.acquire(deadline).await;
            self.begin_once(acquired, deadline).await
        };
        self.breaker.run(begin).await
    }

    async fn begin_once(
        &self,
        acquired: Result<(Held, Lease), Failure>,
        deadline: Option<Deadline>,
    ) -> Result<(Held, Lease), Failure> {
        let (held, mut lease) = acquired?;
        let longest = deadline.map(|deadline| {
            let left = deadline.remaining(self.clock.now());
            left.min(self.statement_timeout)
        });
        match lease.begin(longest).await {
            Ok(()) => Ok((held, lease)),
            Err(error) => {
                drop(lease);
                held.finish().await;
                Err(error.into())
            }
        }
    }

    /// Commits, has the caches drop what changed, and wakes this process's relay if that leaves it something
    /// to deliver.
    pub(crate) async fn commit(&self, mut tx: Tx) -> Result<(), sqlx::Error> {
        let held = tx.held.take();
        let committed = self.commit_left(tx).await?;
        if let Some(held) = held {
            held.finish().await;
        }
        self.deliver(committed).await;
        Ok(())
    }

    /// Commits. Should the caller go before what was left is delivered, the relay is woken for it.
    async fn commit_left(&self, mut tx: Tx) -> Result<Committed, sqlx::Error> {
        // Should the answer be lost, it may be committed all the same.
        let ring = self.outbox.ring_at_the_end(tx.wrote_outbox());
        tx.lease.end("COMMIT").await?;
        Ok(Committed {
            ring,
            wrote_events: tx.wrote_events,
            raised: std::mem::take(&mut tx.raised),
        })
    }

    async fn deliver(&self, committed: Committed) {
        let Committed {
            ring,
            wrote_events,
            raised,
        } = committed;
        // Boxed, as above.
        let invalidated = raised.rows.is_empty() || Box::pin(self.invalidate(raised)).await;
        if invalidated && !wrote_events {
            ring.muffle();
        }
    }
}

/// What a committed transaction left in the outbox.
#[derive(Debug)]
struct Committed {
    ring: Ring,
    wrote_events: bool,
    raised: Raised,
}

/// Serialisation failures (40001) and deadlocks (40P01): undone by the server for the sake of another
/// transaction, and fine the next time.
fn lost_to_another(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database
        .and_then(|database| database.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(|pg| matches!(pg.code(), "40001" | "40P01"))
}
