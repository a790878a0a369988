//! Signatures of operators' requests: HMAC (RFC 2104) with SHA-256 over all that matters of a request.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::refused::Refused;

/// The scheme of the `Authorization` field; what is signed begins with it, too.
pub(super) const SCHEME: &str = "Pitchey-Edge-Hmac-Sha256";

/// The fewest bytes of a secret.
pub const MIN_SECRET: usize = 32;

/// How many letters a nonce has.
const NONCE: std::ops::RangeInclusive<usize> = 16..=64;

/// What operators sign with, and edges check by. It is not shown.
#[derive(Clone)]
pub struct DeskSecret(Hmac<Sha256>);

impl std::fmt::Debug for DeskSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DeskSecret").finish_non_exhaustive()
    }
}

/// All that is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, with the query if it has one.
    pub target: &'a str,
    /// When it is signed, in milliseconds since 1970.
    pub timestamp: i64,
    /// What no other request has: 16 to 64 letters, digits, `-` and `_`.
    pub nonce: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

impl DeskSecret {
    /// A secret of at least [`MIN_SECRET`] bytes; `None` if it is shorter.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let mac = Hmac::new_from_slice(secret).ok()?;
        (secret.len() >= MIN_SECRET).then_some(Self(mac))
    }

    /// The value of the field `Authorization` for this request.
    pub fn sign(&self, request: &Signing<'_>) -> HeaderValue {
        let Signing {
            timestamp, nonce, ..
        } = request;
        let signature = hex(&self.mac(request).finalize().into_bytes());
        let text = format!("{SCHEME} timestamp={timestamp}, nonce={nonce}, signature={signature}");
        // A nonce that does not fit into a field is none, and refused as that.
        let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(SCHEME));
        value.set_sensitive(true);
        value
    }

    /// Takes as long however much of the signature is right.
    pub(super) fn has_signed(&self, request: &Signing<'_>, signature: &[u8; 32]) -> bool {
        self.mac(request).verify_slice(signature).is_ok()
    }

    /// Lines, none of whose parts can hold the end of one, the body as its hash.
    fn mac(&self, request: &Signing<'_>) -> Hmac<Sha256> {
        let Signing {
            method,
            target,
            timestamp,
            nonce,
            body,
        } = request;
        let body = hex(&Sha256::digest(body));
        let lines = format!("{SCHEME}\n{method}\n{target}\n{timestamp}\n{nonce}\n{body}\n");
        self.0.clone().chain_update(lines)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a request shows of its signature.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) timestamp: i64,
    pub(super) nonce: Box<str>,
    pub(super) signature: [u8; 32],
}

impl Shown {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Refused> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let line = match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().ok(),
            (None, _) => return Err(Refused::Unsigned),
            (Some(_), Some(_)) => None,
        };
        let line = line.ok_or(Refused::Malformed("it is not one line of plain text"))?;
        let scheme = line.split(' ').next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Refused::Unsigned);
        }
        let (mut timestamp, mut nonce, mut signature) = (None, None, None);
        for pair in line[scheme.len()..].split(',') {
            let (name, value) = pair.trim().split_once('=').unwrap_or_default();
            let place = match name {
                "timestamp" => &mut timestamp,
                "nonce" => &mut nonce,
                "signature" => &mut signature,
                _ => return Err(Refused::Malformed("it has timestamp, nonce and signature")),
            };
            if place.replace(value).is_some() {
                return Err(Refused::Malformed("it has each of its parts once"));
            }
        }
        let (Some(timestamp), Some(nonce), Some(signature)) = (timestamp, nonce, signature) else {
            return Err(Refused::Malformed("it has timestamp, nonce and signature"));
        };
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !NONCE.contains(&nonce.len()) || !nonce.bytes().all(is_letter) {
            let why = "nonce has 16 to 64 letters, digits, - and _";
            return Err(Refused::Malformed(why));
        }
        let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let timestamp = Some(timestamp).filter(is_number);
        let timestamp = timestamp.and_then(|text| text.parse().ok());
        Ok(Self {
            timestamp: timestamp.ok_or(Refused::Malformed("timestamp is in milliseconds"))?,
            nonce: nonce.into(),
            signature: read_hex(signature)
                .ok_or(Refused::Malformed("signature is 64 hexadecimal digits"))?,
        })
    }
}

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |letter: u8| char::from(letter).to_digit(16);
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}
