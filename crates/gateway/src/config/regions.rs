//! The `regions`, and the `regional` section: databases near readers, and how they are asked.

use pitchey_api::CursorKey;
use pitchey_edge::regions::{Place, wrong_name};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::redacted;

/// A database near readers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// What it is called in headers, figures and the log.
    pub name: String,
    /// Where it is, in degrees north.
    pub latitude: f64,
    /// Where it is, in degrees east.
    pub longitude: f64,
    /// `postgres://user:password@host:port/database`: the primary, or a streaming replica of it.
    #[serde(serialize_with = "redacted")]
    pub url: SecretString,
}

impl RegionConfig {
    /// The most regions.
    const MOST: usize = 32;

    /// Where it is.
    pub fn place(&self) -> Option<Place> {
        Place::new(self.latitude, self.longitude)
    }

    /// Adds what makes no sense to `problems`.
    pub(super) fn validate(regions: &[Self], is_pitchey: bool, problems: &mut Vec<String>) {
        if regions.is_empty() {
            return;
        }
        if !is_pitchey {
            problems.push("regions: are for the edge of Pitchey alone (--pitchey)".to_owned());
        }
        if regions.len() > Self::MOST {
            problems.push(format!("regions: are more than {}", Self::MOST));
        }
        for (index, region) in regions.iter().enumerate() {
            let mut tell = |key: &str, how: &str| {
                problems.push(format!("regions.{index}.{key}: {how}"));
            };
            let name = &region.name;
            if let Some(problem) = wrong_name(name) {
                tell("name", problem);
            }
            if regions[..index].iter().any(|other| other.name == *name) {
                tell("name", "is another's, too");
            }
            if region.place().is_none() {
                tell("latitude", "is no place on the globe with its longitude");
            }
            // What is wrong with it is not told: it may quote the password.
            let url = region.url.expose_secret();
            let scheme = ["postgres://", "postgresql://"];
            let begins = scheme.iter().any(|scheme| url.starts_with(scheme));
            if !begins || url.parse::<tokio_postgres::Config>().is_err() {
                tell(
                    "url",
                    "is not of the form postgres://user:password@host:port/database",
                );
            }
        }
    }
}

/// The `regional` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegionalConfig {
    /// Where this edge is, in degrees north: the nearest region is asked for those of whom no trusted proxy
    /// says where they are. Without it the first one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// The same in degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// What seals cursors: the origins' `cursor.key`.
    #[serde(serialize_with = "redacted")]
    pub cursor_key: SecretString,
    /// Connections to each region.
    pub max_connections: usize,
    /// How long a new connection may take, and how long a read waits for one.
    pub connect_timeout_ms: u64,
    /// How long a region may take for a whole answer, until another or the origin is asked.
    pub read_timeout_ms: u64,
    /// How long its server lets a statement take.
    pub statement_timeout_ms: u64,
    /// How often each is asked how it is.
    pub interval_ms: u64,
}

impl Default for RegionalConfig {
    fn default() -> Self {
        Self {
            latitude: None,
            longitude: None,
            cursor_key: SecretString::default(),
            max_connections: 8,
            connect_timeout_ms: 1_000,
            read_timeout_ms: 1_000,
            statement_timeout_ms: 2_000,
            interval_ms: 1_000,
        }
    }
}

impl RegionalConfig {
    /// Where this edge is, if that is said.
    pub fn place(&self) -> Option<Place> {
        Place::new(self.latitude?, self.longitude?)
    }

    /// What seals cursors, if it is long enough.
    pub fn cursor_key(&self) -> Option<CursorKey> {
        CursorKey::new(self.cursor_key.expose_secret().as_bytes())
    }

    /// Adds what makes no sense to `problems`.
    pub(super) fn validate(&self, has_regions: bool, problems: &mut Vec<String>) {
        let said = self.latitude.is_some() || self.longitude.is_some();
        if said && self.place().is_none() {
            problems
                .push("regional.latitude: is no place on the globe with its longitude".to_owned());
        }
        if has_regions && self.cursor_key().is_none() {
            let least = CursorKey::MIN_BYTES;
            problems.push(format!("regional.cursor_key: has fewer than {least} bytes"));
        }
        let connections = u64::try_from(self.max_connections).unwrap_or(u64::MAX);
        for (name, value, least, most) in [
            ("max_connections", connections, 1, 256),
            ("connect_timeout_ms", self.connect_timeout_ms, 10, 60_000),
            ("read_timeout_ms", self.read_timeout_ms, 10, 60_000),
            (
                "statement_timeout_ms",
                self.statement_timeout_ms,
                10,
                60_000,
            ),
            ("interval_ms", self.interval_ms, 10, 600_000),
        ] {
            if !(least..=most).contains(&value) {
                problems.push(format!(
                    "regional.{name}: must be {least} to {most}, not {value}"
                ));
            }
        }
    }
}
