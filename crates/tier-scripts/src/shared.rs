//! The shared tier over a transport: arguments into scripts, and their answers out of them.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use pitchey_cache::shared::{
    Fill, Filled, Found, Granted, Held, Lookup, Meta, Shared, SharedError, Stored, Strength, Wish,
};
use pitchey_cache::{AsOf, Epoch, Lease, Position, Seq, Token};
use pitchey_runtime::Random as _;

use crate::script::{BEAT, RELEASE, RENEW, SWEEP};
use crate::transport::{Arguments, Transport, Value, digits, is_full, not_understood, within};

/// Lookups whose answer is not there yet. If nobody waits for it any more, the leases that it will grant
/// are given back: else whoever asks for their keys would wait until they have run out.
struct Unanswered<'a, T: Transport> {
    transport: &'a T,
    lookups: &'a [Lookup],
    tokens: &'a [Token],
    answered: bool,
}

impl<T: Transport> Drop for Unanswered<'_, T> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut call = self.transport.call(&RELEASE);
        for (lookup, token) in self.lookups.iter().zip(self.tokens) {
            call.text(&lookup.key);
            call.number(token.0);
        }
        self.transport.run_behind(&RELEASE, call);
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
const SWEEP_STEP: u64 = 1000;

/// What ends each name in a list; UTF-8 does not have it.
const END: u8 = 255;

/// [`Shared`] over scripts.
#[derive(Clone, Debug)]
pub struct Scripted<T> {
    transport: T,
}

impl<T: Transport> Scripted<T> {
    /// Over this transport.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    /// The transport.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Tells the tier that copies of the source must have come to this position at least. Part of catching
    /// up: a tier that has lost its data has forgotten it, and a load under a lease of its new epoch may
    /// otherwise read a copy that lags behind an invalidation of the old one.
    pub async fn reach(&self, position: Position) -> Result<(), SharedError> {
        let mut call = self.transport.call(&BEAT);
        call.text(&digits(position));
        self.transport.run(&BEAT, call).await.map(|_| ())
    }

    async fn look_up_batch(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        let script = T::STEPS.lookup;
        let mut call = self.transport.call(script);
        call.number(count(lookups.len()));
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
                Wish::IfStale | Wish::Always => Token(self.transport.runtime().next_u64()),
            };
            tokens.push(token);
            call.text(&lookup.key);
            call.text(wish);
            call.number(millis(lookup.lease));
            call.number(token.0);
            call.number(millis(lookup.keep));
            add_names(&mut call, &lookup.tags);
        }
        let mut unanswered = Unanswered {
            transport: &self.transport,
            lookups,
            tokens: &tokens,
            answered: false,
        };
        let outcome = self.transport.run(script, call).await;
        unanswered.answered = !matches!(outcome, Err(SharedError::Timeout));
        drop(unanswered);
        read_found::<T>(outcome?, &tokens)
            .filter(|found| found.len() == lookups.len())
            .ok_or_else(not_understood)
    }

    async fn fill_batch(&self, fills: &[Fill]) -> Result<Vec<Filled>, SharedError> {
        let script = T::STEPS.fill;
        let mut call = self.transport.call(script);
        call.number(count(fills.len()));
        for fill in fills {
            check_tags(&fill.entry.tags)?;
            let size = fill.entry.payload.len();
            if size > self.transport.max_payload() {
                return Err(SharedError::Refused(format!("{size} bytes are too many")));
            }
            call.text(&fill.key);
            call.number(fill.lease.token.0);
            call.number(fill.lease.as_of.epoch.0);
            call.number(millis(fill.keep));
            call.text(&write_meta(&fill.entry.meta));
            call.payload(&fill.entry.payload);
            call.number(fill.entry.as_of.seq.0);
            call.number(whole_millis(fill.entry.age));
            add_names(&mut call, &fill.entry.tags);
        }
        let answer = match self.transport.run(script, call).await {
            Ok(answer) => answer,
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
        let codes = answer.numbers(fills.len()).ok_or_else(not_understood)?;
        let filled: Option<Vec<Filled>> = codes.into_iter().map(read_filled).collect();
        filled.ok_or_else(not_understood)
    }

    async fn release_all<'a>(
        &self,
        leases: impl Iterator<Item = (&'a str, Token)>,
    ) -> Result<(), SharedError> {
        let mut call = self.transport.call(&RELEASE);
        for (key, token) in leases {
            call.text(key);
            call.number(token.0);
        }
        self.transport.run(&RELEASE, call).await.map(|_| ())
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
        let script = T::STEPS.invalidate;
        let mut call = self.transport.call(script);
        call.text(kind);
        call.text(write_strength(strength));
        call.text(&digits(position));
        for name in names {
            call.text(name);
        }
        let answer = self.transport.run(script, call).await?;
        let numbers = answer.numbers(2).ok_or_else(not_understood)?;
        Ok(AsOf {
            epoch: Epoch(numbers[0]),
            seq: Seq(numbers[1]),
        })
    }

    /// Removes what matches, in steps; how many keys there were.
    async fn sweep(&self, pattern: &str) -> Result<u64, SharedError> {
        let mut cursor = Bytes::from_static(b"0");
        let mut removed = 0;
        loop {
            let mut call = self.transport.call(&SWEEP);
            call.text(std::str::from_utf8(&cursor).map_err(|_| not_understood())?);
            call.text(pattern);
            call.number(SWEEP_STEP);
            let answer = self.transport.run(&SWEEP, call).await?;
            let mut parts = answer.list().unwrap_or_default().into_iter();
            let next = parts.next().and_then(Value::bytes);
            let of_step = parts.next().and_then(|number| number.number());
            let (next, of_step) = next.zip(of_step).ok_or_else(not_understood)?;
            removed += of_step;
            if *next == *b"0" {
                return Ok(removed);
            }
            cursor = next;
        }
    }
}

