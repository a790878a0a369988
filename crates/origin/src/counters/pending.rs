//! What waits to be written: bounded, without doubles, in batches. Knows no clock and does no I/O.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use pitchey_runtime::{Monotonic, Random};

use crate::backoff::Backoff;

/// How often one batch is tried before it is dropped: one that the store can never take must not
/// keep all others from it. With the pauses in between this is about a minute.
pub(super) const ATTEMPTS: u32 = 12;

/// The pauses in between.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(8),
};

/// Something that is counted or kept.
pub(super) trait Entry {
    /// What two of them have in common that are the same.
    type Key: Eq + Hash;

    fn key(&self) -> Self::Key;
}

/// The bounds of a [`Pending`].
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingLimits {
    /// Entries kept at most, those that are being written included.
    pub(super) capacity: usize,
    /// Entries of one batch.
    pub(super) batch: usize,
    /// How long an entry waits for others.
    pub(super) max_delay: Duration,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits with others.
    Kept,
    /// It waits, and the time at which something is due has changed.
    KeptAndDue,
    /// One like it waits already.
    Known,
    /// There is no room.
    Full,
}

/// What became of a batch that was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It will be tried again.
    Kept,
    /// It was tried too often and dropped.
    Dropped,
}

/// Entries with the time at which they came, the oldest first.
pub(super) type Batch<E> = Vec<(Monotonic, E)>;

/// Entries of one kind.
pub(super) struct Pending<E: Entry> {
    limits: PendingLimits,
    entries: VecDeque<(Monotonic, E)>,
    keys: HashSet<E::Key>,
    /// Entries that are being written.
    in_flight: usize,
    /// After a failure: when to try again.
    not_before: Monotonic,
    /// How often the batch in front has been tried.
    attempts: u32,
    /// How often writing has failed since it last succeeded.
    failures: u32,
}

