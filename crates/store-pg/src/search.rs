//! Full-text search, with correction of misspelt words.

use crate::PgStore;
use crate::error::corrupt;
use crate::pitches::{page_of, wrong_sort};
use crate::rows::{card_columns, word};
use pitchey_model::{
    Facets, Format, Genre, Highlights, PitchCard, Position, SearchHit, SearchPage, SearchQuery,
    SortKey,
};
use pitchey_store::StoreError;
use std::collections::BTreeMap;
use std::str::FromStr;
use uuid::Uuid;

impl PgStore {
    pub(crate) async fn search_page(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SearchPage, StoreError> {
        let mut found = self.search_words(query, &query.words, after, limit).await?;
        if !found.page.items.is_empty() || after.is_some() {
            return Ok(found);
        }
        let Some(corrected) = self.correct(&query.words).await? else {
            return Ok(found);
        };
        found = self.search_words(query, &corrected, None, limit).await?;
        if !found.page.items.is_empty() {
            found.corrected = Some(corrected);
        }
        Ok(found)
    }

    async fn search_words(
        &self,
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
        let (genre, format) = (
            query.genre.map(Genre::as_str),
            query.format.map(Format::as_str),
        );
        let rows = self
            .read_public("search.page", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/search/page.sql",
                    words,
                    genre,
                    format,
                    rank,
                    after.map(|position| position.id),
                    i64::from(limit) + 1,
                    query.facets && after.is_none()
                );
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        let mut facets = None;
        let mut hits = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(counts) = &row.facets {
                facets = Some(facets_of(counts)?);
            }
            let card = PitchCard::try_from(card_columns!(row))?;
            hits.push((
                SortKey::Rank(row.sort_key),
                SearchHit {
                    card,
                    rank: row.sort_key,
                    highlights: None,
                },
            ));
        }
        let mut page = page_of(hits, limit, |hit| hit.card.id.0);
        if query.highlights {
            let mut marked = self.highlights(words, &page.items).await?;
            for hit in &mut page.items {
                hit.highlights = marked.remove(&hit.card.id.0);
            }
        }
        if query.facets && after.is_none() {
            facets.get_or_insert_default();
        }
        Ok(SearchPage {
            page,
            corrected: None,
            facets,
        })
    }

    async fn highlights(
        &self,
        words: &str,
        hits: &[SearchHit],
    ) -> Result<BTreeMap<Uuid, Highlights>, StoreError> {
        let ids: Vec<Uuid> = hits.iter().map(|hit| hit.card.id.0).collect();
        let rows = self
            .read_public("search.highlights", |mut lease| {
                let query =
                    sqlx::query_file!("../sql/statements/search/highlights.sql", &ids, words);
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let highlights = Highlights {
                    title: mark(&row.title),
                    logline: mark(&row.logline),
                    synopsis: mark(&row.synopsis),
                };
                (row.id, highlights)
            })
            .collect())
    }

    /// The words with each unknown one replaced by the nearest known; `None` if that changes nothing.
    async fn correct(&self, words: &str) -> Result<Option<String>, StoreError> {
        let rows = self
            .read_public("search.correct", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/search/correct.sql", words);
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
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
