//! The Cache API as the second tier of the edge on Workers: what the isolates of a data centre share.

use crate::cache_site::PATIENCE;
use crate::client::{Answer, Client};
use crate::edge_desk::{DESK, purge};
use crate::edge_pitchey::SECRET;
use crate::upstream::{Reply, Upstream};
use anyhow::{Result, ensure};
use http::Method;
use pitchey_testkit::{CacheServer, FaultProxy, Faults, R2Server, Worker};
use serde_json::json;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tokio::task::block_in_place;

/// A data centre. What is dropped first stops first.
struct Bed {
    to_cache: FaultProxy,
    cache: CacheServer,
    upstream: Upstream,
}

/// An isolate: a workerd of its own.
struct Here {
    _running: Worker,
    client: Client,
}

impl Bed {
    /// Before an origin whose every answer is another one, and says what it may be kept by.
    async fn open() -> Result<Self> {
        let asked = Arc::new(AtomicU32::new(0));
        let upstream = Upstream::start(move |seen| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            let reply = Reply::new(200, format!("answer {number}"));
            let control = match &*seen.target {
                "/private" => "private, max-age=600",
                "/no-store" => "no-store",
                _ => "max-age=600",
            };
            let reply = reply.with("vary", "accept-language");
            ready(reply.with("cache-control", control))
        })
        .await?;
        let cache = CacheServer::start()?;
        Ok(Self {
            to_cache: FaultProxy::start(cache.address())?,
            cache,
            upstream,
        })
    }

    /// One more isolate.
    fn isolate(&self, bucket: Option<SocketAddr>) -> Result<Here> {
        let cache = self.to_cache.address();
        let mut program = Worker::program(&self.upstream.url())?
            .arg(format!("--external-addr=cache={cache}"))
            .env("WORKER_CACHE__HOST", "pitchey.example")
            .env("WORKER_CACHE__TIMEOUT_MS", "1000")
            .env("WORKER_DESK__SECRET", DESK);
        if let Some(bucket) = bucket {
            program = program
                .arg(format!("--external-addr=assets={bucket}"))
                .env("WORKER_PITCHEY__SECRET", SECRET)
                .env("WORKER_ASSETS__ENABLED", "true")
                .env("WORKER_ASSETS__TIMEOUT_MS", "1000");
        }
        let running = block_in_place(|| Worker::start(&program))?;
        Ok(Here {
            client: Client::new(running.address()),
            _running: running,
        })
    }

    /// Waits until something was put there so often.
    async fn has_put(&self, times: u64) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.cache.puts() < times {
            ensure!(Instant::now() < until, "{:?}", self.cache.keys());
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Here {
    async fn get(&self, target: &str) -> Result<Answer> {
        self.client.get(target, &[]).await
    }

    async fn text(&self, target: &str) -> Result<String> {
        let answer = self.get(target).await?.expect(200)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tier_of_static_files_answers_alone_and_none_is_told() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let bed = Bed::open().await?;
    let bucket = R2Server::start()?;
    let to_bucket = FaultProxy::start(bucket.address())?;
    let at = Some(to_bucket.address());
    let files = [
        ("/assets/app-5DW4GQ3H.js", "for good"),
        ("/assets/site.css", "for now"),
    ];
    for (path, content) in files {
        bucket.put(path.trim_start_matches("/assets/"), content);
    }
    let first = bed.isolate(at)?;
    for (path, content) in files {
        assert_eq!(first.text(path).await?, content);
    }
    bed.has_put(2).await?;
    // Of the bucket nothing is left: the Cache API for another isolate, memory for the first one.
    to_bucket.cut();
    let second = bed.isolate(at)?;
    for (path, content) in files {
        assert_eq!(second.text(path).await?, content);
    }
    assert!(
        second
            .get(files[0].0)
            .await?
            .header("cache-status")
            .contains("hit")
    );
    bed.to_cache.cut();
    for here in [&first, &second] {
        for (path, content) in files {
            assert_eq!(here.text(path).await?, content);
        }
    }
    let third = bed.isolate(at)?;
    assert_eq!(third.get(files[0].0).await?.status, 502);
    // The bucket alone, whatever becomes of the Cache API.
    to_bucket.heal();
    bed.to_cache.set(Faults::hung());
    for (path, content) in files {
        assert_eq!(third.text(path).await?, content);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_isolate_has_fetched_from_a_site_another_one_finds() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let bed = Bed::open().await?;
    let first = bed.isolate(None)?;
    let second = bed.isolate(None)?;
    let german = [("accept-language", "de")];
    let plain = first.text("/a?b").await?;
    bed.has_put(1).await?;
    assert_eq!(second.text("/a?b").await?, plain);
    // Variants are told apart, and neither takes the place of the other.
    let other = second.client.get("/a?b", &german).await?.expect(200)?;
    assert_ne!(other.body, plain.as_bytes());
    for path in ["/private", "/no-store"] {
        first.text(path).await?;
    }
    bed.has_put(2).await?;
    let third = bed.isolate(None)?;
    let found = third.client.get("/a?b", &german).await?.expect(200)?;
    assert_eq!(found.body, other.body);
    assert_eq!(third.text("/a?b").await?, plain);
    assert_eq!(bed.cache.keys().len(), 1, "{:?}", bed.cache.keys());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_gone_from_what_isolates_share_or_that_is_not_said() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let bed = Bed::open().await?;
    let first = bed.isolate(None)?;
    let old = first.text("/a").await?;
    bed.has_put(1).await?;
    let second = bed.isolate(None)?;
    // Nobody can walk over it.
    let refused = purge(&second.client, json!({"prefixes": ["/"]})).await?;
    assert_eq!(refused.status, 501);
    bed.to_cache.cut();
    let refused = purge(&second.client, json!({"keys": ["/a"]})).await?;
    assert_eq!(refused.status, 503);
    bed.to_cache.heal();
    purge(&second.client, json!({"keys": ["/a"]}))
        .await?
        .expect(200)?;
    let new = second.text("/a").await?;
    assert_ne!(new, old);
    bed.has_put(2).await?;
    let third = bed.isolate(None)?;
    assert_eq!(third.text("/a").await?, new);
    // So does what changes something at the origin.
    third.client.send(Method::POST, "/a", &[], None).await?;
    let newer = third.text("/a").await?;
    assert_ne!(newer, new);
    Ok(())
}
