//! The public reads, good input and bad.

use super::support::{Api, detail_of};
use crate::RequestId;
use crate::problem::Kind;
use axum::body::Body;
use http::{Request, StatusCode, header};
use pitchey_model::Sort;
use pitchey_store::mem::Outage;
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn a_problem_document_is_whole() {
    let api = Api::new().await;
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
    let api = Api::new().await;
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
    let api = Api::new().await;
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
    let api = Api::new().await;
    insta::assert_json_snapshot!("pitch_list", api.get("/api/pitches?limit=2").await.json());
    insta::assert_json_snapshot!("pitch", api.get(&detail_of(500)).await.json());
    insta::assert_json_snapshot!("search", api.get("/api/search?q=casablnca").await.json());
    insta::assert_json_snapshot!("profile", api.get("/api/users/ann").await.json());
    insta::assert_json_snapshot!("health", api.get("/api/health").await.json());
    insta::assert_json_snapshot!("openapi", api.get("/api/openapi.json").await.json());
}

#[tokio::test]
async fn a_known_representation_is_not_sent_again() {
    let api = Api::new().await;
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
    let api = Api::new().await;
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
    let api = Api::new().await;
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
    let api = Api::new().await;
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
async fn health_tells_without_asking_each_time() {
    let api = Api::new().await;
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
    let api = Api::new().await;
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
    let api = Api::new().await;
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
    let api = Api::new().await;
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

#[tokio::test]
async fn every_reference_in_the_documentation_leads_somewhere_and_words_are_as_they_are_sent() {
    fn references(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(serde_json::Value::as_str) {
                    found.insert(reference.to_owned());
                }
                object.values().for_each(|inner| references(inner, found));
            }
            serde_json::Value::Array(array) => {
                for inner in array {
                    references(inner, found);
                }
            }
            _ => {}
        }
    }
    let document = Api::new().await.get("/api/openapi.json").await.json();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let words = &document["components"]["schemas"]["Format"]["enum"];
    let sent: Vec<_> = pitchey_model::Format::ALL
        .iter()
        .map(|format| serde_json::json!(format))
        .collect();
    assert_eq!(words.as_array(), Some(&sent));
}
