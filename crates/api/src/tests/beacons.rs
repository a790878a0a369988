//! What pages report.

use super::support::{Api, Who, detail_of};
use crate::ClientAddress;
use axum::body::Body;
use http::Request;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_viewer_is_the_account_or_else_the_client_and_cannot_be_read_back() {
    let api = Api::new().await;
    let target = format!("{}/view", detail_of(500));
    let from = async |address: [u8; 4], agent: &str, cookie: Option<String>| {
        let mut request = Request::post(&target)
            .header("user-agent", agent)
            .header("sec-fetch-site", "same-origin");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        request
            .extensions_mut()
            .insert(ClientAddress(address.into()));
        assert_eq!(api.send(request).await.status.as_u16(), 204);
    };
    from([192, 0, 2, 1], "a", None).await;
    from([192, 0, 2, 1], "a", None).await;
    from([192, 0, 2, 1], "b", None).await;
    from([192, 0, 2, 2], "a", None).await;
    from([192, 0, 2, 1], "a", Who::Ivy.cookie()).await;
    from([192, 0, 2, 9], "c", Who::Ivy.cookie()).await;
    let counted = api.counted.0.lock().expect("the lock");
    let viewers: Vec<[u8; 16]> = counted.views.iter().map(|view| view.viewer).collect();
    assert_eq!(viewers.len(), 6);
    assert_eq!((viewers[0], viewers[4]), (viewers[1], viewers[5]));
    assert_eq!(viewers.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[tokio::test]
async fn measurements_are_checked_and_taken_in() {
    let api = Api::new().await;
    let good = json!({"samples": [
        {"metric": "lcp", "value": 812.5, "route": "/pitches/{id}", "connection": "4g"},
        {"metric": "cls", "value": 0, "route": "/"},
    ]});
    let answer = api.post(Who::Nobody, "/api/analytics/rum", &good).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(api.counted.0.lock().expect("the lock").rum.len(), 2);
    let bad = json!({"samples": [
        {"metric": "fid", "value": -1, "route": ""},
        {"metric": "lcp", "value": 600_000, "route": "/", "user": "ann"},
    ]});
    let answer = api.post(Who::Nobody, "/api/analytics/rum", &bad).await;
    insta::assert_snapshot!(answer.summary().replace("; ", "\n"));
    for bad in [
        json!({}),
        json!({"samples": []}),
        json!({"samples": vec![1; 51]}),
    ] {
        let answer = api.post(Who::Nobody, "/api/analytics/rum", &bad).await;
        assert_eq!(answer.status.as_u16(), 422, "{bad}");
    }
    assert_eq!(
        api.counted.0.lock().expect("the lock").rum.len(),
        2,
        "all or nothing"
    );
}

#[tokio::test]
async fn events_are_checked_and_taken_in() {
    let api = Api::new().await;
    let good = json!({"events": [
        {"kind": "page.shown", "path": "/pitches", "payload": {"depth": 3}},
        {"kind": "trailer_played", "pitch_id": uuid::Uuid::from_u128(500)},
    ]});
    let answer = api.post(Who::Ivy, "/api/analytics/events", &good).await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.summary());
    {
        let counted = api.counted.0.lock().expect("the lock");
        assert_eq!(counted.events[0].user, Some(Who::Ivy.profile().id));
        assert_eq!(counted.events[0].payload, "{\"depth\":3}");
    }
    let bad = json!({"events": [
        {"kind": "Page Shown"}, {"kind": "x", "payload": []}, {"kind": "x", "payload": {"a": "b\u{0}"}},
        {"kind": "x", "payload": {"a": "y".repeat(5000)}}, {"kind": "x", "pitch_id": "1"}, 7,
    ]});
    let answer = api.post(Who::Nobody, "/api/analytics/events", &bad).await;
    insta::assert_snapshot!(answer.summary().replace("; ", "\n"));
}
