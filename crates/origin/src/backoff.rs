//! How long to wait after failures in a row.

use std::time::Duration;

use pitchey_runtime::Random;

/// Pauses that double with each failure in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The longest pause after the first failure.
    pub(crate) first: Duration,
    /// The longest pause of all.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after one more failure than `before`: a random time between half and the whole of
    /// what is due, so that those who lost the same server together do not all come back together.
    pub(crate) fn pause(self, before: u32, random: &impl Random) -> Duration {
        let doubled = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.longest);
        // The upper 53 bits fill the mantissa: evenly distributed over [0, 1).
        let share = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        whole.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use pitchey_runtime::SeededRandom;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let random = SeededRandom::new(1);
        let backoff = Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        };
        for (before, whole) in [(0, 100), (1, 200), (5, 3200), (6, 5000), (40, 5000)] {
            let whole = Duration::from_millis(whole);
            let pause = backoff.pause(before, &random);
            assert!(
                whole / 2 <= pause && pause <= whole,
                "{pause:?} of {whole:?}"
            );
        }
        assert_ne!(backoff.pause(0, &random), backoff.pause(0, &random));
    }
}
