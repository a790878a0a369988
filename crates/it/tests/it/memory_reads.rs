//! What is answered from memory, before the router, is what the router answers.

use crate::client::Client;
use crate::origin::Origin;
use anyhow::{Context as _, Result};
use http::{HeaderMap, Method};
use pitchey_testkit::TestDb;
use serde_json::json;

/// An origin that keeps answers in its memory alone, with a pitch: its target.
async fn open(settings: &[(&str, &str)]) -> Result<(TestDb, Origin, String)> {
    let database = TestDb::new().await;
    let alone = [
        ("PITCHEY_CACHE__ALONE", "true"),
        ("PITCHEY_CACHE__WARM", "false"),
    ];
    let settings = [&alone, settings].concat();
    let origin = Origin::start_with(database.url(), &settings).await?;
    let creator = origin.client.register("ann", "creator").await?;
    let synopsis = "Nobody comes. ".repeat(200);
    let body = json!({"title": "Crows", "format": "short", "stage": "script", "logline": "x", "synopsis": synopsis, "genres": ["short"], "visibility": "public"});
    let made = origin.client.post(&creator, "/api/pitches", &body).await?;
    let made = made.expect(201)?;
    let target = made.header("location").to_owned();
    let version = [("if-match", made.header("etag"))];
    let publish = format!("{target}/publish");
    let client = &origin.client;
    let published = client.ask(&creator, Method::POST, &publish, &version, None);
    published.await?.expect(200)?;
    Ok((database, origin, target))
}

/// The lines of a header that do not tell when and from where.
fn lasting(headers: &HeaderMap) -> Vec<(String, String)> {
    let passing = [
        "x-cache-status",
        "cache-status",
        "server-timing",
        "x-database-time",
        "x-request-id",
        "date",
    ];
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let is_passing = passing.contains(&name.as_str());
            (
                name.to_string(),
                if is_passing { String::new() } else { value },
            )
        })
        .collect();
    lines.sort_unstable();
    lines
}

async fn same_twice(
    client: &Client,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    status: u16,
) -> Result<()> {
    let what = format!("{method} {target} {headers:?}");
    let first = client.send(method.clone(), target, headers, None).await?;
    let second = client.send(method, target, headers, None).await?;
    for (answer, from) in [(&first, "MISS"), (&second, "HIT")] {
        assert_eq!(
            (answer.status, answer.header("x-cache-status")),
            (status, from),
            "{what}"
        );
    }
    assert_eq!(lasting(&first.headers), lasting(&second.headers), "{what}");
    if status != 404 {
        assert_eq!(first.body, second.body, "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_memory_is_that_of_the_router_in_all_but_its_source() -> Result<()> {
    let (_database, origin, pitch) = open(&[]).await?;
    let client = &origin.client;
    let codings: [&[(&str, &str)]; 4] = [
        &[],
        &[("accept-encoding", "gzip")],
        &[("accept-encoding", "br;q=1, gzip;q=0.1")],
        &[
            ("accept-encoding", "identity"),
            ("x-request-id", "from-a-test"),
        ],
    ];
    for (n, coding) in codings.into_iter().enumerate() {
        for method in [Method::GET, Method::HEAD] {
            let head = usize::from(method == Method::HEAD);
            // Each address is new to the cache.
            let limit = 10 + 2 * n + head;
            for target in [
                format!("/api/pitches?limit={limit}"),
                format!("/api/pitches/new?limit={limit}"),
                format!("/api/search?q=crows&limit={limit}"),
            ] {
                same_twice(client, method.clone(), &target, coding, 200).await?;
            }
        }
    }
    same_twice(client, Method::GET, "/api/users/ann", &[], 200).await?;
    let nobody = "/api/pitches/00000000-0000-7000-8000-000000000000";
    same_twice(client, Method::GET, nobody, &[], 404).await?;
    same_twice(client, Method::HEAD, "/api/users/nobody", &[], 404).await?;

    let read = client.get(&pitch, &[]).await?.expect(200)?;
    let tag = read.header("etag").to_owned();
    for target in ["/api/pitches?limit=40", &pitch] {
        let tag = client.get(target, &[]).await?.header("etag").to_owned();
        let again = client.get(target, &[("if-none-match", &tag)]).await?;
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("cache-control"), "public, max-age=60");
        assert!(again.header("cache-status").contains("detail=memory"));
    }
    let other = [("if-match", "\"0.other\"")];
    let refused = client.get(&pitch, &other).await?;
    assert_eq!(refused.summary(), "412 precondition-failed");
    let held = client.get(&pitch, &[("if-match", &tag)]).await?;
    assert_eq!((held.status, held.header("x-cache-status")), (200, "HIT"));

    // What the pipeline refuses is refused whether or not the answer is there.
    let soon = client.get(&pitch, &[("x-request-timeout-ms", "soon")]);
    assert_eq!(soon.await?.summary(), "400 malformed-request");
    let large = json!("x".repeat(100_000));
    let large = client.send(Method::GET, &pitch, &[], Some(&large));
    assert_eq!(large.await?.summary(), "413 content-too-large");
    origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_from_memory_are_counted_in_limits_and_figures() -> Result<()> {
    let (_database, origin, pitch) = open(&[("PITCHEY_LIMITS__READ", "6 then 1/h")]).await?;
    let client = &origin.client;
    let mut statuses = Vec::new();
    for _ in 0..9 {
        let answer = client.get(&pitch, &[]).await?;
        statuses.push((answer.status, answer.header("x-cache-status").to_owned()));
        if answer.status == 429 {
            assert_eq!(answer.summary(), "429 too-many-requests");
            assert!(!answer.header("retry-after").is_empty());
        }
    }
    let answered = statuses.iter().filter(|(status, _)| *status == 200).count();
    let hits = statuses.iter().filter(|(_, from)| from == "HIT").count();
    // The start has asked, too, whether the origin is there.
    assert!((2..=6).contains(&answered), "{statuses:?}");
    assert_eq!(hits, answered - 1, "{statuses:?}");
    let metrics = origin.metrics().await?;
    let figure = |begins: &str| -> Result<usize> {
        let line = metrics.lines().find(|line| line.starts_with(begins));
        let value = line
            .with_context(|| format!("no {begins}"))?
            .rsplit(' ')
            .next();
        Ok(value.unwrap_or_default().parse()?)
    };
    let of_route =
        "http_server_request_duration_seconds_count{method=\"GET\",route=\"/api/pitches/{id}\"";
    assert_eq!(figure(&format!("{of_route},status=\"200\"}}"))?, answered);
    let hit = "cache_events_total{kind=\"pitch_detail\",what=\"memory_hit\"}";
    // What was found for one who was refused was found, too.
    assert!(figure(hit)? >= hits);
    origin.stop().await
}
