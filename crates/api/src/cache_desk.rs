//! What operators see of the caches and do to them: `/api/cache/…`, for admins.
//!
//! What the caches are is behind the port [`CacheDesk`]; warming goes through the
//! API's own public reads, as anybody's question would.

mod warming;

pub use warming::PublicReads;
pub(crate) use warming::{__path_warm, warm};

use crate::body::Fields;
use crate::extract::{Client, NoQuery, Signed};
use crate::params::bad_path;
use crate::ports::CacheDesk;
use crate::problem::{BodyProblems, Kind, MissingProblem, Problem, ReadProblems, SignedProblems};
use crate::site::Site;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use pitchey_cache::MAX_KEY;
use pitchey_cache::stats::{Counter, KindSnapshot, TimesSnapshot};
use pitchey_model::decide::Refusal;
use pitchey_model::permission::{self, Area};
use pitchey_store::FullStore;
use pitchey_store::accounts::{Operation, Origin};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// The most tags or keys that one request purges.
const MAX_NAMES: usize = 1000;

/// The most prefixes: each is a walk over all keys.
const MAX_PREFIXES: usize = 10;

/// How the caches of this origin are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, shown as such"
)]
pub struct CacheStatus {
    /// Whether there is a tier that all origins share.
    pub has_shared: bool,
    /// Whether there is a connection to it.
    pub connected: bool,
    /// Whether this origin hears what the shared tier announces, and so trusts its memory.
    pub attached: bool,
    /// Whether an invalidation was not acknowledged, so that nothing shared is trusted for now.
    pub distrusted: bool,
    /// The epoch of the shared tier: nothing of another one is valid. A number of 64 bits, as text.
    pub epoch: String,
    /// Every announcement up to this number was heard.
    pub applied: u64,
    /// How often this origin had to begin anew.
    pub era: u64,
    /// How much longer memory is trusted, in milliseconds, if nothing more is heard.
    pub trusted_for_ms: u64,
    /// The breaker in front of the shared tier: `closed`, `open` or `half_open`.
    #[schema(value_type = String)]
    pub breaker: &'static str,
    /// What is in memory.
    pub memory: Vec<MemoryStatus>,
}

/// What one cache has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemoryStatus {
    /// Which: `answers` or `sessions`.
    #[schema(value_type = String)]
    pub cache: &'static str,
    /// Entries, about.
    pub entries: u64,
    /// Their bytes, about.
    pub bytes: u64,
    /// Loads in flight.
    pub loads_in_flight: u64,
}

/// What happened to one kind since the origin began.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KindStats {
    /// The kind.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Answers, whatever they came from.
    answers: u64,
    /// The share of answers for which nobody waited for the source, 0 to 1.
    hit_ratio: Option<f64>,
    /// How often each thing happened, by tier: `memory_hit`, `shared_stale`, `fill_refused` and so on.
    #[schema(value_type = BTreeMap<String, u64>)]
    counts: BTreeMap<&'static str, u64>,
    /// How long loads took.
    loads: Times,
    /// How long questions to the shared tier took.
    lookups: Times,
}

/// How long something took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Times {
    /// How often it was measured.
    count: u64,
    /// Half of them took no longer, in milliseconds; the buckets double.
    p50_ms: Option<f64>,
    /// All but one in a hundred.
    p99_ms: Option<f64>,
}

impl From<&TimesSnapshot> for Times {
    fn from(times: &TimesSnapshot) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            count: times.count(),
            p50_ms: times.quantile(0.5).map(ms),
            p99_ms: times.quantile(0.99).map(ms),
        }
    }
}

impl KindStats {
    fn of((kind, stats): (&'static str, KindSnapshot)) -> Self {
        let counters = Counter::ALL.iter();
        Self {
            kind,
            answers: stats.answers(),
            hit_ratio: stats.hit_ratio(),
            counts: counters.map(|one| (one.name(), stats.get(*one))).collect(),
            loads: (&stats.loads).into(),
            lookups: (&stats.lookups).into(),
        }
    }
}

/// What happened, kind by kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CacheStats {
    kinds: Vec<KindStats>,
}

/// What the tiers hold under a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CacheEntry {
    /// In this origin's memory.
    pub memory: Option<TierEntry>,
    /// In the shared tier, if what it has is valid.
    pub shared: Option<TierEntry>,
    /// Why the shared tier does not tell, if it does not.
    pub shared_error: Option<String>,
}

/// An entry of one tier, without what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TierEntry {
    /// `fresh`, `elapsed` (to be compared with the shared tier), `stale`, `expired`, or `invalid` (a tag was
    /// raised since).
    #[schema(value_type = String)]
    pub state: &'static str,
    /// How long ago its load began, in milliseconds.
    pub age_ms: u64,
    /// How long it is fresh from now on, in milliseconds.
    pub fresh_for_ms: u64,
    /// Whether it says that there is nothing.
    pub absent: bool,
    /// Its bytes, about.
    pub bytes: u64,
    /// What it was made from.
    pub tags: Vec<String>,
}

/// What is to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purge {
    /// Whatever was made from these.
    pub tags: Vec<Box<str>>,
    /// Whether what carries the tags may be served while it is refreshed.
    pub soft: bool,
    /// These keys.
    pub keys: Vec<Box<str>>,
    /// All keys that begin so.
    pub prefixes: Vec<Box<str>>,
}

