//! Accounts and sessions over HTTP.

use super::support::{Answer, Api, PASSWORD, Who};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const ANN: &str = "ann@example.org";

fn registration() -> Value {
    json!({
        "email": "Zoe@Example.org", "username": "zoe", "password": "correct horse battery",
        "role": "creator", "display_name": "Zoë Q.",
    })
}

async fn login(api: &Api, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    api.post(Who::Nobody, "/api/auth/login", &body).await
}

/// Asks with a cookie, as a page of the site would.
async fn with_cookie(api: &Api, cookie: &str, method: Method, target: &str) -> Answer {
    let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
    api.ask(Who::Nobody, method, target, &headers, None).await
}

async fn who_is(api: &Api, cookie: &str) -> Value {
    let answer = with_cookie(api, cookie, Method::GET, "/api/auth/session").await;
    answer.json()["session"]["user"]["username"].clone()
}

#[tokio::test]
async fn registering_signs_in_and_the_address_signs_in_again() {
    let api = Api::new().await;
    let made = api
        .post(Who::Nobody, "/api/auth/register", &registration())
        .await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.summary());
    insta::assert_json_snapshot!(made.json(), {".user.id" => "[id]", ".session_id" => "[id]", ".csrf_token" => "[token]"});
    let cookie = made.session_cookie().expect("it signs in");
    assert_eq!(who_is(&api, &cookie).await, "zoe");
    let me = with_cookie(&api, &cookie, Method::GET, "/api/me").await;
    assert_eq!(me.json()["email"], "zoe@example.org");

    let again = login(&api, "ZOE@example.org", "correct horse battery").await;
    assert_eq!(again.status.as_u16(), 200);
    assert_ne!(
        again.session_cookie(),
        Some(cookie),
        "each time a new session"
    );
}

