//! Whom the edge knows: sessions that it has learnt of, and what that is good for.

use crate::cache_site::{Maker, PATIENCE};
use crate::client::{Answer, Client, Person};
use crate::edge_pitchey::{Bed, SECRET, open_on};
use crate::edge_shell::{Shell, on_both_shells};
use crate::upstream::{Reply, Upstream};
use anyhow::{Result, ensure};
use http::Method;
use pitchey_testkit::{KvServer, Worker};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

on_both_shells! {
    who_is_signed_in_is_counted_by_account_and_comes_in_where_the_address_has_used_up_its_own,
    where_addresses_alone_count_nobody_is_let_in,
}

const PAUSE: Duration = Duration::from_millis(20);

/// Much less than the minute after which a session is forgotten anyhow.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// Two changes, and no more before half an hour is over.
const WRITE: (&str, &str) = ("LIMITS__WRITE", "2 then 1/h");

/// An edge of which this machine has used up what it may change, and a pitch to be saved.
async fn used_up(shell: Shell, settings: &[(&str, &str)]) -> Result<(Bed, String)> {
    let mut of_edge = vec![("LIMITS__CLIENTS", "100"), WRITE];
    of_edge.extend(settings);
    let bed = open_on(shell, &[], &of_edge).await?;
    let maker = Maker::new(&bed.origin, 0, 1).await?;
    let saved = format!("{}/saved", maker.things[1].target);
    for expected in [401, 401, 429] {
        let answer = bed.edge.send(Method::PUT, &saved, &[], None).await?;
        answer.expect(expected)?;
    }
    Ok((bed, saved))
}

async fn save(edge: &Client, person: &Person, saved: &str) -> Result<Answer> {
    let answer = edge.ask(person, Method::PUT, saved, &[], None).await?;
    ensure!(
        answer.header("pitchey-edge-session").is_empty(),
        "it is told to clients"
    );
    Ok(answer)
}

/// Saves until it is answered so; how often it was not.
async fn save_until(edge: &Client, person: &Person, saved: &str, status: u16) -> Result<usize> {
    let until = Instant::now() + HEARD_WITHIN;
    let mut before = 0;
    loop {
        let answer = save(edge, person, saved).await?;
        if answer.status == status {
            return Ok(before);
        }
        before += 1;
        ensure!(Instant::now() < until, "it is always {}", answer.status);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn who_is_signed_in_is_counted_by_account_and_comes_in_where_the_address_has_used_up_its_own(
    shell: Shell,
) -> Result<()> {
    let (bed, saved) = used_up(shell, &[]).await?;
    let ann = bed.origin.register("ann", "investor").await?;
    let bob = bed.origin.register("bob", "investor").await?;
    let own = bed.origin.read(&ann, "/api/me").await?.expect(200)?;
    ensure!(
        own.header("pitchey-edge-session").is_empty(),
        "it is told to who is no edge"
    );
    // As long as she is not known she comes in as a newcomer; then she has two of her own.
    let before = save_until(&bed.edge, &ann, &saved, 429).await?;
    ensure!(before > 2, "{before} before the end");
    save(&bed.edge, &bob, &saved).await?.expect(204)?;
    // The end of a session is heard of at once; a worker would know her for a minute.
    if shell == Shell::Gateway {
        let out = serde_json::json!({});
        bed.origin.post(&ann, "/api/auth/logout", &out).await?;
        save_until(&bed.edge, &ann, &saved, 401).await?;
    }
    Ok(())
}

async fn where_addresses_alone_count_nobody_is_let_in(shell: Shell) -> Result<()> {
    let (bed, saved) = used_up(shell, &[("LIMITS__CROWD", "0")]).await?;
    let ann = bed.origin.register("ann", "investor").await?;
    save(&bed.edge, &ann, &saved).await?.expect(429)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_isolate_has_learnt_another_finds() -> Result<()> {
    const COOKIE: &str = "__Host-session=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    if !Worker::is_there() {
        return Ok(());
    }
    let tells = Arc::new(AtomicBool::new(true));
    let telling = tells.clone();
    let upstream = Upstream::start(move |seen| {
        let reply = Reply::new(200, "{}");
        let tells = telling.load(Ordering::Relaxed) && seen.header("pitchey-edge-key") != "-";
        let id = "0198a6e5-7c1f-7a3b-8d2e-1234567890ab";
        let told = format!("{id} {id} investor 4102444800");
        ready(if tells {
            reply.with("pitchey-edge-session", told)
        } else {
            reply
        })
    })
    .await?;
    let kv = KvServer::start()?;
    let worker = || {
        let program = Worker::program(&upstream.url())?
            .env("WORKER_PITCHEY__SECRET", SECRET)
            .env("WORKER_KV__ENABLED", "true")
            .env("WORKER_KV__TIMEOUT_MS", "2000")
            .arg(format!("--external-addr=pages={}", kv.address()));
        block_in_place(|| Worker::start(&program))
    };
    // Whom it knows it does not ask for.
    let asked_until_known = async |worker: &Worker| {
        let client = Client::new(worker.address());
        let until = Instant::now() + PATIENCE;
        let mut asked = 0;
        loop {
            client
                .get("/api/me", &[("cookie", COOKIE)])
                .await?
                .expect(200)?;
            let seen = upstream.seen();
            let mut seen = seen.iter().rev().filter(|seen| seen.target == "/api/me");
            if seen
                .next()
                .is_some_and(|seen| seen.header("pitchey-edge-key") == "-")
            {
                return anyhow::Ok(asked);
            }
            asked += 1;
            ensure!(Instant::now() < until, "it never knows: {}", worker.log());
            tokio::time::sleep(PAUSE).await;
        }
    };
    let first = worker()?;
    ensure!(asked_until_known(&first).await? > 0, "nobody has told it");
    let until = Instant::now() + PATIENCE;
    while !kv.keys().iter().any(|key| key.starts_with("session:")) {
        ensure!(Instant::now() < until, "it is not written: {:?}", kv.keys());
        tokio::time::sleep(PAUSE).await;
    }
    ensure!(
        kv.keys().iter().all(|key| !key.contains("BwcH")),
        "of a token the hash alone is written"
    );
    tells.store(false, Ordering::Relaxed);
    let second = worker()?;
    ensure!(
        asked_until_known(&second).await? > 0,
        "it knows before it has looked"
    );
    Ok(())
}
