//! What an origin does with more than it can take, and without its database: `cargo xtask bench overload`.
//!
//! The origin and its PostgreSQL run on core 0, the load on core 1. The peak is found by asking as fast as
//! answers come; then twice as much is offered, whatever the answers do, and each wait is counted from the
//! moment that was planned for its request. Rounds take turns. `PITCHEY_BENCH_QUICK=1` only shows that it works.

mod dependency;
mod load;
#[path = "../measuring/percentile.rs"]
mod percentile;

use anyhow::{Context as _, Result, ensure};
use load::{Connection, Seen, Spread, offer};
use percentile::percentile;
use pitchey_ops::Interrupt;
use pitchey_ops::seed::{SeedOptions, seed};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_testkit::{FaultProxy, Faults, Origin, OwnedPostgres, Program};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const TARGET: &str = "/api/pitches?limit=20";
/// Connections that the peak is looked for with.
const CLOSED: [usize; 4] = [4, 8, 16, 24];
/// Connections for load at a rate: more than ever wait at once.
const OPEN: usize = 512;

struct Plan {
    rounds: usize,
    window: Duration,
    outage: Duration,
    pitches: u64,
}

fn plan() -> Plan {
    let quick = std::env::var_os("PITCHEY_BENCH_QUICK").is_some();
    let seconds = |full, quickly| Duration::from_secs(if quick { quickly } else { full });
    Plan {
        rounds: if quick { 1 } else { 5 },
        window: seconds(8, 2),
        outage: seconds(20, 10),
        pitches: if quick { 1_000 } else { 5_000 },
    }
}

/// Keeps a process, all its threads and what they will start on one core.
fn pin(pid: u32, core: usize) -> Result<()> {
    let output = Command::new("taskset")
        .args(["-acp", &core.to_string(), &pid.to_string()])
        .output()
        .context("`taskset` is not there")?;
    ensure!(output.status.success(), "cannot pin process {pid}");
    Ok(())
}

/// The processor time that a process has used, in ticks of a hundredth of a second.
fn ticks(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    let mut fields = fields.split(' ').skip(11);
    let mut field = || anyhow::Ok(fields.next().context("too short")?.parse::<f64>()?);
    Ok(field()? + field()?)
}

/// Microseconds of the origin's processor time for each of the answers.
async fn cost_us(
    origin: &mut Origin,
    target: &'static str,
    window: Duration,
) -> Result<(f64, Seen)> {
    let pid = origin.process().pid();
    let before = ticks(pid)?;
    let seen = offer(origin.address(), target, 16, None, window).await?;
    let used = (ticks(pid)? - before) * 10_000.0;
    Ok((used / seen.all as f64, seen))
}

/// One place, taken by somebody who waits for a database that hangs, and nobody may wait for it: what an
/// answer costs that sends a client away, beside one of the smallest handler.
async fn refusals(url: &str, plan: &Plan) -> Result<Value> {
    let (proxy, through) = FaultProxy::in_front_of(url)?;
    let program = Program::origin()
        .env("DATABASE_URL", through)
        .env("PITCHEY_OVERLOAD__MAX_IN_FLIGHT", "1")
        .env("PITCHEY_OVERLOAD__MIN_IN_FLIGHT", "1")
        .env("PITCHEY_OVERLOAD__MAX_QUEUED", "0");
    let mut origin = tokio::task::block_in_place(|| Origin::start_with(&program))?;
    pin(origin.process().pid(), 0)?;
    proxy.set(Faults::hung());
    let address = origin.address();
    let holder = tokio::spawn(hold(address));
    let (mut shed, mut live) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (cost, seen) = cost_us(&mut origin, TARGET, plan.window / 2).await?;
        // The holder's deadline comes every five seconds, and then one of these is let in.
        ensure!(seen.good == 0, "{} were let in and served", seen.good);
        shed.push(cost);
        let (cost, seen) = cost_us(&mut origin, "/api/health/live", plan.window / 2).await?;
        ensure!(seen.good == seen.all, "health is well");
        live.push(cost);
    }
    holder.abort();
    proxy.heal();
    tokio::task::block_in_place(|| origin.stop())?;
    let (shed, live) = (Spread::of(shed), Spread::of(live));
    println!("\nprocessor time of an answer: refused {shed} µs, health {live} µs");
    Ok(json!({"refused_us": shed.json(), "health_us": live.json()}))
}

async fn hold(address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    loop {
        connection.get(TARGET).await?;
    }
}

