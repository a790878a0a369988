//! What was written and read while the caches were in trouble, and whether any read was older than promised.
//!
//! The promise, for a read that begins after a write was answered: the origin that took the write gives
//! what was written, at once. Another gives it within its silence: from the answer on, if the invalidation
//! was acknowledged by then, and else from the moment that a relay has delivered it.

use crate::cache_site::Life;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

/// How long an origin that is cut off may trust its memory: `cache.silence_ms`.
const SILENCE: Duration = Duration::from_secs(1);

/// A change that was answered with 200. Times are since the beginning of the run.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) thing: usize,
    pub(crate) version: u32,
    pub(crate) by: Life,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    /// When its invalidation was marked as delivered, by whomever.
    pub(crate) delivered: Duration,
}

/// A read that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) by: Life,
    pub(crate) target: usize,
    pub(crate) begun: Duration,
    /// The things that it showed, in these versions.
    pub(crate) things: Vec<(usize, u32)>,
}

/// Something that was broken, from then until all was well again.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    /// Whether the way to Redis, or what an origin knows of it, was concerned.
    pub(crate) of_redis: bool,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
}

impl Trouble {
    pub(crate) fn meets(&self, from: Duration, to: Duration) -> bool {
        self.begun <= to && from <= self.ended
    }
}

/// The longest times that something old was seen for, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    pub(crate) reads: u64,
    pub(crate) longest: Duration,
}

impl Lag {
    fn note(&mut self, lag: Duration) {
        self.reads += 1;
        self.longest = self.longest.max(lag);
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Reads that broke the promise, in words.
    pub(crate) broken: Vec<String>,
    /// Through another origin, while Redis is well: after the answer to the write.
    pub(crate) well: Lag,
    /// While it is not, after an answer by which the invalidation was acknowledged.
    pub(crate) acknowledged: Lag,
    /// While it is not, and it was left to a relay: after the delivery.
    pub(crate) delivered: Lag,
    /// The same, after the answer.
    pub(crate) left: Lag,
    /// Pairs of a thing that was read and a change of it before, so that it could have been old.
    pub(crate) compared: u64,
    /// Of these, through the origin that took the change.
    pub(crate) compared_same: u64,
}

/// Compares every read with every change before it.
pub(crate) fn judge(written: &[Written], seen: &[Seen], troubles: &[Trouble]) -> Verdict {
    let mut changes: HashMap<usize, Vec<&Written>> = HashMap::new();
    for change in written {
        changes.entry(change.thing).or_default().push(change);
    }
    for changes in changes.values_mut() {
        changes.sort_by_key(|change| change.version);
    }
    let mut verdict = Verdict::default();
    for read in seen {
        for &(thing, version) in &read.things {
            let Some(changes) = changes.get(&thing) else {
                continue;
            };
            // One writer changes a thing, so that versions and times have one order.
            let before = changes.partition_point(|change| change.ended < read.begun);
            let before = &changes[..before];
            verdict.compared += u64::from(!before.is_empty());
            let same = before.iter().rev().find(|change| change.by == read.by);
            verdict.compared_same += u64::from(same.is_some());
            let missed = before.partition_point(|change| change.version <= version);
            for change in &before[missed..] {
                verdict.compare(change, read, version, troubles);
            }
        }
    }
    verdict
}

impl Verdict {
    /// A read that does not show a change that was answered before.
    fn compare(&mut self, change: &Written, read: &Seen, version: u32, troubles: &[Trouble]) {
        let after_answer = read.begun.saturating_sub(change.ended);
        let told = change.ended.max(change.delivered);
        let after_told = read.begun.saturating_sub(told);
        let met = |trouble: &&Trouble| trouble.meets(change.begun, read.begun);
        let well = !troubles.iter().filter(met).any(|trouble| trouble.of_redis);
        let is_same = change.by == read.by;
        if !is_same {
            if well {
                self.well.note(after_answer);
            } else if change.delivered <= change.ended {
                self.acknowledged.note(after_answer);
            } else {
                self.left.note(after_answer);
                self.delivered.note(after_told);
            }
        }
        if is_same || after_told > SILENCE {
            let mut text = format!(
                "thing {} in version {version} at {:?} by {:?} (target {}), {after_answer:?} after version {} \
                 was answered by {:?} (begun {:?}, answered {:?}, delivered {:?}); trouble:",
                change.thing,
                read.begun,
                read.by,
                read.target,
                change.version,
                change.by,
                change.begun,
                change.ended,
                change.delivered,
            );
            for trouble in troubles.iter().filter(met) {
                let Trouble {
                    what, begun, ended, ..
                } = trouble;
                let _ = write!(text, " {what} {begun:?} to {ended:?},");
            }
            self.broken.push(text);
        }
    }
}

const HERE: Life = Life {
    place: 0,
    before: 0,
};

/// One change, answered at 100 ms, and a read of what was there before through an origin.
fn old_read(by: Life, begun_ms: u64, delivered_ms: u64) -> Verdict {
    let ms = Duration::from_millis;
    let change = Written {
        thing: 1,
        version: 2,
        by: HERE,
        begun: ms(90),
        ended: ms(100),
        delivered: ms(delivered_ms),
    };
    let read = Seen {
        by,
        target: 0,
        begun: ms(begun_ms),
        things: vec![(1, 1), (7, 1)],
    };
    let trouble = Trouble {
        what: "cut".to_owned(),
        of_redis: true,
        begun: ms(2_000),
        ended: ms(3_000),
    };
    judge(&[change], &[read], &[trouble])
}

#[test]
fn an_old_read_through_the_origin_that_took_the_write_breaks_the_promise() {
    assert_eq!(old_read(HERE, 101, 95).broken.len(), 1);
    let verdict = old_read(HERE, 100, 95);
    assert!(verdict.broken.is_empty(), "it began before the answer");
    assert_eq!(verdict.compared, 0);
    let successor = Life { before: 1, ..HERE };
    assert!(old_read(successor, 101, 95).broken.is_empty());
}

#[test]
fn an_old_read_through_another_origin_breaks_it_after_the_silence() {
    let there = Life { place: 1, ..HERE };
    let verdict = old_read(there, 1_100, 95);
    assert!(verdict.broken.is_empty());
    assert_eq!(verdict.well.longest, SILENCE);
    assert_eq!(old_read(there, 1_101, 95).broken.len(), 1);
    let verdict = old_read(there, 2_500, 1_500);
    assert!(verdict.broken.is_empty(), "a relay was needed");
    assert_eq!(verdict.delivered.longest, SILENCE);
    assert_eq!(verdict.left.longest, Duration::from_millis(2_400));
    assert_eq!(old_read(there, 2_501, 1_500).broken.len(), 1);
}
