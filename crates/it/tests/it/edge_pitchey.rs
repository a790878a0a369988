//! The edge of Pitchey, before an origin with PostgreSQL and Redis: on both shells what is the same, and what
//! the gateway does that hears Redis. What is the worker's own is in `edge_unheard`.

use crate::cache_site::{Maker, PATIENCE, Site, Thing, shown};
use crate::client::{Answer, Client, Person};
use crate::edge_shell::{Edge, Shell, on_both_shells};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_api::edge::Routes;
use pitchey_testkit::{FaultProxy, Faults, Flow, Passage};
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, block_in_place};

pub(crate) const SECRET: &str = "what edges show to origins in these tests";

on_both_shells! {
    a_public_read_is_kept_and_says_so_and_nothing_else_is,
    no_trick_has_a_private_answer_stored,
}

/// What is dropped first stops first.
pub(crate) struct Bed {
    pub(crate) running: Edge,
    /// Between the edge and the origin, and between the gateway and Redis.
    pub(crate) to_origin: FaultProxy,
    pub(crate) to_redis: FaultProxy,
    pub(crate) site: Site,
    pub(crate) edge: Client,
    pub(crate) origin: Client,
}

async fn open() -> Result<Bed> {
    open_on(Shell::Gateway, &[], &[]).await
}

