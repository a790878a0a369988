//! Reading the time: a monotonic clock for durations, a wall clock for dates.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

/// A point on a clock that never goes back, as the time since an arbitrary start.
///
/// Only points of the same [`Clock`] can be compared; a point means nothing outside its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The start of the clock.
    pub const START: Self = Self(Duration::ZERO);

    /// The point that lies `since_start` after the start of the clock.
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The time since the start of the clock.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time since `earlier`, or zero if `earlier` is later than this point.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    /// Saturates: a deadline that lies beyond what can be counted is "never".
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub for Monotonic {
    type Output = Duration;

    /// The same as [`Monotonic::since`].
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Tells the time.
pub trait Clock {
    /// The monotonic time: for durations, deadlines and ages within this process.
    fn now(&self) -> Monotonic;

    /// The time of day in UTC: for what is stored or shown. It may jump in both directions.
    fn wall(&self) -> OffsetDateTime;
}

impl<T: Clock + ?Sized> Clock for &T {
    fn now(&self) -> Monotonic {
        (**self).now()
    }

    fn wall(&self) -> OffsetDateTime {
        (**self).wall()
    }
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> Monotonic {
        (**self).now()
    }

    fn wall(&self) -> OffsetDateTime {
        (**self).wall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_never_goes_below_zero() {
        let early = Monotonic::from_start(Duration::from_secs(1));
        let late = early + Duration::from_secs(2);
        assert_eq!(late - early, Duration::from_secs(2));
        assert_eq!(early - late, Duration::ZERO);
    }

    #[test]
    fn an_endless_deadline_saturates() {
        let now = Monotonic::from_start(Duration::from_secs(1));
        assert_eq!(
            now + Duration::MAX,
            Monotonic::from_start(Duration::MAX),
            "adding must not overflow"
        );
    }
}