impl<E: Entry> Pending<E> {
    pub(super) fn new(limits: PendingLimits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            keys: HashSet::new(),
            in_flight: 0,
            not_before: Monotonic::START,
            attempts: 0,
            failures: 0,
        }
    }

    /// Entries that wait or are being written.
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.in_flight
    }

    pub(super) fn push(&mut self, entry: E, now: Monotonic) -> Pushed {
        if self.keys.contains(&entry.key()) {
            return Pushed::Known;
        }
        if self.len() >= self.limits.capacity {
            return Pushed::Full;
        }
        self.keys.insert(entry.key());
        self.entries.push_back((now, entry));
        if self.entries.len() == 1 || self.entries.len() == self.limits.batch {
            Pushed::KeptAndDue
        } else {
            Pushed::Kept
        }
    }

    /// When a batch is to be written; `None` if nothing waits, or while one is being written.
    pub(super) fn due_at(&self) -> Option<Monotonic> {
        let (since, _) = self.entries.front()?;
        if self.in_flight > 0 {
            return None;
        }
        let full = self.entries.len() >= self.limits.batch;
        let due = if full {
            *since
        } else {
            *since + self.limits.max_delay
        };
        Some(due.max(self.not_before))
    }

    /// Takes the oldest entries, to be written. Every call is to be followed by one of the others.
    pub(super) fn take(&mut self) -> Batch<E> {
        let count = self.entries.len().min(self.limits.batch);
        let batch: Batch<E> = self.entries.drain(..count).collect();
        for (_, entry) in &batch {
            self.keys.remove(&entry.key());
        }
        self.in_flight = batch.len();
        batch
    }

    /// The batch that was taken is written.
    pub(super) fn written(&mut self) {
        self.in_flight = 0;
        self.attempts = 0;
        self.failures = 0;
        self.not_before = Monotonic::START;
    }

    /// The batch that was taken is not written: it is kept and due after a pause, or dropped.
    pub(super) fn failed(
        &mut self,
        batch: Batch<E>,
        now: Monotonic,
        random: &impl Random,
    ) -> Failed {
        self.not_before = now + BACKOFF.pause(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        self.attempts += 1;
        if self.attempts >= ATTEMPTS {
            self.in_flight = 0;
            self.attempts = 0;
            return Failed::Dropped;
        }
        self.put_back(batch);
        Failed::Kept
    }

    /// The batch that was taken goes back to the front, without a pause.
    pub(super) fn put_back(&mut self, batch: Batch<E>) {
        self.in_flight = 0;
        for (since, entry) in batch.into_iter().rev() {
            // One like it may have come in the meantime.
            if self.keys.insert(entry.key()) {
                self.entries.push_front((since, entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pitchey_runtime::SeededRandom;
    use proptest::prelude::*;

    use super::*;

    impl Entry for u32 {
        type Key = Self;

        fn key(&self) -> Self {
            *self
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: PendingLimits = PendingLimits {
        capacity: 5,
        batch: 3,
        max_delay: SECOND,
    };

    const fn at(milliseconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(milliseconds))
    }

    fn pending(entries: &[(u64, u32)]) -> Pending<u32> {
        let mut pending = Pending::new(LIMITS);
        for (milliseconds, entry) in entries {
            pending.push(*entry, at(*milliseconds));
        }
        pending
    }

    fn values(batch: &Batch<u32>) -> Vec<u32> {
        batch.iter().map(|(_, entry)| *entry).collect()
    }

    #[test]
    fn a_batch_is_due_a_second_after_its_first_entry() {
        let mut pending = pending(&[]);
        assert_eq!(pending.due_at(), None);
        assert_eq!(pending.push(1, at(100)), Pushed::KeptAndDue);
        assert_eq!(pending.push(2, at(900)), Pushed::Kept);
        assert_eq!(pending.due_at(), Some(at(1100)));
    }

    #[test]
    fn a_whole_batch_is_due_at_once() {
        let mut pending = pending(&[(100, 1), (200, 2)]);
        assert_eq!(pending.push(3, at(300)), Pushed::KeptAndDue);
        assert!(pending.due_at() <= Some(at(300)));
        assert_eq!(pending.push(4, at(400)), Pushed::Kept);
        assert_eq!(values(&pending.take()), [1, 2, 3]);
        pending.written();
        assert_eq!(pending.due_at(), Some(at(1400)), "a second for the fourth");
    }

    #[test]
    fn nothing_is_due_while_a_batch_is_being_written() {
        let mut pending = pending(&[(0, 1)]);
        pending.take();
        pending.push(2, at(10));
        assert_eq!(pending.due_at(), None);
        pending.written();
        assert_eq!(pending.due_at(), Some(at(1010)));
    }

    #[test]
    fn the_same_again_takes_no_room() {
        let mut pending = pending(&[(0, 1)]);
        assert_eq!(pending.push(1, at(1)), Pushed::Known);
        assert_eq!(pending.len(), 1);
        pending.take();
        assert_eq!(
            pending.push(1, at(2)),
            Pushed::KeptAndDue,
            "the store will see"
        );
    }

    #[test]
    fn what_has_no_room_is_refused_and_what_is_being_written_counts() {
        let mut pending = pending(&[(0, 1), (0, 2), (0, 3)]);
        pending.take();
        assert_eq!(pending.push(4, at(1)), Pushed::KeptAndDue);
        assert_eq!(pending.push(5, at(1)), Pushed::Kept);
        assert_eq!(pending.push(6, at(1)), Pushed::Full);
        pending.written();
        assert_eq!(pending.push(6, at(1)), Pushed::KeptAndDue);
    }

    #[test]
    fn a_batch_that_failed_is_tried_again_first_and_after_growing_pauses() {
        let random = SeededRandom::new(1);
        let mut pending = pending(&[(0, 1), (0, 2)]);
        let mut now = at(1000);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let batch = pending.take();
            assert_eq!(values(&batch), [1, 2]);
            assert_eq!(pending.failed(batch, now, &random), Failed::Kept);
            let due = pending.due_at().expect("kept");
            pauses.push(due - now);
            now = due;
        }
        for (pause, whole) in pauses
            .into_iter()
            .zip([250, 500, 1000, 2000, 4000, 8000, 8000])
        {
            let whole = Duration::from_millis(whole);
            assert!(
                whole / 2 <= pause && pause <= whole,
                "{pause:?} of {whole:?}"
            );
        }
        pending.push(3, now);
        assert_eq!(values(&pending.take()), [1, 2, 3]);
        pending.written();
        pending.push(4, now);
        assert_eq!(pending.due_at(), Some(now + SECOND), "no pause any more");
    }

    #[test]
    fn a_batch_that_fails_too_often_is_dropped() {
        let random = SeededRandom::new(1);
        let mut pending = pending(&[(0, 1), (0, 2), (0, 3), (0, 4)]);
        for _ in 1..ATTEMPTS {
            let batch = pending.take();
            assert_eq!(pending.failed(batch, at(0), &random), Failed::Kept);
        }
        let batch = pending.take();
        assert_eq!(values(&batch), [1, 2, 3]);
        assert_eq!(pending.failed(batch, at(0), &random), Failed::Dropped);
        assert_eq!(pending.len(), 1);
        assert_eq!(values(&pending.take()), [4]);
    }

    #[test]
    fn what_comes_again_while_it_is_written_is_not_kept_twice_if_that_fails() {
        let mut pending = pending(&[(0, 1), (0, 2)]);
        let batch = pending.take();
        pending.push(2, at(1));
        pending.failed(batch, at(2), &SeededRandom::new(1));
        assert_eq!(values(&pending.take()), [1, 2]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_kept_twice_or_over_the_limit(
            steps in proptest::collection::vec((0_u8..4, 0_u32..12), 0..200),
        ) {
            let random = SeededRandom::new(1);
            let mut pending = Pending::new(LIMITS);
            // What was accepted and neither written nor dropped.
            let mut owed: HashSet<u32> = HashSet::new();
            let mut taken: Option<Batch<u32>> = None;
            for (step, entry) in steps {
                match (step, taken.take()) {
                    (0 | 1, batch) => {
                        if matches!(pending.push(entry, at(0)), Pushed::Kept | Pushed::KeptAndDue) {
                            owed.insert(entry);
                        }
                        taken = batch;
                    }
                    (_, None) => taken = Some(pending.take()),
                    (2, Some(batch)) => {
                        pending.written();
                        for entry in values(&batch) {
                            owed.remove(&entry);
                        }
                        // What came again meanwhile is still owed.
                        owed.extend(pending.entries.iter().map(|(_, entry)| *entry));
                    }
                    (_, Some(batch)) => {
                        let entries = values(&batch);
                        if pending.failed(batch, at(0), &random) == Failed::Dropped {
                            for entry in entries {
                                owed.remove(&entry);
                            }
                            owed.extend(pending.entries.iter().map(|(_, entry)| *entry));
                        }
                    }
                }
                prop_assert!(pending.len() <= LIMITS.capacity);
                let in_hand = taken.iter().flatten().map(|(_, entry)| *entry);
                let waiting: Vec<u32> = pending.entries.iter().map(|(_, entry)| *entry).collect();
                let distinct: HashSet<u32> = waiting.iter().copied().collect();
                prop_assert_eq!(distinct.len(), waiting.len());
                let kept: HashSet<u32> = in_hand.chain(waiting).collect();
                prop_assert_eq!(&kept, &owed);
            }
        }
    }
}
