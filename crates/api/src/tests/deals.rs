//! The story of a deal, through HTTP alone: an NDA is asked for, granted and taken back, interest expressed
//! and accepted.

use super::support::{Answer, Api, Who};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Ann's published pitch under an NDA: its address.
async fn pitch(api: &Api) -> String {
    let content = json!({
        "title": "The Third Act", "format": "feature", "logline": "It ends.", "genres": ["drama"],
        "visibility": "nda", "full_synopsis": "He did it.",
    });
    let made = api.post(Who::Ann, "/api/pitches", &content).await;
    let path = made.header("location").to_owned();
    let published = api.step(Who::Ann, &format!("{path}/publish")).await;
    assert_eq!(published.status.as_u16(), 200, "{}", published.summary());
    path
}

async fn get(api: &Api, who: Who, target: &str) -> Answer {
    api.ask(who, Method::GET, target, &[], None).await
}

async fn full(api: &Api, who: Who, path: &str) -> String {
    let answer = get(api, who, &format!("{path}/full")).await;
    let leaked = String::from_utf8_lossy(&answer.body).contains("He did it");
    assert_eq!(leaked, answer.status.as_u16() == 200);
    answer.summary()
}

/// What somebody was told, newest first.
async fn told(api: &Api, who: Who) -> Vec<String> {
    let list = get(api, who, "/api/notifications").await.json();
    let items = list["items"].as_array().expect("items").clone();
    items
        .iter()
        .map(|item| item["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

#[tokio::test]
async fn an_nda_opens_and_closes_the_protected_part() {
    let api = Api::new().await;
    let path = pitch(&api).await;
    assert_eq!(full(&api, Who::Ivy, &path).await, "403 forbidden");

    let asked = api
        .post(
            Who::Ivy,
            &format!("{path}/ndas"),
            &json!({"message": "Please."}),
        )
        .await;
    insta::assert_json_snapshot!("nda", asked.json(), {".id" => "[id]", ".pitch_id" => "[id]"});
    let nda = asked.header("location").to_owned();
    assert_eq!(full(&api, Who::Ivy, &path).await, "403 forbidden");
    let twice = api
        .post(Who::Ivy, &format!("{path}/ndas"), &json!({}))
        .await;
    assert_eq!(twice.summary(), "409 conflict");

    // The other side alone decides, and only from the version that it has read.
    assert_eq!(
        api.step(Who::Ivy, &format!("{nda}/approve"))
            .await
            .summary(),
        "403 forbidden"
    );
    assert_eq!(
        api.step(Who::Bob, &format!("{nda}/approve"))
            .await
            .summary(),
        "404 not-found"
    );
    assert_eq!(get(&api, Who::Bob, &nda).await.summary(), "404 not-found");
    let list = get(&api, Who::Ann, "/api/ndas?side=incoming").await.json();
    let version = format!("\"{}\"", list["items"][0]["version"]);
    let approve = async |tag: &str| {
        let body = json!({"decision": "Welcome.", "expires_in_days": 30});
        let headers = [("if-match", tag)];
        api.ask(
            Who::Ann,
            Method::POST,
            &format!("{nda}/approve"),
            &headers,
            Some(&body),
        )
        .await
    };
    assert_eq!(approve("\"7\"").await.summary(), "412 precondition-failed");
    let approved = approve(&version).await.json();
    assert_eq!(approved["status"], "approved");
    assert_eq!(approved["expires_at"], "2026-01-31T12:00:00Z");
    assert_eq!(approve("*").await.summary(), "409 conflict");
    assert_eq!(full(&api, Who::Ivy, &path).await, "200 -");
    assert_eq!(
        full(&api, Who::Pia, &path).await,
        "403 forbidden",
        "it is Ivy's alone"
    );

    let revoked = api.step(Who::Ann, &format!("{nda}/revoke")).await;
    assert_eq!(revoked.json()["status"], "revoked");
    assert_eq!(
        full(&api, Who::Ivy, &path).await,
        "403 forbidden",
        "at once"
    );
    assert_eq!(told(&api, Who::Ivy).await, ["nda_revoked", "nda_approved"]);
    assert_eq!(told(&api, Who::Ann).await, ["nda_requested"]);
}

#[tokio::test]
async fn an_nda_ends_with_its_term_and_can_be_asked_for_again() {
    let api = Api::new().await;
    let path = pitch(&api).await;
    let ndas = format!("{path}/ndas");
    let nda = api
        .post(Who::Ivy, &ndas, &json!({}))
        .await
        .header("location")
        .to_owned();
    let body = json!({"expires_in_days": 1});
    let headers = [("if-match", "*")];
    api.ask(
        Who::Ann,
        Method::POST,
        &format!("{nda}/approve"),
        &headers,
        Some(&body),
    )
    .await;
    assert_eq!(full(&api, Who::Ivy, &path).await, "200 -");
    api.clock.advance(Duration::from_hours(24));
    assert_eq!(full(&api, Who::Ivy, &path).await, "403 forbidden");
    let again = api.post(Who::Ivy, &ndas, &json!({})).await;
    assert_eq!(again.status.as_u16(), 201, "{}", again.summary());
    assert_eq!(get(&api, Who::Ivy, &nda).await.json()["status"], "revoked");
}

#[tokio::test]
async fn a_rejected_request_is_final_and_can_be_followed_by_another() {
    let api = Api::new().await;
    let path = pitch(&api).await;
    let ndas = format!("{path}/ndas");
    let nda = api
        .post(Who::Pia, &ndas, &json!({}))
        .await
        .header("location")
        .to_owned();
    let rejected = api.step(Who::Ann, &format!("{nda}/reject")).await;
    assert_eq!(rejected.json()["status"], "rejected");
    assert_eq!(
        api.step(Who::Ann, &format!("{nda}/approve"))
            .await
            .summary(),
        "409 conflict"
    );
    assert_eq!(full(&api, Who::Pia, &path).await, "403 forbidden");
    assert_eq!(
        api.post(Who::Pia, &ndas, &json!({})).await.status.as_u16(),
        201
    );
}

#[tokio::test]
async fn what_anyone_may_read_needs_no_nda() {
    let api = Api::new().await;
    let ndas = format!("{}/ndas", super::support::detail_of(500));
    assert_eq!(
        api.post(Who::Ivy, &ndas, &json!({})).await.summary(),
        "409 conflict"
    );
    assert_eq!(
        api.post(Who::Bob, &ndas, &json!({})).await.summary(),
        "403 forbidden"
    );
}

#[tokio::test]
async fn interest_is_expressed_and_answered() {
    let api = Api::new().await;
    let path = pitch(&api).await;
    let interests = format!("{path}/interests");
    let offer =
        json!({"amount": {"amount": 5_000_000, "currency": "EUR"}, "message": "Let us talk."});
    let made = api.post(Who::Ivy, &interests, &offer).await;
    insta::assert_json_snapshot!("interest", made.json(), {".id" => "[id]", ".pitch_id" => "[id]"});
    let interest = made.header("location").to_owned();
    assert_eq!(
        api.post(Who::Ivy, &interests, &offer).await.summary(),
        "409 conflict"
    );
    assert_eq!(
        api.post(Who::Ann, &interests, &offer).await.summary(),
        "403 forbidden"
    );
    assert_eq!(
        api.step(Who::Ivy, &format!("{interest}/accept"))
            .await
            .summary(),
        "403 forbidden"
    );
    let accepted = api.step(Who::Ann, &format!("{interest}/accept")).await;
    assert_eq!(accepted.json()["status"], "accepted");
    assert_eq!(
        api.step(Who::Ivy, &format!("{interest}/withdraw"))
            .await
            .summary(),
        "409 conflict",
        "it was taken up"
    );
    assert_eq!(told(&api, Who::Ivy).await, ["interest_accepted"]);
    assert_eq!(told(&api, Who::Ann).await, ["interest_expressed"]);

    for bad in [
        json!({"amount": {"amount": 0, "currency": "EUR"}}),
        json!({"amount": 5}),
        json!({}),
    ] {
        let answer = api.post(Who::Pia, &interests, &bad).await;
        assert_eq!(answer.status.as_u16(), 422, "{bad}");
    }
    let withdrawn = api
        .post(Who::Pia, &interests, &offer)
        .await
        .header("location")
        .to_owned();
    api.step(Who::Pia, &format!("{withdrawn}/withdraw")).await;
    assert_eq!(
        get(&api, Who::Ann, &withdrawn).await.json()["status"],
        "withdrawn"
    );
    let list = get(&api, Who::Ann, "/api/interests?side=incoming")
        .await
        .json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn notifications_are_read_one_by_one_or_all_and_are_ones_own() {
    let api = Api::new().await;
    let path = pitch(&api).await;
    for who in [Who::Ivy, Who::Pia] {
        api.post(who, &format!("{path}/ndas"), &json!({})).await;
        api.clock.advance(Duration::from_secs(1));
    }
    let list = get(&api, Who::Ann, "/api/notifications").await;
    let known = [("if-none-match", list.header("etag"))];
    let again = api
        .ask(Who::Ann, Method::GET, "/api/notifications", &known, None)
        .await;
    assert_eq!(again.status.as_u16(), 304);
    let list = list.json();
    assert_eq!(list["unread"], 2);
    assert_eq!(list["items"][0]["username"], "pia");
    let ids = json!({"ids": [list["items"][1]["id"]]});
    let read = async |who: Who, body: &Value| {
        api.post(who, "/api/notifications/read", body).await.json()["read"].clone()
    };
    assert_eq!(read(Who::Bob, &ids).await, 0, "they are Ann's");
    assert_eq!(read(Who::Ann, &ids).await, 1);
    assert_eq!(read(Who::Ann, &ids).await, 0);
    assert_eq!(read(Who::Ann, &json!({})).await, 1);
    assert_eq!(
        get(&api, Who::Ann, "/api/notifications").await.json()["unread"],
        0
    );
    let bad = api
        .post(
            Who::Ann,
            "/api/notifications/read",
            &json!({"ids": ["x", 1]}),
        )
        .await;
    assert_eq!(
        bad.summary(),
        "422 invalid-content /ids/0 malformed; /ids/1 type"
    );
}

#[tokio::test]
async fn dashboards_show_the_figures_of_their_side() {
    let api = Api::new().await;
    let path = pitch(&api).await;
    api.post(Who::Ivy, &format!("{path}/ndas"), &json!({}))
        .await;
    let creator = get(&api, Who::Ann, "/api/dashboard/creator").await.json();
    assert_eq!(
        (&creator["ndas_waiting"], &creator["published"]),
        (&json!(1), &json!(42))
    );
    let investor = get(&api, Who::Ivy, "/api/dashboard/investor").await.json();
    assert_eq!(investor["ndas_waiting"], 1);
}
