//! Cursors: where a page ended, sealed so that only this service's own are taken, and only by the list
//! that gave them out.
//!
//! `base64url(version · scope · kind · key · id · tag)`: the scope is a hash of the list with its filters,
//! the tag HMAC-SHA256 over all before it, cut to 128 bits. Big-endian.

use crate::problem::{Kind, Problem};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use pitchey_model::{Position, SortKey};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

const VERSION: u8 = 1;
const BODY: usize = 1 + 8 + 1 + 8 + 16;
const TAG: usize = 16;
/// In characters.
const LENGTH: usize = ((BODY + TAG) * 4).div_ceil(3);

/// The secret that seals cursors: the same on every node.
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

impl CursorKey {
    /// The least length of a secret, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// A key from a secret of at least [`MIN_BYTES`](Self::MIN_BYTES); `None` if it is shorter.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let long_enough = secret.len() >= Self::MIN_BYTES;
        long_enough
            .then(|| Hmac::new_from_slice(secret).ok().map(Self))
            .flatten()
    }

    /// The secret for another use, which tells nothing of this one.
    pub(crate) fn derive(&self, label: &str) -> Hmac<Sha256> {
        // What cursors sign begins with their version, a label with a letter: no text means two things.
        self.0.clone().chain_update(label).chain_update([0])
    }

    pub(crate) fn seal(&self, scope: &str, position: Position) -> String {
        let mut bytes = Vec::with_capacity(BODY + TAG);
        bytes.push(VERSION);
        bytes.extend(scope_hash(scope));
        let (kind, key) = match position.key {
            SortKey::Time(time) => (b'p', micros(time).to_be_bytes()),
            SortKey::Score(score) => (b's', score.to_bits().to_be_bytes()),
            SortKey::Views(views) => (b'v', views.to_be_bytes()),
            SortKey::Rank(rank) => (b'r', u64::from(rank.to_bits()).to_be_bytes()),
        };
        bytes.push(kind);
        bytes.extend(key);
        bytes.extend(position.id.as_bytes());
        let tag = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(crate) fn open(&self, scope: &str, cursor: &str) -> Result<Position, Problem> {
        self.try_open(scope, cursor).ok_or_else(|| {
            Problem::new(
                Kind::InvalidCursor,
                "the cursor was not given out by this list with these filters",
            )
        })
    }

    fn try_open(&self, scope: &str, cursor: &str) -> Option<Position> {
        // The length is checked first: a cursor is as long as it is, and nothing longer is decoded.
        let bytes: [u8; BODY + TAG] = (cursor.len() == LENGTH)
            .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())??
            .try_into()
            .ok()?;
        let (body, tag) = bytes.split_at(BODY);
        self.0
            .clone()
            .chain_update(body)
            .verify_truncated_left(tag)
            .ok()?;
        let eight = |at: usize| body[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        if body[0] != VERSION || body[1..9] != scope_hash(scope) {
            return None;
        }
        let key = eight(10)?;
        let key = match body[9] {
            b'p' => SortKey::Time(
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(key.cast_signed()) * 1000)
                    .ok()?,
            ),
            b's' => SortKey::Score(f64::from_bits(key)),
            b'v' => SortKey::Views(key.cast_signed()),
            b'r' => SortKey::Rank(f32::from_bits(u32::try_from(key).ok()?)),
            _ => return None,
        };
        Some(Position {
            key,
            id: Uuid::from_slice(&body[18..]).ok()?,
        })
    }
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

fn scope_hash(scope: &str) -> [u8; 8] {
    let hash = Sha256::digest(scope);
    std::array::from_fn(|i| hash[i])
}

/// Microseconds since 1970: what the database keeps of a time.
fn micros(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    fn key(byte: u8) -> CursorKey {
        CursorKey::new(&[byte; 32]).expect("32 bytes are enough")
    }

    fn position(views: i64) -> Position {
        Position {
            key: SortKey::Views(views),
            id: Uuid::from_u128(7),
        }
    }

    #[test]
    fn a_short_secret_is_no_key() {
        assert!(CursorKey::new(&[0; 31]).is_none());
    }

    #[test]
    fn a_cursor_of_another_list_or_another_key_is_refused() {
        let cursor = key(1).seal("list a", position(5));
        assert!(key(1).open("list a", &cursor).is_ok());
        assert!(key(1).open("list b", &cursor).is_err());
        assert!(key(2).open("list a", &cursor).is_err());
    }

    proptest! {
        #[test]
        fn positions_come_back(views: i64, score: f64, rank: f32, micros in -1_i64 << 50..1 << 50, id: u128) {
            let time = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(micros);
            for sort_key in [SortKey::Views(views), SortKey::Score(score), SortKey::Rank(rank), SortKey::Time(time)] {
                let position = Position { key: sort_key, id: Uuid::from_u128(id) };
                let opened = key(1).open("x", &key(1).seal("x", position)).expect("it is our own");
                prop_assert_eq!(format!("{opened:?}"), format!("{position:?}"));
            }
        }

        #[test]
        fn any_changed_byte_is_refused(at in 0_usize..67, bit in 0_u8..6) {
            let cursor = key(1).seal("x", position(5));
            let mut bytes = cursor.clone().into_bytes();
            let place = ALPHABET.iter().position(|c| *c == bytes[at]).expect("it is base64");
            bytes[at] = ALPHABET[place ^ (1 << bit)];
            let changed = String::from_utf8(bytes).expect("it is ASCII");
            prop_assert!(key(1).open("x", &changed).is_err());
        }

        #[test]
        fn noise_is_refused_without_a_panic(noise in ".{0,200}") {
            prop_assert!(key(1).open("x", &noise).is_err());
        }
    }
}
