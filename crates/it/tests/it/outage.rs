//! `PostgreSQL` killed under load: problems meanwhile, nothing hangs, and all returns by itself.

use crate::origin::Origin;
use anyhow::Result;
use pitchey_testkit::OwnedPostgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A request's own deadline is 5 s; what is added is for a busy machine, not for the origin.
const HANG: Duration = Duration::from_secs(8);

const TARGETS: [&str; 4] = [
    "/api/pitches",
    "/api/pitches/trending?limit=5",
    "/api/search?q=film",
    "/api/users/ann",
];

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    took: Duration,
    status: u16,
    retry_after: bool,
    problem: bool,
}

/// Asks until told to stop, each answer noted.
async fn reader(origin: Arc<Origin>, stop: Arc<AtomicBool>, first: usize) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for target in TARGETS.iter().cycle().skip(first) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        let answer = origin.get(target).await?;
        seen.push(Seen {
            at: start + start.elapsed(),
            took: start.elapsed(),
            status: answer.status,
            retry_after: answer.header("retry-after") == "1",
            problem: answer.header("content-type") == "application/problem+json",
        });
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_503_and_its_return_is_noticed() -> Result<()> {
    let mut postgres = tokio::task::spawn_blocking(OwnedPostgres::start).await??;
    let url = postgres.url();
    pitchey_store_pg::migrate::run(&url).await?;
    let fill = "INSERT INTO users (id, username, role, display_name) VALUES (gen_random_uuid(), 'ann', 'creator', 'Ann');
        INSERT INTO pitches (id, creator_id, title, format, stage, status, published_at)
        SELECT gen_random_uuid(), (SELECT id FROM users), 'Film ' || n, 'feature', 'script', 'published', now()
        FROM generate_series(1, 500) n";
    let fill_url = url.clone();
    tokio::task::spawn_blocking(move || pitchey_testkit::postgres_server::execute(&fill_url, fill))
        .await??;

    let origin = Arc::new(Origin::start(&url).await?);
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..16)
        .map(|n| tokio::spawn(reader(origin.clone(), stop.clone(), n % 4)))
        .collect();
    wait_for(&origin, 200).await?;

    tokio::task::block_in_place(|| postgres.kill())?;
    let killed = Instant::now();
    // Readers go on until one who asks here was refused, and then for a while that several of theirs take.
    wait_for(&origin, 503).await?;
    for _ in 0..3 {
        let answer = origin.get("/api/pitches?limit=1").await?;
        assert_eq!(answer.summary(), "503 unavailable");
    }
    assert_eq!(
        origin.get("/api/health/live").await?.status,
        200,
        "the process itself is well"
    );
    assert_eq!(origin.get("/api/health").await?.json()["database"], "down");

    tokio::task::block_in_place(|| postgres.restart())?;
    let returned = Instant::now();
    let recovered = wait_for(&origin, 200).await?;
    stop.store(true, Ordering::Relaxed);

    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await??);
    }
    let refused: Vec<_> = all.iter().filter(|seen| seen.status != 200).collect();
    let slowest = all.iter().map(|seen| seen.took).max().unwrap_or_default();
    eprintln!(
        "{} answers, {} refused; slowest {slowest:?}; refusals from {:?} after the kill; good again {:?} after the return",
        all.len(),
        refused.len(),
        refused
            .iter()
            .map(|seen| seen.at - killed)
            .min()
            .unwrap_or_default(),
        recovered.duration_since(returned),
    );
    assert!(refused.len() > 16, "the readers met the outage");
    for seen in &refused {
        assert!(
            seen.status == 503 && seen.problem && seen.retry_after,
            "{seen:?}"
        );
    }
    assert!(slowest < HANG, "an answer took {slowest:?}");

    let metrics = origin.metrics().await?;
    assert!(
        metrics.contains("db_statement_errors_total"),
        "the errors are counted"
    );
    let origin = Arc::into_inner(origin).expect("the readers are gone");
    origin.stop().await
}

/// Asks until the answer has that status: an outage begins and ends with the next answers, not at once.
async fn wait_for(origin: &Origin, status: u16) -> Result<Instant> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if origin.get("/api/pitches?limit=1").await?.status == status {
            return Ok(Instant::now());
        }
    }
    anyhow::bail!("no answer was {status} for 30 s")
}

#[tokio::test]
async fn a_pool_larger_than_the_server_allows_is_refused_at_the_start() -> Result<()> {
    let database = pitchey_testkit::TestDb::new().await;
    let variables = [
        ("DATABASE_URL", database.url()),
        (
            "PITCHEY_CURSOR__KEY",
            "a key for cursors in tests, long enough",
        ),
        ("PITCHEY_DATABASE__MAX_CONNECTIONS", "1000"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let config = pitchey_origin::Config::load(None, variables)?;
    let (listener, metrics) = (
        tokio::net::TcpListener::bind("127.0.0.1:0").await?,
        tokio::net::TcpListener::bind("127.0.0.1:0").await?,
    );
    let refused = pitchey_origin::serve(listener, metrics, config, std::future::ready(())).await;
    let reason = refused
        .expect_err("the server has fewer connections")
        .to_string();
    assert!(
        reason.starts_with("database.max_connections is 1000, but the server gives at most "),
        "{reason}"
    );
    Ok(())
}
