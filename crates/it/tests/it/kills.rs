//! The origin killed again and again while it writes: what it has acknowledged is there, nothing is done
//! twice, and everything that was to be told is told.

use crate::client::{Client, Person};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::{Origin, Program, TestDb};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::NoTls;

/// How often the origin is killed; `PITCHEY_KILLS` says otherwise.
const KILLS: u64 = 6;
const WRITERS: usize = 8;

/// What one writer knows to be true: the pitches it made, with the version and title that was acknowledged
/// last.
type Journal = BTreeMap<String, (i64, String)>;

/// Where the origin is now, and how many writes it has acknowledged in all.
#[derive(Clone)]
struct World {
    address: watch::Receiver<SocketAddr>,
    acknowledged: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl World {
    /// Sends until an answer comes: an origin that is killed answers nothing, and its successor listens
    /// elsewhere. A request is sent again only under the same key or the same precondition.
    async fn insist(
        &mut self,
        person: &Person,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> crate::client::Answer {
        loop {
            let address = *self.address.borrow_and_update();
            let client = Client::new(address);
            let asked = client.ask(person, method.clone(), target, headers, body);
            match asked.await {
                Ok(answer)
                    if answer.summary() != "409 idempotency-key-in-flight"
                        && answer.status < 500 =>
                {
                    return answer;
                }
                // Nobody there, or not ready: its successor says so, and a moment passes at most.
                _ => {
                    let changed = self.address.changed();
                    let _ = tokio::time::timeout(Duration::from_millis(20), changed).await;
                }
            }
        }
    }
}

/// Makes pitches and edits them, each write once.
async fn writer(mut world: World, person: Person, number: usize) -> Result<Journal> {
    let mut journal = Journal::new();
    for n in 0.. {
        if world.over.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("writer-{number}-{n}");
        let mut title = format!("Film {number}.{n}");
        let body = json!({"title": title, "format": "short", "logline": "x", "genres": ["short"]});
        let headers = [("idempotency-key", key.as_str())];
        let made = world
            .insist(&person, Method::POST, "/api/pitches", &headers, Some(&body))
            .await
            .expect(201)?;
        world.acknowledged.fetch_add(1, Ordering::Relaxed);
        let pitch = made.header("location").to_owned();
        let mut version = 1;
        journal.insert(pitch.clone(), (version, title.clone()));
        for edit in 0..2 {
            let next = format!("{title}, {edit}");
            let tag = format!("\"{version}\"");
            let headers = [("if-match", tag.as_str())];
            let body = json!({"title": next});
            let answer = world
                .insist(&person, Method::PATCH, &pitch, &headers, Some(&body))
                .await;
            if answer.status == 412 {
                // The first attempt was done, and its answer lost with the origin.
                let full = format!("{pitch}/full");
                let now = world.insist(&person, Method::GET, &full, &[], None).await;
                let now = now.expect(200)?.json();
                ensure!(
                    now["version"] == version + 1 && now["title"] == next,
                    "{now}"
                );
            } else {
                let answer = answer.expect(200)?;
                ensure!(answer.json()["version"] == version + 1);
            }
            world.acknowledged.fetch_add(1, Ordering::Relaxed);
            version += 1;
            title = next;
            journal.insert(pitch.clone(), (version, title.clone()));
        }
    }
    Ok(journal)
}

fn start(database: &TestDb) -> Result<Origin> {
    let program = Program::origin()
        .env("DATABASE_URL", database.url())
        .env("PITCHEY_LIMITS__WRITE", "off")
        .env("PITCHEY_LIMITS__AUTH", "off");
    tokio::task::block_in_place(|| Origin::start_with(&program))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_kills_and_is_done_once() -> Result<()> {
    let kills = std::env::var("PITCHEY_KILLS").map_or(Ok(KILLS), |text| text.parse())?;
    let database = TestDb::new().await;
    let mut origin = start(&database)?;
    let (moved, address) = watch::channel(origin.address());
    let world = World {
        address,
        acknowledged: Arc::default(),
        over: Arc::default(),
    };
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let person = Client::new(origin.address())
            .register(&format!("writer{number}"), "creator")
            .await?;
        writers.spawn(writer(world.clone(), person, number));
    }

    let mut due = 0;
    for kill in 0..kills {
        // Somewhere within the next writes, a different place each time.
        due += 5 + (kill * 7) % 23;
        while world.acknowledged.load(Ordering::Relaxed) < due {
            if let Some(ended) = writers.try_join_next() {
                anyhow::bail!("a writer has ended: {:?}", ended?.err());
            }
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| origin.process().kill())?;
        origin = start(&database)?;
        moved.send(origin.address())?;
    }
    world.over.store(true, Ordering::Relaxed);
    let mut journals = Vec::new();
    while let Some(journal) = writers.join_next().await {
        journals.push(journal??);
    }

    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    tokio::spawn(connection);
    let expected: Journal = journals.into_iter().flatten().collect();
    let rows = client
        .query("SELECT id::text, version, title FROM pitches", &[])
        .await?;
    let found: Journal = rows
        .iter()
        .map(|row| {
            let id: String = row.get(0);
            (format!("/api/pitches/{id}"), (row.get(1), row.get(2)))
        })
        .collect();
    eprintln!(
        "{kills} kills, {} pitches, {} writes",
        found.len(),
        world.acknowledged.load(Ordering::Relaxed)
    );
    assert_eq!(
        found, expected,
        "every acknowledged write, and nothing else"
    );

    // One event for each version of each pitch, all delivered by the last origin at the latest.
    let events = "SELECT count(*), count(DISTINCT (aggregate_id, payload->>'version')), \
                  (SELECT sum(version)::bigint FROM pitches) FROM event_outbox WHERE aggregate_kind = 'pitch'";
    let row = client.query_one(events, &[]).await?;
    let (all, distinct, versions): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((all, distinct), (versions, versions));
    let pending = "SELECT (SELECT count(*) FROM event_outbox WHERE delivered_at IS NULL) \
                   + (SELECT count(*) FROM cache_outbox WHERE delivered_at IS NULL)";
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        while client.query_one(pending, &[]).await?.get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    });
    patience
        .await
        .context("rows of the outbox are not delivered")??;

    let stopped = tokio::task::block_in_place(|| origin.stop())?;
    ensure!(stopped.success(), "{stopped}");
    Ok(())
}
