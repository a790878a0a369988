//! The public reads: lists, details, search, profiles.

use super::{ReadHarness, Result};
use crate::mem::{StoredPitch, creator, pitch};
use crate::{Health as _, Pitches as _, Store, StoreError, Users as _};
use pitchey_model::{
    BrowseQuery, Format, Genre, PitchId, Position, Profile, SearchQuery, Shelf, Sort, Stage,
    Visibility,
};
use std::collections::BTreeSet;
use time::Duration;

const ALL: BrowseQuery = BrowseQuery {
    shelf: Shelf::All,
    sort: Sort::New,
    creator: None,
    format: None,
    stage: None,
};

/// Two creators and thirty pitches that differ in everything lists look at, many of them tied.
fn catalogue() -> (Vec<Profile>, Vec<StoredPitch>) {
    let users = vec![creator(1, "ann"), creator(2, "bob")];
    let pitches = (0..30_u32).map(|n| {
        let mut p = pitch(
            u128::from(1000 + (n * 7) % 30),
            &format!("Film {n}"),
            &users[(n % 2) as usize],
        );
        let card = &mut p.detail.card;
        card.published_at += Duration::days(i64::from(n / 4));
        card.view_count = i64::from(n % 5);
        p.trending_score = card.published_at.unix_timestamp() as f64 / 259_200.0 + f64::from(n % 3);
        card.genres = match n % 3 {
            0 => vec![Genre::Western],
            1 => vec![Genre::Western, Genre::Comedy],
            _ => vec![],
        };
        card.format = if n % 4 == 0 {
            Format::Short
        } else {
            Format::Feature
        };
        card.stage = if n % 5 == 0 {
            Stage::Completed
        } else {
            Stage::Script
        };
        card.visibility = if n % 6 == 5 {
            Visibility::Nda
        } else {
            Visibility::Public
        };
        p.listed = n != 13;
        p
    });
    let pitches = pitches.collect();
    (users, pitches)
}

async fn ids<S: Store>(
    store: &S,
    query: &BrowseQuery,
    limit: u32,
) -> std::result::Result<Vec<PitchId>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<Position> = None;
    loop {
        let page = store.browse(query, after, limit).await?;
        assert!(page.items.len() <= limit as usize);
        all.extend(page.items.iter().map(|card| card.id));
        assert!(all.len() <= 1000, "pages go on for ever");
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Pages of any size give every entry once, in the order of one large page, for every sort.
pub async fn pages_neither_repeat_nor_skip(harness: impl ReadHarness) -> Result {
    let (users, pitches) = catalogue();
    harness.hold(&users, &pitches).await;
    for sort in Sort::ALL {
        let query = BrowseQuery { sort: *sort, ..ALL };
        let whole = ids(harness.reads(), &query, 100).await?;
        assert_eq!(whole.len(), 29, "one of thirty is not listed");
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 29);
        for limit in [1, 2, 7, 29] {
            assert_eq!(
                ids(harness.reads(), &query, limit).await?,
                whole,
                "{sort} by {limit}"
            );
        }
    }
    Ok(())
}

/// Lists descend by their key, then by id.
pub async fn lists_descend(harness: impl ReadHarness) -> Result {
    let (users, pitches) = catalogue();
    harness.hold(&users, &pitches).await;
    let new = harness.reads().browse(&ALL, None, 100).await?.items;
    assert!(new.is_sorted_by(|a, b| (a.published_at, a.id) > (b.published_at, b.id)));
    let views = harness
        .reads()
        .browse(
            &BrowseQuery {
                sort: Sort::Views,
                ..ALL
            },
            None,
            100,
        )
        .await?
        .items;
    assert!(views.is_sorted_by(|a, b| (a.view_count, a.id) > (b.view_count, b.id)));
    let trending = harness
        .reads()
        .browse(
            &BrowseQuery {
                sort: Sort::Trending,
                ..ALL
            },
            None,
            100,
        )
        .await?
        .items;
    let score = |id: PitchId| {
        pitches
            .iter()
            .find(|p| p.detail.card.id == id)
            .map(|p| p.trending_score)
    };
    assert!(trending.is_sorted_by(|a, b| (score(a.id), a.id) > (score(b.id), b.id)));
    Ok(())
}

