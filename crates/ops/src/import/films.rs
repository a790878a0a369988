//! The run of an import: batches from the reader go to the database one after the other.

use super::mapping::{Mapper, SOURCE};
use super::reader::{End, Reader, Rejection, Repetition};
use super::report::{Ended, Report};
use super::source;
use crate::interrupt::Interrupt;
use anyhow::{Context as _, bail};
use pitchey_runtime::{Clock as _, SystemRuntime, Timer as _, uuid_v7};
use pitchey_store_pg::bulk::{BulkConnection, BulkError, Film, ImportProgress};
use secrecy::SecretString;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// From so many changed pitches on, the tables are vacuumed at the end.
const SETTLE_FROM: u64 = 1000;
/// Batches that wait while one is being written.
const WAITING_BATCHES: usize = 2;

/// How films are imported.
#[derive(Debug, Clone)]
pub struct FilmsOptions {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// How many bad lines are tolerated.
    pub max_errors: u64,
    /// The name of the account that films without a cast belong to.
    pub catalogue: String,
    /// Whether to go on where a run of the same file was cut off.
    pub resume: bool,
    /// Films in a transaction.
    pub batch_size: usize,
}

impl FilmsOptions {
    /// The defaults of the command line.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            max_errors: 1000,
            catalogue: "back-catalogue".to_owned(),
            resume: true,
            batch_size: 1000,
        }
    }
}

/// Is told what happens while it happens.
pub trait Observer {
    /// The file has so many bytes, if that is known, and so many lines were done by the run before.
    fn begun(&mut self, length: Option<u64>, lines_done: u64);
    /// A line was refused.
    fn rejected(&mut self, rejection: &Rejection);
    /// A line was about a film that an earlier line was about.
    fn repeated(&mut self, repetition: &Repetition);
    /// A batch is committed; `position` bytes of the file were read. A break stops the run in order.
    fn batch_done(&mut self, lines_done: u64, position: u64) -> ControlFlow<()>;
}

/// How long an import waits for one before it to end, and how long between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Imports the films of a file.
pub async fn import_films(
    options: &FilmsOptions,
    database_url: &SecretString,
    runtime: SystemRuntime,
    mut interrupt: Interrupt,
    observer: &mut impl Observer,
) -> anyhow::Result<Report> {
    let started = runtime.now();
    let mapper = Mapper::new(&options.catalogue, runtime.wall())
        .context("the catalogue's name must have a letter a-z or a digit")?;
    let path = options.file.clone();
    let source = tokio::task::spawn_blocking(move || source::open(&path)).await??;
    let (position, length) = (source.position, source.length);

    let mut database = BulkConnection::open(database_url).await?;
    // The server may need a moment to notice that a run before this one was cut off.
    let give_up = started + LOCK_PATIENCE;
    while !database.try_lock("pitchey import films").await? {
        if runtime.now() >= give_up {
            bail!("another import of films is running on this database");
        }
        runtime.sleep(LOCK_PAUSE).await;
    }
    let unfinished = match &source.sha256 {
        Some(hash) if options.resume => database.unfinished_import(SOURCE, hash).await?,
        _ => None,
    };
    let mut progress = match unfinished {
        Some(progress) => progress,
        None => {
            let id = uuid_v7(&runtime, &runtime);
            let hash = source.sha256.as_ref();
            database.begin_import(id, SOURCE, hash).await?
        }
    };
    let skip = progress.lines_done;
    observer.begun(length, skip);

    let reader = Reader {
        mapper,
        skip,
        batch_size: options.batch_size.max(1),
        max_errors: options.max_errors,
    };
    let (sender, mut batches) = mpsc::channel(WAITING_BATCHES);
    let text = source.text;
    // It ends when `batches` is dropped. Nobody waits for it: it may hang in a read of standard input.
    std::thread::Builder::new()
        .name("film-reader".to_owned())
        .spawn(move || reader.run(text, &sender))?;

    let mut report = Report::new(skip);
    let before = progress.counts;
    loop {
        let batch = tokio::select! {
            biased;
            () = interrupt.asked() => break report.ended = Ended::Interrupted,
            batch = batches.recv() => batch.context("the reader has died")?,
        };
        report.batch(&batch, observer);
        write(
            &mut database,
            batch.films,
            batch.last_line,
            batch.rejected,
            &mut progress,
        )
        .await
        .with_context(|| left_off(&progress))?;
        let go_on = observer.batch_done(progress.lines_done, position.load(Ordering::Relaxed));
        match batch.end {
            Some(End::Whole(adjustments)) => {
                report.adjustments = adjustments;
                database
                    .finish_import(progress.id, SOURCE, source.sha256.as_ref())
                    .await?;
                break report.ended = Ended::Whole;
            }
            Some(End::TooManyErrors) => break report.ended = Ended::TooManyErrors,
            Some(End::Failed(error)) => return Err(error.context(left_off(&progress))),
            None if go_on.is_break() => break report.ended = Ended::Interrupted,
            None => {}
        }
    }
    report.counts(&progress, &before);
    if report.created + report.updated >= SETTLE_FROM {
        database.settle_after_import().await?;
    }
    database.close().await;
    report.seconds = (runtime.now() - started).as_secs_f64();
    Ok(report)
}

async fn write(
    database: &mut BulkConnection,
    films: Vec<Film>,
    last_line: u64,
    rejected: u64,
    progress: &mut ImportProgress,
) -> Result<(), BulkError> {
    // While the lines of an earlier run are read again there is nothing to write down.
    if last_line > progress.lines_done {
        database
            .import_films(SOURCE, &films, last_line, rejected, progress)
            .await?;
    }
    Ok(())
}

fn left_off(progress: &ImportProgress) -> String {
    format!(
        "stopped; everything up to line {} is in, and the same command goes on from there",
        progress.lines_done
    )
}
