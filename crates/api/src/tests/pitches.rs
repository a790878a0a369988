//! The life of a pitch over HTTP.

use super::support::{Answer, Api, Who};
use http::Method;
use serde_json::{Value, json};

fn draft() -> Value {
    json!({
        "title": "  The Third   Act ", "format": "feature", "stage": "script",
        "logline": "It ends.", "synopsis": "Act one.\nAct two.", "genres": ["drama", "noir", "drama"],
        "release_year": 2031, "cast": ["Ann Lee", "Zoë"], "visibility": "nda",
        "full_synopsis": "He did it.", "budget": {"amount": 125_000_000_i64, "currency": "EUR"},
    })
}

struct Pitch {
    path: String,
    tag: String,
}

async fn begin(api: &Api, content: &Value) -> Pitch {
    let made = api.post(Who::Ann, "/api/pitches", content).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.summary());
    Pitch {
        path: made.header("location").to_owned(),
        tag: made.header("etag").to_owned(),
    }
}

async fn full(api: &Api, who: Who, pitch: &Pitch) -> Answer {
    let target = format!("{}/full", pitch.path);
    api.ask(who, Method::GET, &target, &[], None).await
}

async fn edit(api: &Api, pitch: &Pitch, tag: &str, body: &Value) -> Answer {
    let headers = [("if-match", tag)];
    api.ask(Who::Ann, Method::PATCH, &pitch.path, &headers, Some(body))
        .await
}

#[tokio::test]
async fn a_draft_is_what_was_sent_cleaned_and_seen_by_its_creator_alone() {
    let api = Api::new().await;
    let pitch = begin(&api, &draft()).await;
    let own = full(&api, Who::Ann, &pitch).await;
    insta::assert_json_snapshot!("full_pitch", own.json(), {".id" => "[id]"});
    assert_eq!(own.header("etag"), pitch.tag, "one representation, one tag");
    assert_eq!(own.header("cache-control"), "private, no-store");
    for who in [Who::Nobody, Who::Bob, Who::Ivy, Who::Pia] {
        assert_eq!(
            full(&api, who, &pitch).await.summary(),
            "404 not-found",
            "{who:?}"
        );
    }
    assert_eq!(full(&api, Who::Ada, &pitch).await.status.as_u16(), 200);
    assert_eq!(api.get(&pitch.path).await.summary(), "404 not-found");
    let known = api
        .ask(
            Who::Ann,
            Method::GET,
            &format!("{}/full", pitch.path),
            &[("if-none-match", &pitch.tag)],
            None,
        )
        .await;
    assert_eq!(known.status.as_u16(), 304);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_pitch_is_told_at_once() {
    let api = Api::new().await;
    let body = json!({
        "title": "", "format": "opera", "genres": ["drama", "nope"], "release_year": 1066,
        "budget": {"amount": -1, "currency": "euro"}, "cast": ["", "a\u{0}b"], "logline": "x".repeat(501),
        "rating": 5, "visibility": null,
    });
    let answer = api.post(Who::Ann, "/api/pitches", &body).await;
    insta::assert_snapshot!(answer.summary().replace("; ", "\n"));
}

#[tokio::test]
async fn a_published_pitch_is_listed_and_its_protected_part_is_not_public() {
    let api = Api::new().await;
    let pitch = begin(&api, &draft()).await;
    let published = api.step(Who::Ann, &format!("{}/publish", pitch.path)).await;
    assert_eq!(published.json()["status"], "published");
    assert_ne!(published.header("etag"), pitch.tag);
    let public = api.get(&pitch.path).await;
    assert_eq!(public.json()["title"], "The Third   Act");
    for answer in [&public, &api.get("/api/pitches?limit=1").await] {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains("Third"), "{text}");
        assert!(
            !text.contains("He did it") && !text.contains("budget"),
            "{text}"
        );
    }
    assert_eq!(
        full(&api, Who::Nobody, &pitch).await.summary(),
        "401 sign-in-required"
    );
    assert_eq!(
        full(&api, Who::Ivy, &pitch).await.summary(),
        "403 forbidden"
    );
    let again = api.step(Who::Ann, &format!("{}/publish", pitch.path)).await;
    assert_eq!(again.summary(), "409 conflict");
    let archived = api.step(Who::Ann, &format!("{}/archive", pitch.path)).await;
    assert_eq!(archived.json()["status"], "archived");
    assert_eq!(api.get(&pitch.path).await.summary(), "404 not-found");
    let draft = api
        .step(Who::Ann, &format!("{}/withdraw", pitch.path))
        .await;
    assert_eq!(draft.json()["status"], "draft");
}

