//! What operators have an edge do: forget, warm, and say how it is.

use crate::cache_site::{Maker, PATIENCE, Site, Thing};
use crate::client::{Answer, Client};
use crate::edge_pitchey::{self, SECRET, versions};
use crate::edge_shell::{Edge, Shell, on_both_shells};
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_edge::desk::{DeskSecret, Signing};
use pitchey_testkit::{Faults, Flow, Gateway, Passage};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};
use tokio_postgres::NoTls;
use uuid::Uuid;

pub(crate) const DESK: &str = "what operators sign with in these tests";
pub(crate) const DESK_SETTING: (&str, &str) = ("DESK__SECRET", DESK);

on_both_shells! {
    only_who_has_the_secret_is_answered_and_each_mistake_is_named,
    in_front_of_any_site_keys_and_prefixes_are_forgotten,
    what_was_warmed_is_there_and_each_path_says_what_came_of_it,
}

/// The `Authorization` of a request that is signed now.
fn signed(method: &Method, target: &str, nonce: &str, body: &str) -> Result<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let secret = DeskSecret::new(DESK.as_bytes()).context("long enough")?;
    let value = secret.sign(&Signing {
        method,
        target,
        timestamp: i64::try_from(since.as_millis())?,
        nonce,
        body: body.as_bytes(),
    });
    Ok(value.to_str()?.to_owned())
}

/// Asks as an operator does.
pub(crate) async fn operate(client: &Client, target: &str, body: Option<Value>) -> Result<Answer> {
    let method = if body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let text = body.as_ref().map(Value::to_string).unwrap_or_default();
    let nonce = Uuid::new_v4().simple().to_string();
    let authorization = signed(&method, target, &nonce, &text)?;
    let headers = [("authorization", &*authorization)];
    client.send(method, target, &headers, body.as_ref()).await
}

pub(crate) async fn purge(client: &Client, what: Value) -> Result<Answer> {
    operate(client, "/__edge/purge", Some(what)).await
}

pub(crate) fn before(shell: Shell, upstream: &Upstream, settings: &[(&str, &str)]) -> Result<Edge> {
    shell.start(&upstream.url(), settings)
}

/// An origin that counts, and what it says may be kept.
pub(crate) async fn counting() -> Result<Upstream> {
    Upstream::start(|seen| {
        let reply = Reply::new(200, format!("answer {}", seen.before));
        ready(reply.with("cache-control", "max-age=600"))
    })
    .await
}

async fn only_who_has_the_secret_is_answered_and_each_mistake_is_named(shell: Shell) -> Result<()> {
    let upstream = counting().await?;
    let shut = before(shell, &upstream, &[])?;
    let shut = Client::new(shut.address()).get("/__edge/status", &[]).await;
    assert_eq!(shut?.status, 404);

    let gateway = before(shell, &upstream, &[DESK_SETTING])?;
    let client = Client::new(gateway.address());
    let purging = json!({"keys": ["/a"]});
    let text = purging.to_string();
    let nonce = Uuid::new_v4().simple().to_string();
    let good = signed(&Method::POST, "/__edge/purge", &nonce, &text)?;
    let unreadable = format!("{good}0");
    let old = good.replace("timestamp=1", "timestamp=0");
    let large = json!({"keys": ["x".repeat(70_000)]});
    let mut report = String::new();
    for (name, method, target, authorization, body) in [
        (
            "unsigned",
            Method::POST,
            "/__edge/purge",
            "",
            Some(&purging),
        ),
        (
            "a bearer",
            Method::POST,
            "/__edge/purge",
            "Bearer x",
            Some(&purging),
        ),
        (
            "unreadable",
            Method::POST,
            "/__edge/purge",
            &*unreadable,
            Some(&purging),
        ),
        ("old", Method::POST, "/__edge/purge", &*old, Some(&purging)),
        (
            "too large",
            Method::POST,
            "/__edge/purge",
            &*good,
            Some(&large),
        ),
        ("another body", Method::POST, "/__edge/purge", &*good, None),
        ("read", Method::GET, "/__edge/purge", &*good, None),
        (
            "elsewhere",
            Method::POST,
            "/__edge/other",
            &*good,
            Some(&purging),
        ),
        (
            "good",
            Method::POST,
            "/__edge/purge",
            &*good,
            Some(&purging),
        ),
        (
            "again",
            Method::POST,
            "/__edge/purge",
            &*good,
            Some(&purging),
        ),
    ] {
        let headers = [("authorization", authorization)];
        let headers = if authorization.is_empty() {
            &[][..]
        } else {
            &headers
        };
        let answer = client.send(method, target, headers, body).await?;
        let more: Vec<&str> = ["allow", "www-authenticate", "content-type"]
            .iter()
            .map(|name| answer.header(name))
            .filter(|value| !value.is_empty())
            .collect();
        let _ = writeln!(
            report,
            "{name}: {} {}\n{}\n",
            answer.status,
            more.join(", "),
            String::from_utf8_lossy(&answer.body)
        );
    }
    for wrong in [
        json!({}),
        json!({"tags": ["lists"]}),
        json!({"keys": ["a"], "prefixes": [""]}),
    ] {
        let answer = purge(&client, wrong.clone()).await?;
        let errors = answer.json()["errors"].to_string();
        let _ = writeln!(report, "{wrong}: {} {errors}", answer.status);
    }
    let filters = [(r"is \d+ ms here", "is [now] ms here")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(report) });
    Ok(())
}

