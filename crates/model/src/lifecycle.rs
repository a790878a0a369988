//! The state machines of pitches, NDAs and interests: which action leads from which state to which.
//! Who may take an action is not decided here.

use crate::{InterestStatus, NdaStatus, PitchStatus};
use thiserror::Error;

/// An action that the present state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cannot {action} what is {state}")]
pub struct NotAllowed {
    /// What was tried.
    pub action: &'static str,
    /// The state it was tried in.
    pub state: &'static str,
}

/// What can be done with a pitch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PitchAction {
    /// Put it on the site.
    Publish,
    /// Take it off the site.
    Archive,
    /// Back to a draft, to be worked on.
    Withdraw,
}

impl PitchAction {
    /// Every action.
    pub const ALL: &[Self] = &[Self::Publish, Self::Archive, Self::Withdraw];

    const fn verb(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Archive => "archive",
            Self::Withdraw => "withdraw",
        }
    }
}

/// The state of a pitch after an action.
pub const fn pitch(state: PitchStatus, action: PitchAction) -> Result<PitchStatus, NotAllowed> {
    use PitchAction::{Archive, Publish, Withdraw};
    use PitchStatus::{Archived, Draft, Published};
    match (state, action) {
        (Draft | Archived, Publish) => Ok(Published),
        (Published, Archive) => Ok(Archived),
        (Published | Archived, Withdraw) => Ok(Draft),
        (Published, Publish) | (Draft | Archived, Archive) | (Draft, Withdraw) => Err(NotAllowed {
            action: action.verb(),
            state: state.as_str(),
        }),
    }
}

/// What can be done with an NDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NdaAction {
    /// The creator grants it.
    Approve,
    /// The creator refuses it.
    Reject,
    /// The creator takes it back.
    Revoke,
}

impl NdaAction {
    /// Every action.
    pub const ALL: &[Self] = &[Self::Approve, Self::Reject, Self::Revoke];

    const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Revoke => "revoke",
        }
    }
}

/// The state of an NDA after an action. A refused or revoked one is final: a new request is a new NDA.
pub const fn nda(state: NdaStatus, action: NdaAction) -> Result<NdaStatus, NotAllowed> {
    use NdaAction::{Approve, Reject, Revoke};
    use NdaStatus::{Approved, Rejected, Requested, Revoked};
    match (state, action) {
        (Requested, Approve) => Ok(Approved),
        (Requested, Reject) => Ok(Rejected),
        (Approved, Revoke) => Ok(Revoked),
        (Requested, Revoke) | (Approved, Approve | Reject) | (Rejected | Revoked, _) => {
            Err(NotAllowed {
                action: action.verb(),
                state: state.as_str(),
            })
        }
    }
}

/// What can be done with an expression of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterestAction {
    /// The investor takes it back.
    Withdraw,
    /// The creator takes it up.
    Accept,
    /// The creator turns it down.
    Decline,
}

impl InterestAction {
    /// Every action.
    pub const ALL: &[Self] = &[Self::Withdraw, Self::Accept, Self::Decline];

    const fn verb(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Accept => "accept",
            Self::Decline => "decline",
        }
    }
}

/// The state of an interest after an action. Only one that waits for an answer can change.
pub const fn interest(
    state: InterestStatus,
    action: InterestAction,
) -> Result<InterestStatus, NotAllowed> {
    match (state, action) {
        (InterestStatus::Expressed, InterestAction::Withdraw) => Ok(InterestStatus::Withdrawn),
        (InterestStatus::Expressed, InterestAction::Accept) => Ok(InterestStatus::Accepted),
        (InterestStatus::Expressed, InterestAction::Decline) => Ok(InterestStatus::Declined),
        (InterestStatus::Withdrawn | InterestStatus::Accepted | InterestStatus::Declined, _) => {
            Err(NotAllowed {
                action: action.verb(),
                state: state.as_str(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table as text, so that a change of any cell is a change of this test.
    fn table<S: Copy, A: Copy, E>(
        states: &[S],
        actions: &[A],
        step: impl Fn(S, A) -> Result<S, E>,
        word: impl Fn(S) -> &'static str,
    ) -> Vec<String> {
        states
            .iter()
            .map(|&state| {
                let cells = actions
                    .iter()
                    .map(|&action| step(state, action).map_or("-", &word));
                format!("{}: {}", word(state), cells.collect::<Vec<_>>().join(" "))
            })
            .collect()
    }

    #[test]
    fn pitch_table() {
        let rows = table(
            PitchStatus::ALL,
            PitchAction::ALL,
            pitch,
            PitchStatus::as_str,
        );
        // Columns: publish, archive, withdraw.
        assert_eq!(
            rows,
            [
                "draft: published - -",
                "published: - archived draft",
                "archived: published - draft"
            ]
        );
    }

    #[test]
    fn nda_table() {
        let rows = table(NdaStatus::ALL, NdaAction::ALL, nda, NdaStatus::as_str);
        // Columns: approve, reject, revoke.
        assert_eq!(
            rows,
            [
                "requested: approved rejected -",
                "approved: - - revoked",
                "rejected: - - -",
                "revoked: - - -"
            ]
        );
    }

    #[test]
    fn interest_table() {
        let rows = table(
            InterestStatus::ALL,
            InterestAction::ALL,
            interest,
            InterestStatus::as_str,
        );
        // Columns: withdraw, accept, decline.
        assert_eq!(
            rows,
            [
                "expressed: withdrawn accepted declined",
                "withdrawn: - - -",
                "accepted: - - -",
                "declined: - - -"
            ]
        );
    }

    #[test]
    fn a_refusal_names_action_and_state() {
        let error = nda(NdaStatus::Revoked, NdaAction::Approve).expect_err("revoked is final");
        assert_eq!(error.to_string(), "cannot approve what is revoked");
    }
}
