//! Every route in one place: its handler, and who may store its answers.
//!
//! To add an endpoint: write the handler with its `#[utoipa::path]` in a module of its own, name it in
//! [`Documentation`] and in [`router`], and, if its answers may be stored, in [`PUBLIC`].
//! The tests compare the three.

use crate::admit::admit;
use crate::cache_desk::PublicReads;
use crate::cached::{Cached, matches_route};
use crate::edge::{tell_edges, tell_session};
use crate::finish::finish;
use crate::problem::{Kind, Problem, ProblemDocument};
use crate::site::Site;
use crate::{
    ApiState, account, beacons, browse, cache_desk, dashboards, deals, detail, health, manage,
    notifications, position, problems, realtime, saved, search, users,
};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post, put};
use axum::{Extension, Router};
use http::{HeaderValue, Method};
use pitchey_model::{Side, Sort};
use pitchey_store::{FullStore, Store};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};

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

/// The route of a path, if its answers may be stored.
pub(crate) fn public_route(path: &str) -> Option<&'static str> {
    let mut routes = PUBLIC.iter().map(|(route, _)| *route);
    routes.find(|route| matches_route(route, path))
}

/// Who may store the answer to a request. The answer to a change is nobody's but the one's who made it,
/// whatever a read of the same route is.
pub(crate) fn caching_of(method: &Method, route: &str) -> Caching {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Caching::Private;
    }
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
        account::register, account::login, account::logout, account::logout_all, account::session,
        account::sessions, account::end_session, account::change_password, account::me, account::change_me,
        manage::create, manage::edit, manage::delete, manage::publish, manage::archive, manage::withdraw,
        manage::full, manage::own,
        deals::request, deals::ndas, deals::nda, deals::approve, deals::reject, deals::revoke,
        deals::express, deals::interests, deals::interest, deals::withdraw_interest, deals::accept,
        deals::decline,
        saved::save, saved::unsave, saved::saved, saved::follow, saved::unfollow, saved::following,
        notifications::notifications, notifications::read,
        dashboards::creator, dashboards::investor,
        beacons::view, beacons::rum, beacons::events,
        realtime::ticket,
        cache_desk::status, cache_desk::stats, cache_desk::entry, cache_desk::warm, cache_desk::purge,
        health::health, health::live, health::ready, health::db_test,
    ),
    components(schemas(ProblemDocument<'_>, Side, Sort)),
    tags(
        (name = "pitches", description = "Browsing, searching and reading pitches"),
        (name = "users", description = "Profiles"),
        (name = "accounts", description = "Registering, signing in, sessions, one's own account"),
        (name = "creators", description = "A creator's own pitches"),
        (name = "deals", description = "NDAs and expressions of interest"),
        (name = "readers", description = "What one saved, whom one follows, what one was told"),
        (name = "beacons", description = "What pages report"),
        (name = "realtime", description = "Being told what happens as it happens"),
        (name = "operations", description = "What runs the site; for admins"),
        (name = "health", description = "Whether the service works")
    )
)]
struct Documentation;

/// The OpenAPI 3.1 document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Documentation::openapi();
    // The version of the API, not of the build: it goes up when a client must change.
    "1.0.0".clone_into(&mut document.info.version);
    let cookie = ApiKeyValue::with_description(
        "__Host-session",
        "Set by registering and signing in. What needs it answers 401 without it.",
    );
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    // With it or without.
    let session = SecurityRequirement::new("session", Vec::<String>::new());
    document.security = Some(vec![SecurityRequirement::default(), session]);
    document
}

/// The reads whose answers are kept, and nothing else: what edges carry that ask databases of their own.
pub(crate) fn kept_router<S: Store>(state: ApiState<S>) -> Router {
    fallbacks(kept().with_state(state)).layer(from_fn(finish))
}

/// The public reads alone, for those who serve nothing else.
pub fn router<S: Store>(state: ApiState<S>) -> Router {
    let cached = Cached::of(&state);
    let reads = layer_cached(reads().with_state(state), cached);
    fallbacks(reads).layer(from_fn(finish))
}

/// The public reads behind the cache, for those who load them before they are asked for.
pub fn public_reads<S: Store>(state: &ApiState<S>) -> PublicReads {
    let cached = Cached::of(state);
    PublicReads(layer_cached(reads().with_state(state.clone()), cached))
}

/// The whole API.
pub fn full_router<S: FullStore>(site: Site<S>) -> Router {
    let cached = Cached::of(&site.api);
    let reads = layer_cached(reads().with_state(site.api.clone()), cached);
    let writes = writes(PublicReads(reads.clone())).with_state(site.clone());
    let told =
        fallbacks(reads.merge(writes)).layer(from_fn_with_state(site.clone(), position::tell::<S>));
    let responses = site.api.responses.clone();
    let told = told.layer(from_fn_with_state(responses, tell_edges));
    let told = told.layer(from_fn_with_state(site.clone(), tell_session::<S>));
    let admitted = told.layer(from_fn_with_state(site, admit::<S>));
    admitted.layer(from_fn(finish))
}

