//! Choosing among replicas or origins, and leaving out those that do badly.
//!
//! Sources: the choice is by Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", 2001, with the load as Finagle's Peak EWMA sees it (calls inside times latency,
//! which ages); ejection follows Envoy's outlier detection. Unlike a breaker it compares, and never
//! ejects more than half.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_runtime::{Monotonic, Random};

/// When to eject, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// Ejected after so many failures in a row.
    pub consecutive_failures: u32,
    /// Ejected when it takes so many times as long as the median of the others.
    pub latency_factor: u32,
    /// Latencies below this never eject.
    pub tolerated_latency: Duration,
    /// Latency ejects only after so many calls since it came back.
    pub minimum_calls: u32,
    /// How long it is ejected at first; twice as long each time in a row.
    pub ejection: Duration,
    /// How long it is ejected at most.
    pub longest_ejection: Duration,
}

impl Default for OutlierConfig {
    /// Five failures in a row, or three times as slow as the others and above 50 ms over 20 calls;
    /// for 5 s, growing to 60 s.
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            latency_factor: 3,
            tolerated_latency: Duration::from_millis(50),
            minimum_calls: 20,
            ejection: Duration::from_secs(5),
            longest_ejection: Duration::from_mins(1),
        }
    }
}

/// An endpoint was ejected: for the log and for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Which one.
    pub endpoint: usize,
    /// When it is chosen again.
    pub until: Monotonic,
}

/// Endpoints that can do the same work, known by their numbers. Clones share the same state.
#[derive(Clone)]
pub struct Endpoints {
    shared: Arc<Mutex<State>>,
}

struct State {
    config: OutlierConfig,
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Copy, Default)]
struct Endpoint {
    in_flight: usize,
    failures: u32,
    /// Calls that succeeded since the start or the last ejection.
    calls: u32,
    latency: Option<Latency>,
    ejected_until: Option<Monotonic>,
    /// Ejections without enough calls in between.
    ejections: u32,
}

/// An average of latencies in seconds, of which old ones weigh less.
#[derive(Clone, Copy)]
struct Latency {
    average: f64,
    at: Monotonic,
}

impl Latency {
    /// After so many seconds a latency weighs a third.
    const MEMORY: f64 = 10.0;
    /// Of many calls at once, too, the last ones matter most.
    const LEAST_WEIGHT: f64 = 0.1;

    fn observe(&mut self, latency: f64, now: Monotonic) {
        let weight = (1.0 - self.fresh(now)).max(Self::LEAST_WEIGHT);
        self.average += (latency - self.average) * weight;
        self.at = self.at.max(now);
    }

    /// The latency that is feared: what nobody has tried for long is worth another try.
    fn aged(self, now: Monotonic) -> f64 {
        self.average * self.fresh(now)
    }

    fn fresh(self, now: Monotonic) -> f64 {
        (-(now - self.at).as_secs_f64() / Self::MEMORY).exp()
    }
}

impl Endpoints {
    /// `count` endpoints, none of them ejected.
    pub fn new(count: NonZeroUsize, config: OutlierConfig) -> Self {
        Self {
            shared: Arc::new(Mutex::new(State {
                config,
                endpoints: vec![Endpoint::default(); count.get()],
            })),
        }
    }

    /// Chooses one that is `eligible` and not ejected: of two at random the one with less to do.
    /// There may be none, though half of them are never ejected, if no other is eligible.
    pub fn pick(
        &self,
        now: Monotonic,
        random: &impl Random,
        eligible: impl Fn(usize) -> bool,
    ) -> Option<Pick> {
        let mut state = lock(&self.shared);
        let healthy: Vec<usize> = (0..state.endpoints.len())
            .filter(|index| !state.endpoints[*index].ejected(now) && eligible(*index))
            .collect();
        let first = draw(healthy.len(), random)?;
        let mut chosen = healthy[first];
        if let Some(step) = draw(healthy.len() - 1, random) {
            let other = healthy[(first + 1 + step) % healthy.len()];
            if state.load(other, now) < state.load(chosen, now) {
                chosen = other;
            }
        }
        state.endpoints[chosen].in_flight += 1;
        Some(Pick {
            shared: self.shared.clone(),
            endpoint: chosen,
            begun: now,
        })
    }

