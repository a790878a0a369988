//! A server, the pool of connections to it, and how many may use it at once.

use crate::config::PoolConfig;
use crate::error::Failure;
use crate::lease::{GRACE, Held, Lease};
use pitchey_resilience::{Bulkhead, Deadline, GradientConfig, GradientLimit, Permit, Rejected};
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime, timeout};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, Postgres};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Statements that were given up and ended by closing their connection. Label: `endpoint`.
const CANCELLED: &str = "db_statements_cancelled_total";
/// Reads and transactions that were not let in. Label: `endpoint`, `reason` (`full`, `timeout`).
const REJECTED: &str = "db_rejected_total";

/// A server with its pool.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// What it is called in metrics and the log.
    pub(crate) name: Arc<str>,
    pub(crate) pool: PgPool,
    clock: SystemRuntime,
    patience: Duration,
    bulkhead: Bulkhead,
    gradient: GradientLimit,
    /// What is being given up: a connection of the pool each, so no more than it has.
    abandoned: Mutex<JoinSet<()>>,
}

impl Endpoint {
    /// Prepares a pool; the first statement connects.
    pub(crate) fn new(
        name: &str,
        options: PgConnectOptions,
        config: &PoolConfig,
        clock: SystemRuntime,
    ) -> Arc<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout())
            .idle_timeout(Duration::from_millis(config.idle_timeout_ms))
            .max_lifetime(Duration::from_millis(config.max_lifetime_ms))
            // Asking before each use would cost every statement a trip. A connection that has just been
            // used is taken as alive; should it be dead, a read is tried once more.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > Duration::from_secs(1) {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        let most = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Half of the pool is never too much: it was sized for more than that.
        let least = NonZeroUsize::new(most.get() / 2).unwrap_or(NonZeroUsize::MIN);
        Arc::new(Self {
            name: name.into(),
            pool,
            clock,
            patience: config.acquire_timeout(),
            bulkhead: Bulkhead::new(most, config.max_queued),
            gradient: GradientLimit::new(GradientConfig::new(least, most)),
            abandoned: Mutex::default(),
        })
    }

    /// Waits for a place among those who use this server, and for a connection, no longer than until the
    /// deadline.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        deadline: Option<Deadline>,
    ) -> Result<(Held, Lease), Failure> {
        let start = self.clock.now();
        let until = match deadline {
            None => Deadline::after(start, self.patience),
            Some(deadline) => deadline.capped(start, self.patience),
        };
        if until.has_passed(start) {
            return Err(Failure::TooLate);
        }
        let permit = self.enter(until, deadline).await?;
        self.connect(until, deadline, Some(permit)).await
    }

    /// A connection for work behind the answers, which waits for its pool alone.
    pub(crate) async fn acquire_behind(self: &Arc<Self>) -> Result<(Held, Lease), Failure> {
        let until = Deadline::after(self.clock.now(), self.patience);
        self.connect(until, None, None).await
    }

    async fn enter(&self, until: Deadline, deadline: Option<Deadline>) -> Result<Permit, Failure> {
        let patience = until.remaining(self.clock.now());
        let entered = self.bulkhead.acquire(&self.clock, patience).await;
        entered.map_err(|rejected| {
            let reason = match rejected {
                Rejected::Full => "full",
                Rejected::TimedOut => "timeout",
            };
            let name = self.name.clone();
            metrics::counter!(REJECTED, "endpoint" => name, "reason" => reason).increment(1);
            match deadline {
                Some(deadline) if deadline.has_passed(self.clock.now()) => Failure::TooLate,
                _ => Failure::Overloaded(rejected),
            }
        })
    }

    async fn connect(
        self: &Arc<Self>,
        until: Deadline,
        deadline: Option<Deadline>,
        permit: Option<Permit>,
    ) -> Result<(Held, Lease), Failure> {
        match until.run(&self.clock, self.pool.acquire()).await {
            Ok(Ok(connection)) => Ok(Held::new(connection, self.clone(), permit)),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => match deadline {
                Some(deadline) if deadline.has_passed(self.clock.now()) => Err(Failure::TooLate),
                _ => Err(sqlx::Error::PoolTimedOut.into()),
            },
        }
    }

    /// Learns how long a statement, or a transaction, took from `begun` on.
    pub(crate) fn observe(&self, begun: Monotonic) {
        let now = self.clock.now();
        let inside = self.bulkhead.in_flight();
        if let Some(limit) = self.gradient.observe(now - begun, inside, now) {
            self.bulkhead.set_limit(limit);
        }
    }

    /// What a future comes to unless it takes too long.
    pub(crate) async fn within<T>(
        &self,
        patience: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        timeout(&self.clock, patience, future).await.ok()
    }

    /// Gives up what a connection is at.
    pub(crate) fn abandon(&self, mut connection: PoolConnection<Postgres>, in_transaction: bool) {
        if Handle::try_current().is_err() {
            // The runtime ends, and every connection with it.
            return;
        }
        let (clock, name) = (self.clock, self.name.clone());
        let ending = async move {
            let ready = async {
                if in_transaction {
                    let undone = connection.execute(sqlx::raw_sql("ROLLBACK"));
                    undone.await.map(|_| ())
                } else {
                    connection.ping().await
                }
            };
            if !matches!(timeout(&clock, GRACE, ready).await, Ok(Ok(()))) {
                metrics::counter!(CANCELLED, "endpoint" => name).increment(1);
                drop(connection.detach());
            }
        };
        let mut tasks = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(ending);
    }

    /// Publishes how many connections there are, and how many wait for one.
    pub(crate) fn record_metrics(&self) {
        let gauge = |name: &'static str, value: usize| {
            metrics::gauge!(name, "endpoint" => self.name.clone()).set(value as f64);
        };
        gauge("db_concurrency_limit", self.bulkhead.limit());
        gauge("db_concurrency_in_flight", self.bulkhead.in_flight());
        gauge("db_concurrency_queued", self.bulkhead.queued());
    }
}
