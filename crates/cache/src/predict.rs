//! What will be asked for in the time to come, learned from what was asked for before.
//!
//! Of each key there is a count for each hour of the day, which fades from day to day, and a count of
//! what the same reader asked for next. Both tables are bounded, and a request costs constant work: when
//! the table of keys is full, a new one takes the place of the least asked for among a few that are
//! looked at in turn. A crawler that asks once for everything so mostly displaces its own kind.
//!
//! Whether warming what is predicted pays is another question: it turns waits into loads that would not
//! have been. Measure it (`hit_ratio` in the benchmarks) before switching it on.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictorConfig {
    /// How many keys are known; each takes some 200 bytes and its name.
    pub keys: usize,
    /// How many successors are known of each; at least one.
    pub successors: usize,
    /// After how many days a count is worth half.
    pub half_life_days: f32,
}

impl Default for PredictorConfig {
    /// Ten thousand keys, four successors of each, three days.
    fn default() -> Self {
        Self {
            keys: 10_000,
            successors: 4,
            half_life_days: 3.0,
        }
    }
}

/// A key that is worth having.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The key.
    pub key: Arc<str>,
    /// How often it is likely to be asked for in the interval.
    pub expected: f32,
}

/// Counts what is asked for when, and after what. Times are those of the day in UTC, since 1970.
#[derive(Debug)]
pub struct Predictor {
    config: PredictorConfig,
    places: HashMap<Arc<str>, u32, RandomState>,
    slots: Vec<Slot>,
    /// Which slots are looked at next when one must go.
    hand: u64,
    began: Option<Duration>,
}

#[derive(Debug)]
struct Slot {
    key: Arc<str>,
    /// Told apart from who was in this place before.
    generation: u32,
    hours: [f32; HOURS],
    /// The day to which the counts have faded.
    day: u64,
    successors: Vec<Successor>,
}

#[derive(Clone, Copy, Debug)]
struct Successor {
    place: u32,
    generation: u32,
    count: u16,
}

const HOURS: usize = 24;
const HOUR: u64 = 3600;
const DAY: u64 = HOUR * HOURS as u64;

/// How many slots are looked at when one must go.
const LOOKED_AT: usize = 8;

/// Successors are halved when one has been counted so often: what is usual may change.
const MOST_SUCCESSIONS: u16 = 1000;

impl Predictor {
    /// One that knows nothing.
    pub fn new(config: PredictorConfig) -> Self {
        let config = PredictorConfig {
            keys: config.keys.clamp(1, u32::MAX as usize),
            successors: config.successors.max(1),
            half_life_days: config.half_life_days.max(0.01),
        };
        Self {
            config,
            places: HashMap::default(),
            slots: Vec::new(),
            hand: 0,
            began: None,
        }
    }

