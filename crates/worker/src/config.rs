//! What the worker is told, by variables of its environment.
//!
//! They are called as those of the gateway are, without `GATEWAY_`: `ORIGIN__URL`, `STORE__MEMORY_MIB`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::str::FromStr;

use http::{HeaderValue, Uri};
use pitchey_api::edge::MIN_SECRET;
use pitchey_edge::desk::DeskSecret;
use pitchey_edge::limits::{Clients, MOST_CROWD, Rates};

use crate::duties::Duties;
use crate::regions::Regional;
use crate::rooms::Realtime;

mod objects;

pub use objects::{Assets, Shared};

/// The most that an isolate may be told to keep: it has 128 MiB in all.
const MOST_MEMORY_MIB: u64 = 64;

/// The longest bound on what an isolate serves: the cookie of those who have changed something, who are
/// not answered from memory, lasts a minute.
const MOST_BOUND_MS: u32 = 60_000;

/// The configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The origin: scheme and authority.
    pub origin: Uri,
    /// How long the origin may take until its header is there, in milliseconds.
    pub response_timeout_ms: u32,
    /// How long it may send nothing of a body that is read here, in milliseconds.
    pub stall_timeout_ms: u32,
    /// How much an isolate keeps, in MiB.
    pub memory_mib: u64,
    /// The largest body that is kept, in KiB.
    pub largest_body_kib: u64,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: u64,
    /// The largest header of a request, in bytes.
    pub max_header_bytes: usize,
    /// What makes it the edge of Pitchey, if it is that.
    pub pitchey: Option<Pitchey>,
    /// Where rooms are, if there are any.
    pub realtime: Option<Realtime>,
    /// The tier that all isolates share, if there is one.
    pub redis: Option<Redis>,
    /// KV, if it is to be used.
    pub kv: Option<Kv>,
    /// Static files, if they are in R2.
    pub assets: Option<Assets>,
    /// What the isolates of a data centre share, if anything.
    pub shared: Option<Shared>,
    /// Databases near readers, if there are any.
    pub regional: Option<Regional>,
    /// What operators sign with; without it there are none.
    pub desk: Option<DeskSecret>,
    /// How many clients an isolate knows in each class of routes.
    pub clients: Clients,
    /// How often each may ask.
    pub rates: Rates,
    /// What it does besides answering.
    pub duties: Duties,
}

/// KV, by the binding `PAGES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kv {
    /// How long after the origin was asked a page from there is served, in milliseconds.
    pub bound_ms: u32,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u32,
}

/// Redis, by the REST protocol of Upstash.
#[derive(Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where commands are posted.
    pub url: String,
    /// What is shown with them.
    pub token: String,
    /// What every key begins with, as at the origins.
    pub prefix: String,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u32,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Redis")
            .field("prefix", &self.prefix)
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

/// What the edge of Pitchey is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Pitchey {
    /// The secret that edges show to origins.
    pub secret: HeaderValue,
    /// How long after the origin was asked an answer of it may be served from memory, in milliseconds.
    pub bound_ms: u32,
    /// Whether answers say how long they took, where they come from, and by which version.
    pub marks: bool,
}

impl std::fmt::Debug for Pitchey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pitchey")
            .field("bound_ms", &self.bound_ms)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the variables of an environment, a JSON object. An error tells every problem.
    pub fn parse(variables: &str) -> Result<Self, String> {
        let variables: HashMap<String, String> =
            serde_json::from_str(variables).map_err(|error| error.to_string())?;
        Self::read(|name| variables.get(name).cloned())
    }

    /// How much an isolate keeps, in bytes.
    pub fn memory_bytes(&self) -> usize {
        usize::try_from(self.memory_mib << 20).unwrap_or(usize::MAX)
    }

    /// Reads the variables, by the function that looks one up. An error tells every problem.
    pub fn read(look_up: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut reader = Reader {
            look_up,
            problems: String::new(),
        };
        let config = Self {
            origin: reader.origin(),
            response_timeout_ms: reader.number("ORIGIN__RESPONSE_TIMEOUT_MS", 10_000, 1..=60_000),
            stall_timeout_ms: reader.number("ORIGIN__STALL_TIMEOUT_MS", 10_000, 1..=60_000),
            memory_mib: reader.number("STORE__MEMORY_MIB", 32, 1..=MOST_MEMORY_MIB),
            largest_body_kib: reader.number("STORE__LARGEST_BODY_KIB", 1024, 1..=16 * 1024),
            max_body_bytes: reader.number("HTTP__MAX_BODY_BYTES", 16 << 20, 0..=100 << 20),
            max_header_bytes: reader.number("HTTP__MAX_HEADER_BYTES", 32 << 10, 1024..=128 << 10),
            pitchey: reader.pitchey(),
            realtime: reader.realtime(),
            redis: reader.redis(),
            kv: reader.kv(),
            assets: reader.assets(),
            shared: reader.shared(),
            regional: reader.regional(),
            desk: reader.desk(),
            clients: Clients {
                known: reader.number("LIMITS__CLIENTS", 5_000, 0..=100_000),
                crowd: reader.number("LIMITS__CROWD", 10, 0..=MOST_CROWD),
            },
            rates: reader.rates(),
            duties: reader.duties(),
        };
        if let Some((pitchey, kv)) = config.pitchey.as_ref().zip(config.kv.as_ref())
            && pitchey.bound_ms + kv.bound_ms > MOST_BOUND_MS
        {
            let problem = format!("and PITCHEY__BOUND_MS are more than {MOST_BOUND_MS} together");
            reader.tell("KV__BOUND_MS", &problem);
        }
        reader.check_assets(&config);
        if reader.problems.is_empty() && config.largest_body_kib > config.memory_mib << 10 {
            reader.tell("STORE__LARGEST_BODY_KIB", "is more than STORE__MEMORY_MIB");
        }
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(reader.problems)
        }
    }
}

