//! What an edge in front of the origin knows of the API, and how the two speak to each other.
//!
//! An edge keeps answers of the routes that the origin itself keeps, under the same tags. It shows a secret
//! with its requests; only then is it told more than browsers are:
//!
//! | field | from | what |
//! | --- | --- | --- |
//! | [`KEY`] | edge | the secret |
//! | [`APPLIED`] | edge | the newest invalidation it knows of: what is answered must have seen it |
//! | [`STAMP`] | origin | what the answer has seen: the moment before its load began |
//! | [`AGE_MS`] | origin | how long ago that load began |
//! | [`TAGS`] | origin | what it is made of |
//! | [`SESSION`] | origin | whose session the request came with |
//! | [`HEARD`] | origin | the newest invalidation that it has applied, and how far a database must have come that shows all up to it |
//!
//! The answer to a change has a [`STAMP`], too: nothing older may be read once the change is acknowledged.

mod session;

pub(crate) use session::tell_session;
pub use session::{SESSION, ToldSession, session_key};

use crate::cached::{CachedResponse, KEPT, ResponseKind, Responses, kept_route, tags_of};
use crate::coding::Coding;
use crate::limits::Class;
use crate::params::decode;
use crate::problem::whole_seconds;
use crate::routes::{Caching, caching_of, public_route};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use pitchey_cache::{Answer, AsOf, Epoch, Seq, State as Freshness};
use pitchey_model::{PitchId, Username, WalPosition};
use pitchey_resilience::{Quota, Verdict};
use pitchey_runtime::Clock;
use sha2::Sha256;
use std::sync::Arc;

/// The secret of an edge.
pub const KEY: HeaderName = HeaderName::from_static("pitchey-edge-key");
/// The newest invalidation that an edge knows of.
pub const APPLIED: HeaderName = HeaderName::from_static("pitchey-edge-applied");
/// What an answer has seen.
pub const STAMP: HeaderName = HeaderName::from_static("pitchey-edge-stamp");
/// How long ago the load of an answer began, in milliseconds.
pub const AGE_MS: HeaderName = HeaderName::from_static("pitchey-edge-age-ms");
/// What an answer is made of, separated by commas.
pub const TAGS: HeaderName = HeaderName::from_static("pitchey-edge-tags");
/// What the origin has heard: see [`Heard`].
pub const HEARD: HeaderName = HeaderName::from_static("pitchey-edge-heard");

/// The fewest bytes of a secret.
pub const MIN_SECRET: usize = 32;

/// All codings of answers, as [`coding`] names them.
pub const CODINGS: [&str; 3] = [
    Coding::Identity.name(),
    Coding::Gzip.name(),
    Coding::Brotli.name(),
];

/// A moment between two invalidations, as a field says it.
pub fn write_as_of(as_of: AsOf) -> HeaderValue {
    HeaderValue::try_from(format!("{}.{}", as_of.epoch, as_of.seq))
        .unwrap_or(HeaderValue::from_static(""))
}

/// Reads what [`write_as_of`] writes.
pub fn read_as_of(headers: &HeaderMap, name: &HeaderName) -> Option<AsOf> {
    as_of_in(headers.get(name)?.to_str().ok()?)
}

fn as_of_in(text: &str) -> Option<AsOf> {
    let (epoch, seq) = text.split_once('.')?;
    Some(AsOf {
        epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
        seq: Seq(seq.parse().ok()?),
    })
}

/// What an origin has heard at the moment of an answer, for edges that read databases near by and hear nothing
/// themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The newest invalidation that it has applied.
    pub as_of: AsOf,
    /// How far a database must have come that shows all up to it; nought if that was never announced.
    pub position: WalPosition,
}

/// What was heard, as a field says it: `epoch.number position`.
fn write_heard(heard: Heard) -> Option<HeaderValue> {
    let Heard { as_of, position } = heard;
    HeaderValue::try_from(format!("{}.{} {position}", as_of.epoch, as_of.seq)).ok()
}

