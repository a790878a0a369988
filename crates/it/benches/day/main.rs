//! A day of readers, crawlers and editors through the gateway, in ten minutes; and how soon a thousand edits are
//! seen through gateways and through the worker: `cargo xtask bench day`.
//!
//! The day is made up, the same for the same seed: popularity by Zipf's law, more readers in the evening than at
//! night, an audience for each pitch, people who go through lists, crawlers, edits, and pitches that are new. Its
//! requests are made when they are due, whatever the answers do, and each wait is counted from then.

#[path = "../../tests/it/cache_site.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod cache_site;
#[path = "../../tests/it/client.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod client;
mod edits;
#[path = "../measuring/machine.rs"]
mod machine;
#[path = "../measuring/percentile.rs"]
mod percentile;
mod places;
mod replay;
mod report;
mod script;

use anyhow::{Context as _, Result, ensure};
use cache_site::PATIENCE;
use clap::Parser;
use client::Client;
use pitchey_ops::Interrupt;
use pitchey_ops::seed::{SeedOptions, seed};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_testkit::{Gateway, Origin, OwnedRedis, Program, TestDb, Worker};
use places::Places;
use replay::Counts;
use report::Report;
use script::Script;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const SECRET: &str = "what edges show to origins in this bench";

#[derive(Debug, Parser)]
#[command(about = "A day of readers through the gateway, and a thousand edits")]
struct Options {
    /// How long the day is made.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(5..=3600))]
    seconds: u32,
    /// Requests of the day, on average, for each second of it.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,
    /// Pitches that there are at the beginning.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(500..=1_000_000))]
    pitches: u32,
    /// Edits in a row, each looked for at once.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    edits: u32,
    /// The day.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is dropped first stops first.
struct Stage {
    worker: Option<Worker>,
    gateways: [Gateway; 2],
    origin: Origin,
    _redis: OwnedRedis,
}

impl Stage {
    async fn start(database: &str) -> Result<Self> {
        let redis = block_in_place(OwnedRedis::start)?;
        let program = Program::origin()
            .env("DATABASE_URL", database)
            .env("PITCHEY_CACHE__URL", redis.url())
            .env("PITCHEY_CACHE__EDGE_KEY", SECRET)
            .env("PITCHEY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]")
            // All readers of the day have one address here.
            .env("PITCHEY_LIMITS__READ", "off")
            .env("PITCHEY_LIMITS__WRITE", "off")
            .env("PITCHEY_LIMITS__AUTH", "off")
            .env("PITCHEY_LOG__FILTER", "warn");
        let origin = block_in_place(|| Origin::start_with(&program))?;
        let program = Gateway::program(&format!("http://{}", origin.address()))
            .args(["--pitchey"])
            .env("GATEWAY_PITCHEY__SECRET", SECRET)
            .env("GATEWAY_PITCHEY__REDIS_URL", redis.url())
            .env("GATEWAY_LIMITS__CLIENTS", "0");
        let gateway = || block_in_place(|| Gateway::start(&program));
        let worker = Worker::is_there().then(|| {
            let program = Worker::program(&format!("http://{}", origin.address()))?;
            let program = program
                .env("WORKER_PITCHEY__SECRET", SECRET)
                .env("WORKER_LIMITS__CLIENTS", "0");
            block_in_place(|| Worker::start(&program))
        });
        let stage = Self {
            worker: worker.transpose()?,
            gateways: [gateway()?, gateway()?],
            origin,
            _redis: redis,
        };
        let until = Instant::now() + PATIENCE;
        for edge in stage.edges() {
            while edge.get("/__edge/health", &[]).await?.json()["attached"] != true {
                ensure!(Instant::now() < until, "an edge does not hear Redis");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(stage)
    }

    fn edges(&self) -> [Client; 2] {
        self.gateways
            .each_ref()
            .map(|edge| Client::new(edge.address()))
    }
}

async fn run() -> Result<bool> {
    let directory =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    let options = Options::parse();
    let machine = machine::machine()?;
    let script = Script::new(&options);
    let database = TestDb::new().await;
    let clock = SystemRuntime::new();
    // Not all of them are public.
    let seeding = SeedOptions::new(u64::from(options.pitches) * 2, clock.wall());
    seed(&seeding, &database.url().into(), clock, Interrupt::never()).await?;

    let mut stage = Stage::start(database.url()).await?;
    let [edge, other] = stage.edges();
    let places = Places::fill(&edge, &script).await?;
    let metrics = Client::new(stage.origin.metrics_address());
    let before = Counts::of(&metrics).await?;
    let day = replay::replay(&edge, &script, &places).await?;
    let after = Counts::of(&metrics).await?;
    let edits = edits::edits(&edge, &other, options.edits).await?;
    let bounded = match &stage.worker {
        Some(worker) => {
            let worker = Client::new(worker.address());
            Some(edits::bounded(&worker, options.edits).await?)
        }
        None => None,
    };
    for gateway in &mut stage.gateways {
        block_in_place(|| gateway.stop())?;
    }
    block_in_place(|| stage.origin.stop())?;

    let report = Report {
        machine,
        options,
        day,
        database: after.since(&before),
        edits,
        bounded,
    };
    print!("{}", report.table());
    std::fs::create_dir_all(&directory)?;
    let file = std::path::Path::new(&directory).join("day.json");
    std::fs::write(file, format!("{:#}\n", report.json()))?;
    Ok(report.is_sound())
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    Ok(if run().await? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
