//! The store and its connections.

use crate::breaker::DatabaseBreaker;
use crate::config::{PRIMARY, PoolConfig, TlsMode};
use crate::endpoint::Endpoint;
use crate::error::store_error;
use crate::invalidation::Invalidation;
use crate::outbox::OutboxBell;
use crate::replicas::Replicas;
use pitchey_model::WalPosition;
use pitchey_runtime::SystemRuntime;
use pitchey_store::StoreError;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgSslMode};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Why a pool cannot be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The URL is not one of PostgreSQL. The cause is not kept: it may quote the password.
    #[error("the database URL is not of the form postgres://user:password@host:port/database")]
    Url,
}

/// Why the limits of a pool cannot hold.
#[derive(Debug, Error)]
pub enum LimitError {
    /// The server has fewer connections than the pool may open.
    #[error("database.max_connections is {wanted}, but the server gives at most {available}")]
    TooMany {
        /// What the configuration says.
        wanted: u32,
        /// `max_connections` without those reserved for superusers.
        available: i32,
    },
    /// It could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The repositories, over a pool of connections and perhaps replicas. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PgStore {
    pub(crate) primary: Arc<Endpoint>,
    /// The primary's.
    pub(crate) pool: PgPool,
    pub(crate) replicas: Option<Arc<Replicas>>,
    /// What reads must have seen.
    pub(crate) after: Option<WalPosition>,
    pub(crate) clock: SystemRuntime,
    pub(crate) outbox: OutboxBell,
    pub(crate) invalidation: Invalidation,
    pub(crate) breaker: DatabaseBreaker<SystemRuntime>,
    pub(crate) statement_timeout: Duration,
    pub(crate) slow_statement: Duration,
    /// Whether others have replicas.
    pub(crate) announces_positions: bool,
}

impl PgStore {
    /// Prepares a pool; the first statement connects.
    pub fn connect_lazy(
        url: &SecretString,
        config: &PoolConfig,
        clock: SystemRuntime,
    ) -> Result<Self, ConnectError> {
        let options = connect_options(url, config)?;
        let primary = Endpoint::new(PRIMARY, options, config, clock);
        Ok(Self {
            pool: primary.pool.clone(),
            primary,
            replicas: None,
            after: None,
            clock,
            outbox: OutboxBell::default(),
            invalidation: Invalidation::default(),
            breaker: DatabaseBreaker::new(config.max_connections, clock),
            statement_timeout: Duration::from_millis(config.statement_timeout_ms),
            slow_statement: Duration::from_millis(config.slow_statement_ms),
            announces_positions: config.announce_positions,
        })
    }

    /// Waits until every connection is given back, and closes them.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(replicas) = &self.replicas {
            replicas.close().await;
        }
    }

    /// Checks the limits of the pool against the server's: a pool that the server cannot give its
    /// connections would only show under load, as errors for everyone.
    pub async fn check_limits(&self) -> Result<(), LimitError> {
        let (max, reserved): (i32, i32) = sqlx::query_as(
            "SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)?;
        let (wanted, available) = (self.pool.options().get_max_connections(), max - reserved);
        if i64::from(wanted) > i64::from(available) {
            Err(LimitError::TooMany { wanted, available })
        } else {
            Ok(())
        }
    }

    /// Publishes how many connections there are and how many of them are idle.
    pub fn record_pool_metrics(&self) {
        metrics::gauge!("db_pool_connections").set(f64::from(self.pool.size()));
        metrics::gauge!("db_pool_connections_idle").set(self.pool.num_idle() as f64);
        self.primary.record_metrics();
        if let Some(replicas) = &self.replicas {
            replicas.record_metrics();
        }
    }
}

pub(crate) fn connect_options(
    url: &SecretString,
    config: &PoolConfig,
) -> Result<PgConnectOptions, ConnectError> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(|_| ConnectError::Url)?;
    let probe_s = (config.tcp_keepalive_ms / 1000).max(1).to_string();
    let mut options = options
        .application_name("pitchey")
        .statement_cache_capacity(256)
        .options([
            (
                "client_connection_check_interval",
                config.connection_check_ms.to_string(),
            ),
            ("statement_timeout", config.statement_timeout_ms.to_string()),
            (
                "idle_in_transaction_session_timeout",
                config.idle_in_transaction_timeout_ms.to_string(),
            ),
            ("work_mem", format!("{}kB", config.work_mem_kib)),
            ("tcp_keepalives_idle", probe_s.clone()),
            ("tcp_keepalives_interval", probe_s),
            ("tcp_keepalives_count", "3".to_owned()),
            // Short statements: compiling them costs more than it saves.
            ("jit", "off".to_owned()),
        ]);
    options = match config.tls {
        TlsMode::Disable => options.ssl_mode(PgSslMode::Disable),
        TlsMode::Prefer => options,
        TlsMode::VerifyFull => options.ssl_mode(PgSslMode::VerifyFull),
    };
    Ok(match &config.tls_ca_file {
        Some(file) => options.ssl_root_cert(file),
        None => options,
    })
}
