//! Many who ask for one cold pitch at once cost the database one statement, whether one origin is asked
//! or four.

use crate::cache_site::{Door, LOOK, Maker, PATIENCE, Site, Thing};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

const REQUESTS: usize = 10_000;

/// To several origins, which have one machine here; `PITCHEY_COALESCE_REQUESTS` says otherwise. What is not
/// optimised starves with more, and an origin that starves takes itself for cut off from Redis.
const REQUESTS_TO_SEVERAL: usize = 500;

/// Requests at once on one connection of HTTP/2: below what an origin allows.
const STREAMS: usize = 125;

/// So many are to have come to each origin before the load is let go.
const SOME: f64 = 100.0;

/// How long the load is held for the others.
const HELD: Duration = Duration::from_millis(1_500);

const IS_LOCKED: &str = "SELECT FROM pg_locks WHERE relation = 'pitches'::regclass \
                         AND mode = 'AccessExclusiveLock' AND granted";

/// So much at once is no overload here, a machine that is slow makes no Redis that is away, and nothing
/// becomes so old meanwhile that it would be refreshed.
const WIDE: [(&str, &str); 8] = [
    ("PITCHEY_CACHE__TIMEOUT_MS", "5000"),
    ("PITCHEY_CACHE__SILENCE_MS", "60000"),
    ("PITCHEY_CACHE__PITCH_DETAIL__MEMORY_S", "900"),
    ("PITCHEY_CACHE__PITCH_DETAIL__SHARED_S", "900"),
    ("PITCHEY_OVERLOAD__MAX_IN_FLIGHT", "20000"),
    ("PITCHEY_OVERLOAD__MIN_IN_FLIGHT", "20000"),
    ("PITCHEY_HTTP__REQUEST_TIMEOUT_MS", "60000"),
    ("PITCHEY_DATABASE__STATEMENT_TIMEOUT_MS", "60000"),
];

/// Asks for one target so often at once; how often each status of the cache was told.
async fn ask(door: &Door, target: &str, times: usize) -> Result<BTreeMap<String, usize>> {
    let mut asked = JoinSet::new();
    for _ in 0..times / STREAMS {
        let client: HyperClient<_, Empty<Bytes>> = HyperClient::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        let uri: http::Uri = format!("{}{target}", door.url()).parse()?;
        for _ in 0..STREAMS {
            let (client, uri) = (client.clone(), uri.clone());
            asked.spawn(async move {
                let exchange = async {
                    let response = client.get(uri).await?;
                    let status = response.headers().get("cache-status").cloned();
                    ensure!(response.status() == 200, "{}", response.status());
                    let body = response.into_body().collect().await?.to_bytes();
                    ensure!(!body.is_empty());
                    let status = status.context("no status of the cache")?;
                    let detail = status.to_str()?.rsplit("detail=").next();
                    Ok(detail.unwrap_or_default().to_owned())
                };
                tokio::time::timeout(PATIENCE, exchange).await?
            });
        }
    }
    let mut statuses = BTreeMap::new();
    while let Some(ended) = asked.join_next().await {
        *statuses.entry(ended??).or_default() += 1;
    }
    Ok(statuses)
}

