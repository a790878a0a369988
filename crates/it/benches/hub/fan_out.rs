//! One update to many: what each delivery costs the server, and how late it is.

use crate::Found;
use crate::servers::{Bench, Kind};
use crate::spread::Spread;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// From this share of a core on, whoever computes that much is what holds the others up.
const BUSY: f64 = 0.9;

/// Everyone is in one room.
struct Workload {
    name: &'static str,
    subscribers: u32,
    rate: u32,
}

const WORKLOADS: [Workload; 2] = [
    Workload {
        name: "a large room: 1,000 subscribers, 30 updates/s",
        subscribers: 1_000,
        rate: 30,
    },
    Workload {
        name: "a busy room: 200 subscribers, 200 updates/s",
        subscribers: 200,
        rate: 200,
    },
];

/// All turns of one server with one workload.
struct Measured {
    kind: Kind,
    windows: Vec<Value>,
}

impl Measured {
    fn of(&self, figure: impl Fn(&Value) -> f64) -> Spread {
        Spread::of(self.windows.iter().map(figure).collect())
    }
}

fn number(window: &Value, name: &str) -> f64 {
    window[name].as_f64().unwrap_or(f64::NAN)
}

fn per_cpu_second(window: &Value) -> f64 {
    // A turn in which the server computed less than the kernel counts tells nothing.
    number(window, "deliveries") / number(window, "server_s").max(0.01)
}

fn share(window: &Value, name: &str) -> f64 {
    number(window, name) / number(window, "seconds")
}

pub(crate) fn measure(bench: &Bench<'_>, rounds: u32, seconds: u32) -> Result<Found> {
    let mut text = String::new();
    let mut figures = Vec::new();
    for workload in &WORKLOADS {
        let mut servers = Vec::new();
        for kind in [Kind::Hub, Kind::HubAtOnce].into_iter().chain(Kind::PEERS) {
            if let Some(server) = bench.start(kind)? {
                servers.push((
                    server,
                    Measured {
                        kind,
                        windows: Vec::new(),
                    },
                ));
            }
        }
        let more = |seconds: u32| {
            let size = 128;
            let options = [
                ("--subscribers", workload.subscribers),
                ("--rate", workload.rate),
                ("--size", size),
                ("--seconds", seconds),
            ];
            let words = options.map(|(name, value)| [name.to_owned(), value.to_string()]);
            words.concat()
        };
        for (server, measured) in &servers {
            bench.load(server, measured.kind, &more(1))?;
        }
        for round in 0..rounds as usize {
            eprintln!("{}: round {} of {rounds}", workload.name, round + 1);
            for turn in 0..servers.len() {
                let place = (turn + round) % servers.len();
                let (server, measured) = &mut servers[place];
                let window = bench.load(server, measured.kind, &more(seconds))?;
                measured.windows.push(window);
            }
        }
        let measured: Vec<Measured> = servers.into_iter().map(|(_, measured)| measured).collect();
        ensure!(!measured.is_empty(), "no server");
        figures.push(add(&mut text, workload, &measured));
    }
    Ok(Found {
        text,
        figures: Value::Array(figures),
    })
}

/// The table of a workload, and its figures.
fn add(text: &mut String, workload: &Workload, measured: &[Measured]) -> Value {
    let _ = writeln!(
        text,
        "{}\n  {:<18} {:>17} {:>19} {:>10} {:>7} {:>7} {:>7} {:>7} {:>6}",
        workload.name,
        "server",
        "deliveries/CPU-s",
        "(least–most)",
        "µs each",
        "p50 ms",
        "p99 ms",
        "max ms",
        "server",
        "load"
    );
    let mut servers = Vec::new();
    for one in measured {
        let per_cpu = one.of(per_cpu_second);
        let [p50, p99, max] =
            ["p50_ms", "p99_ms", "max_ms"].map(|name| one.of(|window| number(window, name)));
        let [server, load] =
            ["server_s", "load_s"].map(|name| one.of(|window| share(window, name)).median);
        let held_up = if load >= BUSY {
            "  held up by THE LOAD"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  {:<18} {:>17.0} {:>19} {:>10.2} {:>7.2} {:>7.2} {:>7.2} {:>6.0}% {:>5.0}%{held_up}",
            one.kind.name(),
            per_cpu.median,
            format!("({:.0}–{:.0})", per_cpu.least, per_cpu.most),
            1e6 / per_cpu.median,
            p50.median,
            p99.median,
            max.most,
            server * 100.0,
            load * 100.0,
        );
        servers.push(json!({
            "server": one.kind.name(),
            "deliveries_per_cpu_s": per_cpu.json(),
            "p50_ms": p50.json(),
            "p99_ms": p99.json(),
            "max_ms": max.json(),
            "server_share": server,
            "load_share": load,
        }));
    }
    let mut ratios = Vec::new();
    for (above, below, wanted) in [
        (Kind::Hub, Kind::SocketIo, Some(3.0)),
        (Kind::HubAtOnce, Kind::SocketIo, Some(3.0)),
        (Kind::Hub, Kind::Sockudo, Some(1.0)),
        (Kind::HubAtOnce, Kind::Sockudo, Some(1.0)),
        (Kind::Hub, Kind::HubAtOnce, None),
        (Kind::HubAtOnce, Kind::Ws, None),
        (Kind::HubAtOnce, Kind::Nchan, None),
    ] {
        let find = |kind| measured.iter().find(|one| one.kind == kind);
        let (Some(one), Some(other)) = (find(above), find(below)) else {
            continue;
        };
        // Round by round: what disturbs the machine for a while disturbs both.
        let rounds = one.windows.iter().zip(&other.windows);
        let ratio = Spread::of(
            rounds
                .map(|(one, other)| per_cpu_second(one) / per_cpu_second(other))
                .collect(),
        );
        let verdict = wanted.map_or(String::new(), |wanted| {
            format!(", target ≥ {wanted}: {}", verdict(ratio.median >= wanted))
        });
        let (above, below) = (above.name(), below.name());
        let _ = writeln!(
            text,
            "  {above} / {below}: {:.2} ({:.2}–{:.2}){verdict}",
            ratio.median, ratio.least, ratio.most
        );
        ratios.push(json!({"of": above, "to": below, "wanted": wanted, "ratio": ratio.json()}));
    }
    for (kind, most) in [(Kind::Hub, 100.0), (Kind::HubAtOnce, 15.0)] {
        if let Some(one) = measured.iter().find(|one| one.kind == kind) {
            let p99 = one.of(|window| number(window, "p99_ms")).median;
            let (name, verdict) = (kind.name(), verdict(p99 <= most));
            let _ = writeln!(
                text,
                "  p99 of {name}: {p99:.2} ms, target ≤ {most}: {verdict}"
            );
        }
    }
    text.push('\n');
    json!({
        "workload": workload.name,
        "subscribers": workload.subscribers,
        "rate": workload.rate,
        "servers": servers,
        "ratios": ratios,
    })
}

pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
