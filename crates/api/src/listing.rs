//! Lists of one's own things: the same parameters, the same pages.

use crate::params::Params;
use crate::problem::Problem;
use crate::site::Site;
use axum::Json;
use pitchey_model::{Page, Position};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Listing` reads")]
pub(crate) struct PageParams {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The entries, in order.
    items: Vec<T>,
    /// Where the next page begins; null on the last.
    next_cursor: Option<String>,
}

/// Which page of which list.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Where the page before ended.
    pub(crate) after: Option<Position>,
    /// How many entries.
    pub(crate) limit: u32,
    scope: String,
}

impl Listing {
    /// `scope` names everything that decides which entries there are, whose they are included.
    pub(crate) fn read<S>(
        site: &Site<S>,
        query: Option<&str>,
        scope: &str,
    ) -> Result<Self, Problem> {
        let params = Params::parse(query)?;
        Self::of(site, params, scope)
    }

    /// The same behind parameters that the caller has taken.
    pub(crate) fn of<S>(site: &Site<S>, mut params: Params, scope: &str) -> Result<Self, Problem> {
        let cursor = params.line("cursor", 200);
        let limit = params.limit();
        params.finish()?;
        let after = cursor
            .map(|cursor| site.api.cursor_key.open(scope, &cursor))
            .transpose()?;
        Ok(Self {
            after,
            limit,
            scope: scope.to_owned(),
        })
    }

    pub(crate) fn page<S, T, V: From<T>>(&self, site: &Site<S>, page: Page<T>) -> Json<List<V>> {
        let next = page.next;
        Json(List {
            items: page.items.into_iter().map(V::from).collect(),
            next_cursor: next.map(|position| site.api.cursor_key.seal(&self.scope, position)),
        })
    }
}
