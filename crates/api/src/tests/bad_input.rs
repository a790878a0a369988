//! Bad input to every endpoint: the right problem each time.

use super::roles::body;
use super::support::{Api, Operation, Who, operations};
use axum::body::Body;
use http::{Method, Request, StatusCode};
use pitchey_store::mem::Outage;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The address of an operation with good values in the path.
fn path(operation: &Operation) -> String {
    operation
        .path
        .replace("{id}", &uuid::Uuid::from_u128(100).to_string())
        .replace("{username}", "ann")
        .replace("{key}", "pitch_list:%2Fapi%2Fpitches")
}

/// The same with what its query must have.
fn complete(operation: &Operation) -> String {
    let path = path(operation);
    match operation.path.as_str() {
        "/api/search" => format!("{path}?q=film"),
        "/api/ndas" | "/api/interests" => format!("{path}?side=incoming"),
        _ => path,
    }
}

fn with(operation: &Operation, query: &str) -> String {
    let complete = complete(operation);
    let mark = if complete.contains('?') { '&' } else { '?' };
    format!("{complete}{mark}{query}")
}

fn headers(operation: &Operation) -> &'static [(&'static str, &'static str)] {
    if operation.needs_if_match {
        &[("if-match", "*")]
    } else {
        &[]
    }
}

/// One who may.
fn who(operation: &Operation) -> Who {
    if operation.path.starts_with("/api/cache/") {
        Who::Ada
    } else {
        Who::Ann
    }
}

async fn ask(api: &Api, operation: &Operation, target: &str) -> super::support::Answer {
    let method = operation.method.clone();
    let body = body(operation);
    api.ask(
        who(operation),
        method,
        target,
        headers(operation),
        body.as_ref(),
    )
    .await
}

