//! What answers tell browsers and caches.

use super::{ask, text};
use crate::routes::{Caching, caching_of};
use crate::tests::roles::World;
use crate::tests::support::{Answer, Api, Who, detail_of, operations};
use http::Method;
use serde_json::json;

/// Answers to every operation, good ones and refusals, and to what is no operation.
async fn answers() -> Vec<(String, Answer)> {
    let mut all = Vec::new();
    for operation in operations() {
        for who in [Who::Nobody, Who::Ann, Who::Bob] {
            let answer = ask(&World::new().await, who, &operation).await;
            let name = format!("{} {} as {who:?}", operation.method, operation.path);
            all.push((name, answer));
        }
    }
    let api = Api::new().await;
    let long = format!("/api/pitches?genre={}", "x".repeat(5000));
    for target in [
        "/",
        "/api/nope",
        "/problems",
        "/problems/not-found",
        "/api/openapi.json",
        &long,
    ] {
        all.push((target.to_owned(), api.get(target).await));
    }
    all
}

fn directives(answer: &Answer) -> Vec<String> {
    let policy = answer.header("content-security-policy");
    policy
        .split(';')
        .map(|directive| directive.trim().to_owned())
        .collect()
}

/// What every answer has, whichever policy is its own.
fn check_protected(name: &str, answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{name}");
    for directive in [
        "default-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        let directives = directives(answer);
        assert!(directives.iter().any(|one| one == directive), "{name}");
    }
}

#[tokio::test]
async fn every_answer_is_taken_for_what_it_says_framed_nowhere_and_tells_no_referrer() {
    for (name, answer) in answers().await {
        check_protected(&name, &answer);
    }
}

#[tokio::test]
async fn what_is_data_runs_nothing_if_a_browser_is_led_to_it() {
    for (name, answer) in answers().await {
        let directives = directives(&answer);
        assert!(directives.iter().any(|one| one == "sandbox"), "{name}");
        let loads = directives.iter().filter(|one| one.contains("-src"));
        assert_eq!(loads.collect::<Vec<_>>(), ["default-src 'none'"], "{name}");
    }
}

#[cfg(feature = "docs")]
#[tokio::test]
async fn the_pages_of_the_documentation_load_from_their_own_host_alone() {
    let api = Api::new().await;
    for page in ["", "swagger-ui.css", "swagger-ui-bundle.js", "nope.js"] {
        let answer = api.get(&format!("/api/docs/{page}")).await;
        check_protected(page, &answer);
        let directives = directives(&answer);
        assert!(
            !directives
                .iter()
                .any(|one| one.contains("http") || one.contains('*')),
            "{page}"
        );
        let scripts = directives.iter().find(|one| one.starts_with("script-src"));
        assert!(
            scripts.is_none_or(|one| one == "script-src 'self'"),
            "{page}"
        );
    }
}

#[cfg(feature = "docs")]
#[tokio::test]
async fn the_one_redirect_goes_where_it_always_goes() {
    let api = Api::new().await;
    let headers = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
    ];
    for target in ["/api/docs", "/api/docs?next=//evil.example"] {
        let answer = api.get_with(target, &headers).await;
        assert!(answer.status.is_redirection());
        assert_eq!(answer.header("location"), "/api/docs/");
    }
    for (name, answer) in answers().await {
        assert!(!answer.status.is_redirection(), "{name}");
    }
}

#[cfg(feature = "docs")]
#[tokio::test]
async fn files_are_served_by_name_and_no_directory_is_listed() {
    let api = Api::new().await;
    for name in [
        "..",
        ".",
        ".env",
        ".git",
        ".git%2fconfig",
        "%2e%2e%2fCargo.toml",
        "..%2f..%2fetc%2fpasswd",
    ] {
        let answer = api.get(&format!("/api/docs/{name}")).await;
        assert_eq!(answer.summary(), "404 not-found", "{name}");
    }
    let index = api.get("/api/docs/").await;
    assert!(text(&index).contains("<title>Swagger UI</title>"));
}

