//! The shared tier over Redis: arguments into scripts, and their answers out of them.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use pitchey_cache::shared::{
    Fill, Filled, Found, Granted, Held, Lookup, Meta, Shared, SharedError, Stored, Strength, Wish,
};
use pitchey_cache::{AsOf, Epoch, Lease, Position, Seq, Token};
use pitchey_runtime::Runtime;
use redis::{Cmd, Value};

use crate::link::{RedisLink, digits, within};
use crate::refusal::{is_full, not_understood};
use crate::scripts::{BEAT, FILL, INVALIDATE, LOOKUP, RELEASE, RENEW, SWEEP};

/// Lookups whose answer is not there yet. If nobody waits for it any more, the leases that it will grant
/// are given back: else whoever asks for their keys would wait until they have run out.
struct Unanswered<'a, R: Runtime> {
    link: &'a RedisLink<R>,
    lookups: &'a [Lookup],
    tokens: &'a [Token],
    answered: bool,
}

impl<R: Runtime> Drop for Unanswered<'_, R> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut call = self.link.script(&RELEASE);
        for (lookup, token) in self.lookups.iter().zip(self.tokens) {
            call.arg(lookup.key.as_bytes()).arg(token.0);
        }
        self.link.run_behind(&RELEASE, call);
    }
}

/// How many tags an entry may have.
pub const MAX_TAGS: usize = 256;

/// How many tags or keys one invalidation may name.
pub const MAX_NAMES: usize = 10_000;

/// How many bytes of payloads one run of a script is given, about: other clients wait for its end.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// How many keys one run of a script looks at. More go in several runs, without waiting in between.
const BATCH: usize = 100;

/// About how many keys one step over all of them looks at.
const SWEEP_STEP: u32 = 1000;

/// What ends each name in a list; UTF-8 does not have it.
const END: u8 = 255;

/// [`Shared`] over one Redis, version 7 or newer; not over a Redis Cluster, as an entry and the numbers
/// of its tags are read in one step.
#[derive(Debug)]
pub struct RedisShared<R> {
    link: RedisLink<R>,
}

impl<R> Clone for RedisShared<R> {
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
        }
    }
}

impl<R: Runtime> RedisShared<R> {
    /// Over this link.
    pub fn new(link: RedisLink<R>) -> Self {
        Self { link }
    }

    /// The link.
    pub fn link(&self) -> &RedisLink<R> {
        &self.link
    }

    /// Tells the tier that copies of the source must have come to this position at least. Part of catching
    /// up: a tier that has lost its data has forgotten it, and a load under a lease of its new epoch may
    /// otherwise read a copy that lags behind an invalidation of the old one.
    pub async fn reach(&self, position: Position) -> Result<(), SharedError> {
        let mut call = self.link.script(&BEAT);
        call.arg(digits(position));
        let _: Value = self.link.run(&BEAT, &call).await?;
        Ok(())
    }

    async fn look_up_batch(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        let mut call = self.link.script(&LOOKUP);
        call.arg(lookups.len());
        let mut tokens = Vec::with_capacity(lookups.len());
        for lookup in lookups {
            check_tags(&lookup.tags)?;
            let wish = match lookup.wish {
                Wish::IfStale => "s",
                Wish::Always => "a",
                Wish::Never => "n",
            };
            let token = match lookup.wish {
                Wish::Never => Token(0),
                Wish::IfStale | Wish::Always => Token(self.link.runtime().next_u64()),
            };
            tokens.push(token);
            call.arg(lookup.key.as_bytes())
                .arg(wish)
                .arg(millis(lookup.lease))
                .arg(token.0)
                .arg(millis(lookup.keep));
            add_names(&mut call, &lookup.tags);
        }
        let mut unanswered = Unanswered {
            link: &self.link,
            lookups,
            tokens: &tokens,
            answered: false,
        };
        let outcome = self.link.run(&LOOKUP, &call).await;
        unanswered.answered = !matches!(outcome, Err(SharedError::Timeout));
        drop(unanswered);
        let answer: Value = outcome?;
        let found = read_found(answer, &tokens)?;
        if found.len() == lookups.len() {
            Ok(found)
        } else {
            Err(not_understood(&Value::Array(Vec::new())))
        }
    }

