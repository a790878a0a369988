//! Servers that take turns with the same requests: each runs alone on one core and `wrk` on another, and what
//! counts is requests for each second that the server computed. The first server is ours.

use crate::spread::Spread;
use crate::wrk::{self, Window};
use anyhow::{Result, ensure};
use pitchey_testkit::guard::Guard;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A window before the first counted one: every server has then been asked for everything.
const WARMING: Duration = Duration::from_secs(2);

/// How long, and how hard.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Turns {
    /// How often every server has its turn with every request.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long a turn is.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) seconds: u32,
    /// Connections of the load, each with one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The process that answers.
    pub(crate) process: u32,
}

impl Turns {
    /// Of each path, of each server: its turns. `warm` is called once all servers have been asked for everything.
    pub(crate) fn take(
        &self,
        paths: &[String],
        peers: &[Peer],
        scratch: &Path,
        guard: &Guard,
        warm: impl FnOnce(),
    ) -> Result<Vec<Vec<Vec<Window>>>> {
        let script = scratch.join("report.lua");
        std::fs::write(&script, wrk::REPORT)?;
        let log = scratch.join("wrk.log");
        let turn = Duration::from_secs(self.seconds.into());
        let run = |peer: &Peer, path: &str, length: Duration| {
            let mut load = wrk::command(self.connections, length, &script);
            load.arg(format!("http://{}{path}", peer.address));
            let window = wrk::run(load, peer.process, length, &log, guard)?;
            ensure!(
                window.errors == 0,
                "{} of {} requests failed at {}",
                window.errors,
                window.requests,
                peer.name
            );
            Ok(window)
        };
        for path in paths {
            for peer in peers {
                run(peer, path, WARMING)?;
            }
        }
        warm();
        let mut measured = vec![vec![Vec::new(); peers.len()]; paths.len()];
        for round in 0..self.rounds as usize {
            eprintln!("round {} of {}", round + 1, self.rounds);
            for (measured, path) in measured.iter_mut().zip(paths) {
                for turn_of in 0..peers.len() {
                    // Another one first in each round.
                    let place = (turn_of + round) % peers.len();
                    measured[place].push(run(&peers[place], path, turn)?);
                }
            }
        }
        Ok(measured)
    }
}

/// Prints the table of one path, and gives the same for the file. `wanted` is what the target asks for, of
/// requests for each second of computing beside each peer.
pub(crate) fn report(title: &str, wanted: f64, peers: &[Peer], windows: &[Vec<Window>]) -> Value {
    println!(
        "\n{title}\n  {:<10} {:>9} {:>19} {:>9} {:>7} {:>7} {:>7} {:>6}  held up by",
        "server", "req/CPU-s", "(least–most)", "req/s", "p50 ms", "p99 ms", "server", "load"
    );
    let mut rows = Vec::new();
    for (peer, windows) in peers.iter().zip(windows) {
        let of =
            |figure: fn(&Window) -> f64| Spread::of(windows.iter().map(figure).collect::<Vec<_>>());
        let per_cpu = of(Window::per_cpu_second);
        let (p50, p99) = (of(|window| window.p50_ms), of(|window| window.p99_ms));
        let shares = (of(Window::server_share), of(Window::load_share));
        let held_up_by = wrk::held_up_by(shares.0.median, shares.1.median);
        println!(
            "  {:<10} {:>9.0} {:>19} {:>9.0} {:>7.2} {:>7.2} {:>6.0}% {:>5.0}%  {held_up_by}",
            peer.name,
            per_cpu.median,
            format!("({:.0}–{:.0})", per_cpu.least, per_cpu.most),
            of(Window::per_second).median,
            p50.median,
            p99.median,
            shares.0.median * 100.0,
            shares.1.median * 100.0,
        );
        rows.push(json!({
            "server": peer.name,
            "requests_per_cpu_s": per_cpu.json(),
            "requests_per_s": of(Window::per_second).json(),
            "p50_ms": p50.json(),
            "p99_ms": p99.json(),
            "held_up_by": held_up_by,
        }));
    }
    let mut ratios = Vec::new();
    for (peer, theirs) in peers.iter().zip(windows).skip(1) {
        // Round by round: what disturbs the machine for a while disturbs both.
        let rounds = windows[0].iter().zip(theirs);
        let ratio = rounds.map(|(ours, theirs)| ours.per_cpu_second() / theirs.per_cpu_second());
        let ratio = Spread::of(ratio.collect());
        let verdict = if ratio.median >= wanted {
            "met"
        } else {
            "MISSED"
        };
        println!(
            "  {} / {}: {:.2} ({:.2}–{:.2}), target ≥ {wanted:.1}: {verdict}",
            peers[0].name, peer.name, ratio.median, ratio.least, ratio.most
        );
        ratios.push(json!({"to": peer.name, "wanted": wanted, "ratio": ratio.json()}));
    }
    json!({"what": title, "servers": rows, "ratios": ratios})
}
