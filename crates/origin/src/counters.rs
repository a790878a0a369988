//! Views, measurements and events of pages: kept in memory and written in batches, so that no answer
//! waits for the database and a thousand of them cost one transaction.
//!
//! At most a second of them is lost if the process is killed, and nothing on a clean stop.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge};
use pitchey_api::ports::Counters;
use pitchey_model::PitchId;
use pitchey_runtime::{Clock, Monotonic, Random, Timer, timeout};
use pitchey_store::intake::{AnalyticsEvent, RumSample, View};
use pitchey_store::{Intake, StoreError};
use time::Date;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::chain::Chain;
use crate::config::CountersConfig;

mod pending;

use pending::{Batch, Entry, Failed, Pending, PendingLimits, Pushed};

/// Entries that were taken in. Label: `kind` (`view`, `rum`, `event`).
const ACCEPTED: &str = "counters_accepted_total";
/// Entries that were written, or known to the store already. Label: `kind`.
const FLUSHED: &str = "counters_flushed_total";
/// Entries that were lost. Labels: `kind`, `reason` (`full`, `failed`, `stopped`).
const DROPPED: &str = "counters_dropped_total";
/// Entries in memory. Label: `kind`.
const BUFFERED: &str = "counters_buffered";

/// The pause after a failure while the process stops.
const STOP_PAUSE: Duration = Duration::from_millis(100);

/// How often a line may say that entries are lost.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Makes the two ends: what the handlers count with, and what writes it.
pub fn counters<I, R>(
    config: &CountersConfig,
    intake: I,
    runtime: R,
) -> (BufferedCounters<R>, Flusher<I, R>)
where
    I: Intake + Send + Sync + 'static,
    R: Clock + Timer + Random + Clone + Send + Sync + 'static,
{
    let limits = |capacity| PendingLimits {
        capacity,
        batch: config.batch,
        max_delay: config.max_delay(),
    };
    let shared = Arc::new(Shared {
        buffers: Mutex::new(Buffers {
            views: Buffer::new(limits(config.max_views)),
            rum: Buffer::new(limits(config.max_rum)),
            events: Buffer::new(limits(config.max_events)),
        }),
        wake: Notify::new(),
        runtime,
    });
    let flusher = Flusher {
        shared: shared.clone(),
        intake,
        write_timeout: config.write_timeout(),
        stop_timeout: config.stop_timeout(),
    };
    (BufferedCounters { shared }, flusher)
}

/// The port: takes entries into memory, or drops them if there is no room.
pub struct BufferedCounters<R> {
    shared: Arc<Shared<R>>,
}

impl<R: Clock + Send + Sync> Counters for BufferedCounters<R> {
    fn view(&self, view: View) {
        self.shared.push([view]);
    }

    fn rum(&self, samples: Vec<RumSample>) {
        self.shared.push(samples);
    }

    fn events(&self, events: Vec<AnalyticsEvent>) {
        self.shared.push(events);
    }
}

struct Shared<R> {
    buffers: Mutex<Buffers>,
    /// Something may be due earlier than before.
    wake: Notify,
    runtime: R,
}

struct Buffers {
    views: Buffer<View>,
    rum: Buffer<RumSample>,
    events: Buffer<AnalyticsEvent>,
}

/// The entries of one kind, and what is told about them.
struct Buffer<E: Entry> {
    pending: Pending<E>,
    lost: Losses,
    accepted: Counter,
    flushed: Counter,
    buffered: Gauge,
}

/// Counts what is lost, and says so at most once a second.
struct Losses {
    kind: &'static str,
    unsaid: u64,
    said: Option<Monotonic>,
}

impl<E: Kind> Buffer<E> {
    fn new(limits: PendingLimits) -> Self {
        Self {
            pending: Pending::new(limits),
            lost: Losses {
                kind: E::NAME,
                unsaid: 0,
                said: None,
            },
            accepted: metrics::counter!(ACCEPTED, "kind" => E::NAME),
            flushed: metrics::counter!(FLUSHED, "kind" => E::NAME),
            buffered: metrics::gauge!(BUFFERED, "kind" => E::NAME),
        }
    }

