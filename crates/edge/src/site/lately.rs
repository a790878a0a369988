//! What an edge that hears nothing was told lately: which invalidations an origin had applied when it was
//! asked, and how far a database must have come that shows all of them.
//!
//! What was told is good for as long as the edge's bound, counted from before the origin was asked: whatever
//! was acknowledged by then is covered by it, so a database that has come so far shows nothing that is older
//! than the bound. After that, the origin must be asked again. Every answer of it tells anew; where databases
//! near by answer everything, it is asked behind one of their answers, before the time is over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_api::edge::Heard;
use pitchey_cache::Epoch;
use pitchey_model::WalPosition;
use pitchey_runtime::Monotonic;

/// What was told, and when. Isolates share nothing: each is told for itself.
pub(super) struct Lately {
    bound: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    told: Option<Told>,
    /// Somebody asks; if not until then, another may.
    asking_until: Option<Monotonic>,
}

/// What is known at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The epoch in which the origin hears.
    pub(super) epoch: Epoch,
    /// How far a database must have come; nought if that was never announced.
    pub(super) position: WalPosition,
    /// The moment before the origin was asked.
    pub(super) asked: Monotonic,
}

impl Lately {
    /// What is told is good for so long.
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            bound,
            state: Mutex::default(),
        }
    }

    /// An origin that was asked at this moment has told this. Of several origins one may have heard less than
    /// another: the furthest position counts, and it covers what each of them knew.
    pub(super) fn note(&self, heard: Heard, asked: Monotonic) {
        let mut state = self.lock();
        let before = state.told;
        let is_later = before.is_none_or(|before| asked >= before.asked);
        let furthest = before.map_or(heard.position, |before| before.position.max(heard.position));
        state.told = Some(Told {
            epoch: match before {
                Some(before) if !is_later => before.epoch,
                _ => heard.as_of.epoch,
            },
            position: furthest,
            asked: before.map_or(asked, |before| before.asked.max(asked)),
        });
        state.asking_until = None;
    }

    /// What is known, if it is not too old.
    pub(super) fn told(&self, now: Monotonic) -> Option<Told> {
        let told = self.lock().told;
        told.filter(|told| now.since(told.asked) < self.bound)
    }

    /// How far a database must have come, as far as that was ever known.
    pub(super) fn last(&self) -> Option<WalPosition> {
        self.lock().told.map(|told| told.position)
    }

    /// Whether the one who asks now is to ask the origin anew, behind an answer: a fifth of the time is over, and
    /// nobody else does, or whoever does has not come back within half of it.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        let mut state = self.lock();
        let is_old = state
            .told
            .is_none_or(|told| now.since(told.asked) >= self.bound / 5);
        let is_asked = state.asking_until.is_some_and(|until| now < until);
        let due = is_old && !is_asked;
        if due {
            state.asking_until = Some(now + self.bound / 2);
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens between two changes of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchey_cache::{AsOf, Seq};

    fn at(ms: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(ms))
    }

    fn heard(epoch: u64, position: u64) -> Heard {
        Heard {
            as_of: AsOf {
                epoch: Epoch(epoch),
                seq: Seq(1),
            },
            position: WalPosition(position),
        }
    }

    fn told(epoch: u64, position: u64, asked: u64) -> Told {
        Told {
            epoch: Epoch(epoch),
            position: WalPosition(position),
            asked: at(asked),
        }
    }

    #[test]
    fn what_was_told_is_good_for_the_bound_from_before_it_was_asked() {
        let lately = Lately::new(Duration::from_secs(5));
        assert_eq!((lately.told(at(0)), lately.last()), (None, None));
        lately.note(heard(1, 7), at(1_000));
        assert_eq!(lately.told(at(5_999)), Some(told(1, 7, 1_000)));
        assert_eq!(lately.told(at(6_000)), None);
        assert_eq!(lately.last(), Some(WalPosition(7)), "as far as known");
    }

    #[test]
    fn the_furthest_position_counts_and_the_latest_moment() {
        let lately = Lately::new(Duration::from_secs(5));
        lately.note(heard(1, 7), at(1_000));
        // Another origin, which lags; then one whose answer took long.
        lately.note(heard(1, 6), at(2_000));
        assert_eq!(lately.told(at(2_000)), Some(told(1, 7, 2_000)));
        lately.note(heard(2, 9), at(1_500));
        assert_eq!(lately.told(at(2_000)), Some(told(1, 9, 2_000)));
        lately.note(heard(2, 9), at(2_000));
        assert_eq!(lately.told(at(2_000)), Some(told(2, 9, 2_000)));
    }

    #[test]
    fn one_asks_again_after_a_fifth_of_the_time_and_another_if_that_one_is_lost() {
        let lately = Lately::new(Duration::from_secs(5));
        assert!(lately.is_due(at(0)), "nothing is known");
        lately.note(heard(1, 7), at(0));
        for (ms, due) in [
            (999, false),
            (1_000, true),
            (1_001, false),
            (3_499, false),
            (3_500, true),
        ] {
            assert_eq!(lately.is_due(at(ms)), due, "{ms}");
        }
        lately.note(heard(1, 7), at(3_500));
        assert!(!lately.is_due(at(3_600)));
    }
}
