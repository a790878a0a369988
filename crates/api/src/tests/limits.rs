//! How often clients may ask.

use super::support::{Answer, Api, PASSWORD, Who};
use crate::ports::{Boxed, SharedLimits};
use crate::{ClientAddress, LimitSettings};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request};
use pitchey_resilience::{Quota, Verdict};
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

fn quota(burst: u32) -> Option<Quota> {
    NonZeroU32::new(burst).map(|burst| Quota::new(burst, Duration::from_secs(10)))
}

const NONE: LimitSettings = LimitSettings {
    read: None,
    search: None,
    write: None,
    auth: None,
    account: None,
    account_total: None,
    beacon: None,
};

async fn limited(change: impl FnOnce(&mut LimitSettings)) -> Api {
    Api::limited(NONE, change).await
}

/// Counts as several origins would, or cannot be reached.
#[derive(Default)]
struct Elsewhere {
    away: AtomicBool,
    counted: Mutex<Vec<(&'static str, String)>>,
}

impl Elsewhere {
    fn counted(&self) -> MutexGuard<'_, Vec<(&'static str, String)>> {
        self.counted.lock().expect("nobody has panicked")
    }
}

impl SharedLimits for Elsewhere {
    fn count<'a>(
        &'a self,
        name: &'static str,
        quota: Quota,
        key: &'a str,
    ) -> Boxed<'a, Option<Verdict>> {
        let mut counted = self.counted();
        let before = counted.iter().filter(|one| **one == (name, key.to_owned()));
        // Somebody else has asked once already.
        let used = u32::try_from(before.count()).expect("a few") + 1;
        counted.push((name, key.to_owned()));
        let allowed = used < quota.burst();
        let verdict = Verdict {
            allowed,
            limit: quota.burst(),
            remaining: quota.burst().saturating_sub(used + 1),
            reset_after: quota.window(),
            retry_after: if allowed {
                Duration::ZERO
            } else {
                quota.interval()
            },
        };
        let verdict = (!self.away.load(Ordering::Relaxed)).then_some(verdict);
        Box::pin(std::future::ready(verdict))
    }
}

async fn together(limits: LimitSettings) -> (Api, Arc<Elsewhere>) {
    let elsewhere = Arc::<Elsewhere>::default();
    let api = Api::limited_with(limits, Some(elsewhere.clone())).await;
    (api, elsewhere)
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

#[tokio::test]
async fn changes_and_logins_are_counted_together_under_keys_that_tell_nobody() {
    let (api, elsewhere) = together(LimitSettings {
        read: quota(9),
        search: quota(9),
        write: quota(3),
        auth: quota(9),
        account: quota(3),
        account_total: quota(9),
        beacon: quota(9),
    })
    .await;
    api.get("/api/pitches").await;
    api.get("/api/search?q=film").await;
    api.post(Who::Nobody, "/api/analytics/rum", &json!({"samples": []}))
        .await;
    api.post(Who::Nobody, "/api/notifications/read", &json!({}))
        .await;
    assert!(elsewhere.counted().is_empty(), "not worth the way");

    for expected in [200, 200, 429] {
        let answer = api
            .post(Who::Ann, "/api/notifications/read", &json!({}))
            .await;
        assert_eq!(answer.status.as_u16(), expected);
    }
    for expected in [200, 200, 429] {
        let answer = login(&api, "ann@example.org", PASSWORD).await;
        assert_eq!(answer.status.as_u16(), expected);
    }
    let mut counted = elsewhere.counted().clone();
    let names: Vec<_> = counted.iter().map(|(name, _)| *name).collect();
    let one_login = ["auth", "account", "account-total"];
    let expected = [["write"; 3], one_login, one_login];
    assert_eq!(names[..9], *expected.as_flattened());
    assert_eq!(names[9..], ["auth", "account"]);
    counted.sort();
    counted.dedup();
    assert_eq!(counted.len(), 4, "one key for each name");
    for (_, key) in counted {
        let bytes = URL_SAFE_NO_PAD.decode(&key).expect("a hash in letters");
        assert_eq!(bytes.len(), 16);
    }
}

#[tokio::test]
async fn what_was_counted_together_is_known_when_there_is_nobody_to_count_with() {
    let (api, elsewhere) = together(LimitSettings {
        write: quota(4),
        ..NONE
    })
    .await;
    let write = async || {
        let answer = api
            .post(Who::Ann, "/api/notifications/read", &json!({}))
            .await;
        answer.summary()
    };
    assert_eq!(write().await, "200 -");
    elsewhere.away.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(write().await, "200 -", "its own quota");
    }
    assert_eq!(write().await, "429 too-many-requests");
}
