//! What the origin can be told: typed sections, each with its defaults and its own rules.
//!
//! The layers, the later over the earlier: defaults, the file given with `--config`, the
//! well-known `DATABASE_URL`, and variables named `PITCHEY_<SECTION>__<KEY>`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pitchey_api::CursorKey;
use pitchey_store_pg::PoolConfig;
use pitchey_telemetry::LogConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::server::Limits;

mod load;
mod redact;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Config {
    /// The API's listener and what a client may ask of it.
    pub http: HttpConfig,
    /// The listener that Prometheus scrapes.
    pub metrics: MetricsConfig,
    /// PostgreSQL.
    pub database: DatabaseConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Cursors of paginated answers.
    pub cursor: CursorConfig,
}

/// The `http` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Connections served at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send a request's header.
    pub header_timeout_ms: u64,
    /// How long a connection may lie idle between requests. Longer than any client in front keeps
    /// idle connections, or it will write into a closing one.
    pub idle_timeout_ms: u64,
    /// How long a request may take; a client may ask for less.
    pub request_timeout_ms: u64,
    /// The size of a request's header.
    pub max_header_bytes: usize,
    /// The size of a request's body.
    pub max_body_bytes: usize,
    /// How long readiness is refused before the listener closes, for load balancers to notice.
    pub drain_delay_ms: u64,
    /// How long requests in flight may take to finish once the listener is closed.
    pub shutdown_timeout_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8788)),
            max_connections: 4096,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            request_timeout_ms: 5_000,
            max_header_bytes: 64 * 1024,
            max_body_bytes: 64 * 1024,
            drain_delay_ms: 0,
            shutdown_timeout_ms: 10_000,
        }
    }
}

impl HttpConfig {
    /// The limits that the server enforces.
    pub fn limits(&self) -> Limits {
        Limits {
            listener: "api",
            max_connections: self.max_connections,
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            max_header_bytes: self.max_header_bytes,
            shutdown_timeout: Duration::from_millis(self.shutdown_timeout_ms),
        }
    }

    /// The longest time a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// The time between refusing readiness and closing the listener.
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    fn validate(&self, problems: &mut Vec<String>) {
        const MINUTE_MS: u64 = 60_000;
        let mut range = |key: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                problems.push(format!(
                    "http.{key}: {value} is not between {min} and {max}"
                ));
            }
        };
        range("max_connections", self.max_connections as u64, 1, 1_000_000);
        range("header_timeout_ms", self.header_timeout_ms, 100, MINUTE_MS);
        range(
            "idle_timeout_ms",
            self.idle_timeout_ms,
            1_000,
            60 * MINUTE_MS,
        );
        range("request_timeout_ms", self.request_timeout_ms, 1, MINUTE_MS);
        // Below 8 KiB hyper refuses to read, above 16 MiB it refuses to count.
        range(
            "max_header_bytes",
            self.max_header_bytes as u64,
            8 * 1024,
            1024 * 1024,
        );
        range(
            "max_body_bytes",
            self.max_body_bytes as u64,
            1024,
            64 * 1024 * 1024,
        );
        range("drain_delay_ms", self.drain_delay_ms, 0, 5 * MINUTE_MS);
        range(
            "shutdown_timeout_ms",
            self.shutdown_timeout_ms,
            1,
            5 * MINUTE_MS,
        );
    }
}

/// The `metrics` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Where `GET /metrics` is answered: not the API's listener, and not for the public.
    pub address: SocketAddr,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9788)),
        }
    }
}

/// The `database` section: the URL and, beside it, the limits of the pool.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host:port/database`.
    #[serde(serialize_with = "redact::url")]
    pub url: SecretString,
    /// The limits of the pool.
    #[serde(flatten)]
    pub pool: PoolConfig,
}

impl DatabaseConfig {
    fn validate(&self, problems: &mut Vec<String>) {
        let url = self.url.expose_secret();
        if url.is_empty() {
            problems.push(
                "database.url: is not set (DATABASE_URL or PITCHEY_DATABASE__URL)".to_owned(),
            );
        } else if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            problems.push("database.url: does not start with postgres://".to_owned());
        }
        self.pool.validate(problems);
    }
}

/// The `cursor` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CursorConfig {
    /// The secret that signs cursors: at least 32 bytes, the same on every origin.
    #[serde(serialize_with = "redact::whole")]
    pub key: SecretString,
}

impl CursorConfig {
    fn validate(&self, problems: &mut Vec<String>) {
        let length = self.key.expose_secret().len();
        if length == 0 {
            problems.push("cursor.key: is not set (PITCHEY_CURSOR__KEY)".to_owned());
        } else if length < CursorKey::MIN_BYTES {
            problems.push(format!(
                "cursor.key: has {length} bytes, at least {} are needed",
                CursorKey::MIN_BYTES
            ));
        }
    }
}

/// Everything that is wrong with the configuration, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration is not valid:\n  {}", .problems.join("\n  "))]
pub struct ConfigError {
    /// The sentences.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads all layers: `file` if there is one, and the variables of `environment` that concern
    /// the origin. All problems of all layers are reported together.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut layers = load::Layers::read(file, environment, &mut problems);
        let http = layers.section("http", &mut problems);
        let metrics = layers.section("metrics", &mut problems);
        // serde cannot refuse unknown keys where one struct is flattened into another.
        let database = DatabaseConfig {
            url: layers.value("database", "url", &mut problems),
            pool: layers.section("database", &mut problems),
        };
        let log = layers.section("log", &mut problems);
        let cursor = layers.section("cursor", &mut problems);
        layers.finish(&mut problems);

        let config = Self {
            http,
            metrics,
            database,
            log,
            cursor,
        };
        // What could not be read has its default, and that breaks rules, too: saying so helps nobody.
        let mut broken_rules = Vec::new();
        config.validate(&mut broken_rules);
        broken_rules.retain(|rule| !problems.iter().any(|problem| key(problem) == key(rule)));
        problems.append(&mut broken_rules);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { problems })
        }
    }

    /// Adds a sentence to `problems` for every rule that is broken.
    pub fn validate(&self, problems: &mut Vec<String>) {
        self.http.validate(problems);
        let (http, metrics) = (self.http.address, self.metrics.address);
        if http == metrics && http.port() != 0 {
            problems.push(format!(
                "metrics.address: {metrics} is the address of http, too"
            ));
        }
        self.database.validate(problems);
        self.log.validate(problems);
        self.cursor.validate(problems);
    }

    /// The effective configuration as a file that `--config` would take, without the secrets.
    pub fn to_redacted_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// The key that a problem opens with.
fn key(problem: &str) -> &str {
    problem.split([':', ' ']).next().unwrap_or(problem)
}

#[cfg(test)]
mod tests;