async fn peak(address: SocketAddr, window: Duration) -> Result<(usize, f64)> {
    let mut best = (0, 0.0);
    for connections in CLOSED {
        let seen = offer(address, TARGET, connections, None, window).await?;
        println!("{connections} at once: {:.0} answers/s", seen.good_per_s);
        if seen.good_per_s > best.1 {
            best = (connections, seen.good_per_s);
        }
    }
    Ok(best)
}

async fn saturation(url: &str, plan: &Plan) -> Result<Value> {
    let program = Program::origin().env("DATABASE_URL", url);
    let mut origin = tokio::task::block_in_place(|| Origin::start_with(&program))?;
    pin(origin.process().pid(), 0)?;
    let address = origin.address();
    offer(address, TARGET, 16, None, plan.window).await?;
    let (connections, _) = peak(address, plan.window).await?;

    println!(
        "\nround  peak/s  calm p50 p99 ms   offered/s  good/s  share  p50 p99 ms  refused p50 p99 ms  sent late p99 ms"
    );
    let mut figures: [Vec<f64>; 6] = Default::default();
    for round in 1..=plan.rounds {
        let top = offer(address, TARGET, connections, None, plan.window).await?;
        let calm_rate = Some(top.good_per_s / 4.0);
        let calm = offer(address, TARGET, OPEN, calm_rate, plan.window).await?;
        let twice = top.good_per_s * 2.0;
        let storm = offer(address, TARGET, OPEN, Some(twice), plan.window).await?;
        let share = storm.good_per_s / top.good_per_s;
        let p = percentile;
        println!(
            "{round:>5} {:>7.0} {:>9.2} {:>6.2} {:>11.0} {:>7.0} {share:>6.2} {:>5.1} {:>5.1} {:>12.1} {:>5.1} {:>17.2}",
            top.good_per_s,
            p(&calm.good_ms, 0.5),
            p(&calm.good_ms, 0.99),
            storm.all as f64 / plan.window.as_secs_f64(),
            storm.good_per_s,
            p(&storm.good_ms, 0.5),
            p(&storm.good_ms, 0.99),
            p(&storm.refused_ms, 0.5),
            p(&storm.refused_ms, 0.99),
            p(&storm.late_ms, 0.99),
        );
        let (calm_p99, storm_p99) = (p(&calm.good_ms, 0.99), p(&storm.good_ms, 0.99));
        let round = [
            top.good_per_s,
            share,
            calm_p99,
            storm_p99,
            storm_p99 / calm_p99,
            p(&storm.late_ms, 0.99),
        ];
        for (all, value) in figures.iter_mut().zip(round) {
            all.push(value);
        }
    }
    tokio::task::block_in_place(|| origin.stop())?;
    let [peak, share, calm, storm, ratio, late] = figures.map(Spread::of);
    println!(
        "goodput at twice the peak: {share} of it; p99 {calm} ms calm, {storm} ms overloaded: {ratio} times"
    );
    Ok(json!({
        "closed_connections": connections, "peak_per_s": peak.json(), "goodput_share": share.json(),
        "calm_p99_ms": calm.json(), "overloaded_p99_ms": storm.json(), "p99_ratio": ratio.json(),
        "sent_late_p99_ms": late.json(),
    }))
}

fn main() -> Result<()> {
    // Before there is a second thread: each inherits it.
    pin(std::process::id(), 1)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(measure())
}

async fn measure() -> Result<()> {
    let plan = plan();
    let postgres = tokio::task::block_in_place(OwnedPostgres::start)?;
    pin(postgres.pid().context("it has just been started")?, 0)?;
    let url = postgres.url();
    pitchey_store_pg::migrate::run(&url).await?;
    let clock = SystemRuntime::new();
    let options = SeedOptions::new(plan.pitches, clock.wall());
    seed(&options, &url.clone().into(), clock, Interrupt::never()).await?;

    let saturation = saturation(&url, &plan).await?;
    let refusals = refusals(&url, &plan).await?;
    let dependency = dependency::measure(&url, plan.rounds, plan.outage).await?;
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let report = json!({
        "bench": "overload",
        "cores": std::fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count(),
        "processor": processor.map(|name| name.trim_start_matches(['\t', ':', ' '])),
        "rounds": plan.rounds, "window_s": plan.window.as_secs(), "pitches": plan.pitches,
        "saturation": saturation, "answers": refusals, "dependency_dead": dependency,
    });
    let directory =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    std::fs::create_dir_all(&directory)?;
    let file = std::path::Path::new(&directory).join("overload.json");
    std::fs::write(&file, format!("{report:#}\n"))?;
    println!("on {} cores of {}", report["cores"], report["processor"]);
    Ok(())
}