/// Reads what an origin says that it has heard, if it says so.
pub fn read_heard(headers: &HeaderMap) -> Option<Heard> {
    let (as_of, position) = headers.get(&HEARD)?.to_str().ok()?.split_once(' ')?;
    Some(Heard {
        as_of: as_of_in(as_of)?,
        position: position.parse().ok()?,
    })
}

/// Which position of the database's log a client wants its reads to have seen, if it says so.
pub fn read_position(headers: &HeaderMap) -> Option<WalPosition> {
    crate::position::of(headers)
}

/// Reads the tags of an answer.
pub fn read_tags(headers: &HeaderMap) -> Option<Vec<Box<str>>> {
    let line = headers.get(&TAGS)?.to_str().ok()?;
    Some(line.split(',').map(Into::into).collect())
}

/// The requests of edges that have shown the secret carry this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromEdge {
    /// The newest invalidation that the edge knows of, if it knows of any.
    pub applied: Option<AsOf>,
}

/// The secret that edges show.
#[derive(Clone)]
pub struct EdgeSecret {
    mac: Hmac<Sha256>,
    expected: [u8; 32],
}

impl std::fmt::Debug for EdgeSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EdgeSecret").finish_non_exhaustive()
    }
}

impl EdgeSecret {
    /// A secret of at least [`MIN_SECRET`] bytes; `None` if it is shorter.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let long_enough = secret.len() >= MIN_SECRET;
        let mac = Hmac::<Sha256>::new_from_slice(secret)
            .ok()
            .filter(|_| long_enough)?;
        let expected = mac
            .clone()
            .chain_update(secret)
            .finalize()
            .into_bytes()
            .into();
        Some(Self { mac, expected })
    }

    /// Whose request this is, if it shows the secret. Takes as long however much of it is right.
    pub fn recognise(&self, headers: &HeaderMap) -> Option<FromEdge> {
        let shown = headers.get(&KEY)?;
        let shown = self.mac.clone().chain_update(shown.as_bytes());
        shown.verify_slice(&self.expected).ok()?;
        Some(FromEdge {
            applied: read_as_of(headers, &APPLIED),
        })
    }
}

/// Whether what is kept here is good enough for who asks: an edge that has heard of more must not be given
/// what is older.
pub(crate) fn is_far_enough(from: Option<FromEdge>, responses: &dyn Responses) -> bool {
    let applied = from.and_then(|from| from.applied);
    applied.is_none_or(|applied| responses.heard_of(applied))
}

/// Tells an edge what it must know to keep an answer, if it may.
pub(crate) fn tell_edge(
    answer: &Answer<CachedResponse>,
    responses: &dyn Responses,
    clock: &(impl Clock + ?Sized),
    headers: &mut HeaderMap,
) {
    if answer.state != Freshness::Fresh || answer.value().0.is_none() {
        return;
    }
    let Some(as_of) = responses.as_of(answer) else {
        return;
    };
    let age = answer.entry.age(clock.now()).as_millis();
    let tags: Vec<&str> = answer.entry.tags().collect();
    let fields = HeaderValue::try_from(age.to_string()).ok();
    let fields = fields.zip(HeaderValue::try_from(tags.join(",")).ok());
    if let Some((age, tags)) = fields {
        headers.insert(STAMP, write_as_of(as_of));
        headers.insert(AGE_MS, age);
        headers.insert(TAGS, tags);
    }
}

/// Tells an edge how far databases must have come by now, if that is known here.
pub(crate) fn tell_heard(responses: &dyn Responses, headers: &mut HeaderMap) {
    if let Some(heard) = responses.heard().and_then(write_heard) {
        headers.insert(HEARD, heard);
    }
}

/// Tells an edge how far databases must have come, and, once a change is acknowledged, what its readers must
/// have seen.
pub(crate) async fn tell_edges(
    State(responses): State<Option<Arc<dyn Responses>>>,
    request: Request,
    next: Next,
) -> Response {
    let is_from_edge = request.extensions().get::<FromEdge>().is_some();
    let changes = !request.method().is_safe();
    let mut response = next.run(request).await;
    if let Some(responses) = responses.filter(|_| is_from_edge) {
        if let Some(as_of) = responses.newest().filter(|_| changes) {
            response.headers_mut().insert(STAMP, write_as_of(as_of));
        }
        // Not before it was handled: what is told must not be older than the answer.
        tell_heard(&*responses, response.headers_mut());
    }
    response
}

