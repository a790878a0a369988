//! The load of `cargo xtask bench hub`: subscribers of a hub or of a peer, and publications in their rooms.
//!
//! It runs on a core of its own and prints its figures as JSON. What the server computed and holds it reads from
//! the kernel, around the time that is measured alone. `pitchey hub load` checks promises; this compares servers.

mod dialect;
mod kernel;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use dialect::{Dialect, Publisher, Subscriber};
use hdrhistogram::Histogram;
use pitchey_runtime::{Clock as _, SystemRuntime, Timer as _, timeout};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// How long it may take until everyone is in.
const CONNECT_WITHIN: Duration = Duration::from_mins(1);
/// So many connect at the same time.
const CONNECTING: usize = 128;
/// How long the server may rest before it is measured.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the last updates may take to arrive, and how often it is looked whether they have.
const ARRIVE_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// The longest time that is told apart from longer ones.
const LONGEST_US: u64 = 60_000_000;

/// Subscribers of one server, and publications in their rooms.
#[derive(Debug, Parser)]
struct Options {
    /// What the server speaks.
    #[arg(long)]
    dialect: Dialect,
    /// Where it is.
    #[arg(long)]
    address: SocketAddr,
    /// Its process.
    #[arg(long)]
    pid: u32,
    /// How many subscribe.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    subscribers: u32,
    /// Over how many rooms.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rooms: u32,
    /// Publications in a second, in all rooms; 0 only looks at an idle server.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    rate: u32,
    /// Bytes of data in each.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// For how long.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
    seconds: u32,
}

/// What all subscribers count together.
struct Tally {
    deliveries: u64,
    latency: Histogram<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let clock = SystemRuntime::new();
    let rooms = dialect::rooms(options.dialect, options.rooms);
    let before = kernel::resident_bytes(options.pid)?;
    let tally = Arc::new(Mutex::new(Tally {
        deliveries: 0,
        latency: Histogram::new_with_bounds(1, LONGEST_US, 3)?,
    }));
    let began = clock.now();
    let mut subscribers = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTING));
    let (entered, mut entering) = mpsc::channel(options.subscribers as usize);
    for number in 0..options.subscribers {
        let room = rooms[number as usize % rooms.len()].clone();
        let (places, entered, tally) = (places.clone(), entered.clone(), tally.clone());
        let (dialect, address) = (options.dialect, options.address);
        subscribers.spawn(async move {
            let place = places.acquire().await?;
            let mut subscriber = Subscriber::connect(dialect, address, &room, clock).await?;
            drop(place);
            // There is a place for each.
            let _ = entered.try_send(());
            loop {
                let text = subscriber.next().await?;
                count(&text, &tally, clock);
            }
        });
    }
    drop(entered);
    let all_in = async {
        for _ in 0..options.subscribers {
            entering.recv().await.context("somebody did not get in")?;
        }
        anyhow::Ok(())
    };
    timeout(&clock, CONNECT_WITHIN, all_in)
        .await
        .context("not everyone is in")??;
    let connected = clock.now() - began;
    let mut publisher = Publisher::connect(options.dialect, options.address).await?;
    clock.sleep(SETTLE).await;

    let after = kernel::resident_bytes(options.pid)?;
    let server = kernel::computed(options.pid)?;
    let load = kernel::computed(std::process::id())?;
    let began = clock.now();
    let length = Duration::from_secs(options.seconds.into());
    let published = publish(&options, &mut publisher, &rooms, clock).await?;
    let rest = length.saturating_sub(clock.now() - began);
    clock.sleep(rest).await;
    let seconds = (clock.now() - began).as_secs_f64();
    let each = u64::from(options.subscribers / options.rooms);
    let arrived = async {
        while lock(&tally).deliveries < published * each {
            clock.sleep(LOOK).await;
        }
    };
    let _ = timeout(&clock, ARRIVE_WITHIN, arrived).await;
    let server = kernel::computed(options.pid)?.saturating_sub(server);
    let load = kernel::computed(std::process::id())?.saturating_sub(load);

    if let Some(ended) = subscribers.try_join_next() {
        let ended: anyhow::Result<()> = ended?;
        ended.context("a subscriber has ended")?;
    }
    let tally = lock(&tally);
    ensure!(
        tally.deliveries == published * each,
        "{} deliveries of {published} updates to {each} subscribers each",
        tally.deliveries
    );
    let ms = |quantile| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
    let figures = json!({
        "connected_s": connected.as_secs_f64(),
        "published": published,
        "deliveries": tally.deliveries,
        "seconds": seconds,
        "server_s": server.as_secs_f64(),
        "load_s": load.as_secs_f64(),
        "resident_before": before,
        "resident_after": after,
        "resident_at_end": kernel::resident_bytes(options.pid)?,
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
        "max_ms": ms(1.0),
    });
    println!("{figures}");
    Ok(())
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    // Numbers are numbers, whoever was at it.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Publishes at a steady pace and gives back how many updates that were.
async fn publish(
    options: &Options,
    publisher: &mut Publisher,
    rooms: &[String],
    clock: SystemRuntime,
) -> anyhow::Result<u64> {
    let count = options.rate * options.seconds;
    if count == 0 {
        return Ok(0);
    }
    let began = clock.now();
    let each = Duration::from_secs(1) / options.rate;
    for number in 0..count {
        let due = began + each * number;
        clock.sleep(due - clock.now()).await;
        let room = &rooms[number as usize % rooms.len()];
        let due_us = due.since_start().as_micros();
        let head = format!(r#"{{"due_us":{due_us},"fill":""#);
        let fill = "x".repeat(options.size.saturating_sub(head.len() + 2));
        publisher
            .publish(room, &format!("{head}{fill}\"}}"))
            .await?;
    }
    Ok(count.into())
}

/// Counts the updates in a frame, in whichever dialect it is: each carries when it was due.
fn count(text: &str, tally: &Mutex<Tally>, clock: SystemRuntime) {
    // Sockudo's data is a text in a text: the quotation marks are escaped.
    const MARK: &str = "due_us";
    let now = clock.now().since_start();
    let mut tally = lock(tally);
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        rest = rest[at + MARK.len()..].trim_start_matches(['\\', '"', ':']);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let due = rest[..digits].parse().unwrap_or(0);
        let late = now.saturating_sub(Duration::from_micros(due)).as_micros();
        tally.deliveries += 1;
        tally
            .latency
            .saturating_record(u64::try_from(late).unwrap_or(u64::MAX));
    }
}
