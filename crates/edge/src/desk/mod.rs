//! What operators see of an edge and have it do: `/__edge/status`, `figures`, `routes`, `purge` and `warm`.
//!
//! Every request is signed ([`DeskSecret`]); without a secret there are no such doors. What is decided about a
//! request is here, for whichever shell received it: [`Desk::admit`] from its header, [`Desk::open`] from its
//! body. What is then done is with [`Site`](crate::Site) and [`Proxy`](crate::Proxy).

mod ask;
mod nonces;
mod refused;
mod sign;
mod warm;

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;

use crate::body::Body;
use crate::platform::Platform;
use nonces::Nonces;
use sign::Shown;

pub use ask::{Hearing, Purge, Purged, RouteShown, Status, Unpurged, Warm, Warmed};
pub use refused::Refused;
pub use sign::{DeskSecret, MIN_SECRET, Signing};
pub(crate) use warm::warm;

/// The most bytes of a request's body.
pub const MAX_BODY: usize = 64 * 1024;

/// How far the time of a request may be from the edge's own, in milliseconds.
const WINDOW_MS: i64 = 60_000;

/// For how long a request could be heard again: it may be signed by a clock that is ahead.
pub(crate) const REMEMBERED: std::time::Duration = std::time::Duration::from_mins(2);

/// Where operators are answered, and which method they use.
const DOORS: [(&str, Method, Door); 5] = [
    ("/__edge/status", Method::GET, Door::Status),
    ("/__edge/figures", Method::GET, Door::Figures),
    ("/__edge/routes", Method::GET, Door::Routes),
    ("/__edge/purge", Method::POST, Door::Purge),
    ("/__edge/warm", Method::POST, Door::Warm),
];

#[derive(Clone, Copy, Debug)]
enum Door {
    Status,
    Figures,
    Routes,
    Purge,
    Warm,
}

/// What is asked for, by one who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How the edge is.
    Status,
    /// What it has counted.
    Figures,
    /// What it keeps, by which rules.
    Routes,
    /// To forget.
    Purge(Purge),
    /// To ask the origin before anybody else does.
    Warm(Warm),
}

/// What reads the requests of operators.
#[derive(Debug)]
pub struct Desk {
    secret: Option<DeskSecret>,
    nonces: Mutex<Nonces>,
    /// What was signed earlier may have been heard by the process that was here before.
    began_ms: i64,
}

/// A request whose header is in order. Whether it is signed, its body tells.
#[derive(Debug)]
pub struct Admitted {
    door: Door,
    method: Method,
    target: Box<str>,
    shown: Shown,
}

impl Admitted {
    /// What no other request has that is signed.
    pub fn nonce(&self) -> &str {
        &self.shown.nonce
    }
}

impl Desk {
    /// A desk that begins now; without a secret it does not exist.
    pub fn new(secret: Option<DeskSecret>, now: OffsetDateTime) -> Self {
        Self {
            secret,
            nonces: Mutex::default(),
            began_ms: milliseconds(now),
        }
    }

    /// Looks at the header of a request: afterwards its body is worth reading, up to [`MAX_BODY`].
    pub fn admit(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
        now: OffsetDateTime,
    ) -> Result<Admitted, Refused> {
        if self.secret.is_none() {
            return Err(Refused::NotHere);
        }
        let path = path_and_query.split('?').next().unwrap_or_default();
        let door = DOORS.into_iter().find(|(known, ..)| *known == path);
        let (_, takes, door) = door.ok_or(Refused::NotHere)?;
        if *method != takes {
            return Err(Refused::Method(takes));
        }
        let shown = Shown::read(headers)?;
        let now = milliseconds(now);
        if shown.timestamp.abs_diff(now) > WINDOW_MS.unsigned_abs() {
            return Err(Refused::Time { now });
        }
        if shown.timestamp < self.began_ms {
            let began = self.began_ms;
            return Err(Refused::Before { began });
        }
        Ok(Admitted {
            door,
            method: takes,
            target: path_and_query.into(),
            shown,
        })
    }

    /// What is asked for, if it is signed and was not heard before.
    pub fn open(
        &self,
        admitted: &Admitted,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Ask, Refused> {
        let secret = self.secret.as_ref().ok_or(Refused::NotHere)?;
        if body.len() > MAX_BODY {
            return Err(Refused::TooLarge);
        }
        let Admitted {
            door,
            method,
            target,
            shown,
        } = admitted;
        let signing = Signing {
            method,
            target,
            timestamp: shown.timestamp,
            nonce: &shown.nonce,
            body,
        };
        if !secret.has_signed(&signing, &shown.signature) {
            return Err(Refused::Signature);
        }
        // Behind the signature, so that nobody else can fill what is remembered.
        self.nonces
            .lock()
            // Nothing that can panic happens between two changes of it.
            .unwrap_or_else(PoisonError::into_inner)
            .hear(&shown.nonce, shown.timestamp + WINDOW_MS, milliseconds(now))?;
        if target.contains('?') {
            return Err(Refused::Wrong(vec!["query: there is none".to_owned()]));
        }
        match door {
            Door::Status => Ok(Ask::Status),
            Door::Figures => Ok(Ask::Figures),
            Door::Routes => Ok(Ask::Routes),
            Door::Purge => Purge::read(body).map(Ask::Purge),
            Door::Warm => Warm::read(body).map(Ask::Warm),
        }
    }
}

/// An answer to an operator.
pub fn answer<P: Platform>(status: StatusCode, value: &impl Serialize) -> Response<Body<P>> {
    // Nothing that is answered fails to be JSON.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(Bytes::from(text));
    response
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
