//! What the origin can be told: typed sections, each with its defaults and its own rules.
//!
//! The layers, the later over the earlier: defaults, the file given with `--config`, the
//! well-known `DATABASE_URL`, and variables named `PITCHEY_<SECTION>__<KEY>`.

use std::net::SocketAddr;
use std::path::Path;

use pitchey_api::{CursorKey, SiteSettings};
use pitchey_store_pg::{PoolConfig, ReplicaConfig};
use pitchey_telemetry::LogConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

mod cache;
mod counters;
mod duties;
mod http;
mod limits;
mod load;
mod overload;
mod passwords;
mod realtime;
mod redact;
mod rules;
mod sessions;

pub use cache::{CacheConfig, KindConfig};
pub use counters::CountersConfig;
pub use duties::DutiesConfig;
pub use http::HttpConfig;
pub use limits::LimitsConfig;
pub use overload::OverloadConfig;
pub use passwords::PasswordsConfig;
pub use realtime::RealtimeConfig;
pub use sessions::SessionsConfig;

use rules::Rules;

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
    /// How long somebody stays signed in.
    pub sessions: SessionsConfig,
    /// What a hash costs an attacker, and how much hashing is done at once.
    pub passwords: PasswordsConfig,
    /// How often one client may ask.
    pub limits: LimitsConfig,
    /// How much is worked on at once, and who waits.
    pub overload: OverloadConfig,
    /// What is counted behind the answers.
    pub counters: CountersConfig,
    /// What is done to the database from time to time.
    pub duties: DutiesConfig,
    /// What is kept of answers and sessions.
    pub cache: CacheConfig,
    /// The realtime server beside it.
    pub realtime: RealtimeConfig,
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
    /// Streaming replicas, which answer reads of what is public.
    #[serde(
        serialize_with = "redact::replicas",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub replicas: Vec<ReplicaConfig>,
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
        ReplicaConfig::validate(&self.replicas, problems);
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
            replicas: layers.value("database", "replicas", &mut problems),
            pool: layers.section("database", &mut problems),
        };
        let log = layers.section("log", &mut problems);
        let cursor = layers.section("cursor", &mut problems);
        let sessions = layers.section("sessions", &mut problems);
        let passwords = layers.section("passwords", &mut problems);
        let limits = layers.section("limits", &mut problems);
        let overload = layers.section("overload", &mut problems);
        let counters = layers.section("counters", &mut problems);
        let duties = layers.section("duties", &mut problems);
        let cache: CacheConfig = layers.section("cache", &mut problems);
        let realtime: RealtimeConfig = layers.section("realtime", &mut problems);
        layers.finish(&mut problems);

        let config = Self {
            http,
            metrics,
            database,
            log,
            cursor,
            sessions,
            passwords,
            limits,
            overload,
            counters,
            duties,
            cache: cache.with_times(),
            realtime,
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
        self.sessions.validate(problems);
        self.passwords.validate(problems);
        self.overload.validate(problems);
        self.counters.validate(problems);
        self.duties.validate(problems);
        self.cache.validate(problems);
        self.realtime.validate(problems);
    }

    /// What an operator can choose of the API's behaviour.
    pub fn site_settings(&self) -> SiteSettings {
        SiteSettings {
            session_idle: self.sessions.idle(),
            session_absolute: self.sessions.absolute(),
            allowed_origins: self.http.allowed_origins.clone(),
            limits: self.limits.settings(),
        }
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