#[tokio::test]
async fn no_page_of_another_site_may_read_an_answer() {
    let world = World::new().await;
    let cookie = Who::Ann.cookie().expect("a cookie");
    for origin in ["https://evil.example", "https://studio.example", "null"] {
        for operation in operations() {
            let target = world.target(&operation);
            let method = operation.method.as_str();
            let headers = [
                ("origin", origin),
                ("cookie", &cookie),
                ("access-control-request-method", method),
                ("access-control-request-headers", "content-type"),
            ];
            for asked in [Method::OPTIONS, Method::GET] {
                let answer = world
                    .api
                    .ask(Who::Nobody, asked, &target, &headers, None)
                    .await;
                let names = answer.headers.keys().map(http::HeaderName::as_str);
                let granted: Vec<&str> = names
                    .filter(|name| name.starts_with("access-control-"))
                    .collect();
                assert!(granted.is_empty(), "{target}: {granted:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_with_content_says_its_type_and_one_without_says_none() {
    for (name, answer) in answers().await {
        let kind = answer.header("content-type");
        if answer.body.is_empty() {
            assert_eq!(kind, "", "{name}");
            continue;
        }
        // JSON is UTF-8 and has no charset to say (RFC 8259, section 11).
        let expected = match answer.body[0] {
            b'<' => "text/html; charset=utf-8",
            _ if answer.status.is_success() => "application/json",
            _ => "application/problem+json",
        };
        assert_eq!(kind, expected, "{name}");
        if expected != "text/html; charset=utf-8" {
            assert_ne!(answer.json(), serde_json::Value::Null, "{name}");
        }
    }
}

#[tokio::test]
async fn only_reads_that_anyone_may_see_are_kept_by_caches() {
    for operation in operations() {
        let name = format!("{} {}", operation.method, operation.path);
        let public = caching_of(&operation.method, &operation.path) != Caching::Private;
        let world = World::new().await;
        let nobody = ask(&world, Who::Nobody, &operation).await;
        for who in Who::ALL {
            let world = World::new().await;
            let answer = ask(&world, who, &operation).await;
            let caching = answer.header("cache-control");
            if public && answer.status.as_u16() == 200 {
                assert!(caching.starts_with("public, max-age="), "{name}: {caching}");
                assert_eq!(answer.header("set-cookie"), "", "{name}");
                let (own, others) = (without_ids(&text(&answer)), without_ids(&text(&nobody)));
                assert_eq!(own, others, "{name} as {who:?}");
            } else {
                assert!(
                    ["private, no-store", "no-store"].contains(&caching),
                    "{name} as {who:?}: {caching}"
                );
            }
        }
    }
}

/// Two worlds have the same things under other ids.
fn without_ids(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_hexdigit()).collect()
}

#[tokio::test]
async fn where_a_new_thing_is_does_not_depend_on_what_a_client_says_of_itself() {
    let api = Api::new().await;
    let headers = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "javascript"),
        ("x-original-url", "/admin"),
    ];
    let body = json!({"title": "\"><script>//evil.example</script>", "format": "short"});
    let made = api
        .ask(
            Who::Ann,
            Method::POST,
            "/api/pitches",
            &headers,
            Some(&body),
        )
        .await;
    let made_json = made.json();
    let id = made_json["id"].as_str().expect("an id");
    assert_eq!(made.header("location"), format!("/api/pitches/{id}"));
    let broken = json!({"title": "a\r\nSet-Cookie: a=b", "format": "short"});
    let refused = api.post(Who::Ann, "/api/pitches", &broken).await;
    assert_eq!(
        refused.summary(),
        "422 invalid-content /title control_character"
    );
    let read = api.get_with(&detail_of(500), &headers).await;
    assert!(!text(&read).contains("evil.example"));
}
