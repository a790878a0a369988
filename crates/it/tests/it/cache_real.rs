//! Two origins with caches, a primary with a replica, and Redis, while some of it is broken all the time:
//! nobody reads anything older than promised. [`crate::cache_history`] says what is promised.

use crate::cache_history::{Seen, Trouble, Written, judge};
use crate::cache_site::{Doors, Life, Maker, Site, Thing, fresh_version, shown};
use anyhow::{Context as _, Result, ensure};
use pitchey_runtime::{Random as _, SystemRuntime};
use pitchey_testkit::postgres_server::query_text;
use pitchey_testkit::{Connects, Faults};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::{JoinSet, block_in_place};

/// How long the run is; `PITCHEY_CACHE_REAL_SECONDS` says otherwise. It goes on until every trouble of
/// [`ESSENTIAL`] was there.
const SECONDS: u64 = 8;
const MAKERS: usize = 4;
const PITCHES: usize = 4;
const READERS: usize = 8;

/// A writer's pause between two edits, at most: what is edited all the time is in no cache.
const EDIT_PAUSE_MS: u64 = 50;

/// The shortest and the longest time that something stays broken, and that all is well between.
const BROKEN_MS: (u64, u64) = (200, 2_500);
const WELL_MS: (u64, u64) = (100, 500);

/// The time of a run, and its end.
#[derive(Clone)]
struct Run {
    doors: Doors,
    start: Instant,
    over: Arc<AtomicBool>,
}

