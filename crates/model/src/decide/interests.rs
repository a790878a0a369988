//! Expressions of interest, and what becomes of them.

use super::pitches::{may, relation};
use super::{Conflict, Decision, Expected, Refusal, deal_relation, notice, person};
use crate::event::{Audience, Audit, Effects, Event, Notice};
use crate::lifecycle::{self, InterestAction};
use crate::permission::{self, DealRight, PitchRight};
use crate::{Actor, Interest, InterestStatus, NewInterest, NoticeKind, Pitch};
use time::OffsetDateTime;

/// An expression of interest. `live` is the investor's interest that waits or was accepted.
pub fn express_interest(
    actor: &Actor,
    pitch: &Pitch,
    live: Option<&Interest>,
    new: NewInterest,
    now: OffsetDateTime,
) -> Decision<Interest> {
    may(
        Some(actor),
        relation(actor, pitch),
        pitch,
        PitchRight::ExpressInterest,
    )?;
    if live.is_some() {
        return Err(Conflict::InterestExists.into());
    }
    let interest = Interest {
        id: new.id,
        pitch: pitch.id,
        pitch_title: pitch.content.title.clone(),
        investor: person(actor),
        creator: pitch.creator.clone(),
        status: InterestStatus::Expressed,
        amount: new.amount,
        message: new.message,
        created_at: now,
        decided_at: None,
        version: 1,
    };
    let kind = NoticeKind::InterestExpressed;
    let effects = interest_effects(actor, &interest, kind, "interest.express");
    Ok((interest, effects))
}

/// An interest is withdrawn, accepted or declined.
pub fn step_interest(
    actor: &Actor,
    before: &Interest,
    expected: &Expected,
    action: InterestAction,
    now: OffsetDateTime,
) -> Decision<Interest> {
    let right = match action {
        InterestAction::Withdraw => DealRight::Withdraw,
        InterestAction::Accept | InterestAction::Decline => DealRight::Decide,
    };
    let relation = deal_relation(actor, &before.investor, &before.creator);
    Result::from(permission::deal(Some(actor.role), relation, right))?;
    expected.check(before.version)?;
    let mut after = before.clone();
    after.status = lifecycle::interest(before.status, action)?;
    after.decided_at = Some(now);
    after.version += 1;
    let (kind, action) = match action {
        InterestAction::Withdraw => (NoticeKind::InterestWithdrawn, "interest.withdraw"),
        InterestAction::Accept => (NoticeKind::InterestAccepted, "interest.accept"),
        InterestAction::Decline => (NoticeKind::InterestDeclined, "interest.decline"),
    };
    let effects = interest_effects(actor, &after, kind, action);
    Ok((after, effects))
}

/// May somebody read this interest?
pub fn read_interest(actor: &Actor, interest: &Interest) -> Result<(), Refusal> {
    let relation = deal_relation(actor, &interest.investor, &interest.creator);
    permission::deal(Some(actor.role), relation, DealRight::Read).into()
}

fn interest_effects(
    actor: &Actor,
    interest: &Interest,
    kind: NoticeKind,
    action: &'static str,
) -> Effects {
    let told = match kind {
        NoticeKind::InterestExpressed | NoticeKind::InterestWithdrawn => &interest.creator,
        _ => &interest.investor,
    };
    Effects {
        events: vec![Event::InterestChanged {
            interest_id: interest.id,
            pitch_id: interest.pitch,
            investor_id: interest.investor.id,
            creator_id: interest.creator.id,
            status: interest.status,
            version: interest.version,
        }],
        notices: vec![(
            Audience::User(told.id),
            kind,
            Notice {
                interest_id: Some(interest.id),
                ..notice(actor, Some((interest.pitch, &interest.pitch_title)))
            },
        )],
        audit: vec![Audit {
            action,
            subject_kind: "interest",
            subject_id: interest.id.0,
            detail: vec![("pitch", interest.pitch.to_string())],
        }],
        ..Effects::default()
    }
}