#[tokio::test]
async fn the_cookie_is_for_this_host_over_tls_and_out_of_reach_of_scripts() {
    let api = Api::new().await;
    let answer = login(&api, ANN, PASSWORD).await;
    let cookie = answer.header("set-cookie");
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    assert!(pair.starts_with("__Host-session="));
    assert_eq!(
        attributes,
        "Max-Age=2592000; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    // 256 bits in base64url.
    assert_eq!(pair.len(), "__Host-session=".len() + 43);
    assert_eq!(answer.header("cache-control"), "private, no-store");
}

#[tokio::test]
async fn what_is_taken_is_told_all_at_once() {
    let api = Api::new().await;
    let mut body = registration();
    body["username"] = "ann".into();
    body["email"] = ANN.into();
    let answer = api.post(Who::Nobody, "/api/auth/register", &body).await;
    assert_eq!(
        answer.summary(),
        "409 conflict /email taken; /username taken"
    );
}

#[tokio::test]
async fn passwords_have_a_length_and_are_not_guessable() {
    let api = Api::new().await;
    for (password, summary) in [
        ("elevenchars", "422 invalid-content /password length"),
        (&"x".repeat(257), "422 invalid-content /password length"),
        (
            "a password at last",
            "422 invalid-content /password too_weak",
        ),
        ("zoe zoe zoe zoe", "422 invalid-content /password too_weak"),
    ] {
        let mut body = registration();
        body["password"] = password.into();
        let answer = api.post(Who::Nobody, "/api/auth/register", &body).await;
        assert_eq!(answer.summary(), summary, "{password}");
    }
    // Neither trimmed nor cut nor limited to some characters.
    let strange = [
        "  spaces around it  ",
        "пароль из двенадцати",
        &"ü".repeat(256),
    ];
    for (n, password) in strange.into_iter().enumerate() {
        let mut body = registration();
        body["password"] = password.into();
        body["email"] = format!("{n}@example.org").into();
        body["username"] = format!("u{n}").into();
        let answer = api.post(Who::Nobody, "/api/auth/register", &body).await;
        assert_eq!(answer.status.as_u16(), 201, "{password}");
        let email = body["email"].as_str().expect("an address");
        assert_eq!(login(&api, email, password).await.status.as_u16(), 200);
        let mut trimmed = password.to_owned();
        trimmed.pop();
        assert_eq!(login(&api, email, &trimmed).await.status.as_u16(), 401);
    }
}

#[tokio::test]
async fn nobody_registers_as_an_admin() {
    let api = Api::new().await;
    let mut body = registration();
    body["role"] = "admin".into();
    let answer = api.post(Who::Nobody, "/api/auth/register", &body).await;
    assert_eq!(answer.summary(), "422 invalid-content /role unknown_value");
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_are_answered_alike_with_the_same_work() {
    let api = Api::new().await;
    let wrong = login(&api, ANN, "not the password").await;
    let unknown = login(&api, "nobody@example.org", "not the password").await;
    assert_eq!(wrong.summary(), "401 wrong-credentials");
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(wrong.headers, unknown.headers);
    let checks = api.passwords.checks.lock().expect("the lock").clone();
    assert_eq!(checks, [true, false], "a password is checked each time");
}

#[tokio::test]
async fn a_locked_account_is_told_so_only_with_its_password() {
    let api = Api::new().await;
    api.store.lock_user(Who::Ann.profile().id);
    assert_eq!(
        login(&api, ANN, "not the password").await.summary(),
        "401 wrong-credentials"
    );
    let locked = login(&api, ANN, PASSWORD).await;
    assert_eq!(locked.summary(), "403 account-locked");
    assert_eq!(locked.session_cookie(), None);
    let me = api.ask(Who::Ann, Method::GET, "/api/me", &[], None).await;
    assert_eq!(
        me.summary(),
        "401 sign-in-required",
        "its sessions are over"
    );
}

#[tokio::test]
async fn too_much_hashing_is_503_and_worth_trying_again() {
    let api = Api::new().await;
    *api.passwords.busy.lock().expect("the lock") = true;
    let answer = login(&api, ANN, PASSWORD).await;
    assert_eq!(answer.summary(), "503 unavailable");
    assert_eq!(answer.header("retry-after"), "3");
}

#[tokio::test]
async fn signing_in_ends_the_session_that_it_came_with() {
    let api = Api::new().await;
    let first = login(&api, ANN, PASSWORD).await.session_cookie();
    let first = first.expect("a cookie");
    let body = json!({"email": ANN, "password": PASSWORD});
    let headers = [
        ("cookie", first.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let second = api
        .ask(
            Who::Nobody,
            Method::POST,
            "/api/auth/login",
            &headers,
            Some(&body),
        )
        .await;
    let second = second.session_cookie().expect("a cookie");
    assert_eq!(who_is(&api, &first).await, Value::Null);
    assert_eq!(who_is(&api, &second).await, "ann");
}

#[tokio::test]
async fn signing_out_ends_the_session_here_or_everywhere() {
    let api = Api::new().await;
    let mut cookies = Vec::new();
    for _ in 0..3 {
        cookies.push(
            login(&api, ANN, PASSWORD)
                .await
                .session_cookie()
                .expect("a cookie"),
        );
    }
    let out = with_cookie(&api, &cookies[0], Method::POST, "/api/auth/logout").await;
    assert_eq!(out.status.as_u16(), 204);
    assert_eq!(
        out.header("set-cookie"),
        "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(out.header("clear-site-data"), "\"cache\", \"storage\"");
    assert_eq!(who_is(&api, &cookies[0]).await, Value::Null);
    assert_eq!(who_is(&api, &cookies[1]).await, "ann");
    let again = with_cookie(&api, &cookies[0], Method::POST, "/api/auth/logout").await;
    assert_eq!(again.status.as_u16(), 204, "nothing is left to do");

    let all = with_cookie(&api, &cookies[1], Method::POST, "/api/auth/logout-all").await;
    assert_eq!(all.status.as_u16(), 204);
    for cookie in &cookies {
        assert_eq!(who_is(&api, cookie).await, Value::Null);
    }
    let own = api.ask(Who::Ann, Method::GET, "/api/me", &[], None).await;
    assert_eq!(own.status.as_u16(), 401);
    let other = api.ask(Who::Bob, Method::GET, "/api/me", &[], None).await;
    assert_eq!(other.status.as_u16(), 200);
}

#[tokio::test]
async fn sessions_are_listed_and_each_can_be_ended_by_its_owner_alone() {
    let api = Api::new().await;
    let cookie = login(&api, ANN, PASSWORD)
        .await
        .session_cookie()
        .expect("a cookie");
    let list = api
        .ask(Who::Ann, Method::GET, "/api/auth/sessions", &[], None)
        .await
        .json();
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.len(), 2);
    assert_eq!(
        items.iter().filter(|item| item["current"] == true).count(),
        1
    );
    assert!(!list.to_string().contains("token"), "no secret is listed");
    let other = items.iter().find(|item| item["current"] == false);
    let id = other.expect("another")["id"].as_str().expect("an id");
    let target = format!("/api/auth/sessions/{id}");
    let foreign = api.ask(Who::Bob, Method::DELETE, &target, &[], None).await;
    assert_eq!(foreign.summary(), "404 not-found");
    let own = api.ask(Who::Ann, Method::DELETE, &target, &[], None).await;
    assert_eq!(own.status.as_u16(), 204);
    assert_eq!(who_is(&api, &cookie).await, Value::Null);
    let gone = api.ask(Who::Ann, Method::DELETE, &target, &[], None).await;
    assert_eq!(gone.summary(), "404 not-found");
}

#[tokio::test]
async fn a_session_ends_when_it_idles_and_in_any_case_after_thirty_days() {
    let day = Duration::from_hours(24);
    let api = Api::new().await;
    let cookie = login(&api, ANN, PASSWORD)
        .await
        .session_cookie()
        .expect("a cookie");
    api.clock.advance(day * 8);
    assert_eq!(
        who_is(&api, &cookie).await,
        Value::Null,
        "it idled for a week"
    );

    let cookie = login(&api, ANN, PASSWORD)
        .await
        .session_cookie()
        .expect("a cookie");
    for _ in 0..5 {
        api.clock.advance(Duration::from_mins(6 * 24 * 60 - 1));
        assert_eq!(who_is(&api, &cookie).await, "ann", "it is used");
    }
    api.clock.advance(Duration::from_mins(5));
    assert_eq!(
        who_is(&api, &cookie).await,
        Value::Null,
        "thirty days are over"
    );
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_begins_one() {
    let api = Api::new().await;
    let cookie = login(&api, ANN, PASSWORD)
        .await
        .session_cookie()
        .expect("a cookie");
    let wrong = json!({"current_password": "no", "new_password": "correct horse battery"});
    let answer = api.post(Who::Ann, "/api/auth/password", &wrong).await;
    assert_eq!(
        answer.summary(),
        "422 invalid-content /current_password wrong"
    );
    assert_eq!(who_is(&api, &cookie).await, "ann", "nothing has changed");

    let weak = json!({"current_password": PASSWORD, "new_password": "ann is my password"});
    let answer = api.post(Who::Ann, "/api/auth/password", &weak).await;
    assert_eq!(
        answer.summary(),
        "422 invalid-content /new_password too_weak"
    );

    let right = json!({"current_password": PASSWORD, "new_password": "correct horse battery"});
    let changed = api.post(Who::Ann, "/api/auth/password", &right).await;
    assert_eq!(changed.status.as_u16(), 200, "{}", changed.summary());
    let new = changed.session_cookie().expect("a new session");
    assert_eq!(who_is(&api, &new).await, "ann");
    assert_eq!(who_is(&api, &cookie).await, Value::Null);
    let asked_with = Who::Ann.cookie().expect("a cookie");
    assert_eq!(who_is(&api, &asked_with).await, Value::Null);
    assert_eq!(login(&api, ANN, PASSWORD).await.status.as_u16(), 401);
    assert_eq!(
        login(&api, ANN, "correct horse battery")
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn a_profile_is_changed_from_the_version_that_was_read() {
    let api = Api::new().await;
    let me = api.ask(Who::Ann, Method::GET, "/api/me", &[], None).await;
    let tag = me.header("etag").to_owned();
    let change = json!({"bio": "Writes.\nAnd waits.", "website": "https://ann.example/?q=1", "display_name": "Ann L."});
    let patch = async |tag: &str, body: &Value| {
        let headers = [("if-match", tag)];
        api.ask(Who::Ann, Method::PATCH, "/api/me", &headers, Some(body))
            .await
    };
    let changed = patch(&tag, &change).await;
    assert_eq!(changed.status.as_u16(), 200, "{}", changed.summary());
    assert_eq!(changed.json()["bio"], "Writes.\nAnd waits.");
    let now = api.ask(Who::Ann, Method::GET, "/api/me", &[], None).await;
    assert_eq!(
        now.header("etag"),
        changed.header("etag"),
        "one representation, one tag"
    );
    assert_eq!(
        patch(&tag, &change).await.summary(),
        "412 precondition-failed"
    );
    let without = api
        .ask(Who::Ann, Method::PATCH, "/api/me", &[], Some(&change))
        .await;
    assert_eq!(without.summary(), "428 precondition-required");
    let gone = patch(now.header("etag"), &json!({"website": null})).await;
    assert_eq!(gone.json()["website"], Value::Null);
    assert_eq!(
        api.get("/api/users/ann").await.json()["display_name"],
        "Ann L."
    );
}

#[tokio::test]
async fn a_website_is_an_address_of_the_web() {
    let api = Api::new().await;
    for bad in [
        "javascript:alert(1)",
        "https://",
        "data:text/html,x",
        "//x.example",
        "https://a b",
        "ftp://x",
    ] {
        let body = json!({"website": bad});
        let answer = api
            .ask(
                Who::Ann,
                Method::PATCH,
                "/api/me",
                &[("if-match", "*")],
                Some(&body),
            )
            .await;
        assert_eq!(
            answer.summary(),
            "422 invalid-content /website malformed",
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let api = Api::new().await;
    let cookie = Who::Ann.cookie().expect("a cookie");
    let save = "/api/pitches/00000000-0000-0000-0000-000000000064/saved";
    let put = async |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str()), ("host", "pitchey.example")];
        all.extend_from_slice(headers);
        api.ask(Who::Nobody, Method::PUT, save, &all, None)
            .await
            .summary()
    };
    assert_eq!(
        put(&[("sec-fetch-site", "cross-site")]).await,
        "403 cross-origin"
    );
    assert_eq!(
        put(&[("sec-fetch-site", "same-site")]).await,
        "403 cross-origin"
    );
    assert_eq!(
        put(&[("origin", "https://evil.example")]).await,
        "403 cross-origin"
    );
    assert_eq!(put(&[("origin", "null")]).await, "403 cross-origin");
    assert_eq!(
        put(&[]).await,
        "403 cross-origin",
        "an old browser without a token"
    );
    assert_eq!(put(&[("x-csrf-token", "AAAA")]).await, "403 cross-origin");

    let session = with_cookie(&api, &cookie, Method::GET, "/api/auth/session")
        .await
        .json();
    let token = session["session"]["csrf_token"].as_str().expect("a token");
    assert_eq!(put(&[("x-csrf-token", token)]).await, "204 -");
    assert_eq!(put(&[("sec-fetch-site", "same-origin")]).await, "204 -");
    assert_eq!(put(&[("origin", "https://pitchey.example")]).await, "204 -");
    assert_eq!(put(&[("origin", "https://studio.example")]).await, "204 -");

    let bob = Who::Bob.cookie().expect("a cookie");
    let foreign = api
        .ask(
            Who::Nobody,
            Method::PUT,
            save,
            &[("cookie", &bob), ("x-csrf-token", token)],
            None,
        )
        .await;
    assert_eq!(
        foreign.summary(),
        "403 cross-origin",
        "a token is of one session"
    );
    let login_from_elsewhere = api
        .ask(
            Who::Nobody,
            Method::POST,
            "/api/auth/login",
            &[("origin", "https://evil.example")],
            Some(&json!({"email": ANN, "password": PASSWORD})),
        )
        .await;
    assert_eq!(login_from_elsewhere.summary(), "403 cross-origin");
}

#[tokio::test]
async fn a_token_that_was_never_given_out_is_nobody() {
    let api = Api::new().await;
    for cookie in [
        "__Host-session=",
        "__Host-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "session=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
    ] {
        let me = with_cookie(&api, cookie, Method::GET, "/api/me").await;
        assert_eq!(me.summary(), "401 sign-in-required");
        assert!(me.header("www-authenticate").starts_with("Cookie "));
    }
}
