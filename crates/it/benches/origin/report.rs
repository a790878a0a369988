//! The table and the file: medians with their spread, and the ratios that the targets are about.

use crate::peers::{FASTIFY_NAME, HYPER, ORIGIN, ORIGIN_WITHOUT_LOG};
use crate::spread::Spread;
use crate::wrk::{self, Window};
use crate::{WORKLOADS, Workload};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What is held against what, and the ratio that is wanted of requests per second of computing.
const RATIOS: [(&str, &str, Option<f64>); 4] = [
    (ORIGIN, HYPER, Some(0.7)),
    (ORIGIN, FASTIFY_NAME, Some(3.0)),
    (ORIGIN_WITHOUT_LOG, HYPER, None),
    (ORIGIN_WITHOUT_LOG, FASTIFY_NAME, None),
];

/// All turns of one server with one kind of request.
#[derive(Debug)]
pub(crate) struct Measured {
    workload: usize,
    server: &'static str,
    pub(crate) windows: Vec<Window>,
}

impl Measured {
    pub(crate) fn new(workload: usize, server: &'static str) -> Self {
        let windows = Vec::new();
        Self {
            workload,
            server,
            windows,
        }
    }

    fn of(&self, figure: impl Fn(&Window) -> f64) -> Spread {
        Spread::of(self.windows.iter().map(figure).collect())
    }
}

/// What was measured, and where.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Value,
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) connections: u32,
    pub(crate) pitches: u64,
    pub(crate) skipped_fastify: bool,
    pub(crate) measured: Vec<Measured>,
    /// Of each workload: the mean size of a body as sent.
    pub(crate) sizes: [usize; WORKLOADS.len()],
}

impl Report {
    fn workloads(&self) -> impl Iterator<Item = (&'static Workload, usize, Vec<&Measured>)> {
        WORKLOADS.iter().enumerate().map(|(number, workload)| {
            let measured = self.measured.iter();
            let measured = measured.filter(|one| one.workload == number).collect();
            (workload, self.sizes[number], measured)
        })
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let machine = |name: &str| self.machine[name].to_string().replace('"', "");
        let _ = writeln!(
            table,
            "{}, {} cores, Linux {}, load average before: {}\n\
             {} pitches, {} rounds of {} s, {} connections; server on core {}, wrk on core {}\n",
            machine("cpu"),
            machine("cores"),
            machine("kernel"),
            machine("load_average"),
            self.pitches,
            self.rounds,
            self.seconds,
            self.connections,
            crate::cores::SERVERS,
            crate::cores::LOAD,
        );
        for (workload, size, measured) in self.workloads() {
            let _ = writeln!(
                table,
                "{}, {size} bytes\n  {:<22} {:>9} {:>19} {:>9} {:>7} {:>7} {:>7} {:>6}  held up by",
                workload.name,
                "server",
                "req/CPU-s",
                "(least–most)",
                "req/s",
                "p50 ms",
                "p99 ms",
                "server",
                "load"
            );
            for one in &measured {
                let per_cpu = one.of(Window::per_cpu_second);
                let _ = writeln!(
                    table,
                    "  {:<22} {:>9.0} {:>19} {:>9.0} {:>7.2} {:>7.2} {:>6.0}% {:>5.0}%  {}",
                    one.server,
                    per_cpu.median,
                    format!("({:.0}–{:.0})", per_cpu.least, per_cpu.most),
                    one.of(Window::per_second).median,
                    one.of(|window| window.p50_ms).median,
                    one.of(|window| window.p99_ms).median,
                    one.of(Window::server_share).median * 100.0,
                    one.of(Window::load_share).median * 100.0,
                    held_up_by(one),
                );
            }
            for (above, below, wanted) in RATIOS {
                let Some(ratio) = ratio(&measured, above, below) else {
                    continue;
                };
                let target = wanted.map_or(String::new(), |wanted| {
                    let verdict = if ratio.median >= wanted {
                        "met"
                    } else {
                        "MISSED"
                    };
                    format!(", target ≥ {wanted}: {verdict}")
                });
                let _ = writeln!(
                    table,
                    "  {above} / {below}: {:.2} ({:.2}–{:.2}){target}",
                    ratio.median, ratio.least, ratio.most
                );
            }
            table.push('\n');
        }
        if self.skipped_fastify {
            table.push_str("SKIPPED: Fastify is not among them, see above.\n");
        }
        table
    }

    pub(crate) fn json(&self) -> Value {
        let workloads = self.workloads().map(|(workload, size, measured)| {
            let servers = measured.iter().map(|one| {
                json!({
                    "server": one.server,
                    "requests_per_cpu_s": one.of(Window::per_cpu_second).json(),
                    "requests_per_s": one.of(Window::per_second).json(),
                    "p50_ms": one.of(|window| window.p50_ms).json(),
                    "p99_ms": one.of(|window| window.p99_ms).json(),
                    "server_share": one.of(Window::server_share).json(),
                    "load_share": one.of(Window::load_share).json(),
                    "held_up_by": held_up_by(one),
                })
            });
            let ratios = RATIOS.iter().filter_map(|(above, below, wanted)| {
                let ratio = ratio(&measured, above, below)?.json();
                Some(json!({"of": above, "to": below, "wanted": wanted, "ratio": ratio}))
            });
            json!({
                "workload": workload.name,
                "coded": workload.coded,
                "body_bytes": size,
                "servers": servers.collect::<Vec<_>>(),
                "ratios": ratios.collect::<Vec<_>>(),
            })
        });
        json!({
            "bench": "origin",
            "machine": self.machine,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "connections": self.connections,
            "pitches": self.pitches,
            "skipped_fastify": self.skipped_fastify,
            "workloads": workloads.collect::<Vec<_>>(),
        })
    }
}

/// Requests per second of computing of one server by those of another, round by round: what disturbs the machine
/// for a while disturbs both.
fn ratio(measured: &[&Measured], above: &str, below: &str) -> Option<Spread> {
    let find = |name: &str| measured.iter().find(|one| one.server == name);
    let rounds = find(above)?.windows.iter().zip(&find(below)?.windows);
    Some(Spread::of(
        rounds
            .map(|(above, below)| above.per_cpu_second() / below.per_cpu_second())
            .collect(),
    ))
}

fn held_up_by(one: &Measured) -> &'static str {
    wrk::held_up_by(
        one.of(Window::server_share).median,
        one.of(Window::load_share).median,
    )
}
