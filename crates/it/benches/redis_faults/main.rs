//! What readers feel while Redis fails and comes back: `cargo xtask bench redis_faults`.
//!
//! Readers ask at a fixed rate, whatever the answers do, and each wait is counted from the moment that was
//! planned for its request. Each fault has an origin and a Redis of its own in each round, and three phases
//! of the same length: before it, during it, after it. `PITCHEY_BENCH_QUICK=1` only shows that it works.

#[path = "../../tests/it/client.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod client;
mod load;
#[path = "../measuring/machine.rs"]
mod machine;
#[path = "../measuring/percentile.rs"]
mod percentile;
mod report;
mod watch;

use anyhow::{Context as _, Result};
use client::Client;
use load::{Asked, Phase, Targets, browse};
use pitchey_ops::Interrupt;
use pitchey_ops::seed::{SeedOptions, seed};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_testkit::{Origin, OwnedRedis, Program, TestDb};
use report::Report;
use std::time::Duration;
use tokio::time::Instant;
use watch::{Course, Figures, Watch};

/// What is measured, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) phase: Duration,
    /// Well below what one core serves from the database, so that waits are those of single requests.
    pub(crate) per_second: u32,
    pub(crate) pitches: u64,
}

fn plan() -> Plan {
    let quick = std::env::var_os("PITCHEY_BENCH_QUICK").is_some();
    Plan {
        rounds: if quick { 1 } else { 5 },
        phase: Duration::from_secs(if quick { 2 } else { 5 }),
        per_second: 300,
        pitches: if quick { 500 } else { 5_000 },
    }
}

/// What is done to Redis, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Hung,
    Emptied,
    ReadOnly,
    Full,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] = [
        Self::Killed,
        Self::Hung,
        Self::Emptied,
        Self::ReadOnly,
        Self::Full,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Emptied => "restarted empty",
            Self::ReadOnly => "read-only",
            Self::Full => "full",
        }
    }

    fn begin(self, redis: &mut OwnedRedis) -> Result<()> {
        match self {
            Self::Killed => redis.kill(),
            Self::Hung => redis.pause(),
            Self::Emptied => redis.restart_empty(),
            Self::ReadOnly => redis.make_read_only(),
            Self::Full => redis.make_full(),
        }
    }

    fn end(self, redis: &mut OwnedRedis) -> Result<()> {
        match self {
            Self::Killed => redis.restart(),
            Self::Hung => redis.resume(),
            Self::Emptied => Ok(()),
            Self::ReadOnly | Self::Full => redis.make_writable(),
        }
    }
}

/// One fault in one round.
pub(crate) struct Turn {
    pub(crate) fault: Fault,
    pub(crate) phases: [Phase; 3],
    pub(crate) course: Course,
}

async fn turn(fault: Fault, plan: &Plan, database: &str, seed: u64) -> Result<Turn> {
    let mut redis = tokio::task::block_in_place(OwnedRedis::start)?;
    let program = Program::origin()
        .env("DATABASE_URL", database)
        .env("PITCHEY_CACHE__URL", redis.url())
        .env("PITCHEY_LOG__FILTER", "warn");
    let mut origin = tokio::task::block_in_place(|| Origin::start_with(&program))?;
    let client = Client::new(origin.address());
    let metrics = Client::new(origin.metrics_address());
    Watch::until_attached(&metrics).await?;
    let mut targets = Targets::find(&client, seed).await?;
    // Memory and Redis have what is hot before it counts.
    browse(&client, &mut targets, plan, plan.phase).await?;

    let watch = Watch::start(metrics.clone());
    let start = Instant::now();
    let whole = tokio::spawn({
        let (client, plan) = (client.clone(), *plan);
        async move { browse(&client, &mut targets, &plan, plan.phase * 3).await }
    });
    let mut edges = vec![Figures::of(&metrics).await?];
    tokio::time::sleep_until(start + plan.phase).await;
    edges.push(Figures::of(&metrics).await?);
    let begun = Instant::now();
    tokio::task::block_in_place(|| fault.begin(&mut redis))?;
    let came_back = Instant::now();
    tokio::time::sleep_until(start + plan.phase * 2).await;
    edges.push(Figures::of(&metrics).await?);
    tokio::task::block_in_place(|| fault.end(&mut redis))?;
    let ended = if fault == Fault::Emptied {
        came_back
    } else {
        Instant::now()
    };
    let asked: Vec<Asked> = whole.await??;
    edges.push(Figures::of(&metrics).await?);
    let samples = watch.stop().await?;
    tokio::task::block_in_place(|| origin.stop())?;

    let phases = [0, 1, 2].map(|number: u32| {
        let from = start + plan.phase * number;
        let of = asked.iter();
        let of = of.filter(|one| one.planned >= from && one.planned < from + plan.phase);
        let at = number as usize;
        let reads = edges[at + 1]
            .database_reads
            .saturating_sub(edges[at].database_reads);
        Phase::of(of, reads)
    });
    Ok(Turn {
        fault,
        phases,
        course: Course::of(&samples, begun, ended),
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    let plan = plan();
    let machine = machine::machine()?;
    let database = TestDb::new().await;
    let clock = SystemRuntime::new();
    let options = SeedOptions::new(plan.pitches, clock.wall());
    seed(&options, &database.url().into(), clock, Interrupt::never()).await?;

    let mut turns = Vec::new();
    for round in 0..plan.rounds {
        for n in 0..Fault::ALL.len() {
            // Another one first in each round.
            let fault = Fault::ALL[(n + round) % Fault::ALL.len()];
            let turn = turn(fault, &plan, database.url(), round as u64).await;
            turns.push(turn.with_context(|| format!("Redis {}", fault.name()))?);
        }
    }
    let report = Report {
        machine,
        plan,
        turns,
    };
    print!("{}", report.table());
    std::fs::create_dir_all(&directory)?;
    let file = std::path::Path::new(&directory).join("redis_faults.json");
    std::fs::write(file, format!("{:#}\n", report.json()))?;
    Ok(())
}