/// Puts the cache in front of the reads: what is not in its table passes through.
fn layer_cached(reads: Router, cached: Cached) -> Router {
    reads.route_layer(from_fn_with_state(cached, crate::cached::cached))
}

fn kept<S: Store>() -> Router<ApiState<S>> {
    Router::new()
        .route("/api/pitches", get(browse::browse::<S>))
        .route("/api/pitches/trending", get(browse::trending::<S>))
        .route("/api/pitches/new", get(browse::new::<S>))
        .route("/api/pitches/public", get(browse::public::<S>))
        .route("/api/pitches/{id}", get(detail::detail::<S>))
        .route("/api/search", get(search::search::<S>))
        .route("/api/users/{username}", get(users::profile::<S>))
}

fn reads<S: Store>() -> Router<ApiState<S>> {
    let router = kept()
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
}

/// What needs an account, changes something, or is counted.
fn writes<S: FullStore>(public: PublicReads) -> Router<Site<S>> {
    Router::new()
        .route("/api/auth/register", post(account::register::<S>))
        .route("/api/auth/login", post(account::login::<S>))
        .route("/api/auth/logout", post(account::logout::<S>))
        .route("/api/auth/logout-all", post(account::logout_all::<S>))
        .route("/api/auth/session", get(account::session::<S>))
        .route("/api/auth/sessions", get(account::sessions::<S>))
        .route("/api/auth/sessions/{id}", delete(account::end_session::<S>))
        .route("/api/auth/password", post(account::change_password::<S>))
        .route(
            "/api/me",
            get(account::me::<S>).patch(account::change_me::<S>),
        )
        .route("/api/me/pitches", get(manage::own::<S>))
        .route("/api/me/saved", get(saved::saved::<S>))
        .route("/api/me/following", get(saved::following::<S>))
        .route("/api/pitches", post(manage::create::<S>))
        .route(
            "/api/pitches/{id}",
            patch(manage::edit::<S>).delete(manage::delete::<S>),
        )
        .route("/api/pitches/{id}/full", get(manage::full::<S>))
        .route("/api/pitches/{id}/publish", post(manage::publish::<S>))
        .route("/api/pitches/{id}/archive", post(manage::archive::<S>))
        .route("/api/pitches/{id}/withdraw", post(manage::withdraw::<S>))
        .route("/api/pitches/{id}/view", post(beacons::view::<S>))
        .route(
            "/api/pitches/{id}/saved",
            put(saved::save::<S>).delete(saved::unsave::<S>),
        )
        .route("/api/pitches/{id}/ndas", post(deals::request::<S>))
        .route("/api/ndas", get(deals::ndas::<S>))
        .route("/api/ndas/{id}", get(deals::nda::<S>))
        .route("/api/ndas/{id}/approve", post(deals::approve::<S>))
        .route("/api/ndas/{id}/reject", post(deals::reject::<S>))
        .route("/api/ndas/{id}/revoke", post(deals::revoke::<S>))
        .route("/api/pitches/{id}/interests", post(deals::express::<S>))
        .route("/api/interests", get(deals::interests::<S>))
        .route("/api/interests/{id}", get(deals::interest::<S>))
        .route(
            "/api/interests/{id}/withdraw",
            post(deals::withdraw_interest::<S>),
        )
        .route("/api/interests/{id}/accept", post(deals::accept::<S>))
        .route("/api/interests/{id}/decline", post(deals::decline::<S>))
        .route(
            "/api/users/{username}/followed",
            put(saved::follow::<S>).delete(saved::unfollow::<S>),
        )
        .route("/api/notifications", get(notifications::notifications::<S>))
        .route("/api/notifications/read", post(notifications::read::<S>))
        .route("/api/realtime/ticket", post(realtime::ticket::<S>))
        .route("/api/dashboard/creator", get(dashboards::creator::<S>))
        .route("/api/dashboard/investor", get(dashboards::investor::<S>))
        .route("/api/cache/status", get(cache_desk::status::<S>))
        .route("/api/cache/stats", get(cache_desk::stats::<S>))
        .route("/api/cache/entries/{key}", get(cache_desk::entry::<S>))
        .route("/api/cache/purge", post(cache_desk::purge::<S>))
        .route(
            "/api/cache/warm",
            post(cache_desk::warm::<S>).layer(Extension(public)),
        )
        .route("/api/analytics/rum", post(beacons::rum::<S>))
        .route("/api/analytics/events", post(beacons::events::<S>))
}

/// Problems for what is not there.
fn fallbacks(router: Router) -> Router {
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::new(
                Kind::MethodNotAllowed,
                "this address does not have that method",
            )
        })
}
