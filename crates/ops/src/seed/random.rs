//! Randomness that is the same everywhere: each row draws from a stream of its own, so that rows can be made in
//! any order, in parallel and more than once.
//!
//! The generator is `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014). It is written out here because no library
//! promises the same values in its next version.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of a row: the same seed, purpose and index give the same numbers.
    pub(super) fn of(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self(mix(
            mix(mix(seed) ^ (purpose as u64).wrapping_mul(GOLDEN)) ^ index
        ))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Evenly below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // The high half of the product (Lemire 2019); without the rejection step the bias is below 2^-32 here.
        let product = u128::from(self.next()) * bound as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// Evenly from 0 to 1, 1 excluded.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True once in so many draws of 1, on average `share`.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Below `bound`, the first ones more often: density falls with the power `1 - 1/skew` of the place, which is
    /// Zipf's law with that exponent.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is positive and below `bound`"
    )]
    pub(super) fn skewed(&mut self, bound: usize, skew: f64) -> usize {
        let place = (self.unit().powf(skew) * bound as f64) as usize;
        place.min(bound.saturating_sub(1))
    }

    /// One of `items`, evenly.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A time that is `mean` on average, short ones more often (exponential).
    pub(super) fn wait(&mut self, mean_us: f64) -> i64 {
        to_i64(-(1.0 - self.unit()).ln() * mean_us)
    }

    /// Between two moments, the later one excluded; `from` if they are in the wrong order.
    pub(super) fn between(&mut self, from_us: i64, to_us: i64) -> i64 {
        from_us + to_i64((to_us - from_us).max(0) as f64 * self.unit())
    }

    /// How often something happens that happens `mean` times on average (Poisson, by Knuth's method; above 30 by
    /// a normal approximation).
    pub(super) fn times(&mut self, mean: f64) -> usize {
        if mean > 30.0 {
            let deviation: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
            return usize::try_from(to_i64((mean + deviation * mean.sqrt()).round())).unwrap_or(0);
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            count += 1;
            product *= self.unit();
        }
        count
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "spans of years in microseconds fit, and the cast saturates"
)]
pub(super) fn to_i64(value: f64) -> i64 {
    value as i64
}

/// What a stream is for. The numbers are part of what a seed means: never change one.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    User = 1,
    UserTime = 2,
    Pitch = 3,
    Text = 4,
    Views = 5,
    Viewer = 6,
    Deals = 7,
    Saves = 8,
    Follows = 9,
    Sessions = 10,
    Analytics = 11,
    Rum = 12,
    Notices = 13,
}

/// A shuffling of `0..count` that needs no memory: `place -> place * step + offset`, with its inverse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shuffle {
    count: u64,
    step: u64,
    inverse: u64,
    offset: u64,
}

impl Shuffle {
    /// A shuffling of `0..count`, which is not empty and below 2^31.
    pub(super) fn new(count: u64, seed: u64) -> Self {
        // Near the golden section, neighbours land far apart.
        let mut step = (to_i64(count as f64 * 0.618).unsigned_abs()).max(1);
        let inverse = loop {
            match inverse(step, count) {
                Some(inverse) => break inverse,
                None => step += 1,
            }
        };
        Self {
            count,
            step,
            inverse,
            offset: mix(seed) % count,
        }
    }

    pub(super) fn to(self, place: u64) -> u64 {
        (place * self.step + self.offset) % self.count
    }

    pub(super) fn back(self, place: u64) -> u64 {
        (place + self.count - self.offset) % self.count * self.inverse % self.count
    }
}

/// The inverse of `step` modulo `count`, by Euclid's algorithm; `None` if they have a common factor.
fn inverse(step: u64, count: u64) -> Option<u64> {
    let (mut r, mut next_r) = (i128::from(count), i128::from(step % count.max(1)));
    let (mut t, mut next_t) = (0_i128, 1_i128);
    if count == 1 {
        return Some(0);
    }
    while next_r != 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    (r == 1).then(|| u64::try_from(t.rem_euclid(i128::from(count))).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_paper() {
        // The reference implementation with seed 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let first = |seed, purpose, index| Random::of(seed, purpose, index).next();
        let all = [
            first(1, Purpose::User, 0),
            first(2, Purpose::User, 0),
            first(1, Purpose::Pitch, 0),
            first(1, Purpose::User, 1),
        ];
        for (index, number) in all.iter().enumerate() {
            assert!(!all[..index].contains(number));
        }
        assert_eq!(first(1, Purpose::User, 0), all[0]);
    }

    #[test]
    fn draws_keep_to_their_bounds() {
        let mut random = Random::of(7, Purpose::User, 7);
        for _ in 0..10_000 {
            assert!(random.below(3) < 3);
            assert!((0.0..1.0).contains(&random.unit()));
            assert!(random.skewed(5, 2.5) < 5);
            assert!((10..20).contains(&random.between(10, 20)));
            assert!(random.wait(1.0) >= 0);
        }
        assert_eq!((random.below(1), random.between(9, 3)), (0, 9));
    }

    #[test]
    fn counts_have_the_mean_that_is_asked_for() {
        let mut random = Random::of(7, Purpose::Views, 0);
        for mean in [0.1, 2.0, 100.0] {
            let total: usize = (0..20_000).map(|_| random.times(mean)).sum();
            let found = total as f64 / 20_000.0;
            assert!(
                (found / mean - 1.0).abs() < 0.1,
                "{found} instead of {mean}"
            );
        }
    }

    #[test]
    fn a_shuffling_goes_there_and_back() {
        for count in [1, 2, 6, 97, 1000] {
            let shuffle = Shuffle::new(count, 42);
            let mut seen: Vec<_> = (0..count).map(|place| shuffle.to(place)).collect();
            assert!((0..count).all(|place| shuffle.back(shuffle.to(place)) == place));
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count));
        }
    }
}
