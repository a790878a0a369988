//! Replicas that answer reads: what is known of them, and keeping it known.
//!
//! Replicas are compared with the primary by positions of one log. After a failover in which a replica
//! became the primary, restart this process with the new configuration: a former primary is no replica
//! here, but one that follows another history is not noticed.

mod choose;
mod lag;

use crate::PgStore;
use crate::config::{PoolConfig, ReplicaConfig};
use crate::endpoint::Endpoint;
use crate::error::{Failure, is_dead_connection};
use crate::pool::{ConnectError, connect_options};
use choose::{Choice, Demand, Standing, choose};
use lag::{Lag, Written};
use pitchey_model::WalPosition;
use pitchey_resilience::{
    Breaker, BreakerConfig, Call, Endpoints, OutlierConfig, Pick, RetryBudget,
};
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime, Timer as _, timeout};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How far replicas are behind, in seconds. Label: `endpoint`.
const LAG: &str = "db_replica_lag_seconds";
/// Whether a replica is told of as alive (1) or not (0). Label: `endpoint`.
const UP: &str = "db_replica_up";
/// How often a replica was left out for failures or slowness. Label: `endpoint`.
const EJECTIONS: &str = "db_replica_ejections_total";

/// How often each server is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long it may take to answer; connecting included.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// What was told longer ago counts no more: the one who asks is not running.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// Extra reads on the primary, as a share of all reads of replicas.
const BUDGET_PERCENT: u32 = 10;

/// The replicas of a store.
#[derive(Debug)]
pub(crate) struct Replicas {
    all: Vec<Replica>,
    endpoints: Endpoints,
    budget: RetryBudget,
    written: Mutex<Written>,
    /// To ask the primary.
    control: PgPool,
    clock: SystemRuntime,
    max_lag: Duration,
    ask_timeout: Duration,
    patience: Duration,
}

#[derive(Debug)]
struct Replica {
    endpoint: Arc<Endpoint>,
    distance: u32,
    breaker: Breaker,
    /// To ask it how far it is, however busy its pool is.
    control: PgPool,
    told: watch::Sender<Told>,
    /// Held by the one who asks on demand, so that those who come meanwhile wait for the same answer.
    asking: tokio::sync::Mutex<()>,
}

/// What a replica told last.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    replayed: Option<WalPosition>,
    at: Option<Monotonic>,
    /// How often it has told something.
    times: u64,
}

impl Replicas {
    pub(crate) fn new(
        primary: PgConnectOptions,
        replicas: &[ReplicaConfig],
        config: &PoolConfig,
        clock: SystemRuntime,
    ) -> Result<Option<Arc<Self>>, ConnectError> {
        let Some(count) = NonZeroUsize::new(replicas.len()) else {
            return Ok(None);
        };
        let all = replicas
            .iter()
            .map(|replica| {
                let options = connect_options(&replica.url, config)?;
                Ok(Replica {
                    control: control(options.clone()),
                    endpoint: Endpoint::new(&replica.name, options, config, clock),
                    distance: replica.distance,
                    breaker: Breaker::new(BreakerConfig::default()),
                    told: watch::Sender::default(),
                    asking: tokio::sync::Mutex::default(),
                })
            })
            .collect::<Result<Vec<_>, ConnectError>>()?;
        // It begins full, and holds what a replica can have in flight.
        let reserve = config.max_connections.max(10);
        let budget = RetryBudget::new(BUDGET_PERCENT, reserve);
        for _ in 0..reserve * 100 / BUDGET_PERCENT {
            budget.deposit();
        }
        Ok(Some(Arc::new(Self {
            all,
            endpoints: Endpoints::new(count, OutlierConfig::default()),
            budget,
            written: Mutex::default(),
            control: control(primary),
            clock,
            max_lag: Duration::from_millis(config.replica_max_lag_ms),
            ask_timeout: Duration::from_millis(config.replica_ask_timeout_ms),
            patience: config.acquire_timeout(),
        })))
    }

