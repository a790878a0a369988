//! What is generated, as functions of an index: who is there since when, which pitches there are, who looked at
//! them. Nothing is stored; what two tables must agree on is computed twice.

use super::random::{Purpose, Random, Shuffle, to_i64};
use super::text::Vocabulary;
use pitchey_model::Role;
use uuid::{Builder, Uuid};

pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const DAY_US: i64 = 86_400 * SECOND_US;
/// Dates are spread over three years.
const SPAN_US: i64 = 3 * 365 * DAY_US;
/// The first accounts are this much older than the first pitches.
const HEAD_START_US: i64 = 30 * DAY_US;
/// More comes as time goes by: the share of rows up to a share of the time is its power of 1/0.7.
const GROWTH: f64 = 0.7;

/// The fewest accounts: every role has somebody.
pub(super) const MIN_USERS: u64 = 20;
/// So many rows of a kind can be told apart by the indexes used here.
pub(super) const MAX_ROWS: u64 = 20_000_000;

/// Everything that is generated.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) pitches: u64,
    pub(super) users: u64,
    /// The moment after which nothing has happened yet.
    pub(super) until_us: i64,
    pub(super) vocabulary: Vocabulary,
    popularity: Shuffle,
    /// Since when each account is there.
    since: Vec<i64>,
    creators: Vec<u64>,
    buyers: Vec<u64>,
    investors: Vec<u64>,
}

impl World {
    /// `pitches` and `users` are at most [`MAX_ROWS`], `users` at least [`MIN_USERS`], `pitches` at least 1.
    pub(super) fn new(seed: u64, pitches: u64, users: u64, until_us: i64) -> Self {
        let mut world = Self {
            seed,
            pitches,
            users,
            until_us,
            vocabulary: Vocabulary::new(),
            popularity: Shuffle::new(pitches, seed),
            since: Vec::new(),
            creators: Vec::new(),
            buyers: Vec::new(),
            investors: Vec::new(),
        };
        world.since = (0..users).map(|user| world.first_seen(user)).collect();
        for user in 0..users {
            match world.role(user) {
                Role::Creator => world.creators.push(user),
                Role::Investor => {
                    world.buyers.push(user);
                    world.investors.push(user);
                }
                Role::Production => world.buyers.push(user),
                Role::Admin => {}
            }
        }
        world
    }

    pub(super) fn random(&self, purpose: Purpose, index: u64) -> Random {
        Random::of(self.seed, purpose, index)
    }

    /// When pitches begin.
    pub(super) fn start_us(&self) -> i64 {
        self.until_us - SPAN_US
    }

    pub(super) fn role(&self, user: u64) -> Role {
        // The first four are one of each.
        if let Some(role) = usize::try_from(user).ok().and_then(|user| {
            [Role::Admin, Role::Creator, Role::Investor, Role::Production].get(user)
        }) {
            return *role;
        }
        match self.random(Purpose::User, user).below(1000) {
            0 => Role::Admin,
            1..600 => Role::Creator,
            600..860 => Role::Investor,
            _ => Role::Production,
        }
    }

    /// Since when an account is there. Later accounts have higher numbers.
    pub(super) fn user_since(&self, user: u64) -> i64 {
        usize::try_from(user)
            .ok()
            .and_then(|user| self.since.get(user))
            .copied()
            .unwrap_or(self.until_us)
    }

    fn first_seen(&self, user: u64) -> i64 {
        let from = self.start_us() - HEAD_START_US;
        if user < 4 {
            return from + user.cast_signed() * DAY_US;
        }
        let share = (user as f64 + self.random(Purpose::UserTime, user).unit()) / self.users as f64;
        let from = from + 4 * DAY_US;
        from + to_i64(share.powf(GROWTH) * (self.until_us - from) as f64)
    }

    pub(super) fn user_id(&self, user: u64) -> Uuid {
        let mut random = self.random(Purpose::User, user);
        id(self.user_since(user), &mut random)
    }

    /// When a pitch was begun. Later pitches have higher numbers.
    pub(super) fn pitch_since(&self, pitch: u64, random: &mut Random) -> i64 {
        let share = (pitch as f64 + random.unit()) / self.pitches as f64;
        self.start_us() + to_i64(share.powf(GROWTH) * SPAN_US as f64)
    }

    /// 0 for the most popular pitch of all.
    pub(super) fn popularity_rank(&self, pitch: u64) -> u64 {
        self.popularity.to(pitch)
    }

    /// A pitch, popular ones more often.
    pub(super) fn popular_pitch(&self, random: &mut Random) -> u64 {
        let count = usize::try_from(self.pitches).unwrap_or(usize::MAX);
        self.popularity.back(random.skewed(count, 3.0) as u64)
    }

    /// A creator who is there at that moment, early ones more often.
    pub(super) fn creator_at(&self, at_us: i64, random: &mut Random) -> u64 {
        let present = self.present(&self.creators, at_us);
        present[random.skewed(present.len(), 1.7)]
    }

    /// An investor or a production company.
    pub(super) fn buyer_at(&self, at_us: i64, random: &mut Random) -> u64 {
        random.pick(self.present(&self.buyers, at_us))
    }

    pub(super) fn investor_at(&self, at_us: i64, random: &mut Random) -> u64 {
        random.pick(self.present(&self.investors, at_us))
    }

    /// Those of `group` who are there at that moment; the first one always.
    fn present<'a>(&self, group: &'a [u64], at_us: i64) -> &'a [u64] {
        let count = group.partition_point(|&user| self.user_since(user) <= at_us);
        &group[..count.max(1)]
    }
}

/// A version 7 id of that moment.
pub(super) fn id(at_us: i64, random: &mut Random) -> Uuid {
    let milliseconds = u64::try_from(at_us / 1000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(milliseconds, &random.bytes()).into_uuid()
}
