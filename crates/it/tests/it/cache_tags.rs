//! Every change is in every public answer at once: an origin that caches, beside one over the same database
//! that does not. A tag that a change does not raise, or that an answer does not carry, shows here.

use crate::client::{Client, Person};
use crate::origin::Origin;
use anyhow::{Context as _, Result};
use http::Method;
use pitchey_testkit::{TestDb, TestRedis};
use serde_json::{Value, json};

struct Pair {
    cached: Origin,
    plain: Origin,
    /// Public addresses, each asked for before and after every change.
    addresses: Vec<String>,
}

impl Pair {
    /// Asks the caching origin for everything, so that it has it.
    async fn fill(&self) -> Result<()> {
        for address in &self.addresses {
            self.cached.get(address).await?;
        }
        Ok(())
    }

    /// Compares every answer, and says how many came from the cache.
    async fn compare(&self, after: &str) -> Result<usize> {
        let mut hits = 0;
        for address in &self.addresses {
            let (cached, plain) = (
                self.cached.get(address).await?,
                self.plain.get(address).await?,
            );
            assert_eq!(
                (cached.status, answer(&cached.json())),
                (plain.status, answer(&plain.json())),
                "{address}, after: {after}"
            );
            assert_eq!(plain.header("x-cache-status"), "");
            hits += usize::from(cached.header("x-cache-status") == "HIT");
        }
        Ok(hits)
    }

    async fn done(&self, what: &str) -> Result<usize> {
        let hits = self.compare(what).await?;
        self.fill().await?;
        Ok(hits)
    }
}

/// An answer without the id of its request.
fn answer(json: &Value) -> Value {
    let mut json = json.clone();
    if let Some(object) = json.as_object_mut() {
        object.remove("instance");
    }
    json
}

async fn change(client: &Client, who: &Person, pitch: &str, body: &Value) -> Result<()> {
    let full = client.read(who, &format!("{pitch}/full")).await?;
    let headers = [("if-match", full.header("etag"))];
    let changed = client
        .ask(who, Method::PATCH, pitch, &headers, Some(body))
        .await?;
    changed.expect(200)?;
    Ok(())
}

