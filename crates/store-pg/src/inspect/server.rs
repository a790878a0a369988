//! The server, and how far the database on it has come.

use super::{InspectError, Inspector, failed};
use serde::Serialize;
use sqlx::FromRow;
use time::OffsetDateTime;

/// A server and the database on it.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct Server {
    /// The server's version, as `15.14`.
    pub version: String,
    /// The database's name.
    pub database: String,
    /// The database's size.
    pub bytes: i64,
    /// How many connections the server takes.
    pub max_connections: i32,
    /// How many of these are kept for superusers.
    pub reserved_connections: i32,
    /// How many clients are connected, to any database.
    pub connected: i64,
    /// Memory for pages, as `1GB`.
    pub shared_buffers: String,
    /// Whether it is a replica.
    pub is_replica: bool,
}

/// An extension that the product uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The version in the database, if it is there.
    pub version: Option<String>,
}

/// A migration that a database has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct AppliedMigration {
    /// Its version, a timestamp.
    pub version: i64,
    /// Its name.
    pub description: String,
}

/// A run of `pitchey import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct LastImport {
    /// Whose records.
    pub source: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended; none if it was cut off or still runs.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// Lines done.
    pub lines_done: i64,
    /// Records that became new pitches.
    pub created: i64,
    /// Records that changed a pitch.
    pub updated: i64,
    /// Records that changed nothing.
    pub unchanged: i64,
    /// Lines that were refused.
    pub rejected: i64,
}

const SERVER: &str = "
SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
       current_database()::text AS database,
       pg_database_size(current_database()) AS bytes,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int AS reserved_connections,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connected,
       current_setting('shared_buffers') AS shared_buffers,
       pg_is_in_recovery() AS is_replica";

const EXTENSIONS: &str = "
SELECT name, e.extversion AS version
FROM unnest(ARRAY['unaccent', 'pg_trgm', 'fuzzystrmatch', 'pg_stat_statements']) WITH ORDINALITY AS t (name, n)
LEFT JOIN pg_extension e ON e.extname = name
ORDER BY n";

impl Inspector {
    /// What the server says of itself.
    pub async fn server(&mut self) -> Result<Server, InspectError> {
        sqlx::query_as(SERVER)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed("asking the server about itself", error))
    }

    /// The extensions that the product uses, there or not.
    pub async fn extensions(&mut self) -> Result<Vec<Extension>, InspectError> {
        sqlx::query_as(EXTENSIONS)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| failed("listing the extensions", error))
    }

    /// The migrations that the database has, known to this build or not.
    pub async fn applied_migrations(&mut self) -> Result<Vec<AppliedMigration>, InspectError> {
        if !self.has_table("_sqlx_migrations").await? {
            return Ok(Vec::new());
        }
        sqlx::query_as(
            "SELECT version, description FROM _sqlx_migrations WHERE success ORDER BY version",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| failed("listing the migrations", error))
    }

    /// The last run of an import.
    pub async fn last_import(&mut self) -> Result<Option<LastImport>, InspectError> {
        if !self.has_table("imports").await? {
            return Ok(None);
        }
        sqlx::query_as(
            "SELECT source, started_at, finished_at, lines_done, created, updated, unchanged, rejected
             FROM imports ORDER BY started_at DESC LIMIT 1",
        )
        .fetch_optional(&mut self.connection)
        .await
        .map_err(|error| failed("looking for the last import", error))
    }

    async fn has_table(&mut self, name: &str) -> Result<bool, InspectError> {
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(name)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed("looking for a table", error))
    }
}
