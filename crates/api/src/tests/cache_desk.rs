//! What operators do to the caches.

use super::support::{Api, Who};
use crate::cache_desk::Purge;
use crate::cached::{CachedResponse, Handler, ResponseKind, Responses};
use crate::ports::Boxed;
use crate::problem::Problem;
use pitchey_cache::{Answer, GetError};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// Notes what is to be warmed, and has nothing.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<String>>);

impl Responses for Noting {
    fn hit(&self, _: ResponseKind, _: &str) -> Option<Answer<CachedResponse>> {
        None
    }

    fn get<'a>(
        &'a self,
        _: ResponseKind,
        _: &'a str,
        _: Handler,
    ) -> Boxed<'a, Result<Answer<CachedResponse>, GetError<Problem>>> {
        Box::pin(std::future::ready(Err(GetError::Timeout)))
    }

    fn warm<'a>(&'a self, _: ResponseKind, key: &'a str, _: Handler) -> Boxed<'a, bool> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(key.to_owned());
        Box::pin(std::future::ready(!key.starts_with("search:")))
    }
}

#[tokio::test]
async fn what_is_to_be_warmed_goes_through_the_cache_and_is_noted() {
    let noting = Arc::new(Noting::default());
    let api = Api::keeping(noting.clone()).await;
    let addresses =
        json!({"addresses": ["/api/pitches/new?limit=5&cursor=x", "/api/search?q=film"]});
    let answer = api.post(Who::Ada, "/api/cache/warm", &addresses).await;
    let warmed = json!({"warm": 1, "not_warm": 1, "left_out": 0});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, warmed));
    let mut keys = noting.0.lock().expect("no panic").clone();
    keys.sort();
    let expected = [
        "pitch_list:/api/pitches/new?cursor=x&limit=5",
        "search:/api/search?q=film",
    ];
    assert_eq!(keys, expected);
    let audit = api.store.effects().audit;
    let entry = audit.last().expect("an entry");
    assert_eq!(
        (entry.entry.action, entry.by),
        ("cache.warm", Who::Ada.profile().id)
    );
}

#[tokio::test]
async fn what_is_not_kept_is_not_warmed() {
    let noting = Arc::new(Noting::default());
    let api = Api::keeping(noting.clone()).await;
    let addresses = json!({"addresses": ["/api/pitches", "/api/me"]});
    let answer = api.post(Who::Ada, "/api/cache/warm", &addresses).await;
    assert_eq!(
        answer.summary(),
        "422 invalid-content /addresses/1 unknown_value"
    );
    let many = vec!["/api/pitches"; 1001];
    let answer = api
        .post(Who::Ada, "/api/cache/warm", &json!({"addresses": many}))
        .await;
    assert_eq!(answer.summary(), "422 invalid-content /addresses too_long");
    assert!(noting.0.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_purge_is_soft_unless_it_is_said_and_is_noted() {
    let api = Api::new().await;
    let before = api.store.effects().audit.len();
    let tags = json!({"tags": ["lists"]});
    let answer = api.post(Who::Ada, "/api/cache/purge", &tags).await;
    assert_eq!(answer.status.as_u16(), 200);
    let keys = json!({"keys": ["search:/api/search?q=film"], "soft": false});
    api.post(Who::Ada, "/api/cache/purge", &keys).await;
    let nothing = api
        .post(Who::Ada, "/api/cache/purge", &json!({"soft": false}))
        .await;
    assert_eq!(nothing.summary(), "422 invalid-content");
    let purges = api.desk.0.lock().expect("no panic").clone();
    let tags = Purge {
        tags: vec!["lists".into()],
        soft: true,
        ..Purge::default()
    };
    let keys = Purge {
        keys: vec!["search:/api/search?q=film".into()],
        ..Purge::default()
    };
    assert_eq!(purges, [tags, keys]);
    let audit = &api.store.effects().audit[before..];
    let noted: Vec<_> = audit.iter().map(|noted| noted.entry.action).collect();
    assert_eq!(noted, ["cache.purge", "cache.purge"]);
    assert!(
        audit[0]
            .entry
            .detail
            .contains(&("tags", "lists".to_owned()))
    );
    assert_eq!(audit[0].origin.request_id.as_deref(), Some("req-1"));
}

#[tokio::test]
async fn a_purge_that_nobody_may_ask_for_is_not_noted() {
    let api = Api::new().await;
    let before = api.store.effects().audit.len();
    for (who, status) in [(Who::Nobody, 401), (Who::Ann, 403)] {
        let answer = api
            .post(who, "/api/cache/purge", &json!({"tags": ["lists"]}))
            .await;
        assert_eq!(answer.status.as_u16(), status);
    }
    assert!(api.desk.0.lock().expect("no panic").is_empty());
    assert_eq!(api.store.effects().audit.len(), before);
}
