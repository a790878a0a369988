//! The outbox relay: delivers what changes have left behind, at least once.
//!
//! Every origin has one, and they share the work. It is woken at once by what its own process
//! writes, and by what an operator writes over LISTEN; and it looks by itself every second, for what
//! an origin that was killed has left. Only the last is needed, so a failure of the others costs
//! time alone.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pitchey_cache::SharedError;
use pitchey_model::event::Event;
use pitchey_realtime::RoomName;
use pitchey_runtime::{Clock, Random, SystemRuntime, Timer, timeout};
use pitchey_store::{Freshness as _, StoreError};
use pitchey_store_pg::{OutboxEvent, OutboxStatus, OutboxTag, PgStore, RelayRound};
use pitchey_tiers::RedisRooms;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::caches::OriginCaches;
use crate::chain::Chain;
use crate::rooms::{HttpRooms, publication_id};

/// Rows that were delivered. Label: `kind` (`tags`, `events`).
const DELIVERED: &str = "outbox_delivered_total";
/// Rows that were handed over and not delivered, and rounds that failed. Label: `kind`.
const FAILURES: &str = "outbox_delivery_failures_total";
/// Rows to be delivered, counted up to 100,000. Label: `kind`.
const PENDING: &str = "outbox_pending";
/// The age of the oldest of them. Label: `kind`.
const OLDEST_AGE: &str = "outbox_oldest_age_seconds";

/// Tags, or aggregates, of one round.
const ROUND: i64 = 500;

/// How often the relay looks by itself.
const POLL: Duration = Duration::from_secs(1);

/// How long one delivery may take: well below the server's limit for idle transactions, for the
/// rows are held meanwhile.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a round may take with its statements.
pub const ROUND_TIMEOUT: Duration = Duration::from_secs(15);

/// How often it is told how far deliveries are behind, and how long asking may take.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses after rounds that failed.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
};

/// The pauses after a failure to listen, and how long connecting may take.
const LISTEN_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(30),
};
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Where deliveries go. Each call gives back the numbers of those that are done; the others come
/// again. What is delivered may have been delivered before.
pub trait Deliver: Send + Sync + 'static {
    /// Drops what is cached under these tags.
    fn tags(&self, tags: Vec<OutboxTag>) -> impl Future<Output = Vec<i64>> + Send;

    /// Tells those who listen, in order. What follows one that is not done in its aggregate counts
    /// as not done.
    fn events(&self, events: Vec<OutboxEvent>) -> impl Future<Output = Vec<i64>> + Send;
}

/// Delivers tags to the caches, and events to the rooms: of the hubs over Redis, and of whoever is told by
/// HTTP. Without either events go to the log alone: nobody could be told.
#[derive(Clone)]
pub struct Deliveries {
    store: PgStore,
    caches: Option<OriginCaches>,
    rooms: Option<HttpRooms>,
}

impl Deliveries {
    /// To these caches and rooms, if there are any. `store` tells where in its log the changes stand.
    pub fn new(store: PgStore, caches: Option<OriginCaches>, rooms: Option<HttpRooms>) -> Self {
        Self {
            store,
            caches,
            rooms,
        }
    }
}

impl Deliver for Deliveries {
    async fn tags(&self, tags: Vec<OutboxTag>) -> Vec<i64> {
        let ids = tags.iter().map(|tag| tag.id).collect();
        let Some(caches) = &self.caches else {
            return ids;
        };
        // Without the position a cache might be filled from a replica that has not seen the changes.
        let Ok(position) = self.store.written_position().await else {
            return Vec::new();
        };
        if caches.deliver(&tags, position).await {
            ids
        } else {
            Vec::new()
        }
    }

    async fn events(&self, events: Vec<OutboxEvent>) -> Vec<i64> {
        let mut events = events;
        if let Some(rooms) = &self.rooms {
            let (told, error) = rooms.tell(&events).await;
            if let Some(error) = error {
                let id = events.get(told).map(|event| event.id);
                tracing::warn!(id, error = %Chain(&error), "an event cannot be told");
            }
            events.truncate(told);
        }
        let rooms = self.caches.as_ref().and_then(OriginCaches::rooms);
        let mut done = Vec::with_capacity(events.len());
        for event in events {
            if let Some(rooms) = &rooms
                && let Err(error) = tell(rooms, &event).await
            {
                tracing::warn!(id = event.id, %error, "an event cannot be told");
                break;
            }
            // What is in an event is not for the log.
            tracing::debug!(
                id = event.id,
                kind = event.event_kind,
                aggregate = %event.aggregate_id,
                "event delivered"
            );
            done.push(event.id);
        }
        done
    }
}

