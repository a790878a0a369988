//! How long browsing takes while logins flood in: `cargo xtask bench login_flood`.
//!
//! Readers ask at a fixed rate, whatever the answers do, and each wait is counted from the moment that was
//! planned for it, so that a stall is seen by everyone who would have met it. Quiet and flooded windows take turns.

#[path = "../tests/it/client.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod client;
#[path = "measuring/percentile.rs"]
mod percentile;

use anyhow::{Context as _, Result};
use client::Client;
use http::Method;
use percentile::percentile;
use pitchey_ops::Interrupt;
use pitchey_ops::seed::{SeedOptions, seed};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_testkit::{Origin, Program, TestDb};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const ROUNDS: usize = 7;
const WINDOW: Duration = Duration::from_secs(6);
/// Requests a second: well below what one core serves, so that waits are those of single requests.
const RATE: u32 = 150;
const FLOODERS: usize = 64;

const TARGETS: [&str; 4] = [
    "/api/pitches?limit=20",
    "/api/pitches/trending?limit=20",
    "/api/pitches?genre=drama&limit=20",
    "/api/pitches?sort=views&limit=20",
];

/// Waits of a window, in milliseconds, ascending.
async fn browse(client: &Client) -> Result<Vec<f64>> {
    let mut asks = JoinSet::new();
    let start = tokio::time::Instant::now();
    let count = RATE * u32::try_from(WINDOW.as_secs())?;
    for n in 0..count {
        let planned = start + Duration::from_secs(1) * n / RATE;
        tokio::time::sleep_until(planned).await;
        let client = client.clone();
        let target = TARGETS[n as usize % TARGETS.len()];
        asks.spawn(async move {
            client.get(target, &[]).await?.expect(200)?;
            anyhow::Ok(planned.elapsed().as_secs_f64() * 1000.0)
        });
    }
    let mut waits = Vec::new();
    while let Some(wait) = asks.join_next().await {
        waits.push(wait??);
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (
        percentile(&values, 0.0),
        percentile(&values, 0.5),
        percentile(&values, 1.0),
    )
}

#[derive(Default)]
struct Logins {
    over: AtomicBool,
    checked: AtomicU64,
    refused: AtomicU64,
}

/// Signs in with wrong passwords, again and again.
async fn flood(client: Client, logins: Arc<Logins>, number: usize) -> Result<()> {
    let body = json!({"email": format!("nobody{number}@example.org"), "password": "wrong"});
    while !logins.over.load(Ordering::Relaxed) {
        let answer = client
            .send(Method::POST, "/api/auth/login", &[], Some(&body))
            .await?;
        let count = match answer.status {
            401 => &logins.checked,
            503 => &logins.refused,
            _ => anyhow::bail!("{}", answer.summary()),
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let database = TestDb::new().await;
    let clock = SystemRuntime::new();
    let options = SeedOptions::new(5_000, clock.wall());
    seed(&options, &database.url().into(), clock, Interrupt::never()).await?;
    let program = Program::origin()
        .env("DATABASE_URL", database.url())
        .env("PITCHEY_LIMITS__AUTH", "off")
        .env("PITCHEY_LIMITS__ACCOUNT", "off")
        .env("PITCHEY_LIMITS__ACCOUNT_TOTAL", "off");
    let mut origin = tokio::task::block_in_place(|| Origin::start_with(&program))?;
    let readers = Client::new(origin.address());
    browse(&readers).await.context("warming up")?;

    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    let (mut quiet_p50, mut flooded_p50) = (Vec::new(), Vec::new());
    let mut rates = Vec::new();
    println!("round  quiet p50  p99 ms   flooded p50  p99 ms   logins/s  refused/s");
    for round in 1..=ROUNDS {
        let calm = browse(&readers).await?;
        let logins = Arc::<Logins>::default();
        let mut flooders = JoinSet::new();
        for number in 0..FLOODERS {
            flooders.spawn(flood(Client::new(origin.address()), logins.clone(), number));
        }
        let started = Instant::now();
        let storm = browse(&readers).await?;
        let seconds = started.elapsed().as_secs_f64();
        logins.over.store(true, Ordering::Relaxed);
        while let Some(ended) = flooders.join_next().await {
            ended??;
        }
        let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / seconds;
        println!(
            "{round:>5} {:>10.2} {:>7.2} {:>13.2} {:>7.2} {:>10.1} {:>10.1}",
            percentile(&calm, 0.5),
            percentile(&calm, 0.99),
            percentile(&storm, 0.5),
            percentile(&storm, 0.99),
            rate(&logins.checked),
            rate(&logins.refused),
        );
        quiet.push(percentile(&calm, 0.99));
        flooded.push(percentile(&storm, 0.99));
        quiet_p50.push(percentile(&calm, 0.5));
        flooded_p50.push(percentile(&storm, 0.5));
        rates.push(rate(&logins.checked));
    }
    tokio::task::block_in_place(|| origin.stop())?;

    let (quiet, flooded) = (median(quiet), median(flooded));
    let ratio = flooded.1 / quiet.1;
    println!(
        "p99 of browse: {:.2} ms quiet ({:.2}–{:.2}), {:.2} ms flooded ({:.2}–{:.2}): {ratio:.2} times",
        quiet.1, quiet.0, quiet.2, flooded.1, flooded.0, flooded.2
    );
    let report = json!({
        "bench": "login_flood",
        "cores": std::thread::available_parallelism()?.get(),
        "rounds": ROUNDS, "browse_per_s": RATE, "flooders": FLOODERS,
        "quiet_p99_ms": quiet.1, "flooded_p99_ms": flooded.1, "p99_ratio": ratio,
        "quiet_p50_ms": median(quiet_p50).1, "flooded_p50_ms": median(flooded_p50).1,
        "logins_per_s": median(rates).1,
    });
    let target =
        std::env::var_os("PITCHEY_BENCH_DIR").context("started without `cargo xtask bench`")?;
    std::fs::create_dir_all(&target)?;
    let file = std::path::Path::new(&target).join("login_flood.json");
    std::fs::write(&file, format!("{report:#}\n"))?;
    Ok(())
}
