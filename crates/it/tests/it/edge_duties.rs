//! What an edge does besides answering: it knows who is well, what it has counted, and what a timer has it do.

use crate::cache_site::PATIENCE;
use crate::client::Client;
use crate::edge_desk::{DESK, operate};
use crate::edge_limits::program;
use crate::edge_pitchey::SECRET;
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::{Gateway, KvServer, Worker, net};
use serde_json::{Value, json};
use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::task::block_in_place;

const WINDOW_S: u64 = 300;

/// A worker with a clock, before an origin that is well.
struct Bed {
    upstream: Upstream,
    client: Client,
    clock: Client,
    _worker: Worker,
}

/// `None` where there is no workerd.
async fn open(kv: Option<&KvServer>, settings: &[(&str, &str)]) -> Result<Option<Bed>> {
    if !Worker::is_there() {
        return Ok(None);
    }
    let upstream = Upstream::start(|seen| {
        ready(match &*seen.target {
            "/api/health" => Reply::new(200, "{\"database\":\"ok\"}"),
            "/well" => Reply::new(200, "anything"),
            "/broken" => Reply::new(500, ""),
            _ => Reply::new(200, "{}"),
        })
    })
    .await?;
    let clock = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/edge/tests");
    let mut program = Worker::with_config(&directory.join("clock.capnp"))?
        .arg("--experimental")
        .env("WORKER_ORIGIN__URL", upstream.url())
        .arg(format!("--socket-addr=clock={clock}"))
        .env("WORKER_PITCHEY__SECRET", SECRET)
        .env("WORKER_DESK__SECRET", DESK);
    if let Some(kv) = kv {
        program = program
            .arg(format!("--external-addr=pages={}", kv.address()))
            .env("WORKER_KV__ENABLED", "true")
            .env("WORKER_KV__TIMEOUT_MS", "5000");
    }
    for (name, value) in settings {
        program = program.env(&format!("WORKER_{name}"), value);
    }
    let worker = block_in_place(|| Worker::start(&program))?;
    Ok(Some(Bed {
        upstream,
        client: Client::new(worker.address()),
        clock: Client::new(clock),
        _worker: worker,
    }))
}

impl Bed {
    /// Has the timer go off, for this second since 1970.
    async fn goes_off(&self, at_s: u64) -> Result<()> {
        self.clock
            .get(&format!("/?at={}", at_s * 1000), &[])
            .await?
            .expect(200)?;
        Ok(())
    }

    /// Asks for health until each part is so.
    async fn until_parts_are(&self, expected: &Value) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let health = self.client.get("/api/health", &[]).await?.expect(200)?;
            let health = health.json();
            let parts = health["parts"].as_object().context("there are parts")?;
            let parts = parts.iter();
            let parts: Value = parts
                .map(|(name, part)| (name.clone(), part["status"].clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            if parts == *expected {
                return Ok(health);
            }
            ensure!(Instant::now() < until, "{health}");
            tokio::task::yield_now().await;
        }
    }
}

