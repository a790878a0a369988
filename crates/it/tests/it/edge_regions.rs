//! Databases near readers: which is asked, that they answer as the origin does, and that none of them undoes
//! what was changed. What is the worker's own is in `edge_hyperdrive`.

use crate::cache_site::{Maker, PATIENCE, Site};
use crate::client::{Answer, Client};
use crate::edge_pitchey::{SECRET, edit, versions};
use crate::edge_shell::{Edge, Shell, on_both_shells};
use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::postgres_server::{execute, query_text};
use pitchey_testkit::{FaultProxy, Faults, Origin, Worker};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, block_in_place};

/// Where readers are: by the primary in Europe, and by its replica in Asia.
pub(crate) const LONDON: [(&str, &str); 2] =
    [("cf-iplatitude", "51.5"), ("cf-iplongitude", "-0.1")];
pub(crate) const TOKYO: [(&str, &str); 2] =
    [("cf-iplatitude", "35.7"), ("cf-iplongitude", "139.7")];
/// Only the data centre is told.
const BY_COLO: [(&str, &str); 1] = [("cf-ray", "8f1c2d3e4f5a6b7c-KUL")];

on_both_shells! {
    a_region_answers_byte_for_byte_as_the_origin_does,
    the_nearest_region_that_is_there_is_asked_and_else_the_origin,
    a_region_that_is_killed_costs_no_request_and_is_used_again_once_it_is_back,
    a_region_that_hangs_costs_no_request_and_is_used_again_once_it_is_back,
    who_has_a_position_reads_only_what_has_come_so_far,
}

/// What is dropped first stops first.
pub(crate) struct Bed {
    pub(crate) running: Edge,
    pub(crate) to_origin: FaultProxy,
    to_redis: FaultProxy,
    pub(crate) to_europe: FaultProxy,
    pub(crate) to_asia: FaultProxy,
    pub(crate) edge: Client,
    pub(crate) origin: Client,
    pub(crate) site: Site,
    /// So that no read is of an address that was asked for before.
    asked: AtomicU32,
}

impl Bed {
    async fn open() -> Result<Self> {
        Self::open_on(Shell::Gateway, &[]).await
    }

