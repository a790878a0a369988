//! Reads: from whom, until when, and what is told of them.

use crate::PgStore;
use crate::endpoint::Endpoint;
use crate::error::{Failure, is_replica_failure};
use crate::lease::Lease;
use crate::replicas::Replicas;
use crate::scope::RequestScope;
use pitchey_resilience::Deadline;
use pitchey_runtime::Clock as _;
use pitchey_store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;

/// Reads by who answered, or was the last to fail. Label: `endpoint`.
const READS: &str = "db_reads_total";
/// Reads that a replica failed and the primary was asked for. Label: `endpoint`, the replica.
const FALLBACKS: &str = "db_replica_fallbacks_total";

/// With less time left a read is not tried twice.
const HURRIED: Duration = Duration::from_millis(200);

impl PgStore {
    /// Runs a read on the primary and records its time under its name.
    pub(crate) async fn read<T, F>(
        &self,
        statement: &'static str,
        run: impl Fn(Lease) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let read = async {
            let result = self.read_primary(&run, deadline()).await;
            (&self.primary, result)
        };
        self.observed(statement, read).await
    }

    /// Runs a read of what is public, which a replica may answer that has seen what this view demands.
    pub(crate) async fn read_public<T, F>(
        &self,
        statement: &'static str,
        run: impl Fn(Lease) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let read = async {
            if let Some(replicas) = &self.replicas
                && let Some(answered) = Box::pin(self.read_replica(replicas, &run)).await
            {
                return answered;
            }
            let result = self.read_primary(&run, deadline()).await;
            (&self.primary, result)
        };
        self.observed(statement, read).await
    }

    /// What a replica answers; `None` if the primary is to be asked.
    async fn read_replica<'a, T, F>(
        &'a self,
        replicas: &'a Replicas,
        run: &impl Fn(Lease) -> F,
    ) -> Option<(&'a Arc<Endpoint>, Result<T, Failure>)>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let call = replicas.choose(self.after).await?;
        let endpoint = call.endpoint();
        let now = self.clock.now();
        let left = deadline().map_or(replicas.patience(), |deadline| deadline.remaining(now));
        // One half is for the primary, should this one not answer. What is in too great a hurry for two says
        // nothing about a replica, and must not use up what there is for others.
        let hurried = left < HURRIED;
        let patience = if hurried { left } else { left / 2 };
        let attempt = Deadline::after(now, patience);
        let answered = tokio::select! {
            biased;
            answered = self.read_from(endpoint, run, Some(attempt)) => answered,
            () = call.gone() => {
                tracing::debug!(replica = &*endpoint.name, "a replica went while a read waited for it");
                metrics::counter!(FALLBACKS, "endpoint" => endpoint.name.clone()).increment(1);
                return None;
            }
        };
        match answered {
            Err(Failure::TooLate) if hurried => Some((endpoint, Err(Failure::TooLate))),
            Err(failure) if is_replica_failure(&failure) => {
                tracing::debug!(replica = &*endpoint.name, %failure, "a replica failed a read");
                if !call.failed(&failure) {
                    return Some((endpoint, Err(failure)));
                }
                metrics::counter!(FALLBACKS, "endpoint" => endpoint.name.clone()).increment(1);
                None
            }
            answered => {
                call.succeeded();
                Some((endpoint, answered))
            }
        }
    }

    /// A connection found dead is replaced once.
    async fn read_primary<T, F>(
        &self,
        run: &impl Fn(Lease) -> F,
        deadline: Option<Deadline>,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let read = || self.read_from(&self.primary, run, deadline);
        self.breaker.run(read).await
    }

    async fn read_from<T, F>(
        &self,
        endpoint: &Arc<Endpoint>,
        run: &impl Fn(Lease) -> F,
        deadline: Option<Deadline>,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        // Both boxed: what wraps a future holds it more than once, and these are the large ones.
        let (held, lease) = Box::pin(endpoint.acquire(deadline)).await?;
        let begun = self.clock.now();
        let reading = Box::pin(run(lease));
        let result = match deadline {
            None => Ok(reading.await),
            Some(deadline) => deadline.run(&self.clock, reading).await,
        };
        endpoint.observe(begun);
        match result {
            Ok(result) => {
                held.release();
                Ok(result?)
            }
            // Dropped unfinished, `held` has the server end it.
            Err(_) => Err(Failure::TooLate),
        }
    }

    async fn observed<'a, T>(
        &'a self,
        statement: &'static str,
        read: impl Future<Output = (&'a Arc<Endpoint>, Result<T, Failure>)>,
    ) -> Result<T, StoreError> {
        let span = tracing::debug_span!("statement", name = statement);
        async {
            let start = self.clock.now();
            let (endpoint, result) = read.await;
            let took = self.clock.now() - start;
            metrics::histogram!("db_statement_duration_seconds", "statement" => statement)
                .record(took.as_secs_f64());
            metrics::counter!(READS, "endpoint" => endpoint.name.clone()).increment(1);
            self.account(statement, endpoint, 1, took);
            result.map_err(|failure| {
                metrics::counter!("db_statement_errors_total", "statement" => statement)
                    .increment(1);
                failure.into()
            })
        }
        .instrument(span)
        .await
    }

    /// Charges the request with what it cost, and tells of what was slow. What was asked for is nobody's
    /// business: the log names the statement and has no values.
    pub(crate) fn account(
        &self,
        name: &'static str,
        endpoint: &Endpoint,
        statements: u64,
        took: Duration,
    ) {
        let scope = RequestScope::current();
        if let Some(scope) = &scope {
            scope.count(statements, took);
        }
        if took >= self.slow_statement {
            metrics::counter!("db_slow_statements_total", "statement" => name).increment(1);
            tracing::warn!(
                statement = name,
                ms = (took.as_secs_f64() * 1_000_000.0).round() / 1000.0,
                statements,
                endpoint = &*endpoint.name,
                request_id = scope.as_ref().map(RequestScope::id),
                "slow statement"
            );
        }
    }
}

/// Until when the request that the running task works for can use an answer.
fn deadline() -> Option<Deadline> {
    RequestScope::current().map(|scope| scope.deadline())
}
