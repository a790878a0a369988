//! The edge on Workers beside Hono, both in workerd: `cargo xtask bench worker`.
//!
//! Both stand in front of the same server as the edge of Pitchey does, and answer the same route from the memory
//! of their isolate. Each workerd runs alone on one core and `wrk` on another, and they take turns. What counts
//! is requests for each second that workerd computed. How soon a fresh workerd has answered its first request is
//! measured, too.

#[path = "../measuring/beside.rs"]
mod beside;
#[path = "../measuring/cores.rs"]
mod cores;
#[path = "../measuring/machine.rs"]
mod machine;
#[path = "../measuring/npm.rs"]
mod npm;
mod pitches;
mod servers;
#[path = "../measuring/spread.rs"]
mod spread;
#[path = "../measuring/upstream.rs"]
mod upstream;
#[path = "../measuring/wrk.rs"]
mod wrk;

use anyhow::{Context as _, Result};
use beside::{Peer, Turns, report};
use clap::Parser;
use pitches::PITCHES;
use pitchey_testkit::guard::Guard;
use serde_json::{Value, json};
use servers::{Isolate, Server, Workerd};
use spread::Spread;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use upstream::Upstream;

/// What the target asks for, of requests for each second of computing.
const WANTED: f64 = 1.0;

#[derive(Debug, Parser)]
#[command(about = "The edge on Workers beside Hono")]
struct Options {
    #[command(flatten)]
    turns: Turns,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Err(reason) = wrk::available() {
        eprintln!("SKIPPED: bench worker measures nothing: {reason:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let target =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    let machine = machine::machine()?;
    let scratch = tempfile::tempdir()?;
    let guard = Guard::start(Duration::from_secs(2))?;
    let upstream = Upstream::start(pitches::says)?;
    let workerd = Workerd::find()?;
    let isolates = workerd.isolates(&guard)?;

    let mut starts = vec![Vec::new(); isolates.len()];
    for round in 0..options.turns.rounds as usize {
        for turn_of in 0..isolates.len() {
            let place = (turn_of + round) % isolates.len();
            let started = isolates[place].start(&upstream, scratch.path(), &guard)?;
            starts[place].push(started.took.as_secs_f64() * 1000.0);
        }
    }
    let servers = isolates
        .iter()
        .map(|isolate| isolate.start(&upstream, scratch.path(), &guard))
        .collect::<Result<Vec<_>>>()?;
    let peers: Vec<Peer> = servers.iter().map(Server::peer).collect();
    let paths = PITCHES.map(|(id, _)| format!("/api/pitches/{id}"));
    let turns = options.turns;
    let asked = upstream.asked();
    let measured = turns.take(&paths, &peers, scratch.path(), &guard, || {})?;
    let asked = upstream.asked() - asked;
    let bodies: Vec<Value> = PITCHES
        .iter()
        .zip(&measured)
        .map(|((_, bytes), windows)| report(&format!("{bytes} bytes"), WANTED, &peers, windows))
        .collect();
    println!("\nthe server behind was asked {asked} times, for what was renewed");
    let mut rows = Vec::new();
    for (Isolate { name, .. }, starts) in isolates.iter().zip(starts) {
        let spread = Spread::of(starts);
        println!(
            "{name}: {:.0} ms ({:.0}–{:.0}) from the start of workerd to its first answer",
            spread.median, spread.least, spread.most
        );
        rows.push(json!({"server": name, "first_answer_ms": spread.json()}));
    }
    let figures = json!({
        "bench": "worker",
        "machine": machine,
        "rounds": turns.rounds,
        "seconds": turns.seconds,
        "connections": turns.connections,
        "bodies": bodies,
        "starts": rows,
        "asked_behind": asked,
    });
    let target = PathBuf::from(target);
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("worker.json"), format!("{figures:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
