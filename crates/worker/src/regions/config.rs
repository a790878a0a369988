//! What is told of databases near readers: `REGIONS`, a list in JSON, and variables that begin with `REGIONAL__`.

use pitchey_api::CursorKey;
use pitchey_edge::regions::{Place, wrong_name};
use serde::Deserialize;

use crate::config::Reader;

/// The most regions.
const MOST: usize = 32;

/// The databases near readers, and how they are asked.
#[derive(Clone)]
pub struct Regional {
    /// Which there are, the primary first.
    pub all: Vec<RegionConfig>,
    /// What seals cursors: the origins' `cursor.key`.
    pub cursor_key: CursorKey,
    /// How long a connection may take, in milliseconds.
    pub connect_timeout_ms: u32,
    /// How long a region may take for a whole answer, until another or the origin is asked.
    pub read_timeout_ms: u32,
    /// How long the server of a `url` lets a statement take.
    pub statement_timeout_ms: u32,
}

/// A database near readers.
#[derive(Clone)]
pub struct RegionConfig {
    /// What it is called in headers and the log.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// What leads to it.
    pub way: Way,
}

/// What leads to a database.
#[derive(Clone)]
pub enum Way {
    /// A binding of Hyperdrive, by its name.
    Hyperdrive(String),
    /// A connection of this worker's own, which is not encrypted.
    Direct {
        /// What is told to the server.
        database: Box<tokio_postgres::Config>,
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl std::fmt::Debug for Regional {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.all.iter().map(|one| &*one.name).collect();
        formatter
            .debug_struct("Regional")
            .field("all", &names)
            .field("read_timeout_ms", &self.read_timeout_ms)
            .finish_non_exhaustive()
    }
}

/// A region as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    latitude: f64,
    longitude: f64,
    hyperdrive: Option<String>,
    url: Option<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// There are some if `REGIONS` names them.
    pub(crate) fn regional(&mut self) -> Option<Regional> {
        let connect_timeout_ms = self.number("REGIONAL__CONNECT_TIMEOUT_MS", 1_000, 10..=60_000);
        let read_timeout_ms = self.number("REGIONAL__READ_TIMEOUT_MS", 1_000, 10..=60_000);
        let statement_timeout_ms =
            self.number("REGIONAL__STATEMENT_TIMEOUT_MS", 2_000, 10..=60_000);
        let text = self.look_up("REGIONS").filter(|text| !text.is_empty())?;
        let written: Vec<Written> = match serde_json::from_str(&text) {
            Ok(written) => written,
            Err(error) => {
                // It may quote a password of the text: only where it is.
                let (line, column) = (error.line(), error.column());
                let problem = format!("is no list of regions (line {line}, column {column})");
                self.tell("REGIONS", &problem);
                return None;
            }
        };
        if written.is_empty() {
            return None;
        }
        if written.len() > MOST {
            self.tell("REGIONS", &format!("are more than {MOST}"));
        }
        if self.look_up("PITCHEY__SECRET").is_none() {
            self.tell("REGIONS", "are for the edge of Pitchey alone");
        }
        let key = self.look_up("REGIONAL__CURSOR_KEY").unwrap_or_default();
        let cursor_key = CursorKey::new(key.as_bytes());
        if cursor_key.is_none() {
            let least = CursorKey::MIN_BYTES;
            let problem = format!("has fewer than {least} bytes");
            self.tell("REGIONAL__CURSOR_KEY", &problem);
        }
        let mut all: Vec<RegionConfig> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for (index, one) in written.into_iter().enumerate() {
            let called = |key: &str| format!("REGIONS.{index}.{key}");
            let is_taken = names.contains(&one.name);
            let taken = is_taken.then_some("is another's, too");
            if let Some(problem) = wrong_name(&one.name).or(taken) {
                self.tell(&called("name"), problem);
            }
            names.push(one.name.clone());
            let place = Place::new(one.latitude, one.longitude);
            if place.is_none() {
                let problem = "is no place on the globe with its longitude";
                self.tell(&called("latitude"), problem);
            }
            let way = match (one.hyperdrive, one.url) {
                (Some(binding), None) if !binding.is_empty() => Ok(Way::Hyperdrive(binding)),
                (None, Some(url)) => direct(&url).map_err(|problem| ("url", problem)),
                _ => Err(("hyperdrive", "is not named, or beside url")),
            };
            match (way, place) {
                (Err((key, problem)), _) => self.tell(&called(key), problem),
                (Ok(way), Some(place)) => all.push(RegionConfig {
                    name: one.name,
                    place,
                    way,
                }),
                (Ok(_), None) => {}
            }
        }
        Some(Regional {
            all,
            cursor_key: cursor_key?,
            connect_timeout_ms,
            read_timeout_ms,
            statement_timeout_ms,
        })
    }
}

