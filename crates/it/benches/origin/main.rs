//! What the origin adds to a bare answer, and what it saves beside Node: `cargo xtask bench origin`.
//!
//! The same answers come from the origin, from hyper with nothing around it, and from Fastify. Each server runs
//! alone on one core and `wrk` on another, and they take turns. What counts is requests for each second that the
//! server computed: a server that is kept waiting by its load loses nothing by it.

mod answers;
mod bare;
#[path = "../measuring/cores.rs"]
mod cores;
mod load;
#[path = "../measuring/machine.rs"]
mod machine;
#[path = "../measuring/npm.rs"]
mod npm;
mod peers;
mod report;
#[path = "../measuring/spread.rs"]
mod spread;
#[path = "../measuring/wrk.rs"]
mod wrk;

use answers::{Answers, Asked};
use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use load::Load;
use peers::Server;
use pitchey_ops::Interrupt;
use pitchey_ops::seed::{SeedOptions, seed};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::{TestDb, TestRedis};
use report::{Measured, Report};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wrk::Window;

/// How many pitches are asked for where it is not one.
const PITCHES_ASKED: usize = 1_000;

/// A window before the first counted one lets caches, branch predictors and V8's compilers settle.
const WARMING: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(about = "The origin beside bare hyper and Fastify")]
struct Options {
    /// How often every server has its turn with every kind of request.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a turn is.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Connections of the load, each with one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// How many pitches the database has.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(2_000..=1_000_000))]
    pitches: u64,
    /// Serve these answers without anything around them, instead of measuring.
    #[arg(long, hide = true, requires = "address")]
    answers: Option<PathBuf>,
    /// Where to serve them.
    #[arg(long, hide = true)]
    address: Option<std::net::SocketAddr>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A kind of request.
#[derive(Debug, Clone, Copy)]
struct Workload {
    name: &'static str,
    asked: Asked,
    /// Whether the client takes gzip and Brotli.
    coded: bool,
}

const WORKLOADS: [Workload; 6] = [
    workload("one pitch", Asked::One, false),
    workload("one pitch, coded", Asked::One, true),
    workload("1,000 pitches", Asked::Many, false),
    workload("1,000 pitches, coded", Asked::Many, true),
    workload("trending", Asked::Trending, false),
    workload("trending, coded", Asked::Trending, true),
];

const fn workload(name: &'static str, asked: Asked, coded: bool) -> Workload {
    Workload { name, asked, coded }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    // As the origin makes its own, so that bare hyper has the same.
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let (Some(answers), Some(address)) = (&options.answers, options.address) {
        tokio.block_on(bare::serve(answers, address))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(reason) = wrk::available() {
        eprintln!("SKIPPED: bench origin measures nothing: {reason:#}");
        return Ok(ExitCode::SUCCESS);
    }
    tokio.block_on(measure(&options))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options) -> Result<()> {
    let target =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    let target = PathBuf::from(target);
    let machine = machine::machine()?;
    let database = TestDb::new().await;
    let (origins, fastifys) = (TestRedis::new().await, TestRedis::new().await);
    let clock = SystemRuntime::new();
    let seeding = SeedOptions::new(options.pitches, clock.wall());
    seed(&seeding, &database.url().into(), clock, Interrupt::never()).await?;

    let scratch = tempfile::tempdir()?;
    let guard = Guard::start(Duration::from_secs(2))?;
    let (database, redis) = (database.url(), origins.url());
    let origin = tokio::task::block_in_place(|| Server::origin(database, &redis, true))?;
    let answers = Answers::record(origin.address(), PITCHES_ASKED).await?;
    let quiet = tokio::task::block_in_place(|| Server::origin(database, &redis, false))?;
    let file = scratch.path().join("answers.json");
    answers.write(&file)?;
    let bare =
        tokio::task::block_in_place(|| Server::bare(&file, answers.hot(), scratch.path(), &guard))?;
    let mut servers = vec![origin, quiet, bare];
    let fastify = tokio::task::block_in_place(|| {
        let (bench, redis) = (&target, fastifys.url());
        Server::fastify(
            bench,
            database,
            &redis,
            answers.hot(),
            scratch.path(),
            &guard,
        )
    });
    match fastify {
        Ok(server) => servers.push(server),
        Err(reason) => eprintln!("SKIPPED: Fastify: {reason:#}"),
    }
    for server in &servers {
        answers
            .compare(server.address(), server.is_bare())
            .await
            .with_context(|| format!("what {} answers", server.name()))?;
    }

    let load = Load::new(&answers, options.connections, scratch.path(), &guard)?;
    let measured = tokio::task::block_in_place(|| rounds(options, &load, &mut servers))?;
    let sizes = WORKLOADS.map(|workload| answers.mean_size(workload.asked, workload.coded));
    let report = Report {
        machine,
        rounds: options.rounds,
        seconds: options.seconds,
        connections: options.connections,
        pitches: options.pitches,
        skipped_fastify: servers.len() < 4,
        measured,
        sizes,
    };
    print!("{}", report.table());
    std::fs::create_dir_all(&target)?;
    let text = format!("{:#}\n", report.json());
    std::fs::write(target.join("origin.json"), text)?;
    Ok(())
}

/// Every server in its turn, another one first in each round.
fn rounds(options: &Options, load: &Load<'_>, servers: &mut [Server]) -> Result<Vec<Measured>> {
    let turn = Duration::from_secs(options.seconds.into());
    let mut measured: Vec<Measured> = Vec::new();
    for (number, workload) in WORKLOADS.iter().enumerate() {
        for server in servers.iter() {
            measured.push(Measured::new(number, server.name()));
            window(load, server, workload, WARMING)?;
        }
    }
    for round in 0..options.rounds as usize {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for (number, workload) in WORKLOADS.iter().enumerate() {
            for turn_of in 0..servers.len() {
                let place = (turn_of + round) % servers.len();
                let server = &mut servers[place];
                let window = window(load, server, workload, turn)?;
                server.forget_log()?;
                measured[number * servers.len() + place]
                    .windows
                    .push(window);
            }
        }
    }
    Ok(measured)
}

fn window(
    load: &Load<'_>,
    server: &Server,
    workload: &Workload,
    length: Duration,
) -> Result<Window> {
    let window = load
        .run(server, workload.asked, workload.coded, length)
        .with_context(|| format!("{} from {}", workload.name, server.name()))?;
    ensure!(
        window.errors == 0,
        "{} of {} requests for {} failed at {}",
        window.errors,
        window.requests,
        workload.name,
        server.name()
    );
    Ok(window)
}
