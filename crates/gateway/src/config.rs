//! What the gateway can be told: typed sections, each with its defaults and its own rules.

use std::net::SocketAddr;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use ipnet::IpNet;
use pitchey_api::edge::MIN_SECRET;
use pitchey_edge::desk::DeskSecret;
use pitchey_edge::limits::{Clients, Limits, MOST_CROWD, Rates};
use pitchey_process::client_address;
use pitchey_resilience::limit::Limit;
use pitchey_telemetry::LogConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::cli::Cli;
pub use crate::warming::WarmConfig;

mod assets;
mod regions;
mod tls;

pub use assets::{AssetsConfig, S3Config};
pub use regions::{RegionConfig, RegionalConfig};
pub use tls::TlsConfig;

/// What names of variables begin with.
const PREFIX: &str = "GATEWAY_";

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listener and what a client may ask of it.
    pub http: HttpConfig,
    /// What makes clients' connections private.
    pub tls: TlsConfig,
    /// The origin.
    pub origin: OriginConfig,
    /// What is kept.
    pub store: StoreConfig,
    /// Static files, for the edge of Pitchey.
    pub assets: AssetsConfig,
    /// What makes it the edge of Pitchey.
    pub pitchey: PitcheyConfig,
    /// The hub, for the edge of Pitchey.
    pub hub: HubConfig,
    /// What operators may do.
    pub desk: DeskConfig,
    /// Databases near readers, for the edge of Pitchey; the primary first.
    pub regions: Vec<RegionConfig>,
    /// How they are asked.
    pub regional: RegionalConfig,
    /// How often a client may ask, for the edge of Pitchey.
    pub limits: LimitsConfig,
    /// Who is asked how they are, by the edge of Pitchey.
    pub health: HealthConfig,
    /// What is asked for before anybody else does.
    pub warm: WarmConfig,
    /// What answers of the edge of Pitchey say of it.
    pub headers: HeadersConfig,
    /// Figures.
    pub metrics: MetricsConfig,
    /// Log lines.
    pub log: LogConfig,
}

/// The `http` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where requests are taken.
    pub address: SocketAddr,
    /// How many threads answer them; 0 is one for each core.
    pub threads: usize,
    /// Connections served at once; further ones wait in the listener's queue.
    pub max_connections: usize,
    /// How long a client may take until the header of its next request is there, idle time included.
    pub header_timeout_ms: u64,
    /// How long a client may send nothing of a body, or read nothing of an answer.
    pub stall_timeout_ms: u64,
    /// The size of a request's header.
    pub max_header_bytes: usize,
    /// The size of a request's body.
    pub max_body_bytes: u64,
    /// How long requests in flight may take once the gateway is to stop.
    pub shutdown_timeout_ms: u64,
    /// Networks, as in `10.0.0.0/8`, whose word on who asked them is believed.
    pub trusted_proxies: Vec<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8787)),
            threads: 0,
            max_connections: 10_000,
            header_timeout_ms: 60_000,
            stall_timeout_ms: 30_000,
            max_header_bytes: 64 * 1024,
            max_body_bytes: 16 << 20,
            shutdown_timeout_ms: 20_000,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The `origin` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginConfig {
    /// Scheme, host and port.
    pub url: String,
    /// How long connecting may take.
    pub connect_timeout_ms: u64,
    /// How long the origin may take until the header of its response is there.
    pub response_timeout_ms: u64,
    /// How long it may send nothing of a body.
    pub stall_timeout_ms: u64,
    /// Connections that are kept for later requests.
    pub idle_connections: usize,
    /// How long.
    pub idle_timeout_ms: u64,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            connect_timeout_ms: 3_000,
            response_timeout_ms: 30_000,
            stall_timeout_ms: 30_000,
            idle_connections: 256,
            idle_timeout_ms: 30_000,
        }
    }
}

