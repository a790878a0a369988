//! Days of requests that nobody made: for benchmarks and load tests, the same each time.
//!
//! Popularity follows Zipf's law and drifts from day to day; the number of requests follows the time of
//! day, and who asks does, too: each pitch has its audience in one of three parts of the world. Readers
//! look through lists and open what they find there. Crawlers walk through everything. Pitches are
//! edited, and new ones come.
//!
//! Behind a feature of its own rather than that of the simulation, whose switches would slow down what
//! is measured with it.

use std::time::Duration;

/// What a day is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceConfig {
    /// The same seed gives the same days.
    pub seed: u64,
    /// How many days.
    pub days: u32,
    /// Requests of a day, crawlers included.
    pub requests: u32,
    /// Pitches that there are at the beginning.
    pub pitches: u32,
    /// The exponent of Zipf's law: 0 is evenly spread, 1 is usual for pages.
    pub zipf: f64,
    /// The share of ranks that change their places overnight, in percent.
    pub drift_percent: u32,
    /// The share of requests that crawlers make, in percent.
    pub crawler_percent: u32,
    /// Pitches that are edited in a day.
    pub edits: u32,
    /// Pitches that come in a day.
    pub new: u32,
}

impl Default for TraceConfig {
    /// Three days of two hundred thousand requests for twenty thousand pitches.
    fn default() -> Self {
        Self {
            seed: 1,
            days: 3,
            requests: 200_000,
            pitches: 20_000,
            zipf: 0.9,
            drift_percent: 5,
            crawler_percent: 10,
            edits: 500,
            new: 50,
        }
    }
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When, since the first midnight.
    pub at: Duration,
    /// Who: readers are numbered; a crawler is 0.
    pub reader: u32,
    /// What is done to what.
    pub act: Act,
}

/// What is done to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A page of a list is read.
    List(u32),
    /// A pitch is read.
    Pitch(u32),
    /// A pitch is changed.
    Edit(u32),
}

/// Pitches on a page of a list.
pub const PAGE: u32 = 20;

const MINUTES: u32 = 24 * 60;
const AUDIENCES: u32 = 3;
/// Readers who are at it at the same time.
const READERS: u32 = 50;

/// All days, request by request, in the order of time.
#[derive(Debug)]
pub struct Trace {
    config: TraceConfig,
    random: u64,
    /// Pitches by their popularity.
    ranks: Vec<u32>,
    /// The sums of Zipf's weights up to each rank.
    sums: Vec<f64>,
    minute: u32,
    /// What is left over of a request at the end of a minute.
    rest: f64,
    /// The requests of this minute, the last one first.
    pending: Vec<Request>,
    /// What each reader has last opened a list at.
    readers: Vec<Option<u32>>,
    next_reader: u32,
    crawled: u32,
}

impl Trace {
    /// The days that a configuration stands for.
    pub fn new(config: TraceConfig) -> Self {
        let pitches = config.pitches.max(1);
        let mut trace = Self {
            config,
            random: config.seed,
            ranks: (0..pitches).collect(),
            sums: Vec::new(),
            minute: 0,
            rest: 0.0,
            pending: Vec::new(),
            readers: vec![None; READERS as usize],
            next_reader: 1,
            crawled: 0,
        };
        for rank in (1..trace.ranks.len()).rev() {
            let other = trace.below(rank + 1);
            trace.ranks.swap(rank, other);
        }
        trace.weigh();
        trace
    }

    /// How many pitches there are by now.
    pub fn pitches(&self) -> usize {
        self.ranks.len()
    }

    fn weigh(&mut self) {
        let mut sum = 0.0;
        let zipf = self.config.zipf;
        let weights = (1..=self.ranks.len()).map(|rank| (rank as f64).powf(-zipf));
        self.sums = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
    }

