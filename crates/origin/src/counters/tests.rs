//! With time that the tests move, and a store that does what they tell it.

use std::collections::VecDeque;
use std::future::pending;

use pitchey_runtime::ManualRuntime;
use tokio::task::JoinHandle;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What the store is to do with a call.
enum Answer {
    Fail,
    Hang,
}

#[derive(Clone, Default)]
struct FakeIntake {
    state: Arc<Mutex<FakeState>>,
}

#[derive(Default)]
struct FakeState {
    answers: VecDeque<Answer>,
    /// What was asked to be written: kind and number of entries.
    calls: Vec<(&'static str, usize)>,
    views: Vec<View>,
}

impl FakeIntake {
    fn lock(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().expect("no panic")
    }

    fn calls(&self) -> Vec<(&'static str, usize)> {
        self.lock().calls.clone()
    }

    async fn called(&self, kind: &'static str, entries: usize) -> Result<(), StoreError> {
        let answer = {
            let mut state = self.lock();
            state.calls.push((kind, entries));
            state.answers.pop_front()
        };
        match answer {
            None => Ok(()),
            Some(Answer::Fail) => Err(StoreError::Unavailable("on purpose".into())),
            Some(Answer::Hang) => pending().await,
        }
    }
}

impl Intake for FakeIntake {
    async fn record_views(&self, views: &[View]) -> Result<u64, StoreError> {
        self.called("view", views.len()).await?;
        self.lock().views.extend(views);
        Ok(views.len() as u64)
    }

    async fn record_rum(&self, samples: &[RumSample]) -> Result<(), StoreError> {
        self.called("rum", samples.len()).await
    }

    async fn record_events(&self, events: &[AnalyticsEvent]) -> Result<(), StoreError> {
        self.called("event", events.len()).await
    }
}

struct Bench {
    runtime: ManualRuntime,
    intake: FakeIntake,
    counters: BufferedCounters<ManualRuntime>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's task ends with the test"
)]
fn bench(config: &CountersConfig) -> Bench {
    let (runtime, intake) = (ManualRuntime::new(1), FakeIntake::default());
    let (counters, flusher) = counters(config, intake.clone(), runtime.clone());
    let stop = CancellationToken::new();
    Bench {
        task: tokio::spawn(flusher.run(stop.clone())),
        runtime,
        intake,
        counters,
        stop,
    }
}

impl Bench {
    /// Lets the task go on until it waits. The test's runtime has one thread, on which the task
    /// runs whenever the test yields.
    async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn advance(&self, duration: Duration) {
        self.settle().await;
        self.runtime.clock.advance(duration);
        self.settle().await;
    }

    async fn stopped(self) -> FakeIntake {
        self.stop.cancel();
        self.task.await.expect("no panic");
        self.intake
    }
}

fn view(pitch: u128, viewer: u8) -> View {
    View {
        pitch: PitchId(Uuid::from_u128(pitch)),
        viewer: [viewer; 16],
        at: time::macros::datetime!(2026-01-01 12:00 UTC),
    }
}

fn sample(id: u128) -> RumSample {
    RumSample {
        id: Uuid::from_u128(id),
        at: time::macros::datetime!(2026-01-01 12:00 UTC),
        metric: pitchey_model::RumMetric::Lcp,
        value: 1.0,
        route: "/".to_owned(),
        edge_location: String::new(),
        connection: String::new(),
    }
}

#[tokio::test]
async fn what_is_counted_is_written_a_second_after_the_first() {
    let bench = bench(&CountersConfig::default());
    bench.counters.view(view(1, 1));
    bench.advance(SECOND / 2).await;
    bench.counters.view(view(2, 1));
    bench.counters.rum(vec![sample(1), sample(2)]);
    bench.advance(Duration::from_millis(499)).await;
    assert_eq!(bench.intake.calls(), []);
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(bench.intake.calls(), [("view", 2)]);
    bench.advance(SECOND / 2).await;
    assert_eq!(bench.intake.calls(), [("view", 2), ("rum", 2)]);
}