async fn in_front_of_any_site_keys_and_prefixes_are_forgotten(shell: Shell) -> Result<()> {
    let upstream = counting().await?;
    let gateway = before(shell, &upstream, &[DESK_SETTING])?;
    let client = Client::new(gateway.address());
    let all = ["/a", "/a?b=c", "/d/e", "/d/f", "/g"];
    let kept = async || {
        let mut kept = Vec::new();
        for target in all {
            let answer = client.get(target, &[]).await?.expect(200)?;
            if answer.header("cache-status").contains("; hit") {
                kept.push(target);
            }
        }
        anyhow::Ok(kept)
    };
    assert!(kept().await?.is_empty());
    assert_eq!(kept().await?, all);
    let purged = purge(&client, json!({"keys": ["/a", "/absent"]})).await?;
    assert_eq!(
        purged.expect(200)?.json(),
        json!({"tags": 0, "keys": 2, "prefixes": 0})
    );
    assert_eq!(kept().await?, all[1..]);
    purge(&client, json!({"prefixes": ["/d/", "/a?"]}))
        .await?
        .expect(200)?;
    assert_eq!(kept().await?, ["/a", "/g"]);
    let status = operate(&client, "/__edge/status", None)
        .await?
        .expect(200)?
        .json();
    assert_eq!(
        (&status["mode"], &status["entries"], &status["hearing"]),
        (&json!("proxy"), &json!(all.len()), &Value::Null)
    );
    let routes = operate(&client, "/__edge/routes", None)
        .await?
        .expect(200)?;
    assert_eq!(routes.json(), json!([]));
    Ok(())
}

/// At the gateway, where those who ask for the same wait for one answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_it_is_purged_is_not_stored() -> Result<()> {
    let shell = Shell::Gateway;
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let upstream = Upstream::start(move |seen| {
        let held = held.clone();
        async move {
            if let Ok(permit) = held.acquire().await {
                permit.forget();
            }
            let reply = Reply::new(200, format!("answer {}", seen.before));
            reply.with("cache-control", "max-age=600")
        }
    })
    .await?;
    let gateway = before(shell, &upstream, &[DESK_SETTING])?;
    let client = Client::new(gateway.address());
    let text = |answer: Answer| String::from_utf8_lossy(&answer.body).into_owned();
    let whats = [
        json!({"keys": ["/x/0"]}),
        json!({"prefixes": ["/x/"]}),
        json!({"keys": ["/other"], "prefixes": ["/x/2/"]}),
    ];
    for (n, what) in whats.into_iter().enumerate() {
        let target = format!("/x/{n}");
        let asked = upstream.seen().len();
        let mut asking = JoinSet::new();
        for _ in 0..2 {
            let (client, target) = (client.clone(), target.clone());
            asking.spawn(async move { client.get(&target, &[]).await?.expect(200) });
        }
        upstream.asked(asked + 1).await?;
        purge(&client, what).await?.expect(200)?;
        gate.add_permits(10);
        while let Some(answer) = asking.join_next().await {
            // Of two who asked before, one may have waited for the other, in vain.
            let text = text(answer??);
            ensure!(text.starts_with("answer"), "{text}");
        }
        let next = text(client.get(&target, &[]).await?.expect(200)?);
        let is_old = next == format!("answer {asked}");
        assert_eq!(is_old, n == 2, "{target}: {next} after answer {asked}");
        // Nothing is left for the next one.
        while let Ok(permit) = gate.try_acquire() {
            permit.forget();
        }
    }
    Ok(())
}