pub(crate) struct Reader<F> {
    look_up: F,
    problems: String,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(crate) fn look_up(&self, name: &str) -> Option<String> {
        (self.look_up)(name)
    }

    pub(crate) fn tell(&mut self, name: &str, problem: &str) {
        let separator = if self.problems.is_empty() { "" } else { "; " };
        // Writing to text cannot fail.
        let _ = write!(self.problems, "{separator}{name} {problem}");
    }

    pub(crate) fn number<T>(
        &mut self,
        name: &str,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = (self.look_up)(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = range.into_inner();
                self.tell(name, &format!("is no number from {least} to {most}"));
                default
            }
        }
    }

    fn switch(&mut self, name: &str, default: bool) -> bool {
        match (self.look_up)(name).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(_) => {
                self.tell(name, "is neither true nor false");
                default
            }
        }
    }

    /// It is the edge of Pitchey if it has a secret.
    fn pitchey(&mut self) -> Option<Pitchey> {
        let bound_ms = self.number("PITCHEY__BOUND_MS", 5_000, 100..=MOST_BOUND_MS);
        let marks = self.switch("HEADERS__DEBUG", true);
        let secret = (self.look_up)("PITCHEY__SECRET")?;
        match HeaderValue::try_from(secret) {
            Ok(mut secret) if secret.len() >= MIN_SECRET => {
                secret.set_sensitive(true);
                Some(Pitchey {
                    secret,
                    bound_ms,
                    marks,
                })
            }
            _ => {
                let problem = format!("is no line of {MIN_SECRET} or more bytes");
                self.tell("PITCHEY__SECRET", &problem);
                None
            }
        }
    }

    /// Together with what memory then keeps it, a page from KV must not outlast the cookie of those who have
    /// changed something.
    fn kv(&mut self) -> Option<Kv> {
        let bound_ms = self.number("KV__BOUND_MS", 50_000, 0..=MOST_BOUND_MS);
        let timeout_ms = self.number("KV__TIMEOUT_MS", 500, 1..=10_000);
        self.switch("KV__ENABLED", false).then_some(Kv {
            bound_ms,
            timeout_ms,
        })
    }

    fn desk(&mut self) -> Option<DeskSecret> {
        let secret = (self.look_up)("DESK__SECRET").filter(|secret| !secret.is_empty())?;
        let desk = DeskSecret::new(secret.as_bytes());
        if desk.is_none() {
            let least = pitchey_edge::desk::MIN_SECRET;
            self.tell("DESK__SECRET", &format!("has fewer than {least} bytes"));
        }
        desk
    }

    fn rates(&mut self) -> Rates {
        let mut rates = Rates::default();
        for (name, rate) in [
            ("LIMITS__READ", &mut rates.read),
            ("LIMITS__SEARCH", &mut rates.search),
            ("LIMITS__WRITE", &mut rates.write),
            ("LIMITS__AUTH", &mut rates.auth),
            ("LIMITS__BEACON", &mut rates.beacon),
        ] {
            match (self.look_up)(name).map(|text| text.parse()) {
                None => {}
                Some(Ok(limit)) => *rate = limit,
                Some(Err(error)) => self.tell(name, &format!("is no limit: {error}")),
            }
        }
        rates
    }

    /// It has one if both its address and its token are there.
    fn redis(&mut self) -> Option<Redis> {
        let timeout_ms = self.number("REDIS__TIMEOUT_MS", 250, 1..=10_000);
        let prefix = (self.look_up)("REDIS__PREFIX").unwrap_or_else(|| "pitchey:".to_owned());
        let given = |name| (self.look_up)(name).filter(|text: &String| !text.is_empty());
        let url = given("REDIS__REST_URL");
        let token = given("REDIS__REST_TOKEN");
        let (url, token) = match (url, token) {
            (None, None) => return None,
            (Some(url), Some(token)) => (url, token),
            (None, _) => {
                self.tell("REDIS__REST_URL", "is missing beside REDIS__REST_TOKEN");
                return None;
            }
            (_, None) => {
                self.tell("REDIS__REST_TOKEN", "is missing beside REDIS__REST_URL");
                return None;
            }
        };
        if !url.parse::<Uri>().is_ok_and(|uri| is_origin(&uri)) {
            self.tell(
                "REDIS__REST_URL",
                "is no http:// or https:// address of a host",
            );
        }
        if HeaderValue::try_from(token.as_str()).is_err() {
            self.tell("REDIS__REST_TOKEN", "is no line of text");
        }
        Some(Redis {
            url,
            token,
            prefix,
            timeout_ms,
        })
    }

    fn origin(&mut self) -> Uri {
        let text = (self.look_up)("ORIGIN__URL").unwrap_or_default();
        match text.parse::<Uri>() {
            Ok(uri) if is_origin(&uri) => uri,
            _ => {
                self.tell("ORIGIN__URL", "is no http:// or https:// address of a host");
                Uri::default()
            }
        }
    }
}

