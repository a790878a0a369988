//! What an attacker would try over HTTP. `docs/SECURITY.md` names these tests beside the items of
//! OWASP ASVS 5.0 that they show.

mod access;
mod answers;
mod input;
mod sessions;

use super::roles::{World, body};
use super::support::{Answer, Operation, Who};

/// A good request for an operation.
async fn ask(world: &World, who: Who, operation: &Operation) -> Answer {
    ask_at(world, who, operation, &world.target(operation)).await
}

/// The same at another address.
async fn ask_at(world: &World, who: Who, operation: &Operation, target: &str) -> Answer {
    let headers: &[(&str, &str)] = if operation.needs_if_match {
        &[("if-match", "*")]
    } else {
        &[]
    };
    let (method, body) = (operation.method.clone(), body(operation));
    world
        .api
        .ask(who, method, target, headers, body.as_ref())
        .await
}

/// What an answer says, as text.
fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}