    /// A key was asked for; `after` is what the same reader asked for before, if that is known.
    pub fn observe(&mut self, at: Duration, key: &str, after: Option<&str>) {
        self.began.get_or_insert(at);
        let place = self.place(key, at);
        let fade = self.fade();
        let slot = &mut self.slots[place as usize];
        slot.fade_to(day(at), fade);
        slot.hours[hour(at)] += 1.0;
        let generation = slot.generation;
        if let Some(before) = after.and_then(|after| self.places.get(after))
            && *before != place
        {
            let most = self.config.successors;
            self.slots[*before as usize].followed_by(place, generation, most);
        }
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The keys that are most likely to be asked for between `from` and `interval` later, at most `most`
    /// of them, the likeliest first. Looks at every key that is known.
    pub fn predict(&self, from: Duration, interval: Duration, most: usize) -> Vec<Prediction> {
        let own: Vec<f32> = self
            .slots
            .iter()
            .map(|slot| self.expected(slot, from, interval))
            .collect();
        // What usually comes after others. It is among a key's own counts as well, so the greater counts.
        let mut following = vec![0.0_f32; own.len()];
        for (slot, expected) in self.slots.iter().zip(&own) {
            let asked: f32 = slot.hours.iter().sum();
            for successor in &slot.successors {
                let place = successor.place as usize;
                if self.slots[place].generation == successor.generation && asked > 0.0 {
                    following[place] += expected * (f32::from(successor.count) / asked).min(1.0);
                }
            }
        }
        let expected = own.iter().zip(&following).map(|(own, next)| own.max(*next));
        let mut likely: Vec<(f32, usize)> = expected
            .enumerate()
            .filter(|(_, expected)| *expected > 0.0)
            .map(|(place, expected)| (expected, place))
            .collect();
        likely.sort_unstable_by(|(one, at), (other, later)| {
            other.total_cmp(one).then_with(|| at.cmp(later))
        });
        likely.truncate(most);
        let prediction = |(expected, place): (f32, usize)| Prediction {
            key: self.slots[place].key.clone(),
            expected,
        };
        likely.into_iter().map(prediction).collect()
    }

    /// How often a key is likely to be asked for, by its own counts.
    fn expected(&self, slot: &Slot, from: Duration, interval: Duration) -> f32 {
        let fade = self.fade();
        let days = self
            .began
            .map_or(1, |began| day(from).saturating_sub(day(began)).max(1));
        // What a key that was asked for once at this hour of each day has come to by now.
        let days = fade * (1.0 - fade.powf(days as f32)) / (1.0 - fade);
        let faded = fade.powf(day(from).saturating_sub(slot.day) as f32);
        let (mut at, end) = (from, from.saturating_add(interval));
        let mut expected = 0.0;
        while at < end {
            let next = Duration::from_secs((at.as_secs() / HOUR + 1) * HOUR).min(end);
            let share = next.saturating_sub(at).as_secs_f32() / HOUR as f32;
            expected += slot.hours[hour(at)] * share;
            at = next;
            if at.saturating_sub(from) >= Duration::from_secs(DAY) {
                break;
            }
        }
        expected * faded / days
    }

    fn fade(&self) -> f32 {
        0.5_f32.powf(1.0 / self.config.half_life_days)
    }

    /// The place of a key, made if need be.
    fn place(&mut self, key: &str, at: Duration) -> u32 {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let key: Arc<str> = key.into();
        let (place, generation) = if self.slots.len() < self.config.keys {
            (self.slots.len(), 0)
        } else {
            let place = self.least(at);
            self.places.remove(&self.slots[place].key);
            (place, self.slots[place].generation.wrapping_add(1))
        };
        let slot = Slot {
            key: key.clone(),
            generation,
            hours: [0.0; HOURS],
            day: day(at),
            successors: Vec::new(),
        };
        if place == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[place] = slot;
        }
        // There are no more places than fit: see `new`.
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.places.insert(key, place);
        place
    }

    /// The least asked for of those that are looked at now.
    fn least(&mut self, at: Duration) -> usize {
        let (fade, len) = (self.fade(), self.slots.len());
        let mut least = (f32::INFINITY, 0);
        for _ in 0..LOOKED_AT.min(len) {
            // All over the table: neighbours have come at the same time and are much alike.
            self.hand = self.hand.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let place = usize::try_from((self.hand >> 32) % len as u64).unwrap_or(0);
            self.slots[place].fade_to(day(at), fade);
            let asked = self.slots[place].hours.iter().sum();
            if asked < least.0 {
                least = (asked, place);
            }
        }
        least.1
    }
}

impl Slot {
    fn fade_to(&mut self, day: u64, fade: f32) {
        if day > self.day {
            let factor = fade.powf((day - self.day) as f32);
            self.hours.iter_mut().for_each(|count| *count *= factor);
            self.day = day;
        }
    }

    fn followed_by(&mut self, place: u32, generation: u32, most: usize) {
        let of = |known: &&mut Successor| known.place == place && known.generation == generation;
        if let Some(known) = self.successors.iter_mut().find(of) {
            known.count += 1;
            if known.count >= MOST_SUCCESSIONS {
                self.successors
                    .iter_mut()
                    .for_each(|known| known.count /= 2);
            }
            return;
        }
        let new = Successor {
            place,
            generation,
            count: 1,
        };
        if self.successors.len() < most {
            self.successors.push(new);
        } else if let Some(rarest) = self.successors.iter_mut().min_by_key(|known| known.count) {
            // One that is seen again and again wears the rarest down; one that is seen once does not.
            rarest.count = rarest.count.saturating_sub(1);
            if rarest.count == 0 {
                *rarest = new;
            }
        }
    }
}

fn day(at: Duration) -> u64 {
    at.as_secs() / DAY
}

