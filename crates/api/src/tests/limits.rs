//! How often clients may ask.

use super::support::{Answer, Api, PASSWORD, Who};
use crate::{ClientAddress, LimitSettings};
use axum::body::Body;
use http::{Method, Request};
use pitchey_resilience::Quota;
use serde_json::json;
use std::num::NonZeroU32;
use std::time::Duration;

fn quota(burst: u32) -> Option<Quota> {
    NonZeroU32::new(burst).map(|burst| Quota::new(burst, Duration::from_secs(10)))
}

async fn limited(change: impl FnOnce(&mut LimitSettings)) -> Api {
    let none = LimitSettings {
        read: None,
        search: None,
        write: None,
        auth: None,
        account: None,
        account_total: None,
        beacon: None,
    };
    Api::limited(none, change).await
}

async fn login(api: &Api, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    api.post(Who::Nobody, "/api/auth/login", &body).await
}

#[tokio::test]
async fn a_client_is_told_where_it_stands_and_when_to_come_back() {
    let api = limited(|limits| limits.auth = quota(2)).await;
    let first = login(&api, "ann@example.org", PASSWORD).await;
    assert_eq!(first.header("ratelimit-policy"), "\"auth\";q=2;w=20");
    assert_eq!(first.header("ratelimit"), "\"auth\";r=1;t=10");
    login(&api, "ann@example.org", PASSWORD).await;
    let third = login(&api, "ann@example.org", PASSWORD).await;
    assert_eq!(third.summary(), "429 too-many-requests");
    assert_eq!(third.header("retry-after"), "10");
    assert_eq!(third.header("ratelimit"), "\"auth\";r=0;t=20");
    assert_eq!(third.header("cache-control"), "no-store");
    assert_eq!(
        api.get("/api/pitches").await.status.as_u16(),
        200,
        "another class"
    );
    api.clock.advance(Duration::from_secs(10));
    assert_eq!(
        login(&api, "ann@example.org", PASSWORD)
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn each_address_has_its_own_quota() {
    let api = limited(|limits| limits.read = quota(1)).await;
    let from = async |address: [u8; 4]| {
        let mut request = Request::get("/api/health/live")
            .body(Body::empty())
            .expect("a request");
        request
            .extensions_mut()
            .insert(ClientAddress(address.into()));
        api.send(request).await.status.as_u16()
    };
    assert_eq!(from([192, 0, 2, 1]).await, 200);
    assert_eq!(from([192, 0, 2, 1]).await, 429);
    assert_eq!(from([192, 0, 2, 2]).await, 200);
}

#[tokio::test]
async fn an_account_is_tried_only_so_often_whether_it_exists_or_not() {
    let api = limited(|limits| limits.account = quota(3)).await;
    for email in ["ann@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            assert_eq!(
                login(&api, email, "wrong").await.summary(),
                "401 wrong-credentials"
            );
        }
        assert_eq!(
            login(&api, email, PASSWORD).await.summary(),
            "429 too-many-requests",
            "{email}"
        );
    }
    assert_eq!(
        login(&api, "bob@example.org", PASSWORD)
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn who_tries_somebodys_account_too_often_does_not_keep_them_out() {
    let api = limited(|limits| {
        limits.account = quota(3);
        limits.account_total = quota(5);
    })
    .await;
    let from = async |address: [u8; 4], password: &str| {
        let body = json!({"email": "ann@example.org", "password": password});
        let mut request = Request::post("/api/auth/login")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        request
            .extensions_mut()
            .insert(ClientAddress(address.into()));
        api.send(request).await.status.as_u16()
    };
    for expected in [401, 401, 401, 429, 429, 429] {
        assert_eq!(from([192, 0, 2, 66], "wrong").await, expected);
    }
    assert_eq!(from([192, 0, 2, 1], PASSWORD).await, 200, "its owner");
    assert_eq!(from([192, 0, 2, 67], "wrong").await, 401);
    assert_eq!(from([192, 0, 2, 68], "wrong").await, 429, "five in all");
}

#[tokio::test]
async fn changes_are_counted_by_account() {
    let api = limited(|limits| limits.write = quota(1)).await;
    let read = "/api/notifications/read";
    let first = api.post(Who::Ann, read, &json!({})).await;
    assert_eq!(first.header("ratelimit"), "\"write\";r=0;t=10");
    assert_eq!(
        api.post(Who::Ann, read, &json!({})).await.summary(),
        "429 too-many-requests"
    );
    assert_eq!(
        api.post(Who::Bob, read, &json!({})).await.status.as_u16(),
        200,
        "same address"
    );
}

#[tokio::test]
async fn what_anyone_may_store_tells_nobodys_quota() {
    let api = limited(|limits| limits.search = quota(1)).await;
    let first = api.get("/api/search?q=film").await;
    assert_eq!(
        (first.status.as_u16(), first.header("ratelimit")),
        (200, "")
    );
    let second = api.get("/api/search?q=film").await;
    assert_eq!(second.summary(), "429 too-many-requests");
    assert_eq!(second.header("ratelimit"), "\"search\";r=0;t=10");
}

#[tokio::test]
async fn who_asks_too_often_learns_nothing_else() {
    let api = limited(|limits| limits.write = quota(1)).await;
    let target = "/api/me/pitches";
    for _ in 0..3 {
        let answer = api.ask(Who::Ann, Method::GET, target, &[], None).await;
        assert_eq!(answer.status.as_u16(), 200, "reading is another class");
    }
}
