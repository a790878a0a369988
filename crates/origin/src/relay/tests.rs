//! With time that the tests move, and an outbox in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use pitchey_runtime::ManualRuntime;
use pitchey_store_pg::Backlog;
use tokio::task::JoinHandle;

use super::*;

/// Tags by number; the fake has no events.
#[derive(Clone, Default)]
struct FakeOutbox {
    state: Arc<Mutex<State>>,
    written: Arc<Notify>,
    said: Arc<Notify>,
}

#[derive(Default)]
struct State {
    pending: Vec<i64>,
    rounds: usize,
    /// Rounds that are to fail.
    failing: usize,
    deaf: bool,
    listened: usize,
}

impl FakeOutbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn add(&self, ids: impl IntoIterator<Item = i64>) {
        self.lock().pending.extend(ids);
    }
}

fn tag(id: i64) -> OutboxTag {
    OutboxTag {
        id,
        tag: "lists".to_owned(),
        created_at: time::OffsetDateTime::UNIX_EPOCH,
    }
}

impl Outbox for FakeOutbox {
    async fn tag_round<D: Deliver>(
        &self,
        delivery: Delivery<'_, D, impl Timer + Sync>,
    ) -> Result<RelayRound, StoreError> {
        let tags: Vec<OutboxTag> = {
            let mut state = self.lock();
            state.rounds += 1;
            if state.failing > 0 {
                state.failing -= 1;
                return Err(StoreError::Unavailable("on purpose".into()));
            }
            state.pending.iter().take(2).copied().map(tag).collect()
        };
        let taken = tags.len();
        let delivered = delivery.tags(tags).await;
        self.lock().pending.retain(|id| !delivered.contains(id));
        Ok(RelayRound {
            taken,
            delivered: delivered.len(),
        })
    }

    async fn event_round<D: Deliver>(
        &self,
        _: Delivery<'_, D, impl Timer + Sync>,
    ) -> Result<RelayRound, StoreError> {
        Ok(RelayRound::default())
    }

    async fn status(&self) -> Result<OutboxStatus, StoreError> {
        let nothing = Backlog {
            pending: 0,
            oldest_s: None,
            delivered_last_hour: 0,
        };
        Ok(OutboxStatus {
            tags: nothing,
            events: nothing,
            attempts_max: 0,
        })
    }

    async fn own_writes(&self, wake: impl Fn() + Send) {
        loop {
            self.written.notified().await;
            wake();
        }
    }

    async fn listen(&self, wake: impl Fn() + Send) -> StoreError {
        let deaf = {
            let mut state = self.lock();
            state.listened += 1;
            state.deaf
        };
        if deaf {
            return StoreError::Unavailable("on purpose".into());
        }
        loop {
            wake();
            self.said.notified().await;
        }
    }
}

/// Takes what it is given, if it is not told otherwise.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<i64>>>,
    refuse: Arc<Mutex<Vec<i64>>>,
    hold: Option<Arc<Notify>>,
}

impl Receiver {
    fn received(&self) -> Vec<i64> {
        self.received.lock().expect("no panic").clone()
    }
}

impl Deliver for Receiver {
    async fn tags(&self, tags: Vec<OutboxTag>) -> Vec<i64> {
        if let Some(hold) = &self.hold
            && !tags.is_empty()
        {
            hold.notified().await;
        }
        let refuse = self.refuse.lock().expect("no panic").clone();
        let ids: Vec<i64> = tags.into_iter().map(|tag| tag.id).collect();
        let taken: Vec<i64> = ids.into_iter().filter(|id| !refuse.contains(id)).collect();
        self.received.lock().expect("no panic").extend(&taken);
        taken
    }

    async fn events(&self, events: Vec<OutboxEvent>) -> Vec<i64> {
        events.into_iter().map(|event| event.id).collect()
    }
}

struct Bench {
    runtime: ManualRuntime,
    outbox: FakeOutbox,
    receiver: Receiver,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's task ends with the test"
)]
async fn bench(outbox: FakeOutbox, receiver: Receiver) -> Bench {
    let runtime = ManualRuntime::new(1);
    let stop = CancellationToken::new();
    let relay = Relay {
        outbox: outbox.clone(),
        deliver: receiver.clone(),
        runtime: runtime.clone(),
    };
    let bench = Bench {
        task: tokio::spawn(relay.run(stop.clone())),
        runtime,
        outbox,
        receiver,
        stop,
    };
    bench.settle().await;
    bench
}

impl Bench {
    /// Lets the task go on until it waits; the test's runtime has one thread.
    async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn advance(&self, duration: Duration) {
        self.runtime.clock.advance(duration);
        self.settle().await;
    }
}

