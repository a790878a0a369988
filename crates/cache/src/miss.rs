//! When memory has nothing that may be served: who loads, who waits, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use pitchey_runtime::{Monotonic, timeout};

use crate::answer::{Answer, From, GetError, State};
use crate::backplane::World;
use crate::cache::{Cache, Inner, Kind, MAX_KEY};
use crate::entry::{Entry, Source, Value, Verdict};
use crate::flight::{Leader, Outcome, Role, Waited, Waiter};
use crate::guard::Guard;
use crate::lead::{Lead, Purpose, Waiting};
use crate::memory::Memory;
use crate::shared::{Shared, Wish};
use crate::stats::Counter;
use crate::tag::TagCell;
use crate::warm::Warmth;

impl<V, E, M, S, R> Cache<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    /// Sees to it that a key is fresh for at least `fresh_for` from now on, or as fresh as loading it now
    /// makes it, unless somebody is at it: for warming.
    pub async fn warm(
        &self,
        kind: Kind,
        key: &str,
        fresh_for: Duration,
        source: impl Source<V, E>,
    ) -> Warmth {
        let inner = &self.inner;
        let runtime = inner.backplane.runtime();
        if self.is_fresh(key, fresh_for) {
            return Warmth::Fresh;
        }
        let source = Arc::new(source);
        // What the shared tier has may do. If it does not last, it is loaded in any case.
        for wish in [Wish::IfStale, Wish::Always] {
            let Some(leader) = inner.lead(kind, key, &*source) else {
                return Warmth::Busy;
            };
            let source = source.clone();
            let lead = Lead::new(inner, kind, source, leader, Purpose::Warm, wish, None);
            match lead.run().await {
                Some(Ok(answer)) if answer.state == State::Fresh => {
                    if answer.from == From::Source {
                        return Warmth::Loaded;
                    }
                    if answer.entry.fresh_for(runtime.now()) >= fresh_for {
                        return Warmth::Found;
                    }
                }
                None => return Warmth::Busy,
                Some(_) => return Warmth::Failed,
            }
        }
        Warmth::Failed
    }

    /// Whether memory has a key that is fresh for at least `fresh_for` from now on. Counts nothing.
    pub fn is_fresh(&self, key: &str, fresh_for: Duration) -> bool {
        let now = self.inner.backplane.runtime().now();
        let entry = self.inner.fresh(key, now);
        entry.is_some_and(|entry| entry.fresh_for(now) >= fresh_for)
    }

    /// `ended` is how many flights had ended before memory was looked at.
    pub(crate) async fn miss(
        &self,
        kind: Kind,
        key: &str,
        source: impl Source<V, E>,
        (candidate, ended): (Option<Arc<Entry<V>>>, u64),
    ) -> Outcome<V, E> {
        let inner = &self.inner;
        let runtime = inner.backplane.runtime();
        let source = Arc::new(source);
        let policy = &inner.kind(kind).policy;
        let begun = runtime.now();
        let leader = if policy.strict || !policy.coalesces || key.len() > MAX_KEY {
            // What somebody else has asked before us is not the present, or not to be waited for.
            Leader::of_one(key)
        } else {
            let cells = || inner.cells(&source.tags(), source.discovers());
            match inner.enter(key, cells, begun) {
                Role::Wait(waiter) => match inner.wait(kind, waiter, candidate.as_ref()).await {
                    Ok(leader) => leader,
                    Err(outcome) => return outcome,
                },
                Role::Lead(leader) => {
                    // It may have been loaded between the look at memory and now.
                    if inner.flights.ended() != ended
                        && let Some(entry) = inner.fresh(key, runtime.now())
                    {
                        let answer = Answer::new(entry, From::Memory, State::Fresh);
                        inner.count_hit(kind, &answer);
                        leader.end(Ok(answer.clone()));
                        return Ok(answer);
                    }
                    leader
                }
            }
        };
        let stand_in = candidate.clone();
        let stand_in = stand_in.filter(|entry| inner.may_stand_in(kind, entry));
        let answered = stand_in.is_some().then(Arc::<AtomicBool>::default);
        let purpose = Purpose::Answer;
        let lead = Lead::new(
            inner,
            kind,
            source,
            leader,
            purpose,
            Wish::IfStale,
            candidate,
        );
        let leading = Box::pin(lead.until(answered.clone()).run());
        let timed_out = || Err(GetError::Timeout);
        let Some(stand_in) = stand_in else {
            return leading.await.unwrap_or_else(timed_out);
        };
        let soft = Box::pin(runtime.sleep(policy.soft_timeout));
        match select(leading, soft).await {
            Either::Left((outcome, _)) => outcome.unwrap_or_else(timed_out),
            // It was invalidated meanwhile.
            Either::Right(((), leading)) if !inner.may_stand_in(kind, &stand_in) => {
                leading.await.unwrap_or_else(timed_out)
            }
            Either::Right(((), leading)) => {
                if let Some(answered) = answered {
                    answered.store(true, Ordering::Relaxed);
                }
                inner.spawn(async move {
                    leading.await;
                });
                inner.instead(kind, Some(stand_in), GetError::Timeout)
            }
        }
    }
}

