//! What an error of sqlx means to a caller.

use crate::breaker::as_open;
use pitchey_resilience::Rejected;
use pitchey_store::{BoxError, StoreError};
use sqlx::postgres::PgDatabaseError;

/// A row that is not what the schema promises.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds {value:?}")]
pub(crate) struct Corrupt {
    pub(crate) column: &'static str,
    pub(crate) value: String,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A statement failed, or there was no connection.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Too many are at it already: it was not begun.
    #[error("too many use the database")]
    Overloaded(#[source] Rejected),
    /// The request's deadline has passed: it was not begun, or not waited for any longer.
    #[error("the deadline of the request has passed")]
    TooLate,
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => store_error(error),
            Failure::Overloaded(rejected) => Self::Overloaded(rejected.into()),
            Failure::TooLate => Self::Timeout(failure.into()),
        }
    }
}

pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    if let Some(open) = as_open(&error) {
        return StoreError::Unavailable(open.into());
    }
    match &error {
        sqlx::Error::PoolTimedOut => StoreError::Timeout(error.into()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(error.into()),
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            // 57014: cancelled, by statement_timeout or an operator. 55P03: lock not had in time.
            Some(pg) if matches!(pg.code(), "57014" | "55P03") => StoreError::Timeout(error.into()),
            // 57Pxx: shutting down or starting. 53xxx: out of connections, memory or disk. 08xxx: connection.
            // 25006: a primary that became a replica. 3D000: the database is not there (yet).
            Some(pg)
                if pg.code().starts_with("57P")
                    || pg.code().starts_with("53")
                    || pg.code().starts_with("08")
                    || matches!(pg.code(), "25006" | "3D000") =>
            {
                StoreError::Unavailable(error.into())
            }
            _ => StoreError::Internal(error.into()),
        },
        _ => StoreError::Internal(error.into()),
    }
}

/// Whether a read that failed so may be tried once more at once: its connection had died before it was
/// used, as after a restart of the server, and a new one may well work.
pub(crate) fn is_dead_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|pg| matches!(pg.code(), "57P01" | "57P02" | "57P05")),
        _ => false,
    }
}

/// Whether a read that a replica failed may be answered by the primary: the replica is not there, or not
/// well, or had to cancel the read to go on replaying (40001).
pub(crate) fn is_replica_failure(failure: &Failure) -> bool {
    match failure {
        Failure::Overloaded(_) | Failure::TooLate => true,
        Failure::Database(error) => match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(database) => database
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|pg| {
                    let code = pg.code();
                    code == "40001"
                        || ["57P", "53", "08"]
                            .iter()
                            .any(|kind| code.starts_with(kind))
                }),
            _ => false,
        },
    }
}

pub(crate) fn corrupt(column: &'static str, value: &str) -> StoreError {
    let error: BoxError = Corrupt {
        column,
        value: value.chars().take(100).collect(),
    }
    .into();
    StoreError::Internal(error)
}
