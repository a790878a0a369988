//! What an error of sqlx means to a caller.

use crate::breaker::as_open;
use pitchey_store::{BoxError, StoreError};
use sqlx::postgres::PgDatabaseError;

/// A row that is not what the schema promises.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds {value:?}")]
pub(crate) struct Corrupt {
    pub(crate) column: &'static str,
    pub(crate) value: String,
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

pub(crate) fn corrupt(column: &'static str, value: &str) -> StoreError {
    let error: BoxError = Corrupt {
        column,
        value: value.chars().take(100).collect(),
    }
    .into();
    StoreError::Internal(error)
}
