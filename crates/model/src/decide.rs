//! Decisions: what becomes of a pitch, an NDA or an interest when somebody acts on it, and what else that
//! brings about.
//!
//! A store loads, locked, what a decision needs, asks here, and writes what comes back, all in one
//! transaction. The order of refusals is the same everywhere: permission, precondition, state, content.

use crate::event::{Audience, Audit, Effects, Event, Notice, Tag};
use crate::lifecycle::{self, InterestAction, NdaAction, NotAllowed, PitchAction};
use crate::permission::{self, DealRelation, DealRight, PitchRelation, PitchRight, Verdict};
use crate::{
    Actor, Interest, InterestStatus, Nda, NdaStatus, NewInterest, NewNda, NoticeKind, Person,
    Pitch, PitchChange, PitchContent, PitchId, PitchStatus, Visibility,
};
use thiserror::Error;
use time::OffsetDateTime;

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

// ------------------------------------------------------------------------------------------------ pitches

/// May somebody, `None` when not signed in, read all of it? `nda` is their live NDA.
pub fn read_full(
    actor: Option<&Actor>,
    pitch: &Pitch,
    nda: Option<&Nda>,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let relation = match actor {
        Some(actor) if actor.id == pitch.creator.id => PitchRelation::Owner,
        Some(actor)
            if nda.is_some_and(|nda| {
                nda.pitch == pitch.id && nda.requester.id == actor.id && nda.holds(now)
            }) =>
        {
            PitchRelation::NdaHolder
        }
        _ => PitchRelation::Stranger,
    };
    may(actor, relation, pitch, PitchRight::ReadFull)
}

/// Somebody saves a pitch.
pub fn save(actor: &Actor, pitch: &Pitch) -> Result<(), Refusal> {
    may(Some(actor), relation(actor, pitch), pitch, PitchRight::Save)
}

/// A new pitch, a draft.
pub fn create_pitch(
    actor: &Actor,
    id: PitchId,
    content: PitchContent,
    now: OffsetDateTime,
) -> Decision<Pitch> {
    Result::from(permission::create_pitch(Some(actor.role)))?;
    let pitch = Pitch {
        id,
        creator: person(actor),
        content,
        cover: None,
        status: PitchStatus::Draft,
        published_at: None,
        archived_at: None,
        created_at: now,
        updated_at: now,
        version: 1,
        view_count: 0,
    };
    let effects = pitch_effects(None, &pitch, false);
    Ok((pitch, effects))
}

/// A creator changes what a pitch says.
pub fn edit_pitch(
    actor: &Actor,
    before: &Pitch,
    expected: &Expected,
    change: PitchChange,
    now: OffsetDateTime,
) -> Decision<Pitch> {
    may(
        Some(actor),
        relation(actor, before),
        before,
        PitchRight::Edit,
    )?;
    expected.check(before.version)?;
    let mut after = before.clone();
    change.apply(&mut after.content);
    if after.status == PitchStatus::Published {
        complete(&after.content)?;
    }
    touch(&mut after, now);
    let effects = pitch_effects(Some(before), &after, false);
    Ok((after, effects))
}

/// A pitch is published, archived or made a draft again.
pub fn step_pitch(
    actor: &Actor,
    before: &Pitch,
    expected: &Expected,
    action: PitchAction,
    now: OffsetDateTime,
) -> Decision<Pitch> {
    let right = match action {
        PitchAction::Publish => PitchRight::Publish,
        PitchAction::Archive => PitchRight::Archive,
        PitchAction::Withdraw => PitchRight::Withdraw,
    };
    may(Some(actor), relation(actor, before), before, right)?;
    expected.check(before.version)?;
    let mut after = before.clone();
    after.status = lifecycle::pitch(before.status, action)?;
    match after.status {
        PitchStatus::Published => {
            complete(&after.content)?;
            // A pitch that comes back keeps its place in the lists.
            after.published_at = Some(before.published_at.unwrap_or(now));
        }
        PitchStatus::Archived => after.archived_at = Some(now),
        PitchStatus::Draft => {}
    }
    touch(&mut after, now);
    let mut effects = pitch_effects(Some(before), &after, false);
    let first = before.published_at.is_none() && after.status == PitchStatus::Published;
    if first && after.content.visibility != Visibility::Private {
        effects.notices.push((
            Audience::FollowersOf(after.creator.id),
            NoticeKind::PitchPublished,
            notice(actor, Some((after.id, &after.content.title))),
        ));
    }
    effects.audit.push(Audit {
        action: match action {
            PitchAction::Publish => "pitch.publish",
            PitchAction::Archive => "pitch.archive",
            PitchAction::Withdraw => "pitch.withdraw",
        },
        subject_kind: "pitch",
        subject_id: after.id.0,
        detail: Vec::new(),
    });
    Ok((after, effects))
}

