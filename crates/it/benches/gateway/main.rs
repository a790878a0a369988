//! The gateway as a caching proxy beside Varnish and nginx: `cargo xtask bench gateway`.
//!
//! All three stand in front of the same server, which answers once for each body and is not asked again: what is
//! measured are answers from the cache. Each runs alone on one core and `wrk` on another, and they take turns.
//! What counts is requests for each second that the server computed.

#[path = "../measuring/cores.rs"]
mod cores;
#[path = "../measuring/machine.rs"]
mod machine;
mod servers;
#[path = "../measuring/spread.rs"]
mod spread;
mod upstream;
#[path = "../measuring/wrk.rs"]
mod wrk;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use pitchey_testkit::guard::Guard;
use serde_json::{Value, json};
use servers::{GATEWAY, NGINX, Server, VARNISH};
use spread::Spread;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use upstream::Upstream;
use wrk::Window;

/// A window before the first counted one: every server has then asked for every body.
const WARMING: Duration = Duration::from_secs(2);

/// What the target asks for, of requests for each second of computing.
const WANTED: f64 = 1.0;

#[derive(Debug, Parser)]
#[command(about = "The gateway beside Varnish and nginx")]
struct Options {
    /// How often every server has its turn with every body.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a turn is.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Connections of the load, each with one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
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
    let upstream = Upstream::start()?;

    let mut servers = Vec::new();
    for name in [GATEWAY, VARNISH, NGINX] {
        match Server::start(name, upstream.address(), scratch.path(), &guard) {
            Ok(server) => servers.push(server),
            Err(reason) if name != GATEWAY => eprintln!("SKIPPED: {name}: {reason:#}"),
            Err(reason) => return Err(reason),
        }
    }
    let measured = rounds(&options, &upstream, &servers, scratch.path(), &guard)?;
    let bodies: Vec<Value> = upstream::BODIES
        .iter()
        .zip(&measured)
        .map(|(bytes, windows)| report(*bytes, &servers, windows))
        .collect();
    let figures = json!({
        "bench": "gateway",
        "machine": machine,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "bodies": bodies,
    });
    let target = PathBuf::from(target);
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("gateway.json"), format!("{figures:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Of each body, of each server: its turns.
fn rounds(
    options: &Options,
    upstream: &Upstream,
    servers: &[Server],
    scratch: &Path,
    guard: &Guard,
) -> Result<Vec<Vec<Vec<Window>>>> {
    let script = scratch.join("report.lua");
    std::fs::write(&script, wrk::REPORT)?;
    let log = scratch.join("wrk.log");
    let turn = Duration::from_secs(options.seconds.into());
    let run = |server: &Server, bytes: usize, length: Duration| {
        let mut load = wrk::command(options.connections, length, &script);
        load.arg(format!("http://{}/{bytes}", server.address()));
        let window = wrk::run(load, server.worker()?, length, &log, guard)?;
        ensure!(
            window.errors == 0,
            "{} of {} requests failed at {}",
            window.errors,
            window.requests,
            server.name()
        );
        Ok(window)
    };
    for bytes in upstream::BODIES {
        for server in servers {
            run(server, bytes, WARMING)?;
        }
    }
    let asked = upstream.asked();
    let mut measured = vec![vec![Vec::new(); servers.len()]; upstream::BODIES.len()];
    for round in 0..options.rounds as usize {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for (body, bytes) in upstream::BODIES.into_iter().enumerate() {
            for turn_of in 0..servers.len() {
                // Another one first in each round.
                let place = (turn_of + round) % servers.len();
                let window = run(&servers[place], bytes, turn)?;
                measured[body][place].push(window);
            }
        }
    }
    ensure!(
        upstream.asked() == asked,
        "the server behind was asked {} times while answers were to come from the caches",
        upstream.asked() - asked
    );
    Ok(measured)
}

/// Prints the table of one body, and gives the same for the file.
fn report(bytes: usize, servers: &[Server], windows: &[Vec<Window>]) -> Value {
    println!(
        "\n{bytes} bytes\n  {:<10} {:>9} {:>19} {:>9} {:>7} {:>7} {:>7} {:>6}  held up by",
        "server", "req/CPU-s", "(least–most)", "req/s", "p50 ms", "p99 ms", "server", "load"
    );
    let mut rows = Vec::new();
    for (server, windows) in servers.iter().zip(windows) {
        let of =
            |figure: fn(&Window) -> f64| Spread::of(windows.iter().map(figure).collect::<Vec<_>>());
        let per_cpu = of(Window::per_cpu_second);
        let (p50, p99) = (of(|window| window.p50_ms), of(|window| window.p99_ms));
        let shares = (of(Window::server_share), of(Window::load_share));
        let held_up_by = wrk::held_up_by(shares.0.median, shares.1.median);
        println!(
            "  {:<10} {:>9.0} {:>19} {:>9.0} {:>7.2} {:>7.2} {:>6.0}% {:>5.0}%  {held_up_by}",
            server.name(),
            per_cpu.median,
            format!("({:.0}–{:.0})", per_cpu.least, per_cpu.most),
            of(Window::per_second).median,
            p50.median,
            p99.median,
            shares.0.median * 100.0,
            shares.1.median * 100.0,
        );
        rows.push(json!({
            "server": server.name(),
            "requests_per_cpu_s": per_cpu.json(),
            "requests_per_s": of(Window::per_second).json(),
            "p50_ms": p50.json(),
            "p99_ms": p99.json(),
            "held_up_by": held_up_by,
        }));
    }
    let mut ratios = Vec::new();
    for (server, peer) in servers.iter().zip(windows).skip(1) {
        // Round by round: what disturbs the machine for a while disturbs both.
        let rounds = windows[0].iter().zip(peer);
        let ratio = rounds.map(|(ours, theirs)| ours.per_cpu_second() / theirs.per_cpu_second());
        let ratio = Spread::of(ratio.collect());
        let verdict = if ratio.median >= WANTED {
            "met"
        } else {
            "MISSED"
        };
        println!(
            "  {GATEWAY} / {}: {:.2} ({:.2}–{:.2}), target ≥ {WANTED:.1}: {verdict}",
            server.name(),
            ratio.median,
            ratio.least,
            ratio.most
        );
        ratios.push(json!({"to": server.name(), "wanted": WANTED, "ratio": ratio.json()}));
    }
    json!({"bytes": bytes, "servers": rows, "ratios": ratios})
}
