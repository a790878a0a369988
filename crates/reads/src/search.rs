//! Full-text search, with correction of misspelt words.

use crate::Statements;
use crate::error::corrupt;
use crate::list::{page_of, wrong_sort};
use crate::rows::{CardColumns, word};
use pitchey_model::{
    Facets, Format, Genre, Highlights, Position, SearchHit, SearchPage, SearchQuery, SortKey,
};
use pitchey_store::StoreError;
use std::collections::BTreeMap;
use std::str::FromStr;
use uuid::Uuid;

/// What `search.page` is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchAsk<'a> {
    /// The words, as a searcher types them.
    pub words: &'a str,
    /// The genre, if it is one alone.
    pub genre: Option<&'static str>,
    /// The format, if it is one alone.
    pub format: Option<&'static str>,
    /// The rank of the last find of the page before.
    pub rank: Option<f32>,
    /// Its id.
    pub id: Option<Uuid>,
    /// How many rows: one more than are shown.
    pub fetch: i64,
    /// Whether facets are counted.
    pub facets: bool,
}

/// The columns of `search.page`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as in the statement")]
pub struct FoundColumns {
    pub sort_key: f32,
    pub card: CardColumns,
    pub facets: Option<serde_json::Value>,
}

/// The columns of `search.highlights` beside the id.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as in the statement")]
pub struct HighlightColumns {
    pub title: String,
    pub logline: String,
    pub synopsis: String,
}

/// The columns of `search.correct`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as in the statement")]
pub struct Correction {
    pub asked: String,
    pub nearest: Option<String>,
}

/// A page of finds: see `store::Pitches::search`.
pub async fn search(
    statements: &impl Statements,
    query: &SearchQuery,
    after: Option<Position>,
    limit: u32,
) -> Result<SearchPage, StoreError> {
    let mut found = for_words(statements, query, &query.words, after, limit).await?;
    if !found.page.items.is_empty() || after.is_some() {
        return Ok(found);
    }
    let Some(corrected) = correct(statements, &query.words).await? else {
        return Ok(found);
    };
    found = for_words(statements, query, &corrected, None, limit).await?;
    if !found.page.items.is_empty() {
        found.corrected = Some(corrected);
    }
    Ok(found)
}

async fn for_words(
    statements: &impl Statements,
    query: &SearchQuery,
    words: &str,
    after: Option<Position>,
    limit: u32,
) -> Result<SearchPage, StoreError> {
    let rank = match after {
        None => None,
        Some(Position {
            key: SortKey::Rank(rank),
            ..
        }) => Some(rank),
        Some(other) => return Err(wrong_sort(other)),
    };
    let counts = query.facets && after.is_none();
    let ask = SearchAsk {
        words,
        genre: query.genre.map(Genre::as_str),
        format: query.format.map(Format::as_str),
        rank,
        id: after.map(|position| position.id),
        fetch: i64::from(limit) + 1,
        facets: counts,
    };
    let rows = statements.found(&ask).await?;
    let mut facets = None;
    let mut hits = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(counts) = &row.facets {
            facets = Some(facets_of(counts)?);
        }
        let hit = SearchHit {
            card: row.card.try_into()?,
            rank: row.sort_key,
            highlights: None,
        };
        hits.push((SortKey::Rank(row.sort_key), hit));
    }
    let mut page = page_of(hits, limit, |hit| hit.card.id.0);
    if query.highlights {
        let ids: Vec<Uuid> = page.items.iter().map(|hit| hit.card.id.0).collect();
        let mut marked = statements.highlights(&ids, words).await?;
        for hit in &mut page.items {
            let marked = marked.remove(&hit.card.id.0);
            hit.highlights = marked.map(|texts| Highlights {
                title: mark(&texts.title),
                logline: mark(&texts.logline),
                synopsis: mark(&texts.synopsis),
            });
        }
    }
    if counts {
        facets.get_or_insert_default();
    }
    Ok(SearchPage {
        page,
        corrected: None,
        facets,
    })
}

/// The words with each unknown one replaced by the nearest known; `None` if that changes nothing.
async fn correct(statements: &impl Statements, words: &str) -> Result<Option<String>, StoreError> {
    let rows = statements.corrections(words).await?;
    let changed = rows.iter().any(|row| {
        row.nearest
            .as_ref()
            .is_some_and(|nearest| *nearest != row.asked)
    });
    let corrected = rows
        .into_iter()
        .map(|row| row.nearest.unwrap_or(row.asked))
        .collect::<Vec<_>>()
        .join(" ");
    Ok(changed.then_some(corrected))
}

fn facets_of(counts: &serde_json::Value) -> Result<Facets, StoreError> {
    fn section<T: FromStr + Ord>(
        counts: &serde_json::Value,
        name: &'static str,
    ) -> Result<BTreeMap<T, i64>, StoreError> {
        let object = counts[name]
            .as_object()
            .ok_or_else(|| corrupt(name, &counts.to_string()))?;
        object
            .iter()
            .map(|(key, n)| {
                Ok((
                    word(name, key)?,
                    n.as_i64().ok_or_else(|| corrupt(name, &n.to_string()))?,
                ))
            })
            .collect()
    }
    Ok(Facets {
        total: counts["total"]
            .as_i64()
            .ok_or_else(|| corrupt("total", &counts.to_string()))?,
        genres: section(counts, "genres")?,
        formats: section(counts, "formats")?,
    })
}

/// Escapes for HTML, then puts the marks in: text that looks like a mark cannot pass for one.
fn mark(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\u{e000}' => html.push_str("<mark>"),
            '\u{e001}' => html.push_str("</mark>"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_html_and_the_rest_is_escaped() {
        assert_eq!(
            mark("<b>\u{e000}Tom & Jerry\u{e001}</b>"),
            "&lt;b&gt;<mark>Tom &amp; Jerry</mark>&lt;/b&gt;"
        );
    }

    #[test]
    fn an_unknown_genre_in_the_counts_is_an_error_not_a_gap() {
        let counts = serde_json::json!({"total": 1, "genres": {"opera": 1}, "formats": {}});
        assert!(matches!(facets_of(&counts), Err(StoreError::Internal(_))));
    }
}
