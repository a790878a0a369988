//! `pitchey cache simulate`: schedules of faults against the promise of the cache, on all cores.
//!
//! A feature, as the switches of the guards have no place in what serves; `cargo build --bins` builds both.

use crate::output::Output;
use pitchey_cache::Guard;
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// What is played.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many schedules; with --guards, within how many each guard must show. 10,000 if not given, and
    /// 200,000 with --guards.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    schedules: Option<u64>,
    /// The seed of the first; each next one is greater by one.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=u64::MAX - MOST))]
    seed: u64,
    /// Switch a guard off. The promise must be broken then.
    #[arg(long, value_name = "GUARD", value_parser = guard, conflicts_with = "guards")]
    without: Option<Guard>,
    /// Switch each guard off in turn, and fail if the promise is kept without one.
    #[arg(long)]
    guards: bool,
    /// How many threads; as many as there are cores if not given.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
}

/// Years of a core.
const MOST: u64 = 1_000_000_000_000;

fn guard(name: &str) -> Result<Guard, String> {
    let found = Guard::ALL.into_iter().find(|guard| guard.name() == name);
    found.ok_or_else(|| {
        let names = Guard::ALL.map(Guard::name).join(", ");
        format!("there is no such guard; there are {names}")
    })
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= 1024);
    threads.ok_or_else(|| "threads are 1 to 1024".to_owned())
}

/// Plays, in a build without the feature: says how to make one.
#[cfg(not(feature = "simulation"))]
pub(crate) fn run(_: Options, _: &mut Output<'_>) -> std::future::Ready<anyhow::Result<ExitCode>> {
    std::future::ready(Err(anyhow::anyhow!(
        "this build has no simulation: run `cargo run --release -p pitchey-ops --features simulation -- \
         cache simulate`"
    )))
}

#[cfg(feature = "simulation")]
pub(crate) use playing::run;

#[cfg(feature = "simulation")]
mod playing {
    use super::{ExitCode, Guard, NonZeroUsize, Options, Output};
    use crate::figures::{duration, grouped, rate};
    use crate::progress::Progress;
    use crate::table::{Table, fields};
    use pitchey_cache::Guards;
    use pitchey_cache::sim::{Played, Violation, play};
    use pitchey_runtime::{Clock as _, SystemRuntime};
    use serde::Serialize;
    use std::fmt::Write as _;
    use std::ops::Range;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    /// Schedules that a thread plays before it takes the next and says how far it is: some milliseconds.
    const CHUNK: u64 = 32;

    /// What playing has shown.
    #[derive(Debug, Default)]
    struct Outcome {
        played: Played,
        schedules: u64,
        /// The one of the lowest seed.
        violation: Option<Box<Violation>>,
    }

    /// What is printed of it.
    #[derive(Debug, Serialize)]
    struct Report {
        schedules: u64,
        first_seed: u64,
        without: Option<&'static str>,
        threads: usize,
        reads: u64,
        failed_reads: u64,
        commits: u64,
        acknowledged: u64,
        unacknowledged: u64,
        steps: u64,
        seconds: f64,
        schedules_per_second: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        violation: Option<Found>,
    }

    /// A violation as JSON.
    #[derive(Debug, Serialize)]
    struct Found {
        seed: u64,
        wrong: String,
        schedule: Vec<String>,
    }

    impl Found {
        fn of(violation: &Violation) -> Self {
            Self {
                seed: violation.seed,
                wrong: violation.wrong.to_string(),
                schedule: violation.schedule.clone(),
            }
        }
    }

    /// What became of the promise without one guard.
    #[derive(Debug, Serialize)]
    struct GuardRow {
        guard: &'static str,
        /// The seed that breaks the promise, if any does.
        seed: Option<u64>,
        violation: Option<String>,
    }

    pub(crate) async fn run(options: Options, output: &mut Output<'_>) -> anyhow::Result<ExitCode> {
        // Off the threads that serve signals and timers.
        let playing = tokio::task::spawn_blocking(move || {
            if options.guards {
                Shown::Guards(each_guard(&options))
            } else {
                Shown::One(Box::new(one(&options)))
            }
        });
        match playing.await? {
            Shown::One(report) => {
                output.show(&report, || text(&report))?;
                Ok(exit(report.violation.is_none()))
            }
            Shown::Guards(rows) => {
                output.show(&rows, || guards_text(&rows))?;
                Ok(exit(rows.iter().all(|row| row.seed.is_some())))
            }
        }
    }

    enum Shown {
        One(Box<Report>),
        Guards(Vec<GuardRow>),
    }

    fn exit(well: bool) -> ExitCode {
        if well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn one(options: &Options) -> Report {
        let clock = SystemRuntime::new();
        let begun = clock.now();
        let schedules = options.schedules.unwrap_or(10_000);
        let threads = threads(options);
        let guards = options.without.map_or(Guards::default(), Guards::without);
        let mut progress = Progress::new("schedules", Some(schedules), 0, clock);
        let seeds = options.seed..options.seed + schedules;
        let outcome = play_all(seeds, guards, threads, |done| progress.at(done, done));
        drop(progress);
        let took = clock.now() - begun;
        let Played {
            reads,
            failed,
            commits,
            acknowledged,
            unacknowledged,
            steps,
        } = outcome.played;
        Report {
            schedules: outcome.schedules,
            first_seed: options.seed,
            without: options.without.map(Guard::name),
            threads: threads.get(),
            reads,
            failed_reads: failed,
            commits,
            acknowledged,
            unacknowledged,
            steps,
            seconds: took.as_secs_f64(),
            schedules_per_second: rate(outcome.schedules, took),
            violation: outcome.violation.as_deref().map(Found::of),
        }
    }

    fn each_guard(options: &Options) -> Vec<GuardRow> {
        let clock = SystemRuntime::new();
        let schedules = options.schedules.unwrap_or(200_000);
        let guards = Guard::ALL.len() as u64;
        let mut progress = Progress::new("guards", Some(guards), 0, clock);
        let rows = Guard::ALL.into_iter().zip(1..).map(|(guard, nth)| {
            let seeds = options.seed..options.seed + schedules;
            let outcome = play_all(seeds, Guards::without(guard), threads(options), |_| {});
            progress.at(nth, nth);
            let violation = outcome.violation;
            GuardRow {
                guard: guard.name(),
                seed: violation.as_ref().map(|violation| violation.seed),
                violation: violation.map(|violation| violation.wrong.to_string()),
            }
        });
        rows.collect()
    }

    fn threads(options: &Options) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        options.threads.unwrap_or_else(cores)
    }