/// An operator, who has no account, takes a pitch off the site, whosever it is.
pub fn take_down(
    before: &Pitch,
    operator: &str,
    reason: &str,
    now: OffsetDateTime,
) -> Decision<Pitch> {
    let mut after = before.clone();
    after.status = lifecycle::pitch(before.status, PitchAction::Archive)?;
    after.archived_at = Some(now);
    touch(&mut after, now);
    let mut effects = pitch_effects(Some(before), &after, false);
    effects.audit.push(Audit {
        action: "pitch.archive",
        subject_kind: "pitch",
        subject_id: after.id.0,
        detail: vec![
            ("operator", operator.to_owned()),
            ("reason", reason.to_owned()),
        ],
    });
    Ok((after, effects))
}

/// A pitch is removed for good.
pub fn delete_pitch(
    actor: &Actor,
    before: &Pitch,
    expected: &Expected,
    now: OffsetDateTime,
) -> Decision<Pitch> {
    may(
        Some(actor),
        relation(actor, before),
        before,
        PitchRight::Delete,
    )?;
    expected.check(before.version)?;
    let mut after = before.clone();
    touch(&mut after, now);
    let mut effects = pitch_effects(Some(before), &after, true);
    effects.audit.push(Audit {
        action: "pitch.delete",
        subject_kind: "pitch",
        subject_id: after.id.0,
        detail: vec![("title", after.content.title.clone())],
    });
    Ok((after, effects))
}

fn touch(pitch: &mut Pitch, now: OffsetDateTime) {
    pitch.updated_at = now;
    pitch.version += 1;
}

fn complete(content: &PitchContent) -> Result<(), Refusal> {
    let missing = content.missing_for_publication();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Incomplete(missing))
    }
}

fn relation(actor: &Actor, pitch: &Pitch) -> PitchRelation {
    if actor.id == pitch.creator.id {
        PitchRelation::Owner
    } else {
        PitchRelation::Stranger
    }
}

fn may(
    actor: Option<&Actor>,
    relation: PitchRelation,
    pitch: &Pitch,
    right: PitchRight,
) -> Result<(), Refusal> {
    let role = actor.map(|actor| actor.role);
    permission::pitch(
        role,
        relation,
        pitch.status,
        pitch.content.visibility,
        right,
    )
    .into()
}

/// The cached answers that a change of a pitch makes untrue, and the event that tells of it.
fn pitch_effects(before: Option<&Pitch>, after: &Pitch, deleted: bool) -> Effects {
    let listed = |pitch: &Pitch| {
        pitch.status == PitchStatus::Published && pitch.content.visibility != Visibility::Private
    };
    let mut effects = Effects::default();
    effects.tags.insert(Tag::pitch(after.id));
    let shown = before.into_iter().chain((!deleted).then_some(after));
    for pitch in shown.filter(|pitch| listed(pitch)) {
        effects.tags.insert(Tag::lists());
        effects.tags.insert(Tag::search());
        effects.tags.insert(Tag::creator(pitch.creator.id));
        // A profile tells how many there are.
        effects.tags.insert(Tag::user(pitch.creator.id));
        effects
            .tags
            .extend(pitch.content.genres.iter().copied().map(Tag::genre));
    }
    effects.events.push(Event::PitchChanged {
        pitch_id: after.id,
        creator_id: after.creator.id,
        status: after.status,
        deleted,
        version: after.version,
    });
    effects
}

// --------------------------------------------------------------------------------------------------- NDAs

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

// ---------------------------------------------------------------------------------------------- interests

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

// ------------------------------------------------------------------------------------------------ follows

/// Somebody begins to follow an account.
pub fn follow(actor: &Actor, followed: crate::UserId) -> Result<Effects, Refusal> {
    if actor.id == followed {
        return Err(Refusal::Forbidden);
    }
    let mut effects = unfollow(followed);
    effects.notices.push((
        Audience::User(followed),
        NoticeKind::Followed,
        notice(actor, None),
    ));
    Ok(effects)
}

/// Somebody no longer follows an account.
pub fn unfollow(followed: crate::UserId) -> Effects {
    Effects {
        // A profile tells how many there are.
        tags: [Tag::user(followed)].into(),
        ..Effects::default()
    }
}

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
