//! Every route in one place: its handler, and who may store its answers.
//!
//! To add an endpoint: write the handler with its `#[utoipa::path]` in a module of its own, name it in
//! [`Documentation`] and in [`router`], and, if its answers may be stored, in [`PUBLIC`].
//! The tests compare the three.

use crate::finish::finish;
use crate::problem::{Kind, Problem, ProblemDocument};
use crate::{ApiState, browse, detail, health, problems, search, users};
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use http::HeaderValue;
use pitchey_store::Store;
use utoipa::OpenApi;

/// Who may store an answer, and for how long it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Nobody: the answer to everything that is not in the table.
    Private,
    /// Anyone, for so many seconds.
    Public {
        /// How long browsers need not ask again.
        max_age_s: u32,
    },
}

impl Caching {
    pub(crate) fn header(self) -> HeaderValue {
        match self {
            Self::Private => HeaderValue::from_static("private, no-store"),
            Self::Public { max_age_s } => {
                HeaderValue::try_from(format!("public, max-age={max_age_s}"))
                    .unwrap_or(HeaderValue::from_static("no-store"))
            }
        }
    }
}

/// The routes whose answers may be stored. A route that is not here is private.
const PUBLIC: &[(&str, u32)] = &[
    ("/api/pitches", 60),
    ("/api/pitches/trending", 60),
    ("/api/pitches/new", 60),
    ("/api/pitches/public", 60),
    ("/api/pitches/{id}", 60),
    ("/api/search", 30),
    ("/api/users/{username}", 60),
    ("/api/openapi.json", 300),
    ("/problems", 3600),
    ("/problems/{slug}", 3600),
];

pub(crate) fn caching_of(route: &str) -> Caching {
    let known = PUBLIC.iter().find(|(known, _)| *known == route);
    known.map_or(Caching::Private, |(_, max_age_s)| Caching::Public {
        max_age_s: *max_age_s,
    })
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pitchey",
        description = "A marketplace for film pitches. Errors are problem documents (RFC 9457), described under /problems.",
        license(name = "MIT")
    ),
    paths(
        browse::browse, browse::trending, browse::new, browse::public,
        detail::detail, search::search, users::profile,
        health::health, health::live, health::ready, health::db_test,
    ),
    components(schemas(ProblemDocument<'_>)),
    tags(
        (name = "pitches", description = "Browsing, searching and reading pitches"),
        (name = "users", description = "Profiles"),
        (name = "health", description = "Whether the service works")
    )
)]
struct Documentation;

/// The OpenAPI 3.1 document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Documentation::openapi();
    // The version of the API, not of the build: it goes up when a client must change.
    "1.0.0".clone_into(&mut document.info.version);
    document
}

/// The API: routes, problems for what is not there, and the finishing layer.
pub fn router<S: Store>(state: ApiState<S>) -> Router {
    let router = Router::new()
        .route("/api/pitches", get(browse::browse::<S>))
        .route("/api/pitches/trending", get(browse::trending::<S>))
        .route("/api/pitches/new", get(browse::new::<S>))
        .route("/api/pitches/public", get(browse::public::<S>))
        .route("/api/pitches/{id}", get(detail::detail::<S>))
        .route("/api/search", get(search::search::<S>))
        .route("/api/users/{username}", get(users::profile::<S>))
        .route("/api/health", get(health::health::<S>))
        .route("/api/health/live", get(health::live))
        .route("/api/health/ready", get(health::ready::<S>))
        .route("/api/db-test", get(health::db_test::<S>))
        .route("/api/openapi.json", get(problems::openapi_json))
        .route("/problems", get(problems::index))
        .route("/problems/{slug}", get(problems::one));
    #[cfg(feature = "docs")]
    let router = router.merge(crate::docs::router());
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::new(
                Kind::MethodNotAllowed,
                "this address does not have that method",
            )
        })
        .layer(from_fn(finish))
        .with_state(state)
}