    /// Plays all of them, or those up to the first that breaks the promise: what is found does not depend
    /// on the number of threads, though how many schedules were played beside it does.
    fn play_all(
        seeds: Range<u64>,
        guards: Guards,
        threads: NonZeroUsize,
        mut progress: impl FnMut(u64),
    ) -> Outcome {
        let next = AtomicU64::new(seeds.start);
        let broken = AtomicU64::new(u64::MAX);
        // As many as there are threads may wait: whoever is faster than what shows it does not pile up.
        let (sender, receiver) = mpsc::sync_channel(threads.get());
        let mut all = Outcome::default();
        std::thread::scope(|scope| {
            for _ in 0..threads.get() {
                let (sender, next, broken, end) = (sender.clone(), &next, &broken, seeds.end);
                scope.spawn(move || {
                    loop {
                        let from = next.fetch_add(CHUNK, Ordering::Relaxed);
                        if from >= end {
                            return;
                        }
                        let part = play_some(from..(from + CHUNK).min(end), guards, broken);
                        if sender.send(part).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for part in receiver {
                all.schedules += part.schedules;
                all.played = all.played.and(part.played);
                let seed = |found: &Option<Box<Violation>>| found.as_ref().map(|found| found.seed);
                if part.violation.is_some()
                    && seed(&all.violation)
                        .is_none_or(|lowest| seed(&part.violation) < Some(lowest))
                {
                    all.violation = part.violation;
                }
                progress(all.schedules);
            }
        });
        all
    }

    /// Plays these in their order, for as long as none before them has broken the promise.
    fn play_some(seeds: Range<u64>, guards: Guards, broken: &AtomicU64) -> Outcome {
        let mut some = Outcome::default();
        for seed in seeds {
            if broken.load(Ordering::Relaxed) <= seed {
                break;
            }
            some.schedules += 1;
            match play(seed, guards) {
                Ok(played) => some.played = some.played.and(played),
                Err(violation) => {
                    broken.fetch_min(seed, Ordering::Relaxed);
                    some.violation = Some(violation);
                    break;
                }
            }
        }
        some
    }

    fn text(report: &Report) -> String {
        let took = Duration::from_secs_f64(report.seconds);
        let mut rows = vec![
            ("schedules", grouped(report.schedules)),
            ("first seed", report.first_seed.to_string()),
        ];
        if let Some(guard) = report.without {
            rows.push(("without", guard.to_owned()));
        }
        rows.extend([
            ("reads checked", grouped(report.reads)),
            ("reads failed", grouped(report.failed_reads)),
            ("commits", grouped(report.commits)),
            ("acknowledged", grouped(report.acknowledged)),
            ("not acknowledged", grouped(report.unacknowledged)),
            ("steps", grouped(report.steps)),
            ("threads", report.threads.to_string()),
            ("time", duration(took)),
            ("schedules a second", grouped(report.schedules_per_second)),
            (
                "violations",
                u8::from(report.violation.is_some()).to_string(),
            ),
        ]);
        let mut text = fields(&rows);
        if let Some(Found {
            seed,
            wrong,
            schedule,
        }) = &report.violation
        {
            let _ = writeln!(text, "\nseed {seed}: {wrong}");
            // Writing to a string cannot fail.
            for line in schedule {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    fn guards_text(rows: &[GuardRow]) -> String {
        let mut table = Table::new(&["without", ">seed", "the promise"]);
        for row in rows {
            let seed = row.seed.map_or_else(|| "–".to_owned(), grouped);
            let kept = || "is kept: this guard guards nothing".to_owned();
            let violation = row.violation.clone().unwrap_or_else(kept);
            table.row([row.guard.to_owned(), seed, violation]);
        }
        table.to_text()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn found(threads: usize) -> Option<u64> {
            let threads = NonZeroUsize::new(threads).expect("more than none");
            let guards = Guards::without(Guard::LookupChecksTags);
            let outcome = play_all(0..100_000, guards, threads, |_| {});
            outcome.violation.map(|violation| violation.seed)
        }

        #[test]
        fn the_lowest_seed_is_found_whatever_the_number_of_threads() {
            let alone = found(1);
            assert!(alone.is_some());
            assert_eq!(found(3), alone);
        }

        #[test]
        fn each_schedule_is_played_once() {
            let mut shown = 0;
            let threads = NonZeroUsize::new(3).expect("more than none");
            let outcome = play_all(5..105, Guards::default(), threads, |done| shown = done);
            assert_eq!((outcome.schedules, shown), (100, 100));
            let mut one_by_one = Played::default();
            for seed in 5..105 {
                one_by_one = one_by_one.and(play(seed, Guards::default()).expect("no violation"));
            }
            assert_eq!(outcome.played, one_by_one);
        }
    }
}
