//! Pitches: reading all of one, and its life.

use super::{Decision, Expected, Refusal, notice, person};
use crate::event::{Audience, Audit, Effects, Event, Tag};
use crate::lifecycle::{self, PitchAction};
use crate::permission::{self, PitchRelation, PitchRight};
use crate::{
    Actor, Nda, NoticeKind, Pitch, PitchChange, PitchContent, PitchId, PitchStatus, Visibility,
};
use time::OffsetDateTime;

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

/// May somebody, `None` when not signed in, read what is public of it?
pub fn read_public(actor: Option<&Actor>, pitch: &Pitch) -> Result<(), Refusal> {
    let relation = match actor {
        Some(actor) if actor.id == pitch.creator.id => PitchRelation::Owner,
        _ => PitchRelation::Stranger,
    };
    may(actor, relation, pitch, PitchRight::Read)
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

pub(super) fn relation(actor: &Actor, pitch: &Pitch) -> PitchRelation {
    if actor.id == pitch.creator.id {
        PitchRelation::Owner
    } else {
        PitchRelation::Stranger
    }
}

pub(super) fn may(
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

/// What decides which lists a listed pitch is on, and where.
fn place(pitch: &Pitch) -> impl PartialEq + use<'_> {
    let content = &pitch.content;
    (
        content.visibility,
        pitch.published_at,
        &content.genres,
        content.format,
        content.stage,
    )
}

/// What decides which searches find a listed pitch, and where: all that everybody may read.
fn searched(pitch: &Pitch) -> impl PartialEq + use<'_> {
    let content = &pitch.content;
    (
        place(pitch),
        &content.title,
        &content.logline,
        &content.synopsis,
        content.release_year,
        &content.cast,
    )
}

/// The cached answers that a change of a pitch makes untrue, and the event that tells of it.
fn pitch_effects(before: Option<&Pitch>, after: &Pitch, deleted: bool) -> Effects {
    let listed = |pitch: &&Pitch| {
        pitch.status == PitchStatus::Published && pitch.content.visibility != Visibility::Private
    };
    let (was, is) = (
        before.filter(listed),
        Some(after).filter(listed).filter(|_| !deleted),
    );
    let mut effects = Effects::default();
    // A list carries the tags of the pitches that it shows: what they say of themselves is told by this one.
    effects.tags.insert(Tag::pitch(after.id));
    if was.map(place) != is.map(place) {
        for pitch in was.into_iter().chain(is) {
            effects.tags.insert(Tag::lists());
            effects.tags.insert(Tag::creator(pitch.creator.id));
            effects
                .tags
                .extend(pitch.content.genres.iter().copied().map(Tag::genre));
        }
    }
    if was.map(searched) != is.map(searched) {
        effects.tags.insert(Tag::search());
    }
    if was.is_some() != is.is_some() {
        // A profile tells how many there are.
        effects.tags.insert(Tag::user(after.creator.id));
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