/// The way to the server of a URL. What is wrong with it is not told: it may quote the password.
fn direct(url: &str) -> Result<Way, &'static str> {
    const FORM: &str = "is not of the form postgres://user:password@host:port/database";
    let scheme = ["postgres://", "postgresql://"];
    let begins = scheme.iter().any(|scheme| url.starts_with(scheme));
    let database = url.parse::<tokio_postgres::Config>().ok();
    let database = database.filter(|_| begins).ok_or(FORM)?;
    if database.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
        return Err("demands TLS, which Hyperdrive alone speaks here");
    }
    let (host, port) = match (database.get_hosts(), database.get_ports()) {
        ([tokio_postgres::config::Host::Tcp(host)], [port]) => (host.clone(), *port),
        ([tokio_postgres::config::Host::Tcp(host)], []) => (host.clone(), 5432),
        _ => return Err(FORM),
    };
    if database.get_user().is_none() {
        return Err(FORM);
    }
    Ok(Way::Direct {
        database: Box::new(database),
        host,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const KEY: &str = "what seals cursors in these tests";

    fn read(regions: &str, key: &str) -> Result<Config, String> {
        Config::read(|name| {
            let value = match name {
                "ORIGIN__URL" => "https://origin.example",
                "PITCHEY__SECRET" => "what edges show to origins in this test",
                "REGIONS" => regions,
                "REGIONAL__CURSOR_KEY" => key,
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn a_region_has_a_binding_or_a_url_and_passwords_are_not_shown() {
        let config = read(
            r#"[{"name": "europe", "latitude": 50.1, "longitude": 8.7, "hyperdrive": "EUROPE"},
                {"name": "asia", "latitude": 1.3, "longitude": 103.8,
                 "url": "postgres://reader:secret@replica.example/pitchey"}]"#,
            KEY,
        );
        let config = config.expect("valid");
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
        let regional = config.regional.expect("they are named");
        assert!(matches!(&regional.all[0].way, Way::Hyperdrive(name) if name == "EUROPE"));
        let Way::Direct { host, port, .. } = &regional.all[1].way else {
            panic!("it has a URL");
        };
        assert_eq!((&**host, *port), ("replica.example", 5432));
        assert!(read("", KEY).expect("valid").regional.is_none());
        assert!(read("[]", KEY).expect("valid").regional.is_none());
    }

    #[test]
    fn every_problem_of_every_region_is_told() {
        let told = read(
            r#"[{"name": "Europe", "latitude": 91, "longitude": 8.7, "hyperdrive": "EUROPE"},
                {"name": "asia", "latitude": 1, "longitude": 1},
                {"name": "asia", "latitude": 1, "longitude": 1, "url": "postgres://a:secret@b?sslmode=require"},
                {"name": "origin", "latitude": 1, "longitude": 1, "url": "mysql://a:secret@b"}]"#,
            "short",
        );
        assert_eq!(
            told.expect_err("seven problems"),
            "REGIONAL__CURSOR_KEY has fewer than 32 bytes; \
             REGIONS.0.name is not of up to 32 small letters, digits and -; \
             REGIONS.0.latitude is no place on the globe with its longitude; \
             REGIONS.1.hyperdrive is not named, or beside url; \
             REGIONS.2.name is another's, too; \
             REGIONS.2.url demands TLS, which Hyperdrive alone speaks here; \
             REGIONS.3.name means something else; \
             REGIONS.3.url is not of the form postgres://user:password@host:port/database"
        );
        let told = read(r#"[{"name": "x", "password": "secret"}]"#, KEY);
        // How far the parser has read by then is its own business, and by its features one more or less.
        let told = told.expect_err("another member");
        let place = told.strip_prefix("REGIONS is no list of regions (line 1, column 2");
        assert!(place.is_some_and(|column| column.len() == 2), "{told}");
    }
}
