//! What people can reach that is not theirs.

use super::{ask, ask_at, text};
use crate::tests::roles::World;
use crate::tests::support::{Who, operations};
use http::Method;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use uuid::Uuid;

#[tokio::test]
async fn what_one_may_not_know_of_is_answered_like_what_is_not_there() {
    let mut asked = 0;
    for operation in operations() {
        if !operation.path.contains("{id}") {
            continue;
        }
        for who in [Who::Nobody, Who::Bob] {
            let world = World::new().await;
            // Ann's pitch is a draft again.
            let withdraw = format!("/api/pitches/{}/withdraw", world.pitch);
            assert_eq!(
                world.api.step(Who::Ann, &withdraw).await.status.as_u16(),
                200
            );
            let id = match operation.path.split('/').nth(2) {
                Some("pitches") => world.pitch.clone(),
                Some("ndas") => world.asked.clone(),
                Some("interests") => world.interest.clone(),
                // Of a session of Ann's.
                Some("auth") => Uuid::from_u128(9001).to_string(),
                other => panic!("whose ids are those of {other:?}?"),
            };
            let there = operation.path.replace("{id}", &id);
            let nowhere = Uuid::from_u128(1).to_string();
            let not_there = operation.path.replace("{id}", &nowhere);
            let foreign = ask_at(&world, who, &operation, &there).await;
            let unknown = ask_at(&world, who, &operation, &not_there).await;
            let name = format!("{} {} as {who:?}", operation.method, operation.path);
            assert_eq!(foreign.summary(), unknown.summary(), "{name}");
            assert_eq!(text(&foreign), text(&unknown), "{name}");
            // A beacon, and taking away what is not there, say nothing either way.
            let refused = [401, 404, 204].contains(&foreign.status.as_u16());
            assert!(refused, "{name}: {}", foreign.summary());
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

#[tokio::test]
async fn a_session_of_somebody_else_is_not_ended() {
    let world = World::new().await;
    let anns = format!("/api/auth/sessions/{}", Uuid::from_u128(9001));
    let foreign = world
        .api
        .ask(Who::Bob, Method::DELETE, &anns, &[], None)
        .await;
    assert_eq!(foreign.summary(), "404 not-found");
    let own = world
        .api
        .ask(Who::Ann, Method::DELETE, &anns, &[], None)
        .await;
    assert_eq!(own.status.as_u16(), 204, "it was there all the time");
}

#[tokio::test]
async fn protected_content_and_addresses_go_to_those_who_may_read_them_alone() {
    let (mut content, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for operation in operations() {
        for who in Who::ALL {
            let answer = ask(&World::new().await, who, &operation).await;
            let text = text(&answer);
            let name = format!("{} {} {who:?}", operation.method, operation.path);
            assert!(
                !text.contains("plain:") && !text.contains("_hash"),
                "{name}"
            );
            if text.contains("He did it") || text.contains("full_synopsis") {
                content.insert(name.clone());
            }
            if text.contains("@example.org") {
                addresses.insert(name);
            }
        }
    }
    let mut report = String::from("The protected part is sent by\n");
    for name in content {
        let _ = writeln!(report, "  {name}");
    }
    report += "an e-mail address by\n";
    for name in addresses {
        let _ = writeln!(report, "  {name}");
    }
    insta::assert_snapshot!(report);
}

#[tokio::test]
async fn a_method_that_reads_changes_nothing_whatever_else_is_said() {
    let world = World::new().await;
    let reads: BTreeSet<String> = operations()
        .into_iter()
        .filter(|operation| operation.method == Method::GET)
        .map(|operation| operation.path)
        .collect();
    for operation in operations() {
        if operation.method == Method::GET {
            continue;
        }
        let headers = [
            ("x-http-method-override", operation.method.as_str()),
            ("x-method-override", operation.method.as_str()),
            ("if-match", "*"),
        ];
        let target = world.target(&operation);
        for method in [Method::GET, Method::HEAD] {
            let answer = world
                .api
                .ask(Who::Ann, method, &target, &headers, None)
                .await;
            let status = answer.status.as_u16();
            let expected = if reads.contains(&operation.path) {
                200..=404
            } else {
                405..=405
            };
            assert!(
                expected.contains(&status),
                "{} {target}: {status}",
                operation.method
            );
        }
    }
    let path = format!("/api/pitches/{}", world.pitch);
    assert_eq!(world.api.get(&path).await.status.as_u16(), 200);
    let me = world
        .api
        .ask(Who::Ann, Method::GET, "/api/auth/session", &[], None)
        .await;
    assert!(me.json()["session"].is_object(), "Ann is still signed in");
}