    /// How long a replica may take to answer a read that has no deadline.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The replica that is to answer a read which must have seen `after`; `None`: the primary is.
    pub(crate) async fn choose(&self, after: Option<WalPosition>) -> Option<ReplicaCall<'_>> {
        let demand = Demand { after };
        let mut asked = false;
        let mut refused = vec![false; self.all.len()];
        // Each turn but the last leaves out one that its breaker refuses, or asks.
        for _ in 0..self.all.len() + 2 {
            let now = self.clock.now();
            let standings: Vec<Standing> = (self.all.iter().zip(&refused))
                .map(|(replica, refused)| self.standing(replica, *refused, now))
                .collect();
            match choose(&standings, demand, &self.endpoints, now, &self.clock) {
                Choice::Replica(pick) => match self.all[pick.endpoint()].breaker.admit(now) {
                    Ok(call) => {
                        self.budget.deposit();
                        return Some(ReplicaCall {
                            replicas: self,
                            pick,
                            call,
                        });
                    }
                    Err(_) => refused[pick.endpoint()] = true,
                },
                Choice::Ask(index) if !asked => {
                    asked = true;
                    self.ask(&self.all[index]).await;
                }
                Choice::Ask(_) | Choice::Primary => return None,
            }
        }
        None
    }

    fn standing(&self, replica: &Replica, refused: bool, now: Monotonic) -> Standing {
        let told = *replica.told.borrow();
        let current = told.at.is_some_and(|at| now - at < FORGOTTEN) && !refused;
        let replayed = told.replayed.filter(|_| current);
        let within =
            replayed.is_some_and(|replayed| lock(&self.written).lag(replayed, now) <= self.max_lag);
        Standing {
            distance: replica.distance,
            replayed,
            lag: if within { Lag::Within } else { Lag::TooMuch },
        }
    }

    /// Asks a replica how far it is, for a read that demands more than is known. Those who ask at the same
    /// time get the same answer.
    async fn ask(&self, replica: &Replica) {
        let before = replica.told.borrow().times;
        let answer = async {
            let _asking = replica.asking.lock().await;
            if replica.told.borrow().times == before {
                self.probe(replica, self.ask_timeout).await;
            }
        };
        let _ = timeout(&self.clock, self.ask_timeout, answer).await;
    }

    /// Asks a replica how far it is, and whether it is there at all.
    async fn probe(&self, replica: &Replica, patience: Duration) -> bool {
        let asked = timeout(&self.clock, patience, async {
            sqlx::query_file_scalar!("../sql/statements/replication/replayed.sql")
                .fetch_one(&replica.control)
                .await
        })
        .await;
        let position = match asked {
            Ok(Ok(position)) => position.map(|position| WalPosition(position.cast_unsigned())),
            Ok(Err(_)) | Err(_) => return false,
        };
        replica.tell(position, self.clock.now());
        true
    }

    /// Keeps asking a replica.
    async fn watch(&self, replica: &Replica) {
        loop {
            if !self.probe(replica, PROBE_TIMEOUT).await {
                replica.tell(None, self.clock.now());
            }
            let now = self.clock.now();
            let replayed = replica.told.borrow().replayed;
            let name = || replica.endpoint.name.clone();
            metrics::gauge!(UP, "endpoint" => name()).set(f64::from(u8::from(replayed.is_some())));
            if let Some(replayed) = replayed {
                let lag = lock(&self.written).lag(replayed, now);
                metrics::gauge!(LAG, "endpoint" => name()).set(lag.as_secs_f64());
            }
            self.clock.sleep(INTERVAL).await;
        }
    }

    /// Keeps asking the primary how far its log goes.
    async fn watch_primary(&self) {
        loop {
            let asked = timeout(&self.clock, PROBE_TIMEOUT, async {
                sqlx::query_file_scalar!("../sql/statements/replication/written.sql")
                    .fetch_one(&self.control)
                    .await
            });
            // The log goes at least as far as it is told, so the moment of the answer would be too late.
            let now = self.clock.now();
            if let Ok(Ok(position)) = asked.await {
                lock(&self.written).observe(WalPosition(position.cast_unsigned()), now);
            }
            self.clock.sleep(INTERVAL).await;
        }
    }

    pub(crate) fn record_metrics(&self) {
        for replica in &self.all {
            replica.endpoint.record_metrics();
        }
    }

    pub(crate) async fn close(&self) {
        for replica in &self.all {
            replica.endpoint.pool.close().await;
            replica.control.close().await;
        }
        self.control.close().await;
    }
}