/// An address whose query cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query is not percent-encoded UTF-8")]
pub struct Unreadable;

/// A read whose answers an edge may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The kind of its answers.
    pub kind: ResponseKind,
    /// The one spelling of its address: path and query.
    pub target: String,
    /// What is known of what its answer is made of.
    pub tags: Vec<Box<str>>,
}

impl Kept {
    /// The kinds of tags that a load may find as it goes.
    pub fn discovers(&self) -> &'static [&'static str] {
        self.kind.discovers()
    }
}

/// The routes of the API as an edge must know them: which answers are kept, and what they depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Routes;

impl Routes {
    /// The read that a path (normal) and a query ask for, if its answers are kept. One with parameters that
    /// the route does not have is not: what is wrong with it, the origin says.
    pub fn kept(&self, path: &str, query: Option<&str>) -> Result<Option<Kept>, Unreadable> {
        let Some(kept) = kept_route(path) else {
            return Ok(None);
        };
        let Some(mut target) = typed_path(kept.route, path) else {
            return Ok(None);
        };
        let Some(query) = normal_query(kept.query, query)? else {
            return Ok(None);
        };
        let kind = kept.kind;
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        let Ok(uri) = target.parse::<Uri>() else {
            return Ok(None);
        };
        let tags = tags_of(kind, &uri);
        Ok(Some(Kept { kind, target, tags }))
    }

    /// The routes whose answers are kept: their kind, and the names of their parameters in the query.
    pub fn table(
        &self,
    ) -> impl Iterator<Item = (&'static str, ResponseKind, &'static [&'static str])> {
        KEPT.iter().map(|kept| (kept.route, kept.kind, kept.query))
    }

    /// The kinds of what may be kept under addresses that begin so.
    pub fn kinds_under(&self, prefix: &str) -> Vec<ResponseKind> {
        let routes: Vec<_> = self.table().collect();
        let may_begin = |route: &str| {
            let fixed = route.split('{').next().unwrap_or_default();
            fixed.starts_with(prefix) || prefix.starts_with(fixed)
        };
        let is_under = |kind| {
            let mut routes = routes.iter();
            routes.any(|(route, of, _)| *of == kind && may_begin(route))
        };
        let kinds = ResponseKind::ALL.into_iter();
        kinds.filter(|kind| is_under(*kind)).collect()
    }

    /// Whether the answer to a request may be stored by anyone.
    pub fn is_public(&self, method: &Method, path: &str) -> bool {
        public_route(path).is_some_and(|route| caching_of(method, route) != Caching::Private)
    }
}

/// The class of what is asked for, whose path is normal, as limits count it.
pub fn class_of(method: &Method, path: &str) -> Class {
    const VIEW: &str = "/api/pitches/{id}/view";
    let view = path.strip_prefix("/api/pitches/");
    let view = view.and_then(|rest| rest.strip_suffix("/view"));
    let is_view = view.is_some_and(|id| !id.is_empty() && !id.contains('/'));
    Class::of(method, Some(if is_view { VIEW } else { path }))
}

/// The fields that tell a client of a limit with this name, and how it stands with it.
pub fn limit_fields(name: &str, quota: Quota, verdict: &Verdict) -> [(HeaderName, HeaderValue); 2] {
    crate::limits::fields(name, quota, verdict)
}

/// When one who asks too often may ask again, as `Retry-After` says it.
pub fn retry_after(verdict: &Verdict) -> HeaderValue {
    HeaderValue::from(whole_seconds(verdict.retry_after))
}

/// The coding of answers that a client would have, as `Accept-Encoding` names it.
pub fn coding(headers: &HeaderMap) -> &'static str {
    Coding::negotiate(headers).name()
}

