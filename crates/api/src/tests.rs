//! The API over the in-memory store: every endpoint, good input and bad.

use crate::problem::Kind;
use crate::{ApiState, CursorKey, Readiness, RequestId, openapi, router};
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use pitchey_model::{Genre, Sort};
use pitchey_runtime::ManualClock;
use pitchey_store::mem::{self, MemStore, Outage};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;
use tower::ServiceExt as _;

struct Api {
    store: MemStore,
    clock: ManualClock,
    readiness: Readiness,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Status, kind, and what is wrong where: a line for a snapshot.
    fn summary(&self) -> String {
        let json = self.json();
        let kind = json["type"]
            .as_str()
            .unwrap_or("-")
            .trim_start_matches("/problems/")
            .to_owned();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let errors: Vec<String> = errors
            .iter()
            .map(|e| {
                format!(
                    "{} {}",
                    e["pointer"].as_str().unwrap_or("?"),
                    e["code"].as_str().unwrap_or("?")
                )
            })
            .collect();
        format!("{} {kind} {}", self.status.as_u16(), errors.join("; "))
            .trim_end()
            .to_owned()
    }
}

impl Api {
    /// Forty-one pitches by one creator.
    fn new() -> Self {
        let (store, clock, readiness) = (
            MemStore::default(),
            ManualClock::new(),
            Readiness::default(),
        );
        let ann = mem::creator(1, "ann");
        for n in 0..40_u32 {
            let mut pitch = mem::pitch(u128::from(n) + 100, &format!("Film {n}"), &ann);
            pitch.detail.card.published_at += time::Duration::minutes(i64::from(n));
            pitch.detail.card.genres = vec![if n % 2 == 0 {
                Genre::Western
            } else {
                Genre::Noir
            }];
            pitch.detail.synopsis = "A long story. ".repeat(100);
            store.add_pitch(pitch);
        }
        store.add_pitch(mem::pitch(500, "Casablanca", &ann));
        store.add_user(ann);
        let key = CursorKey::new(&[7; 32]).expect("32 bytes are enough");
        let state = ApiState::new(store.clone(), clock.clone(), key, readiness.clone(), "test");
        Self {
            store,
            clock,
            readiness,
            router: router(state),
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("the router is infallible");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a body in memory")
            .to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, target: &str) -> Answer {
        self.get_with(target, &[]).await
    }

    async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }
}

fn detail_of(id: u128) -> String {
    format!("/api/pitches/{}", uuid::Uuid::from_u128(id))
}

