//! NDAs: asking for one, and what its creator says.

use super::pitches::{may, relation};
use super::{Conflict, Decision, Expected, Refusal, deal_relation, notice, person};
use crate::event::{Audience, Audit, Effects, Event, Notice};
use crate::lifecycle::{self, NdaAction};
use crate::permission::{self, DealRelation, DealRight, PitchRight};
use crate::{Actor, Nda, NdaStatus, NewNda, NoticeKind, Pitch, Visibility};
use time::OffsetDateTime;

/// A request for an NDA. `live` is the requester's NDA that waits or was approved, if there is one; if it
/// has expired, it comes back revoked beside the new one.
pub fn request_nda(
    actor: &Actor,
    pitch: &Pitch,
    live: Option<&Nda>,
    new: NewNda,
    now: OffsetDateTime,
) -> Decision<(Nda, Option<Nda>)> {
    may(
        Some(actor),
        relation(actor, pitch),
        pitch,
        PitchRight::RequestNda,
    )?;
    if pitch.content.visibility == Visibility::Public {
        return Err(Conflict::NdaNotNeeded.into());
    }
    let expired = match live {
        Some(live) if live.status == NdaStatus::Approved && !live.holds(now) => {
            let mut ended = live.clone();
            ended.status = NdaStatus::Revoked;
            "expired".clone_into(&mut ended.decision);
            ended.decided_at = Some(now);
            ended.version += 1;
            Some(ended)
        }
        Some(_) => return Err(Conflict::NdaExists.into()),
        None => None,
    };
    let nda = Nda {
        id: new.id,
        pitch: pitch.id,
        pitch_title: pitch.content.title.clone(),
        requester: person(actor),
        creator: pitch.creator.clone(),
        status: NdaStatus::Requested,
        message: new.message,
        decision: String::new(),
        created_at: now,
        decided_at: None,
        expires_at: None,
        version: 1,
    };
    let mut effects = nda_effects(actor, &nda, NoticeKind::NdaRequested, "nda.request");
    if let Some(ended) = &expired {
        effects.events.push(nda_event(ended));
    }
    Ok(((nda, expired), effects))
}

/// What a creator says about an NDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NdaStep {
    /// Yes, no, or no longer.
    pub action: NdaAction,
    /// In words.
    pub decision: String,
    /// Until when a yes holds; [`Nda::DEFAULT_TERM`] from now if absent.
    pub expires_at: Option<OffsetDateTime>,
}

/// An NDA is approved, rejected or revoked.
pub fn step_nda(
    actor: &Actor,
    before: &Nda,
    expected: &Expected,
    step: NdaStep,
    now: OffsetDateTime,
) -> Decision<Nda> {
    let right = match step.action {
        NdaAction::Approve | NdaAction::Reject => DealRight::Decide,
        NdaAction::Revoke => DealRight::Revoke,
    };
    let relation = nda_relation(actor, before);
    Result::from(permission::deal(Some(actor.role), relation, right))?;
    expected.check(before.version)?;
    let mut after = before.clone();
    after.status = lifecycle::nda(before.status, step.action)?;
    after.decision = step.decision;
    after.decided_at = Some(now);
    if after.status == NdaStatus::Approved {
        after.expires_at = Some(step.expires_at.unwrap_or(now + Nda::DEFAULT_TERM));
    }
    after.version += 1;
    let (kind, action) = match step.action {
        NdaAction::Approve => (NoticeKind::NdaApproved, "nda.approve"),
        NdaAction::Reject => (NoticeKind::NdaRejected, "nda.reject"),
        NdaAction::Revoke => (NoticeKind::NdaRevoked, "nda.revoke"),
    };
    let effects = nda_effects(actor, &after, kind, action);
    Ok((after, effects))
}

/// May somebody read this NDA?
pub fn read_nda(actor: &Actor, nda: &Nda) -> Result<(), Refusal> {
    permission::deal(Some(actor.role), nda_relation(actor, nda), DealRight::Read).into()
}

fn nda_relation(actor: &Actor, nda: &Nda) -> DealRelation {
    deal_relation(actor, &nda.requester, &nda.creator)
}

fn nda_event(nda: &Nda) -> Event {
    Event::NdaChanged {
        nda_id: nda.id,
        pitch_id: nda.pitch,
        requester_id: nda.requester.id,
        creator_id: nda.creator.id,
        status: nda.status,
        version: nda.version,
    }
}

fn nda_effects(actor: &Actor, nda: &Nda, kind: NoticeKind, action: &'static str) -> Effects {
    let told = match kind {
        NoticeKind::NdaRequested => &nda.creator,
        _ => &nda.requester,
    };
    Effects {
        events: vec![nda_event(nda)],
        notices: vec![(
            Audience::User(told.id),
            kind,
            Notice {
                nda_id: Some(nda.id),
                ..notice(actor, Some((nda.pitch, &nda.pitch_title)))
            },
        )],
        audit: vec![Audit {
            action,
            subject_kind: "nda",
            subject_id: nda.id.0,
            detail: vec![("pitch", nda.pitch.to_string())],
        }],
        ..Effects::default()
    }
}
