//! The far tiers of the edge on Workers: what isolates share, and what becomes of it when it is gone.

use crate::cache_site::{Maker, PATIENCE, Site};
use crate::client::{Answer, Client};
use crate::edge_desk::{DESK, purge};
use crate::edge_pitchey::{SECRET, edit, versions};
use crate::upstream::{Reply, Upstream};
use anyhow::{Result, ensure};
use pitchey_testkit::{FaultProxy, Faults, Flow, KvServer, Passage, RestRedis, Worker};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, block_in_place};

/// How long a worker's memory may be used in these tests.
const BOUND_MS: &str = "300";
const BOUND: Duration = Duration::from_millis(300);

/// A worker's clock tells whole milliseconds, and stands still while it works.
const GRAIN: Duration = Duration::from_millis(20);

/// What the workers of a test have in common. What is dropped first stops first.
struct Bed {
    /// Between all workers and Redis, and between them and the origin.
    to_redis: FaultProxy,
    to_origin: FaultProxy,
    rest: RestRedis,
    origin: Client,
    site: Site,
}

/// One worker.
struct Here {
    running: Worker,
    client: Client,
}

impl Bed {
    async fn open() -> Result<Option<Self>> {
        if !Worker::is_there() {
            return Ok(None);
        }
        let settings = [
            ("PITCHEY_CACHE__EDGE_KEY", SECRET),
            ("PITCHEY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
        ];
        let site = Site::start(1, &settings).await?;
        let origin = site.doors.door(0).client;
        let rest = RestRedis::start(&site.redis.url())?;
        Ok(Some(Self {
            to_redis: FaultProxy::start(rest.address())?,
            to_origin: FaultProxy::start(origin.address())?,
            rest,
            origin,
            site,
        }))
    }

    /// One more worker, with Redis and with more settings.
    fn worker(&self, more: &[(&str, &str)]) -> Result<Here> {
        self.worker_with(None, more)
    }

    /// The same, and perhaps with KV at this address.
    fn worker_with(&self, kv: Option<SocketAddr>, more: &[(&str, &str)]) -> Result<Here> {
        let redis = format!("http://{}", self.to_redis.address());
        let mut settings = vec![
            ("REDIS__REST_URL", &*redis),
            ("REDIS__REST_TOKEN", self.rest.token()),
            // Machines under test are slow.
            ("REDIS__TIMEOUT_MS", "2000"),
        ];
        settings.extend(more);
        let origin = format!("http://{}", self.to_origin.address());
        before(&origin, kv, &settings)
    }

    /// Waits until nobody holds a lease: what was to be stored is, or was refused.
    async fn settled(&self) -> Result<()> {
        let client = redis::Client::open(self.site.redis.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let mut keys = redis::cmd("KEYS");
            let keys: Vec<String> = keys
                .arg("pitchey:l:*|identity")
                .query_async(&mut connection)
                .await?;
            if keys.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "leases are left: {keys:?}");
        }
    }
}

fn before(origin: &str, kv: Option<SocketAddr>, more: &[(&str, &str)]) -> Result<Here> {
    let mut settings = vec![
        ("PITCHEY__SECRET", SECRET),
        ("PITCHEY__BOUND_MS", BOUND_MS),
        ("LIMITS__CLIENTS", "0"),
        ("DESK__SECRET", DESK),
    ];
    let mut program = Worker::program(origin)?;
    if let Some(kv) = kv {
        program = program.arg(format!("--external-addr=pages={kv}"));
        settings.push(("KV__ENABLED", "true"));
        settings.push(("KV__TIMEOUT_MS", "2000"));
    }
    settings.extend(more);
    for (name, value) in settings {
        program = program.env(&format!("WORKER_{name}"), value);
    }
    let running = block_in_place(|| Worker::start(&program))?;
    Ok(Here {
        client: Client::new(running.address()),
        running,
    })
}

impl Here {
    async fn get(&self, target: &str) -> Result<Answer> {
        self.client.get(target, &[]).await
    }

    /// Asks until the answer is as it should be, each time when memory has forgotten the one before: what is asked
    /// for again and again is renewed behind its answers, which then never say where they are from.
    async fn until(
        &self,
        target: &str,
        what: &str,
        is: impl Fn(&Answer) -> bool,
    ) -> Result<Answer> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(target).await?;
            if is(&answer) {
                return Ok(answer);
            }
            ensure!(
                Instant::now() < until,
                "never {what}: {} {:?}\n{}",
                answer.status,
                answer.headers,
                self.running.log()
            );
            tokio::time::sleep(BOUND).await;
        }
    }
}

