//! Redis away, hung, emptied, read-only or full under an origin with readers and a writer: nobody is told,
//! nobody reads what is old, and the cache comes back by itself.

use crate::client::{Client, Person};
use crate::origin::Origin;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::{OwnedRedis, TestDb};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const FILMS: usize = 6;
const READERS: usize = 4;
/// So many reads and writes happen before, during and after each fault.
const READS: u64 = 400;
const WRITES: u64 = 15;
const PATIENCE: Duration = Duration::from_mins(1);

/// From so many timeouts in a row on the connection is given up (`HUNG_AFTER` of the link); the breaker
/// opens after five calls if there were none that succeeded within its window before.
const HUNG_AFTER: u64 = 8;

/// What is done to Redis, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Hung,
    RestartedEmpty,
    ReadOnly,
    Full,
}

impl Fault {
    fn begin(self, redis: &mut OwnedRedis) -> Result<()> {
        match self {
            Self::Killed => redis.kill(),
            Self::Hung => redis.pause(),
            Self::RestartedEmpty => redis.restart_empty(),
            Self::ReadOnly => redis.make_read_only(),
            Self::Full => redis.make_full(),
        }
    }

    fn end(self, redis: &mut OwnedRedis) -> Result<()> {
        match self {
            Self::Killed => redis.restart(),
            Self::Hung => redis.resume(),
            Self::RestartedEmpty => Ok(()),
            Self::ReadOnly | Self::Full => redis.make_writable(),
        }
    }

    /// Whether the origin has met it, which shows in its figures.
    fn is_met(self, before: &Figures, now: &Figures) -> bool {
        match self {
            Self::Killed | Self::Hung | Self::ReadOnly => !now.attached,
            Self::RestartedEmpty => now.attached && now.attached_anew > before.attached_anew,
            // Its fills are refused.
            Self::Full => now.shared_errors > before.shared_errors,
        }
    }
}

/// What the metrics say of the cache.
#[derive(Debug, Clone, Copy)]
struct Figures {
    attached: bool,
    attached_anew: u64,
    shared_errors: u64,
    timeouts: u64,
    opened: u64,
}

impl Figures {
    async fn of(origin: &Origin) -> Result<Self> {
        let text = origin.metrics().await?;
        let sum = |name: &str, label: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let values = lines.filter(|line| line.contains(label));
            let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            values.sum()
        };
        Ok(Self {
            attached: sum("cache_attached ", "") == 1,
            attached_anew: sum("cache_follower_reattach_total{", ""),
            shared_errors: sum("cache_events_total{", "what=\"shared_error\""),
            timeouts: sum("redis_timeouts_total", ""),
            opened: sum("cache_breaker_transitions_total{", "to=\"open\""),
        })
    }
}

/// A film with the take that its title names.
struct Film {
    target: String,
    id: String,
    /// The newest take whose write has been answered.
    acknowledged: AtomicU64,
}

/// The films, and what happened to them.
struct Market {
    client: Client,
    films: Vec<Film>,
    reads: AtomicU64,
    writes: AtomicU64,
    over: AtomicBool,
}

fn title(take: u64) -> String {
    format!("Take {take}")
}

fn take_of(pitch: &Value) -> Result<u64> {
    let title = pitch["title"]
        .as_str()
        .and_then(|title| title.strip_prefix("Take "));
    Ok(title
        .with_context(|| format!("no title of ours: {pitch}"))?
        .parse()?)
}

impl Market {
    async fn open(client: &Client) -> Result<(Arc<Self>, Person)> {
        let creator = client.register("ann", "creator").await?;
        let mut films = Vec::new();
        for _ in 0..FILMS {
            let body = json!({"title": title(0), "format": "short", "stage": "script", "logline": "x", "genres": ["short"], "visibility": "public"});
            let made = client
                .post(&creator, "/api/pitches", &body)
                .await?
                .expect(201)?;
            let target = made.header("location").to_owned();
            let version = [("if-match", made.header("etag"))];
            let publish = format!("{target}/publish");
            let published = client
                .ask(&creator, Method::POST, &publish, &version, None)
                .await?;
            published.expect(200)?;
            let id = target.rsplit('/').next().unwrap_or_default().to_owned();
            films.push(Film {
                target,
                id,
                acknowledged: AtomicU64::new(0),
            });
        }
        let market = Self {
            client: client.clone(),
            films,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            over: AtomicBool::new(false),
        };
        Ok((Arc::new(market), creator))
    }

