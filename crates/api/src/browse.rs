//! Lists of pitches: `GET /api/pitches` and the lists of the front page.

use crate::ApiState;
use crate::cached::{Tagged, Tags};
use crate::params::Params;
use crate::position::Reading;
use crate::problem::{Problem, ReadProblems};
use crate::represent::{PITCH_FIELDS, PitchView, select};
use axum::Json;
use axum::extract::RawQuery;
use pitchey_model::event::Tag;
use pitchey_model::{BrowseQuery, Format, Genre, Page, Shelf, Sort, Stage, Username};
use pitchey_store::Store;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PitchList {
    /// The pitches, in order.
    #[schema(value_type = Vec<PitchView>)]
    items: Vec<Value>,
    /// Where the next page begins; null on the last.
    next_cursor: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `list` reads")]
struct GenreParam {
    /// With this among its genres.
    genre: Option<Genre>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `list` reads")]
struct ListParams {
    /// Of this format.
    format: Option<Format>,
    /// At this stage.
    stage: Option<Stage>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Which fields of each entry, separated by commas.
    fields: Option<String>,
}

/// Browse pitches
///
/// Every listed pitch, filtered and sorted, page by page. What is published meanwhile neither repeats nor
/// skips an entry.
#[utoipa::path(
    get, path = "/api/pitches", tag = "pitches",
    params(
        GenreParam,
        ("creator" = Option<Username>, Query, description = "By this creator, by username"),
        ("sort" = Option<Sort>, Query, description = "In this order; new by default"),
        ListParams,
    ),
    responses(
        (status = 200, description = "A page", body = PitchList),
        ReadProblems,
    )
)]
pub(crate) async fn browse<S: Store>(
    Reading(state): Reading<S>,
    RawQuery(query): RawQuery,
) -> Result<Tagged<Json<PitchList>>, Problem> {
    let mut params = Params::parse(query.as_deref())?;
    let sort = params.word("sort").unwrap_or(Sort::New);
    let shelf = params.word("genre").map_or(Shelf::All, Shelf::Genre);
    let creator = params.shaped("creator");
    list(&state, params, sort, shelf, creator).await
}

/// What is watched most of late
#[utoipa::path(
    get, path = "/api/pitches/trending", tag = "pitches",
    params(GenreParam, ListParams),
    responses(
        (status = 200, description = "A page", body = PitchList),
        ReadProblems,
    )
)]
pub(crate) async fn trending<S: Store>(
    Reading(state): Reading<S>,
    RawQuery(query): RawQuery,
) -> Result<Tagged<Json<PitchList>>, Problem> {
    let mut params = Params::parse(query.as_deref())?;
    let shelf = params.word("genre").map_or(Shelf::All, Shelf::Genre);
    list(&state, params, Sort::Trending, shelf, None).await
}

/// What was published last
#[utoipa::path(
    get, path = "/api/pitches/new", tag = "pitches",
    params(GenreParam, ListParams),
    responses(
        (status = 200, description = "A page", body = PitchList),
        ReadProblems,
    )
)]
pub(crate) async fn new<S: Store>(
    Reading(state): Reading<S>,
    RawQuery(query): RawQuery,
) -> Result<Tagged<Json<PitchList>>, Problem> {
    let mut params = Params::parse(query.as_deref())?;
    let shelf = params.word("genre").map_or(Shelf::All, Shelf::Genre);
    list(&state, params, Sort::New, shelf, None).await
}

/// What anyone reads without an NDA, newest first
#[utoipa::path(
    get, path = "/api/pitches/public", tag = "pitches",
    params(ListParams),
    responses(
        (status = 200, description = "A page", body = PitchList),
        ReadProblems,
    )
)]
pub(crate) async fn public<S: Store>(
    Reading(state): Reading<S>,
    RawQuery(query): RawQuery,
) -> Result<Tagged<Json<PitchList>>, Problem> {
    let params = Params::parse(query.as_deref())?;
    list(&state, params, Sort::New, Shelf::Public, None).await
}

async fn list<S: Store>(
    state: &ApiState<S>,
    mut params: Params,
    sort: Sort,
    shelf: Shelf,
    creator: Option<Username>,
) -> Result<Tagged<Json<PitchList>>, Problem> {
    let (format, stage) = (
        params.word::<Format>("format"),
        params.word::<Stage>("stage"),
    );
    let cursor = params.line("cursor", 200);
    let limit = params.limit();
    let fields = params.fields(PITCH_FIELDS);
    params.finish()?;

    // The scope names everything that decides which entries there are and in what order.
    let scope = format!(
        "pitches|{sort}|{}|{}|{}|{}",
        shelf.as_str(),
        creator.as_ref().map_or("", Username::as_str),
        format.map_or("", Format::as_str),
        stage.map_or("", Stage::as_str),
    );
    let after = cursor
        .map(|cursor| state.cursor_key.open(&scope, &cursor))
        .transpose()?;
    let mut of = Tags::default();
    // The name may come to be another's, or somebody's at all.
    of.0.extend(creator.as_ref().map(Tag::username));
    let creator = match creator {
        None => None,
        Some(username) => match state.store.user_id(&username).await? {
            Some(id) => Some(id),
            // Nobody of that name has pitched anything.
            None => {
                let none = PitchList {
                    items: Vec::new(),
                    next_cursor: None,
                };
                return Ok(Tagged(of, Json(none)));
            }
        },
    };
    let query = BrowseQuery {
        shelf,
        sort,
        creator,
        format,
        stage,
    };
    let Page { items, next } = state.store.browse(&query, after, limit).await?;
    of.0.extend(creator.map(Tag::creator));
    of.0.extend(Tags::of_cards(items.iter()).0);
    let items = items
        .into_iter()
        .map(|card| select(&PitchView::from(card), &fields))
        .collect::<Result<_, _>>()?;
    let next_cursor = next.map(|position| state.cursor_key.seal(&scope, position));
    Ok(Tagged(of, Json(PitchList { items, next_cursor })))
}
