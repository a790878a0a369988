//! The life of a pitch.

use super::given::{
    at, cast, content, done, drafted, id, new, origin, person, published, refused, stepped,
};
use super::{Harness, Result, pages};
use crate::market::FullPitch;
use crate::{Freshness as _, FullStore, Market as _, StoreError};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::event::Tag;
use pitchey_model::lifecycle::{NotAllowed, PitchAction};
use pitchey_model::{
    BrowseQuery, Format, Genre, Pitch, PitchChange, PitchContent, PitchDetail, PitchId,
    PitchStatus, Shelf, Side, Sort, Stage, Visibility,
};

async fn stored<S: FullStore>(
    store: &S,
    id: PitchId,
) -> std::result::Result<Option<Pitch>, StoreError> {
    Ok(store.full_pitch(id, None).await?.map(|full| full.pitch))
}

/// What readers see of a pitch, if the list of everything new agrees that they see it.
async fn on_site<S: FullStore>(
    store: &S,
    id: PitchId,
) -> std::result::Result<Option<PitchDetail>, StoreError> {
    let everything = BrowseQuery {
        shelf: Shelf::All,
        sort: Sort::New,
        creator: None,
        format: None,
        stage: None,
    };
    let detail = store.detail(id).await?;
    let listed = store.browse(&everything, None, 100).await?.items;
    let card = listed.into_iter().find(|card| card.id == id);
    assert_eq!(card.as_ref(), detail.as_ref().map(|detail| &detail.card));
    Ok(detail)
}

/// A pitch is kept as it was written, and nobody else sees it yet.
pub async fn a_new_pitch_is_a_draft(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let written = content("A ‘fine’ title", Visibility::Nda);
    let outcome = store
        .create_pitch(&cast.ann, id(100), written.clone(), None, at(0))
        .await?;
    let pitch = new(outcome);
    let expected = Pitch {
        id: id(100),
        creator: person(&cast.ann),
        content: written,
        cover: None,
        status: PitchStatus::Draft,
        published_at: None,
        archived_at: None,
        created_at: at(0),
        updated_at: at(0),
        version: 1,
        view_count: 0,
    };
    assert_eq!(pitch, expected);
    let full = store.full_pitch(pitch.id, Some(cast.ida.id)).await?;
    assert_eq!(full, Some(FullPitch { pitch, nda: None }));
    assert_eq!(on_site(store, id(100)).await?, None);
    assert_eq!(stored(store, id(101)).await?, None);

    let bare = PitchContent {
        title: "T".to_owned(),
        logline: String::new(),
        synopsis: String::new(),
        genres: Vec::new(),
        format: Format::Short,
        stage: Stage::Concept,
        release_year: None,
        cast: Vec::new(),
        visibility: Visibility::Public,
        full_synopsis: String::new(),
        budget: None,
    };
    let outcome = store
        .create_pitch(&cast.ann, id(102), bare.clone(), None, at(1))
        .await?;
    assert_eq!(new(outcome).content, bare);
    assert_eq!(
        stored(store, id(102)).await?.map(|pitch| pitch.content),
        Some(bare)
    );
    Ok(())
}

/// Nobody else does, and then nothing is made.
pub async fn only_creators_begin_pitches(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for actor in [&cast.ida, &cast.pia, &cast.root] {
        let written = content("No", Visibility::Public);
        let outcome = store
            .create_pitch(actor, id(100), written, None, at(0))
            .await?;
        assert_eq!(refused(outcome), Refusal::Forbidden);
    }
    assert_eq!(stored(store, id(100)).await?, None);
    assert_eq!(harness.traces().await, super::Traces::default());
    Ok(())
}