    /// Which endpoints are ejected.
    pub fn ejected(&self, now: Monotonic) -> Vec<usize> {
        let state = lock(&self.shared);
        (0..state.endpoints.len())
            .filter(|index| state.endpoints[*index].ejected(now))
            .collect()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoints")
            .field("count", &lock(&self.shared).endpoints.len())
            .finish_non_exhaustive()
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic in a caller's `eligible` happens before anything is changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A random number below `count`.
fn draw(count: usize, random: &impl Random) -> Option<usize> {
    // The bias of the remainder is too small to be seen for any number of endpoints.
    let drawn = random.next_u64().checked_rem(count as u64)?;
    usize::try_from(drawn).ok()
}

impl State {
    /// What a further call would add to, in seconds. What was never tried is taken for average.
    fn load(&self, index: usize, now: Monotonic) -> f64 {
        let endpoint = &self.endpoints[index];
        let latency = match endpoint.latency {
            Some(latency) => latency.aged(now),
            None => self.median_of_others(index, now, |latency| latency.aged(now)),
        };
        latency.max(f64::MIN_POSITIVE) * (endpoint.in_flight + 1) as f64
    }

    /// The median over the others that are not ejected and have been tried; zero if there is none.
    fn median_of_others(&self, index: usize, now: Monotonic, read: impl Fn(Latency) -> f64) -> f64 {
        let mut others: Vec<f64> = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(other, endpoint)| *other != index && !endpoint.ejected(now))
            .filter_map(|(_, endpoint)| endpoint.latency.map(&read))
            .collect();
        others.sort_unstable_by(f64::total_cmp);
        others.get(others.len() / 2).copied().unwrap_or(0.0)
    }

    fn succeeded(&mut self, index: usize, took: Duration, now: Monotonic) -> Option<Ejection> {
        let config = self.config;
        let took = took.as_secs_f64();
        let endpoint = &mut self.endpoints[index];
        if endpoint.ejected(now) {
            return None;
        }
        endpoint.failures = 0;
        endpoint.calls = endpoint.calls.saturating_add(1);
        let latency = endpoint.latency.get_or_insert(Latency {
            average: took,
            at: now,
        });
        latency.observe(took, now);
        let average = latency.average;
        if endpoint.calls < config.minimum_calls {
            return None;
        }
        let usual = self.median_of_others(index, now, |latency| latency.average);
        let slow = average > config.tolerated_latency.as_secs_f64()
            && usual > 0.0
            && average > usual * f64::from(config.latency_factor);
        if slow {
            return self.eject(index, now);
        }
        self.endpoints[index].ejections = 0;
        None
    }

    fn failed(&mut self, index: usize, now: Monotonic) -> Option<Ejection> {
        let endpoint = &mut self.endpoints[index];
        // What ends now began before the ejection, and was paid for by it.
        if endpoint.ejected(now) {
            return None;
        }
        endpoint.failures = endpoint.failures.saturating_add(1);
        if endpoint.failures < self.config.consecutive_failures {
            return None;
        }
        self.eject(index, now)
    }

    /// Ejects it, unless half of all are ejected.
    fn eject(&mut self, index: usize, now: Monotonic) -> Option<Ejection> {
        let ejected = self.endpoints.iter().filter(|other| other.ejected(now));
        if ejected.count() >= self.endpoints.len() / 2 {
            return None;
        }
        let endpoint = &mut self.endpoints[index];
        let doubled = 1_u32.checked_shl(endpoint.ejections).unwrap_or(u32::MAX);
        let ejection = self.config.ejection.saturating_mul(doubled);
        let until = now + ejection.min(self.config.longest_ejection);
        *endpoint = Endpoint {
            in_flight: endpoint.in_flight,
            ejections: endpoint.ejections.saturating_add(1),
            ejected_until: Some(until),
            ..Endpoint::default()
        };
        Some(Ejection {
            endpoint: index,
            until,
        })
    }
}

impl Endpoint {
    fn ejected(&self, now: Monotonic) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }
}

/// A call to the endpoint that was chosen. Dropped without a result it counts as nothing.
#[must_use = "a pick that is dropped counts as nothing"]
pub struct Pick {
    shared: Arc<Mutex<State>>,
    endpoint: usize,
    begun: Monotonic,
}

impl Pick {
    /// Which endpoint to call.
    pub fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// It answered. It may still be ejected, for being slow.
    pub fn succeeded(self, now: Monotonic) -> Option<Ejection> {
        lock(&self.shared).succeeded(self.endpoint, now - self.begun, now)
    }

    /// It failed, or was not in time.
    pub fn failed(self, now: Monotonic) -> Option<Ejection> {
        lock(&self.shared).failed(self.endpoint, now)
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        lock(&self.shared).endpoints[self.endpoint].in_flight -= 1;
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pick")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
