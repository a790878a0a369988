//! The run of a seed: making rows in threads, copying them in streams, and everything around that.

use super::events::{ANALYTICS_DAYS, RUM_DAYS};
use super::load::{self, Load, Words};
use super::pitches;
use super::report::{PhaseReport, Report, TableReport};
use super::work::{Shared, Work};
use super::world::{MIN_USERS, World};
use crate::figures::{duration, grouped};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime, Timer as _};
use pitchey_store_pg::bulk::{BulkConnection, Step};
use secrecy::SecretString;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;

/// More streams than this gain nothing, and each takes memory for building indexes.
const MAX_STREAMS: usize = 4;
/// What takes less is told in the summary only.
const WORTH_A_LINE: Duration = Duration::from_millis(500);

/// What is generated, and how.
#[derive(Debug, Clone)]
pub struct SeedOptions {
    /// How many pitches.
    pub pitches: u64,
    /// How many accounts.
    pub users: u64,
    /// Another number gives other data.
    pub seed: u64,
    /// The moment before which everything has happened; whole seconds count.
    pub until: OffsetDateTime,
    /// Add to what is in the database.
    pub force: bool,
    /// From so many pitches on, an empty database is loaded with its indexes off.
    pub bare_from: u64,
    /// So many streams at once then; as many as there are processors if 0.
    pub streams: usize,
}

impl SeedOptions {
    /// The defaults of the command line.
    pub fn new(pitches: u64, until: OffsetDateTime) -> Self {
        Self {
            pitches,
            users: (pitches / 10).max(MIN_USERS),
            seed: 1,
            until,
            force: false,
            bare_from: 50_000,
            streams: 0,
        }
    }
}

/// Puts right what an earlier run left when it was killed. Whether there was anything.
pub async fn clean_up(database_url: &SecretString) -> anyhow::Result<bool> {
    let mut database = BulkConnection::open(database_url).await?;
    lock(&mut database).await?;
    let left = database.load_was_cut_off().await?;
    if left {
        database.abandon_load().await?;
    }
    database.close().await;
    Ok(left)
}

async fn lock(database: &mut BulkConnection) -> anyhow::Result<()> {
    if database.try_lock("pitchey seed").await? {
        Ok(())
    } else {
        bail!("another seed is running on this database")
    }
}

/// Fills the database. `None` if it was interrupted; nothing stays then.
pub async fn seed(
    options: &SeedOptions,
    database_url: &SecretString,
    runtime: SystemRuntime,
    interrupt: Interrupt,
) -> anyhow::Result<Option<Report>> {
    let mut database = BulkConnection::open(database_url).await?;
    lock(&mut database).await?;
    if database.load_was_cut_off().await? {
        eprintln!("an earlier run was killed: cleaning up after it");
        database.abandon_load().await?;
    }
    let filled = database.first_filled_table().await?;
    if let Some(table) = filled.filter(|_| !options.force) {
        bail!("the database is not empty: {table} has rows; --force adds to them");
    }
    let until_us = options.until.unix_timestamp() * 1_000_000;
    let world = World::new(options.seed, options.pitches, options.users, until_us);
    let mut run = Run {
        world: Arc::new(world),
        runtime,
        interrupt,
        report: Report {
            tables: Vec::new(),
            phases: Vec::new(),
            seconds: 0.0,
        },
    };
    let started = runtime.now();
    let whole = if filled.is_none() && options.pitches >= options.bare_from {
        let streams = match options.streams {
            0 => std::thread::available_parallelism()
                .map_or(2, usize::from)
                .min(MAX_STREAMS),
            streams => streams,
        };
        run.bare(database, database_url, streams).await?
    } else {
        run.transaction(database, database_url).await?
    };
    run.report.seconds = (runtime.now() - started).as_secs_f64();
    Ok(whole.then_some(run.report))
}

struct Run {
    world: Arc<World>,
    runtime: SystemRuntime,
    interrupt: Interrupt,
    report: Report,
}

impl Run {
    /// Everything in one transaction, with the indexes on. False if it was interrupted.
    async fn transaction(
        &mut self,
        database: BulkConnection,
        url: &SecretString,
    ) -> anyhow::Result<bool> {
        let backend = database.backend();
        let mut databases = [database];
        let mut interrupt = self.interrupt.clone();
        let result = tokio::select! {
            result = self.fill_in_transaction(&mut databases) => Some(result),
            () = interrupt.asked() => None,
        };
        if let Some(Ok(())) = result {
            self.settle(&mut databases).await?;
            let [database] = databases;
            database.close().await;
            return Ok(true);
        }
        // Without its session, the transaction is rolled back.
        drop(databases);
        if let Some(Err(error)) = result {
            return Err(error.context("the load failed, and nothing of it stays"));
        }
        let mut database = BulkConnection::open(url).await?;
        database.end_sessions(&[backend]).await?;
        Ok(false)
    }

