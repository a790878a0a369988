//! Requests that are done once.

use super::support::{Answer, Api, Who};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn create(api: &Api, who: Who, key: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", key)];
    api.ask(who, Method::POST, "/api/pitches", &headers, Some(body))
        .await
}

async fn drafts(api: &Api, who: Who) -> usize {
    let list = api
        .ask(who, Method::GET, "/api/me/pitches?limit=100", &[], None)
        .await
        .json();
    list["items"].as_array().map_or(0, |items| {
        items
            .iter()
            .filter(|item| item["status"] == "draft")
            .count()
    })
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_answer_and_one_pitch() {
    let api = Api::new().await;
    let body = json!({"title": "Once", "format": "short"});
    let first = create(&api, Who::Ann, "k-1", &body).await;
    assert_eq!(first.status.as_u16(), 201);
    assert_eq!(first.header("idempotency-replayed"), "");
    for key in ["k-1", "\"k-1\""] {
        let again = create(&api, Who::Ann, key, &body).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        for name in ["location", "etag", "content-type"] {
            assert_eq!(again.header(name), first.header(name));
        }
    }
    assert_eq!(drafts(&api, Who::Ann).await, 1);

    let other = create(
        &api,
        Who::Ann,
        "k-1",
        &json!({"title": "Twice", "format": "short"}),
    )
    .await;
    assert_eq!(other.summary(), "422 idempotency-key-reused");
    let foreign = create(&api, Who::Bob, "k-1", &body).await;
    assert_ne!(foreign.body, first.body, "keys are each account's own");
    let new = create(&api, Who::Ann, "k-2", &body).await;
    assert_ne!(new.body, first.body);
    assert_eq!(drafts(&api, Who::Ann).await, 2);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day_and_a_refused_request_keeps_none() {
    let api = Api::new().await;
    let body = json!({"title": "Once", "format": "short"});
    let refused = create(&api, Who::Ivy, "k", &body).await;
    assert_eq!(refused.summary(), "403 forbidden");
    create(&api, Who::Ann, "k", &body).await;
    api.clock.advance(Duration::from_hours(24));
    let later = create(&api, Who::Ann, "k", &body).await;
    assert_eq!(later.header("idempotency-replayed"), "");
    assert_eq!(drafts(&api, Who::Ann).await, 2);
}

#[tokio::test]
async fn a_key_in_flight_is_409_and_worth_trying_again() {
    let api = Api::new().await;
    api.store.hold_key(Who::Ann.profile().id, "k");
    let answer = create(
        &api,
        Who::Ann,
        "k",
        &json!({"title": "Once", "format": "short"}),
    )
    .await;
    assert_eq!(answer.summary(), "409 idempotency-key-in-flight");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_key_has_a_shape() {
    let api = Api::new().await;
    let long = "x".repeat(129);
    for bad in ["", "\"\"", "a b", "\"a\"b\"", &long] {
        let answer = create(
            &api,
            Who::Ann,
            bad,
            &json!({"title": "Once", "format": "short"}),
        )
        .await;
        assert_eq!(
            answer.summary(),
            "400 invalid-parameter /header/Idempotency-Key malformed",
            "{bad}"
        );
    }
}