pub(crate) fn is_origin(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| {
            !authority.host().is_empty() && !authority.as_str().contains('@')
        })
        && uri.path_and_query().is_none_or(|path| path == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|wanted| {
            let mut found = variables.iter().filter(|(name, _)| *name == wanted);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_origin_is_all_that_must_be_said() {
        let config = read(&[("ORIGIN__URL", "https://origin.example")]).expect("valid");
        assert_eq!(config.origin.host(), Some("origin.example"));
        assert_eq!(config.memory_mib, 32);
    }

    #[test]
    fn a_secret_makes_it_the_edge_of_pitchey_and_is_not_shown() {
        let origin = ("ORIGIN__URL", "https://origin.example");
        let secret = "what edges show to origins in this test";
        let config = read(&[origin, ("PITCHEY__SECRET", secret)]).expect("valid");
        assert!(!format!("{config:?}").contains("edges show"), "{config:?}");
        let pitchey = config.pitchey.expect("it has a secret");
        assert_eq!(
            (pitchey.secret.as_bytes(), pitchey.bound_ms),
            (secret.as_bytes(), 5_000)
        );
        let bound = ("PITCHEY__BOUND_MS", "60001");
        let told = read(&[origin, ("PITCHEY__SECRET", "short"), bound]);
        assert_eq!(
            told.expect_err("two problems"),
            "PITCHEY__BOUND_MS is no number from 100 to 60000; \
             PITCHEY__SECRET is no line of 32 or more bytes"
        );
    }

    #[test]
    fn redis_has_an_address_and_a_token_which_is_not_shown() {
        let origin = ("ORIGIN__URL", "https://origin.example");
        let url = ("REDIS__REST_URL", "https://redis.example");
        let token = ("REDIS__REST_TOKEN", "a token");
        let empty = ("REDIS__REST_TOKEN", "");
        assert_eq!(read(&[origin, empty]).expect("valid").redis, None);
        let config = read(&[origin, url, token]).expect("valid");
        assert!(!format!("{config:?}").contains("a token"), "{config:?}");
        let redis = config.redis.expect("both are there");
        assert_eq!((&*redis.prefix, redis.timeout_ms), ("pitchey:", 250));
        for (given, told) in [
            (url, "REDIS__REST_TOKEN is missing beside REDIS__REST_URL"),
            (token, "REDIS__REST_URL is missing beside REDIS__REST_TOKEN"),
        ] {
            assert_eq!(read(&[origin, given]).expect_err("half"), told);
        }
        read(&[origin, ("REDIS__REST_URL", "redis://x"), token]).expect_err("no http");
    }

    #[test]
    fn every_problem_is_told() {
        let told = read(&[
            ("ORIGIN__URL", "ftp://example.org"),
            ("STORE__MEMORY_MIB", "65"),
            ("HTTP__MAX_BODY_BYTES", "many"),
        ]);
        assert_eq!(
            told.expect_err("three problems"),
            "ORIGIN__URL is no http:// or https:// address of a host; \
             STORE__MEMORY_MIB is no number from 1 to 64; \
             HTTP__MAX_BODY_BYTES is no number from 0 to 104857600"
        );
        for origin in [
            "",
            "example.org",
            "https://a@example.org",
            "https://example.org/x",
        ] {
            read(&[("ORIGIN__URL", origin)]).expect_err(origin);
        }
        read(&[
            ("ORIGIN__URL", "https://example.org"),
            ("STORE__MEMORY_MIB", "1"),
            ("STORE__LARGEST_BODY_KIB", "1025"),
        ])
        .expect_err("the largest body does not fit");
    }
}