    /// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound.max(1) as u64).unwrap_or(0)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent as usize
    }

    /// A rank by Zipf's law.
    fn rank(&mut self) -> usize {
        let all = self.sums.last().copied().unwrap_or(1.0);
        let point = self.share() * all;
        let rank = self.sums.partition_point(|sum| *sum < point);
        rank.min(self.ranks.len() - 1)
    }

    /// A popular pitch whose audience is awake.
    fn popular(&mut self) -> u32 {
        for _ in 0..8 {
            let rank = self.rank();
            let pitch = self.ranks[rank];
            let awake = awake(self.minute, pitch % AUDIENCES);
            if self.share() < awake {
                return pitch;
            }
        }
        let rank = self.rank();
        self.ranks[rank]
    }

    /// What has changed overnight.
    fn night(&mut self) {
        let moves = self.ranks.len() * self.config.drift_percent as usize / 100;
        for _ in 0..moves {
            let (one, other) = (self.below(self.ranks.len()), self.below(self.ranks.len()));
            self.ranks.swap(one, other);
        }
        // What is new is interesting: it begins among the first.
        for _ in 0..self.config.new {
            let pitch = u32::try_from(self.ranks.len()).unwrap_or(u32::MAX);
            let rank = self.below(self.ranks.len().min(200));
            self.ranks.insert(rank, pitch);
        }
        self.weigh();
    }

    fn act(&mut self) -> (u32, Act) {
        if self.chance(self.config.crawler_percent) {
            let pitches = u32::try_from(self.ranks.len()).unwrap_or(u32::MAX);
            self.crawled = (self.crawled + 1) % pitches;
            return (0, Act::Pitch(self.crawled));
        }
        let seat = self.below(self.readers.len());
        let reader = u32::try_from(seat).unwrap_or(0) + 1;
        let starts = self.chance(40);
        match self.readers[seat] {
            // On to what the list shows, to another pitch, or away.
            Some(list) => match self.below(10) {
                0..5 => {
                    // The first on a page are opened most.
                    let place = self.share() * self.share() * f64::from(PAGE);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "between 0 and 20"
                    )]
                    let rank = (list * PAGE + place as u32) as usize;
                    let pitch = self.ranks[rank.min(self.ranks.len() - 1)];
                    (reader, Act::Pitch(pitch))
                }
                5..7 => {
                    self.readers[seat] = Some(list + 1);
                    (reader, Act::List(list + 1))
                }
                7..9 => (reader, Act::Pitch(self.popular())),
                _ => {
                    self.readers[seat] = None;
                    (reader, Act::Pitch(self.popular()))
                }
            },
            None if starts => {
                self.readers[seat] = Some(0);
                (reader, Act::List(0))
            }
            None => (reader, Act::Pitch(self.popular())),
        }
    }

    /// Makes the requests of the next minute.
    fn next_minute(&mut self) {
        let of_day = self.minute % MINUTES;
        if of_day == 0 && self.minute > 0 {
            self.night();
        }
        let wave: f64 = (0..AUDIENCES).map(|part| awake(of_day, part)).sum();
        let all: f64 = f64::from(AUDIENCES) * 0.5;
        let requests = f64::from(self.config.requests) / f64::from(MINUTES);
        self.rest += requests * wave / all;
        let edits = f64::from(self.config.edits) / f64::from(MINUTES);
        let start = Duration::from_secs(u64::from(self.minute) * 60);
        while self.rest >= 1.0 {
            self.rest -= 1.0;
            let at = start + Duration::from_secs_f64(self.share() * 60.0);
            let (reader, act) = self.act();
            self.pending.push(Request { at, reader, act });
        }
        if self.share() < edits.min(1.0) {
            let rank = self.rank();
            let act = Act::Edit(self.ranks[rank]);
            let at = start + Duration::from_secs_f64(self.share() * 60.0);
            let reader = self.next_reader;
            self.next_reader = self.next_reader % READERS + 1;
            self.pending.push(Request { at, reader, act });
        }
        self.pending
            .sort_by_key(|request| std::cmp::Reverse(request.at));
        self.minute += 1;
    }
}

/// How many of an audience are awake, 0 to 1: half of them on average.
fn awake(minute: u32, audience: u32) -> f64 {
    let local = f64::from((minute + audience * MINUTES / AUDIENCES) % MINUTES);
    let turn = std::f64::consts::TAU * local / f64::from(MINUTES);
    0.5 - 0.45 * turn.cos()
}

impl Iterator for Trace {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        while self.pending.is_empty() {
            if self.minute >= self.config.days * MINUTES {
                return None;
            }
            self.next_minute();
        }
        self.pending.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn small() -> TraceConfig {
        TraceConfig {
            requests: 20_000,
            pitches: 2000,
            ..TraceConfig::default()
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_days_and_another_gives_others() {
        let days = |seed| Trace::new(TraceConfig { seed, ..small() });
        assert!(days(1).eq(days(1)));
        assert!(!days(1).eq(days(2)));
    }

    #[test]
    fn requests_come_in_order_as_many_as_were_wanted() {
        let requests: Vec<_> = Trace::new(small()).collect();
        assert!(requests.is_sorted_by_key(|request| request.at));
        let reads = requests
            .iter()
            .filter(|request| !matches!(request.act, Act::Edit(_)));
        let reads = reads.count();
        assert!((59_000..=60_000).contains(&reads), "{reads}");
    }

    #[test]
    fn some_pitches_are_read_far_more_often_than_others_and_crawlers_read_all() {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        let mut crawled = 0;
        for request in Trace::new(small()) {
            if let Act::Pitch(pitch) = request.act {
                *counts.entry(pitch).or_default() += 1;
                crawled += u32::from(request.reader == 0);
            }
        }
        assert!(counts.len() >= 1990, "{}", counts.len());
        assert!((4000..8000).contains(&crawled), "{crawled}");
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable();
        let all: u32 = counts.iter().sum();
        let most: u32 = counts.iter().rev().take(counts.len() / 10).sum();
        assert!(
            most * 2 > all,
            "a tenth of the pitches has half of the reads"
        );
    }
}
