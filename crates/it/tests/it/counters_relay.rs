//! What the origin does behind its answers, over a real PostgreSQL: views are counted, and the outbox is
//! delivered.

use crate::origin::Origin;
use anyhow::{Result, ensure};
use http::Method;
use pitchey_origin::relay::{Deliver, Relay};
use pitchey_runtime::SystemRuntime;
use pitchey_store_pg::{OutboxEvent, OutboxTag, PgStore, PoolConfig};
use pitchey_testkit::postgres_server::{execute, query_bool};
use pitchey_testkit::{OwnedPostgres, TestDb, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinSet, block_in_place, spawn_blocking};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

async fn run(url: &str, statements: String) -> Result<()> {
    let url = url.to_owned();
    spawn_blocking(move || execute(&url, &statements)).await?
}

async fn holds(url: &str, condition: &'static str) -> Result<bool> {
    let url = url.to_owned();
    spawn_blocking(move || query_bool(&url, &format!("SELECT {condition}"))).await?
}

/// Waits until a condition holds.
async fn until(url: &str, condition: &'static str) -> Result<()> {
    let url = url.to_owned();
    let look = move || Ok(query_bool(&url, &format!("SELECT {condition}"))?.then_some(()));
    spawn_blocking(move || wait::until(condition, PATIENCE, look)).await?
}

/// Published pitches with the numbers from 1 on.
async fn publish(url: &str, pitches: u128) -> Result<()> {
    let creator = Uuid::from_u128(0x00ff);
    let statements = format!(
        "INSERT INTO users (id, username, role, display_name)
         VALUES ('{creator}', 'ann', 'creator', 'Ann');
         INSERT INTO pitches (id, creator_id, title, format, stage, status, published_at)
         SELECT lpad(to_hex(n), 32, '0')::uuid, '{creator}', 'Film', 'feature', 'script', 'published', now()
         FROM generate_series(1, {pitches}) n;"
    );
    run(url, statements).await
}

