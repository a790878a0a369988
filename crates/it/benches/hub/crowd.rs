//! Many connections: what they cost when idle, and that none is lost when they come, go, or do not read.

use crate::Found;
use crate::fan_out::verdict;
use crate::servers::{Bench, Kind, start_hub};
use anyhow::{Context as _, Result};
use pitchey_testkit::native::http_status;
use pitchey_testkit::{Hub, TestRedis, wait};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For so long idle connections are watched.
const IDLE_S: u32 = 10;

/// What an idle connection may cost.
const MOST_KIB: f64 = 11.0;

pub(crate) fn idle(bench: &Bench<'_>, connections: u32) -> Result<Found> {
    let mut text = format!(
        "{connections} idle connections, each subscribed to one of 100 rooms, watched for {IDLE_S} s\n"
    );
    let mut figures = Vec::new();
    for kind in [Kind::Hub].into_iter().chain(Kind::PEERS) {
        let Some(server) = bench.start(kind)? else {
            continue;
        };
        let options = [
            ("--subscribers", connections),
            ("--rooms", 100),
            ("--rate", 0),
            ("--seconds", IDLE_S),
        ];
        let more = options.map(|(name, value)| [name.to_owned(), value.to_string()]);
        let found = bench.load(&server, kind, &more.concat())?;
        let number = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
        let each = |name: &str| {
            let held = number(name) - number("resident_before");
            held / 1024.0 / f64::from(connections)
        };
        let (kib, at_end) = (each("resident_after"), each("resident_at_end"));
        let cpu = number("server_s") / number("seconds");
        let target = if kind == Kind::Hub {
            format!(", target ≤ {MOST_KIB} KiB: {}", verdict(kib <= MOST_KIB))
        } else {
            String::new()
        };
        let name = if kind == Kind::Hub {
            "hub"
        } else {
            kind.name()
        };
        let _ = writeln!(
            text,
            "  {name:<10} {kib:>6.2} KiB each ({at_end:.2} at the end), {:.2} % of a core, connected in {:.1} s{target}",
            cpu * 100.0,
            number("connected_s"),
        );
        figures.push(
            json!({"server": name, "kib_each": kib, "kib_each_at_end": at_end,
            "cpu_share": cpu, "connected_s": number("connected_s")}),
        );
    }
    Ok(Found {
        text,
        figures: Value::Array(figures),
    })
}

/// The figures of `pitchey hub load` in a line or two.
fn told(text: &mut String, well: bool, found: &Value) {
    let number = |name: &str| found[name].as_u64().unwrap_or(0);
    let ms = |name: &str, of: &str| found[name][of].as_f64().unwrap_or(f64::NAN);
    let _ = writeln!(
        text,
        "  {} in within {:.1} s; {} published, {} not, {} delivered, {} recovered; latency p50 {:.1}, p99 {:.1}, max {:.1} ms",
        number("entered"),
        found["connected_in_ms"].as_f64().unwrap_or(f64::NAN) / 1e3,
        number("published"),
        number("publish_failed"),
        number("deliveries"),
        number("recovered_updates"),
        ms("latency", "p50_ms"),
        ms("latency", "p99_ms"),
        ms("latency", "max_ms"),
    );
    let _ = writeln!(
        text,
        "  {} came back: {} recovered, {} told to read anew; {} twice, {} out of order, {} missed, {} behind; \
         errors {}: {}",
        number("reconnects"),
        number("recovered"),
        number("unrecovered"),
        number("twice"),
        number("out_of_order"),
        number("missed"),
        number("behind"),
        found["errors"],
        verdict(well),
    );
}

pub(crate) fn storm(bench: &Bench<'_>, connections: u32) -> Result<Found> {
    let hub = start_hub(&[])?;
    let count = connections.to_string();
    let more = [
        "--sockets",
        &count,
        "--rooms",
        "100",
        "--rate",
        "100",
        "--duration",
        "30s",
        "--storm",
        &count,
    ];
    let (well, found) = bench.check(&[&hub], &more)?;
    let mut text = format!("a storm of {connections} reconnects, at 100 updates/s in 100 rooms\n");
    let all = found["recovered"].as_u64() == Some(connections.into());
    told(&mut text, well && all, &found);
    let ms = |of: &str| found["storm"][of].as_f64().unwrap_or(f64::NAN);
    let _ = writeln!(
        text,
        "  back after p50 {:.0}, p99 {:.0}, max {:.0} ms",
        ms("p50_ms"),
        ms("p99_ms"),
        ms("max_ms")
    );
    let figures = json!({"well": well && all, "load": found});
    Ok(Found { text, figures })
}

