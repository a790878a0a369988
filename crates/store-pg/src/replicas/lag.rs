//! How far behind a replica is in time, by this process's clock alone.
//!
//! The primary is asked again and again how far its log goes. A replica that has not replayed a position
//! yet lags at least since the moment at which that position was first seen. The replica's own
//! `pg_last_xact_replay_timestamp()` would be of another clock, grows on an idle primary, and says nothing
//! when the replica is cut off.

use std::collections::VecDeque;
use std::time::Duration;

use pitchey_model::WalPosition;
use pitchey_runtime::Monotonic;

/// How many positions are remembered: with one each quarter of a second about two minutes, which is more
/// than the greatest lag that can be allowed.
const REMEMBERED: usize = 512;

/// Whether a replica is as near to the primary as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lag {
    /// It is.
    Within,
    /// It is not, or nobody knows.
    TooMuch,
}

/// Where the end of the primary's log was seen, and when first.
#[derive(Debug, Default)]
pub(super) struct Written {
    seen: VecDeque<(Monotonic, WalPosition)>,
}

impl Written {
    /// Learns that the log goes up to `position`, asked at `now`.
    pub(super) fn observe(&mut self, position: WalPosition, now: Monotonic) {
        // An idle primary, or one that was restored: neither is ahead of what was seen.
        if self.seen.back().is_some_and(|(_, last)| position <= *last) {
            return;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((now, position));
    }

    /// How long a replica that has replayed up to here has been behind; nothing if it has everything that is
    /// known of. While the primary is away that does not grow: nothing is known to be missing.
    pub(super) fn lag(&self, replayed: WalPosition, now: Monotonic) -> Duration {
        let first = self
            .seen
            .partition_point(|(_, position)| *position <= replayed);
        self.seen
            .get(first)
            .map_or(Duration::ZERO, |(at, _)| now - *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(ms))
    }

    fn lag(written: &Written, replayed: u64, now: u64) -> u128 {
        written.lag(WalPosition(replayed), at(now)).as_millis()
    }

    #[test]
    fn a_replica_lags_since_the_first_position_that_it_has_not_replayed() {
        let mut written = Written::default();
        for (ms, position) in [(0, 10), (250, 10), (500, 20), (750, 30)] {
            written.observe(WalPosition(position), at(ms));
        }
        assert_eq!(lag(&written, 30, 1000), 0);
        assert_eq!(lag(&written, 20, 1000), 250);
        assert_eq!(lag(&written, 19, 1000), 500);
        assert_eq!(lag(&written, 9, 1000), 1000);
        assert_eq!(
            lag(&Written::default(), 0, 1000),
            0,
            "nothing is known to be missing"
        );
    }

    #[test]
    fn a_primary_that_is_away_makes_nobody_lag() {
        let mut written = Written::default();
        written.observe(WalPosition(10), at(0));
        assert_eq!(lag(&written, 10, 3_600_000), 0);
    }

    proptest! {
        /// Against the definition, over every position that was ever seen.
        #[test]
        fn what_is_forgotten_makes_a_lag_no_longer(
            steps in proptest::collection::vec((1..500_u64, 0..5_u64), 1..1500),
            replayed in 0..3000_u64,
        ) {
            let (mut written, mut seen) = (Written::default(), Vec::new());
            let (mut now, mut position) = (0, 0);
            for (pause, grown) in steps {
                now += pause;
                position += grown;
                written.observe(WalPosition(position), at(now));
                seen.push((now, position));
            }
            let missing = seen.iter().find(|(_, position)| *position > replayed);
            let exact = missing.map_or(0, |(since, _)| u128::from(now - since));
            let told = lag(&written, replayed, now);
            prop_assert!(told <= exact);
            prop_assert_eq!(told == 0, exact == 0);
            prop_assert!(written.seen.len() <= REMEMBERED);
            if seen.len() <= REMEMBERED {
                prop_assert_eq!(told, exact);
            }
        }
    }
}
