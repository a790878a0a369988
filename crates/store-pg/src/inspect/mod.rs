//! What an operator asks of a database: its catalog, its plans and their times, its partitions.
//!
//! One connection of its own, with the settings of the service's pool, so that a plan seen here is the
//! plan that a request gets. What is judged and shown is the caller's business.

mod catalog;
mod partitions;
mod plans;
mod server;
mod statistics;

pub use catalog::{Catalog, ForeignKey, Index, Relation};
pub use partitions::{Partition, PartitionedTable, Step};
pub use plans::{Execution, Parameters, PlanMode, PlanOptions};
pub use server::{AppliedMigration, Extension, LastImport, Server};
pub use statistics::SlowStatement;

use crate::ConnectError;
use crate::config::PoolConfig;
use crate::pool::connect_options;
use pitchey_runtime::{SystemRuntime, timeout};
use pitchey_store::BoxError;
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, ValueRef as _};
use std::time::Duration;
use thiserror::Error;

/// Connecting takes milliseconds; a server that is not there says nothing at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a database could not be inspected.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The URL is not one of PostgreSQL.
    #[error(transparent)]
    Url(#[from] ConnectError),
    /// The server refused, or is not there.
    #[error("cannot connect to the database")]
    Connect(#[source] BoxError),
    /// The server said nothing.
    #[error("no connection to the database within {CONNECT_WITHIN:?}")]
    ConnectTimeout,
    /// A statement was cancelled at its time limit.
    #[error("{doing}: cancelled at its time limit")]
    Timeout {
        /// What was being done.
        doing: &'static str,
    },
    /// A lock was not had in time, since another session holds it.
    #[error("{doing}: another session holds a lock that this needs; try again later")]
    Locked {
        /// What was being done.
        doing: &'static str,
    },
    /// The role may not do this.
    #[error("{doing}: the role may not do this: {message}")]
    Forbidden {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        message: String,
    },
    /// Something that this needs does not exist in the database.
    #[error("{doing}: {message} (is the database migrated? see `pitchey db status`)")]
    Missing {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        message: String,
    },
    /// The extension is in the database, but the server was started without it.
    #[error("{doing}: {message}")]
    NotLoaded {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        message: String,
    },
    /// A statement failed.
    #[error("{doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What the server or the driver said.
        #[source]
        source: BoxError,
    },
}

/// What the server said of a statement that failed.
#[derive(Debug, Error)]
#[error("{message} (SQLSTATE {code})")]
struct ServerError {
    message: String,
    code: String,
}

/// A connection for looking around.
#[derive(Debug)]
pub struct Inspector {
    connection: PgConnection,
    clock: SystemRuntime,
    /// Whether a statement is prepared by name; the driver's own are apart from it.
    has_prepared: bool,
}

impl Inspector {
    /// Connects as the service does.
    pub async fn connect(
        url: &SecretString,
        config: &PoolConfig,
        runtime: SystemRuntime,
    ) -> Result<Self, InspectError> {
        // The server shows times in the session's zone, and the text of a partition's bounds with them.
        let options = connect_options(url, config)?.options([("timezone", "UTC")]);
        let connection = timeout(&runtime, CONNECT_WITHIN, options.connect())
            .await
            .map_err(|_| InspectError::ConnectTimeout)?
            .map_err(|error| InspectError::Connect(error.into()))?;
        Ok(Self {
            connection,
            clock: runtime,
            has_prepared: false,
        })
    }

    /// Says goodbye to the server.
    pub async fn close(self) {
        // The work is done: a server that has gone away meanwhile is no failure of it.
        let _ = timeout(&self.clock, CONNECT_WITHIN, self.connection.close()).await;
    }

    /// Runs text that this crate wrote, and gives the rows as the server prints them.
    async fn text_rows(
        &mut self,
        doing: &'static str,
        sql: String,
    ) -> Result<Vec<Vec<Option<String>>>, InspectError> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| failed(doing, error))?;
        rows.iter()
            .map(text_row)
            .collect::<Result<_, _>>()
            .map_err(|error| failed(doing, error))
    }

    async fn run(&mut self, doing: &'static str, sql: String) -> Result<(), InspectError> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map_err(|error| failed(doing, error))?;
        Ok(())
    }
}

/// The simple protocol gives every value as text.
fn text_row(row: &PgRow) -> Result<Vec<Option<String>>, sqlx::Error> {
    (0..row.len())
        .map(|at| {
            let value = row.try_get_raw(at)?;
            if value.is_null() {
                return Ok(None);
            }
            let text = value.as_str().map_err(sqlx::Error::Decode)?;
            Ok(Some(text.to_owned()))
        })
        .collect()
}

fn failed(doing: &'static str, error: sqlx::Error) -> InspectError {
    let sqlx::Error::Database(database) = &error else {
        return InspectError::Failed {
            doing,
            source: error.into(),
        };
    };
    let message = database.message().to_owned();
    let code = database.code().unwrap_or_default().into_owned();
    match code.as_str() {
        "57014" => InspectError::Timeout { doing },
        "55P03" => InspectError::Locked { doing },
        "42501" => InspectError::Forbidden { doing, message },
        "42P01" | "42883" | "3F000" => InspectError::Missing { doing, message },
        "55000" => InspectError::NotLoaded { doing, message },
        _ => InspectError::Failed {
            doing,
            source: ServerError { message, code }.into(),
        },
    }
}

/// A string as a literal of SQL.
fn literal(text: &str) -> String {
    // `standard_conforming_strings` is on: a backslash is a backslash.
    format!("'{}'", text.replace('\'', "''"))
}
