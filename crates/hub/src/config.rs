//! What the hub can be told: typed sections, each with its defaults.
//!
//! The layers, the later over the earlier: defaults, the file given with `--config`, the well-known
//! `REDIS_URL`, and variables named `HUB_<SECTION>__<KEY>`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use pitchey_model::ticket::TicketKeys;
use pitchey_telemetry::LogConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

const PREFIX: &str = "HUB_";

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listener and who may connect.
    pub http: HttpConfig,
    /// The listener that Prometheus scrapes.
    pub metrics: MetricsConfig,
    /// The secrets that tickets are signed with.
    pub tickets: TicketsConfig,
    /// Who may publish over HTTP.
    pub publish: PublishConfig,
    /// The log that hubs share.
    pub redis: RedisSection,
    /// The rooms.
    pub rooms: RoomsConfig,
    /// Log lines.
    pub log: LogConfig,
}

/// The `http` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where clients connect; `/healthz` is answered there, too.
    pub address: SocketAddr,
    /// The origins (`https://pitchey.example`) whose pages may connect.
    pub allowed_origins: Vec<String>,
    /// How many connections there may be.
    pub max_connections: usize,
    /// How many of one account.
    pub max_per_user: usize,
    /// How many from one address. Behind a gateway all come from one.
    pub max_per_address: usize,
    /// How long a client may take for the head of its request.
    pub header_timeout_ms: u64,
    /// How long writing one frame may take.
    pub write_timeout_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8789)),
            allowed_origins: Vec::new(),
            max_connections: 20_000,
            max_per_user: 32,
            max_per_address: 20_000,
            header_timeout_ms: 10_000,
            write_timeout_ms: 10_000,
        }
    }
}

/// The `metrics` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Where `GET /metrics` is answered: not the clients' listener, and not for the public.
    pub address: SocketAddr,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9789)),
        }
    }
}

/// The `tickets` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TicketsConfig {
    /// The secret that signs tickets: at least 32 bytes, the same on the origin.
    #[serde(serialize_with = "redact")]
    pub key: SecretString,
    /// The one before it, while keys are changed.
    #[serde(serialize_with = "redact")]
    pub previous_key: SecretString,
}

impl TicketsConfig {
    /// The keys.
    pub fn keys(&self) -> Result<TicketKeys, pitchey_model::ticket::ShortKey> {
        let previous = self.previous_key.expose_secret();
        let previous = (!previous.is_empty()).then_some(previous.as_bytes());
        TicketKeys::new(self.key.expose_secret().as_bytes(), previous)
    }
}

/// The `publish` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// What `POST /publish` is authorized by, as a bearer token of at least 32 bytes. Without it there is
    /// no such endpoint.
    #[serde(serialize_with = "redact")]
    pub secret: SecretString,
}

/// The `redis` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSection {
    /// `redis://:password@host:port/0`, or `rediss://` over TLS. Without it the hub is alone.
    #[serde(serialize_with = "redact")]
    pub url: SecretString,
    /// What the keys begin with: the same as the origin's.
    pub prefix: String,
    /// How long a call may take.
    pub timeout_ms: u64,
}

impl Default for RedisSection {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            prefix: "pitchey:".to_owned(),
            timeout_ms: 250,
        }
    }
}

/// The `rooms` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomsConfig {
    /// For so long an update waits for others to go with it; 0 sends each alone.
    pub window_ms: u64,
    /// How long sending everyone elsewhere may take.
    pub drain_s: u64,
    /// How often it is checked that no update was missed.
    pub check_ms: u64,
    /// A connection that nothing was heard of for so long is closed.
    pub stale_ms: u64,
    /// How often such are looked for.
    pub sweep_ms: u64,
    /// How often connections are pinged.
    pub ping_s: u64,
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            window_ms: 50,
            drain_s: 20,
            check_ms: 2_000,
            stale_ms: 60_000,
            sweep_ms: 30_000,
            ping_s: 25,
        }
    }
}

impl RoomsConfig {
    /// The settings of rooms.
    pub fn settings(&self) -> pitchey_realtime::Settings {
        pitchey_realtime::Settings {
            window: Duration::from_millis(self.window_ms),
            drain: Duration::from_secs(self.drain_s),
            check: Duration::from_millis(self.check_ms),
            stale: Duration::from_millis(self.stale_ms),
            sweep: Duration::from_millis(self.sweep_ms),
            ping: Duration::from_secs(self.ping_s),
            ..pitchey_realtime::Settings::default()
        }
    }
}

