//! What is done to the database from time to time, by one origin at a time.
//!
//! Every origin has the schedule, and the store's lock lets one of them in. A turn that fails is told
//! and counted, and the next one makes up for it: nothing here is done only once.

use std::future::Future;
use std::time::Duration;

use pitchey_runtime::{Clock, Random, Timer, timeout};
use pitchey_store::StoreError;
use pitchey_store_pg::PgStore;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::chain::Chain;
use crate::config::DutiesConfig;

/// Turns. Labels: `duty`, `outcome` (`done`, `elsewhere`, `failed`, `late`).
const TURNS: &str = "duty_turns_total";
/// How long turns took that were done. Label: `duty`.
const DURATION: &str = "duty_duration_seconds";

/// Rows that a clean-up removes in one transaction.
const CLEAN_UP_BATCH: u32 = 1000;

/// How far before the last turn the next one begins to look for views: they are written a moment
/// after they happened, up to a minute after if the database was away.
const SCORES_SLACK: Duration = Duration::from_mins(2);

/// How far the first turn looks back, for what was viewed while no origin was there to score it.
const FIRST_SCORES: Duration = Duration::from_hours(1);

/// How far any turn looks back, however long the others failed.
const LONGEST_SCORES: Duration = Duration::from_hours(24);

/// Something to be done from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Makes partitions for the time to come.
    Partitions,
    /// Removes what is over.
    CleanUp,
    /// Scores what was viewed.
    Scores,
    /// Brings statistics up to date.
    Statistics,
}

impl Duty {
    const ALL: [Self; 4] = [
        Self::Partitions,
        Self::CleanUp,
        Self::Scores,
        Self::Statistics,
    ];

    /// The name of its lock, and in logs and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::CleanUp => "clean_up",
            Self::Scores => "scores",
            Self::Statistics => "statistics",
        }
    }

    fn interval(self, config: &DutiesConfig) -> Duration {
        Duration::from_millis(match self {
            Self::Partitions => config.partitions_interval_ms,
            Self::CleanUp => config.clean_up_interval_ms,
            Self::Scores => config.scores_interval_ms,
            Self::Statistics => config.statistics_interval_ms,
        })
    }
}

/// What a turn is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What is to be done.
    pub duty: Duty,
    /// The time.
    pub now: OffsetDateTime,
    /// Since when there is something to be done.
    pub since: OffsetDateTime,
}