/// The same of an edge whose answers may come from databases near by: of those codings that can be made here.
pub fn coding_made_here(headers: &HeaderMap) -> &'static str {
    let best = best_codings(headers, Coding::MADE);
    best.first().copied().unwrap_or(Coding::Identity.name())
}

/// A body in a coding; `None` if that comes out no smaller, or cannot be made here.
pub fn encode_body(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    let known = [Coding::Brotli, Coding::Gzip];
    let coding = known.into_iter().find(|known| known.name() == coding)?;
    coding.encode(body)
}

/// Those of these codings that a client takes, what it would rather have first.
pub fn best_codings(headers: &HeaderMap, codings: &[&'static str]) -> Vec<&'static str> {
    crate::coding::best(headers, codings)
}

/// The path with its parameter read and written again: so it has one spelling.
fn typed_path(route: &str, path: &str) -> Option<String> {
    let Some((before, name)) = route.split_once('{') else {
        return Some(path.to_owned());
    };
    let value = path.strip_prefix(before)?;
    let value = match name {
        "id}" => value.parse().ok().map(|id| PitchId(id).to_string())?,
        "username}" => value.parse::<Username>().ok()?.as_str().to_owned(),
        _ => return None,
    };
    Some(format!("{before}{value}"))
}

/// Known parameters, once each, sorted, in one spelling; `None` if there are others.
fn normal_query(known: &[&str], query: Option<&str>) -> Result<Option<String>, Unreadable> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for piece in query.unwrap_or_default().split('&') {
        if piece.is_empty() {
            continue;
        }
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let name = decode(name).ok_or(Unreadable)?;
        let value = decode(value).ok_or(Unreadable)?;
        let is_new = pairs.iter().all(|(seen, _)| *seen != name);
        if !is_new || !known.contains(&&*name) {
            return Ok(None);
        }
        pairs.push((name, value));
    }
    pairs.sort_unstable();
    let mut normal = String::new();
    for (name, value) in &pairs {
        if !normal.is_empty() {
            normal.push('&');
        }
        encode(name, &mut normal);
        normal.push('=');
        encode(value, &mut normal);
    }
    Ok(Some(normal))
}

fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi;
    use utoipa::openapi::RefOr;
    use utoipa::openapi::path::ParameterIn;

    fn target(path: &str, query: &str) -> Option<String> {
        let routes = Routes;
        let kept = routes.kept(path, Some(query)).expect("readable");
        kept.map(|kept| kept.target)
    }

    #[test]
    fn a_read_has_one_spelling() {
        let one = target("/api/pitches", "limit=5&genre=western");
        assert_eq!(one.as_deref(), Some("/api/pitches?genre=western&limit=5"));
        assert_eq!(target("/api/pitches", "&genre=%77estern&&limit=5"), one);
        assert_eq!(
            target("/api/search", "q=two+words%2f").as_deref(),
            Some("/api/search?q=two%20words%2F")
        );
        let id = "/api/pitches/0198A6E5-7c1f-7a3b-8d2e-1234567890AB";
        assert_eq!(target(id, "").as_deref(), Some(&*id.to_lowercase()));
    }

    #[test]
    fn what_the_route_does_not_have_is_not_kept() {
        for (path, query) in [
            ("/api/pitches", "utm_source=x"),
            ("/api/pitches", "limit=1&limit=2"),
            ("/api/pitches/trending/x", ""),
            ("/api/pitches/not-an-id", ""),
            ("/api/users/UPPER", ""),
            ("/api/users/ann;a.css", ""),
            ("/api/me", ""),
            ("/api/me/x.css", ""),
        ] {
            assert_eq!(target(path, query), None, "{path}?{query}");
        }
        let unreadable = Routes.kept("/api/pitches", Some("genre=%zz"));
        assert_eq!(unreadable, Err(Unreadable));
    }

    #[test]
    fn every_kept_route_is_public_and_has_the_parameters_that_are_documented() {
        let document = openapi();
        for kept in &KEPT {
            let route = kept.route;
            assert_ne!(caching_of(&Method::GET, route), Caching::Private, "{route}");
            let read = document.paths.paths[route].get.as_ref();
            let declared = read.and_then(|read| read.parameters.as_ref());
            let in_query = declared.into_iter().flatten().filter_map(|one| match one {
                RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(&*one.name),
                _ => None,
            });
            assert_eq!(in_query.collect::<Vec<_>>(), kept.query, "{route}");
        }
        assert!(Routes.is_public(&Method::GET, "/problems/not-found"));
        assert!(!Routes.is_public(&Method::GET, "/api/me"));
        assert!(!Routes.is_public(&Method::POST, "/api/pitches"));
    }

    #[test]
    fn the_kinds_under_a_prefix_are_those_that_can_be() {
        use ResponseKind::{PitchDetail, PitchList, Search, UserProfile};
        let routes = Routes;
        assert_eq!(routes.kinds_under("/"), ResponseKind::ALL);
        assert_eq!(routes.kinds_under("/api/pitches"), [PitchDetail, PitchList]);
        assert!(
            routes
                .kinds_under("/api/pitches/0198")
                .contains(&PitchDetail)
        );
        assert_eq!(routes.kinds_under("/api/search?q=a"), [Search]);
        assert_eq!(routes.kinds_under("/api/users/an"), [UserProfile]);
        assert!(routes.kinds_under("/api/me").is_empty());
    }

    #[test]
    fn a_path_is_of_the_class_of_its_route() {
        for (method, path, class) in [
            (Method::GET, "/api/pitches", Class::Read),
            (Method::GET, "/api/search", Class::Search),
            (Method::GET, "/api/auth/login", Class::Read),
            (Method::POST, "/api/auth/login", Class::Auth),
            (Method::POST, "/api/pitches", Class::Write),
            (Method::POST, "/api/pitches/x/view", Class::Beacon),
            (Method::POST, "/api/pitches/x/y/view", Class::Write),
            (Method::DELETE, "/anything", Class::Write),
        ] {
            assert_eq!(class_of(&method, path), class, "{method} {path}");
        }
    }

    #[test]
    fn only_the_secret_is_recognised() {
        assert!(EdgeSecret::new(b"short").is_none());
        let text = "a secret of an edge that is long enough";
        let secret = EdgeSecret::new(text.as_bytes()).expect("long enough");
        let mut headers = HeaderMap::new();
        assert_eq!(secret.recognise(&headers), None);
        headers.insert(
            KEY,
            HeaderValue::from_static("another secret of an edge that is long"),
        );
        assert_eq!(secret.recognise(&headers), None);
        headers.insert(KEY, HeaderValue::from_static(text));
        assert_eq!(secret.recognise(&headers), Some(FromEdge { applied: None }));
        let applied = AsOf {
            epoch: Epoch(u64::MAX),
            seq: Seq(7),
        };
        headers.insert(APPLIED, write_as_of(applied));
        let from = secret.recognise(&headers).expect("the secret");
        assert_eq!(from.applied, Some(applied));
        headers.insert(APPLIED, HeaderValue::from_static("x.y"));
        assert_eq!(secret.recognise(&headers), Some(FromEdge { applied: None }));
    }

    #[test]
    fn what_was_heard_is_read_as_it_was_written() {
        let heard = Heard {
            as_of: AsOf {
                epoch: Epoch(7),
                seq: Seq(u64::MAX),
            },
            position: WalPosition(0x16_B374_D848),
        };
        let mut headers = HeaderMap::new();
        headers.insert(HEARD, write_heard(heard).expect("plain ASCII"));
        assert_eq!(
            headers[HEARD],
            "0000000000000007.18446744073709551615 16/B374D848"
        );
        assert_eq!(read_heard(&headers), Some(heard));
        for garbage in ["", "7.1", "7.1 ", "7 0/1", "7.1 0/1 0/1", "7.1 x/1"] {
            headers.insert(HEARD, HeaderValue::from_static(garbage));
            assert_eq!(read_heard(&headers), None, "{garbage:?}");
        }
    }
}