/// Each filter shows what it names and nothing else; several together narrow.
pub async fn filters_narrow(harness: impl ReadHarness) -> Result {
    let (users, pitches) = catalogue();
    harness.hold(&users, &pitches).await;
    let queries = [
        BrowseQuery {
            shelf: Shelf::Genre(Genre::Western),
            ..ALL
        },
        BrowseQuery {
            shelf: Shelf::Genre(Genre::Comedy),
            sort: Sort::Views,
            ..ALL
        },
        BrowseQuery {
            shelf: Shelf::Genre(Genre::Noir),
            ..ALL
        },
        BrowseQuery {
            shelf: Shelf::Public,
            ..ALL
        },
        BrowseQuery {
            format: Some(Format::Short),
            ..ALL
        },
        BrowseQuery {
            stage: Some(Stage::Completed),
            sort: Sort::Trending,
            ..ALL
        },
        BrowseQuery {
            creator: Some(users[0].id),
            ..ALL
        },
        BrowseQuery {
            creator: Some(users[1].id),
            shelf: Shelf::Genre(Genre::Western),
            format: Some(Format::Feature),
            stage: Some(Stage::Script),
            sort: Sort::Views,
        },
    ];
    for query in queries {
        let mut expected: Vec<PitchId> = pitches
            .iter()
            .filter(|p| p.listed)
            .map(|p| &p.detail.card)
            .filter(|card| match query.shelf {
                Shelf::All => true,
                Shelf::Public => card.visibility == Visibility::Public,
                Shelf::Genre(genre) => card.genres.contains(&genre),
            })
            .filter(|card| {
                query
                    .creator
                    .is_none_or(|creator| creator == card.creator.id)
            })
            .filter(|card| query.format.is_none_or(|format| format == card.format))
            .filter(|card| query.stage.is_none_or(|stage| stage == card.stage))
            .map(|card| card.id)
            .collect();
        let mut found = ids(harness.reads(), &query, 4).await?;
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{query:?}");
    }
    Ok(())
}

/// What is published between two pages does not shift what follows.
pub async fn inserts_do_not_shift_pages(harness: impl ReadHarness) -> Result {
    let (users, pitches) = catalogue();
    harness.hold(&users, &pitches).await;
    let whole = ids(harness.reads(), &ALL, 100).await?;
    let first = harness.reads().browse(&ALL, None, 10).await?;
    let mut newer = pitch(9999, "Newer", &users[0]);
    newer.detail.card.published_at += Duration::days(400);
    let mut older = pitch(9998, "Older", &users[0]);
    older.detail.card.published_at -= Duration::days(400);
    harness.hold(&[], &[newer, older.clone()]).await;
    let mut seen: Vec<PitchId> = first.items.iter().map(|card| card.id).collect();
    let rest = harness.reads().browse(&ALL, first.next, 100).await?;
    seen.extend(rest.items.iter().map(|card| card.id));
    let mut expected = whole;
    expected.push(older.detail.card.id);
    assert_eq!(seen, expected);
    Ok(())
}

/// A detail is what was stored; what is not listed is not there.
pub async fn details_are_whole(harness: impl ReadHarness) -> Result {
    let (users, mut pitches) = catalogue();
    let wanted = &mut pitches[4].detail;
    "Two lines\nof it".clone_into(&mut wanted.synopsis);
    wanted.cast = vec!["Ann Lee".to_owned(), "Zoë, Jr.".to_owned()];
    "A ‘fine’ logline".clone_into(&mut wanted.card.logline);
    wanted.card.release_year = Some(1942);
    harness.hold(&users, &pitches).await;
    let found = harness.reads().detail(pitches[4].detail.card.id).await?;
    assert_eq!(found.as_ref(), Some(&pitches[4].detail));
    assert_eq!(
        harness.reads().detail(pitches[13].detail.card.id).await?,
        None,
        "it is not listed"
    );
    assert_eq!(
        harness
            .reads()
            .detail(PitchId(uuid::Uuid::from_u128(1)))
            .await?,
        None
    );
    Ok(())
}

