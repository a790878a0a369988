//! Every endpoint as everybody: what is answered is what `pitchey_model::permission` says, and nothing that
//! the documentation does not.

use super::support::{Answer, Api, Operation, Who, operations};
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A world in which every operation has something to work on: Ann's pitch under an NDA, which Ivy asks for
/// and Pia holds; Ivy's interest in it; a notification for Ann.
pub(super) struct World {
    pub(super) api: Api,
    pub(super) pitch: String,
    pub(super) asked: String,
    granted: String,
    pub(super) interest: String,
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.summary());
    answer.json()["id"].as_str().expect("an id").to_owned()
}

impl World {
    pub(super) async fn new() -> Self {
        let api = Api::new().await;
        let content = json!({
            "title": "The Third Act", "format": "feature", "logline": "It ends.", "genres": ["drama"],
            "visibility": "nda", "full_synopsis": "He did it.",
        });
        let pitch = id(&api.post(Who::Ann, "/api/pitches", &content).await);
        let path = format!("/api/pitches/{pitch}");
        api.step(Who::Ann, &format!("{path}/publish")).await;
        let ndas = format!("{path}/ndas");
        let asked = id(&api
            .post(Who::Ivy, &ndas, &json!({"message": "Please."}))
            .await);
        let granted = id(&api.post(Who::Pia, &ndas, &json!({})).await);
        let approved = api
            .step(Who::Ann, &format!("/api/ndas/{granted}/approve"))
            .await;
        assert_eq!(approved.status.as_u16(), 200);
        let offer = json!({"amount": {"amount": 100, "currency": "EUR"}});
        let interest = id(&api
            .post(Who::Ivy, &format!("{path}/interests"), &offer)
            .await);
        Self {
            api,
            pitch,
            asked,
            granted,
            interest,
        }
    }

    /// A good request for an operation.
    pub(super) fn target(&self, operation: &Operation) -> String {
        let path = operation.path.as_str();
        let id = match path {
            "/api/ndas/{id}/revoke" => &self.granted,
            _ if path.starts_with("/api/ndas") => &self.asked,
            _ if path.starts_with("/api/interests") => &self.interest,
            // Nobody has such a session.
            _ if path.starts_with("/api/auth") => &self.pitch,
            _ => &self.pitch,
        };
        let path = path.replace("{id}", id).replace("{username}", "ann");
        let path = path.replace("{key}", "pitch_list:%2Fapi%2Fpitches");
        match operation.path.as_str() {
            "/api/search" => format!("{path}?q=film"),
            "/api/ndas" | "/api/interests" if operation.method == Method::GET => {
                format!("{path}?side=incoming")
            }
            _ => path,
        }
    }
}

/// A good body for an operation.
pub(super) fn body(operation: &Operation) -> Option<Value> {
    let body = match (operation.method.as_str(), operation.path.as_str()) {
        ("POST", "/api/auth/register") => json!({
            "email": "new@example.org", "username": "new", "password": "correct horse battery", "role": "investor",
        }),
        ("POST", "/api/auth/login") => {
            json!({"email": "ann@example.org", "password": super::support::PASSWORD})
        }
        ("POST", "/api/auth/password") => json!({
            "current_password": super::support::PASSWORD, "new_password": "correct horse battery",
        }),
        ("PATCH", "/api/me") => json!({"bio": "Writes."}),
        ("POST", "/api/pitches") => json!({"title": "Another", "format": "short"}),
        ("PATCH", "/api/pitches/{id}") => json!({"logline": "It begins."}),
        ("POST", "/api/pitches/{id}/interests") => {
            json!({"amount": {"amount": 5, "currency": "USD"}})
        }
        ("POST", "/api/analytics/rum") => {
            json!({"samples": [{"metric": "lcp", "value": 812.5, "route": "/pitches/{id}"}]})
        }
        ("POST", "/api/cache/warm") => json!({"addresses": ["/api/pitches/new"]}),
        ("POST", "/api/cache/purge") => json!({
            "tags": ["lists"], "keys": ["search:/api/search?q=film"], "prefixes": ["pitch_detail:"], "soft": false,
        }),
        ("POST", "/api/analytics/events") => json!({"events": [{"kind": "page.shown"}]}),
        _ => return None,
    };
    Some(body)
}

#[tokio::test]
async fn every_endpoint_answers_everybody_as_it_should() {
    let mut table = format!("{:42}", "");
    for who in Who::ALL {
        let _ = write!(table, " {:>6}", who.name());
    }
    for operation in operations() {
        let name = format!("{} {}", operation.method, operation.path);
        let _ = write!(table, "\n{name:42}");
        for who in Who::ALL {
            let world = World::new().await;
            let if_match: &[(&str, &str)] = if operation.needs_if_match {
                &[("if-match", "*")]
            } else {
                &[]
            };
            let target = world.target(&operation);
            let method = operation.method.clone();
            let body = body(&operation);
            let answer = world
                .api
                .ask(who, method, &target, if_match, body.as_ref())
                .await;
            let status = answer.status.as_u16();
            assert!(
                operation.statuses.contains(&status),
                "{name} answered {status}, which is not documented"
            );
            let _ = write!(table, " {status:>6}");
        }
    }
    insta::assert_snapshot!(table);
}