fn hour(at: Duration) -> usize {
    usize::try_from(at.as_secs() % DAY / HOUR).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(day: u64, hour: u64) -> Duration {
        Duration::from_secs(day * DAY + hour * HOUR)
    }

    fn predictor(keys: usize) -> Predictor {
        Predictor::new(PredictorConfig {
            keys,
            ..PredictorConfig::default()
        })
    }

    fn keys(predictions: &[Prediction]) -> Vec<&str> {
        predictions.iter().map(|one| &*one.key).collect()
    }

    const ONE_HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn what_is_asked_for_each_morning_is_expected_in_the_morning() {
        let mut predictor = predictor(100);
        for day in 0..7 {
            for _ in 0..10 {
                predictor.observe(at(day, 8), "morning", None);
                predictor.observe(at(day, 20), "evening", None);
            }
        }
        let morning = predictor.predict(at(7, 8), ONE_HOUR, 10);
        assert_eq!(keys(&morning), ["morning"]);
        assert!((morning[0].expected - 10.0).abs() < 2.0, "{morning:?}");
        assert_eq!(
            keys(&predictor.predict(at(7, 20), ONE_HOUR, 10)),
            ["evening"]
        );
        assert!(predictor.predict(at(7, 3), ONE_HOUR, 10).is_empty());
        let half = predictor.predict(at(7, 8), ONE_HOUR / 2, 10);
        assert!((half[0].expected * 2.0 - morning[0].expected).abs() < 0.1);
    }

    #[test]
    fn what_is_no_longer_asked_for_fades() {
        let mut predictor = predictor(100);
        for _ in 0..16 {
            predictor.observe(at(0, 8), "old", None);
        }
        for day in 1..10 {
            for _ in 0..4 {
                predictor.observe(at(day, 8), "new", None);
            }
        }
        let predicted = predictor.predict(at(10, 8), ONE_HOUR, 10);
        assert_eq!(keys(&predicted), ["new", "old"]);
        assert!(predicted[1].expected < 1.0);
    }

    #[test]
    fn what_usually_comes_next_is_expected_with_what_it_follows() {
        let mut predictor = predictor(100);
        for hour in [9, 10] {
            for _ in 0..10 {
                predictor.observe(at(0, hour), "list", None);
            }
        }
        // Only ever read at ten, but always after the list.
        for _ in 0..10 {
            predictor.observe(at(0, 10), "pitch", Some("list"));
        }
        let predicted = predictor.predict(at(1, 9), ONE_HOUR, 10);
        assert_eq!(keys(&predicted), ["list", "pitch"]);
        let share = predicted[1].expected / predicted[0].expected;
        assert!(
            (share - 0.5).abs() < 0.01,
            "half of those who saw the list: {share}"
        );
    }

    #[test]
    fn a_crawler_displaces_its_own_kind() {
        let mut predictor = predictor(256);
        for n in 0..16 {
            for _ in 0..20 {
                predictor.observe(at(0, 8), &format!("page/{n}"), None);
            }
        }
        for n in 0..100_000 {
            predictor.observe(at(0, 8), &format!("scanned/{n}"), None);
        }
        assert_eq!(predictor.len(), 256);
        let predicted = predictor.predict(at(1, 8), ONE_HOUR, 16);
        assert_eq!(predicted.len(), 16);
        assert!(keys(&predicted).iter().all(|key| key.starts_with("page/")));
    }

    proptest! {
        #[test]
        fn tables_stay_within_their_bounds_and_expectations_are_numbers(
            requests in proptest::collection::vec((0_u64..4 * DAY, 0_u32..50, 0_u32..50), 1..300),
            keys in 1_usize..20,
        ) {
            let mut predictor = predictor(keys);
            for (seconds, key, after) in requests {
                let after = format!("k{after}");
                predictor.observe(Duration::from_secs(seconds), &format!("k{key}"), Some(&after));
            }
            prop_assert!(predictor.len() <= keys && predictor.places.len() == predictor.len());
            prop_assert!(predictor.slots.iter().all(|slot| slot.successors.len() <= 4));
            let predicted = predictor.predict(at(4, 0), ONE_HOUR * 30, 10);
            prop_assert!(predicted.len() <= 10);
            prop_assert!(predicted.iter().all(|one| one.expected.is_finite() && one.expected > 0.0));
            prop_assert!(predicted.is_sorted_by(|one, other| one.expected >= other.expected));
        }
    }
}