fn search(words: &str) -> SearchQuery {
    SearchQuery {
        words: words.to_owned(),
        genre: None,
        format: None,
        facets: true,
        highlights: false,
    }
}

/// Titles beat other text, misspelt words are corrected, filters narrow, facets count.
pub async fn searches_find(harness: impl ReadHarness) -> Result {
    let users = vec![creator(1, "ann")];
    let make = |id: u128, title: &str, logline: &str, genre: Genre| {
        let mut p = pitch(id, title, &users[0]);
        logline.clone_into(&mut p.detail.card.logline);
        p.detail.card.genres = vec![genre];
        p
    };
    let mut hidden = make(13, "Casablanca Returns", "", Genre::Drama);
    hidden.listed = false;
    let pitches = vec![
        make(10, "Casablanca", "a bar in Morocco", Genre::Drama),
        make(11, "Morocco", "a singer and a legionnaire", Genre::Romance),
        make(12, "The Bar", "nothing happens", Genre::Comedy),
        hidden,
    ];
    harness.hold(&users, &pitches).await;
    let store = harness.reads();
    let titles = |found: &pitchey_model::SearchPage| {
        found
            .page
            .items
            .iter()
            .map(|hit| hit.card.title.clone())
            .collect::<Vec<_>>()
    };

    let found = store.search(&search("morocco"), None, 10).await?;
    assert_eq!(titles(&found), ["Morocco", "Casablanca"], "the title first");
    assert_eq!(found.corrected, None);
    let facets = found.facets.clone().unwrap_or_default();
    assert_eq!(
        (facets.total, facets.genres.get(&Genre::Romance)),
        (2, Some(&1))
    );

    let found = store.search(&search("casablnca"), None, 10).await?;
    assert_eq!(titles(&found), ["Casablanca"]);
    assert_eq!(found.corrected.as_deref(), Some("casablanca"));

    let narrowed = SearchQuery {
        genre: Some(Genre::Drama),
        ..search("morocco")
    };
    assert_eq!(
        titles(&store.search(&narrowed, None, 10).await?),
        ["Casablanca"]
    );

    let first = store.search(&search("morocco"), None, 1).await?;
    let second = store.search(&search("morocco"), first.page.next, 1).await?;
    assert_eq!(
        (titles(&second), second.page.next, second.facets),
        (vec!["Casablanca".to_owned()], None, None)
    );

    let nothing = store.search(&search("xylophone zebra"), None, 10).await?;
    assert_eq!((titles(&nothing), nothing.corrected), (vec![], None));
    Ok(())
}

/// Profiles are found by name and count what is listed.
pub async fn profiles_are_found(harness: impl ReadHarness) -> Result {
    let users = vec![creator(1, "ann"), creator(2, "bob")];
    let mut hidden = pitch(11, "Two", &users[0]);
    hidden.listed = false;
    let pitches = [pitch(10, "One", &users[0]), hidden];
    harness.hold(&users, &pitches).await;
    let store = harness.reads();
    let ann = Profile {
        pitch_count: 1,
        ..users[0].clone()
    };
    assert_eq!(store.profile(&ann.username).await?, Some(ann));
    assert_eq!(store.user_id(&users[1].username).await?, Some(users[1].id));
    let nobody = creator(3, "nobody").username;
    assert_eq!(store.profile(&nobody).await?, None);
    assert_eq!(store.user_id(&nobody).await?, None);
    store.ping().await
}
