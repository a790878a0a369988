//! What a search finds when there is more than it may look at.

use anyhow::{Context as _, Result};
use pitchey_model::SearchQuery;
use pitchey_runtime::SystemRuntime;
use pitchey_store::Pitches as _;
use pitchey_store_pg::{PgStore, PoolConfig};
use pitchey_testkit::TestDb;
use pitchey_testkit::postgres_server::execute;
use std::collections::BTreeSet;

struct Site {
    _database: TestDb,
    store: PgStore,
}

/// A site with the pitches of a query that gives titles and synopses.
async fn site(rows: &str) -> Result<Site> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        &format!(
            "INSERT INTO users (id, username, role, display_name)
             VALUES ('00000000-0000-7000-8000-000000000001', 'ada', 'creator', 'Ada');
             INSERT INTO pitches (id, creator_id, title, synopsis, genres, format, stage, status, published_at)
             SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000001', title, synopsis,
                    ARRAY['drama'], 'feature', 'script', 'published', now()
             FROM ({rows}) AS rows (title, synopsis)"
        ),
    )?;
    let url = database.url().to_owned().into();
    let store = PgStore::connect_lazy(&url, &PoolConfig::default(), SystemRuntime::new())?;
    Ok(Site {
        _database: database,
        store,
    })
}

impl Site {
    /// The titles of all pages, and the total that the first one tells.
    async fn find(&self, words: &str) -> Result<(Vec<String>, i64)> {
        let query = SearchQuery {
            words: words.to_owned(),
            genre: None,
            format: None,
            facets: true,
            highlights: false,
        };
        let mut titles = Vec::new();
        let mut total = 0;
        let mut after = None;
        loop {
            let found = self.store.search(&query, after, 100).await?;
            total = found.facets.map_or(total, |facets| facets.total);
            titles.extend(found.page.items.into_iter().map(|hit| hit.card.title));
            after = found.page.next;
            if after.is_none() {
                return Ok((titles, total));
            }
        }
    }
}

#[tokio::test]
async fn a_word_in_fewer_pitches_than_may_be_looked_at_finds_them_all() -> Result<()> {
    let site = site("SELECT 'Pitch ' || i, 'a lighthouse' FROM generate_series(1, 250) i").await?;
    let (titles, total) = site.find("lighthouse").await?;
    let distinct: BTreeSet<&String> = titles.iter().collect();
    assert_eq!((titles.len(), distinct.len(), total), (250, 250, 250));
    Ok(())
}

#[tokio::test]
async fn a_common_word_finds_a_bounded_number_and_first_what_has_it_in_the_title() -> Result<()> {
    let site = site(
        "SELECT 'Pitch ' || i, 'a lighthouse' FROM generate_series(1, 900) i
         UNION ALL SELECT 'The Lighthouse ' || i, 'a keeper' FROM generate_series(1, 5) i
         UNION ALL VALUES ('Lighthouse', 'a storm')",
    )
    .await?;
    let (titles, total) = site.find("lighthouse").await?;
    let distinct: BTreeSet<&String> = titles.iter().collect();
    assert_eq!(distinct.len(), titles.len(), "no pitch is found twice");
    assert_eq!(i64::try_from(titles.len())?, total);
    assert!((300..=700).contains(&total), "{total}");
    assert_eq!(titles.first().map(String::as_str), Some("Lighthouse"));
    let in_title = titles.iter().take(6);
    assert_eq!(in_title.filter(|t| t.contains("Lighthouse")).count(), 6);
    Ok(())
}

#[tokio::test]
async fn a_phrase_finds_its_words_in_order_only() -> Result<()> {
    let site = site(
        "VALUES ('One', 'the dark knight rides'), ('Two', 'a knight in the dark'), ('Three', 'dark days')",
    )
    .await?;
    let find = async |words| anyhow::Ok(site.find(words).await?.0);
    assert_eq!(find("\"dark knight\"").await?, ["One"]);
    let mut both = find("dark knight").await?;
    both.sort();
    assert_eq!(both, ["One", "Two"]);
    let mut without = find("dark -\"dark knight\"").await?;
    without.sort();
    assert_eq!(without, ["Three", "Two"]);
    Ok(())
}

#[tokio::test]
async fn excluded_words_alone_and_stop_words_alone_find_nothing_but_a_title() -> Result<()> {
    let site = site("VALUES ('It', 'a clown'), ('The And', 'a poem'), ('Other', 'a poem')").await?;
    assert_eq!(site.find("-clown").await?.0, [""; 0]);
    assert_eq!(site.find("of a").await?.0, [""; 0]);
    let (titles, total) = site.find("It").await?;
    assert_eq!(titles.first().context("the very title")?, "It");
    assert_eq!(total, 1);
    Ok(())
}
