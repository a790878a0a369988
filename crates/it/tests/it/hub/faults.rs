//! Redis that hangs, is killed and comes back empty, and a hub that is killed, under load: no client sees
//! an update twice, out of order, or misses one without being told.

use super::client::{Heard, Socket};
use super::contract::well;
use anyhow::{Context as _, Result, bail, ensure};
use pitchey_model::room::Room;
use pitchey_realtime::{Keep, RoomName};
use pitchey_runtime::SystemRuntime;
use pitchey_testkit::{Hub, OwnedRedis};
use pitchey_tiers::{RedisConfig, RedisLink, RedisRooms};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// 200 a second.
const INTERVAL: Duration = Duration::from_millis(5);

/// What one client has seen, checked as it comes.
#[derive(Debug, Default)]
struct Seen {
    epoch: Option<String>,
    offset: u64,
    number: u64,
    updates: u64,
    recovered: u64,
    /// How often it was told that something is lost.
    told: u64,
    gaps: u64,
}

impl Seen {
    fn next(&mut self, update: &Value) -> Result<()> {
        let offset = update["offset"].as_u64().context("no offset")?;
        let number = update["data"].as_u64().context("no number")?;
        ensure!(offset == self.offset + 1, "{offset} after {}", self.offset);
        ensure!(
            self.number == 0 || number == self.number + 1,
            "{number} after {} without being told",
            self.number
        );
        (self.offset, self.number) = (offset, number);
        self.updates += 1;
        Ok(())
    }

    fn entered(&mut self, answer: &Value) -> Result<()> {
        let ok = &answer["ok"];
        if ok["recovered"] == true {
            self.recovered += 1;
            for update in ok["updates"].as_array().into_iter().flatten() {
                self.next(update)?;
            }
            ensure!(
                ok["offset"] == self.offset,
                "a part of what was missed: {answer}"
            );
        } else {
            self.told += u64::from(self.epoch.is_some());
            self.number = 0;
        }
        self.offset = ok["offset"].as_u64().context("no offset")?;
        self.epoch = ok["epoch"].as_str().map(str::to_owned);
        Ok(())
    }
}

/// Listens at one hub after the other until it has seen the last number.
async fn listen(hubs: [SocketAddr; 2], first: usize, last: Arc<AtomicU64>) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut hub = first;
    loop {
        let Ok(mut socket) = Socket::connect(hubs[hub % 2], None, &[]).await else {
            hub += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut frame = json!({"op": "subscribe", "room": "lists"});
        if let Some(epoch) = &seen.epoch {
            frame["since"] = json!({"epoch": epoch, "offset": seen.offset});
        }
        let Ok((answer, before)) = socket.ask_hearing(frame).await else {
            hub += 1;
            continue;
        };
        ensure!(before.is_empty(), "{before:?} before the answer");
        if answer["error"]["code"] == "unavailable" {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        seen.entered(&answer)?;
        loop {
            let done = last.load(Ordering::Relaxed);
            if done > 0 && seen.number >= done {
                return Ok(seen);
            }
            match socket.hear().await? {
                Heard::Frame(frame) => {
                    for update in frame["batch"].as_array().context("no batch")? {
                        seen.next(update)?;
                    }
                }
                Heard::Closed(4010) => {
                    seen.gaps += 1;
                    break;
                }
                Heard::Closed(code) => bail!("closed with {code}"),
                Heard::Gone => {
                    hub += 1;
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_misses_anything_untold() -> Result<()> {
    let mut redis = tokio::task::spawn_blocking(OwnedRedis::start).await??;
    let url = redis.url();
    let runtime = SystemRuntime::new();
    let start = {
        let url = url.clone();
        move || {
            let environment = [("REDIS_URL", url.as_str())];
            anyhow::Ok([Hub::start(&environment)?, Hub::start(&environment)?])
        }
    };
    let mut hubs = tokio::task::spawn_blocking(start).await??;
    let addresses = [hubs[0].address(), hubs[1].address()];
    for address in addresses {
        well(address).await?;
    }

    // Who publishes does it again until it is acknowledged, as the relay of the origin does.
    let link = RedisLink::new(RedisConfig::new(url.into()), runtime)?;
    let stop = CancellationToken::new();
    let connecting = {
        let (link, stop) = (link.clone(), stop.clone());
        tokio::spawn(async move { link.keep_connected(&stop).await })
    };
    link.connected().await;
    let log = RedisRooms::new(link, Keep::default());
    let last = Arc::new(AtomicU64::new(0));
    let published = Arc::new(AtomicU64::new(0));
    let enough = Arc::new(AtomicBool::new(false));
    let listeners: Vec<_> = (0..6)
        .map(|n| tokio::spawn(listen(addresses, n, Arc::clone(&last))))
        .collect();
    let publisher = {
        let (enough, published) = (Arc::clone(&enough), Arc::clone(&published));
        tokio::spawn(async move {
            let room = RoomName::new(&Room::Lists.to_string()).expect("a name");
            for number in 1.. {
                let id = format!("test:{number}");
                while log
                    .append(&room, number.to_string().as_bytes(), Some(&id))
                    .await
                    .is_err()
                {
                    tokio::time::sleep(INTERVAL).await;
                }
                published.store(number, Ordering::Relaxed);
                if enough.load(Ordering::Relaxed) {
                    return number;
                }
                tokio::time::sleep(INTERVAL).await;
            }
            0
        })
    };
    let grow = async |by: u64| {
        let goal = published.load(Ordering::Relaxed) + by;
        let growing = async {
            while published.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), growing)
            .await
            .context("nothing is published")
    };

    // How long Redis is away, each time; by hand it may be longer.
    let outage = std::env::var("PITCHEY_OUTAGE_SECONDS");
    let outage = Duration::from_secs(outage.map_or(Ok(3), |text| text.parse())?);
    grow(200).await?;
    tokio::task::block_in_place(|| redis.pause())?;
    tokio::time::sleep(outage).await;
    tokio::task::block_in_place(|| redis.resume())?;
    let resumed = Instant::now();
    for address in addresses {
        well(address).await?;
    }
    eprintln!(
        "after a hang both hubs were well within {:?}",
        resumed.elapsed()
    );
    grow(200).await?;
    tokio::task::block_in_place(|| hubs[1].process().kill())?;
    grow(200).await?;
    tokio::task::block_in_place(|| redis.kill())?;
    tokio::time::sleep(outage).await;
    tokio::task::block_in_place(|| redis.restart_empty())?;
    let restarted = Instant::now();
    well(addresses[0]).await?;
    eprintln!(
        "after a restart the hub was well within {:?}",
        restarted.elapsed()
    );
    grow(400).await?;
    enough.store(true, Ordering::Relaxed);
    let number = publisher.await?;
    last.store(number, Ordering::Relaxed);
    let ended = Instant::now();
    for listener in listeners {
        let listener = tokio::time::timeout(Duration::from_mins(1), listener);
        let seen = listener
            .await
            .context("somebody has not heard the last")???;
        eprintln!("{seen:?}");
        ensure!(seen.number == number && seen.updates > 500, "{seen:?}");
        ensure!(
            seen.told >= 1,
            "the log was lost, and nobody said so: {seen:?}"
        );
    }
    eprintln!(
        "{number} published; all had heard the last within {:?}",
        ended.elapsed()
    );
    stop.cancel();
    connecting.await?;
    Ok(())
}