#[tokio::test]
async fn a_pitch_needs_a_logline_and_a_genre_to_be_published_and_to_stay_so() {
    let api = Api::new().await;
    let pitch = begin(&api, &json!({"title": "Bare", "format": "short"})).await;
    let publish = format!("{}/publish", pitch.path);
    let refused = api.step(Who::Ann, &publish).await;
    assert_eq!(
        refused.summary(),
        "422 invalid-content /logline missing; /genres missing"
    );
    let both = json!({"logline": "Something.", "genres": ["short"]});
    assert_eq!(
        edit(&api, &pitch, &pitch.tag, &both).await.status.as_u16(),
        200
    );
    assert_eq!(api.step(Who::Ann, &publish).await.status.as_u16(), 200);
    let emptied = edit(&api, &pitch, "*", &json!({"logline": ""})).await;
    assert_eq!(emptied.summary(), "422 invalid-content /logline missing");
}

#[tokio::test]
async fn an_edit_starts_from_the_version_that_was_read() {
    let api = Api::new().await;
    let pitch = begin(&api, &draft()).await;
    let one = edit(&api, &pitch, &pitch.tag, &json!({"title": "One"})).await;
    assert_eq!(one.status.as_u16(), 200);
    let two = edit(&api, &pitch, &pitch.tag, &json!({"title": "Two"})).await;
    assert_eq!(two.summary(), "412 precondition-failed");
    for tag in ["\"0.x\"", "W/\"2.x\"", "nonsense", ""] {
        let answer = edit(&api, &pitch, tag, &json!({"title": "Two"})).await;
        assert_eq!(answer.summary(), "412 precondition-failed", "{tag}");
    }
    let missing = api
        .ask(
            Who::Ann,
            Method::PATCH,
            &pitch.path,
            &[],
            Some(&json!({"title": "Two"})),
        )
        .await;
    assert_eq!(missing.summary(), "428 precondition-required");
    let now = full(&api, Who::Ann, &pitch).await;
    assert_eq!(now.json()["title"], "One");
    assert_eq!(now.header("etag"), one.header("etag"));
    // What is null goes, what is absent stays.
    let body = json!({"budget": null, "release_year": null});
    let changed = edit(&api, &pitch, one.header("etag"), &body).await.json();
    assert_eq!(
        (&changed["budget"], &changed["release_year"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(changed["title"], "One");
}

#[tokio::test]
async fn the_tag_of_the_public_part_opens_an_edit_too() {
    let api = Api::new().await;
    let pitch = begin(&api, &draft()).await;
    api.step(Who::Ann, &format!("{}/publish", pitch.path)).await;
    let public = api
        .get_with(&pitch.path, &[("accept-encoding", "br")])
        .await;
    let changed = edit(
        &api,
        &pitch,
        public.header("etag"),
        &json!({"title": "New"}),
    )
    .await;
    assert_eq!(changed.status.as_u16(), 200);
    let late = edit(
        &api,
        &pitch,
        public.header("etag"),
        &json!({"title": "Newer"}),
    )
    .await;
    assert_eq!(late.summary(), "412 precondition-failed");
}

#[tokio::test]
async fn a_deleted_pitch_is_gone_for_all() {
    let api = Api::new().await;
    let pitch = begin(&api, &draft()).await;
    api.step(Who::Ann, &format!("{}/publish", pitch.path)).await;
    let delete = async |who: Who, headers: &[(&str, &str)]| {
        api.ask(who, Method::DELETE, &pitch.path, headers, None)
            .await
            .summary()
    };
    assert_eq!(delete(Who::Ann, &[]).await, "428 precondition-required");
    assert_eq!(
        delete(Who::Ann, &[("if-match", &pitch.tag)]).await,
        "412 precondition-failed"
    );
    assert_eq!(
        delete(Who::Bob, &[("if-match", "*")]).await,
        "403 forbidden"
    );
    assert_eq!(delete(Who::Ann, &[("if-match", "*")]).await, "204 -");
    for who in [Who::Ann, Who::Ada, Who::Nobody] {
        assert_eq!(full(&api, who, &pitch).await.summary(), "404 not-found");
    }
    assert_eq!(api.get(&pitch.path).await.summary(), "404 not-found");
    assert_eq!(
        delete(Who::Ann, &[("if-match", "*")]).await,
        "404 not-found"
    );
}

#[tokio::test]
async fn ones_own_pitches_are_listed_in_every_state_page_by_page() {
    let api = Api::new().await;
    for n in 0..5 {
        let body = json!({"title": format!("Draft {n}"), "format": "short"});
        let made = api.post(Who::Bob, "/api/pitches", &body).await;
        assert_eq!(made.status.as_u16(), 201);
        api.clock.advance(std::time::Duration::from_secs(1));
    }
    let mut titles = Vec::new();
    let mut target = "/api/me/pitches?limit=2".to_owned();
    loop {
        let page = api
            .ask(Who::Bob, Method::GET, &target, &[], None)
            .await
            .json();
        let items = page["items"].as_array().expect("items");
        titles.extend(items.iter().map(|item| item["title"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        target = format!("/api/me/pitches?limit=2&cursor={cursor}");
        let foreign = api.ask(Who::Ann, Method::GET, &target, &[], None).await;
        assert_eq!(
            foreign.summary(),
            "400 invalid-cursor",
            "a cursor is its owner's"
        );
        assert!(titles.len() < 10, "pages go on for ever");
    }
    assert_eq!(
        titles,
        [
            "\"Draft 4\"",
            "\"Draft 3\"",
            "\"Draft 2\"",
            "\"Draft 1\"",
            "\"Draft 0\""
        ]
    );
}

#[tokio::test]
async fn saved_pitches_and_followed_people_are_listed() {
    let api = Api::new().await;
    let casablanca = super::support::detail_of(500);
    for _ in 0..2 {
        let saved = api
            .ask(
                Who::Ivy,
                Method::PUT,
                &format!("{casablanca}/saved"),
                &[],
                None,
            )
            .await;
        assert_eq!(saved.status.as_u16(), 204);
        let followed = api
            .ask(Who::Ivy, Method::PUT, "/api/users/ann/followed", &[], None)
            .await;
        assert_eq!(followed.status.as_u16(), 204);
    }
    let saved = api
        .ask(Who::Ivy, Method::GET, "/api/me/saved", &[], None)
        .await
        .json();
    insta::assert_json_snapshot!("saved", saved);
    let following = api
        .ask(Who::Ivy, Method::GET, "/api/me/following", &[], None)
        .await
        .json();
    insta::assert_json_snapshot!("following", following);
    let told = api
        .ask(Who::Ann, Method::GET, "/api/notifications", &[], None)
        .await
        .json();
    assert_eq!(
        (&told["unread"], &told["items"][0]["kind"]),
        (&json!(1), &json!("followed"))
    );

    for (target, list) in [
        (format!("{casablanca}/saved"), "/api/me/saved"),
        ("/api/users/ann/followed".to_owned(), "/api/me/following"),
    ] {
        for _ in 0..2 {
            let gone = api.ask(Who::Ivy, Method::DELETE, &target, &[], None).await;
            assert_eq!(gone.status.as_u16(), 204);
        }
        let left = api.ask(Who::Ivy, Method::GET, list, &[], None).await.json();
        assert_eq!(left["items"], json!([]));
    }
    let nobody = api
        .ask(
            Who::Ivy,
            Method::PUT,
            "/api/users/nobody/followed",
            &[],
            None,
        )
        .await;
    assert_eq!(nobody.summary(), "404 not-found");
    let oneself = api
        .ask(Who::Ivy, Method::PUT, "/api/users/ivy/followed", &[], None)
        .await;
    assert_eq!(oneself.summary(), "403 forbidden");
}