/// Looks at a pitch from an address.
async fn look(origin: &Origin, pitch: u128, address: &str) -> Result<()> {
    let target = format!("/api/pitches/{}/view", Uuid::from_u128(pitch));
    let headers = [("x-forwarded-for", address)];
    let answer = origin
        .client
        .send(Method::POST, &target, &headers, None)
        .await?;
    ensure!(answer.status == 204, "{}", answer.summary());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_counted_once_for_each_pitch() -> Result<()> {
    let database = TestDb::new().await;
    publish(database.url(), 2).await?;
    let believed = [("PITCHEY_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#)];
    let origin = Origin::start_with(database.url(), &believed).await?;

    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        look(&origin, 1, address).await?;
    }
    // Nothing is at this address, and nobody is told.
    look(&origin, 3, "192.0.2.1").await?;
    until(
        database.url(),
        "(SELECT view_count = 2 FROM pitches WHERE title = 'Film' ORDER BY id LIMIT 1)",
    )
    .await?;

    // In another batch, too.
    look(&origin, 1, "192.0.2.1").await?;
    look(&origin, 2, "192.0.2.1").await?;
    until(database.url(), "(SELECT count(*) = 3 FROM pitch_views)").await?;
    let counts = "(SELECT array_agg(view_count ORDER BY id) = '{2,1}'::bigint[] FROM pitches)";
    ensure!(holds(database.url(), counts).await?);
    origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_believed_is_one_viewer_whatever_it_says() -> Result<()> {
    let database = TestDb::new().await;
    publish(database.url(), 1).await?;
    let origin = Origin::start(database.url()).await?;
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        look(&origin, 1, address).await?;
    }
    origin.stop().await?;
    ensure!(holds(database.url(), "(SELECT count(*) = 1 FROM pitch_views)").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_loses_no_view() -> Result<()> {
    let database = TestDb::new().await;
    publish(database.url(), 50).await?;
    let origin = Origin::start(database.url()).await?;
    for pitch in 1..=50 {
        look(&origin, pitch, "").await?;
    }
    origin.stop().await?;
    ensure!(holds(database.url(), "(SELECT count(*) = 50 FROM pitch_views)").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_and_left_while_the_database_is_away_is_not_lost() -> Result<()> {
    let mut postgres = spawn_blocking(OwnedPostgres::start).await??;
    let url = postgres.url();
    pitchey_store_pg::migrate::run(&url).await?;
    publish(&url, 20).await?;
    let origin = Origin::start(&url).await?;
    for pitch in 1..=10 {
        look(&origin, pitch, "").await?;
    }
    leave(&url, 3, 2).await?;
    block_in_place(|| postgres.kill())?;
    for pitch in 11..=20 {
        look(&origin, pitch, "").await?;
    }
    block_in_place(|| postgres.restart())?;
    until(&url, "(SELECT count(*) = 20 FROM pitch_views)").await?;
    until(&url, NOTHING_PENDING).await?;
    origin.stop().await
}

/// Tags and events that a change leaves behind: so many of each of so many aggregates.
async fn leave(url: &str, aggregates: u32, events: u32) -> Result<()> {
    let statements = format!(
        "INSERT INTO cache_outbox (tag) SELECT 'lists' FROM generate_series(1, {aggregates});
         INSERT INTO event_outbox (aggregate_kind, aggregate_id, event_kind, payload)
         SELECT 'pitch', lpad(to_hex(a), 32, '0')::uuid, 'pitch_changed', '{{}}'
         FROM generate_series(1, {events}) e, generate_series(1, {aggregates}) a ORDER BY e, a;"
    );
    run(url, statements).await
}

const NOTHING_PENDING: &str = "NOT EXISTS (SELECT FROM cache_outbox WHERE delivered_at IS NULL)
    AND NOT EXISTS (SELECT FROM event_outbox WHERE delivered_at IS NULL)";

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_left_in_the_outbox_is_delivered() -> Result<()> {
    let database = TestDb::new().await;
    leave(database.url(), 3, 2).await?;
    let origin = Origin::start(database.url()).await?;
    until(database.url(), NOTHING_PENDING).await?;
    // Without a word to the relay: it looks by itself.
    leave(database.url(), 3, 2).await?;
    until(database.url(), NOTHING_PENDING).await?;
    let metrics = origin.metrics().await?;
    ensure!(
        metrics.contains(r#"outbox_delivered_total{kind="events"}"#),
        "{metrics}"
    );
    origin.stop().await
}

/// What relays delivered, by aggregate and in order.
#[derive(Clone, Default)]
struct Recorder {
    events: Arc<Mutex<BTreeMap<Uuid, Vec<i64>>>>,
    tags: Arc<Mutex<BTreeSet<i64>>>,
}

impl Deliver for Recorder {
    async fn tags(&self, tags: Vec<OutboxTag>) -> Vec<i64> {
        let ids: Vec<i64> = tags.into_iter().map(|tag| tag.id).collect();
        self.tags.lock().expect("no panic").extend(&ids);
        ids
    }

    async fn events(&self, events: Vec<OutboxEvent>) -> Vec<i64> {
        let mut all = self.events.lock().expect("no panic");
        for event in &events {
            all.entry(event.aggregate_id).or_default().push(event.id);
        }
        events.into_iter().map(|event| event.id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_share_the_work_and_keep_the_order() -> Result<()> {
    const AGGREGATES: u32 = 40;
    const EVENTS: u32 = 50;
    let database = TestDb::new().await;
    leave(database.url(), AGGREGATES, EVENTS).await?;
    let recorder = Recorder::default();
    let stop = CancellationToken::new();
    let mut relays = JoinSet::new();
    for _ in 0..2 {
        let runtime = SystemRuntime::new();
        let url = database.url().to_owned().into();
        let relay = Relay {
            outbox: PgStore::connect_lazy(&url, &PoolConfig::default(), runtime)?,
            deliver: recorder.clone(),
            runtime,
        };
        relays.spawn(relay.run(stop.clone()));
    }
    until(database.url(), NOTHING_PENDING).await?;
    stop.cancel();
    while let Some(ended) = relays.join_next().await {
        ended?;
    }

    let events = recorder.events.lock().expect("no panic").clone();
    ensure!(events.len() == AGGREGATES as usize);
    for (aggregate, ids) in events {
        ensure!(ids.is_sorted(), "out of order for {aggregate}: {ids:?}");
        let distinct: BTreeSet<i64> = ids.into_iter().collect();
        ensure!(distinct.len() == EVENTS as usize, "lost one of {aggregate}");
    }
    let tags = recorder.tags.lock().expect("no panic").len();
    ensure!(tags == AGGREGATES as usize, "{tags} tags");
    Ok(())
}