/// From draft to the site, off it, on it again and back to a draft.
pub async fn pitches_live(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    let written = PitchContent {
        logline: String::new(),
        genres: Vec::new(),
        ..content("Film", Visibility::Public)
    };
    let outcome = store
        .create_pitch(&ann, id(100), written, None, at(0))
        .await?;
    let pitch = new(outcome);
    let any = Expected::Any;
    let publish = PitchAction::Publish;
    let outcome = store
        .step_pitch(&ann, pitch.id, &any, publish, &origin(), at(1))
        .await?;
    assert_eq!(
        refused(outcome),
        Refusal::Incomplete(vec!["logline", "genres"])
    );
    assert_eq!(stored(store, pitch.id).await?, Some(pitch.clone()));

    let change = PitchChange {
        logline: Some("A bar".to_owned()),
        genres: Some(vec![Genre::Noir, Genre::War]),
        ..PitchChange::default()
    };
    done(
        store
            .edit_pitch(&ann, pitch.id, &any, change, at(2))
            .await?,
    );
    let pitch = stepped(store, &ann, pitch.id, PitchAction::Publish, at(3)).await?;
    assert_eq!((pitch.status, pitch.version), (PitchStatus::Published, 3));
    assert_eq!((pitch.published_at, pitch.updated_at), (Some(at(3)), at(3)));
    assert_eq!(stored(store, pitch.id).await?, Some(pitch.clone()));
    let seen = on_site(store, pitch.id).await?.expect("it is published");
    assert_eq!(
        (&seen.card.title, &seen.card.logline),
        (&"Film".to_owned(), &"A bar".to_owned())
    );
    assert_eq!(seen.card.genres, [Genre::Noir, Genre::War]);
    assert_eq!(
        (seen.card.published_at, seen.updated_at, seen.version),
        (at(3), at(3), 3)
    );
    assert_eq!(
        (seen.cast, seen.synopsis),
        (pitch.content.cast, pitch.content.synopsis)
    );

    let outcome = store
        .step_pitch(&ann, pitch.id, &any, publish, &origin(), at(4))
        .await?;
    let twice = NotAllowed {
        action: "publish",
        state: "published",
    };
    assert_eq!(refused(outcome), Refusal::NotAllowed(twice));

    let pitch = stepped(store, &ann, pitch.id, PitchAction::Archive, at(5)).await?;
    assert_eq!(
        (pitch.status, pitch.archived_at),
        (PitchStatus::Archived, Some(at(5)))
    );
    assert_eq!(stored(store, pitch.id).await?, Some(pitch.clone()));
    assert_eq!(on_site(store, pitch.id).await?, None);

    let pitch = stepped(store, &ann, pitch.id, PitchAction::Publish, at(6)).await?;
    assert_eq!(pitch.published_at, Some(at(3)), "it keeps its place");
    assert!(on_site(store, pitch.id).await?.is_some());

    let pitch = stepped(store, &ann, pitch.id, PitchAction::Withdraw, at(7)).await?;
    assert_eq!((pitch.status, pitch.version), (PitchStatus::Draft, 6));
    assert_eq!(stored(store, pitch.id).await?, Some(pitch.clone()));
    assert_eq!(on_site(store, pitch.id).await?, None);
    Ok(())
}

/// Every field can change, and what can be absent can go.
pub async fn edits_are_whole(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    let before = published(store, &ann, 100, Visibility::Public, at(0)).await?;
    let change = PitchChange {
        title: Some("Rick's ‘Café’".to_owned()),
        logline: Some("Another".to_owned()),
        synopsis: Some("Three\nmore\nlines".to_owned()),
        genres: Some(vec![Genre::Romance]),
        format: Some(Format::Feature),
        stage: Some(Stage::Completed),
        release_year: Some(None),
        cast: Some(vec!["Peter O'Toole".to_owned()]),
        visibility: Some(Visibility::Nda),
        full_synopsis: Some("Another whole story".to_owned()),
        budget: Some(None),
    };
    let after = done(
        store
            .edit_pitch(&ann, before.id, &Expected::Any, change.clone(), at(1))
            .await?,
    );
    let mut expected = before.clone();
    change.apply(&mut expected.content);
    expected.updated_at = at(1);
    expected.version += 1;
    assert_eq!(after, expected);
    assert_eq!(stored(store, before.id).await?.as_ref(), Some(&expected));
    let seen = on_site(store, before.id).await?.expect("it is published");
    assert_eq!(
        (seen.card.visibility, seen.version),
        (Visibility::Nda, expected.version)
    );
    assert_eq!(
        (seen.card.genres, seen.card.release_year),
        (vec![Genre::Romance], None)
    );

    let money = Some(super::given::money(1));
    let change = PitchChange {
        release_year: Some(Some(1999)),
        budget: Some(money),
        ..PitchChange::default()
    };
    let outcome = store
        .edit_pitch(&ann, before.id, &Expected::Any, change, at(2))
        .await?;
    let content = done(outcome).content;
    assert_eq!((content.release_year, content.budget), (Some(1999), money));
    assert_eq!(
        content.title, "Rick's ‘Café’",
        "what is not mentioned stays"
    );
    assert_eq!(
        stored(store, before.id).await?.map(|pitch| pitch.content),
        Some(content)
    );

    let change = PitchChange {
        genres: Some(Vec::new()),
        ..PitchChange::default()
    };
    let outcome = store
        .edit_pitch(&ann, before.id, &Expected::Any, change, at(3))
        .await?;
    assert_eq!(refused(outcome), Refusal::Incomplete(vec!["genres"]));
    Ok(())
}

