//! Input that pretends to be something else.

use super::text;
use crate::tests::roles::World;
use crate::tests::support::{Answer, Api, Who, detail_of};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

/// What belongs to the server in one thing or another.
const NOT_ONES_OWN: [&str; 20] = [
    "id",
    "user_id",
    "creator_id",
    "requester_id",
    "investor_id",
    "status",
    "version",
    "created_at",
    "updated_at",
    "published_at",
    "approved_at",
    "decided_at",
    "view_count",
    "views",
    "is_admin",
    "locked",
    "permissions",
    "password_hash",
    "session_id",
    "__proto__",
];

async fn patch(api: &Api, who: Who, target: &str, body: &Value) -> Answer {
    let headers = [("if-match", "*")];
    api.ask(who, Method::PATCH, target, &headers, Some(body))
        .await
}

#[tokio::test]
async fn what_is_not_ones_own_to_set_is_refused_by_name() {
    let world = World::new().await;
    let api = &world.api;
    let pitch = format!("/api/pitches/{}", world.pitch);
    let before = api
        .ask(Who::Ann, Method::GET, &format!("{pitch}/full"), &[], None)
        .await;
    let begin = json!({"title": "Another", "format": "short"});
    let offer = json!({"amount": {"amount": 5, "currency": "USD"}});
    let register = json!({
        "email": "eve@example.org", "username": "eve", "password": "correct horse battery", "role": "investor",
    });
    for name in NOT_ONES_OWN.into_iter().chain(["role"]) {
        let with = |good: &Value| {
            let mut body = good.clone();
            body[name] = json!("admin");
            body
        };
        let none = json!({});
        let mut answers = vec![
            patch(api, Who::Ann, "/api/me", &with(&none)).await,
            api.post(Who::Ann, "/api/pitches", &with(&begin)).await,
            patch(api, Who::Ann, &pitch, &with(&none)).await,
            api.post(Who::Pia, &format!("{pitch}/interests"), &with(&offer))
                .await,
            api.post(Who::Pia, &format!("{pitch}/ndas"), &with(&none))
                .await,
            api.ask(
                Who::Ann,
                Method::POST,
                &format!("/api/ndas/{}/approve", world.asked),
                &[("if-match", "*")],
                Some(&with(&none)),
            )
            .await,
        ];
        let expected = if name == "role" {
            let made = api
                .post(Who::Nobody, "/api/auth/register", &with(&register))
                .await;
            assert_eq!(made.summary(), "422 invalid-content /role unknown_value");
            "422 invalid-content /role unknown_field".to_owned()
        } else {
            answers.push(
                api.post(Who::Nobody, "/api/auth/register", &with(&register))
                    .await,
            );
            format!("422 invalid-content /{name} unknown_field")
        };
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(answer.summary(), expected, "{n}");
        }
    }
    let after = api
        .ask(Who::Ann, Method::GET, &format!("{pitch}/full"), &[], None)
        .await;
    assert_eq!(text(&before), text(&after));
    assert_eq!(api.get("/api/users/eve").await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_value_of_another_type_is_refused_and_never_converted() {
    let world = World::new().await;
    let api = &world.api;
    let interests = format!("/api/pitches/{}/interests", world.pitch);
    let strange = [
        json!("5"),
        json!(true),
        json!([5]),
        json!({"$gt": 0}),
        json!(5.5),
        Value::Null,
    ];
    for value in &strange {
        let body = json!({"amount": {"amount": value, "currency": "USD"}});
        let answer = api.post(Who::Pia, &interests, &body).await;
        assert_eq!(
            answer.summary(),
            "422 invalid-content /amount/amount type",
            "{value}"
        );
    }
    for value in [
        json!(5),
        json!(true),
        json!(["ann@example.org"]),
        json!({"$ne": null}),
        Value::Null,
    ] {
        let body = json!({"email": value, "password": value});
        let answer = api.post(Who::Nobody, "/api/auth/login", &body).await;
        assert_eq!(
            answer.summary(),
            "422 invalid-content /email type; /password type",
            "{value}"
        );
        let answer = patch(api, Who::Ann, "/api/me", &json!({"bio": value})).await;
        assert_eq!(answer.summary(), "422 invalid-content /bio type", "{value}");
    }
}

#[tokio::test]
async fn a_number_that_does_not_fit_is_refused_and_never_wraps() {
    let world = World::new().await;
    let api = &world.api;
    let interests = format!("/api/pitches/{}/interests", world.pitch);
    let send = async |who: Who, target: &str, body: String| {
        let request = Request::post(target)
            .header("content-type", "application/json")
            .header("cookie", who.cookie().unwrap_or_default())
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body));
        api.send(request.expect("a request")).await.status.as_u16()
    };
    for amount in [
        "0",
        "-1",
        "9007199254740992",
        "9223372036854775808",
        "18446744073709551617",
        "1e300",
        "1e-7",
        "-0.0",
    ] {
        let body = format!(r#"{{"amount": {{"amount": {amount}, "currency": "USD"}}}}"#);
        assert_eq!(send(Who::Pia, &interests, body).await, 422, "{amount}");
    }
    // What is 2031 in sixteen bits.
    for year in ["67567", "-63505", "4294969327"] {
        let body = format!(r#"{{"title": "T", "format": "short", "release_year": {year}}}"#);
        assert_eq!(send(Who::Ann, "/api/pitches", body).await, 422, "{year}");
    }
    for limit in ["4294967297", "18446744073709551617", "-1", "0x10"] {
        let answer = api.get(&format!("/api/pitches?limit={limit}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{limit}");
    }
    let huge = json!({"expires_in_days": i64::MAX});
    let approve = format!("/api/ndas/{}/approve", world.asked);
    let headers = [("if-match", "*")];
    let answer = api
        .ask(Who::Ann, Method::POST, &approve, &headers, Some(&huge))
        .await;
    assert_eq!(answer.status.as_u16(), 422);
}

#[tokio::test]
async fn a_parameter_twice_or_in_another_place_is_refused() {
    let api = Api::new().await;
    for target in [
        "/api/pitches?genre=western&genre=noir",
        "/api/pitches?genre=western&%67enre=noir",
        "/api/pitches?genre[]=western",
        "/api/search?q=film&q=casablanca",
        "/api/pitches?genre=western;genre=noir",
    ] {
        assert_eq!(api.get(target).await.status.as_u16(), 400, "{target}");
    }
    let body = json!({"email": "ann@example.org"});
    let answer = api
        .post(
            Who::Nobody,
            "/api/auth/login?password=a%20long%20and%20winding%20road",
            &body,
        )
        .await;
    assert_eq!(
        answer.summary(),
        "400 invalid-parameter /query/password unknown_parameter"
    );
    assert!(
        !text(&answer).contains("winding"),
        "a refusal repeats the secret"
    );
    for name in ["idempotency-key", "cookie"] {
        let mut request = Request::post("/api/pitches")
            .header("content-type", "application/json")
            .header("sec-fetch-site", "same-origin");
        for _ in 0..2 {
            request = request.header(
                name,
                if name == "cookie" {
                    Who::Ann.cookie().expect("a cookie")
                } else {
                    "k".to_owned()
                },
            );
        }
        if name != "cookie" {
            request = request.header("cookie", Who::Ann.cookie().expect("a cookie"));
        }
        let request = request.body(Body::from(r#"{"title":"T","format":"short"}"#));
        let answer = api.send(request.expect("a request")).await;
        let expected = if name == "cookie" { 401 } else { 400 };
        assert_eq!(answer.status.as_u16(), expected, "{name}");
    }
}

#[tokio::test]
async fn an_escape_is_undone_once() {
    let api = Api::new().await;
    assert_eq!(api.get("/api/users/%61nn").await.status.as_u16(), 200);
    for target in [
        "/api/users/%2561nn",
        "/api/users/a%2561nn",
        "/api/users/%2fann",
    ] {
        let status = api.get(target).await.status.as_u16();
        assert!([400, 404].contains(&status), "{target}: {status}");
    }
    assert_eq!(
        api.get("/api/pitches?genre=%2577estern").await.summary(),
        "400 invalid-parameter /query/genre unknown_value"
    );
    // Neither escapes of addresses nor those of HTML mean anything in a body.
    let body = json!({"title": "%3Cb%3E &lt;b&gt; \\u003cb\\u003e", "format": "short"});
    let made = api.post(Who::Ann, "/api/pitches", &body).await;
    assert_eq!(made.json()["title"], body["title"]);
}

#[tokio::test]
async fn markup_is_kept_as_it_was_written_and_sent_as_json() {
    let api = Api::new().await;
    let evil = "</script><img src=x onerror=\"alert('1')\"> {{7*7}} ${7*7} =cmd|' /C calc'!A0";
    let body = json!({"title": evil, "format": "short", "logline": evil, "full_synopsis": evil});
    let made = api.post(Who::Ann, "/api/pitches", &body).await;
    let path = made.header("location").to_owned();
    let read = api
        .ask(Who::Ann, Method::GET, &format!("{path}/full"), &[], None)
        .await;
    assert_eq!(read.header("content-type"), "application/json");
    for name in ["title", "logline", "full_synopsis"] {
        assert_eq!(read.json()[name], evil, "{name}");
    }
    // What is repeated of an address is quoted in JSON, too.
    let answer = api
        .get("/api/pitches?%22%3E%3Cscript%3E=1&genre=%22%7D%2C%22x%22%3A%22")
        .await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["status"], 400);
    assert_eq!(answer.json()["x"], Value::Null);
}

#[tokio::test]
async fn a_key_that_is_no_key_reaches_no_answer() {
    let api = Api::new().await;
    for bad in [
        b"k\xff".as_slice(),
        b"k\tk",
        "k\u{2028}".as_bytes(),
        b"k;q=1, k2",
        b"\"k\\\"\"",
        b" ",
    ] {
        let request = Request::post("/api/pitches")
            .header("content-type", "application/json")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", Who::Ann.cookie().expect("a cookie"))
            .header("idempotency-key", bad)
            .body(Body::from(r#"{"title":"T","format":"short"}"#));
        let answer = api.send(request.expect("a request")).await;
        assert_eq!(
            answer.summary(),
            "400 invalid-parameter /header/Idempotency-Key malformed",
            "{bad:?}"
        );
        for value in answer.headers.values() {
            assert_ne!(value.as_bytes(), bad);
        }
    }
    // A line break is no part of a header at all.
    http::HeaderValue::from_bytes(b"k\r\nset-cookie: a=b").expect_err("it is refused before");
    let read = api.get(&detail_of(500)).await;
    assert_eq!(read.header("idempotency-key"), "");
}