/// Every documented endpoint with its parameters, with good values in the path.
fn endpoints() -> Vec<(String, Vec<String>)> {
    let document = serde_json::to_value(openapi()).expect("a document is JSON");
    let paths = document["paths"].as_object().expect("it has paths").clone();
    paths
        .into_iter()
        .map(|(path, item)| {
            let parameters = item["get"]["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let names = parameters.iter().filter(|p| p["in"] == "query");
            let names = names
                .filter_map(|p| p["name"].as_str().map(str::to_owned))
                .collect();
            let path = path
                .replace("{id}", &uuid::Uuid::from_u128(100).to_string())
                .replace("{username}", "ann");
            (path, names)
        })
        .collect()
}

/// The same address with what it requires.
fn complete(path: &str) -> String {
    if path == "/api/search" {
        format!("{path}?q=film")
    } else {
        path.to_owned()
    }
}

fn with(path: &str, query: &str) -> String {
    let complete = complete(path);
    format!(
        "{complete}{}{query}",
        if complete.contains('?') { '&' } else { '?' }
    )
}

#[tokio::test]
async fn every_documented_endpoint_answers_and_is_registered() {
    let api = Api::new();
    for (path, _) in endpoints() {
        let answer = api.get(&complete(&path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn every_documented_parameter_is_read() {
    let api = Api::new();
    for (path, names) in endpoints() {
        for name in names {
            // No parameter takes a control character, so whoever reads it complains about it by name.
            let target = if name == "q" {
                format!("{path}?q=%00")
            } else {
                with(&path, &format!("{name}=%00"))
            };
            let answer = api.get(&target).await;
            let summary = answer.summary();
            if name == "cursor" && summary.contains("invalid-cursor") {
                continue;
            }
            assert!(
                summary.starts_with(&format!("400 invalid-parameter /query/{name} ")),
                "{target}: {summary}"
            );
            assert!(
                !summary.contains("unknown_parameter"),
                "{target}: {summary}"
            );
        }
    }
}

#[tokio::test]
async fn bad_input_to_every_endpoint_is_the_right_problem() {
    let api = Api::new();
    let mut report = String::new();
    for (path, names) in endpoints() {
        let _ = writeln!(report, "{path}");
        let mut tricks: Vec<(String, String)> = vec![
            ("unknown parameter".into(), with(&path, "nope=1")),
            ("malformed escape".into(), with(&path, "x=%zz")),
            ("not UTF-8".into(), with(&path, "x=%ff")),
            ("NUL in a name".into(), with(&path, "a%00b=1")),
            (
                "too many parameters".into(),
                with(&path, &"a=1&".repeat(40)),
            ),
            (
                "over-long".into(),
                with(&path, &format!("x={}", "y".repeat(5000))),
            ),
            ("no such page below".into(), format!("{path}/nope")),
        ];
        for name in &names {
            if name != "q" {
                tricks.push((
                    format!("{name} twice"),
                    with(&path, &format!("{name}=1&{name}=1")),
                ));
            }
            let bad: &[&str] = match name.as_str() {
                "limit" => &["0", "101", "-1", "1.5", "ten", "99999999999999999999", ""],
                "cursor" => &[
                    "x",
                    "",
                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                    "%00",
                ],
                "fields" => &["", "nope", "id,,title", "id.x", "creator.email", "%00"],
                "genre" | "format" | "stage" | "sort" => {
                    &["", "nope", "Western", "%00", "western%20"]
                }
                "creator" => &["", "A", "a%20b", "-", "%00"],
                "q" => &["", "%20", "a%00b", "%1b"],
                other => panic!("no bad values for {other}: add some"),
            };
            for value in bad {
                let target = if name == "q" {
                    format!("{path}?q={value}")
                } else {
                    with(&path, &format!("{name}={value}"))
                };
                tricks.push((format!("{name}={value}"), target));
            }
        }
        if names.iter().any(|name| name == "q") {
            tricks.push(("q missing".into(), path.clone()));
            tricks.push((
                "q too long".into(),
                format!("{path}?q={}", "é".repeat(201).replace('é', "%C3%A9")),
            ));
        }
        for (trick, target) in tricks {
            let answer = api.get(&target).await;
            assert!(!answer.status.is_server_error(), "{target}");
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{target}"
            );
            assert_eq!(answer.header("cache-control"), "no-store", "{target}");
            let _ = writeln!(report, "  {trick}: {}", answer.summary());
        }
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            let request = Request::builder()
                .method(&method)
                .uri(complete(&path))
                .body(Body::empty());
            let answer = api.send(request.expect("a request")).await;
            let _ = writeln!(
                report,
                "  {method}: {} allow {}",
                answer.summary(),
                answer.header("allow")
            );
        }
    }
    for target in [
        "/api/pitches/1",
        "/api/pitches/00000000-0000-0000-0000-00000000006A",
        "/api/pitches/%00",
        "/api/pitches/%ff",
        "/api/pitches/{00000000-0000-0000-0000-000000000064}",
        "/api/users/%00",
        "/api/users/Ann",
        "/api/users/nobody",
        "/api/nope",
        "/",
        "//",
        "/api/pitches/",
        "/problems/nope",
    ] {
        let answer = api
            .get(&target.replace('{', "%7B").replace('}', "%7D"))
            .await;
        let _ = writeln!(report, "{target}: {}", answer.summary());
    }
    insta::assert_snapshot!(report);
}

#[tokio::test]
async fn a_problem_document_is_whole() {
    let api = Api::new();
    let mut request = Request::get("/api/pitches?limit=0&genre=opera")
        .body(Body::empty())
        .expect("a request");
    request
        .extensions_mut()
        .insert(RequestId("req-1".to_owned()));
    insta::assert_json_snapshot!(api.send(request).await.json());
}

#[tokio::test]
async fn pages_go_to_the_end_and_cursors_are_bound_to_their_list() {
    let api = Api::new();
    for sort in Sort::ALL {
        let mut seen = BTreeSet::new();
        let mut target = format!("/api/pitches?genre=western&limit=7&sort={sort}");
        let mut pages = 0;
        loop {
            let page = api.get(&target).await.json();
            for item in page["items"].as_array().expect("items") {
                assert!(seen.insert(item["id"].to_string()), "an entry came twice");
            }
            pages += 1;
            let Some(cursor) = page["next_cursor"].as_str() else {
                break;
            };
            target = format!("/api/pitches?genre=western&limit=7&sort={sort}&cursor={cursor}");
            let foreign = api
                .get(&format!(
                    "/api/pitches?genre=noir&limit=7&sort={sort}&cursor={cursor}"
                ))
                .await;
            assert_eq!(foreign.summary(), "400 invalid-cursor");
            assert!(pages < 10, "pages go on for ever");
        }
        assert_eq!((seen.len(), pages), (20, 3));
    }
}

#[tokio::test]
async fn fields_limit_what_is_sent() {
    let api = Api::new();
    let page = api
        .get("/api/pitches?limit=1&fields=title,creator.username")
        .await
        .json();
    insta::assert_json_snapshot!(page["items"], @r#"
    [
      {
        "creator": {
          "username": "ann"
        },
        "title": "Film 39"
      }
    ]
    "#);
}

#[tokio::test]
async fn representations_are_as_documented() {
    let api = Api::new();
    insta::assert_json_snapshot!("pitch_list", api.get("/api/pitches?limit=2").await.json());
    insta::assert_json_snapshot!("pitch", api.get(&detail_of(500)).await.json());
    insta::assert_json_snapshot!("search", api.get("/api/search?q=casablnca").await.json());
    insta::assert_json_snapshot!("profile", api.get("/api/users/ann").await.json());
    insta::assert_json_snapshot!("health", api.get("/api/health").await.json());
    insta::assert_json_snapshot!("openapi", api.get("/api/openapi.json").await.json());
}

#[tokio::test]
async fn a_known_representation_is_not_sent_again() {
    let api = Api::new();
    let target = detail_of(100);
    for encoding in ["identity", "gzip", "br"] {
        let first = api
            .get_with(&target, &[("accept-encoding", encoding)])
            .await;
        let tag = first.header("etag").to_owned();
        assert!(
            tag.starts_with('"') && tag.len() > 20,
            "a strong tag, not {tag:?}"
        );
        for condition in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            let again = api
                .get_with(
                    &target,
                    &[("accept-encoding", encoding), ("if-none-match", &condition)],
                )
                .await;
            assert_eq!(
                (again.status, again.body.len()),
                (StatusCode::NOT_MODIFIED, 0),
                "{condition}"
            );
            assert_eq!(again.header("etag"), tag);
            assert_eq!(again.header("cache-control"), "public, max-age=60");
            assert_eq!(again.header("vary"), "accept-encoding");
        }
        let other = api
            .get_with(
                &target,
                &[
                    ("accept-encoding", encoding),
                    ("if-none-match", "\"other\""),
                ],
            )
            .await;
        assert_eq!(other.status, StatusCode::OK);
        let failed = api.get_with(&target, &[("if-match", "\"other\"")]).await;
        assert_eq!(failed.summary(), "412 precondition-failed");
        let passed = api.get_with(&target, &[("if-match", &tag)]).await;
        assert_eq!(passed.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn each_coding_has_its_own_tag_and_decodes_to_the_same() {
    use std::io::Read as _;
    let api = Api::new();
    let target = detail_of(100);
    let plain = api.get(&target).await;
    let gzip = api.get_with(&target, &[("accept-encoding", "gzip")]).await;
    let brotli = api
        .get_with(&target, &[("accept-encoding", "gzip, br")])
        .await;
    let tags: BTreeSet<&str> = [&plain, &gzip, &brotli]
        .map(|answer| answer.header("etag"))
        .into();
    assert_eq!(tags.len(), 3);
    let mut decoded = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..])
        .read_to_end(&mut decoded)
        .expect("gzip");
    assert_eq!(decoded, plain.body);
    decoded.clear();
    brotli::Decompressor::new(&brotli.body[..], 4096)
        .read_to_end(&mut decoded)
        .expect("brotli");
    assert_eq!(decoded, plain.body);
    assert_eq!(brotli.header("content-encoding"), "br");
    assert_eq!(
        brotli.header("content-length"),
        brotli.body.len().to_string()
    );
}

#[tokio::test]
async fn small_and_private_answers_are_not_compressed() {
    let api = Api::new();
    for target in ["/api/users/ann", "/api/health"] {
        let answer = api.get_with(target, &[("accept-encoding", "br")]).await;
        assert_eq!(answer.header("content-encoding"), "", "{target}");
    }
    assert_eq!(
        api.get("/api/health").await.header("cache-control"),
        "private, no-store"
    );
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Api::new();
    let get = api.get(&detail_of(100)).await;
    let head = api
        .send(
            Request::head(detail_of(100))
                .body(Body::empty())
                .expect("a request"),
        )
        .await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    assert_eq!(head.header("etag"), get.header("etag"));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
}

#[tokio::test]
async fn an_outage_is_503_with_retry_after_and_a_fault_is_500_without_its_cause() {
    let api = Api::new();
    for (path, _) in endpoints()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("/api/health"))
    {
        for outage in [Outage::Unavailable, Outage::Timeout] {
            api.store.set_outage(Some(outage));
            let answer = api.get(&complete(&path)).await;
            assert_eq!(
                (answer.summary().as_str(), answer.header("retry-after")),
                ("503 unavailable", "1"),
                "{path}"
            );
        }
        api.store.set_outage(Some(Outage::Internal));
        let answer = api.get(&complete(&path)).await;
        assert_eq!(answer.summary(), "500 internal", "{path}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("an outage in a test"));
    }
}

#[tokio::test]
async fn health_tells_without_asking_each_time() {
    let api = Api::new();
    let database = async || {
        api.get("/api/health").await.json()["database"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(database().await.as_deref(), Some("ok"));
    api.store.set_outage(Some(Outage::Unavailable));
    assert_eq!(database().await.as_deref(), Some("ok"), "it is remembered");
    assert_eq!(
        api.get("/api/health/ready").await.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "readiness asks"
    );
    api.clock.advance(Duration::from_secs(10));
    assert_eq!(database().await.as_deref(), Some("down"));
    api.store.set_outage(None);
    api.clock.advance(Duration::from_secs(1));
    assert_eq!(
        database().await.as_deref(),
        Some("ok"),
        "a recovery is seen sooner"
    );
    assert_eq!(api.get("/api/health/live").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_draining_process_is_alive_but_not_ready() {
    let api = Api::new();
    assert_eq!(api.get("/api/health/ready").await.status, StatusCode::OK);
    api.readiness.drain();
    assert_eq!(
        api.get("/api/health/ready").await.summary(),
        "503 unavailable"
    );
    assert_eq!(api.get("/api/health/live").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_problem_is_documented_at_its_address() {
    let api = Api::new();
    for kind in Kind::ALL {
        let answer = api.get(&format!("/problems/{}", kind.slug())).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(String::from_utf8_lossy(&answer.body).contains(kind.title()));
        assert!(
            answer
                .header(header::CONTENT_TYPE.as_str())
                .starts_with("text/html")
        );
    }
}

#[cfg(feature = "docs")]
#[tokio::test]
async fn the_documentation_needs_no_other_host() {
    let api = Api::new();
    let index = api.get("/api/docs/").await;
    assert_eq!(index.status, StatusCode::OK);
    let html = String::from_utf8_lossy(&index.body).into_owned();
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "{html}"
    );
    for asset in html
        .split(['"', '\''])
        .filter(|piece| [".js", ".css"].iter().any(|ending| piece.ends_with(ending)))
    {
        let answer = api
            .get(&format!("/api/docs/{}", asset.trim_start_matches("./")))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{asset}");
    }
}
