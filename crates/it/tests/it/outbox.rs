//! The outbox over a real PostgreSQL: order, several relays, kills, wake-ups, replays and duties.

use anyhow::{Context as _, Result};
use pitchey_model::UserId;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store::Health as _;
use pitchey_store_pg::{OutboxEvent, PgStore, PoolConfig, RelayRound, Replay};
use pitchey_testkit::TestDb;
use pitchey_testkit::postgres_server::{execute, query_bool};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

fn store(database: &TestDb) -> Result<PgStore> {
    let config = PoolConfig {
        max_connections: 4,
        acquire_timeout_ms: 30_000,
        ..PoolConfig::default()
    };
    let url = database.url().to_owned().into();
    Ok(PgStore::connect_lazy(&url, &config, SystemRuntime::new())?)
}

async fn client(database: &TestDb) -> Result<(Client, JoinSet<()>)> {
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async {
        let _ = connection.await;
    });
    Ok((client, driver))
}

fn aggregate(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Event `place` of an aggregate, as a statement.
fn event(n: u128, place: usize) -> String {
    format!(
        "INSERT INTO event_outbox (aggregate_kind, aggregate_id, event_kind, payload)
         VALUES ('pitch', '{}', 'pitch_changed', '{{\"place\": {place}}}');",
        aggregate(n)
    )
}

fn place(event: &OutboxEvent) -> usize {
    let digits = event.payload.chars().filter(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap_or(usize::MAX)
}

fn all(events: &[OutboxEvent]) -> Vec<i64> {
    events.iter().map(|event| event.id).collect()
}

/// What several relays delivered.
#[derive(Debug, Clone, Default)]
struct Deliveries(Arc<Mutex<Delivered>>);

#[derive(Debug, Default)]
struct Delivered {
    seen: BTreeMap<Uuid, Vec<usize>>,
    /// The aggregates that one of them is at just now.
    busy: BTreeSet<Uuid>,
}

impl Deliveries {
    async fn deliver(&self, store: &PgStore, events: Vec<OutboxEvent>) -> Vec<i64> {
        let aggregates: BTreeSet<Uuid> = events.iter().map(|event| event.aggregate_id).collect();
        {
            let mut delivered = self.lock();
            for aggregate in &aggregates {
                assert!(
                    delivered.busy.insert(*aggregate),
                    "two relays are at {aggregate}"
                );
            }
        }
        // A delivery takes its time: others get their turn meanwhile.
        for _ in 0..3 {
            store.ping().await.expect("the database answers");
        }
        let mut delivered = self.lock();
        for event in &events {
            let places = delivered.seen.entry(event.aggregate_id).or_default();
            places.push(place(event));
        }
        delivered
            .busy
            .retain(|aggregate| !aggregates.contains(aggregate));
        all(&events)
    }

    fn total(&self) -> usize {
        self.lock().seen.values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Relays until something was taken: what another one held a moment ago may not be free yet.
async fn next_round(store: &PgStore) -> Result<Vec<OutboxEvent>> {
    let round = async {
        loop {
            let mut taken = Vec::new();
            let round = store.relay_events(100, async |events| {
                taken.clone_from(&events);
                all(&events)
            });
            if round.await?.taken > 0 {
                return anyhow::Ok(taken);
            }
        }
    };
    tokio::time::timeout(PATIENCE, round)
        .await
        .context("nothing was taken")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_relays_deliver_everything_once_and_in_order_while_it_is_written() -> Result<()> {
    const AGGREGATES: u128 = 40;
    const EACH: usize = 25;
    let database = TestDb::new().await;
    let deliveries = Deliveries::default();
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let (client, driver) = client(&database).await?;
        tasks.spawn(async move {
            let _driver = driver;
            for place in 0..EACH {
                for n in (0..AGGREGATES).filter(|n| n % 4 == writer) {
                    client.batch_execute(&event(n, place)).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    let everything = EACH * usize::try_from(AGGREGATES)?;
    for _ in 0..3 {
        let (store, deliveries) = (store(&database)?, deliveries.clone());
        tasks.spawn(async move {
            while deliveries.total() < everything {
                let deliver = |events| deliveries.deliver(&store, events);
                store.relay_events(7, deliver).await?;
            }
            anyhow::Ok(())
        });
    }
    let done = async {
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_mins(2), done)
        .await
        .context("the relays do not end")??;

    let seen = std::mem::take(&mut deliveries.lock().seen);
    assert_eq!(seen.len(), usize::try_from(AGGREGATES)?);
    for places in seen.values() {
        assert_eq!(*places, (0..EACH).collect::<Vec<_>>());
    }
    let status = store(&database)?.outbox_status().await?;
    assert_eq!(
        (status.events.pending, status.events.delivered_last_hour),
        (0, i64::try_from(everything)?)
    );
    Ok(())
}

#[tokio::test]
async fn a_failure_holds_back_its_aggregate_alone_and_is_tried_again() -> Result<()> {
    let database = TestDb::new().await;
    let store = store(&database)?;
    let statements = [event(1, 0), event(2, 0), event(1, 1), event(2, 1)].concat();
    execute(database.url(), &statements)?;
    let round = store
        .relay_events(10, async |events| {
            // The consumer takes the second event of the first aggregate, but not the first.
            let taken = events
                .iter()
                .filter(|event| event.aggregate_id != aggregate(1) || place(event) == 1);
            taken.map(|event| event.id).collect()
        })
        .await?;
    assert_eq!(
        round,
        RelayRound {
            taken: 4,
            delivered: 2
        }
    );
    assert!(!round.go_on());
    let status = store.outbox_status().await?;
    assert_eq!((status.events.pending, status.attempts_max), (2, 1));
    assert!(status.events.oldest_s.is_some());
    assert!(
        query_bool(
            database.url(),
            "SELECT bool_and(attempts = (payload->>'place' = '0')::int
                             AND (retry_at > created_at) IS NOT DISTINCT FROM
                                 CASE WHEN payload->>'place' = '0' THEN true END)
             FROM event_outbox WHERE delivered_at IS NULL"
        )?,
        "the event that follows was not tried"
    );

    execute(
        database.url(),
        "UPDATE event_outbox SET retry_at = now() + interval '1 hour' WHERE retry_at IS NOT NULL",
    )?;
    let paused = store.relay_events(10, async |events| all(&events)).await?;
    assert_eq!(paused, RelayRound::default());
    execute(
        database.url(),
        "UPDATE event_outbox SET retry_at = now() WHERE retry_at IS NOT NULL",
    )?;
    let taken = next_round(&store).await?;
    assert_eq!(taken.iter().map(place).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(taken[0].attempts, 1);
    Ok(())
}

#[tokio::test]
async fn what_a_killed_relay_held_is_delivered_by_the_next() -> Result<()> {
    let database = TestDb::new().await;
    execute(database.url(), &[event(1, 0), event(1, 1)].concat())?;
    execute(
        database.url(),
        "INSERT INTO cache_outbox (tag) VALUES ('lists')",
    )?;
    let killed = store(&database)?;
    let (started, mut running) = tokio::sync::mpsc::channel(2);
    let mut relays = JoinSet::new();
    let (relay, start) = (killed.clone(), started.clone());
    relays.spawn(async move {
        let deliver = async |_| {
            let _ = start.send(()).await;
            std::future::pending().await
        };
        relay.relay_events(10, deliver).await
    });
    relays.spawn(async move {
        let deliver = async |_| {
            let _ = started.send(()).await;
            std::future::pending().await
        };
        killed.relay_tags(10, deliver).await
    });
    for _ in 0..2 {
        let begun = tokio::time::timeout(PATIENCE, running.recv()).await?;
        begun.context("the relay has ended")?;
    }
    let other = store(&database)?;
    let held = other.relay_events(10, async |events| all(&events)).await?;
    assert_eq!(held, RelayRound::default(), "they are held");
    let held = other.relay_tags(10, async |_| Vec::new()).await?;
    assert_eq!(held, RelayRound::default(), "they are held");

    relays.shutdown().await;
    let taken = next_round(&other).await?;
    assert_eq!(taken.iter().map(place).collect::<Vec<_>>(), [0, 1]);
    let tags = async {
        loop {
            let round = other.relay_tags(10, async |tags| tags.iter().map(|tag| tag.id).collect());
            if round.await?.delivered == 1 {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, tags).await?
}

#[tokio::test]
async fn an_event_that_was_committed_late_waits_for_the_relay_of_its_aggregate() -> Result<()> {
    let database = TestDb::new().await;
    let (writer, _driver) = client(&database).await?;
    writer
        .batch_execute(&format!("BEGIN; {}", event(1, 0)))
        .await?;
    execute(database.url(), &event(1, 1))?;
    let (first, second) = (store(&database)?, store(&database)?);
    let round = first
        .relay_events(10, async |events| {
            assert_eq!(events.iter().map(place).collect::<Vec<_>>(), [1]);
            writer.batch_execute("COMMIT").await.expect("it commits");
            let meanwhile = second.relay_events(10, async |events| all(&events));
            let meanwhile = meanwhile.await.expect("the database answers");
            assert_eq!(meanwhile, RelayRound::default());
            all(&events)
        })
        .await?;
    assert_eq!(round.delivered, 1);
    let taken = next_round(&second).await?;
    assert_eq!(taken.iter().map(place).collect::<Vec<_>>(), [0]);
    Ok(())
}

#[tokio::test]
async fn invalidations_are_delivered_oldest_first_until_they_are_confirmed() -> Result<()> {
    let database = TestDb::new().await;
    let store = store(&database)?;
    execute(
        database.url(),
        "INSERT INTO cache_outbox (tag) VALUES ('a'), ('b'), ('c')",
    )?;
    let round = store
        .relay_tags(2, async |tags| {
            let names: Vec<_> = tags.iter().map(|tag| tag.tag.as_str()).collect();
            assert_eq!(names, ["a", "b"]);
            // Once too often, and one that it was not given: neither harms.
            vec![tags[1].id, tags[1].id, tags[1].id + 1]
        })
        .await?;
    assert_eq!(
        round,
        RelayRound {
            taken: 2,
            delivered: 1
        }
    );
    let mut seen = Vec::new();
    let round = store
        .relay_tags(10, async |tags| {
            seen.extend(tags.iter().map(|tag| tag.tag.clone()));
            tags.iter().map(|tag| tag.id).collect()
        })
        .await?;
    assert_eq!(seen, ["a", "c"]);
    assert!(round.go_on());
    let status = store.outbox_status().await?;
    assert_eq!(
        (status.tags.pending, status.tags.delivered_last_hour),
        (0, 3)
    );
    assert_eq!(status.tags.oldest_s, None);
    Ok(())
}

#[tokio::test]
async fn what_was_delivered_is_replayed_by_kind_and_removed_after_a_day() -> Result<()> {
    let database = TestDb::new().await;
    let store = store(&database)?;
    let now = SystemRuntime::new().wall();
    execute(
        database.url(),
        "INSERT INTO event_outbox (aggregate_kind, aggregate_id, event_kind, payload, delivered_at)
         SELECT 'pitch', gen_random_uuid(), k, '{}', now() - age
         FROM unnest(ARRAY['pitch_changed', 'notified']) AS k,
              unnest(ARRAY[interval '1 minute', interval '2 hours', interval '25 hours']) AS age;
         INSERT INTO cache_outbox (tag, delivered_at)
         SELECT 'lists', now() - age FROM unnest(ARRAY[interval '1 minute', interval '25 hours']) AS age;
         INSERT INTO cache_outbox (tag, created_at) VALUES ('old', now() - interval '2 days')",
    )?;
    let hour = time_ago(now, 1);
    let kind = Replay::Events(Some("notified".to_owned()));
    assert_eq!(store.replay(&kind, hour).await?, 1);
    assert_eq!(store.outbox_status().await?.events.pending, 1);
    assert_eq!(
        store
            .replay(&Replay::Events(None), time_ago(now, 3))
            .await?,
        3
    );
    assert_eq!(store.replay(&Replay::Tags, hour).await?, 1);

    // One row at a time: a batch that is full is not the last.
    let removed = store.clean_up(now, 1).await?;
    assert_eq!((removed.events, removed.tags), (2, 1));
    let status = store.outbox_status().await?;
    assert_eq!(
        (status.events.pending, status.tags.pending),
        (4, 2),
        "what is to be delivered stays, however old"
    );
    Ok(())
}

fn time_ago(now: time::OffsetDateTime, hours: u64) -> time::OffsetDateTime {
    now - Duration::from_hours(hours)
}

#[tokio::test]
async fn a_commit_that_left_something_wakes_its_own_process_and_no_other_does() -> Result<()> {
    let database = TestDb::new().await;
    let store = store(&database)?;
    let now = SystemRuntime::new().wall();
    let user = UserId(aggregate(7));
    execute(
        database.url(),
        &format!(
            "INSERT INTO users (id, username, role, display_name) VALUES ('{user}', 'ann', 'creator', 'Ann')"
        ),
    )?;
    let mut writes = store.outbox_written();
    store.clean_up(now, 10).await?;
    store.unlock_user(user, "test", now).await?;
    tokio::select! {
        biased;
        () = writes.next() => panic!("nothing was left"),
        () = std::future::ready(()) => {}
    }
    store
        .set_role(user, pitchey_model::Role::Investor, "test", now)
        .await?;
    tokio::time::timeout(PATIENCE, writes.next()).await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_wakes_the_relays_of_every_process_also_after_a_lost_connection() -> Result<()>
{
    let database = TestDb::new().await;
    let (origin, tool) = (store(&database)?, store(&database)?);
    let now = SystemRuntime::new().wall();
    let mut listener = origin.listen_outbox().await?;
    tool.replay(&Replay::Tags, now).await?;
    tokio::time::timeout(PATIENCE, listener.woken()).await??;

    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{}' AND query LIKE 'LISTEN%'",
        database.name()
    );
    execute(database.url(), &cut)?;
    // The cut itself wakes, or is an error; both are followed by a new connection.
    let _ = tokio::time::timeout(PATIENCE, listener.woken()).await?;
    let again = async {
        loop {
            tool.replay(&Replay::Tags, now).await?;
            if listener.woken().await.is_ok() {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await?
}

#[tokio::test]
async fn one_process_at_a_time_is_at_a_duty() -> Result<()> {
    let database = TestDb::new().await;
    let (one, other) = (store(&database)?, store(&database)?);
    let inside = one
        .with_duty("scores", async || {
            let same = other.with_duty("scores", async || ()).await;
            let another = other.with_duty("stats", async || ()).await;
            (same.expect("it answers"), another.expect("it answers"))
        })
        .await?;
    assert_eq!(inside, Some((None, Some(()))));
    assert_eq!(other.with_duty("scores", async || 7).await?, Some(7));

    // Dropped in the middle, it holds nothing on.
    let (started, mut running) = tokio::sync::mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let work = async || {
            let _ = started.send(()).await;
            std::future::pending::<()>().await;
        };
        one.with_duty("scores", work).await
    });
    running.recv().await.context("the duty has begun")?;
    tasks.shutdown().await;
    let free = async {
        loop {
            if other.with_duty("scores", async || ()).await?.is_some() {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, free).await?
}