async fn step(client: &Client, who: &Person, pitch: &str, action: &str) -> Result<()> {
    let full = client.read(who, &format!("{pitch}/full")).await?;
    let headers = [("if-match", full.header("etag"))];
    let target = format!("{pitch}/{action}");
    let body = json!({});
    let stepped = client
        .ask(who, Method::POST, &target, &headers, Some(&body))
        .await?;
    stepped.expect(200)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_change_a_cached_answer_is_what_an_uncached_one_is() -> Result<()> {
    let database = TestDb::new().await;
    let redis = TestRedis::new().await;
    let redis_url = redis.url();
    let off = [
        ("PITCHEY_LIMITS__WRITE", "off"),
        ("PITCHEY_LIMITS__AUTH", "off"),
    ];
    let cached = [off[0], off[1], ("REDIS_URL", redis_url.as_str())];
    let pair = Pair {
        cached: Origin::start_with(database.url(), &cached).await?,
        plain: Origin::start_with(database.url(), &off).await?,
        addresses: Vec::new(),
    };
    let client = pair.cached.client.clone();
    let ann = client.register("ann", "creator").await?;
    let bob = client.register("bob", "investor").await?;
    let mut pair = pair;
    pair.addresses = [
        "/api/pitches",
        "/api/pitches?genre=western",
        "/api/pitches?genre=comedy",
        "/api/pitches?format=feature&stage=script",
        "/api/pitches?creator=ann",
        "/api/pitches?creator=nobody",
        "/api/pitches?sort=views&fields=title,creator.display_name",
        "/api/pitches/new",
        "/api/pitches/public",
        "/api/pitches/trending",
        "/api/search?q=lighthouse",
        "/api/search?q=harbour",
        "/api/users/ann",
        "/api/users/bob",
        "/api/users/nobody",
    ]
    .map(str::to_owned)
    .to_vec();
    pair.fill().await?;

    let content = json!({
        "title": "The Lighthouse", "format": "feature", "stage": "script", "genres": ["western"],
        "logline": "Nobody needs it.", "visibility": "public", "full_synopsis": "Nobody at all.",
    });
    let made = client.post(&ann, "/api/pitches", &content).await?;
    let pitch = made.expect(201)?.header("location").to_owned();
    pair.addresses.push(pitch.clone());
    pair.addresses.push(format!("{pitch}?fields=title,version"));
    let untouched = pair.done("a draft is made").await?;
    assert!(untouched > 10, "a draft is on no list: {untouched} hits");

    step(&client, &ann, &pitch, "publish").await?;
    pair.done("it is published").await?;
    change(&client, &ann, &pitch, &json!({"title": "The Harbour"})).await?;
    let untouched = pair.done("its title is another").await?;
    assert!(
        untouched >= 5,
        "lists that do not show it are as true as before: {untouched} hits"
    );
    let genres = json!({"genres": ["comedy"]});
    change(&client, &ann, &pitch, &genres).await?;
    pair.done("its genre is another").await?;
    change(&client, &ann, &pitch, &json!({"stage": "production"})).await?;
    pair.done("its stage is another").await?;
    change(&client, &ann, &pitch, &json!({"visibility": "nda"})).await?;
    pair.done("it wants an NDA").await?;

    let me = client.read(&ann, "/api/me").await?;
    let headers = [("if-match", me.header("etag"))];
    let name = json!({"display_name": "Ann of the Sea"});
    let named = client.ask(&ann, Method::PATCH, "/api/me", &headers, Some(&name));
    named.await?.expect(200)?;
    pair.done("its creator has another name").await?;

    let follow = client.ask(&bob, Method::PUT, "/api/users/ann/followed", &[], None);
    follow.await?.expect(204)?;
    pair.done("its creator is followed").await?;
    client.register("nobody", "creator").await?;
    pair.done("a name is taken that nobody had").await?;

    step(&client, &ann, &pitch, "archive").await?;
    pair.done("it is archived").await?;
    step(&client, &ann, &pitch, "publish").await.ok();
    pair.done("it is published once more, if it may").await?;
    let full = client.read(&ann, &format!("{pitch}/full")).await?;
    let headers = [("if-match", full.header("etag"))];
    let deleted = client.ask(&ann, Method::DELETE, &pitch, &headers, None);
    let deleted = deleted.await?;
    anyhow::ensure!(
        deleted.status == 204 || deleted.status == 200,
        "{}",
        deleted.summary()
    );
    pair.done("it is deleted").await?;

    let hits = pair.compare("nothing at all").await?;
    assert_eq!(hits, pair.addresses.len(), "and all of it was cached");
    let metrics = pair.cached.metrics().await?;
    let attached = metrics.contains("cache_attached 1");
    assert!(attached, "Redis was trusted throughout");
    pair.cached.stop().await?;
    pair.plain.stop().await.context("the plain origin")
}

/// What somebody may do ends at once, wherever their session is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_opens_nothing_on_any_origin() -> Result<()> {
    let database = TestDb::new().await;
    let redis = TestRedis::new().await;
    let redis_url = redis.url();
    let cached = [
        ("REDIS_URL", redis_url.as_str()),
        ("PITCHEY_LIMITS__AUTH", "off"),
    ];
    let here = Origin::start_with(database.url(), &cached).await?;
    let there = Origin::start_with(database.url(), &cached).await?;
    let (near, far) = (here.client.clone(), there.client.clone());
    for round in 0..20 {
        let ann = near.register(&format!("ann{round}"), "creator").await?;
        // Known on both, and in Redis.
        for client in [&near, &far, &near, &far] {
            client.read(&ann, "/api/me").await?.expect(200)?;
        }
        let out = near.ask(&ann, Method::POST, "/api/auth/logout", &[], None);
        out.await?.expect(204)?;
        for client in [&far, &near] {
            let read = client.read(&ann, "/api/me").await?;
            assert_eq!(read.summary(), "401 sign-in-required", "round {round}");
        }
    }
    let metrics = there.metrics().await?;
    let hits = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix("cache_events_total{kind=\"session\",what=\"shared_hit\"} ")
        })
        .and_then(|count| count.parse::<u64>().ok());
    assert!(
        hits.is_some_and(|hits| hits > 0),
        "the sessions came from Redis"
    );
    here.stop().await?;
    there.stop().await
}
