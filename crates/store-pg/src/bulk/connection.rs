//! The session of a bulk load.

use crate::config::PoolConfig;
use crate::pool::connect_options;
use pitchey_store::BoxError;
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{ConnectOptions as _, Connection as _};
use thiserror::Error;

/// What the server calls these sessions.
const APPLICATION: &str = "pitchey bulk";

/// Why a bulk load failed.
#[derive(Debug, Error)]
pub enum BulkError {
    /// The URL is not one of PostgreSQL.
    #[error(transparent)]
    Url(#[from] crate::ConnectError),
    /// The server refused a step, or was lost during it.
    #[error("could not {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the server or the connection said.
        #[source]
        source: BoxError,
    },
}

impl BulkError {
    pub(crate) fn at(step: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| Self::Step {
            step,
            source: error.into(),
        }
    }
}

/// A session of its own. Dropping it closes the connection; a transaction that is open then has no effect.
#[derive(Debug)]
pub struct BulkConnection {
    pub(crate) session: PgConnection,
    /// The server's process, to end it when this end has let go.
    backend: i32,
}

impl BulkConnection {
    /// Connects. Statements may take up to an hour, waits for locks a minute.
    pub async fn open(url: &SecretString) -> Result<Self, BulkError> {
        let config = PoolConfig {
            statement_timeout_ms: 3_600_000,
            idle_in_transaction_timeout_ms: 600_000,
            ..PoolConfig::default()
        };
        let options = connect_options(url, &config)?
            .application_name(APPLICATION)
            .options([("lock_timeout", "60s")]);
        let failed = || BulkError::at("connect to the database");
        let mut session = options.connect().await.map_err(failed())?;
        let backend = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut session)
            .await
            .map_err(failed())?;
        Ok(Self { session, backend })
    }

    /// Takes the lock of this name for as long as the connection lives. False if another session has it.
    pub async fn try_lock(&mut self, name: &str) -> Result<bool, BulkError> {
        sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(name)
            .fetch_one(&mut self.session)
            .await
            .map_err(BulkError::at("take the lock"))
    }

    /// What names this session to [`BulkConnection::end_sessions`].
    pub fn backend(&self) -> i32 {
        self.backend
    }

    /// Ends sessions of bulk loads that were dropped in the middle of a statement, and waits until their locks are
    /// gone: the server notices only at the end of the statement that nobody waits for it any more.
    pub async fn end_sessions(&mut self, backends: &[i32]) -> Result<(), BulkError> {
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE pid = ANY ($1) AND datname = current_database() AND application_name = $2",
        )
        .bind(backends)
        .bind(APPLICATION)
        .execute(&mut self.session)
        .await
        .map_err(BulkError::at("end sessions"))?;
        Ok(())
    }

    /// Says goodbye to the server. A failure to do so is of no consequence.
    pub async fn close(self) {
        let _ = self.session.close().await;
    }
}

/// Whether a transaction failed for no fault of its own: it can be tried again.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    // 40001: serialisation failure. 40P01: deadlock.
    database
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|pg| matches!(pg.code(), "40001" | "40P01"))
}
