//! Decisions: what becomes of a pitch, an NDA or an interest when somebody acts on it, and what else that
//! brings about.
//!
//! A store loads, locked, what a decision needs, asks here, and writes what comes back, all in one
//! transaction. The order of refusals is the same everywhere: permission, precondition, state, content.

mod follows;
mod interests;
mod ndas;
mod pitches;

pub use follows::{follow, unfollow};
pub use interests::{express_interest, read_interest, step_interest};
pub use ndas::{NdaStep, read_nda, request_nda, step_nda};
pub use pitches::{
    create_pitch, delete_pitch, edit_pitch, read_full, read_public, save, step_pitch, take_down,
};

use crate::event::{Effects, Notice};
use crate::lifecycle::NotAllowed;
use crate::permission::{DealRelation, Verdict};
use crate::{Actor, Person, PitchId};
use thiserror::Error;

/// Which versions of a thing a change may start from (`If-Match`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whichever there is.
    Any,
    /// One of these.
    OneOf(Vec<i64>),
}

impl Expected {
    /// [`Refusal::Stale`] unless the current version is one of those expected.
    pub fn check(&self, current: i64) -> Result<(), Refusal> {
        match self {
            Self::OneOf(versions) if !versions.contains(&current) => Err(Refusal::Stale),
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Perhaps, once one knows who asks.
    #[error("this needs an account")]
    SignIn,
    /// They may not.
    #[error("this account may not do that")]
    Forbidden,
    /// It is not there, or they may not know that it is.
    #[error("there is nothing at this address")]
    NotFound,
    /// It has changed since it was read.
    #[error("it has changed since it was read")]
    Stale,
    /// Its state does not allow it.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Something that is there already stands in its way.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// These fields are needed first.
    #[error("{} needed before it can be published", fields(.0))]
    Incomplete(Vec<&'static str>),
    /// The idempotency key came with another request before.
    #[error("the idempotency key was used for another request")]
    KeyReused,
}

fn fields(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(" and "))
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Conflict {
    /// There is an NDA that waits for an answer or was granted.
    #[error("there is an NDA already")]
    NdaExists,
    /// Anyone may read it.
    #[error("this pitch is read without an NDA")]
    NdaNotNeeded,
    /// There is an interest that waits for an answer or was accepted.
    #[error("there is an interest already")]
    InterestExists,
    /// A request with the same idempotency key is being worked on.
    #[error("a request with this idempotency key is being worked on")]
    KeyInFlight,
}

impl From<Verdict> for Result<(), Refusal> {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allowed => Ok(()),
            Verdict::SignIn => Err(Refusal::SignIn),
            Verdict::Forbidden => Err(Refusal::Forbidden),
            Verdict::Hidden => Err(Refusal::NotFound),
        }
    }
}

/// What a decision gives: the thing as it is now, and what else happens.
pub type Decision<T> = Result<(T, Effects), Refusal>;

fn deal_relation(actor: &Actor, asker: &Person, creator: &Person) -> DealRelation {
    if actor.id == creator.id {
        DealRelation::Creator
    } else if actor.id == asker.id {
        DealRelation::Asker
    } else {
        DealRelation::Stranger
    }
}

fn person(actor: &Actor) -> Person {
    Person {
        id: actor.id,
        username: actor.username.clone(),
        display_name: actor.display_name.clone(),
    }
}

fn notice(actor: &Actor, pitch: Option<(PitchId, &String)>) -> Notice {
    Notice {
        username: actor.username.clone(),
        display_name: actor.display_name.clone(),
        pitch_id: pitch.map(|(id, _)| id),
        pitch_title: pitch.map(|(_, title)| title.clone()),
        nda_id: None,
        interest_id: None,
    }
}

#[cfg(test)]
mod tests;
