//! How long a kind of data may be used, and where.

use std::time::Duration;

/// The policy of one kind of data. Times count from the moment a load began, and are shortened by up
/// to [`jitter_percent`](Self::jitter_percent), so that what was loaded together does not expire together.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long a copy may stay in a node's memory before the shared tier is asked again.
    pub memory: Duration,
    /// How long an entry is fresh in the shared tier; zero keeps the kind out of it.
    pub shared: Duration,
    /// How long an entry is fresh in all tiers together.
    pub fresh: Duration,
    /// How long after that it may be served while one refreshes it.
    pub stale_while_revalidate: Duration,
    /// How long after that it may be served when loading fails.
    pub stale_if_error: Duration,
    /// How long it may be remembered that there is nothing.
    pub negative: Duration,
    /// The share of the fresh time by which it may be shortened, in percent.
    pub jitter_percent: u32,
    /// How eagerly an entry is refreshed before it expires: β of `XFetch`; 0 never.
    pub early_refresh: f64,
    /// Whether memory is only used once the shared tier has said that the entry is still valid.
    pub strict: bool,
    /// Whether one load is for all who ask in this process. Not where no request may wait for what another
    /// one does, as on Workers: there each loads for itself, and only refreshing is still left to one.
    pub coalesces: bool,
    /// What happens with an entry in memory of which nobody can say whether it is still valid.
    pub unverified: Unverified,
    /// After so long something stale that is at hand is served, and loading goes on behind.
    pub soft_timeout: Duration,
    /// After so long loading is given up.
    pub hard_timeout: Duration,
}

/// What to do with an entry while the numbers of its tags cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// Load; if that fails too, serve it within its stale-if-error window. The answer says so.
    LoadThenServe,
    /// Load; if that fails too, that is the answer.
    Load,
}

impl Default for Policy {
    /// A minute and a half in all, with modest windows.
    fn default() -> Self {
        Self {
            memory: Duration::from_secs(30),
            shared: Duration::from_secs(90),
            fresh: Duration::from_secs(90),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_mins(10),
            negative: Duration::from_secs(10),
            jitter_percent: 10,
            early_refresh: 1.0,
            strict: false,
            coalesces: true,
            unverified: Unverified::LoadThenServe,
            soft_timeout: Duration::from_millis(500),
            hard_timeout: Duration::from_secs(5),
        }
    }
}

/// The longest time of any sort: longer ones are a mistake, and would not fit where times are added.
const LONGEST: Duration = Duration::from_hours(24 * 366);

impl Policy {
    /// Adds a line to `problems` for everything that makes no sense, each beginning with `name`.
    pub fn validate(&self, name: &str, problems: &mut Vec<String>) {
        let mut check = |ok: bool, problem: &str| {
            if !ok {
                problems.push(format!("{name}: {problem}"));
            }
        };
        check(
            self.memory <= self.fresh,
            "memory may not outlive what is fresh in all",
        );
        check(
            self.shared <= self.fresh,
            "the shared tier may not outlive what is fresh in all",
        );
        check(!self.fresh.is_zero(), "fresh must be more than zero");
        check(
            self.negative <= self.fresh,
            "negative entries may not outlive the others",
        );
        check(self.jitter_percent <= 50, "jitter must be 0 to 50 percent");
        check(
            (0.0..=100.0).contains(&self.early_refresh),
            "early refresh must be 0 to 100",
        );
        check(
            !self.hard_timeout.is_zero() && self.soft_timeout <= self.hard_timeout,
            "the soft timeout may not be longer than the hard one, which is more than zero",
        );
        check(
            !self.strict || !self.shared.is_zero(),
            "a strict kind needs the shared tier",
        );
        let times = [
            self.fresh,
            self.stale_while_revalidate,
            self.stale_if_error,
            self.hard_timeout,
        ];
        check(
            times.iter().all(|time| *time <= LONGEST),
            "no time may be longer than a year",
        );
    }

    /// How long the right to load lasts after the last sign of life of whoever holds it. A quarter of the
    /// longest load: should it be gone, one who waits still has three quarters for a load of its own.
    pub(crate) fn lease(&self) -> Duration {
        self.hard_timeout / 4
    }

    /// How long it lasts at most, however alive its holder is: the holder's way to the source may hang, and
    /// one who waits has a quarter left to try another. What takes longer than this is loaded by one more
    /// node, and is not kept.
    pub(crate) fn longest_lease(&self) -> Duration {
        self.hard_timeout / 4 * 3
    }

    /// How long an entry is fresh for those who have both tiers, or memory alone.
    pub(crate) fn fresh_with(&self, shared: bool) -> Duration {
        if shared && !self.shared.is_zero() {
            self.fresh.min(self.shared.max(self.memory))
        } else {
            self.fresh.min(self.memory)
        }
    }
}

/// When to refresh before the end, so that of many readers one does it in time.
///
/// Source: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB
/// 2015: refresh if now − δ·β·ln(u) ≥ expiry, with δ what a load costs and u uniform in (0, 1].
pub(crate) fn refreshes_early(left: Duration, cost: Duration, beta: f64, bits: u64) -> bool {
    // 53 bits, so that u is never zero.
    let u = ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let ahead = cost.as_secs_f64() * beta * -u.ln();
    ahead >= left.as_secs_f64()
}

/// How far before the end it is at all likely: a chance of one in four hundred million is none.
pub(crate) fn early_window(cost: Duration, beta: f64) -> Duration {
    cost.mul_f64((beta * 20.0).clamp(0.0, 2000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_every_mistake_is_told_at_once() {
        let mut problems = Vec::new();
        Policy::default().validate("default", &mut problems);
        assert_eq!(problems, [""; 0]);
        let wrong = Policy {
            memory: Duration::from_secs(10),
            shared: Duration::from_secs(20),
            fresh: Duration::from_secs(5),
            negative: Duration::from_secs(6),
            jitter_percent: 51,
            early_refresh: -1.0,
            soft_timeout: Duration::from_secs(9),
            stale_if_error: LONGEST * 2,
            ..Policy::default()
        };
        wrong.validate("list", &mut problems);
        assert_eq!(problems.len(), 7, "{problems:#?}");
        assert!(problems.iter().all(|problem| problem.starts_with("list: ")));
    }

    #[test]
    fn early_refresh_grows_likely_towards_the_end() {
        let cost = Duration::from_millis(100);
        let share = |left_ms: u64| {
            let hits = (0..10_000_u64).filter(|n| {
                let bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                refreshes_early(Duration::from_millis(left_ms), cost, 1.0, bits)
            });
            hits.count() as f64 / 10_000.0
        };
        // P(-ln u >= left / cost) = e^(-left / cost).
        assert!((share(100) - 0.368).abs() < 0.02, "{}", share(100));
        assert!((share(300) - 0.0498).abs() < 0.01, "{}", share(300));
        assert!((share(0) - 1.0).abs() < f64::EPSILON);
        assert!(!refreshes_early(
            early_window(cost, 1.0) * 2,
            cost,
            1.0,
            1 << 40
        ));
    }
}