/// The `hub` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HubConfig {
    /// Scheme, host and port. Without it the origin is asked for `/ws` and `/sse`, too.
    pub url: String,
    /// How long connecting may take.
    pub connect_timeout_ms: u64,
    /// How long the hub may take to agree to a connection, connecting included.
    pub response_timeout_ms: u64,
    /// How long either side may say nothing: longer than the hub takes between two signs of life.
    pub idle_timeout_ms: u64,
    /// Connections to it at once; further ones are refused.
    pub max_connections: usize,
    /// Connections at once from one address, of IPv6 from one network of 64 bits; 0 is no limit.
    pub max_per_address: usize,
    /// Within which time connections end, each at its own, once the gateway is to stop.
    pub drain_ms: u64,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            connect_timeout_ms: 1_000,
            response_timeout_ms: 5_000,
            idle_timeout_ms: 120_000,
            max_connections: 5_000,
            max_per_address: 200,
            drain_ms: 5_000,
        }
    }
}

impl HubConfig {
    /// The address, with nothing but scheme and authority.
    pub fn uri(&self) -> Result<Uri, String> {
        bare(&self.url)
    }

    fn validate(&self, http: &HttpConfig, is_pitchey: bool, problems: &mut Vec<String>) {
        if self.url.is_empty() {
            return;
        }
        if let Err(problem) = self.uri() {
            problems.push(format!("hub.url: {problem}"));
        }
        if !is_pitchey {
            problems.push("hub.url: is for the edge of Pitchey alone (--pitchey)".to_owned());
        }
        if self.drain_ms > http.shutdown_timeout_ms {
            problems.push("hub.drain_ms: is longer than http.shutdown_timeout_ms".to_owned());
        }
    }
}

/// The `store` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Memory for responses, in MiB.
    pub memory_mib: u64,
    /// The largest body that is kept, in KiB.
    pub largest_body_kib: u64,
    /// Whether text that is kept is coded (Brotli, gzip) for clients that take it, where the origin of a site has
    /// not. Pitchey's codes its answers itself.
    pub compress: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            memory_mib: 256,
            largest_body_kib: 8 * 1024,
            compress: true,
        }
    }
}

/// The `pitchey` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PitcheyConfig {
    /// Whether it is the edge of Pitchey, and not a proxy for any site.
    pub enabled: bool,
    /// What is shown to the origin, which has the same as `cache.edge_key`: at least 32 bytes.
    #[serde(serialize_with = "redacted")]
    pub secret: SecretString,
    /// Redis, whose stream tells what is invalidated: that of the origins.
    #[serde(serialize_with = "redacted")]
    pub redis_url: SecretString,
    /// What the keys in Redis begin with: the same as the origins' `cache.prefix`.
    pub prefix: String,
    /// How long a call to Redis may take.
    pub timeout_ms: u64,
    /// How long what is in memory is trusted after the last proof that no invalidation was missed.
    pub silence_ms: u64,
}

impl Default for PitcheyConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            secret: SecretString::default(),
            redis_url: SecretString::default(),
            prefix: "pitchey:".to_owned(),
            timeout_ms: 50,
            silence_ms: 1_000,
        }
    }
}

impl PitcheyConfig {
    fn validate(&self, problems: &mut Vec<String>) {
        if !self.enabled {
            return;
        }
        let url = self.redis_url.expose_secret();
        if !["redis://", "rediss://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            problems
                .push("pitchey.redis_url: does not start with redis:// or rediss://".to_owned());
        }
        if self.secret.expose_secret().len() < MIN_SECRET {
            problems.push(format!("pitchey.secret: has fewer than {MIN_SECRET} bytes"));
        } else if HeaderValue::from_str(self.secret.expose_secret()).is_err() {
            problems.push("pitchey.secret: is not plain text".to_owned());
        }
        if self.prefix.is_empty() || self.prefix.len() > 64 {
            problems.push("pitchey.prefix: has 1 to 64 bytes".to_owned());
        }
    }
}

