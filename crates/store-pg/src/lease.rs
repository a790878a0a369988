//! A connection in use, and what becomes of it when nobody waits for its statement any more.
//!
//! A statement whose future is dropped goes on in the server, and its connection is of no use until it ends.
//! There are three ways to end it. A cancel request needs the number and the key of the server's process,
//! which sqlx keeps to itself. `statement_timeout` for each read would cost a trip of its own, for sqlx does
//! not pipeline. So the connection is closed, and the server, which looks for that while it works
//! (`client_connection_check_interval`), ends the statement. That costs nothing as long as all goes well,
//! and a new connection when it does not; a statement that ends within [`GRACE`] keeps its connection.

use crate::endpoint::Endpoint;
use pitchey_resilience::Permit;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Postgres};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a statement that nobody waits for any more may take to its end before its connection is closed.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// How long undoing a transaction may take that has come to its end.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);

/// What the holder of a connection and its user share.
#[derive(Debug, Default)]
struct Shared {
    /// Where the user leaves the connection, whichever way it ends.
    left: Mutex<Option<PoolConnection<Postgres>>>,
    in_transaction: AtomicBool,
    statements: AtomicU64,
}

impl Shared {
    fn take(&self) -> Option<PoolConnection<Postgres>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.take()
    }
}

/// A connection in the hands of the work that it is for. Dropped, it goes back to its [`Held`].
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    shared: Arc<Shared>,
}

/// Why a [`Lease`] has a connection whenever it can be reached.
const WHOLE: &str = "only the drop takes the connection";

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_deref().expect(WHOLE)
    }
}

impl DerefMut for Lease {
    /// Each statement borrows the connection once: so they are counted.
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.shared.statements.fetch_add(1, Ordering::Relaxed);
        self.connection.as_deref_mut().expect(WHOLE)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let mut left = (self.shared.left.lock()).unwrap_or_else(PoisonError::into_inner);
            *left = Some(connection);
        }
    }
}

impl Lease {
    /// Begins a transaction, and in the same trip sets how long each statement of it may take.
    pub(crate) async fn begin(&mut self, longest: Option<Duration>) -> Result<(), sqlx::Error> {
        self.shared.in_transaction.store(true, Ordering::Relaxed);
        let statement = match longest {
            None => "BEGIN".to_owned(),
            Some(longest) => {
                let ms = longest.as_millis().max(1);
                format!("BEGIN; SET LOCAL statement_timeout = {ms}")
            }
        };
        self.control(statement).await
    }

    /// Ends a transaction by this statement.
    pub(crate) async fn end(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.control(statement.to_owned()).await?;
        self.shared.in_transaction.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn control(&mut self, statement: String) -> Result<(), sqlx::Error> {
        let connection = self.connection.as_mut().expect(WHOLE);
        // Of constants and a number.
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
            .await?;
        Ok(())
    }
}

/// A connection that is out of its pool, and the place that it has among the others.
///
/// Dropped before [`finish`](Self::finish), be it because the deadline has passed or because the client has
/// left, it sees to it that the server ends what it does.
#[derive(Debug)]
pub(crate) struct Held {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    _permit: Option<Permit>,
    finished: bool,
}

impl Held {
    pub(crate) fn new(
        connection: PoolConnection<Postgres>,
        endpoint: Arc<Endpoint>,
        permit: Option<Permit>,
    ) -> (Self, Lease) {
        let shared = Arc::new(Shared::default());
        let lease = Lease {
            connection: Some(connection),
            shared: shared.clone(),
        };
        let held = Self {
            shared,
            endpoint,
            _permit: permit,
            finished: false,
        };
        (held, lease)
    }

    /// A read has come to its end, for better or worse: the connection can be used again.
    pub(crate) fn release(mut self) {
        drop(self.shared.take());
        self.finished = true;
    }

    /// A transaction has come to its end, for better or worse: if it is not committed it is undone, and the
    /// connection can be used again. Gives how many statements there were.
    pub(crate) async fn finish(mut self) -> u64 {
        let statements = self.shared.statements.load(Ordering::Relaxed);
        if self.shared.in_transaction.load(Ordering::Relaxed) {
            // Left to itself it would be undone some time later: until then its locks would turn away whoever
            // asks next, although the answer was given.
            let Some(connection) = self.shared.take() else {
                return statements;
            };
            let mut lease = Lease {
                connection: Some(connection),
                shared: self.shared.clone(),
            };
            let undone = lease.end("ROLLBACK");
            if !matches!(
                self.endpoint.within(ROLLBACK_TIMEOUT, undone).await,
                Some(Ok(()))
            ) {
                // A server that is not there any more undoes it by itself.
                return statements;
            }
            drop(lease);
        }
        drop(self.shared.take());
        self.finished = true;
        statements
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Some(connection) = self.shared.take() {
            let in_transaction = self.shared.in_transaction.load(Ordering::Relaxed);
            self.endpoint.abandon(connection, in_transaction);
        }
    }
}
