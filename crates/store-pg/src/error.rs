//! What an error of sqlx means to a caller.

use crate::breaker::as_open;
pub(crate) use pitchey_reads::corrupt;
use pitchey_reads::{is_away, of_code};
use pitchey_resilience::Rejected;
use pitchey_store::StoreError;
use sqlx::postgres::PgDatabaseError;

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
            Some(pg) => {
                let code = pg.code().to_owned();
                of_code(&code, error.into())
            }
            None => StoreError::Internal(error.into()),
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
                .is_some_and(|pg| pg.code() == "40001" || is_away(pg.code())),
            _ => false,
        },
    }
}