    /// With more settings of the edge. A worker has been told what it must know to ask regions.
    pub(crate) async fn open_on(shell: Shell, more: &[(&str, &str)]) -> Result<Self> {
        let of_origin = [
            ("PITCHEY_CACHE__EDGE_KEY", SECRET),
            ("PITCHEY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
        ];
        let site = Site::start(1, &of_origin).await?;
        let origin = site.doors.door(0).client;
        let to_origin = FaultProxy::start(origin.address())?;
        let (to_redis, redis_url) = FaultProxy::in_front_of(&site.redis.url())?;
        let (to_europe, europe) = FaultProxy::in_front_of(&site.primary.url())?;
        let (to_asia, asia) = FaultProxy::in_front_of(&site.replica.url())?;
        let mut settings = vec![
            ("PITCHEY__SECRET", SECRET),
            ("LIMITS__CLIENTS", "0"),
            ("REGIONAL__CURSOR_KEY", Origin::CURSOR_KEY),
        ];
        let url = format!("http://{}", to_origin.address());
        let running = match shell {
            Shell::Gateway => {
                let regions = format!(
                    "[{{name=\"europe\",latitude=50.1,longitude=8.7,url=\"{europe}\"}},\
                     {{name=\"asia\",latitude=1.3,longitude=103.8,url=\"{asia}\"}}]"
                );
                settings.extend([
                    ("PITCHEY__ENABLED", "true"),
                    ("PITCHEY__REDIS_URL", &*redis_url),
                    ("ORIGIN__CONNECT_TIMEOUT_MS", "1000"),
                    ("HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
                    ("REGIONS", &*regions),
                    ("REGIONAL__INTERVAL_MS", "50"),
                    ("HEALTH__INTERVAL_MS", "100"),
                ]);
                settings.extend(more);
                shell.start(&url, &settings)?
            }
            Shell::Worker => {
                // One by Hyperdrive, and one by a connection of the worker's own.
                let regions = json!([
                    {"name": "europe", "latitude": 50.1, "longitude": 8.7, "url": europe},
                    {"name": "asia", "latitude": 1.3, "longitude": 103.8, "hyperdrive": "ASIA"},
                ])
                .to_string();
                settings.extend([
                    ("REGIONS", &*regions),
                    // What it was told is good for longer than a test takes.
                    ("PITCHEY__BOUND_MS", "60000"),
                ]);
                settings.extend(more);
                let directory = tempfile::tempdir()?;
                let bindings = [("ASIA", &*asia)];
                let mut program = Worker::with_hyperdrive(&url, &bindings, directory.path())?;
                for (name, value) in settings {
                    program = program.env(&format!("WORKER_{name}"), value);
                }
                Edge::Worker(block_in_place(|| Worker::start(&program))?)
            }
        };
        let bed = Self {
            edge: Client::new(running.address()),
            running,
            to_origin,
            to_redis,
            to_europe,
            to_asia,
            origin,
            site,
            asked: AtomicU32::new(0),
        };
        match shell {
            Shell::Gateway => bed.wait_until_attached().await?,
            Shell::Worker => bed.wait_until_answers(&LONDON, "europe").await?,
        }
        Ok(bed)
    }

    async fn wait_until_attached(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.edge.get("/__edge/health", &[]).await?.json()["attached"] != true {
            ensure!(Instant::now() < until, "{}", self.running.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(crate) fn caught_up(&self) -> Result<()> {
        block_in_place(|| self.site.replica.wait_until_caught_up())
    }

    /// Who answers somebody there what nobody has asked before.
    pub(crate) async fn asks(&self, from: &[(&str, &str)]) -> Result<String> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let target = format!("/api/search?q=word{number}");
        let answer = self.edge.get(&target, from).await?.expect(200)?;
        Ok(giver(&answer).to_owned())
    }

    /// Asks until that is it who answers.
    pub(crate) async fn wait_until_answers(&self, from: &[(&str, &str)], who: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let told = self.asks(from).await?;
            if told == who {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{told}: {}", self.running.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Who gave what an answer shows, as the edge says.
pub(crate) fn giver(answer: &Answer) -> &str {
    let mut lines = answer.headers.get_all("cache-status").iter();
    let detail = lines.rfind(|line| line.as_bytes().starts_with(b"pitchey-edge"));
    let detail = detail.and_then(|line| line.to_str().ok()?.split_once("detail="));
    detail.map_or("", |(_, who)| who)
}

/// What differs with each answer of either.
fn is_of_the_exchange(name: &str) -> bool {
    let named = ["date", "cache-status", "server-timing", "content-length"];
    named.contains(&name)
        || name.starts_with("x-c")
        || name.starts_with("ratelimit")
        || [
            "x-request-id",
            "x-response-time",
            "x-database-time",
            "x-worker-version",
        ]
        .contains(&name)
}

async fn a_region_answers_byte_for_byte_as_the_origin_does(shell: Shell) -> Result<()> {
    let bed = Bed::open_on(shell, &[]).await?;
    let maker = Maker::new(&bed.edge, 0, 5).await?;
    bed.caught_up()?;
    bed.wait_until_answers(&TOKYO, "asia").await?;
    let pitch = &maker.things[1].target;
    let first = bed
        .origin
        .get("/api/pitches?limit=2", &[])
        .await?
        .expect(200)?;
    let cursor = first.json()["next_cursor"]
        .as_str()
        .context("a cursor")?
        .to_owned();
    let targets = [
        pitch.clone(),
        format!("{pitch}?fields=id,title"),
        "/api/pitches".to_owned(),
        "/api/pitches?limit=2".to_owned(),
        format!("/api/pitches?limit=2&cursor={cursor}"),
        "/api/pitches?genre=short&sort=views&limit=3".to_owned(),
        "/api/pitches?creator=maker0&sort=trending".to_owned(),
        "/api/pitches?creator=nobody".to_owned(),
        "/api/pitches/new?limit=4".to_owned(),
        "/api/pitches/trending".to_owned(),
        "/api/pitches/public?format=short".to_owned(),
        "/api/search?q=thing&fields=id,title,highlights&limit=2".to_owned(),
        "/api/search?q=thing&genre=short".to_owned(),
        // Corrected.
        "/api/search?q=thinh".to_owned(),
        "/api/users/maker0".to_owned(),
    ];
    // The worker has no room for a coder of Brotli.
    let codings: &[&str] = match shell {
        Shell::Gateway => &["identity", "gzip", "br"],
        Shell::Worker => &["identity", "gzip"],
    };
    let (mut europe, mut asia) = (0, 0);
    for (number, target) in targets.iter().enumerate() {
        for &coding in codings {
            let near = if number % 2 == 0 { &TOKYO } else { &LONDON };
            let mut asked = vec![("accept-encoding", coding)];
            let origins = bed.origin.get(target, &asked).await?.expect(200)?;
            asked.extend(near);
            let regions = bed.edge.get(target, &asked).await?.expect(200)?;
            match giver(&regions) {
                "europe" => europe += 1,
                "asia" => asia += 1,
                other => anyhow::bail!("{target}: {other:?} answers"),
            }
            ensure!(regions.body == origins.body, "{target} in {coding}");
            let fields = |answer: &Answer| -> Vec<String> {
                let fields = answer.headers.iter();
                let fields = fields.filter(|(name, _)| !is_of_the_exchange(name.as_str()));
                let mut fields: Vec<_> = fields
                    .map(|(name, value)| format!("{name}: {value:?}"))
                    .collect();
                fields.sort_unstable();
                fields
            };
            assert_eq!(fields(&regions), fields(&origins), "{target} in {coding}");
            let timing = format!("{:?}", regions.headers.get_all("server-timing"));
            ensure!(
                timing.contains("db;dur=") && timing.contains("edge;dur="),
                "{timing}"
            );
            // It is kept as what the origin gives is.
            let again = bed.edge.get(target, &asked).await?.expect(200)?;
            assert_eq!(again.header("x-cache-status"), "HIT", "{target}");
            ensure!(again.body == origins.body);
        }
    }
    assert!(europe > 0 && asia > 0, "{europe} {asia}");
    // What is wrong with a question, and what is not there, the origin says.
    for (target, status) in [("/api/pitches?limit=0", 400), ("/api/users/nobody", 404)] {
        let answer = bed.edge.get(target, &TOKYO).await?.expect(status)?;
        assert_ne!(answer.header("x-cache-status"), "HIT");
    }
    Ok(())
}

async fn the_nearest_region_that_is_there_is_asked_and_else_the_origin(shell: Shell) -> Result<()> {
    let bed = Bed::open_on(shell, &[("REGIONAL__READ_TIMEOUT_MS", "300")]).await?;
    Maker::new(&bed.edge, 0, 1).await?;
    bed.caught_up()?;
    for (from, who) in [
        (&LONDON[..], "europe"),
        (&TOKYO[..], "asia"),
        (&BY_COLO[..], "asia"),
        // Nowhere: the primary.
        (&[], "europe"),
        (
            &[("cf-iplatitude", "91"), ("cf-iplongitude", "0")],
            "europe",
        ),
    ] {
        assert_eq!(bed.asks(from).await?, who, "{from:?}");
    }
    bed.to_asia.cut();
    bed.wait_until_answers(&TOKYO, "europe").await?;
    for _ in 0..20 {
        assert_eq!(bed.asks(&TOKYO).await?, "europe");
    }
    bed.to_europe.set(Faults::hung());
    bed.wait_until_answers(&LONDON, "origin").await?;
    bed.wait_until_answers(&TOKYO, "origin").await?;
    bed.to_asia.heal();
    bed.wait_until_answers(&TOKYO, "asia").await?;
    bed.wait_until_answers(&LONDON, "asia").await?;
    bed.to_europe.reset();
    bed.to_europe.heal();
    bed.wait_until_answers(&LONDON, "europe").await
}

/// Readers near Asia, none of whose requests may fail, while `harm` is done to the database there.
pub(crate) async fn harmed(
    bed: &mut Bed,
    harm: impl AsyncFn(&mut Bed) -> Result<()>,
) -> Result<()> {
    Maker::new(&bed.edge, 0, 1).await?;
    bed.caught_up()?;
    bed.wait_until_answers(&TOKYO, "asia").await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..12 {
        let (client, done) = (bed.edge.clone(), done.clone());
        readers.spawn(async move {
            let (mut reads, mut near) = (0_u32, 0_u32);
            while !done.load(Ordering::Acquire) {
                let target = format!("/api/search?q=reader{reader}x{reads}");
                let answer = client.get(&target, &TOKYO).await?.expect(200)?;
                reads += 1;
                near += u32::from(giver(&answer) == "asia");
            }
            anyhow::Ok((reads, near))
        });
    }
    let harmed = harm(bed).await;
    done.store(true, Ordering::Release);
    let (mut reads, mut near) = (0, 0);
    while let Some(reader) = readers.join_next().await {
        let (some, of_asia) = reader?.context("a read failed")?;
        (reads, near) = (reads + some, near + of_asia);
    }
    assert!(
        near > 0 && near < reads,
        "of {reads} reads {near} were near"
    );
    harmed
}

async fn a_region_that_is_killed_costs_no_request_and_is_used_again_once_it_is_back(
    shell: Shell,
) -> Result<()> {
    let mut bed = Bed::open_on(shell, &[]).await?;
    harmed(&mut bed, async |bed| {
        for _ in 0..2 {
            block_in_place(|| bed.site.replica.kill())?;
            bed.wait_until_answers(&TOKYO, "europe").await?;
            block_in_place(|| bed.site.replica.restart())?;
            bed.caught_up()?;
            bed.wait_until_answers(&TOKYO, "asia").await?;
        }
        Ok(())
    })
    .await
}

async fn a_region_that_hangs_costs_no_request_and_is_used_again_once_it_is_back(
    shell: Shell,
) -> Result<()> {
    let mut bed = Bed::open_on(shell, &[("REGIONAL__READ_TIMEOUT_MS", "300")]).await?;
    harmed(&mut bed, async |bed| {
        for faults in [Faults::hung(), Faults::half_open()] {
            bed.to_asia.set(faults);
            bed.wait_until_answers(&TOKYO, "europe").await?;
            bed.to_asia.heal();
            bed.wait_until_answers(&TOKYO, "asia").await?;
        }
        // Mere connections that break off.
        bed.to_asia.reset();
        bed.wait_until_answers(&TOKYO, "europe").await?;
        bed.to_asia.heal();
        bed.wait_until_answers(&TOKYO, "asia").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_never_undone_by_a_replica_that_lags() -> Result<()> {
    let bed = Bed::open().await?;
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    bed.caught_up()?;
    let acknowledged = Arc::new(AtomicU32::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for target in [&*pitch.target, "/api/pitches/new", "/api/search?q=thing"] {
        let (client, target) = (bed.edge.clone(), target.to_owned());
        let (acknowledged, done) = (acknowledged.clone(), done.clone());
        readers.spawn(async move {
            let mut near = 0_u32;
            while !done.load(Ordering::Acquire) {
                let least = acknowledged.load(Ordering::Acquire);
                let answer = client.get(&target, &TOKYO).await?.expect(200)?;
                let version = versions(&answer, 1).context("it is not shown")?;
                ensure!(version >= least, "{target} shows {version} after {least}");
                near += u32::from(giver(&answer) == "asia");
            }
            anyhow::Ok(near)
        });
    }
    for number in 0..60 {
        // It lags, it follows, it lags again.
        match number % 20 {
            0 => block_in_place(|| bed.site.replica.pause_replay())?,
            10 => block_in_place(|| bed.site.replica.resume_replay())?,
            _ => {}
        }
        let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
        acknowledged.store(version, Ordering::Release);
        let answer = bed.edge.get(&pitch.target, &TOKYO).await?.expect(200)?;
        let shown = versions(&answer, 1).context("it is not shown")?;
        ensure!(shown >= version, "{shown} after {version}");
        if (1..10).contains(&(number % 20)) {
            assert_ne!(giver(&answer), "asia", "it cannot have it");
        }
    }
    bed.caught_up()?;
    bed.wait_until_answers(&TOKYO, "asia").await?;
    done.store(true, Ordering::Release);
    let mut near = 0;
    while let Some(reader) = readers.join_next().await {
        near += reader??;
    }
    assert!(near > 0, "nothing was read near");
    Ok(())
}

async fn who_has_a_position_reads_only_what_has_come_so_far(shell: Shell) -> Result<()> {
    let bed = Bed::open_on(shell, &[]).await?;
    Maker::new(&bed.edge, 0, 1).await?;
    bed.caught_up()?;
    block_in_place(|| bed.site.replica.pause_replay())?;
    // Nothing that anybody was told of.
    let primary = bed.site.primary.url();
    let position = block_in_place(|| {
        execute(&primary, "CREATE TABLE unheard (n int)")?;
        query_text(&primary, "SELECT pg_current_wal_insert_lsn()::text")
    })?;
    assert_eq!(bed.asks(&TOKYO).await?, "asia");
    let cookie = format!("__Host-position={position}");
    let mut own = vec![("cookie", &*cookie)];
    own.extend(TOKYO);
    assert_eq!(bed.asks(&own).await?, "europe");
    // Where nobody near has it, the origin is asked.
    bed.to_europe.cut();
    bed.wait_until_answers(&own, "origin").await?;
    assert_eq!(bed.asks(&TOKYO).await?, "asia");
    block_in_place(|| bed.site.replica.resume_replay())?;
    bed.caught_up()?;
    bed.wait_until_answers(&own, "asia").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_is_read_near_while_the_origin_is_gone() -> Result<()> {
    let bed = Bed::open().await?;
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    bed.caught_up()?;
    bed.to_origin.cut();
    let (pitch, profile) = (maker.things[1].target.clone(), "/api/users/maker0");
    for target in [&*pitch, "/api/pitches/new", profile] {
        let answer = bed.edge.get(target, &TOKYO).await?.expect(200)?;
        assert_eq!(giver(&answer), "asia", "{target}");
    }
    let refused = maker.things[1].edit(&bed.edge, &maker.person).await?;
    assert_eq!(refused, 502, "a change is the origin's");
    // Nor is it heard what is invalidated: it is given, and not kept.
    bed.to_redis.cut();
    let until = Instant::now() + PATIENCE;
    while bed.edge.get("/__edge/health", &[]).await?.json()["attached"] == true {
        ensure!(Instant::now() < until, "it still hears");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..2 {
        let answer = bed
            .edge
            .get("/api/pitches?limit=3", &TOKYO)
            .await?
            .expect(200)?;
        let told = (giver(&answer), answer.header("x-cache-status"));
        assert_eq!(told, ("asia", "MISS"));
    }
    bed.to_redis.heal();
    bed.to_origin.heal();
    bed.wait_until_attached().await?;
    let version = edit(&bed.edge, &maker.person, &mut maker.things[1]).await?;
    let answer = bed.edge.get(&pitch, &TOKYO).await?.expect(200)?;
    assert_eq!(versions(&answer, 1), Some(version));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_regions_and_what_was_last_known_of_them() -> Result<()> {
    let bed = Bed::open().await?;
    let wait = async |expected: serde_json::Value| {
        let until = Instant::now() + PATIENCE;
        loop {
            let health = bed.edge.get("/api/health", &[]).await?.expect(200)?.json();
            let regions = &health["regions"];
            let told = json!([
                regions["europe"]["status"],
                regions["asia"]["status"],
                health["status"]
            ]);
            if told == expected {
                return Ok(health);
            }
            ensure!(Instant::now() < until, "{health}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let health = wait(json!(["ok", "ok", "ok"])).await?;
    let (europe, asia) = (&health["regions"]["europe"], &health["regions"]["asia"]);
    ensure!(
        europe["at"].is_string() && europe["replayed"].is_null(),
        "{health}"
    );
    ensure!(
        asia["ms"].is_u64() && asia["replayed"].is_string(),
        "{health}"
    );
    bed.to_asia.cut();
    wait(json!(["ok", "down", "degraded"])).await?;
    bed.to_asia.heal();
    wait(json!(["ok", "ok", "ok"])).await?;
    Ok(())
}