impl<V, E, M, S, R> Inner<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    /// What memory has that is fresh, without counting it.
    fn fresh(&self, key: &str, now: Monotonic) -> Option<Arc<Entry<V>>> {
        let entry = self.memory.peek(key)?;
        let fresh = self.trusts(&entry, now) && entry.judge(now, true) == Verdict::Fresh;
        fresh.then_some(entry)
    }

    /// Whether an entry may be served because loading takes its time. What nobody can vouch for is for
    /// when loading fails.
    fn may_stand_in(&self, kind: Kind, entry: &Entry<V>) -> bool {
        let now = self.backplane.runtime().now();
        !self.kind(kind).policy.strict && self.trusts(entry, now) && entry.may_replace_error(now)
    }

    /// Joins a load if what it brings will be true for one who asks now.
    fn enter(
        &self,
        key: &str,
        cells: impl FnOnce() -> Box<[Arc<TagCell>]>,
        now: Monotonic,
    ) -> Role<V, E> {
        let node = self.backplane.node();
        let checks = node.guards().has(Guard::JoinChecksTags);
        self.flights.enter(key, cells, |flight| {
            if flight.is_closed() {
                return false;
            }
            match flight.began() {
                None => true,
                Some((stamp, at)) => {
                    !checks || (!flight.is_raised_since(stamp) && node.trusts(stamp, at, now))
                }
            }
        })
    }

    /// Waits for a load until it gives an outcome or its lead, no longer than one who leads would.
    async fn wait(
        self: &Arc<Self>,
        kind: Kind,
        waiter: Waiter<V, E>,
        candidate: Option<&Arc<Entry<V>>>,
    ) -> Result<Leader<V, E>, Outcome<V, E>> {
        let policy = &self.kind(kind).policy;
        let runtime = self.backplane.runtime();
        let mut waiting = Waiting::new(self, waiter);
        let has_stand_in = || candidate.is_some_and(|entry| self.may_stand_in(kind, entry));
        let mut left = policy.hard_timeout;
        let mut waited = Err(pitchey_runtime::Elapsed);
        if has_stand_in() {
            waited = timeout(runtime, policy.soft_timeout, &mut waiting).await;
            if waited.is_err() && has_stand_in() {
                return Err(self.instead(kind, candidate.cloned(), GetError::Timeout));
            }
            left = left.saturating_sub(policy.soft_timeout);
        }
        if waited.is_err() {
            waited = timeout(runtime, left, waiting).await;
        }
        match waited {
            Ok(Waited::Lead(leader)) => Ok(leader),
            Ok(Waited::Outcome(outcome)) => Err(self.coalesced(kind, outcome)),
            Err(_) => {
                self.kind(kind).stats.count(Counter::LoadTimeout);
                Err(self.instead(kind, candidate.cloned(), GetError::Timeout))
            }
        }
    }

    fn coalesced(&self, kind: Kind, outcome: Outcome<V, E>) -> Outcome<V, E> {
        let mut answer = outcome?;
        self.kind(kind).stats.count(Counter::Coalesced);
        if answer.entry.absent {
            self.kind(kind).stats.count(Counter::Negative);
        }
        // Whoever led may have asked the shared tier before we came.
        if matches!(answer.from, From::Source | From::Shared) {
            answer.from = From::Coalesced;
        }
        Ok(answer)
    }
}
