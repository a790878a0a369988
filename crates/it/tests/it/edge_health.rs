//! What an edge says of itself and of what it stands before.

use crate::cache_site::PATIENCE;
use crate::client::Client;
use crate::edge_limits::program;
use crate::upstream::{Reply, Upstream};
use anyhow::{Result, ensure};
use http::Method;
use pitchey_testkit::Gateway;
use serde_json::{Value, json};
use std::future::{pending, ready};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const OFTEN: (&str, &str) = ("GATEWAY_HEALTH__INTERVAL_MS", "100");

/// The status of each part.
fn parts(health: &Value) -> Value {
    let Some(parts) = health["parts"].as_object() else {
        return Value::Null;
    };
    let parts = parts.iter();
    let parts = parts.map(|(name, part)| (name.clone(), part["status"].clone()));
    Value::Object(parts.collect())
}

async fn wait_until(client: &Client, expected: &Value) -> Result<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let health = client.get("/api/health", &[]).await?.expect(200)?.json();
        if parts(&health) == *expected {
            return Ok(health);
        }
        ensure!(Instant::now() < until, "{health}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_was_last_known_of_each_and_when() -> Result<()> {
    let upstream = Upstream::start(|seen| {
        ready(match &*seen.target {
            "/api/health" => Reply::new(200, "{\"status\":\"ok\",\"database\":\"ok\"}"),
            "/well" => Reply::new(200, "anything"),
            _ => Reply::new(500, ""),
        })
    })
    .await?;
    let url = upstream.url();
    let targets =
        format!("[{{name=\"files\",url=\"{url}/well\"}},{{name=\"mail\",url=\"{url}/broken\"}}]");
    let settings = [OFTEN, ("GATEWAY_HEALTH__TARGETS", &targets)];
    let gateway = block_in_place(|| Gateway::start(&program(&upstream, &settings)))?;
    let client = Client::new(gateway.address());
    // There is no Redis in this test.
    let expected = json!({"origin": "ok", "files": "ok", "mail": "down", "redis": "down"});
    let health = wait_until(&client, &expected).await?;
    assert_eq!(
        (&health["status"], &health["database"]),
        (&json!("degraded"), &json!("ok"))
    );
    ensure!(health["parts"]["origin"]["at"].is_string(), "{health}");
    ensure!(health["parts"]["origin"]["ms"].is_u64(), "{health}");
    let head = client.send(Method::HEAD, "/api/health", &[], None).await?;
    assert_eq!((head.status, head.body.len()), (200, 0));
    // Whatever else is asked there, the origin answers.
    let posted = client.send(Method::POST, "/api/health", &[], None).await?;
    assert!(posted.headers.contains_key("x-request-id"));
    drop(upstream);
    let expected = json!({"origin": "down", "files": "down", "mail": "down", "redis": "down"});
    let health = wait_until(&client, &expected).await?;
    assert_eq!(health["database"], "unknown");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_waits_for_nobody() -> Result<()> {
    let upstream = Upstream::start(|_| pending()).await?;
    let settings = [OFTEN, ("GATEWAY_HEALTH__TIMEOUT_MS", "60000")];
    let gateway = block_in_place(|| Gateway::start(&program(&upstream, &settings)))?;
    let client = Client::new(gateway.address());
    upstream.asked(1).await?;
    let health = client.get("/api/health", &[]).await?.expect(200)?.json();
    assert_eq!(
        parts(&health),
        json!({"origin": "unknown", "redis": "down"})
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_where_they_come_from_unless_they_are_not_to() -> Result<()> {
    let upstream = Upstream::start(|_| ready(Reply::new(200, "{}"))).await?;
    let names = ["x-edge-location", "x-worker-version", "x-response-time"];
    for (debug, location, there) in [
        ("true", "fra-1", [true, true, true]),
        ("true", "", [false, true, true]),
        ("false", "fra-1", [false, false, false]),
    ] {
        let settings = [
            ("GATEWAY_HEADERS__DEBUG", debug),
            ("GATEWAY_HEADERS__LOCATION", location),
        ];
        let gateway = block_in_place(|| Gateway::start(&program(&upstream, &settings)))?;
        let client = Client::new(gateway.address());
        for target in ["/api/me", "/api//me"] {
            let answer = client.get(target, &[]).await?;
            let has = names.map(|name| answer.headers.contains_key(name));
            assert_eq!(has, there, "{debug} {location} {target}");
            if has[0] {
                assert_eq!(answer.header("x-edge-location"), location);
            }
            if has[2] {
                let time = answer.header("x-response-time");
                let time = time.strip_suffix("ms").map(str::parse::<f64>);
                ensure!(matches!(time, Some(Ok(_))), "{time:?}");
            }
        }
    }
    Ok(())
}