/// Where duties are done.
pub trait Upkeep: Send + Sync {
    /// Does a duty; `false` if another origin is at it.
    fn turn(&self, turn: Turn) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl Upkeep for PgStore {
    async fn turn(&self, turn: Turn) -> Result<bool, StoreError> {
        let Turn { duty, now, since } = turn;
        let work = async || {
            let name = duty.name();
            match duty {
                Duty::Partitions => {
                    let made = self.ensure_partitions(now).await?;
                    tracing::debug!(duty = name, made, "duty done");
                }
                Duty::CleanUp => {
                    let removed = self.clean_up(now, CLEAN_UP_BATCH).await?;
                    tracing::debug!(duty = name, ?removed, "duty done");
                }
                Duty::Scores => {
                    let changed = self.refresh_scores(since).await?;
                    tracing::debug!(duty = name, ?changed, "duty done");
                }
                Duty::Statistics => {
                    self.refresh_stats().await?;
                    tracing::debug!(duty = name, "duty done");
                }
            }
            Ok(())
        };
        let done = self.with_duty(duty.name(), work).await?;
        done.map_or(Ok(false), |done| done.map(|()| true))
    }
}

/// Duties done at the same time: each takes two connections from the requests.
const AT_ONCE: usize = 2;

/// The schedule.
pub struct Duties<U, R> {
    upkeep: U,
    config: DutiesConfig,
    runtime: R,
    slots: Semaphore,
}

impl<U, R> Duties<U, R>
where
    U: Upkeep,
    R: Clock + Timer + Random + Send + Sync,
{
    /// The schedule of `config` for `upkeep`.
    pub fn new(upkeep: U, config: DutiesConfig, runtime: R) -> Self {
        Self {
            upkeep,
            config,
            runtime,
            slots: Semaphore::new(AT_ONCE),
        }
    }

    /// Does what is due, until dropped: a turn that is cut off is undone.
    pub async fn run(self) {
        let keeping = Duty::ALL.map(|duty| Box::pin(self.keep(duty)));
        futures::future::join_all(keeping).await;
    }

    async fn keep(&self, duty: Duty) {
        let interval = duty.interval(&self.config);
        let mut covered = self.runtime.wall() - FIRST_SCORES;
        // Without its partition nothing can be counted; all else may wait, and origins that start
        // together shall not do it together ever after.
        if duty != Duty::Partitions {
            let share = (self.runtime.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            self.runtime.sleep(interval.mul_f64(share)).await;
        }
        loop {
            // Those that have the slots end in time.
            let slot = self.slots.acquire().await;
            let now = self.runtime.wall();
            let since = (covered - SCORES_SLACK).clamp(now - LONGEST_SCORES, now);
            if self.turn(Turn { duty, now, since }).await {
                covered = now;
            }
            drop(slot);
            self.runtime.sleep(interval).await;
        }
    }

    /// Whether the turn was done here.
    async fn turn(&self, turn: Turn) -> bool {
        let duty = turn.duty.name();
        let outcome = |outcome: &'static str| {
            metrics::counter!(TURNS, "duty" => duty, "outcome" => outcome).increment(1);
        };
        let start = self.runtime.now();
        match timeout(&self.runtime, self.config.timeout(), self.upkeep.turn(turn)).await {
            Ok(Ok(true)) => {
                let seconds = (self.runtime.now() - start).as_secs_f64();
                metrics::histogram!(DURATION, "duty" => duty).record(seconds);
                outcome("done");
                true
            }
            Ok(Ok(false)) => {
                outcome("elsewhere");
                false
            }
            Ok(Err(error)) => {
                outcome("failed");
                tracing::warn!(duty, error = %Chain(&error), "duty failed");
                false
            }
            Err(elapsed) => {
                outcome("late");
                tracing::warn!(duty, error = %elapsed, "duty failed");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use pitchey_runtime::ManualRuntime;

    use super::*;

    #[derive(Clone, Copy)]
    enum Answer {
        Done,
        Elsewhere,
        Fail,
        Hang,
    }

    #[derive(Clone, Default)]
    struct FakeUpkeep {
        turns: Arc<Mutex<Vec<Turn>>>,
        /// What is answered instead of "done".
        answers: Arc<Mutex<HashMap<Duty, Vec<Answer>>>>,
    }

    impl FakeUpkeep {
        fn answer(&self, duty: Duty, answers: &[Answer]) {
            let mut all = self.answers.lock().expect("no panic");
            all.insert(duty, answers.iter().rev().copied().collect());
        }

        fn turns(&self, duty: Duty) -> Vec<Turn> {
            let mut turns = self.turns.lock().expect("no panic").clone();
            turns.retain(|turn| turn.duty == duty);
            turns
        }
    }

    impl Upkeep for FakeUpkeep {
        async fn turn(&self, turn: Turn) -> Result<bool, StoreError> {
            self.turns.lock().expect("no panic").push(turn);
            let answer = self
                .answers
                .lock()
                .expect("no panic")
                .get_mut(&turn.duty)
                .and_then(Vec::pop);
            match answer.unwrap_or(Answer::Done) {
                Answer::Done => Ok(true),
                Answer::Elsewhere => Ok(false),
                Answer::Fail => Err(StoreError::Unavailable("on purpose".into())),
                Answer::Hang => std::future::pending().await,
            }
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    /// Lets time pass in small steps, with the duties polled after each.
    fn pass(upkeep: &FakeUpkeep, time: Duration) -> ManualRuntime {
        pass_with(DutiesConfig::default(), upkeep, time)
    }

    fn pass_with(config: DutiesConfig, upkeep: &FakeUpkeep, time: Duration) -> ManualRuntime {
        let runtime = ManualRuntime::new(1);
        let duties = Duties::new(upkeep.clone(), config, runtime.clone());
        let mut running = std::pin::pin!(duties.run());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let until = runtime.now() + time;
        loop {
            assert!(running.as_mut().poll(&mut context).is_pending());
            let next = runtime
                .clock
                .next_deadline()
                .expect("something is waited for");
            if next > until {
                return runtime;
            }
            runtime.clock.advance(next - runtime.now());
        }
    }

    #[test]
    fn each_duty_is_done_at_its_interval() {
        let upkeep = FakeUpkeep::default();
        pass(&upkeep, MINUTE * 60 * 3);
        for (duty, minutes) in [
            (Duty::Partitions, 60),
            (Duty::CleanUp, 1),
            (Duty::Scores, 1),
            (Duty::Statistics, 10),
        ] {
            let turns = upkeep.turns(duty);
            let at_start = usize::from(duty == Duty::Partitions);
            assert_eq!(turns.len(), 180 / minutes as usize + at_start, "{duty:?}");
            for pair in turns.windows(2) {
                assert_eq!(pair[1].now - pair[0].now, MINUTE * minutes);
            }
        }
    }

    #[test]
    fn partitions_are_made_at_the_start() {
        let upkeep = FakeUpkeep::default();
        pass(&upkeep, Duration::ZERO);
        assert_eq!(upkeep.turns(Duty::Partitions).len(), 1);
        assert!(upkeep.turns(Duty::Statistics).is_empty());
    }

    #[test]
    fn scores_cover_what_was_viewed_since_the_last_turn_that_was_done() {
        let upkeep = FakeUpkeep::default();
        upkeep.answer(
            Duty::Scores,
            &[
                Answer::Done,
                Answer::Done,
                Answer::Fail,
                Answer::Elsewhere,
                Answer::Done,
            ],
        );
        pass(&upkeep, MINUTE * 6);
        let turns = upkeep.turns(Duty::Scores);
        let since = |turn: usize, last: usize| {
            assert_eq!(turns[turn].since, turns[last].now - SCORES_SLACK);
        };
        let first = turns[0].now - turns[0].since;
        assert!(first >= FIRST_SCORES + SCORES_SLACK, "{first}");
        since(1, 0);
        since(2, 1);
        since(3, 1);
        since(4, 1);
        since(5, 4);
    }

    #[test]
    fn a_duty_that_fails_or_hangs_is_tried_again_and_keeps_no_other_waiting() {
        let upkeep = FakeUpkeep::default();
        upkeep.answer(Duty::Partitions, &[Answer::Hang, Answer::Fail]);
        pass(&upkeep, MINUTE * 60 * 3);
        let config = DutiesConfig::default();
        let turns = upkeep.turns(Duty::Partitions);
        assert_eq!(turns.len(), 3);
        assert_eq!(turns[1].now - turns[0].now, MINUTE * 60 + config.timeout());
        assert_eq!(upkeep.turns(Duty::CleanUp).len(), 180);
    }

    #[test]
    fn no_more_than_two_are_done_at_once() {
        let upkeep = FakeUpkeep::default();
        upkeep.answer(Duty::CleanUp, &[Answer::Hang]);
        upkeep.answer(Duty::Scores, &[Answer::Hang]);
        let config = DutiesConfig {
            statistics_interval_ms: 60_000,
            ..DutiesConfig::default()
        };
        let timeout = config.timeout();
        pass_with(config, &upkeep, MINUTE * 60 * 3);
        let turns = upkeep.turns.lock().expect("no panic").clone();
        let hang = |duty| upkeep.turns(duty)[0].now;
        let (first, second) = (hang(Duty::CleanUp), hang(Duty::Scores));
        let begun = first.max(second);
        let freed = first.min(second) + timeout;
        let between = |turn: &&Turn| begun < turn.now && turn.now < freed;
        let meanwhile: Vec<_> = turns.iter().filter(between).collect();
        assert!(meanwhile.is_empty(), "{meanwhile:?}");
        assert_eq!(upkeep.turns(Duty::Partitions).len(), 4);
    }
}