#[tokio::test]
async fn a_whole_batch_is_written_at_once() {
    let bench = bench(&CountersConfig {
        batch: 3,
        ..CountersConfig::default()
    });
    bench.settle().await;
    for pitch in 0..7 {
        bench.counters.view(view(pitch, 1));
    }
    bench.settle().await;
    assert_eq!(bench.intake.calls(), [("view", 3), ("view", 3)]);
    bench.advance(SECOND).await;
    assert_eq!(bench.intake.calls().last(), Some(&("view", 1)));
}

#[tokio::test]
async fn the_same_viewer_is_written_once_for_each_pitch_and_day() {
    let bench = bench(&CountersConfig::default());
    let tomorrow = View {
        at: view(1, 1).at + time::Duration::DAY,
        ..view(1, 1)
    };
    let later = View {
        at: view(1, 1).at + time::Duration::HOUR,
        ..view(1, 1)
    };
    for view in [
        view(1, 1),
        view(1, 1),
        later,
        view(1, 2),
        view(2, 1),
        tomorrow,
    ] {
        bench.counters.view(view);
    }
    bench.advance(SECOND).await;
    let expected = [view(1, 1), view(1, 2), view(2, 1), tomorrow];
    assert_eq!(bench.intake.lock().views, expected);
}

#[tokio::test]
async fn what_the_store_refuses_is_tried_again() {
    let bench = bench(&CountersConfig::default());
    bench.intake.lock().answers = [Answer::Fail, Answer::Fail].into();
    bench.counters.view(view(1, 1));
    bench.advance(SECOND).await;
    assert_eq!(bench.intake.calls().len(), 1);
    bench.counters.view(view(2, 1));
    bench.advance(SECOND).await;
    assert_eq!(bench.intake.calls().len(), 2);
    bench.advance(SECOND).await;
    assert_eq!(
        bench.intake.calls(),
        [("view", 1), ("view", 2), ("view", 2)]
    );
    assert_eq!(bench.intake.lock().views, [view(1, 1), view(2, 1)]);
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_and_tried_again() {
    let config = CountersConfig::default();
    let bench = bench(&config);
    bench.intake.lock().answers = [Answer::Hang].into();
    bench.counters.view(view(1, 1));
    bench.advance(SECOND).await;
    bench.advance(config.write_timeout()).await;
    bench.advance(SECOND).await;
    assert_eq!(bench.intake.lock().views, [view(1, 1)]);
}

#[tokio::test]
async fn counting_never_waits_and_what_has_no_room_is_dropped() {
    let bench = bench(&CountersConfig {
        max_rum: 2,
        ..CountersConfig::default()
    });
    bench.counters.rum((0..5).map(sample).collect());
    bench.advance(SECOND).await;
    assert_eq!(bench.intake.calls(), [("rum", 2)]);
    bench.counters.rum(vec![sample(9)]);
    bench.advance(SECOND).await;
    assert_eq!(bench.intake.calls(), [("rum", 2), ("rum", 1)]);
}

#[tokio::test]
async fn a_clean_stop_writes_everything() {
    let bench = bench(&CountersConfig {
        batch: 3,
        ..CountersConfig::default()
    });
    for pitch in 0..2 {
        bench.counters.view(view(pitch, 1));
    }
    bench.counters.rum(vec![sample(1)]);
    let intake = bench.stopped().await;
    assert_eq!(intake.calls(), [("view", 2), ("rum", 1)]);
}

#[tokio::test]
async fn a_stop_tries_again_until_its_patience_ends() {
    let config = CountersConfig::default();
    let bench = bench(&config);
    bench.intake.lock().answers = [Answer::Fail, Answer::Fail].into();
    bench.counters.view(view(1, 1));
    bench.stop.cancel();
    bench.advance(STOP_PAUSE).await;
    bench.advance(STOP_PAUSE).await;
    assert_eq!(bench.stopped().await.lock().views, [view(1, 1)]);
}

#[tokio::test]
async fn a_stop_ends_even_if_the_store_hangs() {
    let config = CountersConfig::default();
    let bench = bench(&config);
    bench.intake.lock().answers = [Answer::Hang, Answer::Hang].into();
    bench.counters.view(view(1, 1));
    bench.stop.cancel();
    bench.advance(config.stop_timeout()).await;
    assert!(bench.stopped().await.lock().views.is_empty());
}