/// Publishes an event in its rooms: in each once, however often it is delivered within an hour.
async fn tell(rooms: &RedisRooms<SystemRuntime>, event: &OutboxEvent) -> Result<(), SharedError> {
    let happened: Event = match serde_json::from_str(&event.payload) {
        Ok(happened) => happened,
        Err(error) => {
            // Of a newer origin: told again, it would be understood no better.
            tracing::warn!(id = event.id, %error, "an event is not understood");
            return Ok(());
        }
    };
    for (room, data) in happened.told_in() {
        let Some(name) = RoomName::new(&room) else {
            continue;
        };
        let id = publication_id(event, &room);
        rooms.append(&name, data.as_bytes(), Some(&id)).await?;
    }
    Ok(())
}

/// Where deliveries come from: the rows of the outbox, held while they are delivered.
pub trait Outbox: Send + Sync {
    /// Hands tags over to `deliver`, and marks those that come back.
    fn tag_round<D: Deliver>(
        &self,
        delivery: Delivery<'_, D, impl Timer + Sync>,
    ) -> impl Future<Output = Result<RelayRound, StoreError>> + Send;

    /// Hands events over to `deliver`, and marks those that come back.
    fn event_round<D: Deliver>(
        &self,
        delivery: Delivery<'_, D, impl Timer + Sync>,
    ) -> impl Future<Output = Result<RelayRound, StoreError>> + Send;

    /// How far deliveries are behind.
    fn status(&self) -> impl Future<Output = Result<OutboxStatus, StoreError>> + Send;

    /// Calls `wake` whenever this process has written to the outbox. Never ends.
    fn own_writes(&self, wake: impl Fn() + Send) -> impl Future<Output = ()> + Send;

    /// Calls `wake` whenever another process says that it has written, until listening fails.
    fn listen(&self, wake: impl Fn() + Send) -> impl Future<Output = StoreError> + Send;
}

/// One delivery, which ends in time.
pub struct Delivery<'a, D, T> {
    deliver: &'a D,
    timer: &'a T,
}

impl<D: Deliver, T: Timer + Sync> Delivery<'_, D, T> {
    /// Delivers tags.
    pub async fn tags(self, tags: Vec<OutboxTag>) -> Vec<i64> {
        let delivering = self.deliver.tags(tags);
        let delivered = timeout(self.timer, DELIVERY_TIMEOUT, delivering).await;
        delivered.unwrap_or_default()
    }

    /// Delivers events.
    pub async fn events(self, events: Vec<OutboxEvent>) -> Vec<i64> {
        let delivering = self.deliver.events(events);
        let delivered = timeout(self.timer, DELIVERY_TIMEOUT, delivering).await;
        delivered.unwrap_or_default()
    }
}

impl Outbox for PgStore {
    async fn tag_round<D: Deliver>(
        &self,
        delivery: Delivery<'_, D, impl Timer + Sync>,
    ) -> Result<RelayRound, StoreError> {
        self.relay_tags(ROUND, |tags| delivery.tags(tags)).await
    }

    async fn event_round<D: Deliver>(
        &self,
        delivery: Delivery<'_, D, impl Timer + Sync>,
    ) -> Result<RelayRound, StoreError> {
        self.relay_events(ROUND, |events| delivery.events(events))
            .await
    }

    async fn status(&self) -> Result<OutboxStatus, StoreError> {
        self.outbox_status().await
    }

    async fn own_writes(&self, wake: impl Fn() + Send) {
        let mut writes = self.outbox_written();
        loop {
            writes.next().await;
            wake();
        }
    }

    async fn listen(&self, wake: impl Fn() + Send) -> StoreError {
        let mut listener = match self.listen_outbox().await {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        loop {
            // Something may have been said before anybody listened.
            wake();
            if let Err(error) = listener.woken().await {
                return error;
            }
        }
    }
}

/// Relays from `outbox` to `deliver`.
pub struct Relay<O, D, R> {
    /// Where deliveries come from.
    pub outbox: O,
    /// Where they go.
    pub deliver: D,
    /// Time and randomness.
    pub runtime: R,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tags,
    Events,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Events => "events",
        }
    }
}

/// What came of the rounds until nothing was left, or of the first that did not go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounds {
    Done,
    Failed,
}

