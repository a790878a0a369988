//! The documentation of problems under `/problems`, and the OpenAPI document.

use crate::params;
use crate::problem::{Kind, Problem};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use axum::response::Html;
use std::fmt::Write as _;

pub(crate) async fn openapi_json(
    RawQuery(query): RawQuery,
) -> Result<Json<utoipa::openapi::OpenApi>, Problem> {
    params::none(query.as_deref())?;
    Ok(Json(crate::routes::openapi()))
}

pub(crate) async fn index(RawQuery(query): RawQuery) -> Result<Html<String>, Problem> {
    params::none(query.as_deref())?;
    Ok(page("Problems", Kind::ALL))
}

pub(crate) async fn one(
    slug: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, Problem> {
    params::none(query.as_deref())?;
    let Path(slug) = slug.map_err(|_| params::bad_path("slug", "must be percent-encoded UTF-8"))?;
    let kind = Kind::ALL
        .iter()
        .find(|kind| kind.slug() == slug)
        .ok_or_else(Problem::not_found)?;
    Ok(page(kind.title(), std::slice::from_ref(kind)))
}

fn page(title: &str, kinds: &[Kind]) -> Html<String> {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<dl>\n"
    );
    for kind in kinds {
        let slug = kind.slug();
        // Writing to a string cannot fail; the words are ours and hold no markup.
        let _ = writeln!(
            html,
            "<dt id=\"{slug}\"><a href=\"/problems/{slug}\">/problems/{slug}</a> ({}, {})</dt>\n<dd>{}</dd>",
            kind.status().as_u16(),
            kind.title(),
            kind.help()
        );
    }
    html.push_str("</dl>\n");
    Html(html)
}
