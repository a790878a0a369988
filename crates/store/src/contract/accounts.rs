//! Accounts.

use super::given::{actor, at, cast, done, new_account, new_session, origin, published, refused};
use super::{Harness, Result};
use crate::accounts::Taken;
use crate::{Accounts as _, Market as _, Pitches as _, Users as _};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::event::Tag;
use pitchey_model::{ProfileChange, ProfileText, Role, Side, Visibility};
use secrecy::ExposeSecret as _;

/// What was registered is there in every view of it.
pub async fn registering_makes_an_account(harness: impl Harness) -> Result {
    let store = harness.store();
    let new = new_account(9, "zoe");
    let outcome = store.register(new.clone(), None, &origin(), at(0)).await?;
    assert_eq!(outcome, Ok(()));

    let by_email = store.credentials(&new.email).await?;
    let by_id = store.credentials_of(new.id).await?;
    for found in [by_email, by_id] {
        let found = found.expect("she is registered");
        assert_eq!((found.id, found.role), (new.id, Role::Investor));
        assert_eq!(
            (found.username, found.display_name),
            (new.username.clone(), "ZOE".to_owned())
        );
        let hash = found.password_hash.expect("she gave a password");
        assert_eq!(hash.expose_secret(), "hash of zoe");
        assert!(!found.locked);
    }
    let account = store.account(new.id).await?.expect("she is registered");
    assert_eq!(
        (&account.username, &account.email),
        (&new.username, &Some(new.email.clone()))
    );
    assert_eq!(
        (account.role, account.avatar, account.version),
        (Role::Investor, None, 1)
    );
    assert_eq!((account.created_at, account.updated_at), (at(0), at(0)));
    let written = ProfileText {
        display_name: "ZOE".to_owned(),
        ..ProfileText::default()
    };
    assert_eq!(account.profile, written);

    let profile = store
        .profile(&new.username)
        .await?
        .expect("she is registered");
    assert_eq!((profile.id, profile.created_at), (new.id, at(0)));
    assert_eq!(store.sessions(new.id, at(0)).await?, []);
    assert_eq!(harness.traces().await.audit, ["account.register"]);
    Ok(())
}

/// Each of the two is refused by itself, and a refusal makes nothing.
pub async fn names_and_addresses_are_taken_once(harness: impl Harness) -> Result {
    let store = harness.store();
    let zoe = new_account(9, "zoe");
    done_registering(&harness, zoe.clone()).await?;
    let before = harness.traces().await;
    for (username, email) in [(true, false), (false, true), (true, true)] {
        let mut other = new_account(10, "zac");
        if username {
            other.username = zoe.username.clone();
        }
        if email {
            other.email = zoe.email.clone();
        }
        let session = Some(new_session(1, at(1)));
        let outcome = store.register(other, session, &origin(), at(1)).await?;
        assert_eq!(outcome, Err(Taken { username, email }));
        let id = new_account(10, "zac").id;
        assert_eq!(store.account(id).await?, None);
        assert_eq!(store.session(&[1; 32], at(1)).await?, None);
    }
    assert_eq!(harness.traces().await, before);

    harness.delete_user(zoe.id).await;
    let again = crate::accounts::NewAccount {
        id: new_account(11, "x").id,
        ..zoe
    };
    let outcome = store.register(again, None, &origin(), at(2)).await?;
    let both = Taken {
        username: true,
        email: true,
    };
    assert_eq!(outcome, Err(both), "nobody inherits a name");
    Ok(())
}

async fn done_registering(harness: &impl Harness, new: crate::accounts::NewAccount) -> Result {
    let outcome = harness
        .store()
        .register(new, None, &origin(), at(0))
        .await?;
    assert_eq!(outcome, Ok(()));
    Ok(())
}

/// Nobody signs in as one, sees one or follows one.
pub async fn deleted_accounts_are_gone(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let zoe = new_account(9, "zoe");
    let session = Some(new_session(1, at(0)));
    let outcome = store
        .register(zoe.clone(), session, &origin(), at(0))
        .await?;
    assert_eq!(outcome, Ok(()));
    harness.delete_user(zoe.id).await;
    assert!(store.credentials(&zoe.email).await?.is_none());
    assert!(store.credentials_of(zoe.id).await?.is_none());
    assert_eq!(store.account(zoe.id).await?, None);
    assert_eq!(store.session(&[1; 32], at(1)).await?, None);
    assert_eq!(store.profile(&zoe.username).await?, None);
    assert_eq!(store.user_id(&zoe.username).await?, None);
    let outcome = store.follow(&cast.ann, zoe.id, at(1)).await?;
    assert_eq!(refused(outcome), Refusal::NotFound);
    Ok(())
}