/// The `limits` section: `"off"`, or a burst and the rate at which it comes back. Only the edge of Pitchey, which
/// has a table of routes, limits anybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// How many clients are known in each class; of more, those who have asked least are forgotten. 0 switches all
    /// limits off.
    pub clients: usize,
    /// How many times the rates of one client those have together who are signed in at one address; each of them
    /// has those of one client. 0 counts by address alone.
    pub crowd: u32,
    /// What is cheap, or kept: lists, details, profiles, pages.
    pub read: Limit,
    /// Full-text search.
    pub search: Limit,
    /// What changes something.
    pub write: Limit,
    /// Where passwords are checked or hashed.
    pub auth: Limit,
    /// Beacons.
    pub beacon: Limit,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let Rates {
            read,
            search,
            write,
            auth,
            beacon,
        } = Rates::default();
        Self {
            clients: 100_000,
            crowd: 10,
            read,
            search,
            write,
            auth,
            beacon,
        }
    }
}

impl LimitsConfig {
    /// The limits, `None` if there are none.
    pub fn limits(&self) -> Option<Limits> {
        let rates = Rates {
            read: self.read,
            search: self.search,
            write: self.write,
            auth: self.auth,
            beacon: self.beacon,
        };
        let clients = Clients {
            known: self.clients,
            crowd: self.crowd,
        };
        Limits::new(clients, &rates)
    }
}

/// The `health` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// How long lies between two questions to one, a fifth more or less.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Who is asked beside the origin and the hub.
    pub targets: Vec<HealthTarget>,
}

/// Somebody who is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthTarget {
    /// What it is called.
    pub name: String,
    /// What is read: it is well if the answer is 200.
    pub url: String,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            interval_ms: 10_000,
            timeout_ms: 2_000,
            targets: Vec::new(),
        }
    }
}

impl HealthConfig {
    /// The most targets.
    const MOST: usize = 20;

    fn validate(&self, problems: &mut Vec<String>) {
        if self.targets.len() > Self::MOST {
            problems.push(format!("health.targets: has more than {}", Self::MOST));
        }
        let mut names = vec!["origin", "hub", "redis"];
        for HealthTarget { name, url } in &self.targets {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if !(1..=32).contains(&name.len()) || !name.bytes().all(is_letter) {
                problems.push(format!("health.targets: {name:?} is no name"));
            } else if names.contains(&&**name) {
                problems.push(format!("health.targets: there is another {name:?}"));
            }
            names.push(name);
            let uri: Option<Uri> = url.parse().ok();
            let is_known = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
            if !uri.is_some_and(|uri| is_known(&uri)) {
                problems.push(format!(
                    "health.targets: {url:?} is not http:// or https://"
                ));
            }
        }
    }
}

/// The `headers` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeadersConfig {
    /// Whether answers say how long they took, where they come from, and by which version.
    pub debug: bool,
    /// Where this edge is; answers do not say so if it has no name.
    pub location: String,
}

impl Default for HeadersConfig {
    fn default() -> Self {
        Self {
            debug: true,
            location: String::new(),
        }
    }
}

impl HeadersConfig {
    fn validate(&self, problems: &mut Vec<String>) {
        let fits = self.location.len() <= 64 && HeaderValue::from_str(&self.location).is_ok();
        if !fits {
            problems.push("headers.location: is no short plain text".to_owned());
        }
    }
}

/// The `metrics` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Where `GET /metrics` is answered: not the clients' listener, and not for the public. Without it nothing is
    /// counted.
    pub address: Option<SocketAddr>,
}

/// The `desk` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeskConfig {
    /// What operators sign their requests with: at least 32 bytes. Without it nobody is an operator here.
    #[serde(serialize_with = "redacted")]
    pub secret: SecretString,
}

impl DeskConfig {
    /// What requests are checked by; `None` if there is nothing.
    pub fn secret(&self) -> Option<DeskSecret> {
        DeskSecret::new(self.secret.expose_secret().as_bytes())
    }