impl Replica {
    fn tell(&self, replayed: Option<WalPosition>, now: Monotonic) {
        self.told.send_modify(|told| {
            *told = Told {
                replayed,
                at: Some(now),
                times: told.times.wrapping_add(1),
            };
        });
    }

    fn is_gone(&self) -> bool {
        self.told.borrow().replayed.is_none()
    }
}

/// A read that a replica is to answer. Dropped without a result it counts as nothing.
#[must_use = "a call that is dropped counts as nothing"]
pub(crate) struct ReplicaCall<'a> {
    replicas: &'a Replicas,
    pick: Pick,
    call: Call,
}

impl<'a> ReplicaCall<'a> {
    pub(crate) fn endpoint(&self) -> &'a Arc<Endpoint> {
        &self.replica().endpoint
    }

    /// Comes to its end when the replica is found to be gone. A pool goes on trying to connect to a server that
    /// is not there until the patience of the read is over, and nobody needs to wait for that.
    pub(crate) async fn gone(&self) {
        let mut told = self.replica().told.subscribe();
        // The sender is the replica, which outlives the call.
        let _ = told.wait_for(|told| told.replayed.is_none()).await;
    }

    fn replica(&self) -> &'a Replica {
        &self.replicas.all[self.pick.endpoint()]
    }

    /// The replica answered.
    pub(crate) fn succeeded(self) {
        let now = self.replicas.clock.now();
        let endpoint = self.endpoint();
        self.call.succeeded(now);
        if self.pick.succeeded(now).is_some() {
            count_ejection(endpoint);
        }
    }

    /// The replica did not answer. Whether the primary may be asked instead.
    ///
    /// One that is gone takes nothing from the budget: what it was to answer is the primary's anyhow, as are all
    /// later reads. The budget is for one that is there and slow, or fails: it would have the primary asked
    /// beside it.
    pub(crate) fn failed(self, failure: &Failure) -> bool {
        let now = self.replicas.clock.now();
        let replica = self.replica();
        if let Failure::Database(error) = failure
            && is_dead_connection(error)
        {
            // Until it is asked again it is taken for gone.
            replica.tell(None, now);
        }
        if !matches!(failure, Failure::Overloaded(_)) {
            self.call.failed(now);
            if self.pick.failed(now).is_some() {
                count_ejection(&replica.endpoint);
            }
        }
        replica.is_gone() || self.replicas.budget.try_withdraw()
    }
}

fn count_ejection(endpoint: &Endpoint) {
    metrics::counter!(EJECTIONS, "endpoint" => endpoint.name.clone()).increment(1);
    tracing::warn!(
        replica = &*endpoint.name,
        "a replica is left out for a while"
    );
}

/// A connection, and one for who asks on demand.
fn control(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(PROBE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PgStore {
    /// Lets replicas answer reads of what is public. They do as long as [`watch_replicas`](Self::watch_replicas)
    /// runs.
    pub fn with_replicas(
        self,
        replicas: &[ReplicaConfig],
        config: &PoolConfig,
    ) -> Result<Self, ConnectError> {
        let primary = (*self.pool.connect_options()).clone();
        let replicas = Replicas::new(primary, replicas, config, self.clock)?;
        Ok(Self { replicas, ..self })
    }

    /// Keeps asking the primary and its replicas how far they are. Never ends, and does nothing without
    /// replicas.
    pub async fn watch_replicas(&self) {
        if let Some(replicas) = &self.replicas {
            let mut watchers = JoinSet::new();
            let primary = replicas.clone();
            watchers.spawn(async move { primary.watch_primary().await });
            for index in 0..replicas.all.len() {
                let replicas = replicas.clone();
                watchers.spawn(async move { replicas.watch(&replicas.all[index]).await });
            }
            // None of them ends unless it panics.
            watchers.join_next().await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}