async fn what_was_warmed_is_there_and_each_path_says_what_came_of_it(shell: Shell) -> Result<()> {
    let upstream = Upstream::start(|seen| async move {
        if seen.target == "/hangs" {
            std::future::pending::<()>().await;
        }
        let status = if seen.target == "/absent" { 404 } else { 200 };
        let body = seen.header("accept-encoding").to_owned();
        let reply = Reply::new(status, body).with("cache-control", "max-age=600");
        reply.with("vary", "accept-encoding")
    })
    .await?;
    let patience = ("ORIGIN__RESPONSE_TIMEOUT_MS", "500");
    let gateway = before(shell, &upstream, &[DESK_SETTING, patience])?;
    let client = Client::new(gateway.address());
    let paths: Vec<String> = (0..20).map(|n| format!("/{n}")).collect();
    let all: Vec<&str> = paths
        .iter()
        .map(|path| &**path)
        .chain(["/absent", "/hangs"])
        .collect();
    let body = json!({"paths": all, "accept_encoding": "br"});
    let warmed = operate(&client, "/__edge/warm", Some(body))
        .await?
        .expect(200)?;
    let warmed: Vec<Value> = serde_json::from_slice(&warmed.body)?;
    let told: Vec<_> = warmed
        .iter()
        .map(|one| {
            (
                one["path"].as_str().unwrap_or_default(),
                one["status"].as_u64(),
            )
        })
        .collect();
    let expected: Vec<_> = all
        .iter()
        .map(|path| match *path {
            "/absent" => ("/absent", Some(404)),
            "/hangs" => ("/hangs", Some(504)),
            path => (path, Some(200)),
        })
        .collect();
    assert_eq!(told, expected);
    assert_eq!(warmed[0]["bytes"], 2);
    let cache = warmed[0]["cache"].as_str().context("it is told")?;
    assert!(
        cache.contains("fwd=uri-miss") && cache.contains("stored"),
        "{cache}"
    );
    let asked = upstream.seen().len();
    for path in &paths {
        let answer = client
            .get(path, &[("accept-encoding", "br")])
            .await?
            .expect(200)?;
        assert!(answer.header("cache-status").contains("; hit"), "{path}");
    }
    assert_eq!(upstream.seen().len(), asked);
    Ok(())
}

