//! What runs beside the answers: writing what was counted, relaying the outbox, the duties, and
//! knowing how far replicas are.

use std::time::Duration;

use pitchey_api::ports::Counters;
use pitchey_runtime::{SystemRuntime, timeout};
use pitchey_store_pg::PgStore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::caches::OriginCaches;
use crate::config::{CountersConfig, DutiesConfig};
use crate::counters::counters;
use crate::duties::Duties;
use crate::relay::{Deliveries, ROUND_TIMEOUT, Relay};
use crate::rooms::HttpRooms;

/// What ending takes beyond the deadlines of what is ended.
const GRACE: Duration = Duration::from_secs(1);

/// The tasks, which end when this is dropped.
pub struct Background {
    runtime: SystemRuntime,
    flusher: Part,
    relay: Part,
    duties: Part,
    replicas: Part,
    caches: Option<Part>,
}

/// A task that does not end by itself.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    /// Of the one task, so that it is aborted when this is dropped.
    task: JoinSet<()>,
    /// How long it may take to end.
    patience: Duration,
}

impl Background {
    /// Starts everything over `store`. The counters are what the handlers count with.
    pub fn start(
        store: &PgStore,
        counting: &CountersConfig,
        duties: &DutiesConfig,
        caches: Option<&OriginCaches>,
        rooms: Option<HttpRooms>,
        runtime: SystemRuntime,
    ) -> (impl Counters + 'static, Self) {
        let (counters, flusher) = counters(counting, store.clone(), runtime);
        let relay = Relay {
            outbox: store.clone(),
            deliver: Deliveries::new(store.clone(), caches.cloned(), rooms),
            runtime,
        };
        let duties = Duties::new(store.clone(), duties.clone(), runtime);
        let following = caches.cloned().map(|caches| {
            let store = store.clone();
            Part::start("caches", Duration::ZERO, |stop| caches.run(store, stop))
        });
        let flushing = counting.write_timeout() + counting.stop_timeout();
        let background = Self {
            runtime,
            flusher: Part::start("counters", flushing, |stop| flusher.run(stop)),
            relay: Part::start("relay", ROUND_TIMEOUT, |stop| relay.run(stop)),
            replicas: {
                let store = store.clone();
                Part::start("replicas", Duration::ZERO, |stop| async move {
                    stop.run_until_cancelled(store.watch_replicas()).await;
                })
            },
            // What is cut off is undone, and done another time.
            duties: Part::start("duties", Duration::ZERO, |stop| async move {
                stop.run_until_cancelled(duties.run()).await;
            }),
            caches: following,
        };
        (counters, background)
    }

    /// Waits until a part has ended that should not have, and names it: it has panicked.
    pub async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = self.flusher.task.join_next() => self.flusher.name,
            _ = self.relay.task.join_next() => self.relay.name,
            _ = self.duties.task.join_next() => self.duties.name,
            name = ended(&mut self.caches) => name,
            _ = self.replicas.task.join_next() => self.replicas.name,
        }
    }

    /// Ends everything in order, once nothing is answered any more: what was counted is written, and
    /// what that and the last changes left in the outbox is relayed as far as a round goes.
    pub async fn stop(self) {
        self.duties.end(self.runtime).await;
        self.replicas.end(self.runtime).await;
        self.flusher.end(self.runtime).await;
        self.relay.end(self.runtime).await;
        if let Some(caches) = self.caches {
            caches.end(self.runtime).await;
        }
    }
}

/// The name of a part once it has ended; a part that there is not never ends.
async fn ended(part: &mut Option<Part>) -> &'static str {
    match part {
        Some(part) => {
            part.task.join_next().await;
            part.name
        }
        None => std::future::pending().await,
    }
}

impl Part {
    fn start<F: Future<Output = ()> + Send + 'static>(
        name: &'static str,
        patience: Duration,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(run(stop.clone()));
        Self {
            name,
            stop,
            task,
            patience: patience + GRACE,
        }
    }

    async fn end(mut self, runtime: SystemRuntime) {
        self.stop.cancel();
        let ended = timeout(&runtime, self.patience, self.task.join_next()).await;
        if ended.is_err() {
            tracing::warn!(part = self.name, "does not end and is cut off");
        }
    }
}
