//! Decisions, each with what it brings about.

use super::*;
use crate::event::{Audience, Tag};
use crate::lifecycle::{InterestAction, NdaAction, PitchAction};
use crate::{
    Currency, Format, Genre, InterestId, InterestStatus, Money, Nda, NdaId, NdaStatus, NewInterest,
    NewNda, NoticeKind, Pitch, PitchChange, PitchContent, Role, SessionId, Stage, UserId, Username,
    Visibility,
};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn actor(id: u128, role: Role) -> Actor {
    let username: Username = format!("user{id}").parse().expect("a name");
    Actor {
        id: UserId(Uuid::from_u128(id)),
        display_name: username.as_str().to_owned(),
        username,
        role,
        session: SessionId(Uuid::from_u128(id)),
    }
}

fn creator() -> Actor {
    actor(1, Role::Creator)
}

fn investor() -> Actor {
    actor(2, Role::Investor)
}

fn content() -> PitchContent {
    PitchContent {
        title: "The Third Act".to_owned(),
        logline: "It ends.".to_owned(),
        synopsis: String::new(),
        genres: vec![Genre::Drama],
        format: Format::Feature,
        stage: Stage::Script,
        release_year: None,
        cast: Vec::new(),
        visibility: Visibility::Nda,
        full_synopsis: String::new(),
        budget: None,
    }
}

fn draft() -> Pitch {
    let id = PitchId(Uuid::from_u128(9));
    let decision = create_pitch(&creator(), id, content(), NOW);
    decision.expect("creators begin pitches").0
}

fn published() -> Pitch {
    let decision = step_pitch(
        &creator(),
        &draft(),
        &Expected::Any,
        PitchAction::Publish,
        NOW,
    );
    decision.expect("it is complete").0
}

fn tags(effects: &Effects) -> Vec<&str> {
    effects.tags.iter().map(Tag::as_str).collect()
}

fn told(effects: &Effects) -> Vec<(Audience, NoticeKind)> {
    let notices = effects.notices.iter();
    notices.map(|(who, kind, _)| (*who, *kind)).collect()
}

fn offer() -> NewInterest {
    NewInterest {
        id: InterestId(Uuid::from_u128(3)),
        pitch: published().id,
        amount: Money {
            amount: 1,
            currency: "EUR".parse::<Currency>().expect("a currency"),
        },
        message: String::new(),
    }
}

fn request() -> NewNda {
    NewNda {
        id: NdaId(Uuid::from_u128(4)),
        pitch: published().id,
        message: String::new(),
    }
}

#[test]
fn a_draft_is_in_no_list_and_raises_no_tag_of_one() {
    let (_, effects) =
        create_pitch(&creator(), draft().id, content(), NOW).expect("creators begin pitches");
    assert_eq!(
        tags(&effects),
        ["pitch:00000000-0000-0000-0000-000000000009"]
    );
}

#[test]
fn publishing_raises_every_list_it_appears_in_and_tells_followers_once() {
    let publish = |pitch: &Pitch| {
        step_pitch(
            &creator(),
            pitch,
            &Expected::Any,
            PitchAction::Publish,
            NOW + Duration::DAY,
        )
        .expect("it is complete")
    };
    let (first, effects) = publish(&draft());
    assert_eq!(
        tags(&effects),
        [
            "creator:00000000-0000-0000-0000-000000000001",
            "genre:drama",
            "lists",
            "pitch:00000000-0000-0000-0000-000000000009",
            "search",
            "user:00000000-0000-0000-0000-000000000001",
        ]
    );
    let followers = Audience::FollowersOf(creator().id);
    assert_eq!(told(&effects), [(followers, NoticeKind::PitchPublished)]);

    let archived = step_pitch(
        &creator(),
        &first,
        &Expected::Any,
        PitchAction::Archive,
        NOW,
    );
    let (archived, effects) = archived.expect("it is published");
    assert!(tags(&effects).contains(&"lists"), "it leaves them");
    let (again, effects) = publish(&archived);
    assert_eq!(again.published_at, first.published_at, "it keeps its place");
    assert_eq!(told(&effects), []);
}