/// With more settings of the origin and of the edge.
pub(crate) async fn open_on(
    shell: Shell,
    of_origin: &[(&str, &str)],
    of_edge: &[(&str, &str)],
) -> Result<Bed> {
    let mut settings = vec![
        ("PITCHEY_CACHE__EDGE_KEY", SECRET),
        ("PITCHEY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
    ];
    settings.extend(of_origin);
    let site = Site::start(1, &settings).await?;
    let door = site.doors.door(0);
    let (to_redis, redis_url) = FaultProxy::in_front_of(&site.redis.url())?;
    let to_origin = FaultProxy::start(door.client.address())?;
    let mut settings = vec![
        ("PITCHEY__ENABLED", "true"),
        ("PITCHEY__SECRET", SECRET),
        ("PITCHEY__REDIS_URL", &*redis_url),
        ("LIMITS__CLIENTS", "0"),
        ("ORIGIN__CONNECT_TIMEOUT_MS", "1000"),
    ];
    settings.extend(of_edge);
    let running = shell.start(&format!("http://{}", to_origin.address()), &settings)?;
    let bed = Bed {
        edge: Client::new(running.address()),
        origin: door.client,
        running,
        to_origin,
        to_redis,
        site,
    };
    if shell == Shell::Gateway {
        bed.wait_until_attached(true).await?;
    }
    Ok(bed)
}

impl Bed {
    pub(crate) async fn wait_until_attached(&self, attached: bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let health = self.edge.get("/__edge/health", &[]).await?.json();
            if health["attached"] == attached {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{}", self.running.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the edge says this of the whole, and this of the origin.
    async fn wait_until_well(&self, status: &str, origin: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let health = self.edge.get("/api/health", &[]).await?.expect(200)?.json();
            let told = (&health["status"], &health["parts"]["origin"]["status"]);
            if told == (&json!(status), &json!(origin)) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{health}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn entries(&self) -> Result<u64> {
        let health = self.edge.get("/__edge/health", &[]).await?.json();
        health["entries"].as_u64().context("a number")
    }
}

pub(crate) fn versions(answer: &Answer, number: usize) -> Option<u32> {
    let mut seen = Vec::new();
    shown(&answer.json(), &mut seen);
    let versions = seen.into_iter().filter(|(one, _)| *one == number);
    versions.map(|(_, version)| version).min()
}

/// Edits through the edge until it is done; the version that is there then.
pub(crate) async fn edit(client: &Client, person: &Person, thing: &mut Thing) -> Result<u32> {
    let status = thing.edit(client, person).await?;
    ensure!(status == 200, "an edit was answered {status}");
    thing.version += 1;
    Ok(thing.version)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_edit_is_acknowledged_no_read_shows_what_was_before() -> Result<()> {
    let bed = open().await?;
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    let acknowledged = Arc::new(AtomicU32::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for target in [
        &*pitch.target,
        &*pitch.target,
        "/api/pitches/new",
        "/api/pitches",
    ] {
        let (client, target) = (bed.edge.clone(), target.to_owned());
        let (acknowledged, done) = (acknowledged.clone(), done.clone());
        readers.spawn(async move {
            let (mut reads, mut hits) = (0_u32, 0_u32);
            while !done.load(Ordering::Acquire) {
                let least = acknowledged.load(Ordering::Acquire);
                let answer = client.get(&target, &[]).await?.expect(200)?;
                let version = versions(&answer, 1).context("it is not shown")?;
                ensure!(version >= least, "{target} shows {version} after {least}");
                reads += 1;
                hits += u32::from(answer.header("x-cache-status") == "HIT");
            }
            anyhow::Ok((reads, hits))
        });
    }
    // The number of the title is one behind the version that publishing left.
    for edit_number in 0..200 {
        // What is announced comes late: behind the answer to the edit, and later than that waits for it.
        match edit_number {
            50 => bed
                .to_redis
                .set(Faults::round_trip(Duration::from_millis(40))),
            150 => bed
                .to_redis
                .set(Faults::round_trip(Duration::from_millis(300))),
            _ => {}
        }
        let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
        acknowledged.store(version, Ordering::Release);
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        let shown = versions(&answer, 1).context("it is not shown")?;
        ensure!(
            shown >= version,
            "the next read shows {shown} after {version}"
        );
    }
    done.store(true, Ordering::Release);
    let mut all = (0, 0);
    while let Some(counted) = readers.join_next().await {
        let (reads, hits) = counted??;
        all = (all.0 + reads, all.1 + hits);
    }
    assert!(
        all.1 > 0 && all.1 < all.0,
        "of {} reads {} were hits",
        all.0,
        all.1
    );
    Ok(())
}

async fn a_public_read_is_kept_and_says_so_and_nothing_else_is(shell: Shell) -> Result<()> {
    let bed = open_on(shell, &[], &[]).await?;
    let maker = Maker::new(&bed.edge, 0, 1).await?;
    let pitch = &maker.things[1].target;
    let session = [("cookie", maker.person.cookie.as_str())];
    let first = bed.edge.get(pitch, &[]).await?.expect(200)?;
    let second = bed.edge.get(pitch, &session).await?.expect(200)?;
    let tag = first.header("etag").to_owned();
    let third = bed
        .edge
        .get(pitch, &[("if-none-match", &tag)])
        .await?
        .expect(304)?;
    let head = bed
        .edge
        .send(Method::HEAD, pitch, &[], None)
        .await?
        .expect(200)?;
    let me = bed.edge.read(&maker.person, "/api/me").await?.expect(200)?;
    let wrong = bed
        .edge
        .get("/api/pitches?utm_source=x", &[])
        .await?
        .expect(400)?;
    let mut report = String::new();
    for (name, answer) in [
        ("first", &first),
        ("second, with a session", &second),
        ("with its tag", &third),
        ("its head", &head),
        ("what is private", &me),
        ("a parameter that it does not have", &wrong),
    ] {
        // What is a list is shown in its members: Workers put them in one line.
        let mut lines: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["date", "x-database-time"].contains(&name.as_str()))
            .flat_map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                let members = if name == "server-timing" {
                    value.split(", ").map(str::to_owned).collect()
                } else {
                    vec![value.into_owned()]
                };
                let lines = members.into_iter();
                lines.map(move |member| format!("{name}: {member}"))
            })
            .collect();
        lines.sort_unstable();
        let _ = writeln!(report, "{name}: {}\n{}\n", answer.status, lines.join("\n"));
        assert!(
            !lines.iter().any(|line| line.starts_with("pitchey-edge")),
            "{report}"
        );
    }
    let filters = [
        (r"dur=[\d.]+", "dur=[ms]"),
        (r"x-response-time: [\d.]+ms", "x-response-time: [ms]"),
        (r"ttl=\d+", "ttl=[s]"),
        (r"x-request-id: \S+", "x-request-id: [id]"),
        (r"\d+\.[A-Za-z0-9_-]{22}", "[hash]"),
        (r"\d+;w=\d+", "[limit]"),
        (r"r=\d+;t=\d+", "[left]"),
        (r"content-length: \d+", "content-length: [n]"),
    ];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!("a_public_read_is_kept_and_says_so_and_nothing_else_is", report);
    });
    assert_eq!(first.body, second.body);
    assert_eq!(
        (bed.entries().await?, third.body.len(), head.body.len()),
        (1, 0, 0)
    );

    // Codings are answers of their own.
    let listed = "/api/pitches?limit=7";
    for coding in ["br", "gzip", "identity"] {
        for status in ["MISS", "HIT"] {
            let answer = bed.edge.get(listed, &[("accept-encoding", coding)]).await?;
            assert_eq!(answer.header("x-cache-status"), status, "{coding}");
        }
    }
    // One spelling, one entry.
    let entries = bed.entries().await?;
    for spelling in ["/api/pitches?&limit=7", "/api/%70itches?%6cimit=7"] {
        let answer = bed.edge.get(spelling, &[("accept-encoding", "br")]).await?;
        assert_eq!(answer.header("x-cache-status"), "HIT", "{spelling}");
    }
    assert_eq!(bed.entries().await?, entries);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_tells_what_answers_are_made_of_to_those_who_show_the_secret_alone() -> Result<()>
{
    let bed = open().await?;
    let maker = Maker::new(&bed.origin, 0, 1).await?;
    let pitch = &maker.things[1].target;
    let told = |answer: &Answer| {
        let names = ["stamp", "age-ms", "tags"].map(|name| format!("pitchey-edge-{name}"));
        names
            .iter()
            .filter(|name| answer.headers.contains_key(*name))
            .count()
    };
    let wrong = "what edges show to origins in other tests";
    for (secret, fields) in [(None, 0), (Some(wrong), 0), (Some(SECRET), 3)] {
        let shown: Vec<_> = secret
            .iter()
            .map(|secret| ("pitchey-edge-key", *secret))
            .collect();
        // From the handler, and from memory.
        for _ in 0..2 {
            let answer = bed.origin.get(pitch, &shown).await?.expect(200)?;
            assert_eq!(told(&answer), fields, "{secret:?}");
        }
    }
    // Through the edge nobody reaches them, whatever is sent.
    let forged = [
        ("pitchey-edge-key", SECRET),
        ("pitchey-edge-applied", "0.9"),
    ];
    for target in [&**pitch, "/api/me"] {
        assert_eq!(told(&bed.edge.get(target, &forged).await?), 0);
    }
    // One who knows of more than the origin does is not answered from its memory.
    let answer = bed
        .origin
        .get(pitch, &[("pitchey-edge-key", SECRET)])
        .await?;
    let (epoch, _) = answer
        .header("pitchey-edge-stamp")
        .split_once('.')
        .context("a stamp")?;
    for applied in [format!("{epoch}.999999"), "1.0".to_owned()] {
        let asks = [
            ("pitchey-edge-key", SECRET),
            ("pitchey-edge-applied", &*applied),
        ];
        let answer = bed.origin.get(pitch, &asks).await?.expect(200)?;
        assert!(
            !answer.header("cache-status").contains("detail=memory"),
            "{applied}"
        );
    }
    Ok(())
}

/// What makes a private path look like that of a file, or like another path.
const BEHIND: [&str; 18] = [
    ";a.css",
    "%3ba.css",
    "%2f..%2fx.js",
    "%2Fx.css",
    "/x.css",
    "/..%2fx.js",
    "/%2e%2e/x.css",
    "//x.css",
    "/./x.css",
    "%00",
    "%00.css",
    "%0a",
    "%0d%0aX",
    "%23x.css",
    "%3fx.css",
    "%5cx.js",
    "%252fx.css",
    ".css",
];
/// Whether a path has segments of dots.
fn has_dots(path: &str) -> bool {
    let path = path.replace("%2e", ".");
    path.split('/')
        .any(|segment| [".", ".."].contains(&segment))
}

const BEFORE: [&str; 5] = ["/", "/.", "/x/..", "/static/%2e%2e", "/%2f"];

async fn no_trick_has_a_private_answer_stored(shell: Shell) -> Result<()> {
    let bed = open_on(shell, &[], &[]).await?;
    let maker = Maker::new(&bed.edge, 0, 1).await?;
    let before = bed.entries().await?;
    let document = bed
        .edge
        .get("/api/openapi.json", &[])
        .await?
        .expect(200)?
        .json();
    let paths = document["paths"].as_object().context("paths")?;
    let routes = Routes;
    let id = maker.things[1]
        .target
        .rsplit('/')
        .next()
        .context("an id")?
        .to_owned();
    let (mut tried, mut private) = (0, 0);
    for route in paths.keys() {
        let path = route
            .replace("{id}", &id)
            .replace("{username}", "maker0")
            .replace("{key}", "pitch_list");
        if routes.is_public(&Method::GET, &path) {
            continue;
        }
        private += 1;
        let behind = BEHIND.iter().map(|trick| format!("{path}{trick}"));
        let before = BEFORE.iter().map(|trick| format!("{trick}{path}"));
        for target in behind.chain(before) {
            tried += 1;
            let answer = bed.edge.read(&maker.person, &target).await?;
            // Workers take dots out before anybody sees them: then it is the route itself.
            let is_plain = shell == Shell::Worker && has_dots(&target);
            let refused = match answer.status {
                _ if is_plain => true,
                // The route takes any last segment, but for a change.
                400 | 404 | 405 => true,
                // Or for admins.
                403 => route.starts_with("/api/cache/"),
                _ => false,
            };
            assert!(refused, "{target}: {}", answer.status);
            assert!(
                answer.header("cache-control").contains("no-store"),
                "{target}"
            );
            let stranger = bed.edge.get(&target, &[]).await?;
            assert!(
                is_plain || stranger.status >= 400,
                "{target}: {}",
                stranger.status
            );
            assert_ne!(stranger.header("x-cache-status"), "HIT", "{target}");
        }
        // The route itself, and a query that looks like a file.
        for target in [path.clone(), format!("{path}?x.css")] {
            tried += 1;
            let answer = bed.edge.read(&maker.person, &target).await?;
            assert!(
                answer.header("cache-control").contains("no-store"),
                "{target}"
            );
            let stranger = bed.edge.get(&target, &[]).await?;
            assert_ne!(stranger.header("x-cache-status"), "HIT", "{target}");
        }
    }
    assert!(private >= 35, "{private} private routes");
    assert_eq!(tried, private * (BEHIND.len() + BEFORE.len() + 2));
    println!("{private} private routes, {tried} combinations");
    assert_eq!(bed.entries().await?, before, "something was stored");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_is_served_and_afterwards_kept_again() -> Result<()> {
    let mut bed = open().await?;
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    block_in_place(|| bed.site.redis.kill())?;
    bed.wait_until_attached(false).await?;
    for _ in 0..5 {
        let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        assert_eq!(versions(&answer, 1), Some(version));
        bed.edge.get("/api/pitches", &[]).await?.expect(200)?;
    }
    block_in_place(|| bed.site.redis.restart())?;
    bed.wait_until_attached(true).await?;
    bed.site.wait_until_attached().await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        assert_eq!(versions(&answer, 1), Some(pitch.version));
        if answer.header("x-cache-status") == "HIT" {
            break;
        }
        ensure!(Instant::now() < until, "it is never kept again");
    }
    // The edge alone is cut off: the origin answers, and what it says is the present.
    bed.to_redis.cut();
    bed.wait_until_attached(false).await?;
    let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
    let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    assert_eq!(versions(&answer, 1), Some(version));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_origin_what_is_kept_is_served_and_all_returns_by_itself() -> Result<()> {
    let often = [("HEALTH__INTERVAL_MS", "100")];
    let bed = open_on(Shell::Gateway, &[], &often).await?;
    bed.wait_until_well("ok", "ok").await?;
    let mut maker = Maker::new(&bed.edge, 0, 2).await?;
    let mut pitch = maker.things.remove(1);
    bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    bed.to_origin.cut();
    let kept = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    assert_eq!(kept.header("x-cache-status"), "HIT");
    let other = bed.edge.get(&maker.things[1].target, &[]).await?;
    assert_eq!(
        (other.status, other.header("cache-control")),
        (502, "no-store")
    );
    let body = json!({"title": "x"});
    let write = bed.edge.ask(
        &maker.person,
        Method::PATCH,
        &pitch.target,
        &[],
        Some(&body),
    );
    assert_eq!(write.await?.status, 502);
    bed.wait_until_well("degraded", "down").await?;
    // Cut off from Redis as well, nobody can say whether it is still valid: it stands in for an error.
    bed.to_redis.cut();
    bed.wait_until_attached(false).await?;
    // What is in memory is trusted for a moment yet.
    let until = Instant::now() + PATIENCE;
    loop {
        let stale = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        if stale.header("x-cache-status") == "STALE" {
            break;
        }
        ensure!(Instant::now() < until, "what nobody vouches for is a hit");
    }
    bed.to_origin.heal();
    bed.to_redis.heal();
    bed.wait_until_attached(true).await?;
    let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
    let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    assert_eq!(versions(&answer, 1), Some(version));
    bed.wait_until_well("ok", "ok").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_often_has_nobody_else_refused() -> Result<()> {
    let bed = open_on(
        Shell::Gateway,
        &[("PITCHEY_LIMITS__SEARCH", "1 then 1/min")],
        &[("HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]")],
    )
    .await?;
    let greedy = [("x-forwarded-for", "192.0.2.1")];
    let first = bed.edge.get("/api/search?q=first", &greedy).await?;
    assert_eq!(first.status, 200);
    // The greedy one leads, another one waits for the same: answers come no further than here.
    bed.to_origin.set(Faults {
        to_client: Flow {
            passage: Passage::Stalled,
            ..Flow::default()
        },
        ..Faults::default()
    });
    let asked = bed.to_origin.counts().to_server;
    let ask = |address: &'static str| {
        let client = bed.edge.clone();
        async move {
            let from = [("x-forwarded-for", address)];
            client.get("/api/search?q=second", &from).await
        }
    };
    let leads = tokio::spawn(ask("192.0.2.1"));
    let until = Instant::now() + PATIENCE;
    while bed.to_origin.counts().to_server == asked {
        ensure!(Instant::now() < until, "the origin is not asked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let waits = tokio::spawn(ask("192.0.2.2"));
    bed.edge.get("/__edge/health", &[]).await?;
    bed.to_origin.heal();
    assert_eq!(leads.await??.status, 429);
    assert_eq!(waits.await??.status, 200);
    Ok(())
}
