//! What a request gives the statements that it causes, and what they tell it.
//!
//! It travels as a task-local: handed on explicitly, a deadline would be one more parameter of every method
//! of every port, of its fake and of its callers, for something that this adapter alone acts on. A task
//! that is spawned begins without one; whoever works there for a request, or for several, brings a scope.

use pitchey_resilience::Deadline;
use pitchey_runtime::Monotonic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

tokio::task_local! {
    static CURRENT: RequestScope;
}

/// A request, as far as the database is concerned. Clones are the same request.
#[derive(Clone, Debug)]
pub struct RequestScope(Arc<Request>);

#[derive(Debug)]
struct Request {
    id: Arc<str>,
    deadline: Deadline,
    cost: Arc<Cost>,
}

#[derive(Debug, Default)]
struct Cost {
    statements: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What a request has cost the database so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseUsage {
    /// Statements, those of transactions included, their beginning and end not.
    pub statements: u64,
    /// The time from asking for a connection to the answer, summed up over reads and transactions, also
    /// over those that ran at the same time.
    pub time: Duration,
}

impl RequestScope {
    /// A request whose statements are of use until `deadline`; `id` stands in the log of slow ones.
    pub fn new(id: impl Into<Arc<str>>, deadline: Deadline) -> Self {
        Self(Arc::new(Request {
            id: id.into(),
            deadline,
            cost: Arc::default(),
        }))
    }

    /// The request that the running task works for, or one that nobody waits for.
    pub fn current_or_nobody(now: Monotonic) -> Self {
        Self::current().unwrap_or_else(|| Self::new("-", Deadline::at(now)))
    }

    /// The same request with another deadline, for work that others wait for, too.
    #[must_use]
    pub fn until(&self, deadline: Deadline) -> Self {
        Self(Arc::new(Request {
            id: self.0.id.clone(),
            deadline,
            cost: self.0.cost.clone(),
        }))
    }

    /// Runs `work` as part of the request: no statement of it begins after the deadline or goes on beyond
    /// it, and what it costs is counted.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// What its statements have cost so far.
    pub fn usage(&self) -> DatabaseUsage {
        DatabaseUsage {
            statements: self.0.cost.statements.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.0.cost.nanoseconds.load(Ordering::Relaxed)),
        }
    }

    /// The request that the running task works for.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.0.deadline
    }

    pub(crate) fn count(&self, statements: u64, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0
            .cost
            .statements
            .fetch_add(statements, Ordering::Relaxed);
        self.0
            .cost
            .nanoseconds
            .fetch_add(nanoseconds, Ordering::Relaxed);
    }
}
