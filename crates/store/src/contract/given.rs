//! What the cases about signed-in people begin with.

use super::Harness;
use crate::accounts::{NewAccount, NewSession, Origin};
use crate::market::{Created, StoredAnswer};
use crate::mem::creator;
use crate::{FullStore, StoreError};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{
    Actor, Format, Genre, Interest, InterestId, Money, Nda, NdaId, NewInterest, NewNda, Person,
    Pitch, PitchContent, PitchId, Profile, Role, SessionId, Stage, UserId, Visibility,
};
use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Two of each role that trades, and an admin.
pub(super) struct Cast {
    pub(super) ann: Actor,
    pub(super) bob: Actor,
    pub(super) ida: Actor,
    pub(super) ivo: Actor,
    pub(super) pia: Actor,
    pub(super) root: Actor,
}

/// Ann and Bob create, Ida and Ivo invest, Pia produces, Root runs the site.
pub(super) async fn cast(harness: &impl Harness) -> Cast {
    let users = [
        creator(1, "ann"),
        creator(2, "bob"),
        of_role(3, "ida", Role::Investor),
        of_role(4, "ivo", Role::Investor),
        of_role(5, "pia", Role::Production),
        of_role(6, "root", Role::Admin),
    ];
    harness.given(&users, &[]).await;
    let [ann, bob, ida, ivo, pia, root] = users.each_ref().map(actor);
    Cast {
        ann,
        bob,
        ida,
        ivo,
        pia,
        root,
    }
}

fn of_role(id: u128, username: &str, role: Role) -> Profile {
    Profile {
        role,
        ..creator(id, username)
    }
}

pub(super) fn actor(profile: &Profile) -> Actor {
    Actor {
        id: profile.id,
        username: profile.username.clone(),
        display_name: profile.display_name.clone(),
        role: profile.role,
        session: SessionId(profile.id.0),
    }
}

pub(super) fn person(actor: &Actor) -> Person {
    Person {
        id: actor.id,
        username: actor.username.clone(),
        display_name: actor.display_name.clone(),
    }
}

/// So many minutes into the story.
pub(super) fn at(minutes: i64) -> OffsetDateTime {
    // Not a whole second, so that what is cut off shows.
    OffsetDateTime::UNIX_EPOCH
        + Duration::days(20_100)
        + Duration::microseconds(123_457)
        + Duration::minutes(minutes)
}

pub(super) fn id<T: From<Uuid>>(n: u128) -> T {
    T::from(Uuid::from_u128(n))
}

pub(super) fn origin() -> Origin {
    Origin {
        ip: Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
        request_id: Some("request-7".to_owned()),
    }
}

pub(super) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

// ------------------------------------------------------------------------------------ accounts, sessions

/// What Zoe registers with; her password hash is `hash of zoe`.
pub(super) fn new_account(n: u128, name: &str) -> NewAccount {
    NewAccount {
        id: id(n),
        username: name.parse().expect("a test gives a good name"),
        email: format!("{name}@example.org")
            .parse()
            .expect("a test gives a good address"),
        password_hash: secret(&format!("hash of {name}")),
        role: Role::Investor,
        display_name: name.to_uppercase(),
    }
}

/// A session opened at `now`: idle after an hour, over after a day. Its token's hash is full of `n`.
pub(super) fn new_session(n: u8, now: OffsetDateTime) -> NewSession {
    NewSession {
        id: id(0x5000 + u128::from(n)),
        token_hash: [n; 32],
        user_agent: format!("browser {n}"),
        idle_expires_at: now + Duration::hours(1),
        expires_at: now + Duration::days(1),
    }
}

/// Registers somebody with a session at the beginning of the story.
pub(super) async fn registered<S: FullStore>(
    store: &S,
    n: u128,
    name: &str,
    session: u8,
) -> Result<UserId, StoreError> {
    let account = new_account(n, name);
    let id = account.id;
    let session = Some(new_session(session, at(0)));
    let result = store.register(account, session, &origin(), at(0)).await?;
    assert_eq!(result, Ok(()));
    Ok(id)
}

// -------------------------------------------------------------------------------------- pitches, deals

