//! Bringing a database to the schema of this build, and refusing one it does not know.

use crate::PgStore;
use crate::config::PoolConfig;
use crate::error::store_error;
use crate::pool::connect_options;
use pitchey_runtime::{SystemRuntime, Timer as _};
use pitchey_store::StoreError;
use secrecy::SecretString;
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// With three seconds of waiting for the lock each, about two minutes in all.
const LOCK_ATTEMPTS: u32 = 30;

static MIGRATOR: Migrator = sqlx::migrate!("../sql/migrations");

/// Why a database was not migrated.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The URL is not one of PostgreSQL.
    #[error(transparent)]
    Url(#[from] crate::ConnectError),
    /// The database cannot be reached, or a migration failed; it left nothing behind.
    #[error("could not migrate the database")]
    Run(#[source] sqlx::migrate::MigrateError),
}

/// Why the origin does not start on a database.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// Migrations of this build are missing there.
    #[error(
        "the database lacks {missing} migration(s), the first is {first}: run `pitchey db migrate`"
    )]
    Behind {
        /// How many.
        missing: usize,
        /// The first one's version.
        first: i64,
    },
    /// The database has a migration that this build does not know, or knows with another text.
    #[error("the database has migration {version}, which this build {how}: deploy a newer build")]
    Unknown {
        /// Its version.
        version: i64,
        /// In what way it is unknown.
        how: &'static str,
    },
    /// It could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A migration and whether a database has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    /// Its version, a timestamp.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// Whether it has been applied.
    pub applied: bool,
}

/// Applies the migrations that are missing. Several may call at once: an advisory lock lets one through.
pub async fn run(database_url: &str) -> Result<(), MigrateError> {
    let url = SecretString::from(database_url);
    // A migration may take longer than any statement of the service.
    let config = PoolConfig {
        statement_timeout_ms: 600_000,
        ..PoolConfig::default()
    };
    // A migration that waits for a lock makes everyone behind it wait: it gives up soon, and tries again.
    let options = connect_options(&url, &config)?.options([("lock_timeout", "3s")]);
    let runtime = SystemRuntime::new();
    let mut attempt = 0;
    loop {
        attempt += 1;
        match run_once(&options).await {
            Err(error) if attempt < LOCK_ATTEMPTS && is_lock_timeout(&error) => {
                tracing::info!(
                    attempt,
                    "another session holds a lock that a migration needs; trying again"
                );
                runtime.sleep(Duration::from_secs(1)).await;
            }
            result => return result.map_err(MigrateError::Run),
        }
    }
}

async fn run_once(options: &PgConnectOptions) -> Result<(), sqlx::migrate::MigrateError> {
    let mut connection = options.connect().await?;
    MIGRATOR.run(&mut connection).await?;
    Ok(connection.close().await?)
}

fn is_lock_timeout(error: &sqlx::migrate::MigrateError) -> bool {
    use sqlx::migrate::MigrateError as E;
    let (E::Execute(sqlx::Error::Database(database))
    | E::ExecuteMigration(sqlx::Error::Database(database), _)) = error
    else {
        return false;
    };
    database.code().as_deref() == Some("55P03")
}

/// The migrations of this build, and which of them the database has.
pub async fn status(store: &PgStore) -> Result<Vec<MigrationStatus>, StoreError> {
    let applied = applied(store).await?;
    Ok(MIGRATOR
        .iter()
        .map(|migration| MigrationStatus {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains_key(&migration.version),
        })
        .collect())
}

/// Refuses a database whose schema is not the one of this build.
pub async fn check(store: &PgStore) -> Result<(), SchemaError> {
    let applied = applied(store).await?;
    for (version, checksum) in &applied {
        match MIGRATOR.iter().find(|known| known.version == *version) {
            None => {
                return Err(SchemaError::Unknown {
                    version: *version,
                    how: "does not know",
                });
            }
            Some(known) if *known.checksum != **checksum => {
                return Err(SchemaError::Unknown {
                    version: *version,
                    how: "knows with another text",
                });
            }
            Some(_) => {}
        }
    }
    let mut missing = MIGRATOR
        .iter()
        .filter(|known| !applied.contains_key(&known.version));
    match missing.next() {
        None => Ok(()),
        Some(first) => Err(SchemaError::Behind {
            first: first.version,
            missing: 1 + missing.count(),
        }),
    }
}

async fn applied(store: &PgStore) -> Result<BTreeMap<i64, Vec<u8>>, StoreError> {
    let mut connection = store.pool.acquire().await.map_err(store_error)?;
    let present: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text")
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)?;
    if present.is_none() {
        return Ok(BTreeMap::new());
    }
    let rows = connection
        .list_applied_migrations("_sqlx_migrations")
        .await
        .map_err(|error| StoreError::Internal(error.into()))?;
    Ok(rows
        .into_iter()
        .map(|row| (row.version, row.checksum.into_owned()))
        .collect())
}
