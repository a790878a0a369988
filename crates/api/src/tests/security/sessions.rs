//! Sessions and the secrets behind them.

use super::{ask, text};
use crate::tests::roles::World;
use crate::tests::support::{Api, PASSWORD, Who, operations};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const ANN: &str = "ann@example.org";

/// Signs in and gives the token out of the cookie.
async fn token(api: &Api, headers: &[(&str, &str)]) -> String {
    let body = json!({"email": ANN, "password": PASSWORD});
    let answer = api
        .ask(
            Who::Nobody,
            Method::POST,
            "/api/auth/login",
            headers,
            Some(&body),
        )
        .await;
    let cookie = answer.session_cookie().expect("it signs in");
    cookie
        .split_once('=')
        .expect("a name and a value")
        .1
        .to_owned()
}

async fn signed_in(api: &Api, target: &str, headers: &[(&str, &str)]) -> bool {
    let answer = api
        .ask(Who::Nobody, Method::GET, target, headers, None)
        .await;
    answer.json()["session"].is_object()
}

#[tokio::test]
async fn a_session_token_is_256_random_bits_and_comes_once() {
    let api = Api::new().await;
    let mut seen = BTreeSet::new();
    let (mut ones, mut zeros) = ([0_u8; 32], [0_u8; 32]);
    for _ in 0..100 {
        let bytes = URL_SAFE_NO_PAD
            .decode(token(&api, &[]).await)
            .expect("base64url");
        assert_eq!(bytes.len(), 32);
        for (at, byte) in bytes.iter().enumerate() {
            ones[at] |= byte;
            zeros[at] |= !byte;
        }
        assert!(seen.insert(bytes), "a token came twice");
    }
    assert_eq!(
        (ones, zeros),
        ([0xff; 32], [0xff; 32]),
        "a bit stands still"
    );
}

#[tokio::test]
async fn a_session_token_is_sent_and_taken_in_its_cookie_alone() {
    let api = Api::new().await;
    let body = json!({"email": ANN, "password": PASSWORD});
    let answer = api.post(Who::Nobody, "/api/auth/login", &body).await;
    let cookie = answer.session_cookie().expect("it signs in");
    let token = cookie.split_once('=').expect("a value").1;
    assert!(!text(&answer).contains(token));
    for (name, value) in &answer.headers {
        let told = String::from_utf8_lossy(value.as_bytes()).contains(token);
        assert_eq!(told, name == "set-cookie", "{name}");
    }
    let ours = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    for target in ["/api/auth/session", "/api/auth/sessions", "/api/me"] {
        let read = api.ask(Who::Nobody, Method::GET, target, &ours, None).await;
        assert_eq!(read.status.as_u16(), 200);
        assert!(!text(&read).contains(token), "{target}");
    }

    assert!(signed_in(&api, "/api/auth/session", &ours).await);
    let bearer = format!("Bearer {token}");
    let other = format!("session={token}");
    for headers in [
        ("authorization", bearer.as_str()),
        ("x-session", token),
        ("cookie", other.as_str()),
    ] {
        assert!(
            !signed_in(&api, "/api/auth/session", &[headers]).await,
            "{headers:?}"
        );
    }
    for name in ["session", "token", "__Host-session"] {
        let target = format!("/api/auth/session?{name}={token}");
        let refused = api.get(&target).await;
        assert_eq!(refused.status.as_u16(), 400, "{target}");
        assert!(
            !text(&refused).contains(token),
            "a refusal repeats the token"
        );
    }
}

#[tokio::test]
async fn a_session_is_never_one_that_the_client_chose() {
    let api = Api::new().await;
    let chosen = URL_SAFE_NO_PAD.encode([42; 32]);
    let cookie = format!("__Host-session={chosen}");
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_ne!(token(&api, &headers).await, chosen);
    assert!(!signed_in(&api, "/api/auth/session", &headers).await);
}

#[tokio::test]
async fn sessions_begin_where_a_password_is_given_and_nowhere_else() {
    let mut begin = BTreeSet::new();
    for operation in operations() {
        for who in Who::ALL {
            let answer = ask(&World::new().await, who, &operation).await;
            let cookie = answer.session_cookie();
            if cookie.is_some_and(|cookie| cookie != "__Host-session=") {
                begin.insert(operation.path.clone());
            }
        }
    }
    let begin: Vec<&str> = begin.iter().map(String::as_str).collect();
    assert_eq!(
        begin,
        [
            "/api/auth/login",
            "/api/auth/password",
            "/api/auth/register"
        ]
    );
}

#[tokio::test]
async fn what_one_signs_in_with_is_not_changed_without_the_password() {
    let api = Api::new().await;
    let me = async |body: &Value| {
        let headers = [("if-match", "*")];
        api.ask(Who::Ann, Method::PATCH, "/api/me", &headers, Some(body))
            .await
    };
    for name in ["email", "password", "username"] {
        let answer = me(&json!({name: "eve@example.org"})).await;
        let expected = format!("422 invalid-content /{name} unknown_field");
        assert_eq!(answer.summary(), expected);
    }
    let without = json!({"new_password": "correct horse battery"});
    let answer = api.post(Who::Ann, "/api/auth/password", &without).await;
    assert_eq!(
        answer.summary(),
        "422 invalid-content /current_password missing"
    );
    token(&api, &[]).await;
}

#[tokio::test]
async fn a_password_does_not_expire() {
    let api = Api::new().await;
    api.clock.advance(Duration::from_hours(24 * 365 * 10));
    token(&api, &[]).await;
}