/// What has been forgotten everywhere. What was not acknowledged is to be asked for again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Purged {
    /// How many tags were acknowledged.
    pub tags: u64,
    /// How many keys were.
    pub keys: u64,
    /// How many prefixes were.
    pub prefixes: u64,
    /// How many entries with these prefixes the shared tier had.
    pub removed: u64,
    /// Whether all that was asked for was acknowledged.
    pub acknowledged: bool,
}

/// What to purge.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `purge` reads")]
pub(crate) struct PurgeRequest {
    /// Everything that was made from these, as `pitch:…`, `lists`, `genre:drama`.
    #[schema(max_items = 1000, nullable = false)]
    tags: Option<Vec<String>>,
    /// Entries by their keys.
    #[schema(max_items = 1000, nullable = false)]
    keys: Option<Vec<String>>,
    /// Entries by what their keys begin with.
    #[schema(max_items = 10, nullable = false)]
    prefixes: Option<Vec<String>>,
    /// Whether what carries the tags may be served while it is refreshed; true if absent. Keys and prefixes
    /// are always removed.
    #[schema(nullable = false)]
    soft: Option<bool>,
}

/// How the caches are
#[utoipa::path(
    get, path = "/api/cache/status", tag = "operations",
    responses(
        (status = 200, description = "The tiers, and what this origin knows of them", body = CacheStatus),
        ReadProblems, SignedProblems, MissingProblem,
    )
)]
pub(crate) async fn status<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
) -> Result<Json<CacheStatus>, Problem> {
    Ok(Json(desk(&site, &signed)?.status()))
}

/// What the caches did
#[utoipa::path(
    get, path = "/api/cache/stats", tag = "operations",
    responses(
        (status = 200, description = "Since the origin began, kind by kind", body = CacheStats),
        ReadProblems, SignedProblems, MissingProblem,
    )
)]
pub(crate) async fn stats<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
) -> Result<Json<CacheStats>, Problem> {
    let kinds = desk(&site, &signed)?.stats();
    let kinds = kinds.into_iter().map(KindStats::of).collect();
    Ok(Json(CacheStats { kinds }))
}

/// What is kept under a key
///
/// Looking changes nothing and counts as nothing. What the entry says is not shown.
#[utoipa::path(
    get, path = "/api/cache/entries/{key}", tag = "operations",
    params(("key" = String, Path, description = "The key, percent-encoded, as `pitch_list:%2Fapi%2Fpitches%2Fnew`")),
    responses(
        (status = 200, description = "What the tiers hold; null where there is nothing", body = CacheEntry),
        ReadProblems, SignedProblems, MissingProblem,
    )
)]
pub(crate) async fn entry<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    key: Result<Path<String>, PathRejection>,
    _: NoQuery,
) -> Result<Json<CacheEntry>, Problem> {
    let desk = desk(&site, &signed)?;
    let Path(key) = key.map_err(|_| bad_path("key", "must be percent-encoded UTF-8"))?;
    if key.len() > MAX_KEY || key.chars().any(char::is_control) {
        let detail = format!("must have at most {MAX_KEY} bytes, none of them a control character");
        return Err(bad_path("key", detail));
    }
    Ok(Json(desk.inspect(&key).await))
}

/// Forget what is kept
///
/// By tags, keys or prefixes, on all origins. Says how much was acknowledged: what was not holds on this
/// origin alone and is to be asked for again.
#[utoipa::path(
    post, path = "/api/cache/purge", tag = "operations",
    request_body = PurgeRequest,
    responses(
        (status = 200, description = "What was acknowledged", body = Purged),
        ReadProblems, SignedProblems, BodyProblems, MissingProblem,
    )
)]
pub(crate) async fn purge<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Client(origin): Client,
    _: NoQuery,
    mut fields: Fields,
) -> Result<Json<Purged>, Problem> {
    let desk = desk(&site, &signed)?;
    let mut names = |name, max| {
        let names = fields.array(name, max, |names, name| names.full_line(name, MAX_KEY));
        let names = names.unwrap_or_default().into_iter();
        names.map(String::into_boxed_str).collect::<Vec<_>>()
    };
    let (tags, keys) = (names("tags", MAX_NAMES), names("keys", MAX_NAMES));
    let prefixes = names("prefixes", MAX_PREFIXES);
    let soft = fields.flag("soft").unwrap_or(true);
    fields.finish()?;
    let purge = Purge {
        tags,
        soft,
        keys,
        prefixes,
    };
    if purge.tags.is_empty() && purge.keys.is_empty() && purge.prefixes.is_empty() {
        let detail = "name tags, keys or prefixes";
        return Err(Problem::new(Kind::InvalidContent, detail));
    }
    let operation = Operation::cache_purge(&purge.tags, &purge.keys, &purge.prefixes, purge.soft);
    // First, so that nothing is done of which nobody knows.
    note(&site, &signed, operation, &origin).await?;
    Ok(Json(desk.purge(purge).await))
}

/// The desk, for those who may stand at it.
fn desk<S>(site: &Site<S>, signed: &Signed) -> Result<Arc<dyn CacheDesk>, Problem> {
    let verdict = permission::area(Some(signed.actor().role), Area::Operations);
    Result::<(), Refusal>::from(verdict)?;
    let desk = site.api.cache_desk.clone();
    desk.ok_or_else(|| Problem::new(Kind::NotFound, "this origin keeps nothing"))
}

async fn note<S: FullStore>(
    site: &Site<S>,
    signed: &Signed,
    operation: Operation,
    origin: &Origin,
) -> Result<(), Problem> {
    let (operator, store) = (signed.actor().id, &site.api.store);
    let noted = store.note_operation(operator, operation, origin, site.now());
    Ok(noted.await?)
}