    async fn fill_in_transaction(
        &mut self,
        databases: &mut [BulkConnection; 1],
    ) -> anyhow::Result<()> {
        databases[0].prepare_for_load().await?;
        databases[0].begin().await?;
        self.partitions(databases).await?;
        // The triggers of `pitches` see to the words.
        self.copy_all(databases, &Words::default()).await?;
        databases[0].invalidate_lists().await?;
        databases[0].commit().await?;
        Ok(())
    }

    /// In several streams into bare tables. False if it was interrupted.
    async fn bare(
        &mut self,
        database: BulkConnection,
        url: &SecretString,
        streams: usize,
    ) -> anyhow::Result<bool> {
        let mut databases = vec![database];
        for _ in 1..streams.max(1) {
            databases.push(BulkConnection::open(url).await?);
        }
        for database in &mut databases {
            database.prepare_for_load().await?;
        }
        let backends: Vec<i32> = databases.iter().map(BulkConnection::backend).collect();
        let mut interrupt = self.interrupt.clone();
        let result = tokio::select! {
            result = self.fill_bare(&mut databases) => Some(result),
            () = interrupt.asked() => None,
        };
        if let Some(Ok(())) = result {
            for database in databases {
                database.close().await;
            }
            return Ok(true);
        }
        // The sessions are in the middle of something: a new one does the rest.
        drop(databases);
        eprintln!("cleaning up");
        let cleaned = clean_up_after(url, &backends, self.runtime).await;
        match (cleaned, result) {
            (Ok(()), Some(Err(error))) => {
                Err(error.context("the load failed, and nothing of it stays"))
            }
            (Ok(()), _) => Ok(false),
            (Err(cleaning), result) => {
                let error = match result {
                    Some(Err(error)) => error,
                    _ => anyhow::anyhow!("interrupted"),
                };
                Err(error.context(format!(
                    "the tables are half full and without their indexes, since cleaning up failed too \
                     ({cleaning:#}): run `pitchey seed --clean-up`"
                )))
            }
        }
    }

    async fn fill_bare(&mut self, databases: &mut [BulkConnection]) -> anyhow::Result<()> {
        self.partitions(databases).await?;
        let suspension = databases[0].suspend_indexes().await?;
        let words = Words::default();
        self.copy_all(databases, &words).await?;

        let started = self.runtime.now();
        // The shelves are filled from the pitches, the longest part first; their own indexes follow.
        let (of_listings, others): (Vec<Step>, Vec<Step>) = suspension
            .indexes
            .iter()
            .cloned()
            .partition(|step| step.table == "pitch_listings");
        let mut work: VecDeque<Work> =
            [Work::Listings(of_listings), Work::Words(words.sorted())].into();
        // The words have an index on what they are filled into.
        work.extend(others.into_iter().map(Work::Restore));
        self.work(databases, work).await?;
        self.phase("indexes and lists", started);

        let started = self.runtime.now();
        let keys = suspension.foreign_keys.iter().cloned();
        self.work(databases, keys.map(Work::Restore).collect())
            .await?;
        self.phase("foreign keys", started);

        let differences = databases[0].end_suspension(&suspension).await?;
        if !differences.is_empty() {
            bail!("the catalog is not as it was:\n{}", differences.join("\n"));
        }
        databases[0].invalidate_lists().await?;
        self.settle(databases).await
    }

    async fn partitions(&self, databases: &mut [BulkConnection]) -> anyhow::Result<()> {
        databases[0]
            .ensure_event_partitions(self.world.until_us, ANALYTICS_DAYS, RUM_DAYS)
            .await?;
        Ok(())
    }

    /// Vacuum and figures, without which lists are not read from their indexes alone.
    async fn settle(&mut self, databases: &mut [BulkConnection]) -> anyhow::Result<()> {
        let started = self.runtime.now();
        let tables = BulkConnection::loaded_tables().map(Work::Settle);
        self.work(databases, tables.collect()).await?;
        self.phase("vacuum and statistics", started);
        let started = self.runtime.now();
        databases[0].refresh_stats().await?;
        self.phase("figures of pitches", started);
        Ok(())
    }