/// Everything that is wrong with the configuration, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration is not valid:\n  {}", .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads all layers: `file` if there is one, and the variables of `environment` that concern the hub.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            figment = figment.merge(Toml::file_exact(path));
        }
        for (name, value) in environment {
            let key = match name.strip_prefix(PREFIX) {
                Some(rest) => rest.to_lowercase().replace("__", "."),
                None if name == "REDIS_URL" => "redis.url".to_owned(),
                None => continue,
            };
            if key.split('.').count() != 2 || key.split('.').any(str::is_empty) {
                let problem = format!("{name}: is not {PREFIX}<SECTION>__<KEY>");
                return Err(ConfigError(vec![problem]));
            }
            figment = if SECRETS.contains(&key.as_str()) {
                figment.merge(Serialized::default(&key, value))
            } else {
                // Never fails: what is no number, truth value or list is text.
                let value: figment::value::Value =
                    value.parse().unwrap_or_else(|never| match never {});
                figment.merge(Serialized::default(&key, value))
            };
        }
        let config: Self = figment.extract().map_err(|errors| {
            // What was found may be a secret in the wrong place: where it was is enough.
            let problem = |error: figment::Error| {
                let (path, kind) = (error.path.join("."), error.kind);
                format!("{path}: {kind}")
            };
            ConfigError(errors.into_iter().map(problem).collect())
        })?;
        let mut problems = Vec::new();
        config.validate(&mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// Adds a sentence to `problems` for every rule that is broken.
    pub fn validate(&self, problems: &mut Vec<String>) {
        let mut range = |key: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                problems.push(format!("{key}: {value} is not between {min} and {max}"));
            }
        };
        let HttpConfig {
            max_connections,
            max_per_user,
            max_per_address,
            header_timeout_ms,
            write_timeout_ms,
            ..
        } = self.http;
        range("http.max_connections", max_connections as u64, 1, 1 << 20);
        range("http.max_per_user", max_per_user as u64, 1, 1 << 20);
        range("http.max_per_address", max_per_address as u64, 1, 1 << 20);
        range("http.header_timeout_ms", header_timeout_ms, 100, 60_000);
        range("http.write_timeout_ms", write_timeout_ms, 100, 60_000);
        range("redis.timeout_ms", self.redis.timeout_ms, 10, 10_000);
        range("rooms.window_ms", self.rooms.window_ms, 0, 1_000);
        range("rooms.drain_s", self.rooms.drain_s, 1, 30);
        range("rooms.check_ms", self.rooms.check_ms, 100, 5_000);
        range("rooms.stale_ms", self.rooms.stale_ms, 500, 600_000);
        range("rooms.sweep_ms", self.rooms.sweep_ms, 100, 60_000);
        range("rooms.ping_s", self.rooms.ping_s, 1, 300);
        for origin in &self.http.allowed_origins {
            let host = ["https://", "http://"]
                .iter()
                .find_map(|scheme| origin.strip_prefix(scheme));
            if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                problems.push(format!(
                    "http.allowed_origins: {origin:?} is not like https://pitchey.example"
                ));
            }
        }
        if self.tickets.key.expose_secret().is_empty() {
            problems.push("tickets.key: is not set (HUB_TICKETS__KEY)".to_owned());
        } else if let Err(short) = self.tickets.keys() {
            problems.push(format!("tickets.key, tickets.previous_key: {short}"));
        }
        let length = self.publish.secret.expose_secret().len();
        if (1..32).contains(&length) {
            problems.push(format!(
                "publish.secret: has {length} bytes, at least 32 are needed"
            ));
        }
        let url = self.redis.url.expose_secret();
        if !(url.is_empty() || url.starts_with("redis://") || url.starts_with("rediss://")) {
            problems.push("redis.url: does not start with redis:// or rediss://".to_owned());
        }
        if self.redis.prefix.is_empty() || self.redis.prefix.len() > 64 {
            problems.push("redis.prefix: has 1 to 64 bytes".to_owned());
        }
        self.log.validate(problems);
    }

    /// The effective configuration as a file that `--config` would take, without the secrets.
    pub fn to_redacted_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// Values that are text whatever they look like.
const SECRETS: [&str; 4] = [
    "tickets.key",
    "tickets.previous_key",
    "publish.secret",
    "redis.url",
];

/// Shows only whether there is a secret.
fn redact<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    let set = !secret.expose_secret().is_empty();
    serializer.serialize_str(if set { "[redacted]" } else { "" })
}
