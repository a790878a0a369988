//! Random bytes, and the identifiers made of them.

use std::sync::Arc;

use uuid::Uuid;

use crate::Clock;

/// Draws random bytes, good enough for secrets unless the implementation says otherwise.
pub trait Random {
    /// Overwrites `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number, evenly distributed over all values.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl<T: Random + ?Sized> Random for &T {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

impl<T: Random + ?Sized> Random for Arc<T> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// A new UUID of version 7 (RFC 9562, section 5.7): milliseconds of the wall clock, then 74 random
/// bits. A wall clock before 1970 counts as 1970.
pub fn uuid_v7(clock: &(impl Clock + ?Sized), random: &(impl Random + ?Sized)) -> Uuid {
    let milliseconds = clock.wall().unix_timestamp_nanos() / 1_000_000;
    let milliseconds = u64::try_from(milliseconds).unwrap_or(0);
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use time::OffsetDateTime;
    use uuid::Variant;

    use super::*;
    use crate::{ManualClock, SeededRandom};

    #[test]
    fn a_uuid_v7_opens_with_the_milliseconds_of_the_wall_clock() {
        let clock = ManualClock::new();
        clock.set_wall(OffsetDateTime::UNIX_EPOCH + Duration::from_millis(0x0123_4567_89ab));
        let id = uuid_v7(&clock, &SeededRandom::new(1));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), Variant::RFC4122);
        assert!(id.to_string().starts_with("01234567-89ab-7"), "{id}");
    }

    #[test]
    fn a_wall_clock_before_1970_still_gives_a_uuid() {
        let clock = ManualClock::new();
        clock.set_wall(OffsetDateTime::UNIX_EPOCH - Duration::from_secs(1));
        let id = uuid_v7(&clock, &SeededRandom::new(1));
        assert!(id.to_string().starts_with("00000000-0000-7"), "{id}");
    }

    proptest! {
        #[test]
        fn a_later_millisecond_gives_a_greater_uuid(start in 0_u64..(1 << 46), step in 1_u64..1_000_000) {
            let clock = ManualClock::new();
            let random = SeededRandom::new(start);
            // `time` ends at the year 9999.
            clock.set_wall(OffsetDateTime::UNIX_EPOCH + Duration::from_millis(start));
            let first = uuid_v7(&clock, &random);
            clock.advance(Duration::from_millis(step));
            prop_assert!(first < uuid_v7(&clock, &random));
        }
    }
}
