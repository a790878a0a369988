//! Full-text search: `GET /api/search`.

use crate::cached::{Tagged, Tags};
use crate::params::Params;
use crate::position::Reading;
use crate::problem::{Problem, ReadProblems};
use crate::represent::{FacetsView, SEARCH_FIELDS, SearchHitView, select};
use axum::Json;
use axum::extract::RawQuery;
use pitchey_model::{Format, Genre, SearchQuery};
use pitchey_store::Store;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The most characters of a search.
const MAX_WORDS: usize = 200;

/// A page of finds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResults {
    /// The finds, best first.
    #[schema(value_type = Vec<SearchHitView>)]
    items: Vec<Value>,
    /// Where the next page begins; null on the last.
    next_cursor: Option<String>,
    /// What was searched for instead, when the words asked for found nothing.
    corrected_query: Option<String>,
    /// How the finds divide; on the first page only.
    facets: Option<FacetsView>,
}

/// Search pitches
///
/// Words anywhere in the public part; quotes keep words together, `or` and a leading `-` mean what they
/// mean elsewhere. Titles weigh most. Words that find nothing are corrected.
#[utoipa::path(
    get, path = "/api/search", tag = "pitches",
    params(
        ("q" = String, Query, description = "What to search for, up to 200 characters", min_length = 1, max_length = 200),
        ("genre" = Option<Genre>, Query, description = "With this among its genres"),
        ("format" = Option<Format>, Query, description = "Of this format"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "How many, 20 by default", minimum = 1, maximum = 100),
        ("fields" = Option<String>, Query, description = "Which fields of each find, separated by commas"),
    ),
    responses(
        (status = 200, description = "A page", body = SearchResults),
        ReadProblems,
    )
)]
pub(crate) async fn search<S: Store>(
    Reading(state): Reading<S>,
    RawQuery(query): RawQuery,
) -> Result<Tagged<Json<SearchResults>>, Problem> {
    let mut params = Params::parse(query.as_deref())?;
    let words = params.required_line("q", MAX_WORDS);
    let (genre, format) = (
        params.word::<Genre>("genre"),
        params.word::<Format>("format"),
    );
    let cursor = params.line("cursor", 200);
    let limit = params.limit();
    let fields = params.fields(SEARCH_FIELDS);
    params.finish()?;
    let words = words.unwrap_or_default();

    // Pages behind the first search for the words of the first, corrected ones included.
    let filters = format!(
        "{}|{}",
        genre.map_or("", Genre::as_str),
        format.map_or("", Format::as_str)
    );
    let scope = |words: &str| format!("search|{filters}|{words}");
    let after = cursor
        .map(|cursor| state.cursor_key.open(&scope(&words), &cursor))
        .transpose()?;
    let query = SearchQuery {
        words,
        genre,
        format,
        facets: true,
        highlights: fields.wants("highlights"),
    };
    let found = state.store.search(&query, after, limit).await?;

    let words = found.corrected.as_deref().unwrap_or(&query.words);
    let next_cursor = found
        .page
        .next
        .map(|position| state.cursor_key.seal(&scope(words), position));
    let tags = Tags::of_cards(found.page.items.iter().map(|hit| &hit.card));
    let items = found.page.items.into_iter();
    let items = items
        .map(|hit| select(&SearchHitView::from(hit), &fields))
        .collect::<Result<_, _>>()?;
    let facets = found.facets.map(|facets| FacetsView {
        total: facets.total,
        genres: facets.genres,
        formats: facets.formats,
    });
    let results = SearchResults {
        items,
        next_cursor,
        corrected_query: found.corrected,
        facets,
    };
    Ok(Tagged(tags, Json(results)))
}
