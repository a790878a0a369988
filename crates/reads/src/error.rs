//! What errors of PostgreSQL mean to a caller.

use pitchey_store::{BoxError, StoreError};

/// A row that is not what the schema promises.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds {value:?}")]
pub struct Corrupt {
    column: &'static str,
    value: String,
}

/// The error of a row that is not what the schema promises.
pub fn corrupt(column: &'static str, value: &str) -> StoreError {
    let error: BoxError = Corrupt {
        column,
        value: value.chars().take(100).collect(),
    }
    .into();
    StoreError::Internal(error)
}

/// Whether an error with this code (SQLSTATE) says that the database cannot be used, by anyone who uses it as we do.
pub fn is_away(code: &str) -> bool {
    // 57Pxx: shutting down or starting. 53xxx: out of connections, memory or disk. 08xxx: connection. 28xxx: it lets
    // us in no more, as while a password is changed. 25006: a primary that became a replica. 3D000: the database is
    // not there (yet).
    let kinds = ["57P", "53", "08", "28", "25006", "3D000"];
    kinds.iter().any(|kind| code.starts_with(kind))
}

/// What an error with this code (SQLSTATE) means.
pub fn of_code(code: &str, error: BoxError) -> StoreError {
    match code {
        // Cancelled, by statement_timeout or an operator; a lock not had in time.
        "57014" | "55P03" => StoreError::Timeout(error),
        _ if is_away(code) => StoreError::Unavailable(error),
        _ => StoreError::Internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let kind = |code| match of_code(code, "x".into()) {
            StoreError::Unavailable(_) => "away",
            StoreError::Timeout(_) => "late",
            StoreError::Overloaded(_) => "overloaded",
            StoreError::Internal(_) => "fault",
        };
        assert_eq!(
            [
                "57P01", "53300", "08006", "28000", "57014", "42P01", "40001"
            ]
            .map(kind),
            ["away", "away", "away", "away", "late", "fault", "fault"]
        );
    }
}