#[test]
fn an_edit_raises_the_genres_before_and_after() {
    let change = PitchChange {
        genres: Some(vec![Genre::Noir]),
        ..PitchChange::default()
    };
    let decision = edit_pitch(&creator(), &published(), &Expected::Any, change, NOW);
    let (after, effects) = decision.expect("its creator may");
    assert_eq!(after.version, 3);
    let tags = tags(&effects);
    assert!(tags.contains(&"genre:drama") && tags.contains(&"genre:noir"));
}

#[test]
fn an_edit_raises_the_lists_only_if_the_pitch_comes_or_goes_or_changes_its_place() {
    let raised = |change: PitchChange| {
        let decision = edit_pitch(&creator(), &published(), &Expected::Any, change, NOW);
        let (_, effects) = decision.expect("its creator may");
        let pitch = Tag::pitch(published().id);
        let others = effects.tags.iter().filter(|tag| **tag != pitch);
        others
            .map(|tag| tag.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let protected = PitchChange {
        full_synopsis: Some("He did it.".to_owned()),
        ..PitchChange::default()
    };
    assert_eq!(raised(protected), [""; 0], "no list shows it");
    let title = PitchChange {
        title: Some("The Fourth Act".to_owned()),
        ..PitchChange::default()
    };
    assert_eq!(raised(title), ["search"], "lists carry the pitch's own tag");
    let lists = [
        "creator:00000000-0000-0000-0000-000000000001",
        "genre:drama",
        "lists",
        "search",
    ];
    for change in [
        PitchChange {
            stage: Some(Stage::Production),
            ..PitchChange::default()
        },
        PitchChange {
            format: Some(Format::Series),
            ..PitchChange::default()
        },
        PitchChange {
            visibility: Some(Visibility::Public),
            ..PitchChange::default()
        },
    ] {
        assert_eq!(raised(change.clone()), lists, "{change:?}");
    }
    let hidden = PitchChange {
        visibility: Some(Visibility::Private),
        ..PitchChange::default()
    };
    let user = "user:00000000-0000-0000-0000-000000000001";
    assert_eq!(
        raised(hidden),
        [&lists[..], &[user]].concat(),
        "there is one less"
    );
}

#[test]
fn a_refusal_is_about_permission_then_version_then_state_then_content() {
    let wrong = Expected::OneOf(vec![99]);
    let mut bare = draft();
    bare.content.logline.clear();
    let publish = |who: &Actor, pitch: &Pitch, expected: &Expected| {
        step_pitch(who, pitch, expected, PitchAction::Publish, NOW).expect_err("it is refused")
    };
    let stranger = actor(7, Role::Creator);
    assert_eq!(publish(&stranger, &bare, &wrong), Refusal::NotFound);
    assert_eq!(publish(&stranger, &published(), &wrong), Refusal::Forbidden);
    assert_eq!(publish(&creator(), &published(), &wrong), Refusal::Stale);
    assert!(matches!(
        publish(&creator(), &published(), &Expected::Any),
        Refusal::NotAllowed(_)
    ));
    assert_eq!(
        publish(&creator(), &bare, &Expected::Any),
        Refusal::Incomplete(vec!["logline"])
    );
}

#[test]
fn only_the_named_versions_are_started_from() {
    let edit = |expected| {
        let change = PitchChange::default();
        edit_pitch(&creator(), &published(), &expected, change, NOW).map(|_| ())
    };
    assert_eq!(edit(Expected::Any), Ok(()));
    assert_eq!(edit(Expected::OneOf(vec![1, 2])), Ok(()));
    assert_eq!(edit(Expected::OneOf(vec![1, 3])), Err(Refusal::Stale));
    assert_eq!(edit(Expected::OneOf(Vec::new())), Err(Refusal::Stale));
}

#[test]
fn an_nda_opens_the_protected_part_to_its_holder_until_it_ends() {
    let pitch = published();
    let asked = request_nda(&investor(), &pitch, None, request(), NOW);
    let ((nda, ended), effects) = asked.expect("investors may ask");
    assert_eq!(ended, None);
    assert_eq!(
        told(&effects),
        [(Audience::User(creator().id), NoticeKind::NdaRequested)]
    );
    let read = |who: &Actor, nda: &Nda, now| read_full(Some(who), &pitch, Some(nda), now);
    assert_eq!(read(&investor(), &nda, NOW), Err(Refusal::Forbidden));

    let approval = NdaStep {
        action: NdaAction::Approve,
        decision: String::new(),
        expires_at: None,
    };
    let approved = step_nda(&creator(), &nda, &Expected::Any, approval, NOW);
    let (approved, effects) = approved.expect("it waits for an answer");
    assert_eq!(
        told(&effects),
        [(Audience::User(investor().id), NoticeKind::NdaApproved)]
    );
    assert_eq!(read(&investor(), &approved, NOW), Ok(()));
    let other = actor(8, Role::Investor);
    assert_eq!(read(&other, &approved, NOW), Err(Refusal::Forbidden));
    let end = NOW + Nda::DEFAULT_TERM;
    assert_eq!(read(&investor(), &approved, end), Err(Refusal::Forbidden));
    let mut elsewhere = approved.clone();
    elsewhere.pitch = PitchId(Uuid::from_u128(77));
    assert_eq!(read(&investor(), &elsewhere, NOW), Err(Refusal::Forbidden));

    let again = request_nda(&investor(), &pitch, Some(&approved), request(), NOW);
    assert_eq!(again.map(|_| ()), Err(Conflict::NdaExists.into()));
    let later = request_nda(&investor(), &pitch, Some(&approved), request(), end);
    let ((_, ended), effects) = later.expect("the one before has expired");
    assert_eq!(ended.map(|nda| nda.status), Some(NdaStatus::Revoked));
    assert_eq!(effects.events.len(), 2, "both are told of");
}

#[test]
fn who_may_read_it_anyway_needs_no_nda() {
    let mut pitch = published();
    pitch.content.visibility = Visibility::Public;
    let asked = request_nda(&investor(), &pitch, None, request(), NOW);
    assert_eq!(asked.map(|_| ()), Err(Conflict::NdaNotNeeded.into()));
    assert_eq!(read_full(None, &pitch, None, NOW), Ok(()));
}

#[test]
fn each_side_of_an_interest_does_its_own_and_the_other_is_told() {
    let made = express_interest(&investor(), &published(), None, offer(), NOW);
    let (interest, effects) = made.expect("investors may");
    assert_eq!(
        told(&effects),
        [(Audience::User(creator().id), NoticeKind::InterestExpressed)]
    );
    let step = |who: &Actor, action| {
        step_interest(who, &interest, &Expected::Any, action, NOW)
            .map(|(after, effects)| (after.status, told(&effects)))
    };
    let to = |who: Actor, kind| vec![(Audience::User(who.id), kind)];
    assert_eq!(
        step(&creator(), InterestAction::Accept),
        Ok((
            InterestStatus::Accepted,
            to(investor(), NoticeKind::InterestAccepted)
        ))
    );
    assert_eq!(
        step(&investor(), InterestAction::Withdraw),
        Ok((
            InterestStatus::Withdrawn,
            to(creator(), NoticeKind::InterestWithdrawn)
        ))
    );
    assert_eq!(
        step(&investor(), InterestAction::Accept),
        Err(Refusal::Forbidden)
    );
    let again = express_interest(&investor(), &published(), Some(&interest), offer(), NOW);
    assert_eq!(again.map(|_| ()), Err(Conflict::InterestExists.into()));
}

#[test]
fn nobody_follows_themselves() {
    let refused = follow(&creator(), creator().id);
    assert_eq!(refused.map(|_| ()), Err(Refusal::Forbidden));
}