/// Of two who read the same version, one changes it; what is refused changes nothing.
pub async fn pitches_change_from_the_expected_version(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    let pitch = drafted(store, &ann, 100, Visibility::Public, at(0)).await?;
    let read = Expected::OneOf(vec![pitch.version]);
    let titled = |title: &str| PitchChange {
        title: Some(title.to_owned()),
        ..PitchChange::default()
    };
    let first = store
        .edit_pitch(&ann, pitch.id, &read, titled("One"), at(1))
        .await?;
    let pitch = done(first);
    let before = harness.traces().await;
    let second = store
        .edit_pitch(&ann, pitch.id, &read, titled("Two"), at(2))
        .await?;
    assert_eq!(refused(second), Refusal::Stale);
    let step = store
        .step_pitch(
            &ann,
            pitch.id,
            &read,
            PitchAction::Publish,
            &origin(),
            at(2),
        )
        .await?;
    assert_eq!(refused(step), Refusal::Stale);
    let removal = store
        .delete_pitch(&ann, pitch.id, &read, &origin(), at(2))
        .await?;
    assert_eq!(refused(removal), Refusal::Stale);
    assert_eq!(stored(store, pitch.id).await?, Some(pitch.clone()));
    assert_eq!(harness.traces().await, before);
    let either = Expected::OneOf(vec![9, pitch.version]);
    let publish = PitchAction::Publish;
    done(
        store
            .step_pitch(&ann, pitch.id, &either, publish, &origin(), at(3))
            .await?,
    );
    Ok(())
}

/// A draft is nothing to others; on the site it is theirs to read, and an admin's to take down.
pub async fn strangers_change_nothing(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let any = Expected::Any;
    let draft = drafted(store, &cast.ann, 100, Visibility::Public, at(0))
        .await?
        .id;
    let shown = published(store, &cast.ann, 101, Visibility::Public, at(0))
        .await?
        .id;
    for (pitch, why) in [
        (draft, Refusal::NotFound),
        (shown, Refusal::Forbidden),
        (id(102), Refusal::NotFound),
    ] {
        let change = PitchChange::default();
        let outcome = store
            .edit_pitch(&cast.bob, pitch, &any, change, at(1))
            .await?;
        assert_eq!(refused(outcome), why);
        let archive = PitchAction::Archive;
        let outcome = store
            .step_pitch(&cast.bob, pitch, &any, archive, &origin(), at(1))
            .await?;
        assert_eq!(refused(outcome), why);
        let outcome = store
            .delete_pitch(&cast.bob, pitch, &any, &origin(), at(1))
            .await?;
        assert_eq!(refused(outcome), why);
    }
    assert_eq!(
        stored(store, shown).await?.map(|pitch| pitch.version),
        Some(2)
    );
    let archived = stepped(store, &cast.root, shown, PitchAction::Archive, at(2)).await?;
    assert_eq!(archived.creator, person(&cast.ann));
    Ok(())
}

/// It is in no view and in no list, and cannot be deleted again; what was agreed about it stays.
pub async fn a_deleted_pitch_is_gone(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let any = Expected::Any;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0)).await?;
    let nda = super::given::requested(store, &cast.ida, 1, pitch.id, at(1)).await?;
    done(store.save_pitch(&cast.ida, pitch.id, at(1)).await?);
    done(
        store
            .delete_pitch(&cast.ann, pitch.id, &any, &origin(), at(2))
            .await?,
    );
    assert_eq!(stored(store, pitch.id).await?, None);
    assert_eq!(on_site(store, pitch.id).await?, None);
    assert_eq!(store.own_pitches(cast.ann.id, None, 10).await?.items, []);
    assert_eq!(store.saved(cast.ida.id, None, 10).await?.items, []);
    let again = store
        .delete_pitch(&cast.ann, pitch.id, &any, &origin(), at(3))
        .await?;
    assert_eq!(refused(again), Refusal::NotFound);
    let asked = super::given::new_nda(2, pitch.id);
    let outcome = store
        .request_nda(&cast.ivo, asked, None, &origin(), at(3))
        .await?;
    assert_eq!(refused(outcome), Refusal::NotFound);
    let kept = store
        .ndas(cast.ida.id, Side::Outgoing, None, 10)
        .await?
        .items;
    assert_eq!(kept, [nda]);
    Ok(())
}