impl<O, D, R> Relay<O, D, R>
where
    O: Outbox,
    D: Deliver,
    R: Clock + Timer + Random + Send + Sync,
{
    /// Delivers until `stop` is cancelled; the round in flight is brought to its end.
    pub async fn run(self, stop: CancellationToken) {
        let wake = Notify::new();
        let rounds = self.rounds(&wake, &stop);
        // What wakes and what reports ends with the rounds.
        let beside = futures::future::join3(
            self.outbox.own_writes(|| wake.notify_one()),
            self.listen(&wake),
            self.report(),
        );
        tokio::select! {
            biased;
            () = rounds => {}
            _ = beside => {}
        }
    }

    async fn rounds(&self, wake: &Notify, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            // Both in any case: neither is to wait for what keeps the other.
            let tags = self.until_nothing_is_left(Kind::Tags, stop).await;
            let events = self.until_nothing_is_left(Kind::Events, stop).await;
            let waiting = async {
                if (tags, events) == (Rounds::Done, Rounds::Done) {
                    failures = 0;
                    let _ = timeout(&self.runtime, POLL, wake.notified()).await;
                } else {
                    // Not to be cut short: each write would be another failure.
                    let pause = BACKOFF.pause(failures, &self.runtime);
                    failures = failures.saturating_add(1);
                    self.runtime.sleep(pause).await;
                }
            };
            if stop.run_until_cancelled(waiting).await.is_none() {
                return;
            }
        }
    }

    async fn until_nothing_is_left(&self, kind: Kind, stop: &CancellationToken) -> Rounds {
        while !stop.is_cancelled() {
            let Ok(round) = self.round(kind).await else {
                return Rounds::Failed;
            };
            if !round.go_on() {
                let failed = round.taken > round.delivered;
                return if failed { Rounds::Failed } else { Rounds::Done };
            }
        }
        Rounds::Done
    }

    async fn round(&self, kind: Kind) -> Result<RelayRound, ()> {
        let delivery = Delivery {
            deliver: &self.deliver,
            timer: &self.runtime,
        };
        let name = kind.name();
        let round = async {
            match kind {
                Kind::Tags => self.outbox.tag_round(delivery).await,
                Kind::Events => self.outbox.event_round(delivery).await,
            }
        };
        let failed =
            |rows: usize| metrics::counter!(FAILURES, "kind" => name).increment(rows as u64);
        // Boxed: with all that a delivery holds within, the optimised build finds no end to its layout.
        match timeout(&self.runtime, ROUND_TIMEOUT, Box::pin(round)).await {
            Ok(Ok(round)) => {
                metrics::counter!(DELIVERED, "kind" => name).increment(round.delivered as u64);
                let left = round.taken.saturating_sub(round.delivered);
                if left > 0 {
                    failed(left);
                    tracing::warn!(kind = name, rows = left, "not everything was delivered");
                }
                Ok(round)
            }
            Ok(Err(error)) => {
                failed(1);
                tracing::warn!(kind = name, error = %Chain(&error), "nothing can be delivered");
                Err(())
            }
            Err(elapsed) => {
                failed(1);
                tracing::warn!(kind = name, error = %elapsed, "nothing can be delivered");
                Err(())
            }
        }
    }

    /// Listens, and does so again after a failure.
    async fn listen(&self, wake: &Notify) {
        let mut failures = 0;
        loop {
            let heard = AtomicBool::new(false);
            let mut listening = pin!(self.outbox.listen(|| {
                heard.store(true, Ordering::Relaxed);
                wake.notify_one();
            }));
            // Only the beginning has a deadline: silence is what there is to hear most of the time.
            let begun = timeout(&self.runtime, LISTEN_TIMEOUT, listening.as_mut()).await;
            let is_heard = || heard.load(Ordering::Relaxed);
            let error = match begun {
                Ok(error) => Some(error),
                Err(_) if is_heard() => Some(listening.await),
                Err(_) => None,
            };
            if is_heard() {
                failures = 0;
            }
            let error = error.as_ref().map(|error| Chain(error).to_string());
            tracing::debug!(
                error = error.as_deref().unwrap_or("timeout"),
                "cannot listen"
            );
            let pause = LISTEN_BACKOFF.pause(failures, &self.runtime);
            failures = failures.saturating_add(1);
            self.runtime.sleep(pause).await;
        }
    }

    /// Tells from time to time how far deliveries are behind.
    async fn report(&self) {
        loop {
            let status = timeout(&self.runtime, STATUS_TIMEOUT, self.outbox.status()).await;
            if let Ok(Ok(status)) = status {
                for (kind, backlog) in [(Kind::Tags, status.tags), (Kind::Events, status.events)] {
                    let kind = kind.name();
                    metrics::gauge!(PENDING, "kind" => kind).set(backlog.pending as f64);
                    let age = backlog.oldest_s.unwrap_or_default().max(0.0);
                    metrics::gauge!(OLDEST_AGE, "kind" => kind).set(age);
                }
            }
            self.runtime.sleep(STATUS_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests;
