//! What operators ask for, read and bounded, and what they are told.

use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::refused::{Refused, problem};
use crate::body::Body;
use crate::platform::Platform;

/// The most tags or keys of one purge.
const MOST_NAMES: usize = 500;

/// The most prefixes: each is a walk over all keys.
const MOST_PREFIXES: usize = 10;

/// The most paths of one warming.
const MOST_PATHS: usize = 200;

/// The longest name or path, in bytes.
const LONGEST: usize = 1024;

/// What is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Purge {
    /// Whatever was made from these, as `pitch:…` or `lists`. There are none in front of any site.
    pub tags: Vec<Box<str>>,
    /// What is kept for these addresses: path and query.
    pub keys: Vec<Box<str>>,
    /// The same for all whose path and query begin so.
    pub prefixes: Vec<Box<str>>,
}

/// What has been forgotten: how many of each were acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Tags.
    pub tags: usize,
    /// Addresses.
    pub keys: usize,
    /// Beginnings of addresses.
    pub prefixes: usize,
}

/// Why something was not forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpurged {
    /// Nothing of it: it cannot be meant so.
    Wrong(Vec<String>),
    /// Nothing of it: what is kept here cannot be walked over.
    Prefixes,
    /// The order that all nodes share could not be told of all of it.
    Unacknowledged {
        /// What it was told of.
        done: Purged,
        /// Why no more.
        why: String,
    },
}

impl Unpurged {
    /// The answer.
    pub fn answer<P: Platform>(&self) -> Response<Body<P>> {
        match self {
            Self::Wrong(errors) => Refused::Wrong(errors.clone()).answer(),
            Self::Prefixes => problem(
                StatusCode::NOT_IMPLEMENTED,
                "What is kept here cannot be walked over: there are tags and keys.",
                &[],
            ),
            Self::Unacknowledged { done, why } => {
                let Purged {
                    tags,
                    keys,
                    prefixes,
                } = done;
                let text = format!(
                    "Not everything was acknowledged ({tags} tags, {keys} keys and {prefixes} prefixes \
                     were): {why}. Ask again."
                );
                problem(StatusCode::SERVICE_UNAVAILABLE, &text, &[])
            }
        }
    }
}

/// What is to be asked for before anybody else does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// Paths, with their queries.
    pub paths: Vec<Box<str>>,
    /// What is asked with as `Accept-Encoding`: what browsers send, if nothing else is said.
    #[serde(default = "Warm::as_browsers_do")]
    pub accept_encoding: String,
}

/// What came of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmed {
    /// The path.
    pub path: Box<str>,
    /// The status of the answer; none if it did not come in time, or broke off.
    pub status: Option<u16>,
    /// What its `Cache-Status` says.
    pub cache: Option<String>,
    /// The bytes of its body.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

impl Warmed {
    /// Whether there is an answer, and no error.
    pub fn is_well(&self) -> bool {
        self.status.is_some_and(|status| status < 400)
    }
}

/// How an edge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of its program.
    pub version: String,
    /// `pitchey`, or `proxy` in front of any site.
    pub mode: String,
    /// How long it has been there, in seconds.
    pub up_s: u64,
    /// Addresses of which something is kept, about.
    pub entries: u64,
    /// Their bytes, about.
    pub bytes: u64,
    /// What it hears of invalidations; nothing in front of any site.
    pub hearing: Option<Hearing>,
    /// Connections to the hub, if it passes them on.
    pub live: Option<u64>,
}

/// What an edge knows of the order of invalidations that all nodes share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearing {
    /// Whether it hears what is invalidated, and so trusts its memory.
    pub attached: bool,
    /// Whose numbers these are.
    pub epoch: String,
    /// Every invalidation up to this number was heard.
    pub applied: u64,
    /// How often it had to begin anew.
    pub era: u64,
    /// How much longer memory is trusted, in milliseconds, if nothing more is heard.
    pub trusted_for_ms: u64,
}

/// A route whose answers are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteShown {
    /// The route, as `/api/pitches/{id}`.
    pub route: String,
    /// The kind of its answers.
    pub kind: String,
    /// The query's parameters that it has.
    pub parameters: Vec<String>,
    /// How long an answer is fresh, in seconds.
    pub fresh_s: u64,
    /// How long it is served afterwards while it is renewed.
    pub stale_while_revalidate_s: u64,
    /// How long it stands in for an origin that fails.
    pub stale_if_error_s: u64,
}

impl Purge {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refused> {
        let purge: Self = json(body)?;
        let mut errors = Vec::new();
        let Self {
            tags,
            keys,
            prefixes,
        } = &purge;
        if tags.is_empty() && keys.is_empty() && prefixes.is_empty() {
            errors.push("there is nothing to purge: no tags, keys or prefixes".to_owned());
        }
        bounded("tags", tags, MOST_NAMES, is_name, &mut errors);
        bounded("keys", keys, MOST_NAMES, is_path, &mut errors);
        bounded("prefixes", prefixes, MOST_PREFIXES, is_path, &mut errors);
        sound(purge, errors)
    }
}

impl Warm {
    /// These paths, as browsers ask for them.
    pub fn new(paths: Vec<Box<str>>) -> Self {
        Self {
            paths,
            accept_encoding: Self::as_browsers_do(),
        }
    }

    fn as_browsers_do() -> String {
        "gzip, deflate, br, zstd".to_owned()
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, Refused> {
        let warm: Self = json(body)?;
        let mut errors = Vec::new();
        if warm.paths.is_empty() {
            errors.push("paths: there is none".to_owned());
        }
        bounded("paths", &warm.paths, MOST_PATHS, is_path, &mut errors);
        let coding = &warm.accept_encoding;
        if coding.len() > LONGEST || HeaderValue::from_str(coding).is_err() {
            errors.push("accept_encoding: is no value of that field".to_owned());
        }
        sound(warm, errors)
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::Wrong(vec![error.to_string()]))
}

fn sound<T>(value: T, errors: Vec<String>) -> Result<T, Refused> {
    if errors.is_empty() {
        Ok(value)
    } else {
        Err(Refused::Wrong(errors))
    }
}

/// What is wrong with each name; of too many, that they are.
fn bounded(
    list: &str,
    names: &[Box<str>],
    most: usize,
    is_right: fn(&str) -> Result<(), &'static str>,
    errors: &mut Vec<String>,
) {
    if names.len() > most {
        errors.push(format!("{list}: has more than {most}"));
        return;
    }
    for (at, name) in names.iter().enumerate() {
        let right = if (1..=LONGEST).contains(&name.len()) {
            is_right(name)
        } else {
            Err("has 1 to 1024 bytes")
        };
        if let Err(why) = right {
            errors.push(format!("{list}[{at}]: {why}"));
        }
    }
}

fn is_name(name: &str) -> Result<(), &'static str> {
    if name.chars().any(char::is_control) {
        return Err("has control characters");
    }
    Ok(())
}

fn is_path(path: &str) -> Result<(), &'static str> {
    let parsed = path.parse::<PathAndQuery>();
    if path.starts_with('/') && parsed.is_ok_and(|parsed| parsed.as_str() == path) {
        Ok(())
    } else {
        Err("is no path, with a query or without")
    }
}