impl<T: Transport> Shared for Scripted<T> {
    async fn lookup(&self, lookup: &Lookup) -> Result<Found, SharedError> {
        let found = self.look_up_batch(std::slice::from_ref(lookup)).await?;
        found.into_iter().next().ok_or_else(not_understood)
    }

    async fn lookup_many(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        let batches = lookups.chunks(BATCH).map(|batch| self.look_up_batch(batch));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, SharedError> {
        let filled = self.fill_batch(std::slice::from_ref(&fill)).await?;
        filled.first().copied().ok_or_else(not_understood)
    }

    async fn fill_many(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, SharedError> {
        let batches = batches_of(&fills).map(|batch| self.fill_batch(batch));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    async fn renew(&self, leases: &[Held], lease: Duration) -> Result<Vec<bool>, SharedError> {
        let batches = leases.chunks(BATCH).map(|batch| async move {
            let mut call = self.transport.call(&RENEW);
            call.number(millis(lease));
            for held in batch {
                call.text(&held.key);
                call.number(held.token.0);
            }
            let answer = self.transport.run(&RENEW, call).await?;
            let renewed = answer.numbers(batch.len()).ok_or_else(not_understood)?;
            Ok(renewed.into_iter().map(|one| one == 1))
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
            let own = escape(self.transport.prefix());
            [&own, sort, &escape(prefix), "*"].concat()
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
        let patience = self.transport.sweep_timeout();
        within(self.transport.runtime(), patience, work).await
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Any time, rounded to whole milliseconds, and one that a script can count with.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .min(1 << 48)
}

/// At least one: Redis knows no expiry at once.
fn millis(duration: Duration) -> u64 {
    // What Redis adds to its clock must not overflow: beyond ten thousand years is never.
    whole_millis(duration).max(1)
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

fn add_names(call: &mut impl Arguments, names: &[Box<str>]) {
    call.number(count(names.len()));
    for name in names {
        call.text(name);
    }
}

/// Text without its special meaning in a pattern.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
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

fn write_strength(strength: Strength) -> &'static str {
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

/// Names that are each followed by the byte 255.
pub fn read_names(text: &[u8]) -> Option<Vec<Box<str>>> {
    let Some(text) = text.strip_suffix(&[END]) else {
        return text.is_empty().then(Vec::new);
    };
    text.split(|byte| *byte == END)
        .map(|name| Some(Box::from(std::str::from_utf8(name).ok()?)))
        .collect()
}

fn read_filled(code: u64) -> Option<Filled> {
    match code {
        0 => Some(Filled::Stored),
        1 => Some(Filled::LeaseLost),
        2 => Some(Filled::Raised),
        3 => Some(Filled::OtherEpoch),
        _ => None,
    }
}

/// The answer of the script of lookups: the clock, then one list for each lookup.
fn read_found<T: Transport>(answer: Value, tokens: &[Token]) -> Option<Vec<Found>> {
    let mut parts = answer.list()?.into_iter();
    let epoch = Epoch(parts.next()?.number()?);
    let as_of = AsOf {
        epoch,
        seq: Seq(parts.next()?.number()?),
    };
    let position = Position(parts.next()?.number()?);
    let of_one = |(reply, token)| {
        let lease = Lease {
            token,
            as_of,
            position,
        };
        read_one::<T>(reply, lease)
    };
    parts.zip(tokens.iter().copied()).map(of_one).collect()
}

fn read_one<T: Transport>(reply: Value, lease: Lease) -> Option<Found> {
    let mut parts = reply.list()?.into_iter();
    let granted = parts.next()?.number()?;
    let left = parts.next()?.number()?;
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
                seq: Seq(seq.number()?),
            };
            let age = Duration::from_millis(parts.next()?.number()?);
            let softened = parts.next()?.number()? == 1;
            let meta = read_meta(&parts.next()?.bytes()?)?;
            let tags = read_names(&parts.next()?.bytes()?)?;
            let stored = parts.next()?.bytes()?;
            Some(Stored {
                as_of,
                age,
                softened,
                meta,
                tags,
                // What another transport has stored in its own way no value decodes from, as it is.
                payload: T::read_payload(stored.clone()).unwrap_or(stored),
            })
        }
    };
    Some(Found {
        entry,
        lease: granted,
    })
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
        assert_eq!(escape("ä*[b]?\\"), "ä\\*\\[b\\]\\?\\\\");
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
