//! The database dead behind a proxy while load goes on: how many calls reach it, how soon the breaker opens,
//! and how soon after its return there is a good answer.

use crate::load::{Connection, Spread, figure, offer};
use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::{FaultProxy, Faults, Origin, Program};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

const TARGET: &str = "/api/pitches?limit=5";
/// Requests a second: most of them have to fail, so the origin's own capacity is not the question.
const RATE: f64 = 400.0;
const CONNECTIONS: usize = 512;

/// How the database is dead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    /// Connections are refused by the kernel.
    Cut,
    /// Connections are accepted and reset.
    Reset,
    /// Connections are accepted, and nothing comes.
    Hung,
}

impl Death {
    pub(crate) const ALL: [Self; 3] = [Self::Cut, Self::Reset, Self::Hung];

    fn strike(self, proxy: &FaultProxy) {
        match self {
            Self::Cut => proxy.cut(),
            Self::Reset => proxy.reset(),
            Self::Hung => proxy.set(Faults::hung()),
        }
    }
}

/// One outage.
#[derive(Debug)]
struct Outage {
    requests: f64,
    calls: f64,
    /// Connections that the proxy was asked for; not those that the kernel refused.
    connects: f64,
    open_after_s: f64,
    good_after_s: f64,
}

async fn metrics(address: SocketAddr) -> Result<String> {
    Ok(Connection::open(address).await?.get("/metrics").await?.1)
}

/// Looks until the breaker has opened once more than before.
async fn opened(address: SocketAddr, before: f64) -> Result<()> {
    let opened = "db_breaker_transitions_total{to=\"open\"}";
    while figure(&metrics(address).await?, opened) <= before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn outage(
    death: Death,
    origin: &Origin,
    proxy: &FaultProxy,
    window: Duration,
) -> Result<Outage> {
    let (address, figures) = (origin.address(), origin.metrics_address());
    let before = metrics(figures).await?;
    let connects = proxy.counts().connections;
    death.strike(proxy);
    let struck = Instant::now();
    let opens = figure(&before, "db_breaker_transitions_total{to=\"open\"}");
    let watching = async {
        tokio::time::timeout(window, opened(figures, opens))
            .await
            .with_context(|| format!("{death:?}: the breaker stays closed"))??;
        anyhow::Ok(struck.elapsed())
    };
    let load = offer(address, TARGET, CONNECTIONS, Some(RATE), window);
    let (seen, open_after) = tokio::try_join!(load, watching)?;
    let after = metrics(figures).await?;
    let connects = proxy.counts().connections - connects;
    proxy.heal();
    let healed = Instant::now();
    let mut connection = Connection::open(address).await?;
    while connection.get(TARGET).await?.0 != 200 {
        ensure!(healed.elapsed() < Duration::from_mins(1), "no good answer");
    }
    let grown = |name: &str| figure(&after, name) - figure(&before, name);
    let requests = seen.all as f64;
    // A list is one statement. What was refused or sent away is none, what was done again is one more.
    let calls = requests
        - grown("db_calls_refused_total")
        - grown("requests_shed_total{priority=\"normal\"}")
        + grown("db_dead_connections_total");
    Ok(Outage {
        requests,
        calls,
        connects: f64::from(u32::try_from(connects)?),
        open_after_s: open_after.as_secs_f64(),
        good_after_s: healed.elapsed().as_secs_f64(),
    })
}

/// Outages of each kind, in turns.
pub(crate) async fn measure(url: &str, rounds: usize, window: Duration) -> Result<Value> {
    let (proxy, through) = FaultProxy::in_front_of(url)?;
    let program = Program::origin().env("DATABASE_URL", through);
    let mut origin = tokio::task::block_in_place(|| Origin::start_with(&program))?;
    println!(
        "\ndead     requests    calls  calls/request  connects  breaker open after s  good after s"
    );
    let mut all: [Vec<Outage>; 3] = Default::default();
    for _ in 0..rounds {
        for death in Death::ALL {
            // All connections of the pool are there, and the last outage is out of the window.
            offer(
                origin.address(),
                TARGET,
                32,
                Some(RATE),
                Duration::from_secs(1),
            )
            .await?;
            let outage = outage(death, &origin, &proxy, window).await?;
            println!(
                "{:<8} {:>8} {:>8} {:>14.3} {:>9} {:>21.2} {:>13.2}",
                format!("{death:?}"),
                outage.requests,
                outage.calls,
                outage.calls / outage.requests,
                outage.connects,
                outage.open_after_s,
                outage.good_after_s,
            );
            all[death as usize].push(outage);
        }
    }
    tokio::task::block_in_place(|| origin.stop())?;
    let mut report = serde_json::Map::new();
    for (death, outages) in Death::ALL.into_iter().zip(&all) {
        let spread = |of: fn(&Outage) -> f64| Spread::of(outages.iter().map(of).collect()).json();
        let figures = json!({
            "calls_per_request": spread(|outage| outage.calls / outage.requests),
            "connects_per_request": spread(|outage| outage.connects / outage.requests),
            "breaker_open_after_s": spread(|outage| outage.open_after_s),
            "good_after_return_s": spread(|outage| outage.good_after_s),
        });
        report.insert(format!("{death:?}").to_lowercase(), figures);
    }
    Ok(report.into())
}