    async fn fill_batch(&self, fills: &[Fill]) -> Result<Vec<Filled>, SharedError> {
        let mut call = self.link.script(&FILL);
        call.arg(fills.len());
        for fill in fills {
            check_tags(&fill.entry.tags)?;
            let size = fill.entry.payload.len();
            if size > self.link.config().max_payload {
                return Err(SharedError::Refused(format!("{size} bytes are too many")));
            }
            call.arg(fill.key.as_bytes())
                .arg(fill.lease.token.0)
                .arg(fill.lease.as_of.epoch.0)
                .arg(millis(fill.keep))
                .arg(write_meta(&fill.entry.meta))
                .arg(fill.entry.payload.as_ref());
            add_names(&mut call, &fill.entry.tags);
        }
        let outcome: Result<Vec<u8>, SharedError> = self.link.run(&FILL, &call).await;
        let codes = match outcome {
            Ok(codes) => codes,
            Err(error) => {
                if is_full(&error) {
                    // The script did not begin: nobody is to wait for leases that bring nothing. If this
                    // fails they run out.
                    let leases = fills.iter().map(|fill| (&*fill.key, fill.lease.token));
                    let _ = self.release_all(leases).await;
                }
                return Err(error);
            }
        };
        let filled: Option<Vec<Filled>> = codes.iter().map(|code| read_filled(*code)).collect();
        filled
            .filter(|filled| filled.len() == fills.len())
            .ok_or_else(|| not_understood(&Value::Array(Vec::new())))
    }

    async fn release_all<'a>(
        &self,
        leases: impl Iterator<Item = (&'a str, Token)>,
    ) -> Result<(), SharedError> {
        let mut call = self.link.script(&RELEASE);
        for (key, token) in leases {
            call.arg(key.as_bytes()).arg(token.0);
        }
        self.link.run(&RELEASE, &call).await
    }

    async fn announce(
        &self,
        kind: &str,
        strength: Strength,
        position: Position,
        names: impl ExactSizeIterator<Item = &str>,
    ) -> Result<AsOf, SharedError> {
        if names.len() > MAX_NAMES {
            return Err(SharedError::Refused(format!(
                "{} names at once are too many",
                names.len()
            )));
        }
        let mut call = self.link.script(&INVALIDATE);
        call.arg(kind)
            .arg(write_strength(strength))
            .arg(digits(position));
        for name in names {
            call.arg(name.as_bytes());
        }
        let (epoch, seq) = self.link.run(&INVALIDATE, &call).await?;
        Ok(AsOf {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        })
    }

    /// Removes what matches, in steps; how many keys there were.
    async fn sweep(&self, pattern: &[u8]) -> Result<u64, SharedError> {
        let mut cursor = "0".to_owned();
        let mut removed = 0;
        loop {
            let mut call = self.link.script(&SWEEP);
            call.arg(&cursor).arg(pattern).arg(SWEEP_STEP);
            let (next, of_step): (String, u64) = self.link.run(&SWEEP, &call).await?;
            removed += of_step;
            if next == "0" {
                return Ok(removed);
            }
            cursor = next;
        }
    }
}