/// Changes the title of a pitch behind the back of all caches.
async fn change_behind(site: &Site, pitch: &mut Thing) -> Result<u32> {
    let (database, connection) = tokio_postgres::connect(&site.primary.url(), NoTls).await?;
    let mut connected = JoinSet::new();
    connected.spawn(connection);
    pitch.version += 1;
    let title = Thing::text(pitch.number, pitch.version);
    let id: Uuid = pitch.target.rsplit('/').next().context("an id")?.parse()?;
    let changed = database
        .execute(
            "UPDATE pitches SET title = $1 WHERE id = $2::text::uuid",
            &[&title, &id.to_string()],
        )
        .await?;
    ensure!(changed == 1, "there is no such pitch");
    block_in_place(|| site.replica.wait_until_caught_up())?;
    Ok(pitch.version)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_purge_no_tier_at_any_node_has_what_was_before() -> Result<()> {
    let bed = edge_pitchey::open_on(Shell::Gateway, &[], &[("DESK__SECRET", DESK)]).await?;
    // Another gateway, which is told of it by Redis alone.
    let program = Gateway::program(&bed.site.doors.door(0).url())
        .args(["--pitchey"])
        .env("GATEWAY_PITCHEY__SECRET", SECRET)
        .env("GATEWAY_PITCHEY__REDIS_URL", bed.site.redis.url());
    let other = block_in_place(|| Gateway::start(&program))?;
    let other = Client::new(other.address());
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    let target = pitch.target.clone();
    let seen = async |client: &Client, coding| {
        let headers = [("accept-encoding", coding)];
        let answer = client.get(&target, &headers).await?.expect(200)?;
        versions(&answer, 1).context("it is not shown")
    };
    let whats = [
        json!({"tags": [pitch.tag]}),
        json!({"keys": [pitch.target]}),
        json!({"keys": [pitch.target.replace("/api/p", "/api/%70")]}),
        json!({"prefixes": ["/api/pitches/"]}),
    ];
    for what in whats {
        let old = seen(&bed.edge, "identity").await?;
        for client in [&bed.edge, &other, &bed.origin] {
            assert_eq!(seen(client, "identity").await?, old, "{what}");
        }
        let new = change_behind(&bed.site, &mut pitch).await?;
        for client in [&bed.edge, &other, &bed.origin] {
            // Else this test would be true of anything.
            assert_eq!(seen(client, "identity").await?, old, "{what}");
        }
        purge(&bed.edge, what.clone()).await?.expect(200)?;
        assert_eq!(seen(&bed.edge, "identity").await?, new, "{what}");
        let until = Instant::now() + PATIENCE;
        for client in [&other, &bed.origin] {
            while seen(client, "identity").await? != new {
                ensure!(
                    Instant::now() < until,
                    "another node does not hear of {what}"
                );
            }
        }
    }
    for what in [
        json!({"keys": ["/api/me"]}),
        json!({"prefixes": ["/api/me", "/api/pitches/"]}),
        json!({"keys": ["/api//pitches"]}),
    ] {
        let refused = purge(&bed.edge, what.clone()).await?;
        assert_eq!(refused.status, 400, "{what}");
    }
    let routes = operate(&bed.edge, "/__edge/routes", None)
        .await?
        .expect(200)?;
    insta::assert_json_snapshot!(routes.json());
    let status = operate(&bed.edge, "/__edge/status", None)
        .await?
        .expect(200)?
        .json();
    assert_eq!(
        (&status["mode"], &status["hearing"]["attached"]),
        (&json!("pitchey"), &json!(true))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_under_way_does_not_undo_a_purge() -> Result<()> {
    let bed = edge_pitchey::open_on(Shell::Gateway, &[], &[("DESK__SECRET", DESK)]).await?;
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    let route =
        "http_server_request_duration_seconds_count{method=\"GET\",route=\"/api/pitches/{id}\"";
    let door = bed.site.doors.door(0);
    for what in [
        json!({"tags": [pitch.tag]}),
        json!({"keys": [pitch.target]}),
        json!({"prefixes": [pitch.target]}),
    ] {
        // The origin has it in memory, the edge has not.
        bed.origin.get(&pitch.target, &[]).await?.expect(200)?;
        let new = change_behind(&bed.site, &mut pitch).await?;
        let answered = door.figure(route).await?;
        bed.to_origin.set(Faults {
            to_client: Flow {
                passage: Passage::Stalled,
                ..Flow::default()
            },
            ..Faults::default()
        });
        let mut asking = JoinSet::new();
        let (client, target) = (bed.edge.clone(), pitch.target.clone());
        asking.spawn(async move { client.get(&target, &[]).await?.expect(200) });
        door.wait_for(route, answered + 1.0).await?;
        purge(&bed.edge, what.clone()).await?.expect(200)?;
        bed.to_origin.heal();
        let before = asking.join_next().await.context("it was asked")???;
        assert!(versions(&before, 1).is_some(), "{what}");
        let next = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        assert_eq!(versions(&next, 1), Some(new), "{what}");
        // For the next round nothing of it may be at the edge.
        purge(&bed.edge, json!({"prefixes": ["/"]}))
            .await?
            .expect(200)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_purge_is_not_acknowledged_and_holds_here() -> Result<()> {
    let bed = edge_pitchey::open_on(Shell::Gateway, &[], &[("DESK__SECRET", DESK)]).await?;
    let maker = Maker::new(&bed.edge, 0, 1).await?;
    let pitch = &maker.things[1];
    for status in ["MISS", "HIT"] {
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        assert_eq!(answer.header("x-cache-status"), status);
    }
    bed.to_redis.cut();
    for what in [
        json!({"tags": [pitch.tag]}),
        json!({"keys": [pitch.target]}),
        json!({"prefixes": [pitch.target]}),
    ] {
        let refused = purge(&bed.edge, what.clone()).await?;
        assert_eq!(refused.status, 503, "{what}");
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        assert_eq!(answer.header("x-cache-status"), "MISS", "{what}");
    }
    bed.to_redis.heal();
    bed.wait_until_attached(true).await?;
    let until = Instant::now() + PATIENCE;
    while purge(&bed.edge, json!({"tags": [pitch.tag]})).await?.status != 200 {
        ensure!(Instant::now() < until, "{}", bed.running.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
