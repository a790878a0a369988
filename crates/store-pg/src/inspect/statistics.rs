//! What the server counted of the statements it ran.

use super::{InspectError, Inspector, failed};
use serde::Serialize;
use sqlx::FromRow;

/// The figures of one statement since the last reset, in milliseconds where they are times.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct SlowStatement {
    /// Its text, parameters replaced by `$1`, `$2`, …
    pub query: String,
    /// How often it ran.
    pub calls: i64,
    /// All runs together.
    pub total_ms: f64,
    /// One run on average.
    pub mean_ms: f64,
    /// How far runs lie around the average.
    pub stddev_ms: f64,
    /// The longest run.
    pub max_ms: f64,
    /// Rows that came back or were written.
    pub rows: i64,
    /// Pages found in the server's memory.
    pub pages_hit: i64,
    /// Pages that were not.
    pub pages_read: i64,
}

const SLOW: &str = "
SELECT query, calls, total_exec_time AS total_ms, mean_exec_time AS mean_ms, stddev_exec_time AS stddev_ms,
       max_exec_time AS max_ms, rows, shared_blks_hit AS pages_hit, shared_blks_read AS pages_read
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND toplevel AND query IS NOT NULL
ORDER BY CASE WHEN $1 THEN mean_exec_time ELSE total_exec_time END DESC
LIMIT $2";

impl Inspector {
    /// The statements of this database that took most time, all runs together or, if asked, on average.
    pub async fn slow_statements(
        &mut self,
        by_mean: bool,
        limit: u32,
    ) -> Result<Vec<SlowStatement>, InspectError> {
        sqlx::query_as(SLOW)
            .bind(by_mean)
            .bind(i64::from(limit))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| failed("reading pg_stat_statements", error))
    }

    /// Forgets the figures of this database.
    pub async fn reset_statement_statistics(&mut self) -> Result<(), InspectError> {
        self.run(
            "resetting pg_stat_statements",
            "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()"
                .to_owned(),
        )
        .await
    }
}
