//! Who answers a read: the decision, without I/O.

use super::lag::Lag;
use pitchey_model::WalPosition;
use pitchey_resilience::{Endpoints, Pick};
use pitchey_runtime::{Monotonic, Random};

/// What is known of a replica when a read asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// How far it is from this process; the nearest is asked first.
    pub(super) distance: u32,
    /// Up to where it has replayed; unknown if it does not answer, or is no replica.
    pub(super) replayed: Option<WalPosition>,
    /// How far behind it is in time.
    pub(super) lag: Lag,
}

/// What a read asks of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// The position that it must have replayed.
    pub(super) after: Option<WalPosition>,
}

/// Whether a replica may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fitness {
    /// It may.
    Fits,
    /// It might, if it has replayed more than is known.
    Behind,
    /// Not now.
    Out,
}

/// Who is to answer.
#[derive(Debug)]
pub(super) enum Choice {
    /// This replica.
    Replica(Pick),
    /// This replica, if it has replayed enough by now: it is to be asked.
    Ask(usize),
    /// None of them.
    Primary,
}

impl Standing {
    fn fitness(&self, demand: Demand) -> Fitness {
        match (self.replayed, demand.after) {
            (Some(_), _) if self.lag == Lag::TooMuch => Fitness::Out,
            (None, _) => Fitness::Out,
            (Some(replayed), Some(after)) if replayed < after => Fitness::Behind,
            (Some(_), _) => Fitness::Fits,
        }
    }
}

/// Chooses the nearest that fits; among those that are equally near, of two at random the one with less to
/// do. If none fits, the nearest of which more need be known; `endpoints` leaves out what it has ejected.
pub(super) fn choose(
    standings: &[Standing],
    demand: Demand,
    endpoints: &Endpoints,
    now: Monotonic,
    random: &impl Random,
) -> Choice {
    let of = |wanted: Fitness| {
        let mut distances: Vec<u32> = standings
            .iter()
            .filter(|standing| standing.fitness(demand) == wanted)
            .map(|standing| standing.distance)
            .collect();
        distances.sort_unstable();
        distances.dedup();
        distances.into_iter().find_map(|distance| {
            endpoints.pick(now, random, |index| {
                standings.get(index).is_some_and(|standing| {
                    standing.distance == distance && standing.fitness(demand) == wanted
                })
            })
        })
    };
    if let Some(pick) = of(Fitness::Fits) {
        return Choice::Replica(pick);
    }
    match of(Fitness::Behind) {
        Some(pick) => Choice::Ask(pick.endpoint()),
        None => Choice::Primary,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use pitchey_resilience::OutlierConfig;
    use pitchey_runtime::{Clock as _, ManualRuntime};
    use proptest::prelude::*;

    use super::*;

    fn endpoints(count: usize) -> Endpoints {
        let count = NonZeroUsize::new(count).expect("a test has replicas");
        Endpoints::new(count, OutlierConfig::default())
    }

    fn standing(distance: u32, replayed: u64) -> Standing {
        Standing {
            distance,
            replayed: Some(WalPosition(replayed)),
            lag: Lag::Within,
        }
    }

    fn chosen(standings: &[Standing], after: Option<u64>, endpoints: &Endpoints) -> Choice {
        let runtime = ManualRuntime::new(1);
        let demand = Demand {
            after: after.map(WalPosition),
        };
        choose(standings, demand, endpoints, runtime.now(), &runtime)
    }

    #[test]
    fn the_nearest_answers_and_a_farther_one_where_the_nearest_may_not() {
        let mut standings = [standing(2, 10), standing(1, 10)];
        let all = endpoints(2);
        let Choice::Replica(pick) = chosen(&standings, Some(10), &all) else {
            panic!("both fit");
        };
        assert_eq!(pick.endpoint(), 1);
        for out in [
            Standing {
                replayed: None,
                ..standings[1]
            },
            Standing {
                lag: Lag::TooMuch,
                ..standings[1]
            },
            standing(1, 9),
        ] {
            standings[1] = out;
            let Choice::Replica(pick) = chosen(&standings, Some(10), &all) else {
                panic!("the farther one fits");
            };
            assert_eq!(pick.endpoint(), 0, "{out:?}");
        }
    }

    #[test]
    fn one_that_may_have_replayed_enough_by_now_is_asked() {
        let standings = [standing(2, 9), standing(1, 8)];
        let choice = chosen(&standings, Some(10), &endpoints(2));
        assert!(matches!(choice, Choice::Ask(1)), "{choice:?}");
    }

    #[test]
    fn of_two_that_are_equally_near_the_one_with_less_to_do_answers() {
        let standings = [standing(1, 10), standing(1, 10)];
        let all = endpoints(2);
        let held: Vec<usize> = (0..10)
            .scan(Vec::new(), |busy, _| match chosen(&standings, None, &all) {
                Choice::Replica(pick) => {
                    let index = pick.endpoint();
                    busy.push(pick);
                    Some(index)
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            held.iter().filter(|index| **index == 0).count(),
            5,
            "{held:?}"
        );
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        let lag = prop_oneof![Just(Lag::Within), Just(Lag::TooMuch)];
        (0..3_u32, proptest::option::of(0..20_u64), lag).prop_map(|(distance, replayed, lag)| {
            Standing {
                distance,
                replayed: replayed.map(WalPosition),
                lag,
            }
        })
    }

    proptest! {
        /// Whatever is known: who answers has what is demanded and lags no more than it may, nobody nearer
        /// would do as well, and the primary is asked only if no other can be.
        #[test]
        fn who_answers_has_what_is_demanded_and_is_the_nearest(
            standings in proptest::collection::vec(any_standing(), 1..6),
            after in proptest::option::of(0..20_u64),
            seed: u64,
        ) {
            let runtime = ManualRuntime::new(seed);
            let demand = Demand { after: after.map(WalPosition) };
            let all = endpoints(standings.len());
            let alive = |one: &&Standing| one.replayed.is_some() && one.lag == Lag::Within;
            let has = |one: &&Standing| one.replayed >= demand.after;
            let nearest = |fits: &dyn Fn(&&Standing) -> bool| {
                standings.iter().filter(|one| fits(one)).map(|one| one.distance).min()
            };
            let fit = nearest(&|one| alive(one) && has(one));
            let behind = nearest(&|one| alive(one) && !has(one));
            match choose(&standings, demand, &all, runtime.now(), &runtime) {
                Choice::Replica(pick) => {
                    let one = &standings[pick.endpoint()];
                    prop_assert!(alive(&one) && has(&one));
                    prop_assert_eq!(Some(one.distance), fit);
                }
                Choice::Ask(index) => {
                    prop_assert_eq!(fit, None);
                    prop_assert_eq!(Some(standings[index].distance), behind);
                }
                Choice::Primary => prop_assert_eq!((fit, behind), (None, None)),
            }
        }

        /// What failed five times in a row answers no more for a while, if there is another.
        #[test]
        fn what_keeps_failing_is_left_out(seed: u64) {
            let runtime = ManualRuntime::new(seed);
            let all = endpoints(2);
            let standings = [standing(1, 10), standing(2, 10)];
            let demand = Demand { after: None };
            for _ in 0..5 {
                let Choice::Replica(pick) = choose(&standings, demand, &all, runtime.now(), &runtime) else {
                    panic!("both fit");
                };
                prop_assert_eq!(pick.endpoint(), 0);
                pick.failed(runtime.now());
            }
            let Choice::Replica(pick) = choose(&standings, demand, &all, runtime.now(), &runtime) else {
                panic!("the other fits");
            };
            prop_assert_eq!(pick.endpoint(), 1);
        }
    }
}