/// In every state, ties broken by the id, whole, and nobody else's.
pub async fn own_pitches_are_listed_last_changed_first(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for n in 0..7_u8 {
        let now = at(i64::from(n / 3));
        drafted(
            store,
            &cast.ann,
            100 + u128::from(n),
            Visibility::Private,
            now,
        )
        .await?;
    }
    drafted(store, &cast.bob, 200, Visibility::Private, at(0)).await?;
    stepped(store, &cast.ann, id(101), PitchAction::Publish, at(8)).await?;
    let own = |limit| {
        pages(limit, move |after| {
            store.own_pitches(cast.ann.id, after, limit)
        })
    };
    let whole = own(100).await?;
    let ids: Vec<PitchId> = whole.iter().map(|pitch| pitch.id).collect();
    assert_eq!(ids, [101, 106, 105, 104, 103, 102, 100].map(id));
    for limit in [1, 2, 3, 7] {
        assert_eq!(own(limit).await?, whole, "by {limit}");
    }
    assert_eq!(stored(store, id(101)).await?.as_ref(), whole.first());
    Ok(())
}

/// Published or not, until they are made visible, and no longer when they are private again.
pub async fn private_pitches_are_not_on_the_site(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    let pitch = published(store, &ann, 100, Visibility::Private, at(0)).await?;
    assert_eq!(on_site(store, pitch.id).await?, None);
    for (minute, visibility, seen) in [
        (1, Visibility::Nda, true),
        (2, Visibility::Private, false),
        (3, Visibility::Public, true),
    ] {
        let change = PitchChange {
            visibility: Some(visibility),
            ..PitchChange::default()
        };
        done(
            store
                .edit_pitch(&ann, pitch.id, &Expected::Any, change, at(minute))
                .await?,
        );
        assert_eq!(
            on_site(store, pitch.id).await?.is_some(),
            seen,
            "{visibility}"
        );
    }
    Ok(())
}

/// Tags for what showed it, before or after; an event each time; an audit entry for a step.
pub async fn changes_of_pitches_leave_traces(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    let pitch = drafted(store, &ann, 100, Visibility::Public, at(0)).await?;
    let drafted = harness.traces().await;
    assert_eq!(drafted.tags, [Tag::pitch(pitch.id).as_str()]);
    assert_eq!(
        (drafted.events.as_slice(), drafted.audit.len()),
        (&["pitch_changed".to_owned()][..], 0)
    );

    stepped(store, &ann, pitch.id, PitchAction::Publish, at(1)).await?;
    let all = [
        Tag::pitch(pitch.id),
        Tag::lists(),
        Tag::search(),
        Tag::creator(ann.id),
        Tag::user(ann.id),
        Tag::genre(Genre::Western),
        Tag::genre(Genre::Comedy),
    ];
    let published = harness.traces().await.since(&drafted);
    assert_eq!(
        sorted(&published.tags),
        sorted(&all.each_ref().map(|tag| tag.as_str().to_owned()))
    );
    assert_eq!(published.events, ["pitch_changed"]);
    assert_eq!(published.audit, ["pitch.publish"]);

    let before = harness.traces().await;
    let removal = store
        .delete_pitch(&ann, pitch.id, &Expected::Any, &origin(), at(2))
        .await?;
    done(removal);
    let deleted = harness.traces().await.since(&before);
    assert_eq!(sorted(&deleted.tags), sorted(&published.tags));
    assert_eq!(
        (deleted.events, deleted.audit),
        (published.events, vec!["pitch.delete".to_owned()])
    );
    Ok(())
}

fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags
}

/// Whoever demands the position after a write sees the write, at once, and through a view of a view too.
pub async fn a_read_that_demands_a_position_sees_what_was_written(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for n in 100..105 {
        let pitch = published(store, &cast.ann, n, Visibility::Public, at(0)).await?;
        let written = store.written_position().await?;
        let view = store.reading(written).reading(None);
        let seen = on_site(&view, pitch.id).await?;
        assert_eq!(seen.map(|detail| detail.card.id), Some(pitch.id));
        // What is written through a view is written.
        stepped(&view, &cast.ann, pitch.id, PitchAction::Archive, at(1)).await?;
        let written = view.written_position().await?;
        assert_eq!(on_site(&store.reading(written), pitch.id).await?, None);
    }
    Ok(())
}