impl<R: Runtime> Shared for RedisShared<R> {
    async fn lookup(&self, lookup: &Lookup) -> Result<Found, SharedError> {
        let found = self.look_up_batch(std::slice::from_ref(lookup)).await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| not_understood(&Value::Nil))
    }

    async fn lookup_many(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        let batches = lookups.chunks(BATCH).map(|batch| self.look_up_batch(batch));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, SharedError> {
        let filled = self.fill_batch(std::slice::from_ref(&fill)).await?;
        filled
            .first()
            .copied()
            .ok_or_else(|| not_understood(&Value::Nil))
    }

    async fn fill_many(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, SharedError> {
        let batches = batches_of(&fills).map(|batch| self.fill_batch(batch));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    async fn renew(&self, leases: &[Held], lease: Duration) -> Result<Vec<bool>, SharedError> {
        let batches = leases.chunks(BATCH).map(|batch| async move {
            let mut call = self.link.script(&RENEW);
            call.arg(millis(lease));
            for held in batch {
                call.arg(held.key.as_bytes()).arg(held.token.0);
            }
            let renewed: Vec<bool> = self.link.run(&RENEW, &call).await?;
            Ok(renewed)
        });
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    async fn release(&self, key: &str, token: Token) -> Result<(), SharedError> {
        self.release_all(std::iter::once((key, token))).await
    }

    async fn invalidate(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        position: Position,
    ) -> Result<AsOf, SharedError> {
        let tags = tags.iter().map(|tag| &**tag);
        self.announce("tags", strength, position, tags).await
    }

    async fn remove(&self, keys: &[Box<str>], position: Position) -> Result<AsOf, SharedError> {
        let keys = keys.iter().map(|key| &**key);
        self.announce("keys", Strength::Hard, position, keys).await
    }

    /// The order is what makes it safe:
    ///
    /// 0. *The position*, so that no lease from here on lets a copy be read that lags behind the change.
    /// 1. *Leases.* A walk over all keys gives every key that is there from its beginning to its end. A
    ///    lease that was there at the beginning is removed by it, so that its load cannot fill; or it was
    ///    filled meanwhile, and the entry is there before the second walk begins.
    /// 2. *Entries*, therefore after all of the leases: one walk over both could miss a load that fills
    ///    behind its back.
    /// 3. *The announcement*, last: a node that heard it earlier would forget its copy and fetch the same
    ///    entry again, as long as that had not been removed yet. Loads that began after the call did
    ///    have seen what it is about, so what they fill may stay.
    ///
    /// If a step fails nothing was promised, and what was removed is no loss.
    async fn remove_prefix(&self, prefix: &str, position: Position) -> Result<u64, SharedError> {
        let of = |sort: &str| {
            let mut pattern = escape(&self.link.config().prefix);
            pattern.extend_from_slice(sort.as_bytes());
            pattern.extend_from_slice(&escape(prefix));
            pattern.push(b'*');
            pattern
        };
        let work = async {
            self.reach(position).await?;
            self.sweep(&of("l:")).await?;
            let removed = self.sweep(&of("e:")).await?;
            let names = std::iter::once(prefix);
            self.announce("prefix", Strength::Hard, position, names)
                .await?;
            Ok(removed)
        };
        let patience = self.link.config().sweep_timeout;
        within(self.link.runtime(), patience, work).await
    }
}

/// At least one: Redis knows no expiry at once.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        // What Redis adds to its clock must not overflow: beyond ten thousand years is never.
        .clamp(1, 1 << 48)
}

fn check_tags(tags: &[Box<str>]) -> Result<(), SharedError> {
    if tags.len() <= MAX_TAGS {
        return Ok(());
    }
    Err(SharedError::Refused(format!(
        "{} tags are too many for an entry",
        tags.len()
    )))
}

fn add_names(call: &mut Cmd, names: &[Box<str>]) {
    call.arg(names.len());
    for name in names {
        call.arg(name.as_bytes());
    }
}

/// Text without its special meaning in a pattern.
pub(crate) fn escape(text: &str) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'-' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}

/// Fills in runs that are bounded in number and in bytes.
fn batches_of(fills: &[Fill]) -> impl Iterator<Item = &[Fill]> {
    let mut rest = fills;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(BATCH).take_while(|fill| {
            bytes += fill.entry.payload.len();
            bytes <= MAX_BATCH_BYTES
        });
        // One that is too large for a run has one of its own.
        let fitting = fitting.count().max(1).min(rest.len());
        let (batch, after) = rest.split_at(fitting);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

pub(crate) fn write_strength(strength: Strength) -> &'static str {
    match strength {
        Strength::Hard => "hard",
        Strength::Soft => "soft",
    }
}

/// Fresh first: the scripts read it.
fn write_meta(meta: &Meta) -> String {
    let Meta {
        fresh_ms,
        stale_ms,
        error_ms,
        cost_us,
        absent,
    } = meta;
    let absent = u8::from(*absent);
    format!("{fresh_ms} {stale_ms} {error_ms} {cost_us} {absent}")
}

fn read_meta(text: &[u8]) -> Option<Meta> {
    let mut numbers = std::str::from_utf8(text)
        .ok()?
        .split(' ')
        .map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    Some(Meta {
        fresh_ms: next()?,
        stale_ms: next()?,
        error_ms: next()?,
        cost_us: next()?,
        absent: next()? == 1,
    })
}

/// Names that are each followed by [`END`].
pub(crate) fn read_names(text: &[u8]) -> Option<Vec<Box<str>>> {
    let Some(text) = text.strip_suffix(&[END]) else {
        return text.is_empty().then(Vec::new);
    };
    text.split(|byte| *byte == END)
        .map(|name| Some(Box::from(std::str::from_utf8(name).ok()?)))
        .collect()
}

fn read_filled(code: u8) -> Option<Filled> {
    match code {
        0 => Some(Filled::Stored),
        1 => Some(Filled::LeaseLost),
        2 => Some(Filled::Raised),
        3 => Some(Filled::OtherEpoch),
        _ => None,
    }
}

/// The answer of the script of lookups: the clock, then one list for each lookup.
fn read_found(answer: Value, tokens: &[Token]) -> Result<Vec<Found>, SharedError> {
    let parse = |answer: Value| -> Option<Vec<Found>> {
        let Value::Array(parts) = answer else {
            return None;
        };
        let mut parts = parts.into_iter();
        let epoch = Epoch(read_number(&parts.next()?)?);
        let as_of = AsOf {
            epoch,
            seq: Seq(read_number(&parts.next()?)?),
        };
        let position = Position(read_number(&parts.next()?)?);
        let of_one = |(reply, token)| {
            let lease = Lease {
                token,
                as_of,
                position,
            };
            read_one(reply, lease)
        };
        parts.zip(tokens.iter().copied()).map(of_one).collect()
    };
    parse(answer).ok_or_else(|| not_understood(&Value::Array(Vec::new())))
}

fn read_one(reply: Value, lease: Lease) -> Option<Found> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let granted = read_number(&parts.next()?)?;
    let left = read_number(&parts.next()?)?;
    let granted = match granted {
        0 => Granted::NotNeeded,
        1 => Granted::Ours(lease),
        2 => Granted::Held(Duration::from_millis(left)),
        _ => return None,
    };
    let entry = match parts.next() {
        None => None,
        Some(seq) => {
            let as_of = AsOf {
                epoch: lease.as_of.epoch,
                seq: Seq(read_number(&seq)?),
            };
            Some(Stored {
                as_of,
                age: Duration::from_millis(read_number(&parts.next()?)?),
                softened: read_number(&parts.next()?)? == 1,
                meta: read_meta(&read_bytes(parts.next()?)?)?,
                tags: read_names(&read_bytes(parts.next()?)?)?,
                payload: Bytes::from(read_bytes(parts.next()?)?),
            })
        }
    };
    Some(Found {
        entry,
        lease: granted,
    })
}