pub(crate) fn slow(bench: &Bench<'_>) -> Result<Found> {
    let mut text = "200 in a room, 30 updates/s of 16 KiB, for 20 s\n".to_owned();
    let mut figures = Vec::new();
    for slow in ["0", "1"] {
        let hub = start_hub(&[])?;
        let more = [
            "--sockets",
            "200",
            "--rooms",
            "1",
            "--rate",
            "30",
            "--size",
            "16000",
            "--duration",
            "20s",
            "--slow",
            slow,
        ];
        let (well, found) = bench.check(&[&hub], &more)?;
        let _ = writeln!(
            text,
            " {slow} % read nothing: {} of {} were closed",
            found["slow_closed"], found["slow"]
        );
        let all_closed = found["slow_closed"] == found["slow"];
        told(&mut text, well && all_closed, &found);
        figures.push(json!({"slow_percent": slow, "well": well && all_closed, "load": found}));
    }
    Ok(Found {
        text,
        figures: Value::Array(figures),
    })
}

pub(crate) fn drain(bench: &Bench<'_>, connections: u32, redis: &TestRedis) -> Result<Found> {
    let url = redis.url();
    let environment = [
        ("REDIS_URL", url.as_str()),
        ("HUB_REDIS__PREFIX", redis.prefix()),
    ];
    let mut leaving = start_hub(&environment)?;
    let staying = start_hub(&environment)?;
    let addresses = [&leaving, &staying].map(Hub::address);
    for address in addresses {
        wait::until("a hub to answer", Duration::from_secs(10), || {
            Ok((http_status(address, "/healthz").ok() == Some(200)).then_some(()))
        })?;
    }
    let count = connections.to_string();
    let more = [
        "--sockets",
        &count,
        "--rooms",
        "100",
        "--rate",
        "100",
        "--duration",
        "50s",
        "--failover",
    ];
    // It ends by itself, and is asked from beside the load: `check` borrows the hubs.
    let metrics = leaving.metrics_address();
    let process = leaving.process().pid();
    let (outcome, gone_in) = std::thread::scope(|scope| {
        let leaver = scope.spawn(move || gone_after(metrics, process, connections));
        let outcome = bench.check(&[&leaving, &staying], &more);
        (outcome, leaver.join())
    });
    let (_, found) = outcome?;
    let gone_in = gone_in.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let mut text = format!(
        "a drain of {connections} connections to another hub, at 100 updates/s in 100 rooms, over Redis\n"
    );
    // What cannot be published just now is told to who publishes: nothing of it is lost.
    let kept = ["twice", "out_of_order", "missed", "behind", "unrecovered"]
        .iter()
        .all(|name| found[name] == 0);
    let all = found["recovered"].as_u64() == Some(connections.into());
    told(&mut text, kept && all, &found);
    let seconds = gone_in.as_secs_f64();
    let verdict = verdict(seconds <= 30.0);
    let _ = writeln!(text, "  gone after {seconds:.1} s, target ≤ 30: {verdict}");
    let figures = json!({"well": kept && all, "gone_s": seconds, "load": found});
    Ok(Found { text, figures })
}

/// Waits until all are connected, has the hub go, and says how long that took.
fn gone_after(metrics: SocketAddr, pid: u32, connections: u32) -> Result<Duration> {
    let wanted = format!("hub_connections {connections}\n");
    wait::until("everyone to be connected", Duration::from_mins(2), || {
        Ok(figures(metrics)?.contains(&wanted).then_some(()))
    })?;
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .context("a process has a number")?;
    let began = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    wait::until("the hub to be gone", Duration::from_mins(1), || {
        let gone = TcpStream::connect(metrics).is_err();
        Ok(gone.then_some(()))
    })?;
    Ok(began.elapsed())
}

/// What a hub tells a scraper.
fn figures(metrics: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&metrics, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