    fn validate(&self, problems: &mut Vec<String>) {
        if !self.secret.expose_secret().is_empty() && self.secret().is_none() {
            let least = pitchey_edge::desk::MIN_SECRET;
            problems.push(format!("desk.secret: has fewer than {least} bytes"));
        }
    }
}

fn redacted<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    let is_set = !secret.expose_secret().is_empty();
    serializer.serialize_str(if is_set { "[set]" } else { "" })
}

/// Everything that is wrong with the configuration, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration is not valid:\n  {}", .problems.join("\n  "))]
pub struct ConfigError {
    /// The sentences.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads all layers. All problems of all of them are reported together.
    pub fn load(cli: &Cli) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        let mut problems = Vec::new();
        if let Some(file) = &cli.config {
            match std::fs::read_to_string(file) {
                Ok(text) => figment = figment.merge(Toml::string(&text)),
                Err(error) => problems.push(format!("{}: {error}", file.display())),
            }
        }
        figment = figment.merge(Env::prefixed(PREFIX).split("__"));
        let mut config: Self = match figment.extract() {
            Ok(config) => config,
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| error.to_string()));
                return Err(ConfigError { problems });
            }
        };
        if let Some(origin) = &cli.origin {
            config.origin.url = origin.to_string();
        }
        config.pitchey.enabled |= cli.pitchey;
        if let Some(address) = cli.listen {
            config.http.address = address;
        }
        problems.extend(config.validate());
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { problems })
        }
    }

    /// Everything that makes no sense.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.origin.url.is_empty() {
            problems.push("origin.url: is not set (--origin)".to_owned());
        } else if let Err(problem) = self.origin.uri() {
            problems.push(format!("origin.url: {problem}"));
        }
        if let Err(problem) = self.http.trusted() {
            problems.push(format!("http.trusted_proxies: {problem}"));
        }
        self.tls.validate(&mut problems);
        self.assets.validate(self.pitchey.enabled, &mut problems);
        self.pitchey.validate(&mut problems);
        self.desk.validate(&mut problems);
        self.health.validate(&mut problems);
        self.warm.validate(&mut problems);
        self.headers.validate(&mut problems);
        RegionConfig::validate(&self.regions, self.pitchey.enabled, &mut problems);
        self.regional
            .validate(!self.regions.is_empty(), &mut problems);
        let is_pitchey = self.pitchey.enabled;
        self.hub.validate(&self.http, is_pitchey, &mut problems);
        let mut range = |name: &str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                problems.push(format!("{name}: must be {least} to {most}, not {value}"));
            }
        };
        let day = 24 * 60 * 60 * 1000;
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let http = &self.http;
        range("http.threads", count(http.threads), 0, 1024);
        range(
            "http.max_connections",
            count(http.max_connections),
            1,
            1 << 20,
        );
        range("http.header_timeout_ms", http.header_timeout_ms, 10, day);
        range("http.stall_timeout_ms", http.stall_timeout_ms, 10, day);
        let header = count(http.max_header_bytes);
        range("http.max_header_bytes", header, 8192, 1 << 20);
        range("http.max_body_bytes", http.max_body_bytes, 0, 1 << 40);
        range("http.shutdown_timeout_ms", http.shutdown_timeout_ms, 0, day);
        range("tls.reload_ms", self.tls.reload_ms, 10, day);
        let origin = &self.origin;
        range(
            "origin.connect_timeout_ms",
            origin.connect_timeout_ms,
            1,
            day,
        );
        range(
            "origin.response_timeout_ms",
            origin.response_timeout_ms,
            1,
            day,
        );
        range("origin.stall_timeout_ms", origin.stall_timeout_ms, 1, day);
        range("origin.idle_timeout_ms", origin.idle_timeout_ms, 0, day);
        let idle = count(origin.idle_connections);
        range("origin.idle_connections", idle, 0, 1 << 16);
        let hub = &self.hub;
        range("hub.connect_timeout_ms", hub.connect_timeout_ms, 1, day);
        range("hub.response_timeout_ms", hub.response_timeout_ms, 1, day);
        range("hub.idle_timeout_ms", hub.idle_timeout_ms, 10, day);
        let most = count(hub.max_connections);
        range("hub.max_connections", most, 1, 1 << 20);
        let share = count(hub.max_per_address);
        range("hub.max_per_address", share, 0, 1 << 20);
        range("hub.drain_ms", hub.drain_ms, 0, day);
        let health = &self.health;
        range("health.interval_ms", health.interval_ms, 100, day);
        range("health.timeout_ms", health.timeout_ms, 1, day);
        range("warm.interval_ms", self.warm.interval_ms, 1000, day);
        let clients = count(self.limits.clients);
        range("limits.clients", clients, 0, 10_000_000);
        range(
            "limits.crowd",
            self.limits.crowd.into(),
            0,
            MOST_CROWD.into(),
        );
        let pitchey = &self.pitchey;
        range("pitchey.timeout_ms", pitchey.timeout_ms, 1, 10_000);
        range("pitchey.silence_ms", pitchey.silence_ms, 500, 60_000);
        range("store.memory_mib", self.store.memory_mib, 1, 1 << 20);
        range("assets.memory_mib", self.assets.memory_mib, 1, 1 << 20);
        range("assets.s3.timeout_ms", self.assets.s3.timeout_ms, 1, day);
        let body = self.store.largest_body_kib;
        range("store.largest_body_kib", body, 1, 1 << 20);
        problems
    }
}

