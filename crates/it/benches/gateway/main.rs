//! The gateway as a caching proxy beside Varnish and nginx: `cargo xtask bench gateway`.
//!
//! All three stand in front of the same server, which answers once for each body and is not asked again: what is
//! measured are answers from the cache. Each runs alone on one core and `wrk` on another, and they take turns.
//! What counts is requests for each second that the server computed.

#[path = "../measuring/beside.rs"]
mod beside;
mod bodies;
#[path = "../measuring/cores.rs"]
mod cores;
#[path = "../measuring/machine.rs"]
mod machine;
mod servers;
#[path = "../measuring/spread.rs"]
mod spread;
#[path = "../measuring/upstream.rs"]
mod upstream;
#[path = "../measuring/wrk.rs"]
mod wrk;

use anyhow::{Context as _, Result, ensure};
use beside::{Peer, Turns, report};
use clap::Parser;
use pitchey_testkit::guard::Guard;
use serde_json::{Value, json};
use servers::{GATEWAY, NGINX, Server, VARNISH};
use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use upstream::Upstream;

/// What the target asks for, of requests for each second of computing.
const WANTED: f64 = 1.0;

#[derive(Debug, Parser)]
#[command(about = "The gateway beside Varnish and nginx")]
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
        eprintln!("SKIPPED: bench gateway measures nothing: {reason:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let target =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    let machine = machine::machine()?;
    let scratch = tempfile::tempdir()?;
    let guard = Guard::start(Duration::from_secs(2))?;
    let upstream = Upstream::start(bodies::says)?;

    let mut servers = Vec::new();
    for name in [GATEWAY, VARNISH, NGINX] {
        match Server::start(name, upstream.address(), scratch.path(), &guard) {
            Ok(server) => servers.push(server),
            Err(reason) if name != GATEWAY => eprintln!("SKIPPED: {name}: {reason:#}"),
            Err(reason) => return Err(reason),
        }
    }
    let peers: Vec<Peer> = servers.iter().map(Server::peer).collect::<Result<_>>()?;
    let paths = bodies::BODIES.map(|bytes| format!("/{bytes}"));
    let asked = Cell::new(0);
    let turns = options.turns;
    let measured = turns.take(&paths, &peers, scratch.path(), &guard, || {
        asked.set(upstream.asked());
    })?;
    ensure!(
        upstream.asked() == asked.get(),
        "the server behind was asked {} times while answers were to come from the caches",
        upstream.asked() - asked.get()
    );
    let bodies: Vec<Value> = bodies::BODIES
        .iter()
        .zip(&measured)
        .map(|(bytes, windows)| report(&format!("{bytes} bytes"), WANTED, &peers, windows))
        .collect();
    let figures = json!({
        "bench": "gateway",
        "machine": machine,
        "rounds": turns.rounds,
        "seconds": turns.seconds,
        "connections": turns.connections,
        "bodies": bodies,
    });
    let target = PathBuf::from(target);
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("gateway.json"), format!("{figures:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