fn now_s() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_knows_who_is_well_and_waits_for_nobody() -> Result<()> {
    let elsewhere = Upstream::start(|seen| {
        let is_well = seen.target == "/well";
        ready(Reply::new(if is_well { 200 } else { 500 }, ""))
    })
    .await?;
    let url = elsewhere.url();
    let targets = json!([{"name": "files", "url": format!("{url}/well")},
        {"name": "mail", "url": format!("{url}/broken")}])
    .to_string();
    let settings = [
        ("HEALTH__TARGETS", &*targets),
        ("HEALTH__TIMEOUT_MS", "500"),
    ];
    let Some(bed) = open(None, &settings).await? else {
        return Ok(());
    };
    let first = bed.client.get("/api/health", &[]).await?.expect(200)?;
    assert_eq!(first.json()["parts"]["origin"]["status"], "unknown");
    assert_eq!(first.header("cache-control"), "no-store");
    let expected = json!({"origin": "ok", "files": "ok", "mail": "down"});
    let health = bed.until_parts_are(&expected).await?;
    assert_eq!(
        (&health["status"], &health["database"]),
        (&json!("degraded"), &json!("ok"))
    );
    ensure!(health["parts"]["mail"]["at"].is_string(), "{health}");
    let head = bed.client.send(Method::HEAD, "/api/health", &[], None);
    let head = head.await?;
    assert_eq!((head.status, head.body.len()), (200, 0));
    // It is seen when somebody is gone, and when there is a timer, without anybody who asks.
    drop(elsewhere);
    let expected = json!({"origin": "ok", "files": "down", "mail": "down"});
    bed.until_parts_are(&expected).await?;
    let asked = bed.upstream.seen().len();
    bed.goes_off(now_s()?).await?;
    ensure!(bed.upstream.seen().len() > asked, "the timer asks as well");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isolates_count_is_added_up_by_the_timer_and_told_to_operators() -> Result<()> {
    let kv = KvServer::start()?;
    let settings = [("FIGURES__WRITE_AFTER_MS", "1")];
    let Some(bed) = open(Some(&kv), &settings).await? else {
        return Ok(());
    };
    let began = now_s()? / WINDOW_S * WINDOW_S;
    for _ in 0..3 {
        bed.client.get("/api/me", &[]).await?.expect(200)?;
    }
    bed.client.get("/api//me", &[]).await?.expect(400)?;
    // All that was asked is written by the isolate, however many windows it was asked in.
    let until = Instant::now() + PATIENCE;
    let counted = loop {
        bed.client.get("/__edge/health", &[]).await?.expect(200)?;
        let keys = kv.keys();
        let written = keys.iter().filter(|key| key.starts_with("figures%2Fat%2F"));
        let written = written.filter_map(|key| kv.value(key));
        let written: Vec<Value> = written
            .map(|value| Ok(serde_json::from_slice(&value)?))
            .collect::<Result<_>>()?;
        let sum = |kind: &str| -> u64 {
            let counts = written
                .iter()
                .filter_map(|one| one["counts"][kind].as_array());
            counts.flatten().filter_map(Value::as_u64).sum()
        };
        let counted = [sum("read BYPASS 2xx"), sum("read none 4xx")];
        if counted == [3, 1] || Instant::now() > until {
            break counted;
        }
    };
    assert_eq!(counted, [3, 1], "{:?}", kv.keys());

    // What others have counted in the window before, as they write it.
    let before = began - WINDOW_S;
    let other = Client::new(kv.address());
    for (isolate, location) in [("a", "FRA"), ("b", "SIN")] {
        let key = format!("/figures%2Fat%2F{before}%2F{isolate}?expiration_ttl=7200");
        let counts = json!({"read HIT 2xx": [0, 0, 0, 8], "read MISS 5xx": [0, 2]});
        let written = json!({"location": location, "counts": counts});
        other
            .send(Method::PUT, &key, &[], Some(&written))
            .await?
            .expect(200)?;
    }
    bed.goes_off(began).await?;
    bed.goes_off(began).await?;
    let told = operate(&bed.client, "/__edge/figures", None).await?;
    let told = told.expect(200)?.json();
    let windows = told["windows"].as_array().context("there are windows")?;
    let window = windows.iter().find(|window| window["edges"] == 2);
    let window = window.with_context(|| told.to_string())?;
    assert_eq!(
        (&window["all"]["requests"], &window["all"]["hit_rate"]),
        (&json!(20), &json!(0.8))
    );
    assert_eq!(window["all"]["error_rate"], json!(0.2));
    assert_eq!(window["locations"]["SIN"], window["locations"]["FRA"]);
    assert_eq!(window["classes"]["read"]["requests"], 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_third_time_the_timer_has_paths_asked_for() -> Result<()> {
    let settings = [("WARM__PATHS", "[\"/api/pitches/new\"]")];
    let Some(bed) = open(None, &settings).await? else {
        return Ok(());
    };
    let asked = || {
        let seen = bed.upstream.seen();
        let lists = seen.iter().filter(|seen| seen.target == "/api/pitches/new");
        lists.count()
    };
    let hour = now_s()? / 3600 * 3600;
    for (minute, times) in [(5, 0), (10, 0), (15, 1), (20, 1), (30, 2)] {
        bed.goes_off(hour + minute * 60).await?;
        assert_eq!(asked(), times, "minute {minute}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_tells_what_it_has_hashed_and_looked_at() -> Result<()> {
    let Some(bed) = open(None, &[]).await? else {
        return Ok(());
    };
    operate(&bed.client, "/__edge/status", None)
        .await?
        .expect(200)?;
    let long = "x".repeat(40_000);
    let refused = bed.client.get("/", &[("x-long", &*long)]).await?;
    refused.expect(431)?;
    let told = bed
        .client
        .get("/api/wasm/metrics", &[])
        .await?
        .expect(200)?;
    let told = told.json();
    let functions = &told["functions"];
    assert_eq!(
        (
            &functions["hash.signature"]["calls"],
            &functions["hash.ticket"]["calls"],
            &functions["validate"]["refused"],
        ),
        (&json!(1), &json!(0), &json!(1)),
        "{told}"
    );
    // A page of WebAssembly has 64 KiB, and there are at least some.
    let bytes = told["module"]["memory_bytes"].as_u64().unwrap_or_default();
    ensure!(bytes > 1 << 20 && bytes % (64 << 10) == 0, "{told}");
    assert_eq!(told["module"]["failures"], 0);
    let again = bed.client.get("/api/wasm/metrics", &[]).await?.json();
    let calls = |told: &Value| told["functions"]["validate"]["calls"].as_u64();
    assert_eq!(calls(&again), calls(&told).map(|calls| calls + 1));
    assert_eq!(bed.upstream.seen().len(), 0);

    let Some(silent) = open(None, &[("HEADERS__DEBUG", "false")]).await? else {
        return Ok(());
    };
    silent.client.get("/api/wasm/metrics", &[]).await?;
    assert_eq!(silent.upstream.seen().len(), 1, "the origin is asked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_asks_for_paths_again_and_again() -> Result<()> {
    let upstream = Upstream::start(|_| ready(Reply::new(200, "{}"))).await?;
    let settings = [
        ("GATEWAY_WARM__PATHS", "[\"/api/pitches/new\"]"),
        ("GATEWAY_WARM__INTERVAL_MS", "1000"),
        ("GATEWAY_DESK__SECRET", DESK),
        // So that nobody else asks.
        ("GATEWAY_HEALTH__INTERVAL_MS", "86400000"),
    ];
    let gateway = block_in_place(|| Gateway::start(&program(&upstream, &settings)))?;
    upstream.asked(3).await?;
    let seen = upstream.seen();
    let lists = seen.iter().filter(|seen| seen.target == "/api/pitches/new");
    ensure!(lists.count() >= 2, "{seen:?}");
    // Nothing is over yet, and that is told.
    let client = Client::new(gateway.address());
    let told = operate(&client, "/__edge/figures", None).await?;
    let told = told.expect(200)?.json();
    ensure!(
        told["windows"].is_array() && told["hours"].is_array(),
        "{told}"
    );
    let wrong = program(&upstream, &[("GATEWAY_WARM__PATHS", "[\"api\"]")]);
    let error = block_in_place(|| Gateway::start(&wrong)).expect_err("no path");
    ensure!(
        format!("{error:?}").contains("does not begin with /"),
        "{error:?}"
    );
    Ok(())
}