impl HttpConfig {
    /// How many threads there are to be.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// The networks that are trusted.
    pub fn trusted(&self) -> Result<Vec<IpNet>, String> {
        let network = |text: &String| {
            client_address::network(text).ok_or_else(|| format!("{text:?} is no network"))
        };
        self.trusted_proxies.iter().map(network).collect()
    }
}

impl OriginConfig {
    /// The address, with nothing but scheme and authority.
    pub fn uri(&self) -> Result<Uri, String> {
        bare(&self.url)
    }
}

/// An address with nothing but scheme and authority.
fn bare(url: &str) -> Result<Uri, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("{url:?} is no address: {error}"))?;
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = matches!(
        uri.path_and_query().map(PathAndQuery::as_str),
        None | Some("/")
    );
    let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
    if !is_known || uri.host().is_none_or(str::is_empty) || !is_bare || has_user {
        return Err(format!(
            "{url:?} is not http:// or https:// with a host and nothing behind it"
        ));
    }
    Ok(uri)
}

/// Milliseconds as what they are.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_alone_is_enough() {
        let cli = Cli {
            origin: Some(Uri::from_static("http://127.0.0.1:9000")),
            ..Cli::default()
        };
        let config = Config::load(&cli).expect("valid");
        assert_eq!(
            config.origin.uri().expect("valid").host(),
            Some("127.0.0.1")
        );
        assert_eq!(config.http.address.port(), 8787);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut config = Config::default();
        config.http.header_timeout_ms = 1;
        config.http.trusted_proxies = vec!["somewhere".to_owned()];
        config.store.memory_mib = 0;
        config.desk.secret = "too short".into();
        let region = |name: &str, latitude, url: &str| RegionConfig {
            name: name.to_owned(),
            latitude,
            longitude: 8.6,
            url: url.into(),
        };
        config.regions = vec![
            region("eu", 50.0, "postgres://me:secret@near/pitchey"),
            region("eu", 91.0, "mysql://me:secret@near/pitchey"),
            region("origin", f64::NAN, "postgres://me:secret@:port:/x"),
        ];
        config.regional.latitude = Some(50.0);
        config.regional.max_connections = 0;
        insta::assert_snapshot!(config.validate().join("\n"));
        for url in [
            "ftp://x",
            "x",
            "http://x/path",
            "http://u@x",
            "http:///",
            "http://x?q",
        ] {
            config.origin.url = url.to_owned();
            assert!(config.origin.uri().is_err(), "{url}");
        }
    }
}