fn read_number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn read_bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_and_none_is_not_one_that_is_empty() {
        for names in [&[][..], &["a"], &["a", "", "b"], &[""]] {
            let text: Vec<u8> = names
                .iter()
                .flat_map(|name| name.bytes().chain([END]))
                .collect();
            let read = read_names(&text).expect("it is well formed");
            assert!(read.iter().map(|name| &**name).eq(names.iter().copied()));
        }
        assert_eq!(read_names(b"cut off"), None);
    }

    #[test]
    fn times_survive() {
        let meta = Meta {
            fresh_ms: 1,
            stale_ms: u64::MAX,
            error_ms: 3,
            cost_us: 4,
            absent: true,
        };
        assert_eq!(read_meta(write_meta(&meta).as_bytes()), Some(meta));
        assert_eq!(read_meta(b"1 2 3"), None);
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(escape("a*[b]?\\"), b"a\\*\\[b\\]\\?\\\\");
    }

    #[test]
    fn runs_are_bounded_in_number_and_bytes() {
        let fill = |bytes: usize| Fill {
            key: "k".into(),
            lease: Lease {
                token: Token(1),
                as_of: AsOf::default(),
                position: Position::default(),
            },
            entry: Stored {
                as_of: AsOf::default(),
                age: Duration::ZERO,
                meta: read_meta(b"1 1 1 1 0").expect("it is well formed"),
                tags: Vec::new(),
                softened: false,
                payload: Bytes::from(vec![0; bytes]),
            },
            keep: Duration::from_secs(1),
        };
        let lengths = |fills: &[Fill]| batches_of(fills).map(<[Fill]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&vec![fill(1); BATCH + 1]), [BATCH, 1]);
        let half = MAX_BATCH_BYTES / 2;
        let large = [fill(half), fill(half), fill(1), fill(2 * half + 1), fill(1)];
        assert_eq!(lengths(&large), [2, 1, 1, 1]);
    }
}