    fn phase(&mut self, phase: &'static str, started: Monotonic) {
        let seconds = self.done(phase, started);
        self.report.phases.push(PhaseReport { phase, seconds });
    }

    /// Says how long something took, in seconds.
    fn done(&self, what: &str, started: Monotonic) -> f64 {
        let time = self.runtime.now() - started;
        if time >= WORTH_A_LINE {
            eprintln!("{what}: {}", duration(time));
        }
        time.as_secs_f64()
    }

    async fn copy_all(
        &mut self,
        databases: &mut [BulkConnection],
        words: &Words,
    ) -> anyhow::Result<()> {
        for load in load::loads(&self.world, words) {
            let table = load.table;
            self.copy(databases, &load).await?;
            if table == "pitches" {
                let views = self.views(databases.len()).await?;
                let load = load::views(&self.world, &Arc::new(views));
                self.copy(databases, &load).await?;
            }
        }
        Ok(())
    }

    /// The views of all pitches in the order of time.
    async fn views(&mut self, threads: usize) -> anyhow::Result<Vec<(i64, u32, u32)>> {
        let started = self.runtime.now();
        let pieces = split(self.world.pitches, threads as u64).map(|range| {
            let world = Arc::clone(&self.world);
            tokio::task::spawn_blocking(move || pitches::all_views(&world, range))
        });
        let pieces: Vec<_> = pieces.collect();
        let mut views = Vec::new();
        for piece in pieces {
            views.extend(piece.await?);
        }
        let views = tokio::task::spawn_blocking(move || {
            views.sort_unstable();
            views
        })
        .await?;
        self.phase("views made and sorted", started);
        Ok(views)
    }

    async fn copy(&mut self, databases: &mut [BulkConnection], load: &Load) -> anyhow::Result<()> {
        let started = self.runtime.now();
        let progress = Mutex::new(Progress::new(load.table, Some(load.count), 0, self.runtime));
        let shared = Shared::new(load, &progress);
        let streams = databases.iter_mut().map(|database| shared.stream(database));
        let rows: u64 = try_join_all(streams).await?.into_iter().sum();
        drop(progress);
        let seconds = self.done(&format!("{}: {} rows", load.table, grouped(rows)), started);
        let known = self
            .report
            .tables
            .iter_mut()
            .find(|table| table.table == load.table);
        match known {
            Some(table) => {
                table.rows += rows;
                table.seconds += seconds;
            }
            None => self.report.tables.push(TableReport {
                table: load.table,
                rows,
                seconds,
            }),
        }
        Ok(())
    }

    /// Does all of `work`, as many at once as there are connections.
    async fn work(
        &mut self,
        databases: &mut [BulkConnection],
        work: VecDeque<Work>,
    ) -> anyhow::Result<()> {
        let queue = Mutex::new(work);
        let rows = Mutex::new(Vec::new());
        let workers = databases.iter_mut().map(async |database| {
            loop {
                let next = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some(next) = next else {
                    return anyhow::Ok(());
                };
                let started = self.runtime.now();
                let name = next.name();
                let done = next
                    .run(database, &queue)
                    .await
                    .with_context(|| name.clone())?;
                let seconds = self.done(&name, started);
                if let Some((table, count)) = done {
                    rows.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(TableReport {
                            table,
                            rows: count,
                            seconds,
                        });
                }
            }
        });
        try_join_all(workers).await?;
        let rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.report.tables.extend(rows);
        Ok(())
    }
}

/// The server may be the reason for the failure: it gets a while to come back.
async fn clean_up_after(
    url: &SecretString,
    backends: &[i32],
    runtime: SystemRuntime,
) -> anyhow::Result<()> {
    const ATTEMPTS: u32 = 30;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let cleaned = async {
            let mut database = BulkConnection::open(url).await?;
            database.end_sessions(backends).await?;
            clean_up(url).await
        };
        match cleaned.await {
            Ok(_) => return Ok(()),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => runtime.sleep(Duration::from_secs(1)).await,
        }
    }
}

/// `0..count` in so many parts.
fn split(count: u64, parts: u64) -> impl Iterator<Item = Range<u64>> {
    let size = count.div_ceil(parts.max(1)).max(1);
    (0..parts.max(1)).map(move |part| (part * size).min(count)..((part + 1) * size).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        for (count, parts) in [(0, 3), (1, 3), (10, 3), (9, 3), (5, 1)] {
            let all: Vec<u64> = split(count, parts).flatten().collect();
            assert!(all.into_iter().eq(0..count));
        }
    }
}