    /// Reads one target; what was acknowledged before is in the answer.
    async fn read(&self, target: &str) -> Result<()> {
        let known: Vec<u64> = self
            .films
            .iter()
            .map(|film| film.acknowledged.load(Ordering::SeqCst))
            .collect();
        let answer = self.client.get(target, &[]).await?;
        ensure!(answer.status == 200, "{target}: {}", answer.summary());
        let from = answer.header("cache-status").to_owned();
        let answer = answer.json();
        let alone = [answer.clone()];
        let seen = answer["items"].as_array().map_or(&alone[..], Vec::as_slice);
        for pitch in seen {
            let film = self
                .films
                .iter()
                .position(|film| pitch["id"] == film.id.as_str());
            let film = film.with_context(|| format!("no film of ours: {pitch}"))?;
            let take = take_of(pitch)?;
            ensure!(
                take >= known[film],
                "{target} has take {take} after {}: {from}",
                known[film]
            );
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Reads hot details and lists until it is over.
    async fn read_on(self: Arc<Self>, number: usize) -> Result<()> {
        let details = self.films.iter().take(3).map(|film| film.target.as_str());
        let lists = [
            "/api/pitches?limit=20",
            "/api/pitches/new?limit=20",
            "/api/pitches?genre=short",
        ];
        let targets: Vec<&str> = details.chain(lists).collect();
        for target in targets.iter().cycle().skip(number) {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            self.read(target).await?;
        }
        Ok(())
    }

    /// Edits films in turn, the first ones of which are hot.
    async fn write_on(self: Arc<Self>, creator: Person) -> Result<()> {
        for film in self.films.iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let take = film.acknowledged.load(Ordering::SeqCst) + 1;
            let full = format!("{}/full", film.target);
            let now = self.client.read(&creator, &full).await?.expect(200)?;
            let version = [("if-match", now.header("etag"))];
            let body = Some(json!({"title": title(take)}));
            let edit = self.client.ask(
                &creator,
                Method::PATCH,
                &film.target,
                &version,
                body.as_ref(),
            );
            edit.await?.expect(200)?;
            film.acknowledged.store(take, Ordering::SeqCst);
            self.writes.fetch_add(1, Ordering::Relaxed);
            // The next one only after some reads, so that there is something to be read from the cache.
            let enough = self.reads.load(Ordering::Relaxed) + 20;
            while self.reads.load(Ordering::Relaxed) < enough && !self.over.load(Ordering::Relaxed)
            {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// An origin over a Redis, and those who use it.
struct Scene {
    origin: Origin,
    redis: OwnedRedis,
    market: Arc<Market>,
    users: JoinSet<Result<()>>,
    _database: TestDb,
}

impl Scene {
    async fn open() -> Result<(Self, Person)> {
        let database = TestDb::new().await;
        let redis = tokio::task::spawn_blocking(OwnedRedis::start).await??;
        let url = redis.url();
        let settings = [
            ("PITCHEY_CACHE__URL", url.as_str()),
            ("PITCHEY_CACHE__WARM", "false"),
            ("PITCHEY_LIMITS__WRITE", "off"),
        ];
        let origin = Origin::start_with(database.url(), &settings).await?;
        let (market, creator) = Market::open(&origin.client).await?;
        let users = JoinSet::new();
        let mut scene = Self {
            origin,
            redis,
            market,
            users,
            _database: database,
        };
        scene
            .until("attached", async |scene| {
                Ok(Figures::of(&scene.origin).await?.attached)
            })
            .await?;
        Ok((scene, creator))
    }

    fn begin(&mut self, creator: Person) {
        for number in 0..READERS {
            self.users.spawn(self.market.clone().read_on(number));
        }
        self.users.spawn(self.market.clone().write_on(creator));
    }

    /// Waits until it is so; whoever uses the origin must not end meanwhile, which an error would.
    async fn until(
        &mut self,
        what: &str,
        mut is_so: impl AsyncFnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let begun = tokio::time::Instant::now();
        while !is_so(self).await? {
            if let Some(ended) = self.users.try_join_next() {
                ended?.with_context(|| format!("before {what}"))?;
                anyhow::bail!("one has ended before {what}");
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "never: {what}; {:?}",
                Figures::of(&self.origin).await?
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets everybody go on for a while that is counted in what they do.
    async fn go_on(&mut self, what: &str) -> Result<()> {
        let reads = self.market.reads.load(Ordering::Relaxed) + READS;
        let writes = self.market.writes.load(Ordering::Relaxed) + WRITES;
        self.until(what, async |scene| {
            let market = &scene.market;
            Ok(market.reads.load(Ordering::Relaxed) >= reads
                && market.writes.load(Ordering::Relaxed) >= writes)
        })
        .await
    }

    /// Waits until something new that is read is in Redis afterwards. Each attempt reads another list.
    async fn is_kept_in_redis(&mut self, sizes: RangeInclusive<usize>) -> Result<()> {
        let client = redis::Client::open(self.redis.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut sizes = sizes;
        self.until("an entry in Redis", async |scene| {
            let size = sizes.next().context("no list of theirs is kept")?;
            scene
                .market
                .read(&format!("/api/pitches?limit={size}"))
                .await?;
            let key = format!("pitchey:e:pitch_list:/api/pitches?limit={size}");
            Ok(redis::cmd("EXISTS")
                .arg(key)
                .query_async::<u64>(&mut connection)
                .await?
                == 1)
        })
        .await
    }

    async fn end(mut self) -> Result<()> {
        self.market.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.users.join_next().await {
            ended??;
        }
        self.origin.stop().await
    }
}

async fn nobody_notices(fault: Fault) -> Result<()> {
    let (mut scene, creator) = Scene::open().await?;
    scene.begin(creator);
    scene.go_on("the fault").await?;
    scene.is_kept_in_redis(21..=40).await?;

    let before = Figures::of(&scene.origin).await?;
    tokio::task::block_in_place(|| fault.begin(&mut scene.redis))?;
    scene
        .until("the fault is met", async |scene| {
            Ok(fault.is_met(&before, &Figures::of(&scene.origin).await?))
        })
        .await?;
    scene.go_on("the end of the fault").await?;
    let during = Figures::of(&scene.origin).await?;
    if fault == Fault::Hung {
        let paid = during.timeouts - before.timeouts;
        // Everybody may have one call under way when the connection is given up, and so may the probe.
        let most = HUNG_AFTER + READERS as u64 + 2;
        assert!(
            (1..=most).contains(&paid),
            "{paid} timeouts were paid, and {most} at most may be"
        );
    }

    tokio::task::block_in_place(|| fault.end(&mut scene.redis))?;
    scene
        .until("attached again", async |scene| {
            Ok(Figures::of(&scene.origin).await?.attached)
        })
        .await?;
    scene.is_kept_in_redis(41..=60).await?;
    scene.go_on("the end").await?;
    let after = Figures::of(&scene.origin).await?;
    let market = &scene.market;
    eprintln!(
        "{fault:?}: {} reads, {} writes; before {before:?}, during {during:?}, after {after:?}",
        market.reads.load(Ordering::Relaxed),
        market.writes.load(Ordering::Relaxed)
    );
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_is_not_noticed_by_readers_and_used_again_when_it_is_back() -> Result<()> {
    nobody_notices(Fault::Killed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_redis_is_not_noticed_by_readers_and_used_again_when_it_goes_on() -> Result<()> {
    nobody_notices(Fault::Hung).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_has_lost_everything_is_not_noticed_by_readers_and_filled_anew() -> Result<()>
{
    nobody_notices(Fault::RestartedEmpty).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_redis_is_not_noticed_by_readers_and_used_again_when_it_is_not() -> Result<()> {
    nobody_notices(Fault::ReadOnly).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_is_not_noticed_by_readers_and_filled_again_when_it_has_room() -> Result<()> {
    nobody_notices(Fault::Full).await
}

/// Nobody writes, and nothing of what is read is in memory: each read would ask Redis.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_costs_its_timeout_a_few_times_and_then_nothing() -> Result<()> {
    let (mut scene, _) = Scene::open().await?;
    let before = Figures::of(&scene.origin).await?;
    tokio::task::block_in_place(|| scene.redis.pause())?;
    let mut cold = (1..=100).flat_map(|size| {
        [
            "/api/pitches?",
            "/api/pitches/new?",
            "/api/pitches?genre=short&",
        ]
        .map(|list| format!("{list}limit={size}"))
    });
    let mut read_cold = async |market: &Arc<Market>, rounds: usize| {
        for _ in 0..rounds {
            let mut readers = JoinSet::new();
            for target in cold.by_ref().take(READERS) {
                let market = market.clone();
                readers.spawn(async move { market.read(&target).await });
            }
            while let Some(read) = readers.join_next().await {
                read??;
            }
        }
        anyhow::Ok(())
    };
    // More rounds than it can take: each costs a timeout for everybody until it is given up.
    read_cold(&scene.market, 5).await?;
    let given_up = Figures::of(&scene.origin).await?;
    let paid = given_up.timeouts - before.timeouts;
    let most = HUNG_AFTER + READERS as u64 + 1;
    assert!(
        (1..=most).contains(&paid),
        "{paid} timeouts were paid, and {most} at most may be"
    );

    read_cold(&scene.market, 50).await?;
    let later = Figures::of(&scene.origin).await?;
    let opened = later.opened - before.opened;
    eprintln!("{paid} timeouts of {most}, and the breaker opened {opened} times");
    assert_eq!(later.timeouts, given_up.timeouts, "nobody waits any more");

    tokio::task::block_in_place(|| scene.redis.resume())?;
    scene
        .until("attached again", async |scene| {
            Ok(Figures::of(&scene.origin).await?.attached)
        })
        .await?;
    scene.end().await
}