#[tokio::test]
async fn every_documented_parameter_is_read() {
    let api = Api::new().await;
    for operation in operations() {
        for name in &operation.query {
            // No parameter takes a control character, so whoever reads it complains about it by name.
            let target = if ["q", "side"].contains(&name.as_str()) {
                format!("{}?{name}=%00", path(&operation))
            } else {
                with(&operation, &format!("{name}=%00"))
            };
            let summary = ask(&api, &operation, &target).await.summary();
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
    let api = Api::new().await;
    let mut report = String::new();
    for operation in operations() {
        let _ = writeln!(report, "{} {}", operation.method, operation.path);
        let mut tricks: Vec<(String, String)> = vec![
            ("unknown parameter".into(), with(&operation, "nope=1")),
            ("malformed escape".into(), with(&operation, "x=%zz")),
            ("not UTF-8".into(), with(&operation, "x=%ff")),
            ("NUL in a name".into(), with(&operation, "a%00b=1")),
            (
                "too many parameters".into(),
                with(&operation, &"a=1&".repeat(40)),
            ),
            (
                "over-long".into(),
                with(&operation, &format!("x={}", "y".repeat(5000))),
            ),
            (
                "no such page below".into(),
                format!("{}/nope/nope", path(&operation)),
            ),
        ];
        for name in &operation.query {
            let required = ["q", "side"].contains(&name.as_str());
            if !required {
                let twice = with(&operation, &format!("{name}=1&{name}=1"));
                tricks.push((format!("{name} twice"), twice));
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
                "genre" | "format" | "stage" | "sort" | "side" => {
                    &["", "nope", "Western", "%00", "western%20"]
                }
                "creator" => &["", "A", "a%20b", "-", "%00"],
                "q" => &["", "%20", "a%00b", "%1b"],
                other => panic!("no bad values for {other}: add some"),
            };
            for value in bad {
                let target = if required {
                    format!("{}?{name}={value}", path(&operation))
                } else {
                    with(&operation, &format!("{name}={value}"))
                };
                tricks.push((format!("{name}={value}"), target));
            }
            if required {
                tricks.push((format!("{name} missing"), path(&operation)));
            }
            if name == "q" {
                let long = "é".repeat(201).replace('é', "%C3%A9");
                tricks.push((
                    "q too long".into(),
                    format!("{}?q={long}", path(&operation)),
                ));
            }
        }
        for (trick, target) in tricks {
            let answer = ask(&api, &operation, &target).await;
            assert!(!answer.status.is_server_error(), "{target}");
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{target}"
            );
            assert_eq!(answer.header("cache-control"), "no-store", "{target}");
            let _ = writeln!(report, "  {trick}: {}", answer.summary());
        }
        bodies(&api, &operation, &mut report).await;
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

/// Bad bodies to an operation that takes one.
async fn bodies(api: &Api, operation: &Operation, report: &mut String) {
    if operation.method == Method::GET {
        return;
    }
    let send = async |kind: Option<&str>, body: Vec<u8>| {
        let mut request = Request::builder()
            .method(operation.method.clone())
            .uri(complete(operation))
            .header("cookie", who(operation).cookie().unwrap_or_default())
            .header("sec-fetch-site", "same-origin");
        for (name, value) in headers(operation) {
            request = request.header(*name, *value);
        }
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        api.send(request.body(Body::from(body)).expect("a request"))
            .await
    };
    let json = Some("application/json");
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let tricks: [(&str, Option<&str>, Vec<u8>); 9] = [
        ("no type", None, b"{}".to_vec()),
        (
            "a form",
            Some("application/x-www-form-urlencoded"),
            b"a=b".to_vec(),
        ),
        ("cut off", json, b"{\"a\"".to_vec()),
        ("not UTF-8", json, b"{\"\xff\":1}".to_vec()),
        ("too deep", json, deep.into_bytes()),
        ("an array", json, b"[]".to_vec()),
        ("null", json, b"null".to_vec()),
        ("unknown field", json, b"{\"nope\":1}".to_vec()),
        ("trailing", json, b"{}{}".to_vec()),
    ];
    for (trick, kind, body) in tricks {
        let answer = send(kind, body).await;
        assert!(answer.status.is_client_error(), "{operation:?} {trick}");
        let _ = writeln!(report, "  body, {trick}: {}", answer.summary());
    }
    // Every field of a good body in the wrong type, all at once.
    if let Some(Value::Object(good)) = body(operation) {
        let wrong: Value = good
            .keys()
            .map(|name| (name.clone(), json!([[]])))
            .collect();
        let answer = send(json, wrong.to_string().into_bytes()).await;
        let _ = writeln!(report, "  body, wrong types: {}", answer.summary());
        let nulls: Value = good
            .keys()
            .map(|name| (name.clone(), Value::Null))
            .collect();
        let answer = send(json, nulls.to_string().into_bytes()).await;
        let _ = writeln!(report, "  body, nulls: {}", answer.summary());
    }
}

#[tokio::test]
async fn an_address_names_the_methods_it_has() {
    let api = Api::new().await;
    let mut report = String::new();
    let mut paths: Vec<Operation> = operations();
    paths.dedup_by(|a, b| a.path == b.path);
    for operation in paths {
        let request = Request::builder()
            .method(Method::TRACE)
            .uri(complete(&operation))
            .body(Body::empty());
        let answer = api.send(request.expect("a request")).await;
        assert_eq!(answer.summary(), "405 method-not-allowed", "{operation:?}");
        let _ = writeln!(report, "{}: {}", operation.path, answer.header("allow"));
    }
    insta::assert_snapshot!(report);
}

#[tokio::test]
async fn an_outage_is_503_with_retry_after_and_a_fault_is_500_without_its_cause() {
    let api = Api::new().await;
    // What needs no store works without it.
    let indifferent = ["/api/health", "/api/health/live", "/api/analytics/rum"];
    for operation in operations() {
        if indifferent.contains(&operation.path.as_str()) {
            continue;
        }
        for outage in [Outage::Unavailable, Outage::Timeout] {
            api.store.set_outage(Some(outage));
            let answer = ask(&api, &operation, &complete(&operation)).await;
            assert_eq!(
                (answer.summary().as_str(), answer.header("retry-after")),
                ("503 unavailable", "1"),
                "{operation:?}"
            );
        }
        api.store.set_outage(Some(Outage::Internal));
        let answer = ask(&api, &operation, &complete(&operation)).await;
        assert_eq!(answer.summary(), "500 internal", "{operation:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("an outage in a test"));
    }
    api.store.set_outage(None);
    assert_eq!(api.get("/api/pitches").await.status, StatusCode::OK);
}