impl Run {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A number from 0 on, below `below`.
fn any(below: u64) -> u64 {
    SystemRuntime::new().next_u64() % below
}

fn any_of(below: usize) -> usize {
    usize::try_from(any(below as u64)).unwrap_or(0)
}

fn between((least, most): (u64, u64)) -> Duration {
    Duration::from_millis(least + any(most - least))
}

/// Edits what is one maker's, one edit after the other, through any origin.
async fn writer(run: Run, mut maker: Maker) -> Result<(Vec<Written>, u64)> {
    let (mut written, mut unknown) = (Vec::new(), 0);
    while !run.is_over() {
        tokio::time::sleep(Duration::from_millis(any(EDIT_PAUSE_MS))).await;
        let Maker { person, things } = &mut maker;
        let chosen = any_of(things.len());
        let thing = &mut things[chosen];
        let door = run.doors.door(any_of(2));
        let begun = run.now();
        if let Ok(200) = thing.edit(&door.client, person).await {
            let ended = run.now();
            thing.version += 1;
            written.push(Written {
                thing: thing.number,
                version: thing.version,
                by: door.life,
                begun,
                ended,
                delivered: Duration::MAX,
            });
            continue;
        }
        // It may be done or not; the database knows.
        unknown += 1;
        while !run.is_over() {
            let door = run.doors.door(any_of(2));
            if let Ok(version) = fresh_version(&door.client, person, thing).await {
                thing.version = version;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok((written, unknown))
}

/// A read that got no answer, or another than it should.
struct Failed {
    what: String,
    target: String,
    by: Life,
    begun: Duration,
    ended: Duration,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            target,
            by,
            begun,
            ended,
        } = self;
        write!(
            formatter,
            "{what} for {target} by {by:?}, from {begun:?} to {ended:?}"
        )
    }
}

#[derive(Default)]
struct Readings {
    seen: Vec<Seen>,
    failed: Vec<Failed>,
    /// How often each status of the cache was told, with where the answer is from.
    statuses: BTreeMap<String, u64>,
    /// Answers of which the origin itself says that nobody could tell whether they are old.
    unverified: u64,
}

async fn reader(run: Run, targets: Arc<Vec<String>>) -> Result<Readings> {
    let mut readings = Readings::default();
    while !run.is_over() {
        let door = run.doors.door(any_of(2));
        let number = any_of(targets.len());
        let target = &targets[number];
        let begun = run.now();
        let answer = door.client.get(target, &[]).await;
        let ended = run.now();
        let failed = |what: String| Failed {
            what,
            target: target.clone(),
            by: door.life,
            begun,
            ended,
        };
        let answer = match answer {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => {
                readings.failed.push(failed(answer.summary()));
                continue;
            }
            Err(_) => {
                readings.failed.push(failed("no answer".to_owned()));
                // Until its successor is there.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        let cache = answer.header("cache-status");
        let detail = cache.rsplit("detail=").next().unwrap_or_default();
        let status = format!("{} {detail}", answer.header("x-cache-status"));
        *readings.statuses.entry(status).or_default() += 1;
        if cache.contains("fwd-status=503") {
            readings.unverified += 1;
            continue;
        }
        let mut things = Vec::new();
        shown(&answer.json(), &mut things);
        ensure!(!things.is_empty(), "{target} shows nothing");
        readings.seen.push(Seen {
            by: door.life,
            target: number,
            begun,
            things,
        });
    }
    Ok(readings)
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Broken {
    RedisKilled,
    RedisPaused,
    RedisEmptied,
    RedisReadOnly,
    WayCut(usize),
    WayHung(usize),
    WayHalfOpen(usize),
    WayReset(usize),
    OriginKilled(usize),
    Nothing,
}

/// One of each is there at least, however short the run.
const ESSENTIAL: [Broken; 6] = [
    Broken::WayCut(0),
    Broken::RedisKilled,
    Broken::OriginKilled(1),
    Broken::RedisPaused,
    Broken::RedisEmptied,
    Broken::WayHung(1),
];

const FURTHER: [Broken; 10] = [
    Broken::WayCut(1),
    Broken::OriginKilled(0),
    Broken::WayReset(0),
    Broken::RedisReadOnly,
    Broken::WayHalfOpen(1),
    Broken::WayHung(0),
    Broken::Nothing,
    Broken::WayReset(1),
    Broken::WayHalfOpen(0),
    Broken::RedisKilled,
];

impl Broken {
    /// Breaks it.
    fn begin(self, site: &mut Site) -> Result<()> {
        match self {
            Self::RedisKilled | Self::RedisEmptied => site.redis.kill()?,
            Self::RedisPaused => site.redis.pause()?,
            Self::RedisReadOnly => site.redis.make_read_only()?,
            Self::WayCut(place) => site.proxies[place].cut(),
            Self::WayHung(place) => site.proxies[place].set(Faults::hung()),
            Self::WayHalfOpen(place) => site.proxies[place].set(Faults::half_open()),
            Self::WayReset(place) => {
                site.proxies[place].reset();
                site.proxies[place].set(Faults::default().with_connects(Connects::Reset));
            }
            Self::OriginKilled(place) => site.kill_origin(place)?,
            Self::Nothing => {}
        }
        Ok(())
    }

    /// Has it work again.
    fn end(self, site: &mut Site) -> Result<()> {
        match self {
            Self::RedisKilled => site.redis.restart()?,
            Self::RedisEmptied => site.redis.restart_empty()?,
            Self::RedisPaused => site.redis.resume()?,
            Self::RedisReadOnly => site.redis.make_writable()?,
            Self::WayCut(place)
            | Self::WayHung(place)
            | Self::WayHalfOpen(place)
            | Self::WayReset(place) => site.proxies[place].heal(),
            Self::OriginKilled(_) | Self::Nothing => {}
        }
        Ok(())
    }

    const fn is_kill_of_origin(self) -> bool {
        matches!(self, Self::OriginKilled(_))
    }
}

/// Breaks one thing after the other, two times of three with a replica that stands still.
async fn break_things(site: &mut Site, run: &Run, length: Duration) -> Result<Vec<Trouble>> {
    let mut troubles = Vec::new();
    let order = ESSENTIAL.iter().chain(FURTHER.iter().cycle());
    for (number, broken) in order.enumerate() {
        if run.now() >= length && number >= ESSENTIAL.len() {
            break;
        }
        let lags = number % 3 != 1;
        if lags {
            block_in_place(|| site.replica.pause_replay())?;
        }
        let begun = run.now();
        block_in_place(|| broken.begin(site))?;
        tokio::time::sleep(between(BROKEN_MS)).await;
        block_in_place(|| broken.end(site))?;
        site.wait_until_attached().await?;
        troubles.push(Trouble {
            what: format!("{broken:?}{}", if lags { ", replica lags" } else { "" }),
            of_redis: *broken != Broken::Nothing,
            begun,
            ended: run.now(),
        });
        if lags {
            tokio::time::sleep(between(WELL_MS)).await;
            block_in_place(|| site.replica.resume_replay())?;
        }
        tokio::time::sleep(between(WELL_MS)).await;
    }
    Ok(troubles)
}

/// The transactions of the outbox: when they began, when all that they left was delivered (in seconds since
/// 1970), and their tags.
const DELIVERIES: &str = "SELECT coalesce(json_agg(row), '[]')::text FROM (
    SELECT extract(epoch FROM created_at)::float8 AS begun, extract(epoch FROM max(delivered_at))::float8 AS delivered,
           bool_and(delivered_at IS NOT NULL) AS all_delivered, json_agg(tag) AS tags
    FROM cache_outbox GROUP BY created_at ORDER BY created_at) row";

/// Notes of every change when its invalidation was delivered. `zero` is the wall's time at the beginning.
fn note_deliveries(
    site: &Site,
    tags: &BTreeMap<usize, String>,
    zero: Duration,
    written: &mut [Written],
) -> Result<()> {
    let text = query_text(&site.primary.url(), DELIVERIES)?;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    let mut of_tag: BTreeMap<&str, Vec<(Duration, Duration)>> = BTreeMap::new();
    for row in &rows {
        ensure!(row["all_delivered"] == true, "not all is delivered");
        let since = |name: &str| {
            let at = Duration::from_secs_f64(row[name].as_f64().unwrap_or_default());
            at.saturating_sub(zero)
        };
        let times = (since("begun"), since("delivered"));
        for tag in row["tags"].as_array().into_iter().flatten() {
            let tag = tag.as_str().unwrap_or_default();
            of_tag.entry(tag).or_default().push(times);
        }
    }
    for change in written {
        let rows = of_tag.get(tags[&change.thing].as_str());
        let rows = rows.context("a thing has no rows")?;
        // Of one who waits for each answer: the transaction that began meanwhile is its own.
        let own = rows
            .iter()
            .filter(|(begun, _)| (change.begun..=change.ended).contains(begun));
        let delivered = own.map(|(_, delivered)| *delivered).max();
        change.delivered = delivered.with_context(|| format!("{change:?} has no row"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_reads_what_is_older_than_promised_whatever_breaks() -> Result<()> {
    let seconds =
        std::env::var("PITCHEY_CACHE_REAL_SECONDS").map_or(Ok(SECONDS), |text| text.parse())?;
    let more = [("PITCHEY_DUTIES__CLEAN_UP_INTERVAL_MS", "3600000")];
    let mut site = Site::start(2, &more).await?;
    let mut makers = Vec::new();
    let first = site.doors.door(0).client;
    for number in 0..MAKERS {
        makers.push(Maker::new(&first, number * (PITCHES + 1), PITCHES).await?);
        // So that they carry numbers before anybody reads.
        let Maker { person, things } = makers.last_mut().context("no maker")?;
        for thing in things {
            ensure!(thing.edit(&first, person).await? == 200);
            thing.version += 1;
        }
    }
    block_in_place(|| site.replica.wait_until_caught_up())?;
    let things: Vec<Thing> = makers
        .iter()
        .flat_map(|maker| maker.things.clone())
        .collect();
    let tags = things
        .iter()
        .map(|thing| (thing.number, thing.tag.clone()))
        .collect();
    let names = (0..MAKERS).map(|number| format!("/api/users/maker{}", number * (PITCHES + 1)));
    let details = things
        .iter()
        .filter(|thing| thing.field == "title")
        .map(|thing| thing.target.clone());
    let lists = [
        "/api/pitches?limit=50",
        "/api/pitches/new?limit=50",
        "/api/pitches/trending?genre=short&limit=50",
        "/api/search?q=thing&limit=50",
    ];
    let targets = details.chain(names).chain(lists.map(str::to_owned));
    let targets = Arc::new(targets.collect::<Vec<_>>());

    let zero = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let run = Run {
        doors: site.doors.clone(),
        start: Instant::now(),
        over: Arc::default(),
    };
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for maker in makers {
        writers.spawn(writer(run.clone(), maker));
    }
    for _ in 0..READERS {
        readers.spawn(reader(run.clone(), targets.clone()));
    }
    let troubles = break_things(&mut site, &run, Duration::from_secs(seconds)).await;
    run.over.store(true, Ordering::Relaxed);
    let length = run.now();
    let (mut written, mut unknown) = (Vec::new(), 0);
    while let Some(ended) = writers.join_next().await {
        let (of_one, unknown_of_one) = ended??;
        written.extend(of_one);
        unknown += unknown_of_one;
    }
    let mut all = Readings::default();
    while let Some(ended) = readers.join_next().await {
        let readings = ended??;
        all.seen.extend(readings.seen);
        all.failed.extend(readings.failed);
        all.unverified += readings.unverified;
        for (status, count) in readings.statuses {
            *all.statuses.entry(status).or_default() += count;
        }
    }
    let troubles = troubles?;

    let pending = "SELECT count(*) = 0 FROM cache_outbox WHERE delivered_at IS NULL";
    block_in_place(|| {
        pitchey_testkit::wait::until("the rest to be delivered", Duration::from_mins(1), || {
            let url = site.primary.url();
            let done = pitchey_testkit::postgres_server::query_bool(&url, pending)?;
            Ok(done.then_some(()))
        })?;
        note_deliveries(&site, &tags, zero, &mut written)
    })?;
    let verdict = judge(&written, &all.seen, &troubles);
    report(&all, &verdict, &troubles, length);
    let left = written.iter().filter(|w| w.delivered > w.ended).count();
    let (reads, writes) = (all.seen.len(), written.len());
    eprintln!("{writes} writes answered, {unknown} not, {left} left to a relay");

    ensure!(
        verdict.broken.is_empty(),
        "{} reads older than promised, among them:\n{}",
        verdict.broken.len(),
        verdict.broken[..verdict.broken.len().min(10)].join("\n")
    );
    for failed in &all.failed {
        // Nobody answers for an origin that is not there; whatever else breaks, everybody is answered.
        let excused = troubles.iter().any(|trouble| {
            let killed = trouble.what.starts_with("OriginKilled");
            killed && failed.what == "no answer" && trouble.meets(failed.begun, failed.ended)
        });
        ensure!(excused, "{failed}: for no reason");
    }
    // It was a run worth the name.
    let kills = |origin: bool| {
        let is_kill = |broken: &&Broken| broken.is_kill_of_origin() == origin;
        ESSENTIAL.iter().filter(is_kill).count()
    };
    let of_origin = |trouble: &&Trouble| trouble.what.starts_with("OriginKilled");
    let killed = troubles.iter().filter(of_origin).count();
    ensure!(killed >= kills(true) && troubles.len() - killed >= kills(false));
    let count = |begins: &str| -> u64 {
        let statuses = all.statuses.iter();
        statuses
            .filter(|(status, _)| status.starts_with(begins))
            .map(|(_, count)| count)
            .sum()
    };
    ensure!(reads >= 500 && writes >= 50, "too little happened");
    ensure!(count("HIT memory") >= 100 && count("HIT redis") > 0 && count("MISS") >= 50);
    ensure!(left > 0 && left < writes, "both ways of an invalidation");
    ensure!(verdict.compared_same >= 100 && verdict.compared > verdict.compared_same);
    Ok(())
}

fn report(
    all: &Readings,
    verdict: &crate::cache_history::Verdict,
    troubles: &[Trouble],
    length: Duration,
) {
    eprintln!(
        "{length:?}, {} reads, {} comparisons with changes before, {} through the same origin",
        all.seen.len(),
        verdict.compared,
        verdict.compared_same
    );
    eprintln!(
        "cache statuses: {:?}, unverified: {}",
        all.statuses, all.unverified
    );
    let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
    for read in &all.failed {
        *failed.entry(&read.what).or_default() += 1;
    }
    eprintln!("failed reads: {failed:?}");
    for read in all.failed.iter().filter(|read| read.what != "no answer") {
        eprintln!("  {read}");
    }
    for trouble in troubles {
        let took = trouble.ended.saturating_sub(trouble.begun);
        eprintln!("  at {:?} for {took:?}: {}", trouble.begun, trouble.what);
    }
    let lags = [
        ("Redis well, after the answer", verdict.well),
        (
            "trouble, acknowledged, after the answer",
            verdict.acknowledged,
        ),
        ("trouble, left to a relay, after the answer", verdict.left),
        (
            "trouble, left to a relay, after the delivery",
            verdict.delivered,
        ),
    ];
    for (when, lag) in lags {
        eprintln!(
            "the other origin, {when}: {} old reads, the longest after {:?}",
            lag.reads, lag.longest
        );
    }
}