/// Has this many origins asked together, while the database holds the answer back.
async fn coalesce(places: usize, requests: usize, more: &[(&str, &str)]) -> Result<()> {
    let more: Vec<_> = WIDE.iter().chain(more).copied().collect();
    let site = Site::start(places, &more).await?;
    let maker = Maker::new(&site.doors.door(0).client, 0, 1).await?;
    let target = maker.things[1].target.clone();
    let doors: Vec<Door> = (0..places).map(|place| site.doors.door(place)).collect();
    let statements = async || {
        let mut all = 0.0;
        for door in &doors {
            all += door.statements("pitches.detail").await?;
        }
        anyhow::Ok(all)
    };
    let before = statements().await?;

    let (mut postgres, connection) = tokio_postgres::connect(&site.primary.url(), NoTls).await?;
    tokio::spawn(connection);
    let holding = postgres.transaction().await?;
    holding
        .execute("LOCK TABLE pitches IN ACCESS EXCLUSIVE MODE", &[])
        .await?;
    // The replica, which is asked first, comes to the lock when it comes to its record.
    let (replica, connection) = tokio_postgres::connect(&site.replica.url(), NoTls).await?;
    tokio::spawn(connection);
    let until = Instant::now() + PATIENCE;
    while replica.query(IS_LOCKED, &[]).await?.is_empty() {
        ensure!(Instant::now() < until, "the replica does not lock");
        tokio::time::sleep(LOOK).await;
    }
    let target = Arc::new(target);
    let mut asked = JoinSet::new();
    let begun = Instant::now();
    for door in doors.clone() {
        let target = target.clone();
        asked.spawn(async move { ask(&door, &target, requests / places).await });
    }
    // At the door with the fewest, and at all together.
    let inside = async || {
        let (mut fewest, mut all) = (f64::INFINITY, 0.0);
        for door in &doors {
            let came = door.figure("requests_inside ").await?;
            fewest = came.min(fewest);
            all += came;
        }
        anyhow::Ok((fewest, all))
    };
    // Some, however slowly they come: those who find it in memory have waited for nobody. All, if they come
    // soon: whoever waits for a load gives up at some time.
    let (mut fewest, mut came) = inside().await?;
    while fewest < SOME || (came < requests as f64 && begun.elapsed() < HELD) {
        if let Some(ended) = asked.try_join_next() {
            let early = ended??;
            anyhow::bail!("{early:?} before the load was let go");
        }
        tokio::time::sleep(LOOK).await;
        (fewest, came) = inside().await?;
    }
    holding.commit().await?;
    let mut statuses = BTreeMap::<String, usize>::new();
    while let Some(ended) = asked.join_next().await {
        for (status, times) in ended?? {
            *statuses.entry(status).or_default() += times;
        }
    }
    let took = begun.elapsed();
    let cost = statements().await? - before;
    eprintln!(
        "{requests} requests to {places} origins: {cost} statements in {took:?}; {came} had come before \
         the answer; {statuses:?}"
    );
    assert!(
        (cost - 1.0).abs() < f64::EPSILON,
        "{cost} statements for one cold pitch"
    );
    let of = |status: &str| statuses.get(status).copied().unwrap_or_default();
    assert_eq!(statuses.values().sum::<usize>(), requests);
    assert_eq!(of("origin"), 1, "one has loaded it");
    // The front door lets 24 to 64 in at once; the others wait in front of it, and find it in memory then.
    assert!(of("coalesced") >= 20, "many have waited for it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_for_one_cold_pitch_cost_one_statement() -> Result<()> {
    let alone = [("PITCHEY_CACHE__URL", ""), ("PITCHEY_CACHE__ALONE", "true")];
    coalesce(1, REQUESTS, &alone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_for_one_cold_pitch_at_four_origins_cost_one_statement() -> Result<()> {
    let requests = std::env::var("PITCHEY_COALESCE_REQUESTS")
        .map_or(Ok(REQUESTS_TO_SEVERAL), |text| text.parse())?;
    coalesce(4, requests, &[]).await
}

const EDITS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edit_is_what_the_next_read_shows_and_soon_at_the_other_origin() -> Result<()> {
    let site = Site::start(2, &[]).await?;
    let mut maker = Maker::new(&site.doors.door(0).client, 0, 1).await?;
    let Maker { person, things } = &mut maker;
    let thing = &mut things[1];
    let title = async |door: &Door, thing: &Thing| {
        let answer = door.client.get(&thing.target, &[]).await?.expect(200)?;
        let title = answer.json()["title"].as_str().map(str::to_owned);
        anyhow::Ok((title, answer.header("cache-status").contains("memory")))
    };
    let (mut lags, mut from_memory) = (Vec::new(), 0);
    for edit in 0..EDITS {
        let (here, there) = (site.doors.door(edit % 2), site.doors.door(edit + 1));
        // Both have it in their memory.
        for door in [&here, &there] {
            title(door, thing).await?;
            from_memory += usize::from(title(door, thing).await?.1);
        }
        ensure!(thing.edit(&here.client, person).await? == 200);
        let answered = Instant::now();
        thing.version += 1;
        let new = Some(Thing::text(thing.number, thing.version));
        let mut lag = Duration::ZERO;
        loop {
            let begun = answered.elapsed();
            if title(&there, thing).await?.0 == new {
                break;
            }
            lag = begun;
            ensure!(lag <= Duration::from_secs(1), "beyond the silence");
        }
        lags.push(lag);
        assert_eq!(title(&here, thing).await?.0, new, "edit {edit}");
    }
    lags.sort_unstable();
    let old = lags.iter().filter(|lag| !lag.is_zero()).count();
    eprintln!(
        "{EDITS} edits: the other origin's lag p50 {:?}, max {:?}; {old} were old at first; {from_memory} of {} \
         reads before from memory",
        lags[EDITS / 2],
        lags[EDITS - 1],
        2 * EDITS
    );
    assert!(from_memory >= EDITS, "memory is what may be old");
    Ok(())
}