    /// Whether something may be due earlier than before.
    fn push(&mut self, entry: E, now: Monotonic) -> bool {
        let pushed = self.pending.push(entry, now);
        if pushed == Pushed::Full {
            self.lost.add(1, "full", now);
        } else {
            self.accepted.increment(1);
            self.buffered.set(self.pending.len() as f64);
        }
        pushed == Pushed::KeptAndDue
    }
}

impl Losses {
    fn add(&mut self, entries: usize, reason: &'static str, now: Monotonic) {
        let entries = entries as u64;
        metrics::counter!(DROPPED, "kind" => self.kind, "reason" => reason).increment(entries);
        self.unsaid += entries;
        if self.said.is_none_or(|said| now - said >= LOG_INTERVAL) {
            tracing::warn!(
                kind = self.kind,
                reason,
                entries = self.unsaid,
                "counts are lost"
            );
            self.unsaid = 0;
            self.said = Some(now);
        }
    }
}

/// One of the three kinds.
trait Kind: Entry + Send + Sync + Sized + 'static {
    const NAME: &'static str;

    fn of(buffers: &mut Buffers) -> &mut Buffer<Self>;

    fn write(
        intake: &(impl Intake + Sync),
        entries: &[Self],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Entry for View {
    /// As the store counts: once for each viewer, pitch and day.
    type Key = (PitchId, [u8; 16], Date);

    fn key(&self) -> Self::Key {
        (
            self.pitch,
            self.viewer,
            self.at.to_offset(time::UtcOffset::UTC).date(),
        )
    }
}

impl Kind for View {
    const NAME: &'static str = "view";

    fn of(buffers: &mut Buffers) -> &mut Buffer<Self> {
        &mut buffers.views
    }

    async fn write(intake: &(impl Intake + Sync), entries: &[Self]) -> Result<(), StoreError> {
        intake.record_views(entries).await.map(|_new| ())
    }
}

impl Entry for RumSample {
    type Key = Uuid;

    fn key(&self) -> Uuid {
        self.id
    }
}

impl Kind for RumSample {
    const NAME: &'static str = "rum";

    fn of(buffers: &mut Buffers) -> &mut Buffer<Self> {
        &mut buffers.rum
    }

    async fn write(intake: &(impl Intake + Sync), entries: &[Self]) -> Result<(), StoreError> {
        intake.record_rum(entries).await
    }
}

impl Entry for AnalyticsEvent {
    type Key = Uuid;

    fn key(&self) -> Uuid {
        self.id
    }
}

impl Kind for AnalyticsEvent {
    const NAME: &'static str = "event";

    fn of(buffers: &mut Buffers) -> &mut Buffer<Self> {
        &mut buffers.events
    }

    async fn write(intake: &(impl Intake + Sync), entries: &[Self]) -> Result<(), StoreError> {
        intake.record_events(entries).await
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, Buffers> {
        // Nothing in here panics halfway through a change.
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Clock> Shared<R> {
    fn push<E: Kind>(&self, entries: impl IntoIterator<Item = E>) {
        let now = self.runtime.now();
        let mut buffers = self.lock();
        let buffer = E::of(&mut buffers);
        let mut due = false;
        for entry in entries {
            due |= buffer.push(entry, now);
        }
        drop(buffers);
        if due {
            self.wake.notify_one();
        }
    }

    /// When the next batch is due.
    fn due_at(&self) -> Option<Monotonic> {
        let buffers = self.lock();
        let views = buffers.views.pending.due_at();
        let rum = buffers.rum.pending.due_at();
        let events = buffers.events.pending.due_at();
        [views, rum, events].into_iter().flatten().min()
    }
}

/// Writes what the counters take in.
pub struct Flusher<I, R> {
    shared: Arc<Shared<R>>,
    intake: I,
    write_timeout: Duration,
    stop_timeout: Duration,
}

/// Why a batch was not written.
enum WriteError {
    Store(StoreError),
    Timeout,
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => Chain(error).fmt(formatter),
            Self::Timeout => formatter.write_str("took too long"),
        }
    }
}

impl<I, R> Flusher<I, R>
where
    I: Intake + Send + Sync + 'static,
    R: Clock + Timer + Random + Clone + Send + Sync + 'static,
{
    /// Writes what is due until `stop` is cancelled, and then everything that is left, unless that
    /// takes longer than the stop timeout. Nothing is to be counted once it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.until_due()).await.is_some() {
            self.flush_due::<View>().await;
            self.flush_due::<RumSample>().await;
            self.flush_due::<AnalyticsEvent>().await;
        }
        let until = self.shared.runtime.now() + self.stop_timeout;
        self.drain::<View>(until).await;
        self.drain::<RumSample>(until).await;
        self.drain::<AnalyticsEvent>(until).await;
    }

    async fn until_due(&self) {
        loop {
            let woken = self.shared.wake.notified();
            let now = self.shared.runtime.now();
            match self.shared.due_at() {
                Some(due) if due <= now => return,
                Some(due) => {
                    // Woken or not, the time that something is due is looked up again.
                    let _ = timeout(&self.shared.runtime, due - now, woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// Writes one batch if one is due.
    async fn flush_due<E: Kind>(&self) {
        let batch = {
            let mut buffers = self.shared.lock();
            let pending = &mut E::of(&mut buffers).pending;
            let now = self.shared.runtime.now();
            if pending.due_at().is_none_or(|due| now < due) {
                return;
            }
            pending.take()
        };
        let count = batch.len();
        let (batch, result) = self.write(batch, self.write_timeout).await;

        let now = self.shared.runtime.now();
        let mut buffers = self.shared.lock();
        let buffer = E::of(&mut buffers);
        match result {
            Ok(()) => {
                buffer.pending.written();
                buffer.flushed.increment(count as u64);
            }
            Err(error) => {
                // The pauses in between bound the number of these lines.
                tracing::warn!(kind = E::NAME, entries = count, %error, "counts are not written");
                let failed = buffer.pending.failed(batch, now, &self.shared.runtime);
                if failed == Failed::Dropped {
                    buffer.lost.add(count, "failed", now);
                }
            }
        }
        buffer.buffered.set(buffer.pending.len() as f64);
    }

    /// Writes all that is left, until the end of the patience.
    async fn drain<E: Kind>(&self, until: Monotonic) {
        loop {
            let batch = E::of(&mut self.shared.lock()).pending.take();
            let count = batch.len();
            if count == 0 {
                return;
            }
            let left = until - self.shared.runtime.now();
            let (batch, result) = self.write(batch, left.min(self.write_timeout)).await;
            let now = self.shared.runtime.now();
            let Err(error) = result else {
                let mut buffers = self.shared.lock();
                let buffer = E::of(&mut buffers);
                buffer.pending.written();
                buffer.flushed.increment(count as u64);
                buffer.buffered.set(buffer.pending.len() as f64);
                continue;
            };
            tracing::warn!(kind = E::NAME, entries = count, %error, "counts are not written");
            if until <= now + STOP_PAUSE {
                let mut buffers = self.shared.lock();
                let buffer = E::of(&mut buffers);
                buffer.lost.add(buffer.pending.len(), "stopped", now);
                return;
            }
            E::of(&mut self.shared.lock()).pending.put_back(batch);
            self.shared.runtime.sleep(STOP_PAUSE).await;
        }
    }

    async fn write<E: Kind>(
        &self,
        batch: Batch<E>,
        patience: Duration,
    ) -> (Batch<E>, Result<(), WriteError>) {
        let (times, entries): (Vec<Monotonic>, Vec<E>) = batch.into_iter().unzip();
        let written = E::write(&self.intake, &entries);
        let result = match timeout(&self.shared.runtime, patience, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(WriteError::Store(error)),
            Err(_) => Err(WriteError::Timeout),
        };
        (times.into_iter().zip(entries).collect(), result)
    }
}

#[cfg(test)]
mod tests;