fn from_redis(answer: &Answer) -> bool {
    is_from(answer, "hit; ttl=", "redis")
}

/// Whether the edge itself says so; the origin's caches have said something before it.
fn is_from(answer: &Answer, how: &str, tier: &str) -> bool {
    let mut lines = answer.headers.get_all("cache-status").iter();
    let own = lines.next_back().and_then(|line| line.to_str().ok());
    let own = own.and_then(|line| line.strip_prefix("pitchey-edge; "));
    let tier = format!("detail={tier}");
    answer.status == 200 && own.is_some_and(|own| own.starts_with(how) && own.ends_with(&tier))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_worker_has_loaded_others_find_even_without_the_origin() -> Result<()> {
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let first = bed.worker(&[])?;
    let maker = Maker::new(&first.client, 0, 1).await?;
    let pitch = &maker.things[1];
    let loaded = first.get(&pitch.target).await?.expect(200)?;
    assert_eq!(loaded.header("x-cache-status"), "MISS");
    bed.settled().await?;
    bed.to_origin.cut();
    let second = bed.worker(&[])?;
    let found = second.get(&pitch.target).await?.expect(200)?;
    ensure!(from_redis(&found), "{:?}", found.headers);
    assert_eq!(
        (
            found.header("x-cache-status"),
            &found.body,
            found.header("etag")
        ),
        ("HIT", &loaded.body, loaded.header("etag"))
    );
    // What the tier does not have, nobody has.
    assert_eq!(second.get("/api/pitches/trending").await?.status, 502);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_edit_is_undone_by_what_is_in_redis() -> Result<()> {
    const PITCHES: usize = 8;
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let (first, second) = (bed.worker(&[])?, bed.worker(&[])?);
    let mut maker = Maker::new(&first.client, 0, PITCHES).await?;
    for thing in maker.things.iter().skip(1) {
        first.get(&thing.target).await?.expect(200)?;
    }
    bed.settled().await?;
    let mut found = 0;
    let person = maker.person.clone();
    for thing in maker.things.iter_mut().skip(1) {
        // It is in Redis, and not in this worker's memory.
        let version = edit(&first.client, &person, thing).await?;
        let read = second.get(&thing.target).await?.expect(200)?;
        assert_eq!(
            versions(&read, thing.number),
            Some(version),
            "{}",
            thing.target
        );
        found += u32::from(from_redis(&read));
    }
    assert_eq!(found, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_loaded_before_an_edit_is_not_stored_behind_it() -> Result<()> {
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let (first, second) = (bed.worker(&[])?, bed.worker(&[])?);
    let mut maker = Maker::new(&bed.origin, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    let target = pitch.target.clone();
    bed.to_origin.set(Faults {
        to_client: Flow {
            passage: Passage::Stalled,
            ..Flow::default()
        },
        ..Faults::default()
    });
    let client = first.client.clone();
    let loading = tokio::spawn({
        let target = target.clone();
        async move { client.get(&target, &[]).await }
    });
    // It has the lease, and its question is at the origin, which answers what is there now.
    let held = redis::Client::open(bed.site.redis.url())?;
    let mut held = held.get_multiplexed_async_connection().await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let mut keys = redis::cmd("KEYS");
        let pattern = format!("pitchey:[le]:*{target}*");
        let keys: Vec<String> = keys.arg(pattern).query_async(&mut held).await?;
        // The lease of the worker, and what the origin has kept.
        let is = |start: &str, end: &str| {
            keys.iter()
                .any(|key| key.starts_with(start) && key.ends_with(end))
        };
        if is("pitchey:l:", "|identity") && is("pitchey:e:", &target) {
            break;
        }
        ensure!(Instant::now() < until, "{keys:?}");
    }
    let version = edit(&bed.origin, &maker.person, &mut pitch).await?;
    bed.to_origin.heal();
    let old = loading.await??.expect(200)?;
    ensure!(versions(&old, pitch.number) < Some(version), "it is new");
    bed.settled().await?;
    let read = second.get(&target).await?.expect(200)?;
    assert_eq!(versions(&read, pitch.number), Some(version));
    // Whoever was given what is old keeps it for the bound at most.
    first
        .until(&target, "the edit", |answer| {
            versions(answer, pitch.number) == Some(version)
        })
        .await?;
    Ok(())
}

type Fault = fn(&FaultProxy);

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_fails_and_when_it_is_back_it_is_used() -> Result<()> {
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let (first, second) = (bed.worker(&[])?, bed.worker(&[])?);
    let maker = Maker::new(&first.client, 0, 2).await?;
    let [kept, other] = [1, 2].map(|n| maker.things[n].target.clone());
    first.get(&kept).await?.expect(200)?;
    bed.settled().await?;
    let faults: [(&str, Fault); 3] = [
        ("cut", FaultProxy::cut),
        ("reset", FaultProxy::reset),
        ("hung", |proxy| proxy.set(Faults::hung())),
    ];
    for (name, fault) in faults {
        fault(&bed.to_redis);
        for target in [&kept, &other, "/api/pitches/new"] {
            // From the origin, or from what memory has of it.
            let answer = second.get(target).await?.expect(200)?;
            ensure!(!from_redis(&answer), "{name}: {:?}", answer.headers);
        }
        bed.to_redis.heal();
        second
            .until(&kept, "found in Redis again", from_redis)
            .await?;
    }
    Ok(())
}

/// An origin that vouches for its answers by the moment that it is told of, and takes its time.
async fn vouching() -> Result<Upstream> {
    Upstream::start(|seen| async move {
        let applied = seen.header("pitchey-edge-applied").to_owned();
        let reply = Reply::new(200, format!("{{\"answer\":{}}}", seen.before));
        let reply = reply.with("content-type", "application/json");
        if seen.target.starts_with("/api/") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if applied == "-" {
            return reply;
        }
        reply
            .with("cache-control", "public, max-age=60")
            .with("pitchey-edge-stamp", applied)
            .with("pitchey-edge-age-ms", "0")
            .with("pitchey-edge-tags", "lists")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_workers_one_loads_what_is_cold() -> Result<()> {
    const WORKERS: usize = 3;
    const EACH: usize = 4;
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let upstream = vouching().await?;
    let redis = bed.rest.url();
    let settings = [
        ("REDIS__REST_URL", &*redis),
        ("REDIS__REST_TOKEN", bed.rest.token()),
        ("REDIS__TIMEOUT_MS", "2000"),
    ];
    let workers: Vec<Here> = (0..WORKERS)
        .map(|_| before(&upstream.url(), None, &settings))
        .collect::<Result<_>>()?;
    let mut asking = JoinSet::new();
    for here in &workers {
        for _ in 0..EACH {
            let client = here.client.clone();
            asking.spawn(async move { client.get("/api/pitches/new", &[]).await });
        }
    }
    let mut bodies = Vec::new();
    while let Some(answer) = asking.join_next().await {
        bodies.push(answer??.expect(200)?.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let seen = upstream.seen();
    let came = seen.iter().filter(|seen| seen.target.starts_with("/api/"));
    assert_eq!(came.count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_seen_at_once_where_it_was_asked_for_and_elsewhere_within_the_bound()
-> Result<()> {
    const LIST: &str = "/api/pitches/new";
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let upstream = vouching().await?;
    let redis = bed.rest.url();
    let settings = [
        ("REDIS__REST_URL", &*redis),
        ("REDIS__REST_TOKEN", bed.rest.token()),
        ("REDIS__TIMEOUT_MS", "2000"),
    ];
    let first = before(&upstream.url(), None, &settings)?;
    let second = before(&upstream.url(), None, &settings)?;
    for what in [
        json!({"tags": ["lists"]}),
        json!({"keys": [LIST]}),
        json!({"prefixes": ["/api/pitches/"]}),
    ] {
        let old = first.get(LIST).await?.expect(200)?.body;
        second
            .until(LIST, "the same", |answer| answer.body == old)
            .await?;
        purge(&first.client, what.clone()).await?.expect(200)?;
        let acknowledged = Instant::now();
        let new = first.get(LIST).await?.expect(200)?.body;
        ensure!(new != old, "{what}");
        loop {
            let began = Instant::now();
            let body = second.get(LIST).await?.expect(200)?.body;
            if body != old {
                break;
            }
            ensure!(began < acknowledged + BOUND + GRAIN, "{what}");
        }
    }
    // Without Redis nothing is acknowledged.
    let alone = before(&upstream.url(), None, &[])?;
    let refused = purge(&alone.client, json!({"tags": ["lists"]})).await?;
    assert_eq!(refused.status, 503);
    Ok(())
}

impl Bed {
    /// Waits until KV has a page of this kind.
    async fn written(&self, kv: &KvServer, kind: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !kv.keys().iter().any(|key| key.contains(kind)) {
            ensure!(Instant::now() < until, "{:?}", kv.keys());
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_else_is_gone_lists_come_from_kv_and_pitches_do_not() -> Result<()> {
    const LIST: &str = "/api/pitches/new";
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let kv = KvServer::start()?;
    let to_kv = FaultProxy::start(kv.address())?;
    let at = Some(to_kv.address());
    let first = bed.worker_with(at, &[])?;
    let maker = Maker::new(&first.client, 0, 1).await?;
    let pitch = &maker.things[1].target;
    first.get(pitch).await?.expect(200)?;
    let list = first.get(LIST).await?.expect(200)?;
    bed.written(&kv, "pitch_list").await?;
    ensure!(
        !kv.keys().iter().any(|key| key.contains("pitch_detail")),
        "{:?}",
        kv.keys()
    );
    bed.to_origin.cut();
    bed.to_redis.cut();
    // Within the bound of KV it is as good as any; past it, it stands in.
    for (bound, how, word) in [
        ("50000", "hit; ttl=", "HIT"),
        ("0", "hit; fwd=stale", "STALE"),
    ] {
        let here = bed.worker_with(at, &[("KV__BOUND_MS", bound)])?;
        let found = here.get(LIST).await?.expect(200)?;
        ensure!(is_from(&found, how, "kv"), "{:?}", found.headers);
        assert_eq!(
            (found.header("x-cache-status"), &found.body),
            (word, &list.body)
        );
        assert_eq!(here.get(pitch).await?.status, 502);
    }
    to_kv.cut();
    let last = bed.worker_with(at, &[])?;
    assert_eq!(last.get(LIST).await?.status, 502);
    // Neither Redis nor KV is needed.
    bed.to_origin.heal();
    for target in [LIST, pitch] {
        last.get(target).await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_not_taken_from_kv_either() -> Result<()> {
    const LIST: &str = "/api/pitches/new";
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    for (what, is_purged) in [
        (json!({"keys": ["/api/pitches/trending"]}), false),
        (json!({"keys": [LIST]}), true),
        (json!({"prefixes": ["/api/pitches/"]}), true),
        (json!({"tags": ["lists"]}), true),
    ] {
        let kv = KvServer::start()?;
        let at = Some(kv.address());
        let first = bed.worker_with(at, &[])?;
        // Else it would come from Redis, which the one before has filled.
        let emptied = purge(&first.client, json!({"keys": [LIST]})).await?;
        emptied.expect(200)?;
        first.get(LIST).await?.expect(200)?;
        bed.written(&kv, "pitch_list").await?;
        purge(&first.client, what.clone()).await?.expect(200)?;
        bed.to_origin.cut();
        bed.to_redis.cut();
        let here = bed.worker_with(at, &[])?;
        let found = here.get(LIST).await?;
        if is_purged {
            assert_eq!(found.status, 502, "{what}");
        } else {
            ensure!(is_from(&found, "hit", "kv"), "{:?}", found.headers);
        }
        bed.to_origin.heal();
        bed.to_redis.heal();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kv_alone_an_edit_is_seen_within_both_bounds() -> Result<()> {
    const LIST: &str = "/api/pitches/new";
    const OF_KV: Duration = Duration::from_secs(1);
    let Some(bed) = Bed::open().await? else {
        return Ok(());
    };
    let kv = KvServer::start()?;
    let origin = format!("http://{}", bed.to_origin.address());
    let settings = [("KV__BOUND_MS", "1000")];
    let first = before(&origin, Some(kv.address()), &settings)?;
    let second = before(&origin, Some(kv.address()), &settings)?;
    let mut maker = Maker::new(&bed.origin, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    let mut limit = 0;
    for _ in 0..3 {
        // Written by the one, and found by the other, which has it not in memory: no list was asked for before.
        let list = loop {
            limit += 1;
            ensure!(limit <= 100, "nothing is ever found in KV");
            let list = format!("{LIST}?limit={limit}");
            let before = kv.keys().len();
            first.get(&list).await?.expect(200)?;
            let until = Instant::now() + PATIENCE;
            while kv.keys().len() == before {
                ensure!(Instant::now() < until, "{list} is never written");
                tokio::task::yield_now().await;
            }
            let found = second.get(&list).await?.expect(200)?;
            // It may have taken longer than what is there is good for.
            if is_from(&found, "hit; ttl=", "kv") {
                break list;
            }
        };
        let version = edit(&bed.origin, &maker.person, &mut pitch).await?;
        let acknowledged = Instant::now();
        loop {
            let began = Instant::now();
            let read = second.get(&list).await?.expect(200)?;
            if versions(&read, pitch.number) == Some(version) {
                break;
            }
            ensure!(began < acknowledged + OF_KV + BOUND + GRAIN, "too old");
        }
    }
    Ok(())
}
