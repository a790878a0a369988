//! What a breaker decides, without the lock and the listener around it.

use std::collections::VecDeque;
use std::time::Duration;

use pitchey_runtime::Monotonic;

use super::{BreakerConfig, BreakerOpen, Phase};

pub(super) struct Machine {
    config: BreakerConfig,
    state: State,
    /// Goes up with every change of state: a call that began before tells nothing about now.
    generation: u64,
    /// How often it opened since it was last closed.
    openings: u32,
}

enum State {
    Closed(Window),
    Open { until: Monotonic },
    HalfOpen { out: usize, ended: Counts },
    Forced { open: bool },
}

/// The last calls, oldest first.
#[derive(Default)]
struct Window {
    calls: VecDeque<Ended>,
    counts: Counts,
}

#[derive(Clone, Copy)]
struct Ended {
    at: Monotonic,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    all: usize,
    failed: usize,
    slow: usize,
}

impl Counts {
    fn add(&mut self, call: Ended) {
        self.all += 1;
        self.failed += usize::from(call.failed);
        self.slow += usize::from(call.slow);
    }

    fn remove(&mut self, call: Ended) {
        self.all -= 1;
        self.failed -= usize::from(call.failed);
        self.slow -= usize::from(call.slow);
    }

    /// Whether, of `all` calls, these are too many that failed or were slow.
    fn exceed(self, config: &BreakerConfig, all: usize) -> bool {
        let reaches = |count: usize, percent: usize| count > 0 && count * 100 >= percent * all;
        reaches(self.failed, config.failure_percent) || reaches(self.slow, config.slow_percent)
    }
}

impl Machine {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: State::Closed(Window::default()),
            generation: 0,
            openings: 0,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Closed(_) => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
            State::Forced { open: true } => Phase::ForcedOpen,
            State::Forced { open: false } => Phase::ForcedClosed,
        }
    }

    /// Lets a call through and names the generation that its result belongs to.
    pub(super) fn admit(&mut self, now: Monotonic) -> Result<u64, BreakerOpen> {
        if let State::Open { until } = self.state {
            if now < until {
                return Err(BreakerOpen {
                    retry_after: until - now,
                });
            }
            self.enter(State::HalfOpen {
                out: 0,
                ended: Counts::default(),
            });
        }
        let refused = BreakerOpen {
            retry_after: self.config.open,
        };
        match &mut self.state {
            State::HalfOpen { out, ended } => {
                if *out + ended.all >= self.config.half_open_calls.max(1) {
                    return Err(refused);
                }
                *out += 1;
            }
            State::Forced { open: true } => return Err(refused),
            _ => {}
        }
        Ok(self.generation)
    }

    /// Counts a call that ended.
    pub(super) fn record(&mut self, generation: u64, failed: bool, took: Duration, now: Monotonic) {
        if generation != self.generation {
            return;
        }
        let config = self.config;
        let call = Ended {
            at: now,
            failed,
            slow: took >= config.slow_call,
        };
        match &mut self.state {
            State::Closed(window) => {
                window.push(call, &config);
                let counts = window.counts;
                if counts.all >= config.minimum_calls && counts.exceed(&config, counts.all) {
                    self.open(now);
                }
            }
            State::HalfOpen { out, ended } => {
                *out -= 1;
                ended.add(call);
                let (ended, trial) = (*ended, config.half_open_calls.max(1));
                // The rates are those of the whole trial, so that it may fail before its end.
                if ended.exceed(&config, trial) {
                    self.open(now);
                } else if ended.all >= trial {
                    self.close();
                }
            }
            State::Open { .. } | State::Forced { .. } => {}
        }
    }

    /// Gives back the permit of a call without a result.
    pub(super) fn cancel(&mut self, generation: u64) {
        if generation == self.generation
            && let State::HalfOpen { out, .. } = &mut self.state
        {
            *out -= 1;
        }
    }

    pub(super) fn close(&mut self) {
        self.openings = 0;
        self.enter(State::Closed(Window::default()));
    }

    pub(super) fn force(&mut self, open: bool) {
        self.enter(State::Forced { open });
    }

    fn open(&mut self, now: Monotonic) {
        let doubled = 1_u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        self.openings = self.openings.saturating_add(1);
        let open = self.config.open.saturating_mul(doubled);
        self.enter(State::Open {
            until: now + open.min(self.config.longest_open),
        });
    }

    fn enter(&mut self, state: State) {
        self.generation += 1;
        self.state = state;
    }
}

impl Window {
    fn push(&mut self, call: Ended, config: &BreakerConfig) {
        self.calls.push_back(call);
        self.counts.add(call);
        while let Some(oldest) = self.calls.front().copied()
            && (self.calls.len() > config.calls || call.at - oldest.at >= config.window)
        {
            self.calls.pop_front();
            self.counts.remove(oldest);
        }
    }
}
