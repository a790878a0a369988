//! What kind of answer it was: whose class, what the cache did, and how it went.

use http::{HeaderMap, StatusCode};
use pitchey_api::RouteClass;
use pitchey_http_cache::CACHE_STATUS;

/// What kind of request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One of Pitchey's, by the class that its limits have.
    Api(RouteClass),
    /// A connection that stays: `/ws` and `/sse`.
    Live,
    /// What the edge answers by itself.
    Own,
    /// One for any other site.
    Proxy,
}

const CLASSES: [Class; 8] = [
    Class::Api(RouteClass::Read),
    Class::Api(RouteClass::Search),
    Class::Api(RouteClass::Write),
    Class::Api(RouteClass::Auth),
    Class::Api(RouteClass::Beacon),
    Class::Live,
    Class::Own,
    Class::Proxy,
];

/// What a cache did; who says nothing is the last.
const CACHE: [&str; 6] = ["HIT", "MISS", "STALE", "REVALIDATED", "BYPASS", "none"];

const STATUS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Api(class) => class.name(),
            Self::Live => "live",
            Self::Own => "own",
            Self::Proxy => "proxy",
        }
    }
}

/// An answer, as it is counted: one of [`Answered::COUNT`] kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered(usize);

impl Answered {
    /// So many kinds there are.
    pub const COUNT: usize = CLASSES.len() * CACHE.len() * STATUS.len();

    /// The kind of an answer with this status and these fields.
    pub fn of(class: Class, status: StatusCode, headers: &HeaderMap) -> Self {
        let class = place(&CLASSES, &class);
        let cache = place(&CACHE, &cache_said(headers));
        let status = usize::from(status.as_u16() / 100).clamp(1, STATUS.len()) - 1;
        Self((class * CACHE.len() + cache) * STATUS.len() + status)
    }

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Its number, from 0.
    pub fn index(self) -> usize {
        self.0
    }

    /// Its class, what the cache did, and its status.
    pub fn labels(self) -> [&'static str; 3] {
        let (rest, status) = (self.0 / STATUS.len(), self.0 % STATUS.len());
        let (class, cache) = (rest / CACHE.len(), rest % CACHE.len());
        [CLASSES[class].name(), CACHE[cache], STATUS[status]]
    }
}

/// Where it is among all; what is not there is as the last one.
fn place<T: PartialEq>(all: &[T], one: &T) -> usize {
    let place = all.iter().position(|known| known == one);
    place.unwrap_or(all.len() - 1)
}

/// What the cache did, in a word, by what it says of it (RFC 9211).
fn cache_said(headers: &HeaderMap) -> &'static str {
    // The last member is ours.
    let mut lines = headers.get_all(CACHE_STATUS).iter();
    let line = lines.next_back().and_then(|line| line.to_str().ok());
    let Some(ours) = line.and_then(|list| list.rsplit(',').next()) else {
        return "none";
    };
    let mut parameters = ours.split(';').skip(1).map(str::trim);
    let has = |wanted: &str| parameters.clone().any(|one| one.starts_with(wanted));
    match parameters.clone().find_map(|one| one.strip_prefix("fwd=")) {
        Some("stale") if has("hit") => "STALE",
        Some("stale") if has("fwd-status=304") => "REVALIDATED",
        Some("bypass" | "method" | "request") => "BYPASS",
        Some(_) => "MISS",
        None if has("ttl=-") => "STALE",
        None if parameters.any(|one| one == "hit") => "HIT",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_a_cache_did_is_a_word() {
        for (lines, word) in [
            (&["pitchey-edge; hit; ttl=12; detail=memory"][..], "HIT"),
            (&["pitchey-edge; hit; ttl=-3"], "STALE"),
            (&["pitchey-edge; hit; fwd=stale"], "STALE"),
            (
                &["pitchey-edge; fwd=stale; fwd-status=304; stored"],
                "REVALIDATED",
            ),
            (&["pitchey-edge; fwd=stale; fwd-status=200"], "MISS"),
            (&["origin; hit, pitchey-edge; fwd=uri-miss; stored"], "MISS"),
            (&["origin; hit", "pitchey-edge; fwd=method"], "BYPASS"),
            (&["pitchey-edge; detail=hit"], "none"),
            (&[], "none"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_STATUS, HeaderValue::from_static(line));
            }
            assert_eq!(cache_said(&headers), word, "{lines:?}");
            let answered = Answered::of(Class::Live, StatusCode::NOT_FOUND, &headers);
            assert_eq!(answered.labels(), ["live", word, "4xx"]);
        }
    }

    #[test]
    fn each_kind_has_labels_of_its_own() {
        let mut labels: Vec<_> = Answered::all().map(Answered::labels).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Answered::COUNT);
    }
}