/// Nobody signs in as somebody who was imported.
pub async fn imported_accounts_have_no_password(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let found = store
        .credentials_of(cast.ann.id)
        .await?
        .expect("she is there");
    assert!(found.password_hash.is_none());
    let account = store.account(cast.ann.id).await?.expect("she is there");
    assert_eq!(account.email, None);
    Ok(())
}

/// What is not mentioned stays; a stale version and an account that is not there change nothing.
pub async fn profiles_change_from_the_expected_version(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let text = |text: &str| Some(text.to_owned());
    let change = ProfileChange {
        bio: text("A ‘bio’ of\ntwo lines"),
        website: Some(text("https://example.org/ann")),
        ..ProfileChange::default()
    };
    let before = store.account(cast.ann.id).await?.expect("she is there");
    let stale = Expected::OneOf(vec![before.version + 1, before.version - 1]);
    let outcome = store
        .change_profile(&cast.ann, &stale, change.clone(), at(1))
        .await?;
    assert_eq!(refused(outcome), Refusal::Stale);
    assert_eq!(store.account(cast.ann.id).await?.as_ref(), Some(&before));
    assert_eq!(harness.traces().await.tags, [""; 0]);

    let current = Expected::OneOf(vec![7, before.version]);
    let after = done(
        store
            .change_profile(&cast.ann, &current, change, at(2))
            .await?,
    );
    let mut expected = before.clone();
    "A ‘bio’ of\ntwo lines".clone_into(&mut expected.profile.bio);
    expected.profile.website = text("https://example.org/ann");
    expected.updated_at = at(2);
    expected.version += 1;
    assert_eq!(after, expected);
    assert_eq!(store.account(cast.ann.id).await?, Some(after));
    let traces = harness.traces().await;
    assert!(traces.has_tag(&Tag::user(cast.ann.id)), "{traces:?}");

    let change = ProfileChange {
        display_name: text("Ann Lee"),
        company: text("Lee & Daughters"),
        location: text("Łódź"),
        website: Some(None),
        ..ProfileChange::default()
    };
    let after = done(
        store
            .change_profile(&cast.ann, &Expected::Any, change, at(3))
            .await?,
    );
    let written = ProfileText {
        display_name: "Ann Lee".to_owned(),
        bio: expected.profile.bio,
        company: "Lee & Daughters".to_owned(),
        location: "Łódź".to_owned(),
        website: None,
    };
    assert_eq!(
        (&after.profile, after.version),
        (&written, before.version + 2)
    );
    let profile = store
        .profile(&cast.ann.username)
        .await?
        .expect("she is there");
    assert_eq!((profile.company, profile.website), (written.company, None));
    assert_eq!(profile.version, after.version);

    let nobody = actor(&crate::mem::creator(77, "nobody"));
    let none = ProfileChange::default();
    let outcome = store
        .change_profile(&nobody, &Expected::Any, none, at(4))
        .await?;
    assert_eq!(refused(outcome), Refusal::NotFound);
    Ok(())
}

/// Names are not copied: who changes theirs is called so in what there was before.
pub async fn a_changed_name_is_shown_everywhere(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0)).await?;
    super::given::requested(store, &cast.ida, 1, pitch.id, at(1)).await?;
    super::given::expressed(store, &cast.ida, 1, pitch.id, at(1)).await?;
    done(store.follow(&cast.ida, cast.ann.id, at(1)).await?);
    for (actor, name) in [(&cast.ann, "Ann Lee"), (&cast.ida, "Ida Lupino")] {
        let change = ProfileChange {
            display_name: Some(name.to_owned()),
            ..ProfileChange::default()
        };
        done(
            store
                .change_profile(actor, &Expected::Any, change, at(2))
                .await?,
        );
    }
    let detail = store.detail(pitch.id).await?.expect("it is on the site");
    assert_eq!(detail.card.creator.display_name, "Ann Lee");
    let full = store
        .full_pitch(pitch.id, Some(cast.ida.id))
        .await?
        .expect("it is there");
    assert_eq!(full.pitch.creator.display_name, "Ann Lee");
    let nda = full.nda.expect("she asked for one");
    assert_eq!(nda.requester.display_name, "Ida Lupino");
    let ndas = store
        .ndas(cast.ann.id, Side::Incoming, None, 10)
        .await?
        .items;
    assert_eq!(ndas, [nda]);
    let interests = store
        .interests(cast.ida.id, Side::Outgoing, None, 10)
        .await?
        .items;
    assert_eq!(interests[0].investor.display_name, "Ida Lupino");
    assert_eq!(interests[0].creator.display_name, "Ann Lee");
    let followed = store.following(cast.ida.id, None, 10).await?.items;
    assert_eq!(followed[0].person.display_name, "Ann Lee");
    Ok(())
}
