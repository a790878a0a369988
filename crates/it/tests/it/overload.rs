//! An origin with more to do than it can: most are sent away, the urgent come through, health is well.

use crate::client::Person;
use crate::origin::Origin;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::{FaultProxy, Faults, Flow, TestDb};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// One request at a time, two more wait, and a way to the database that takes longer than they may: the
/// door is full as long as somebody asks, on a machine of any speed.
const NARROW: [(&str, &str); 6] = [
    ("PITCHEY_OVERLOAD__MAX_IN_FLIGHT", "1"),
    ("PITCHEY_OVERLOAD__MIN_IN_FLIGHT", "1"),
    ("PITCHEY_OVERLOAD__MAX_QUEUED", "2"),
    ("PITCHEY_OVERLOAD__INTERVAL_MS", "4000"),
    ("PITCHEY_OVERLOAD__TARGET_MS", "4000"),
    ("PITCHEY_LIMITS__WRITE", "off"),
];

const READERS: usize = 16;

/// A count of the metrics.
fn figure(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

async fn shed(origin: &Origin, priority: &str) -> Result<u64> {
    let name = format!("requests_shed_total{{priority=\"{priority}\"}} ");
    Ok(figure(&origin.metrics().await?, &name))
}

/// A creator's published pitch, and an investor.
async fn market(origin: &Origin) -> Result<(String, Person)> {
    let creator = origin.client.register("ann", "creator").await?;
    let body = json!({"title": "Film", "format": "short", "stage": "script", "logline": "x", "genres": ["short"], "visibility": "nda"});
    let made = origin
        .client
        .post(&creator, "/api/pitches", &body)
        .await?
        .expect(201)?;
    let pitch = made.header("location").to_owned();
    let version = [("if-match", made.header("etag"))];
    let publish = format!("{pitch}/publish");
    let published = origin
        .client
        .ask(&creator, Method::POST, &publish, &version, None)
        .await?;
    published.expect(200)?;
    Ok((pitch, origin.client.register("bob", "investor").await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_overload_the_urgent_come_through_and_the_rest_is_told_to_come_again() -> Result<()> {
    let database = TestDb::new().await;
    let (proxy, url) = FaultProxy::in_front_of(database.url())?;
    let origin = Arc::new(Origin::start_with(&url, &NARROW).await?);
    let (pitch, investor) = market(&origin).await?;

    proxy.set(Faults::both(Flow {
        latency: Duration::from_millis(10),
        ..Flow::default()
    }));
    let mut readers = JoinSet::<Result<()>>::new();
    for _ in 0..READERS {
        let origin = origin.clone();
        readers.spawn(async move {
            loop {
                let answer = origin.get("/api/pitches?limit=1").await?;
                match answer.summary().as_str() {
                    "200 -" => {}
                    "503 overloaded" => ensure!(answer.header("retry-after") == "1"),
                    other => anyhow::bail!("{other}"),
                }
            }
        });
    }
    while shed(&origin, "normal").await? == 0 {
        tokio::task::yield_now().await;
    }

    // The queue is full of readers from now on, so a beacon finds no room and money makes some.
    let beacon = json!({"samples": []});
    let beacons = async {
        loop {
            let answer = origin
                .client
                .send(Method::POST, "/api/analytics/rum", &[], Some(&beacon))
                .await?;
            if answer.summary() == "503 overloaded" {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), beacons)
        .await
        .context("no beacon was sent away")??;
    let ndas = format!("{pitch}/ndas");
    let request = json!({"message": "We met in Trieste."});
    let asked = origin.client.post(&investor, &ndas, &request).await?;
    asked.expect(201)?;
    for health in ["/api/health/live", "/api/health/ready", "/api/health"] {
        origin.get(health).await?.expect(200)?;
    }
    assert!(readers.try_join_next().is_none(), "they all ask on");
    readers.shutdown().await;

    assert_eq!(shed(&origin, "critical").await?, 0);
    assert!(shed(&origin, "low").await? >= 1);
    proxy.heal();
    // Whoever was inside is gone when its client is.
    let answer = origin.get("/api/pitches?limit=1").await?;
    answer.expect(200)?;
    Arc::into_inner(origin)
        .context("the readers are gone")?
        .stop()
        .await
}

/// Calls of the database that the breaker has refused since the start.
async fn refused(origin: &Origin) -> Result<u64> {
    Ok(figure(&origin.metrics().await?, "db_calls_refused_total "))
}

/// Asks with so many at once until the breaker refuses again.
async fn until_open(origin: &Arc<Origin>) -> Result<()> {
    let earlier = refused(origin).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "the breaker stays closed"
        );
        let mut asks = JoinSet::new();
        for _ in 0..READERS {
            let origin = origin.clone();
            asks.spawn(async move { origin.get("/api/pitches?limit=1").await });
        }
        while let Some(answer) = asks.join_next().await {
            let answer = answer??;
            ensure!(
                answer.status == 200 || answer.status == 503,
                "{}",
                answer.summary()
            );
        }
        if refused(origin).await? > earlier {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_or_is_cut_off_is_not_asked_again_and_again_and_its_return_is_noticed()
-> Result<()> {
    let database = TestDb::new().await;
    let (proxy, url) = FaultProxy::in_front_of(database.url())?;
    let origin = Arc::new(Origin::start(&url).await?);
    for (what, faults) in [("reset", None), ("hung", Some(Faults::hung()))] {
        let before = proxy.counts().connections;
        match faults {
            Some(faults) => proxy.set(faults),
            None => proxy.reset(),
        }
        until_open(&origin).await?;
        let refused_before = refused(&origin).await?;
        let at_open = proxy.counts().connections;
        for _ in 0..300 {
            let answer = origin.get("/api/pitches?limit=1").await?;
            ensure!(
                answer.summary() == "503 unavailable",
                "{}",
                answer.summary()
            );
            ensure!(answer.header("retry-after") == "1");
        }
        let reached = proxy.counts().connections - at_open;
        let refused = refused(&origin).await? - refused_before;
        eprintln!(
            "{what}: {} connects until it opened, then {reached} for 300 requests, {refused} refused",
            at_open - before
        );
        assert!(refused > 200, "most are refused at once");

        proxy.heal();
        let back = async {
            while origin.get("/api/pitches?limit=1").await?.status != 200 {}
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), back)
            .await
            .with_context(|| format!("{what}: no good answer after the return"))??;
        let metrics = origin.metrics().await?;
        assert!(metrics.contains("db_breaker_transitions_total{to=\"open\"}"));
    }
    Arc::into_inner(origin).context("nobody asks")?.stop().await
}