pub(super) fn content(title: &str, visibility: Visibility) -> PitchContent {
    PitchContent {
        title: title.to_owned(),
        logline: "It's ‘about’ a bar".to_owned(),
        synopsis: "Two lines\nof it".to_owned(),
        genres: vec![Genre::Western, Genre::Comedy],
        format: Format::Series,
        stage: Stage::Packaging,
        release_year: Some(2031),
        cast: vec!["Ann Lee".to_owned(), "Zoë, Jr.".to_owned()],
        visibility,
        full_synopsis: "The whole story".to_owned(),
        budget: Some(money(125_000_000)),
    }
}

pub(super) fn money(amount: i64) -> Money {
    Money {
        amount,
        currency: "EUR".parse().expect("the euro is a currency"),
    }
}

/// What was done now.
pub(super) fn new<T: std::fmt::Debug>(outcome: Result<Created<T>, Refusal>) -> T {
    match outcome {
        Ok(Created::New(done)) => done,
        other => panic!("it was to be done now: {other:?}"),
    }
}

/// What was not refused.
pub(super) fn done<T>(outcome: Result<T, Refusal>) -> T {
    outcome.expect("nothing speaks against it")
}

/// Why something was refused.
pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> Refusal {
    outcome.expect_err("it is not allowed")
}

/// A draft called `Film n`.
pub(super) async fn drafted<S: FullStore>(
    store: &S,
    creator: &Actor,
    n: u128,
    visibility: Visibility,
    now: OffsetDateTime,
) -> Result<Pitch, StoreError> {
    let content = content(&format!("Film {n}"), visibility);
    let outcome = store
        .create_pitch(creator, id(n), content, None, now)
        .await?;
    Ok(new(outcome))
}

pub(super) async fn stepped<S: FullStore>(
    store: &S,
    actor: &Actor,
    pitch: PitchId,
    action: PitchAction,
    now: OffsetDateTime,
) -> Result<Pitch, StoreError> {
    let outcome = store
        .step_pitch(actor, pitch, &Expected::Any, action, &origin(), now)
        .await?;
    Ok(done(outcome))
}

/// A published pitch called `Film n`.
pub(super) async fn published<S: FullStore>(
    store: &S,
    creator: &Actor,
    n: u128,
    visibility: Visibility,
    now: OffsetDateTime,
) -> Result<Pitch, StoreError> {
    let draft = drafted(store, creator, n, visibility, now).await?;
    stepped(store, creator, draft.id, PitchAction::Publish, now).await
}

pub(super) fn new_nda(n: u128, pitch: PitchId) -> NewNda {
    NewNda {
        id: id(0xA000 + n),
        pitch,
        message: format!("Please, {n}"),
    }
}

pub(super) async fn requested<S: FullStore>(
    store: &S,
    actor: &Actor,
    n: u128,
    pitch: PitchId,
    now: OffsetDateTime,
) -> Result<Nda, StoreError> {
    let outcome = store
        .request_nda(actor, new_nda(n, pitch), None, &origin(), now)
        .await?;
    let nda = new(outcome);
    assert_eq!(nda.id, id::<NdaId>(0xA000 + n));
    Ok(nda)
}

pub(super) fn new_interest(n: u128, pitch: PitchId) -> NewInterest {
    NewInterest {
        id: id(0xB000 + n),
        pitch,
        amount: money(500_000),
        message: format!("Count me in, {n}"),
    }
}

pub(super) async fn expressed<S: FullStore>(
    store: &S,
    actor: &Actor,
    n: u128,
    pitch: PitchId,
    now: OffsetDateTime,
) -> Result<Interest, StoreError> {
    let outcome = store
        .express_interest(actor, new_interest(n, pitch), None, &origin(), now)
        .await?;
    let interest = new(outcome);
    assert_eq!(interest.id, id::<InterestId>(0xB000 + n));
    Ok(interest)
}

/// An answer that tells which thing it is about.
pub(super) fn answer(about: Uuid) -> StoredAnswer {
    StoredAnswer {
        status: 201,
        headers: vec![
            ("location".to_owned(), format!("/{about}")),
            ("etag".to_owned(), "\"1\"".to_owned()),
        ],
        body: vec![0, 0xFF, b'{', b'}'],
    }
}
