//! What becomes of requests when the module of the worker fails: one that panics takes no other with it, and
//! the next finds a new module.

use crate::client::Client;
use crate::upstream::{Reply, Upstream};
use anyhow::{Result, ensure};
use http::Method;
use pitchey_testkit::Worker;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};

struct Bed {
    worker: Worker,
    client: Client,
    upstream: Upstream,
    gate: Arc<Semaphore>,
}

/// An edge that fails on demand, before an origin that answers what is slow when the gate is open.
async fn open() -> Result<Option<Bed>> {
    if !Worker::is_there() {
        return Ok(None);
    }
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let upstream = Upstream::start(move |seen| {
        let held = held.clone();
        async move {
            if seen.target.starts_with("/slow") {
                let _ = held.acquire().await;
            }
            Reply::new(200, format!("{} {}", seen.method, seen.target))
                .with("cache-control", "max-age=60")
        }
    })
    .await?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/edge/tests");
    let program = Worker::with_config(&directory.join("faults.capnp"))?;
    let program = program.env("WORKER_ORIGIN__URL", upstream.url());
    let worker = block_in_place(|| Worker::start(&program))?;
    Ok(Some(Bed {
        client: Client::new(worker.address()),
        worker,
        upstream,
        gate,
    }))
}

async fn a_failure_is_one_requests_own(fault: &str, said: &str) -> Result<()> {
    let Some(bed) = open().await? else {
        return Ok(());
    };
    let body = json!({});
    for status in ["fwd=uri-miss", "hit"] {
        let kept = bed.client.get("/kept", &[]).await?.expect(200)?;
        assert!(kept.header("cache-status").contains(status));
    }
    // A read and a change are under way when it happens.
    let mut asking = JoinSet::new();
    for method in [Method::GET, Method::POST] {
        let (client, body) = (bed.client.clone(), body.clone());
        asking.spawn(async move {
            let sent = (method == Method::POST).then_some(&body);
            let answer = client.send(method.clone(), "/slow", &[], sent).await?;
            anyhow::Ok((method, answer))
        });
    }
    bed.upstream.asked(3).await?;
    let failed = bed
        .client
        .send(Method::POST, fault, &[], Some(&body))
        .await?
        .expect(500)?;
    assert_eq!(failed.header("content-type"), "application/problem+json");
    assert_eq!(failed.header("cache-control"), "no-store");
    assert_eq!(failed.json()["status"], 500);
    // The change may have been made or not; the read is asked for once more.
    bed.upstream.asked(4).await?;
    bed.gate.add_permits(10);
    while let Some(ended) = asking.join_next().await {
        let (method, answer) = ended??;
        let expected = if method == Method::GET { 200 } else { 500 };
        assert_eq!(answer.status, expected, "{method}");
    }
    // The new module has nothing yet, and keeps as the old one did.
    for status in ["fwd=uri-miss", "hit"] {
        let kept = bed.client.get("/kept", &[]).await?.expect(200)?;
        assert!(kept.header("cache-status").contains(status));
    }
    // As often as need be; a read is done once more and comes through.
    for _ in 0..5 {
        let answer = bed.client.get(fault, &[]).await?;
        ensure!(answer.status == 200, "{}", bed.worker.log());
    }
    let log = bed.worker.log();
    assert!(log.contains("the edge begins anew"), "{log}");
    assert!(log.contains(said), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_problem_of_one_request_and_the_next_finds_a_new_module() -> Result<()> {
    a_failure_is_one_requests_own("/test/panic", "panicked at").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_goes_through_the_module_is_the_same() -> Result<()> {
    a_failure_is_one_requests_own("/test/error", "no clock").await
}
