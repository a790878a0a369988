//! The hub beside socket.io, ws, nchan and Sockudo, and what it bears: `cargo xtask bench hub`.
//!
//! Servers run on one core, the load on another. Fan-out is compared by deliveries for each second that the server
//! computed, in turns; idle connections by the memory that each costs. Storms, slow readers and drains are the
//! hub's alone: `pitchey hub load` brings them and checks that nothing is lost, told twice or out of order.

#[path = "../measuring/cores.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod cores;
mod crowd;
mod fan_out;
#[path = "../measuring/machine.rs"]
mod machine;
#[path = "../measuring/npm.rs"]
mod npm;
mod servers;
#[path = "../measuring/spread.rs"]
mod spread;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use pitchey_testkit::TestRedis;
use pitchey_testkit::guard::Guard;
use serde_json::{Map, Value, json};
use servers::Bench;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(about = "The hub beside socket.io, ws, nchan and Sockudo, and what it bears")]
struct Options {
    /// Measure these parts alone.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often every server has its turn in the fan-out.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a turn is.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How many connect where it is many.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=15_000))]
    connections: u32,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Connections that do nothing.
    Idle,
    /// Updates to many.
    FanOut,
    /// All are cut off at once.
    Storm,
    /// One in a hundred reads nothing.
    Slow,
    /// A hub sends all to another.
    Drain,
}

/// What came of a part: a table, and the same for programs.
struct Found {
    text: String,
    figures: Value,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        eprintln!("SKIPPED: bench hub measures nothing: server and load need a core each");
        return Ok(ExitCode::SUCCESS);
    }
    let target =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    let target = PathBuf::from(target);
    std::fs::create_dir_all(&target)?;
    let machine = machine::machine()?;
    let scratch = tempfile::tempdir()?;
    let guard = Guard::start(Duration::from_secs(2))?;
    let bench = Bench::new(&target, scratch.path(), &guard)?;

    let parts = match options.only.as_slice() {
        [] => Part::value_variants(),
        only => only,
    };
    let file = target.join("hub.json");
    let mut all = known(&file, &options);
    println!(
        "{}, {} cores, Linux {}, load average before: {}; servers on core {}, load on core {}\n",
        machine["cpu"].as_str().unwrap_or_default(),
        machine["cores"],
        machine["kernel"].as_str().unwrap_or_default(),
        machine["load_average"].as_str().unwrap_or_default(),
        cores::SERVERS,
        cores::LOAD,
    );
    for part in parts {
        let found = match part {
            Part::Idle => crowd::idle(&bench, options.connections)?,
            Part::FanOut => fan_out::measure(&bench, options.rounds, options.seconds)?,
            Part::Storm => crowd::storm(&bench, options.connections)?,
            Part::Slow => crowd::slow(&bench)?,
            Part::Drain => {
                let tokio = tokio::runtime::Runtime::new()?;
                let redis = tokio.block_on(TestRedis::new());
                crowd::drain(&bench, options.connections, &redis)?
            }
        };
        println!("{}", found.text);
        let name = part.to_possible_value().context("each has a name")?;
        all.insert(name.get_name().to_owned(), found.figures);
    }
    let report = json!({
        "bench": "hub",
        "machine": machine,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "parts": all,
    });
    std::fs::write(file, format!("{report:#}\n"))?;
    ensure!(
        bench.is_whole(),
        "SKIPPED: a peer is not among them, see above"
    );
    Ok(ExitCode::SUCCESS)
}

/// What was measured before of the parts that are left out now.
fn known(file: &std::path::Path, options: &Options) -> Map<String, Value> {
    if options.only.is_empty() {
        return Map::new();
    }
    let text = std::fs::read(file).unwrap_or_default();
    let before: Value = serde_json::from_slice(&text).unwrap_or_default();
    before["parts"].as_object().cloned().unwrap_or_default()
}