#[tokio::test]
async fn what_is_there_at_the_start_is_delivered_until_nothing_is_left() {
    let outbox = FakeOutbox::default();
    outbox.add(1..=5);
    let bench = bench(outbox, Receiver::default()).await;
    assert_eq!(bench.receiver.received(), [1, 2, 3, 4, 5]);
    assert!(bench.outbox.lock().pending.is_empty());
}

#[tokio::test]
async fn a_write_of_this_process_is_delivered_at_once() {
    let bench = bench(FakeOutbox::default(), Receiver::default()).await;
    bench.outbox.add([1]);
    bench.outbox.written.notify_one();
    bench.settle().await;
    assert_eq!(bench.receiver.received(), [1]);
}

#[tokio::test]
async fn a_write_that_somebody_told_of_is_delivered_at_once() {
    let bench = bench(FakeOutbox::default(), Receiver::default()).await;
    bench.outbox.add([1]);
    bench.outbox.said.notify_one();
    bench.settle().await;
    assert_eq!(bench.receiver.received(), [1]);
}

#[tokio::test]
async fn a_relay_that_cannot_listen_looks_every_second_and_tries_again_to_listen() {
    let outbox = FakeOutbox::default();
    outbox.lock().deaf = true;
    let bench = bench(outbox, Receiver::default()).await;
    for id in 1..=3 {
        bench.outbox.add([id]);
        bench.advance(POLL).await;
        assert_eq!(bench.receiver.received().last(), Some(&id));
    }
    assert!(bench.outbox.lock().listened > 1);

    bench.outbox.lock().deaf = false;
    bench.advance(LISTEN_BACKOFF.longest).await;
    bench.outbox.add([4]);
    bench.outbox.said.notify_one();
    bench.settle().await;
    assert_eq!(bench.receiver.received().last(), Some(&4));
}

#[tokio::test]
async fn after_failures_the_relay_waits_longer_and_longer_and_then_goes_on() {
    let outbox = FakeOutbox::default();
    outbox.add([1]);
    outbox.lock().failing = 8;
    let bench = bench(outbox, Receiver::default()).await;
    assert_eq!(bench.outbox.lock().rounds, 1);
    // A write does not cut the pause short.
    bench.outbox.written.notify_one();
    bench.settle().await;
    assert_eq!(bench.outbox.lock().rounds, 1);
    let start = bench.runtime.now();
    while bench.receiver.received().is_empty() {
        bench.advance(Duration::from_millis(10)).await;
    }
    // 100, 200, 400, 800, 1600, 3200, 5000 and 5000 ms, or half of each.
    let waited = bench.runtime.now() - start;
    assert!(waited >= Duration::from_millis(8_100), "{waited:?}");
    assert!(waited <= Duration::from_millis(16_500), "{waited:?}");
}

#[tokio::test]
async fn what_was_not_taken_comes_again() {
    let receiver = Receiver::default();
    receiver.refuse.lock().expect("no panic").push(1);
    let outbox = FakeOutbox::default();
    outbox.add([1, 2]);
    let bench = bench(outbox, receiver).await;
    assert_eq!(bench.receiver.received(), [2]);
    bench.receiver.refuse.lock().expect("no panic").clear();
    bench.advance(BACKOFF.first).await;
    assert_eq!(bench.receiver.received(), [2, 1]);
}

#[tokio::test]
async fn a_delivery_that_hangs_is_given_up_and_comes_again() {
    let hold = Arc::new(Notify::new());
    let receiver = Receiver {
        hold: Some(hold.clone()),
        ..Receiver::default()
    };
    let outbox = FakeOutbox::default();
    outbox.add([1]);
    let bench = bench(outbox, receiver).await;
    bench.advance(DELIVERY_TIMEOUT).await;
    bench.advance(BACKOFF.first).await;
    assert!(bench.receiver.received().is_empty());
    hold.notify_one();
    bench.settle().await;
    assert_eq!(bench.receiver.received(), [1]);
}

#[tokio::test]
async fn a_stop_brings_the_round_in_flight_to_its_end() {
    let hold = Arc::new(Notify::new());
    let receiver = Receiver {
        hold: Some(hold.clone()),
        ..Receiver::default()
    };
    let outbox = FakeOutbox::default();
    outbox.add(1..=4);
    let bench = bench(outbox, receiver).await;
    bench.stop.cancel();
    bench.settle().await;
    assert!(!bench.task.is_finished());
    hold.notify_one();
    bench.task.await.expect("no panic");
    assert_eq!(bench.receiver.received(), [1, 2]);
    assert_eq!(bench.outbox.lock().pending, [3, 4], "for the next relay");
}

#[tokio::test]
async fn an_idle_relay_stops_at_once() {
    let bench = bench(FakeOutbox::default(), Receiver::default()).await;
    bench.stop.cancel();
    bench.task.await.expect("no panic");
}
